"""CSV and TSV: every value arrives as text, exactly as it was written, and goes out the same way."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from resmem_cli.data.quoting import Finding, Quotes
from resmem_cli.data.sources import Source
from resmem_cli.data.streams import MAX_ROW_BYTES, whole_lines
from resmem_cli.data.tab_quoting import TAB, TabQuotes, quotes_of
from resmem_cli.data.text_file import TextFile
from resmem_cli.errors import DataError

_BLOCK_BYTES = 1 << 20
_LOOKED_AT = 1 << 16  # bytes below a header
_BYTES_PER_COLUMN = 1 << 10  # in a block: each costs Arrow as much as some hundred values, whatever it holds there
_FEW_COLUMNS = 1000
_MOST_BLOCK_BYTES = 64 << 20
_HEADER_BYTES = 16 << 20  # far more than any header has: past it, a quote was left open
_RAGGED = re.compile(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+): (.*)", re.DOTALL)
_CLOSE_QUOTE = "close it, or remove it"


def read(
    source: Source, file: TextFile, choose: Callable[[Sequence[str]], list[str]], notes: list[str]
) -> Iterator[pa.Table]:
    """Yield the rows of a text table, of those columns that `choose` picks from the header's; empty is missing.

    What quotes mean in CSV is defined in `quoting`, in TSV in `tab_quoting`. What looks odd, but may be right,
    is added to `notes`.

    Raises:
        DataError: there is no header, a line has more or fewer values than it or is longer than 64 MB, or a quote is
            never closed, or closed where it cannot be meant.
        UnicodeError: it is in another encoding than its beginning.
    """
    separator = file.separator
    first, names = _header(source, file)
    n_nameless = _n_nameless(names, first, separator)
    if n_nameless:
        notes.append(f"{source.name}: {n_nameless:,} column{'s' * (n_nameless > 1)} without a name or a value left out")
    chosen = choose(names[: len(names) - n_nameless])
    parser = _Parser(source, separator, names, chosen, notes, n_nameless=n_nameless)
    rest, has_rows = b"", False
    block_bytes = max(_BLOCK_BYTES, min((len(names) - _FEW_COLUMNS) * _BYTES_PER_COLUMN, _MOST_BLOCK_BYTES))
    for lines, is_last in whole_lines(file.raw, block_bytes, first):
        table, rest = parser.parsed(rest + lines, is_last=is_last)
        has_rows |= table.num_rows > 0
        if table.num_rows or (is_last and not has_rows):  # the names alone
            yield table


def _n_nameless(names: Sequence[str], first: bytes, separator: str) -> int:
    """Return how many columns at the end have no name and, in the first rows, no value: spreadsheets leave such."""
    n_named = len(names)
    while n_named > 1 and not names[n_named - 1]:
        n_named -= 1
    lines = io.StringIO(first[:_LOOKED_AT].decode(errors="replace"), newline="")
    if n_named == len(names):
        return 0
    try:
        are_empty = not any(any(record[n_named:]) for record in csv.reader(lines, delimiter=separator))
    except csv.Error:  # whoever reads the rows says what is wrong with them
        return 0
    return len(names) - n_named if are_empty else 0


class _Parser:
    """Turns blocks of a source's lines into tables, and counts the rows."""

    def __init__(
        self,
        source: Source,
        separator: str,
        names: Sequence[str],
        chosen: Sequence[str],
        notes: list[str],
        *,
        n_nameless: int = 0,
    ) -> None:
        self._source = source
        self._nameless = [f"\0{i}" for i in range(n_nameless)]  # which no name can be
        self._names = [*names[: len(names) - n_nameless], *self._nameless]
        chosen = [*chosen, *self._nameless]
        self._quotes = quotes_of(separator, len(names))
        self._parse_options = pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True)
        self._convert_options = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(chosen, pa.string()),
            include_columns=list(chosen) if len(chosen) < len(names) else None,  # to ask for all takes longer
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        )
        self._n_rows = 0
        self._notes: list[str] | None = notes

    def parsed(self, block: bytes, *, is_last: bool) -> tuple[pa.Table, bytes]:
        """Return the rows of a block, and what is the beginning of the next row if the block ends within quotes."""
        rest = b""
        if len(block) > MAX_ROW_BYTES:
            self._refuse_long(block)
        table = self._without_odd_quotes(block)
        if table is None:
            scanned = self._quotes.scan(block, is_last=is_last)
            if scanned.error is not None:
                raise DataError(f"{self._where(block, scanned.error)} {scanned.error.message}", scanned.error.hint)
            if scanned.suspect is not None and self._notes is not None:
                self._notes.append(
                    f"{self._where(block, scanned.suspect)}: {scanned.suspect.message}; {scanned.suspect.hint}"
                )
                self._notes = None  # the first of a source is enough
            table, rest = self._table(scanned.text, self._n_rows), scanned.rest
            if len(rest) > MAX_ROW_BYTES:
                raise self._too_long(self._n_rows + table.num_rows, "a quote is not closed, or ")
        self._n_rows += table.num_rows
        return self._of_values(table), rest

    def _of_values(self, table: pa.Table) -> pa.Table:
        """Return the rows without the columns that have no name; these may have no value."""
        for name in self._nameless:
            column = table.column(name)
            if column.null_count < table.num_rows:
                before = self._n_rows - table.num_rows
                row = before + pc.index(pc.is_valid(column), True).as_py() + 1
                raise DataError(
                    f"{self._source.name}, row {row:,} has a value in a column without a name",
                    "name the column in the header, or remove the value",
                )
        return table.drop_columns(self._nameless) if self._nameless else table

    def _without_odd_quotes(self, block: bytes) -> pa.Table | None:
        """Return the rows of a block without quotes that could mean anything but what Arrow takes them for, or None."""
        if b'"' not in block:
            return self._table(block, self._n_rows)
        if not self._quotes.are_pairs(block):
            return None
        try:
            table = self._table(block, self._n_rows)
        except DataError:  # a line that is ragged because a quote has swallowed its end
            return None
        # Where every line is a row, no value has swallowed one.
        n_lines = int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n"))) + (not block.endswith(b"\n"))
        return table if table.num_rows == n_lines else None

    def _table(self, block: bytes, rows_before: int) -> pa.Table:
        """Return the rows of a block; a ragged one is refused with its number."""
        if not block:  # which Arrow refuses
            block = b"\n"
        try:
            return pyarrow.csv.read_csv(
                pa.BufferReader(block),
                # One thread, because only then does the parser know the number of a ragged row.
                pyarrow.csv.ReadOptions(block_size=len(block) + 1, use_threads=False, column_names=self._names),
                self._parse_options,
                self._convert_options,
            )
        except pa.ArrowInvalid as error:
            ragged = _RAGGED.search(str(error))
            raise (_ragged(self._source, ragged, rows_before) if ragged else error) from None

    def _where(self, block: bytes, finding: Finding) -> str:
        before = self._quotes.scan(block[: finding.record], is_last=True)
        return f"{self._source.name}, row {self._n_rows + self._table(before.text, self._n_rows).num_rows + 1:,}"

    def _refuse_long(self, block: bytes) -> None:
        at = 0
        for line in block.splitlines(keepends=True):
            if len(line) > MAX_ROW_BYTES:
                raise self._too_long(self._n_rows + self._table(block[:at], self._n_rows).num_rows)
            at += len(line)

    def _too_long(self, n_rows: int, why: str = "") -> DataError:
        return DataError(
            f"{self._source.name}, row {n_rows + 1:,} is longer than {MAX_ROW_BYTES >> 20} MB",
            f"{why}the file is not a text table: correct it, or give such rows as Parquet",
        )


