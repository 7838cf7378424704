"""CSV and TSV: every value arrives as text, exactly as it was written, and goes out the same way."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from resmem_cli.data import kinds
from resmem_cli.data.sources import Format, Source
from resmem_cli.data.streams import Prefixed
from resmem_cli.errors import DataError

SEPARATORS = {Format.CSV: ",", Format.TSV: "\t"}
_BLOCK_BYTES = 4 << 20
_HEADER_BYTES = 16 << 20  # far more than any header has: past it, a quote was left open
_LINES_AT_ONCE = 32_768  # far below the 2 GiB that one Arrow text array holds
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_RAGGED = re.compile(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+): (.*)", re.DOTALL)
_CLOSE_QUOTE = "close it, or remove it"


def read(source: Source, raw: Any, separator: str, choose: Callable[[Sequence[str]], list[str]]) -> Iterator[pa.Table]:
    """Yield the rows of a text table, of those columns that `choose` picks from the header's; empty is missing.

    Raises:
        DataError: there is no header, a line has more or fewer values than it, or a quote is never closed.
        UnicodeError: it is not UTF-8.
    """
    head, names = _header(source, raw, separator)
    chosen = choose(names)
    stream = Prefixed(head, raw)
    rows, last = 0, None
    try:
        for batch in _parsed(stream, separator, chosen):
            yield pa.Table.from_batches([batch])
            rows += batch.num_rows
            last = batch.column(batch.num_columns - 1)[-1].as_py() if batch.num_rows else last
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):  # a header without rows, and without the end of its line
            return
        ragged = _RAGGED.search(str(error))
        raise (_ragged(source, ragged) if ragged else error) from None
    # Arrow takes a quote that is never closed for a value that runs to the end of the file.
    end = stream.tail.strip()
    if chosen[-1] == names[-1] and last and ("\n" in last or "\r" in last) and end and not end.endswith(b'"'):
        raise DataError(f"{source.name}, row {rows:,} opens a quote that is never closed", _CLOSE_QUOTE)


def _parsed(stream: Prefixed, separator: str, names: Sequence[str]) -> Any:
    return pyarrow.csv.open_csv(
        pa.PythonFile(io.BufferedReader(stream, _BLOCK_BYTES), mode="r"),
        # One thread, because only then does the parser know the number of a ragged row.
        read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=names,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )


def _ragged(source: Source, found: re.Match[str]) -> DataError:
    number, expected, actual, text = found.groups()
    text = " ".join(text.split())
    shown = text if len(text) <= 60 else text[:59] + "…"
    where = f", row {int(number) - 1:,}" if number else ""
    return DataError(
        f"{source.name}{where} has {actual} value{'s' * (actual != '1')} where the header has {expected} "
        f"column{'s' * (expected != '1')} ('{shown}')",
        "correct the line, or name the separator with --delimiter",
    )


def _header(source: Source, raw: Any, separator: str) -> tuple[bytes, list[str]]:
    """Return the bytes read so far (at least the whole header) and the header's names."""
    head, text, names = b"", "", list[str]()
    while len(head) < _HEADER_BYTES and (chunk := raw.read(max(1 << 16, len(head)))):
        head += chunk
        # A chunk may end in the middle of a character: the decoder keeps that for the next one.
        text = codecs.getincrementaldecoder("utf-8")().decode(head.removeprefix(_BYTE_ORDER_MARK))
        lines = io.StringIO(text.lstrip("\r\n"), newline="")
        names = _first_record(lines, separator)
        if names and lines.read(1):  # a next line has begun, so the header is whole
            break
    else:
        if text.count('"') % 2 or len(head) >= _HEADER_BYTES:
            raise DataError(f"the header of {source.name} opens a quote that is never closed", _CLOSE_QUOTE)
    if not text.strip():
        raise DataError(f"{source.name} is empty", "give a table with a header and at least one row")
    if any("\0" in name for name in names):
        raise UnicodeError("a name holds a NUL, as text in UTF-16 does")
    return head, names


def _first_record(lines: io.StringIO, separator: str) -> list[str]:
    try:
        return next(csv.reader(lines, delimiter=separator), [])
    except csv.Error:  # a value longer than any name is
        return []


class Writer:
    """Quotes text only where it must be; the lines are made by Arrow, not by Python."""

    def __init__(self, sink: Any, separator: str) -> None:
        self._sink = sink
        self._separator = separator
        self._special = f'["\r\n{separator}]'
        self._has_header = False

    def write(self, table: pa.Table) -> None:
        if not self._has_header:
            names = self._quoted(pa.array(table.column_names, pa.string())).to_pylist()
            self._sink.write(((self._separator.join(names) or '""') + "\n").encode())
            self._has_header = True
        columns = [self._text(name, table.column(name)) for name in table.column_names]
        if len(columns) == 1:  # an empty line would be no row at all
            columns = [pc.if_else(pc.equal(columns[0], ""), '""', columns[0])]
        for start in range(0, table.num_rows, _LINES_AT_ONCE):
            parts = [column.slice(start, _LINES_AT_ONCE) for column in columns]
            lines = pc.binary_join_element_wise(*parts, self._separator)
            whole = pa.array(lines.to_pylist()) if isinstance(lines, pa.ChunkedArray) else lines
            self._sink.write(_joined(pc.binary_join_element_wise(whole, "", "\n")))

    def close(self) -> None:
        return

    def _text(self, name: str, column: pa.ChunkedArray) -> pa.Array:
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # more than one chunk stays only past 2 GiB of text
            column = pa.concat_arrays(column.chunks)
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        if kinds.kind_of(column.type) is kinds.Kind.VECTOR:
            column = _lists_as_text(column)
        try:
            text = pc.cast(column, pa.string())
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
            raise not_text(name, column.type) from error
        return pc.fill_null(self._quoted(text) if _may_need_quotes(column.type) else text, "")

    def _quoted(self, text: pa.Array) -> pa.Array:
        special = pc.match_substring_regex(text, self._special)
        if not pc.any(special).as_py():
            return text
        quoted = pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', "")
        return pc.if_else(special, quoted, text)


def not_text(name: str, arrow_type: pa.DataType) -> DataError:
    """Return the error for a column that a text format cannot hold."""
    return DataError(
        f"the column '{name}' of type {arrow_type} cannot be written as text",
        "leave it out with --keep, or write Parquet",
    )


def _lists_as_text(column: pa.Array) -> pa.Array:
    """Return lists of numbers as JSON: [1, 2.5]."""
    texts = pc.cast(pc.cast(column, pa.list_(column.type.value_type)), pa.list_(pa.string()))
    return pc.binary_join_element_wise("[", pc.binary_join(texts, ", "), "]", "")


def _may_need_quotes(arrow_type: pa.DataType) -> bool:
    return not (pa.types.is_integer(arrow_type) or pa.types.is_floating(arrow_type) or pa.types.is_boolean(arrow_type))


def _joined(lines: pa.Array) -> memoryview:
    """The text of all elements one after the other: an Arrow text array already holds it so."""
    _, offsets, data = lines.buffers()
    ends = memoryview(offsets).cast("i")
    return memoryview(data)[ends[lines.offset] : ends[lines.offset + len(lines)]]
