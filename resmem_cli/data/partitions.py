"""Columns that the names of folders hold, as Hive writes them: year=2026/month=11/part.parquet."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from resmem_cli.data.text_form import as_text
from resmem_cli.errors import DataError

_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_MISSING = "__HIVE_DEFAULT_PARTITION__"

Values = Mapping[str, str | None]


@dataclass(frozen=True)
class Partitions:
    """What the folders say of every row of a file.

    Attributes:
        below: the values of columns by the folders below what the user has named: they are columns in any case.
        above: those by the folders of that name itself, which are columns where they are needed.
    """

    below: Values
    above: Values

    @classmethod
    def of(cls, path: Path, n_named: int) -> Partitions:
        """Return those of a file, the first `n_named` parts of whose path the user has named."""
        folders = path.parts[:-1]
        return cls(_values(folders[n_named:]), _values(folders[:n_named]))

    def may_have(self, where: Sequence[tuple[str, str]]) -> bool:
        """Whether a row of the file may have all these values, by what the folders say of their columns."""
        known = {**self.above, **self.below}
        return all(_is_same(known[name], value) for name, value in where if name in known)

    def columns(self, needed: Collection[str]) -> dict[str, str | None]:
        """Return the values of the columns that there are where some are `needed`."""
        return {**{name: value for name, value in self.above.items() if name in needed}, **self.below}


NONE = Partitions({}, {})


def _values(folders: Sequence[str]) -> dict[str, str | None]:
    pairs = [folder.partition("=") for folder in folders]
    return {unquote(name): value_of(value) for name, sign, value in pairs if sign and name}


def value_of(text: str) -> str | None:
    """Return what a folder says; digits are a whole number, of which every text is the same: 01 is 1, as to Spark."""
    if text == _MISSING:
        return None
    return str(int(text)) if _WHOLE.fullmatch(text) else unquote(text)


def with_columns(
    table: pa.Table, values: Values, source: str, n_before: int, wanted: Collection[str] | None
) -> pa.Table:
    """Return rows of a file with the columns of its folders, as text.

    Args:
        table: the rows.
        values: of the columns.
        source: the file's name, for errors.
        n_before: how many of its rows were before these.
        wanted: which of the columns; None for all.

    Raises:
        DataError: the file has such a column itself, and another value in it.
    """
    for name, value in values.items():
        if name in table.column_names:
            _refuse_other(table.column(name), name, value, source, n_before)
        elif wanted is None or name in wanted:
            table = table.append_column(name, pa.repeat(pa.scalar(value, pa.string()), table.num_rows))
    return table


def _refuse_other(column: pa.ChunkedArray, name: str, value: str | None, source: str, n_before: int) -> None:
    text = as_text(name, column)
    for found in pc.unique(text).to_pylist():
        if not _is_same(found, value):
            row = n_before + pc.index(text, pa.scalar(found, text.type)).as_py() if found is not None else n_before
            shown = "no value" if found is None else f"'{found}'"
            raise DataError(
                f"{source}, row {row + 1:,}: the column '{name}' holds {shown}, and the folder's name says "
                f"'{value if value is not None else _MISSING}'",
                "correct one of them, or remove the column from the file",
            )


def _is_same(found: str | None, value: str | None) -> bool:
    if found is None or value is None or found == value:
        return found == value
    try:
        return float(found) == float(value)
    except ValueError:
        return False


def one_valued(found: Sequence[Partitions]) -> dict[str, str | None]:
    """Return the columns by folders below what was named that have one value in all files, and this value."""
    first = found[0].below if found else {}
    return {name: value for name, value in first.items() if all(each.below.get(name, "") == value for each in found)}
