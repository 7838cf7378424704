"""Quotes in text tables: which of them hold a value together, and which one was left open and swallows rows.

In CSV a field that begins with a quote runs to the next quote that is not doubled, over separators and line ends. What
that makes of a quote that was not meant so is refused, or noted: rows would vanish. TSV has a module of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

QUOTE = b'"'
FIELD = re.compile(rb'"(?:[^"]++|"")*+("?)')
_LINE_END = re.compile(rb"[\r\n]")
# Lines that are rows by themselves are no text, if together they have this many separators at the right places.
_ROWS_FOR_SURE = 3
_SEPARATORS_FOR_SURE = 6
_MANY_LINES = 20  # a value with more is noted, whatever it holds


@dataclass(frozen=True)
class Finding:
    """What is odd about a quote.

    Attributes:
        record: where the row begins that holds it.
        message, hint: as of an error, without the row.
        looks_like_rows: whether the lines that the quote holds together are rows by themselves.
    """

    record: int
    message: str
    hint: str
    looks_like_rows: bool = False


@dataclass(frozen=True)
class Scanned:
    """A block of text whose quotes have been checked.

    Attributes:
        text: its complete rows, in which every quote means what it means in CSV.
        rest: the row at its end whose quote is not closed yet.
        error: the first quote that cannot be right, if there is one.
        suspect: the first quote that is odd but may be right, if there is one.
    """

    text: bytes
    rest: bytes = b""
    error: Finding | None = None
    suspect: Finding | None = None


class Quotes:
    """Checks the quotes of tables with one separator and one number of columns."""

    def __init__(self, separator: str, n_columns: int, within: bytes = rb"\r\n") -> None:
        """Pass over quoted values that are as they should be and hold none of the characters `within`."""
        self._separator = separator.encode()
        self._n_columns = n_columns
        ends = re.escape(self._separator) + rb"\r\n"
        # Such fields, and quotes within a field that does not begin with one.
        plain = rb'[^"]*+(?:(?:(?<![^E])"[^"I]*+(?:""[^"I]*+)*+"(?=[E]|\Z)|(?<=[^E])")[^"]*+)*+'
        self._plain = re.compile(plain.replace(b"I", within).replace(b"E", ends))
        self._quoted = re.compile(rb'(?<![^E])"(?:[^"]|"")*+"(?=[E]|\Z)'.replace(b"E", ends))
        self._end = re.compile(rb"[E]".replace(b"E", ends))

    def are_pairs(self, block: bytes) -> bool:
        """Whether every quote begins a field or ends one, in turn: then those within one line need no check."""
        data = np.frombuffer(block, np.uint8)
        at = np.flatnonzero(data == ord(QUOTE))
        if len(at) % 2:
            return False
        first, last = int(at[0] == 0), int(at[-1] == len(data) - 1)  # what has nothing before it, or behind it
        before, after = data[at[2 * first :: 2] - 1], data[at[1 : len(at) - last : 2] + 1]
        return self._are_ends(before) and self._are_ends(after)

    def scan(self, block: bytes, *, is_last: bool) -> Scanned:
        """Look at a block that begins with a row and ends with a line, and with the file if it `is_last`."""
        suspect: Finding | None = None
        position = record = 0
        while (at := self._next(block, position)) < len(block):
            record = last_line(block, position, at, record)
            found = FIELD.match(block, at)
            end = found.end() if found else at
            if found and found[1]:
                finding, is_wrong = self._judged(block, record, at, end)
                if is_wrong:
                    return Scanned(b"", error=finding)
                suspect, position = suspect or finding, end
            elif is_last:
                never = Finding(record, "opens a quote that is never closed", "close it, or remove it")
                return Scanned(b"", error=never)
            else:
                return Scanned(block[:record], block[record:], suspect=suspect)
        return Scanned(block, suspect=suspect)

    def n_fields(self, line: bytes) -> int:
        """Return how many values a line has if it is a row by itself."""
        return self._quoted.sub(b"", line).count(self._separator) + 1

    def _next(self, block: bytes, start: int) -> int:
        """Return where the next quote is that needs a look, from a place outside of quotes."""
        plain = self._plain.match(block, start)  # at least nothing is
        return plain.end() if plain else start

    def _judged(self, block: bytes, record: int, at: int, end: int) -> tuple[Finding | None, bool]:
        """Return what is odd about the quotes from `at` to `end`, and whether it cannot be right."""
        n_lines = len(block[at:end].splitlines())
        shown = _shown(block[at:])
        after = block[end : self._field_end(block, end)]
        if after.strip() or (after and n_lines > 1):
            further = f" {n_lines - 1:,} line{'s' * (n_lines > 2)} further down" if n_lines > 1 else ""
            return Finding(
                record,
                f"closes a quote in the middle of a value{further} ('{shown}')",
                "close each quote at the end of its value, and write one within a quoted value twice",
            ), True
        are_rows = n_lines > 1 and self._are_rows(block, record, end)
        if are_rows and n_lines >= _ROWS_FOR_SURE and n_lines * (self._n_columns - 1) >= _SEPARATORS_FOR_SURE:
            return Finding(
                record,
                f"opens a quote that holds {n_lines:,} lines together, each of which is a row by itself ('{shown}')",
                "close the quote or remove it, or give such a table as Parquet or JSON lines",
                looks_like_rows=True,
            ), True
        if are_rows or n_lines > _MANY_LINES:
            what = f"a quoted value spans {n_lines:,} lines ('{shown}')"
            return Finding(record, what, "if these are rows, a quote is not closed", looks_like_rows=are_rows), False
        return None, False

    def _are_rows(self, block: bytes, record: int, end: int) -> bool:
        """Whether every line from `record` to that of `end` has as many values as the header has columns."""
        lines = block[record : line_end(block, end)].splitlines()
        return self._n_columns > 1 and all(self.n_fields(line) == self._n_columns for line in lines if line)

    def _are_ends(self, characters: NDArray[np.uint8]) -> bool:
        is_line_end = (characters == ord("\n")) | (characters == ord("\r"))
        return bool((is_line_end | (characters == ord(self._separator))).all())

    def _field_end(self, block: bytes, at: int) -> int:
        found = self._end.search(block, at)
        return found.start() if found else len(block)


def line_end(block: bytes, at: int) -> int:
    """Return where the line ends that holds a place."""
    found = _LINE_END.search(block, at)
    return found.start() if found else len(block)


def last_line(block: bytes, start: int, end: int, before: int) -> int:
    """Return where the last line begins between two places that no quoted value crosses; `before` if none does."""
    return max(block.rfind(b"\n", start, end), block.rfind(b"\r", start, end), before - 1) + 1


def _shown(text: bytes) -> str:
    words = " ".join(text[:240].decode(errors="replace").split())
    return words if len(words) <= 60 else words[:59] + "…"
