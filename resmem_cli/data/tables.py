"""Tables in: any supported file, or standard input, as batches of bounded size.

Nothing here knows a schema. CSV columns arrive as text, so that a value passes through exactly as it
was written and a wrong one can be named with its row; typed formats arrive typed.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.json
import pyarrow.parquet

from resmem_cli.data.rows import Rows, concatenate
from resmem_cli.data.sources import Format, Source
from resmem_cli.errors import DataError

BATCH_ROWS = 65_536
_CSV_BLOCK_BYTES = 4 << 20
_JSON_BLOCK_BYTES = 8 << 20
_HEADER_BYTES = 16 << 20  # far more than any header has: past it, a quote was left open
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_RAGGED = re.compile(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+): (.*)", re.DOTALL)
_MAGIC = {
    b"PAR1": (Format.PARQUET, None),
    b"ARRO": (Format.ARROW, None),
    b"\xff\xff\xff\xff": (Format.ARROW, None),
    b"\x1f\x8b": (Format.CSV, "gzip"),
    b"\x28\xb5\x2f\xfd": (Format.CSV, "zstd"),
    b'{"': (Format.JSONL, None),
}


def use_threads(count: int) -> None:
    """Let Arrow compute with `count` threads."""
    pa.set_cpu_count(count)


def read(
    sources: Sequence[Source],
    *,
    batch_rows: int = BATCH_ROWS,
    delimiter: str | None = None,
    columns: frozenset[str] | None = None,
) -> Iterator[Rows]:
    """Yield the rows of all sources in order, in batches of `batch_rows` (the last of each source is shorter).

    Only `columns` are read if given; one that a source lacks is left out without a word.

    Raises:
        DataError: a source is missing, empty, damaged, ragged, not UTF-8, or names a column twice.
    """
    for source in sources:
        total = 0
        try:
            with _opened(source) as (known, stream):
                batches = _batches(known, stream, batch_rows, delimiter, columns)
                with closing(batches):
                    for table in _rebatch(batches, batch_rows):
                        yield Rows(table, ((0, source.name, total + 1),), is_text=_is_text(known))
                        total += table.num_rows
        except (pa.ArrowException, OSError, EOFError) as error:
            raise _unreadable(source, error) from error
        if total == 0:
            raise _without_rows(source)


def read_all(sources: Sequence[Source], *, delimiter: str | None = None) -> list[Rows]:
    """Return the whole of every source, text sources first joined into one.

    Raises:
        DataError: as `read`; or sources with different columns.
    """
    wholes = [concatenate(list(read([source], delimiter=delimiter, batch_rows=1 << 20))) for source in sources]
    for other in wholes[1:]:
        odd = sorted(set(other.table.column_names) ^ set(wholes[0].table.column_names))
        if odd:
            raise DataError(
                f"{other.source} and {wholes[0].source} differ in the column{'s' * (len(odd) > 1)} {_listed(odd)}",
                "give files of the same columns",
            )
    texts = [whole for whole in wholes if whole.is_text]
    typed = [whole for whole in wholes if not whole.is_text]
    return ([concatenate(texts)] if texts else []) + typed


def _is_text(source: Source) -> bool:
    return source.format is not None and source.format.is_text


@contextmanager
def _opened(source: Source) -> Iterator[tuple[Source, BinaryIO | None]]:
    """Give the source with its format known and, if it cannot be opened again (a pipe), its stream."""
    if source.path is None:
        yield _sniffed(source, sys.stdin.buffer)
    elif source.path.is_file():
        yield source, None
    else:
        with open(source.path, "rb") as pipe:
            yield _sniffed(source, pipe)


def _sniffed(source: Source, stream: BinaryIO) -> tuple[Source, BinaryIO]:
    head = _read_exactly(stream, 4)
    form, compression = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), (Format.CSV, None))
    whole = cast(BinaryIO, io.BufferedReader(_Prefixed(head, stream), 1 << 20))
    return replace(source, format=source.format or form, compression=compression), whole


def _batches(
    source: Source, stream: Any, batch_rows: int, delimiter: str | None, columns: frozenset[str] | None
) -> Generator[pa.Table]:
    form, compression = source.format, source.compression
    if form is Format.PARQUET:
        yield from _parquet(source, stream, batch_rows, columns)
    elif form is Format.ARROW:
        yield from _arrow(source, stream, columns)
    else:
        stream = pa.PythonFile(stream, mode="r") if stream is not None else pa.OSFile(str(source.path))
        with stream if compression is None else pa.CompressedInputStream(stream, compression) as raw:
            if form is Format.JSONL:
                yield from _jsonl(source, raw, columns)
            else:
                separator = delimiter or ("\t" if form is Format.TSV else ",")
                yield from _csv(source, raw, separator, columns)


def _parquet(source: Source, stream: Any, batch_rows: int, columns: frozenset[str] | None) -> Iterator[pa.Table]:
    # A Parquet file is read from its end: standard input has to be held whole.
    whole = pa.BufferReader(stream.read()) if stream is not None else str(source.path)
    with pyarrow.parquet.ParquetFile(whole, pre_buffer=False) as file:
        names = _distinct(source, file.schema_arrow.names)
        chosen = None if columns is None else _chosen(names, columns)
        for batch in file.iter_batches(batch_size=batch_rows, columns=chosen):
            yield pa.Table.from_batches([batch])


def _arrow(source: Source, stream: Any, columns: frozenset[str] | None) -> Iterator[pa.Table]:
    # Both Arrow layouts are accepted, as files and on standard input: the random-access one needs a seek.
    whole = pa.BufferReader(stream.read()) if stream is not None else pa.memory_map(str(source.path))
    with whole:
        if whole.size() == 0:
            raise DataError(f"{source.name} is empty", "give a table with at least one row")
        if whole.read(6) == b"ARROW1":
            file = pyarrow.ipc.open_file(whole)
            batches = (file.get_batch(i) for i in range(file.num_record_batches))
        else:
            whole.seek(0)
            batches = iter(pyarrow.ipc.open_stream(whole))
        for batch in batches:
            table = pa.Table.from_batches([batch])
            yield table.select(_chosen(_distinct(source, table.column_names), columns))


def _csv(source: Source, raw: Any, separator: str, columns: frozenset[str] | None) -> Iterator[pa.Table]:
    head, names = _csv_header(source, raw, separator)
    stream = _Prefixed(head, raw)
    chosen = _chosen(names, columns)
    rows, last = 0, None
    try:
        reader = pyarrow.csv.open_csv(
            pa.PythonFile(io.BufferedReader(stream, _CSV_BLOCK_BYTES), mode="r"),
            # One thread, because only then does the parser know the number of a ragged row.
            read_options=pyarrow.csv.ReadOptions(block_size=_CSV_BLOCK_BYTES, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=chosen,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
        for batch in reader:
            yield pa.Table.from_batches([batch])
            rows += batch.num_rows
            last = batch.column(batch.num_columns - 1)[-1].as_py() if batch.num_rows else last
    except pa.ArrowInvalid as error:
        ragged = _RAGGED.search(str(error))
        if not ragged:
            raise
        number, expected, actual, text = ragged.groups()
        where = f", row {int(number) - 1:,}" if number else ""
        raise DataError(
            f"{source.name}{where} has {actual} value{'s' * (actual != '1')} where the header has {expected} "
            f"column{'s' * (expected != '1')} ('{_shortened(' '.join(text.split()))}')",
            "correct the line, or name the separator with --delimiter",
        ) from None
    # Arrow takes a quote that is never closed for a value that runs to the end of the file.
    end = stream.tail.strip()
    if chosen[-1] == names[-1] and last and ("\n" in last or "\r" in last) and end and not end.endswith(b'"'):
        raise DataError(f"{source.name}, row {rows:,} opens a quote that is never closed", "close it, or remove it")


def _csv_header(source: Source, raw: Any, separator: str) -> tuple[bytes, list[str]]:
    """Return the bytes read so far (at least the whole header) and the header's names."""
    head, text, names = b"", "", list[str]()
    while len(head) < _HEADER_BYTES and (chunk := raw.read(max(1 << 16, len(head)))):
        head += chunk
        try:  # a chunk may end in the middle of a character: the decoder keeps that for the next one
            text = codecs.getincrementaldecoder("utf-8")().decode(head.removeprefix(_BYTE_ORDER_MARK))
        except UnicodeDecodeError:
            raise _not_utf8(source) from None
        lines = io.StringIO(text.lstrip("\r\n"), newline="")
        names = _first_record(lines, separator)
        if names and lines.read(1):  # a next line has begun, so the header is whole
            break
    else:
        if text.count('"') % 2 or len(head) >= _HEADER_BYTES:
            raise DataError(f"the header of {source.name} opens a quote that is never closed", "close it, or remove it")
    if not text.strip():
        raise DataError(f"{source.name} is empty", "give a table with a header and at least one row")
    if any("\0" in name for name in names):
        raise _not_utf8(source)
    return head, _distinct(source, names)


