"""The classes of a model that knows more of them than the labelled rows hold: a language model's tokens."""

from __future__ import annotations

from collections.abc import Sequence

from resmem_cli.data import sources, tables
from resmem_cli.data.kinds import as_category
from resmem_cli.data.places import place
from resmem_cli.data.rows import Rows, concatenate
from resmem_cli.errors import DataError

INDEX = "index"  # in the place of a file: the classes are 0, 1, 2 and so on, positions in a vector


def read(path: str) -> tuple[str, ...]:
    """Return the classes in a file, in its order: one a line of text, or the only column of a table with a header.

    Raises:
        DataError: the file cannot be read, has several columns, or a class is missing or there twice.
    """
    named = _of_table(path) if sources.is_table(place(path)) else _of_lines(path)
    seen: dict[str, int] = {}
    for number, name in enumerate(named, start=1):
        if not name:
            raise DataError(f"'{path}', class {number:,} is empty", "give every class a name")
        if name in seen:
            raise DataError(
                f"'{path}' holds the class '{name}' twice, as class {seen[name]:,} and {number:,}", "remove one"
            )
        seen[name] = number
    if len(named) < 2:
        raise DataError(f"'{path}' holds {len(named)} class{'es' * (not named)}", "give at least two")
    return tuple(named)


def _of_lines(path: str) -> list[str]:
    try:
        text = place(path).read_bytes().decode("utf-8-sig")  # in which a carriage return alone is no end of a line
    except (OSError, UnicodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DataError(f"'{path}' cannot be read ({what})", "check --classes") from error
    lines = text.split("\n")
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def _of_table(path: str) -> list[str]:
    rows: Rows = concatenate(tables.read_all(sources.resolve([path])))
    names: Sequence[str] = rows.table.column_names
    if len(names) != 1:
        raise DataError(f"'{path}' has {len(names)} columns", "give a file with the classes as its only column")
    return [value or "" for value in as_category(rows, names[0]).to_pylist()]
