"""A row of totals at the end of a table, as spreadsheets have it: no row to learn from, and no query."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow.compute as pc

from resmem_cli.data import kinds
from resmem_cli.data.dialect import Dialect
from resmem_cli.data.rows import Rows
from resmem_cli.errors import DataError

_WORDS = (
    r"^\s*(?i:(?:grand |sub)?totals?|sums?|summe|gesamt|gesamtsumme|insgesamt|somme|totaal|totale|suma|итого)\s*:?\s*$"
)
_LEAST_ROWS = 3  # above totals: of fewer, a last value is easily the sum of the others
_TOLERANCE = 1e-6  # of a sum, which may have been rounded


@dataclass
class Above:
    """The rows above the last one: how many there are, and of columns of numbers the sum and the largest magnitude.

    Attributes:
        features, target: the names of these columns.
        n_rows: how many rows were taken.
    """

    features: Collection[str]
    target: str
    n_rows: int = 0
    _sums: dict[str, float] = field(default_factory=dict)
    _most: dict[str, float] = field(default_factory=dict)

    def add(self, rows: Rows, numeric: Iterable[str]) -> None:
        """Take more rows, in which these columns are numbers."""
        self.n_rows += len(rows)
        self.add_columns(rows, numeric)

    def add_columns(self, rows: Rows, numeric: Iterable[str]) -> None:
        """Take further columns of rows that were taken."""
        for name in numeric:
            values = kinds.as_number(rows, name)
            known = values[~np.isnan(values)]
            self._sums[name] = self._sums.get(name, 0.0) + float(known.sum())
            self._most[name] = max(self._most.get(name, 0.0), float(np.abs(known).max(initial=0.0)))

    def add_numbers(self, rows: Rows, names: Iterable[str]) -> list[str]:
        """Take more rows, and return which of these columns are numbers in them, too; the others are not taken."""
        self.n_rows += len(rows)
        numeric = [name for name in names if _are_numbers(rows, name)]
        for name in self._sums.keys() - {*numeric}:
            del self._sums[name], self._most[name]
        self.add_columns(rows, numeric)
        return numeric

    def may_be_totals(self, last: Rows) -> bool:
        """Whether the target of the last row, if it has one, is larger than any above it."""
        value = _number(last, self.target) if self.target in last.table.column_names else None
        # Without a number to compare, the other signs decide.
        return self.n_rows >= _LEAST_ROWS and (value is None or abs(value) > self._most.get(self.target, np.inf))

    def are_summed(self, last: Rows) -> bool:
        """Whether every number of the last row, among the columns that were taken, is the sum of those above it."""
        values = {name: value for name in self._sums if (value := _number(last, name)) is not None}
        return len(values) > 0 and all(
            abs(value) > self._most[name] > 0 and abs(value - self._sums[name]) <= _TOLERANCE * abs(self._sums[name])
            for name, value in values.items()
        )

    def is_named_or_empty(self, last: Rows) -> bool:
        """Whether a value of the last row is a word for totals, or all of its features are missing."""
        texts = [last.column(name) for name in last.table.column_names if kinds.is_text(last.column(name).type)]
        if any(pc.any(pc.match_substring_regex(text, _WORDS)).as_py() for text in texts):
            return True
        present = [name for name in self.features if name in last.table.column_names]
        return len(present) > 1 and all(not last.column(name)[0].is_valid for name in present)


def without(rows: Rows, features: Collection[str], target: str) -> Rows:
    """Return training rows of text without totals at the end, if their dialect says so.

    Raises:
        DataError: there are totals, and nothing is said of them.
    """
    first, last = _divided(rows)
    if _number(last, target) is None or not _are_numbers(first, target):
        return rows
    above = Above(features, target)
    above.add(first, [target])
    if not above.may_be_totals(last):  # which nearly always ends it, so that the other columns need not be read
        return rows
    if not above.is_named_or_empty(last):
        numeric = [name for name in features if _number(last, name) is not None and _are_numbers(first, name)]
        above.add_columns(first, numeric)
        if not above.are_summed(last):
            return rows
    if rows.written.drop_totals:
        return first
    raise _refused(last, target)


def checked(batches: Iterable[Rows], features: Collection[str], target: str, dialect: Dialect) -> Iterator[Rows]:
    """Yield batches of training rows, the last of them of text without totals at the end, if its dialect says so.

    It is `without` for rows that are not held together. `dialect` says what the marks in their numbers mean.

    Raises:
        DataError: there are totals, and nothing is said of them.
    """
    above, numeric = Above(features, target), [target, *features]
    held: Rows | None = None
    for batch in batches:
        if held is not None:
            if held.is_text and target in numeric:
                numeric = above.add_numbers(replace(held, dialect=dialect), numeric)
            yield held
        held = batch
    if held is None:
        return
    if held.is_text and len(held) and target in numeric:
        first, last = _divided(held)
        numeric = above.add_numbers(replace(first, dialect=dialect), numeric)
        end = replace(last, dialect=dialect)
        is_larger = target in numeric and _number(end, target) is not None and above.may_be_totals(end)
        if is_larger and (above.is_named_or_empty(end) or above.are_summed(end)):
            if not held.dialect.drop_totals:
                raise _refused(last, target)
            held = first
    if len(held):
        yield held


def _refused(last: Rows, target: str) -> DataError:
    return DataError(
        f"{last.locate(0)}: the last row looks like totals ('{target}' is {last.column(target)[0].as_py()}, more than "
        "in any row above it)",
        "leave it out with --drop-totals, or remove it from the file",
    )


def dropped(batches: Iterable[Rows], above: Above, numeric: Collection[str], notes: list[str]) -> Iterator[Rows]:
    """Yield batches, the last of them without a last row that holds totals, and note that.

    `numeric` columns are numbers, if they are there.
    """
    held: Rows | None = None
    for batch in batches:
        if held is not None:
            above.add(held, _present(held, numeric))
            yield held
        held = batch
    if held is None:
        return
    if not held.is_text or not len(held):
        yield held
        return
    first, last = _divided(held)
    above.add(first, _present(first, numeric))
    if above.may_be_totals(last) and (above.is_named_or_empty(last) or above.are_summed(last)):
        notes.append(f"{last.locate(0)} holds totals and is left out")
        held = first
    if len(held):
        yield held


def _present(rows: Rows, names: Collection[str]) -> list[str]:
    return [name for name in names if name in rows.table.column_names]


def _divided(rows: Rows) -> tuple[Rows, Rows]:
    """Return all rows but the last one, and that."""
    n_above = len(rows) - 1
    kept = None if rows.kept is None else rows.kept[:n_above]
    return replace(rows, table=rows.table.slice(0, n_above), kept=kept), rows.take(np.array([n_above]))


def _number(row: Rows, name: str) -> float | None:
    """Return the number in a column of a single row; None if it holds none."""
    try:
        value = float(kinds.as_number(row, name)[0])
    except DataError:
        return None
    return None if np.isnan(value) else value


def _are_numbers(rows: Rows, name: str) -> bool:
    try:
        kinds.as_number(rows, name)
    except DataError:
        return False
    return True