def _first_record(lines: io.StringIO, separator: str) -> list[str]:
    try:
        return next(csv.reader(lines, delimiter=separator), [])
    except csv.Error:  # a value longer than any name is
        return []


def _jsonl(source: Source, raw: Any, columns: frozenset[str] | None) -> Iterator[pa.Table]:
    rest, row, schema = b"", 0, None
    while True:
        chunk = raw.read(_JSON_BLOCK_BYTES)
        block, newline, tail = (rest + chunk).rpartition(b"\n") if chunk else (rest, b"", b"")
        if chunk and not newline:
            rest += chunk
            continue
        rest = tail
        if block.strip():
            table, schema = _json_block(source, block, row, schema)
            row += table.num_rows
            yield table.select(_chosen(table.column_names, columns))
        if not chunk:
            break
    if schema is None:
        raise DataError(f"{source.name} is empty", "give at least one line of JSON")


def _json_block(source: Source, block: bytes, rows_before: int, schema: pa.Schema | None) -> tuple[pa.Table, pa.Schema]:
    """Return a block of lines as a table, and the schema that it and the blocks before it share."""
    try:
        codecs.utf_8_decode(block)  # Arrow would take other bytes as they are
    except UnicodeDecodeError:
        raise _not_utf8(source) from None
    # The types so far are given only where a block does not fit them: so that text which looks like dates in one
    # block stays text, and the first line that breaks them is named.
    known = None if schema is None else pa.schema([field for field in schema if not pa.types.is_null(field.type)])
    what = ""
    for types in (None, known):
        try:
            table = _json_table(block, types)
            unified = pa.unify_schemas([schema or table.schema, table.schema], promote_options="permissive")
            return table, unified
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            what = str(error)
    reason, _, row = what.rpartition(" in row ")
    where = f", row {rows_before + int(row) + 1:,}" if row.isdigit() else ""
    raise DataError(
        f"{source.name}{where} is not a line of JSON like those before it ({reason or what})",
        "write one object a line, each column of one type",
    )


