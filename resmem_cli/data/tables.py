"""Tables in: any supported file, or standard input, as batches of bounded size.

Nothing here knows a schema. CSV columns arrive as text, so that a value passes through exactly as it
was written and a wrong one can be named with its row; typed formats arrive typed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from resmem_cli.data import columnar, delimited, json_lines, store_errors, streams, text_file
from resmem_cli.data.dialect import PLAIN, Dialect, shown
from resmem_cli.data.folder_columns import with_columns
from resmem_cli.data.promotion import concatenated
from resmem_cli.data.pruning import Where
from resmem_cli.data.rows import Rows, concatenate
from resmem_cli.data.sources import Format, Source
from resmem_cli.data.text_file import AS_FOUND, HowToRead
from resmem_cli.errors import DataError

BATCH_ROWS = 65_536
_NARROW, _LEAST_BATCH_ROWS = 64, 256  # columns; rows
_WHOLE_ROWS = 1 << 20
_COUNTED_BYTES = 1 << 20


@dataclass
class _Found:
    """How the source that is being read was found to be written."""

    dialect: Dialect = PLAIN


@dataclass(frozen=True)
class _Wanted:
    """How many rows at once, and which columns (None for all); `notes` takes what looks odd, but may be right.

    Of a source without rows there is a table without rows if it `keeps_empty` ones, which else are no table. Columns
    that are `needed` are also taken from the folders that the user named. Row groups without the values of `where` are
    left out, and `gaps` says of the source at hand before which row that is read, from 0, and how many rows each has.

    How text is written comes from `how`, and goes into `found`.
    """

    batch_rows: int
    how: HowToRead
    columns: frozenset[str] | None
    notes: list[str]
    keeps_empty: bool = False
    needed: frozenset[str] = frozenset()
    where: Where = ()
    gaps: list[tuple[int, int]] = field(default_factory=list)
    found: _Found = field(default_factory=_Found)


def rows_at_once(most: int, n_columns: int) -> int:
    """Return how many rows a batch has that holds no more numbers than `most` rows of a narrow table do."""
    return max(_LEAST_BATCH_ROWS, most * _NARROW // max(n_columns, _NARROW))


def use_threads(count: int) -> None:
    """Let Arrow compute with `count` threads."""
    pa.set_cpu_count(count)


def n_threads() -> int:
    """Return how many threads Arrow computes with."""
    return int(pa.cpu_count())


def read(
    sources: Sequence[Source],
    *,
    batch_rows: int = BATCH_ROWS,
    how: HowToRead = AS_FOUND,
    columns: frozenset[str] | None = None,
    notes: list[str] | None = None,
    may_be_empty: bool = False,
    needed: frozenset[str] = frozenset(),
    where: Where = (),
) -> Iterator[Rows]:
    """Yield the rows of all sources in order, in batches of `batch_rows` (the last of each source is shorter).

    Only `columns` are read if given; a source that lacks one of them is read entirely, so that whoever misses it can
    say what is there. A source may have no rows, as some parts of what Spark writes, if another one has; if all
    `may_be_empty`, there is one batch without rows then. The names of folders hold columns, too: of those that the user
    named, the `needed` ones. Files, and row groups of Parquet, in which no row has the values that `where` says are not
    read; other rows without these values may be there, or no row at all. What looks odd, but may be right, is added to
    `notes`.

    Raises:
        DataError: a source is missing, empty, damaged, ragged, not UTF-8, or names a column twice; or there is no row.
    """
    wanted = _Wanted(batch_rows, how, columns, [] if notes is None else notes, may_be_empty, needed, where)
    has_rows, empty = bool(where), None  # whoever leaves rows out says if there are none
    for source in sources:
        if not source.partitions.may_have(where):
            continue
        for rows in _read_one(source, wanted):
            if len(rows):
                has_rows = True
                yield rows
            elif empty is None:
                empty = rows
    if has_rows:
        return
    if empty is None:
        raise _without_rows(sources)
    yield empty


def read_all(sources: Sequence[Source], *, how: HowToRead = AS_FOUND, notes: list[str] | None = None) -> list[Rows]:
    """Return the whole of every source that has rows, text sources first joined into one; `notes` as of `read`.

    Raises:
        DataError: as `read`; or sources with different columns.
    """
    wanted = _Wanted(_WHOLE_ROWS, how, None, [] if notes is None else notes)
    parts = joined([list(_read_one(source, wanted)) for source in sources])
    if not parts:
        raise _without_rows(sources)
    return parts


def joined(parts: Sequence[Sequence[Rows]]) -> list[Rows]:
    """Return the rows of several sources, text sources first joined into one; nothing if there are no rows.

    Raises:
        DataError: sources have different columns.
    """
    groups = [concatenate(part) for part in parts if part]
    for other in groups[1:]:
        odd = sorted(set(other.table.column_names) ^ set(groups[0].table.column_names))
        if odd:
            raise DataError(
                f"{other.source} and {groups[0].source} differ in the column{'s' * (len(odd) > 1)} "
                + ", ".join(f"'{name}'" for name in odd),
                "give files of the same columns",
            )
    texts = [group for group in groups if group.is_text]
    typed = [group for group in groups if not group.is_text]
    return ([concatenate(texts)] if texts else []) + typed


def may_change(sources: Sequence[Source]) -> bool:
    """Whether a column may have other types in other rows: it is asked of files that say so, and else assumed."""
    if all(map(_is_text, sources)):
        return False
    if any(source.format in (None, Format.JSONL) or source.path is None for source in sources):
        return len(sources) > 1 or sources[0].format in (None, Format.JSONL)
    if len(sources) == 1:
        return False
    try:
        schemas = [None if _is_text(source) else columnar.schema_of(source) for source in sources]
    except (pa.ArrowException, OSError):
        return False  # whoever reads it says what is wrong with it
    first = schemas[0]
    return any(schema is None or first is None or not schema.equals(first) for schema in schemas)


def _is_text(source: Source) -> bool:
    return source.format is not None and source.format.is_text


def count_rows(sources: Sequence[Source]) -> int | None:
    """Return how many rows there are, without reading them: of text about how many; None if that cannot be told."""
    counts = [_count(source) for source in sources]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _count(source: Source) -> int | None:
    if source.is_stream or source.format is None or source.compression is not None:
        return None
    try:
        if source.format is Format.PARQUET:
            return sum(columnar.rows_of_groups(source))
        if source.format is Format.ARROW:  # batches may differ in size: each would have to be read
            return None
        with streams.at_random(source) as opened:
            head, n_bytes = bytes(opened.read(_COUNTED_BYTES)), int(opened.size())
        return round(head.count(b"\n") * n_bytes / max(len(head), 1))
    except (pa.ArrowException, OSError):
        return None  # whoever reads it says what is wrong with it


def _read_one(source: Source, wanted: _Wanted) -> Generator[Rows]:
    before, found = 0, _Found(Dialect(is_told=wanted.how.forced.decimal is not None))
    try:
        with streams.opened(source) as (known, stream):
            is_text = _is_text(known)
            of_folders = source.partitions.columns(wanted.needed)
            from_file = None if wanted.columns is None else wanted.columns - of_folders.keys()
            choose = partial(_chosen, source, from_file, frozenset(of_folders))
            wanted = replace(wanted, found=found, gaps=[])
            opened = READERS[known.format or Format.CSV](known, stream, wanted, choose)
            with closing(opened) if stream is None else streams.aside(opened) as tables:
                for table in _rebatched(tables, wanted, source.name):
                    origins = _origins(source.name, before, table.num_rows, wanted.gaps)
                    rows = Rows(table, origins, is_text, dialect=found.dialect)
                    yield with_columns(rows, of_folders, wanted.columns)
                    before += table.num_rows
    except (pa.ArrowException, OSError, EOFError, UnicodeError) as error:
        raise _unreadable(source, error, found.dialect) from error


Choose = Callable[[Sequence[str]], list[str]]  # which of a source's columns, by their names, are to be read
Reader = Callable[[Source, BinaryIO | None, _Wanted, Choose], Generator[pa.Table]]


def _read_text(source: Source, stream: BinaryIO | None, wanted: _Wanted, choose: Choose) -> Generator[pa.Table]:
    with streams.decompressed(source, stream) as raw:
        file = text_file.opened(source, raw, wanted.how, wanted.notes)
        wanted.found.dialect = file.dialect
        yield from delimited.read(source, file, choose, wanted.notes)


def _read_json_lines(source: Source, stream: BinaryIO | None, wanted: _Wanted, choose: Choose) -> Generator[pa.Table]:
    with streams.decompressed(source, stream) as raw:
        yield from json_lines.read(source, raw, choose, may_be_empty=wanted.keeps_empty)


# How each format is read: it yields a source's rows in tables of the size that the format suggests.
READERS: dict[Format, Reader] = {
    Format.CSV: _read_text,
    Format.TSV: _read_text,
    Format.JSONL: _read_json_lines,
    Format.PARQUET: lambda source, stream, wanted, choose: columnar.read_parquet(
        source, stream, wanted.batch_rows, choose, where=wanted.where, gaps=wanted.gaps
    ),
    Format.ARROW: lambda source, stream, _, choose: columnar.read_arrow(source, stream, choose),
}


def _origins(name: str, before: int, n_rows: int, gaps: Sequence[tuple[int, int]]) -> tuple[tuple[int, str, int], ...]:
    """Return which rows of their source these are, of which `before` were read earlier."""
    starts = [before, *dict.fromkeys(at for at, _ in gaps if before < at < before + n_rows)]
    return tuple((at - before, name, at + 1 + sum(size for gap, size in gaps if gap <= at)) for at in starts)


def _chosen(
    source: Source, columns: frozenset[str] | None, of_folders: frozenset[str], names: Sequence[str]
) -> list[str]:
    """Return those of a source's names that are to be read, in its order, and those that folders hold, too."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"{source.name} names the column '{name}' twice", "rename or remove one of them")
        seen.add(name)
    wanted = seen if not columns or columns - seen else columns
    return [name for name in names if name in wanted or name in of_folders]


