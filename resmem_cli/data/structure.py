"""How a text table is laid out, from its first lines: its delimiter, and which lines stand above its header."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from resmem_cli.data.tab_quoting import TAB

DELIMITERS = (",", ";", TAB, "|")
_MOST_RECORDS = 500  # that are looked at
_MOST_ABOVE = 40  # lines above a header
_CONSISTENT = 0.9  # share of the records below the header that have as many values as most
# With a delimiter that is not the expected one: where that fits none, and where it fits, too.
_LEAST_RECORDS = (2, 3)
_LEAST_BELOW = 3  # records from the header on, if lines above it are to be left out
_NUMBER = re.compile(r"[\s(+\-\u2212$€£¥%]*[0-9][0-9.,'\u2019\s/:\-TZ]*[%$€£¥)\s\-\u2212]*")


@dataclass(frozen=True)
class Structure:
    """How a table is laid out.

    Attributes:
        separator: between values.
        n_above: how many lines stand above the header.
        n_fields: how many values most records have.
        score: the share of values that hold no other delimiter, unless it is a mark in a number.
    """

    separator: str
    n_above: int = 0
    n_fields: int = 1
    score: float = 1.0


def found(text: str, *, is_whole: bool, expected: str, delimiter: str | None, n_above: int | None) -> Structure:
    """Return how the table is laid out that begins with a text.

    Args:
        text: the beginning of the file.
        is_whole: whether that is the file.
        expected: the delimiter that it has if nothing speaks for another one.
        delimiter: its delimiter, if that is known.
        n_above: how many lines are above its header, if that is known.
    """
    lines = io.StringIO(text, newline="").readlines()
    if not is_whole and len(lines) > 1:
        lines = lines[:-1]
    lines = lines[n_above or 0 :]
    # What does not occur delimits nothing: of a plain file the lines are taken apart once.
    present = [each for each in DELIMITERS if each in text]
    ways = [delimiter] if delimiter is not None else dict.fromkeys((expected, *present))
    first, *others = ways
    usual = _of(lines, first, known=n_above)
    if first == TAB and n_values(text, TAB) > 1:  # whose quotes may mean nothing, so that records are hard to count
        return usual or Structure(TAB, n_above or 0)
    least = _LEAST_RECORDS[usual is not None]
    tried = [way for each in others if (way := _of(lines, each, known=n_above, least=least)) is not None]
    tried = [usual, *tried] if usual is not None else tried
    if not tried:
        return Structure(first, n_above or 0)
    # Of equally good ones the first, which is the expected one.
    return max(tried, key=lambda each: (each.n_above == (n_above or 0), round(each.score, 2)))


def n_values(text: str, separator: str) -> int:
    """Return how many values the first line that is not blank has."""
    records, _ = _records(io.StringIO(text, newline="").readlines()[:_MOST_ABOVE], separator)
    return next((len(record) for record in records if any(record)), 0)


def _of(lines: Sequence[str], separator: str, known: int | None, least: int = 1) -> Structure | None:
    """Return the layout with a delimiter; None if not nearly all records, or too few, have as many values, two or more.

    A delimiter that is not the expected one (`least` is more than 1) makes several names of the header.
    """
    records, starts = _records(lines, separator)
    filled = [i for i, record in enumerate(records) if any(record)]
    if len(filled) < least:
        return None
    n_fields = max(Counter(len(records[i]) for i in filled).items(), key=lambda pair: (pair[1], pair[0]))[0]
    header = 0 if known is not None else _header(records, filled, n_fields)
    below = [records[i] for i in filled if i >= header]
    if header and len(below) < _LEAST_BELOW:
        header, below = 0, [records[i] for i in filled]
    if (
        n_fields < 2
        or len(below[0]) != n_fields
        or sum(len(record) == n_fields for record in below) < _CONSISTENT * len(below)
    ):
        return None
    names = [cell for cell in records[max(header, filled[0])] if cell]
    if least > 1 and not 1 < len(set(names)) == len(names):
        return None
    n_above = starts[header] if known is None else known
    others = [each for each in DELIMITERS[1:] if each != separator and any(each in line for line in lines)]
    if not others:
        return Structure(separator, n_above, n_fields)
    cells = [cell for record in below for cell in record]
    clean = sum(_is_clean(cell, others) for cell in cells)
    return Structure(separator, n_above, n_fields, clean / len(cells))


def _records(lines: Sequence[str], separator: str) -> tuple[list[list[str]], list[int]]:
    """Return the first records, blank lines among them, and the number of lines before each."""
    if separator == TAB:
        reader = csv.reader(iter(lines), delimiter=separator, quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(iter(lines), delimiter=separator)
    records, starts = list[list[str]](), [0]
    try:
        for record in reader:
            records.append([cell.strip() for cell in record])
            starts.append(reader.line_num)
            if len(records) == _MOST_RECORDS:
                break
    except csv.Error:  # a value longer than any is
        pass
    return records, starts


def _header(records: Sequence[Sequence[str]], filled: Sequence[int], n_fields: int) -> int:
    """Return which record is the header: the first one, unless titles stand above one that looks like a header.

    A title has fewer values than the rows, or one alone where a spreadsheet has filled up its line with delimiters.
    """
    for at in filled:
        record = records[at]
        n_known = sum(map(bool, record))
        is_title = n_known <= max(1, n_fields // 2) and (len(record) < n_fields or (n_known == 1 and n_fields > 2))
        if not is_title or _opens_quote(record):
            names = [cell for cell in record if cell]
            # Never a row of values, whose header would be lost; without names there is nothing to find.
            is_named = len(record) == n_fields and len(set(names)) == len(names) > 1 and not any(map(_is_number, names))
            return at if at != filled[0] and is_named and at < len(records) - 1 and at <= _MOST_ABOVE else 0
    return 0


def _opens_quote(record: Sequence[str]) -> bool:
    """Whether a line of TSV begins with a quote that holds it and the next together, as a name of two lines does."""
    return record[0].startswith('"') and sum(cell.count('"') for cell in record) % 2 == 1


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None


def _is_clean(cell: str, others: Sequence[str]) -> bool:
    return not any(each in cell for each in others) or _is_number(cell)