def _json_table(block: bytes, schema: pa.Schema | None = None) -> pa.Table:
    return pyarrow.json.read_json(
        pa.BufferReader(block),
        read_options=pyarrow.json.ReadOptions(block_size=len(block) + 1, use_threads=False),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=schema),
    )


def _chosen(names: Sequence[str], columns: frozenset[str] | None) -> list[str]:
    """Return the names to read: those in `columns`, or all if it holds none of them, so that rows can be counted."""
    return [name for name in names if columns is not None and name in columns] or list(names)


def _rebatch(tables: Iterator[pa.Table], batch_rows: int) -> Iterator[pa.Table]:
    """Yield tables of exactly `batch_rows` rows, then one with what is left."""
    held: list[pa.Table] = []
    rows = 0
    for table in tables:
        held.append(table)
        rows += table.num_rows
        if rows >= batch_rows:
            whole = pa.concat_tables(held, promote_options="permissive")
            for start in range(0, rows - batch_rows + 1, batch_rows):
                yield whole.slice(start, batch_rows)
            held = [whole.slice(rows - rows % batch_rows)]
            rows %= batch_rows
    if rows:
        yield pa.concat_tables(held, promote_options="permissive")


def _distinct(source: Source, names: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"{source.name} names the column '{name}' twice", "rename or remove one of them")
        seen.add(name)
    return list(names)


def _unreadable(source: Source, error: Exception) -> DataError:
    text = " ".join(str(error).split())
    if "UTF8" in text or "UTF-8" in text:
        return _not_utf8(source)
    if "Empty CSV" in text:
        return _without_rows(source)
    if isinstance(error, PermissionError):
        return DataError(f"{source.name} may not be read", "check its permissions")
    return DataError(
        f"{source.name} cannot be read ({_shortened(text, 160)})", "check that the file is whole and of the format"
    )


def _without_rows(source: Source) -> DataError:
    return DataError(f"{source.name} has a header but no rows", "give a file with at least one row")


def _not_utf8(source: Source) -> DataError:
    return DataError(
        f"{source.name} is not UTF-8 text", "convert it, for example with: iconv -f LATIN1 -t UTF-8 OLD > NEW"
    )


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    head = b""
    while len(head) < size and (chunk := stream.read(size - len(head))):
        head += chunk
    return head


def _shortened(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


class _Prefixed(io.RawIOBase):
    """A stream that gives back bytes already read from it, then the rest of it, and knows its last ones."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head = memoryview(head)
        self._rest = rest
        self.tail = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head[: len(buffer)] if len(self._head) else self._rest.read(len(buffer))
        self._head = self._head[len(data) :]
        buffer[: len(data)] = data
        self.tail = (self.tail + bytes(data[-64:]))[-64:]
        return len(data)