def _rebatched(tables: Iterator[pa.Table], wanted: _Wanted, name: str) -> Iterator[pa.Table]:
    """Yield tables of exactly as many rows as are wanted at once, then one with what is left."""
    held: list[pa.Table] = []
    rows, batch_rows, is_empty = 0, wanted.batch_rows, True
    for table in tables:
        held.append(table)
        rows += table.num_rows
        if rows >= batch_rows:
            joined = concatenated(held, [name] * len(held))
            for start in range(0, rows - batch_rows + 1, batch_rows):
                yield joined.slice(start, batch_rows)
            held = [joined.slice(rows - rows % batch_rows)]
            rows %= batch_rows
            is_empty = False
    if rows or (is_empty and held and wanted.keeps_empty):
        yield concatenated(held, [name] * len(held))


def _not_decoded(source: Source, dialect: Dialect) -> DataError:
    if source.format is not Format.JSONL and dialect.encoding is not None:
        return DataError(
            f"{source.name} is not {shown(dialect.encoding)} text throughout",
            "name its encoding with --encoding, or convert it, for example with: iconv -f LATIN1 -t UTF-8 OLD > NEW",
        )
    return DataError(
        f"{source.name} is not UTF-8 text", "convert it, for example with: iconv -f LATIN1 -t UTF-8 OLD > NEW"
    )


def _unreadable(source: Source, error: Exception, dialect: Dialect) -> DataError:
    text = " ".join(str(error).split())
    if isinstance(error, UnicodeError) or "UTF8" in text or "UTF-8" in text:
        return _not_decoded(source, dialect)
    if source.path is not None and not isinstance(source.path, Path):
        known = store_errors.recognised(error, source.path.store)
        if known is not None:
            return DataError(f"{source.name} cannot be read ({known[0]})", known[1])
    if isinstance(error, FileNotFoundError):
        return DataError(f"the file {source.name} is not there any more", "see what removes it, and run again")
    if isinstance(error, PermissionError):
        return DataError(f"{source.name} may not be read", "check its permissions")
    return DataError(
        f"{source.name} cannot be read ({text:.160})", "check that the file is complete and of this format"
    )


def _without_rows(sources: Sequence[Source]) -> DataError:
    first, others = sources[0].name, len(sources) - 1
    if others:
        return DataError(
            f"{first} and {others:,} other input{'s' * (others > 1)} have no rows", "give a file with at least one row"
        )
    return DataError(f"{first} has a header but no rows", "give a file with at least one row")
