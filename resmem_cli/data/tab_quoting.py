"""Quotes in TSV, which many programs write without knowing any: `20"` and `"20 inch` are values, and a line is a row.

A value is quoted only if it begins and ends with a quote, and other quotes in it are doubled; with tabs in it only if
the row has the right number of values so; with line ends in it only if moreover the lines are not all rows by
themselves. Every other quote is a character like any other.
"""

from __future__ import annotations

import re

from resmem_cli.data.quoting import FIELD, QUOTE, Quotes, Scanned, last_line, line_end

TAB = "\t"
_ROW_BYTES = 1 << 20  # what a row of several lines may hold: past it, the quote that begins it is a character
_LITERAL = re.compile(rb"[^\t]*")
_ON_ONE_LINE = re.compile(rb'"(?:[^"]|"")*+"(?=\t|\Z)')
_WITHOUT_TABS = re.compile(rb'"(?:[^"\t]|"")*+"(?=\t|\Z)')


class TabQuotes(Quotes):
    """Gives the quotes of TSV the meaning that they have in CSV."""

    def __init__(self, n_columns: int) -> None:
        super().__init__(TAB, n_columns, within=rb"\t\r\n")

    def scan(self, block: bytes, *, is_last: bool) -> Scanned:
        """Double each quote that is a character, and quote its value; nothing is ever wrong."""
        pieces: list[bytes] = []
        position = record = copied = 0
        while (at := self._next(block, position)) < len(block):
            record = last_line(block, position, at, record)
            row_end, is_open = self._row_end(block, record)
            if is_open and not is_last and len(block) - record <= _ROW_BYTES:
                return Scanned(b"".join([*pieces, block[copied:record]]), block[record:])
            if row_end is not None and self._is_row(block, record, row_end):
                position = row_end
            else:
                position = line_end(block, record)
                pieces += [block[copied:record], self._quoted_anew(block[record:position])]
                copied = position
        return Scanned(b"".join([*pieces, block[copied:]]))

    def changes(self, row: bytes) -> bool:
        """Whether a quote in a row does not mean what it means in CSV."""
        return QUOTE in row and self.scan(row, is_last=True).text != row

    def _row_end(self, block: bytes, record: int) -> tuple[int | None, bool]:
        """Return where a row ends if its quotes are those of CSV, or None; and whether one is still open."""
        at = record
        while True:
            if block.startswith(QUOTE, at):
                found = FIELD.match(block, at)
                if not (found and found[1]):
                    return None, True
                at = found.end()
                if at != self._field_end(block, at):
                    return None, False
            else:
                at = self._field_end(block, at)
            if not block.startswith(self._separator, at):
                return at, False
            at += 1

    def _is_row(self, block: bytes, record: int, end: int) -> bool:
        """Whether the lines from `record` to `end` are more likely one row with quotes than rows without."""
        row = block[record:end]
        is_right = self.n_fields(row) == self._n_columns
        if line_end(block, record) < end:
            return is_right and len(row) <= _ROW_BYTES and not self._are_rows(block, record, end)
        return is_right or row.count(self._separator) + 1 != self._n_columns

    def _quoted_anew(self, line: bytes) -> bytes:
        """Return a line that is a row with its values quoted as CSV would."""
        pattern = _ON_ONE_LINE if self.n_fields(line) == self._n_columns else _WITHOUT_TABS
        fields, at = [], 0
        while at <= len(line):
            found = pattern.match(line, at) or _LITERAL.match(line, at)
            end = found.end() if found else at
            field = line[at:end]
            is_literal = field.startswith(QUOTE) and not pattern.fullmatch(field)
            fields.append(QUOTE + field.replace(QUOTE, b'""') + QUOTE if is_literal else field)
            at = end + 1
        return self._separator.join(fields)


def quotes_of(separator: str, n_columns: int) -> Quotes:
    """Return what quotes mean in a table with this separator."""
    return TabQuotes(n_columns) if separator == TAB else Quotes(separator, n_columns)