def _ragged(source: Source, found: re.Match[str], rows_before: int) -> DataError:
    number, expected, actual, text = found.groups()
    text = " ".join(text.split())
    shown = text if len(text) <= 60 else text[:59] + "…"
    where = f", row {rows_before + int(number):,}" if number else ""
    return DataError(
        f"{source.name}{where} has {actual} value{'s' * (actual != '1')} where the header has {expected} "
        f"column{'s' * (expected != '1')} ('{shown}')",
        "correct the line, or set the separator with --delimiter",
    )


def _header(source: Source, file: TextFile) -> tuple[bytes, list[str]]:
    """Return the header's names, and before them the bytes that have been read past it."""
    head, text, names, end, separator = b"", "", list[str](), 0, file.separator
    chunk = file.head or file.raw.read(1 << 16)
    while len(head) < _HEADER_BYTES and chunk:
        head += chunk
        # A chunk may end in the middle of a character: the decoder keeps that for the next one.
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
        names, end = _first_record(text, separator)
        if names and end < len(text):  # a next line has begun, so the header is complete
            break
        chunk = file.raw.read(max(1 << 16, len(head)))
    else:
        is_open = separator != TAB and text.count('"') % 2
        if is_open or len(head) >= _HEADER_BYTES:
            raise DataError(f"the header of {source.name} opens a quote that is never closed", _CLOSE_QUOTE)
    if not text.strip():
        raise DataError(f"{source.name} is empty", "give a table with a header and at least one row")
    if any("\0" in name for name in names):
        raise UnicodeError("a name holds a NUL, as text in UTF-16 does")
    record = text[:end].lstrip("\r\n").encode()
    if separator != TAB:
        _refuse_spanning_quote(source, record, Quotes(separator, len(names)))
    return head[len(text[:end].encode()) :], names


def _refuse_spanning_quote(source: Source, record: bytes, quotes: Quotes) -> None:
    scanned = quotes.scan(record, is_last=True)
    found = scanned.error or scanned.suspect
    if found is not None and (scanned.error or found.looks_like_rows):
        what = found.message if scanned.error else f"opens a quote that spans rows: {found.message}"
        raise DataError(f"the header of {source.name} {what}", found.hint if scanned.error else _CLOSE_QUOTE)


def _first_record(text: str, separator: str) -> tuple[list[str], int]:
    """Return the names of the first row, and where it ends."""
    body = text.lstrip("\r\n")
    start = len(text) - len(body)
    names, length = _split(body, separator)
    if separator == TAB and TabQuotes(len(names)).changes(body[:length].encode()):
        line = next(io.StringIO(body, newline=""), "")
        names, _ = _split(TabQuotes(0).scan(line.encode(), is_last=True).text.decode(), separator)
        length = len(line)
    return names, start + length


def _split(text: str, separator: str) -> tuple[list[str], int]:
    """Return the values of the first row, and its length."""
    lines = io.StringIO(text, newline="")
    try:
        return next(csv.reader(lines, delimiter=separator), []), lines.tell()
    except csv.Error:  # a value longer than any name is
        return [], len(text)
