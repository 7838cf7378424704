"""The slices of rows that a column makes: its values, or bins of them where they are many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from resmem_cli.data import kinds, text_kinds
from resmem_cli.data.dialect import PLAIN, Dialect
from resmem_cli.data.kinds import Floats, Kind
from resmem_cli.data.rows import Rows, plain, to_floats
from resmem_cli.errors import DataError

MISSING, OTHER = "(missing)", "(other)"
_FEW = 10  # values that are all slices by themselves; of more, numbers are put into bins and rare texts pooled
_BINS = 5  # of numbers, with equally many rows as far as ties allow
_MOST_TEXTS = 20  # of more than a few texts, how many are slices by themselves
_LEAST_ROWS = 30  # of each of these, without which no interval is given of a slice
_MOST_TIMES = 12  # bins of timestamps
# Text of which more than half of the values differ, and more than these, has no values to compare.
_FREE_TEXT = 50
_SURE = 10_000  # rows of a batch, which are enough to tell
_OTHER_COLUMN = "name a column whose values repeat, or add one that puts the rows into groups"


@dataclass(frozen=True)
class Slicing:
    """Which slice of a column each row is in.

    Attributes:
        column: its name.
        bins: what a slice is: a "value", a "quantile" bin, or a "day", "week", "month", "quarter" or "year".
        names: of the slices, each of which has rows.
        codes: [n] positions among the names; short, because those of all columns are held together.
    """

    column: str
    bins: str
    names: tuple[str, ...]
    codes: NDArray[np.int16]


# What is kept of a batch: numbers, days since 1970, or coded text.
_Part = tuple[Kind, Any]


@dataclass(eq=False)
class ColumnValues:
    """The values of a column, batch by batch, until all are known and slices can be made of them.

    Attributes:
        name: of the column.
        kind: as the model knows it; None of a column that the model does not use, whose values tell.
    """

    name: str
    kind: Kind | None = None
    _parts: list[_Part] = field(default_factory=list)
    _is_text: bool = True
    _dialect: Dialect = PLAIN

    def add(self, rows: Rows) -> None:
        """Take the values of a batch.

        Raises:
            DataError: they cannot be compared, being lists or free text.
        """
        column = rows.column(self.name)
        kind = self.kind or kinds.kind_of(column.type)
        if pa.types.is_null(column.type):
            kind = kind or Kind.CATEGORY
        if kind is None or kind is Kind.VECTOR:
            raise DataError(
                f"{rows.source}: column '{self.name}' has the type {column.type}, whose values make no slices",
                "name a column of numbers, text, true and false, or times",
            )
        self._is_text, self._dialect = self._is_text and rows.is_text, rows.written
        if kind is Kind.NUMBER:
            self._parts.append((kind, kinds.as_number(rows, self.name)))
        elif kind is Kind.TIMESTAMP:
            self._parts.append((kind, kinds.as_timestamp(rows, self.name)))
        else:
            text = _boolean_text(rows, self.name) if kind is Kind.BOOLEAN else kinds.as_category(rows, self.name)
            coded = pc.dictionary_encode(text)
            if len(rows) >= _SURE:
                self._refuse_free_text(coded, rows)
            self._parts.append((Kind.CATEGORY, coded))

    def slicing(self, which: NDArray[np.bool_]) -> Slicing:
        """Return the slices of the rows that `which` says, in order of their values, or of how many they are.

        Raises:
            DataError: the column holds free text.
        """
        kind, values = self._joined()
        if kind is Kind.NUMBER:
            bins, names, codes = _of_numbers(values[which])
        elif kind is Kind.TIMESTAMP:
            bins, names, codes = _of_times(values[which])
        else:
            bins, names, codes = _of_texts(values.filter(pa.array(which)), self.name)
        used, codes = np.unique(codes, return_inverse=True)
        return Slicing(self.name, bins, tuple(names[i] for i in used), codes.astype(np.int16))

    def _joined(self) -> _Part:
        """Return all values as one kind, that of the column as a whole."""
        found = {kind for kind, _ in self._parts}
        if found == {Kind.CATEGORY}:
            coded = pa.chunked_array([c for _, part in self._parts for c in part.chunks]).unify_dictionaries()
            return (
                (Kind.CATEGORY, coded)
                if self.kind
                else _inferred(self.name, coded, is_text=self._is_text, dialect=self._dialect)
            )
        if len(found) == 1:
            return found.pop(), np.concatenate([values for _, values in self._parts])
        # A file of text beside one of numbers, or of times: as text they are one column.
        texts = [_text_of(kind, values) for kind, values in self._parts]
        coded = pc.dictionary_encode(pa.chunked_array([chunk for text in texts for chunk in text.chunks], pa.string()))
        return _inferred(self.name, coded, is_text=True)

    def _refuse_free_text(self, coded: pa.ChunkedArray, rows: Rows) -> None:
        """Refuse text whose values differ within a batch now, rather than predict and keep all rows before that."""
        whole = coded.combine_chunks()
        n_distinct, n_known = len(whole.dictionary), len(whole) - whole.null_count
        if n_distinct <= n_known / 2:
            return
        kind = (
            self.kind or _inferred(self.name, pa.chunked_array([whole]), is_text=rows.is_text, dialect=rows.written)[0]
        )
        if kind is Kind.CATEGORY:
            raise _free_text(f"{rows.source}: column '{self.name}'", n_distinct, n_known)


def _free_text(what: str, n_distinct: int, n_rows: int) -> DataError:
    return DataError(
        f"{what} has {n_distinct:,} different values in {n_rows:,} rows, too many to compare", _OTHER_COLUMN
    )


def _boolean_text(rows: Rows, name: str) -> pa.ChunkedArray:
    values = kinds.as_boolean(rows, name)
    known = pa.array(values == 1, mask=np.isnan(values))
    return pa.chunked_array([pc.cast(known, pa.string())])


def _text_of(kind: Kind, values: Any) -> pa.ChunkedArray:
    if kind is Kind.CATEGORY:
        return plain(values)
    is_missing = np.isnan(values)
    if kind is Kind.NUMBER:
        return pa.chunked_array([kinds.as_text(pa.array(values, mask=is_missing))])
    micros = np.round(np.where(is_missing, 0, values) * 86_400e6).astype("datetime64[us]")
    return pa.chunked_array([pc.cast(pa.array(micros, pa.timestamp("us"), mask=is_missing), pa.string())])


def _inferred(name: str, coded: pa.ChunkedArray, *, is_text: bool, dialect: Dialect = PLAIN) -> _Part:
    """Return coded text as what all of its values together are: numbers, times, or text."""
    distinct = pa.chunked_array([coded.chunk(0).dictionary])
    rows = Rows(pa.table({name: distinct}), ((0, "the input", 1),), is_text, dialect=dialect)
    try:
        typed = text_kinds.infer(rows, name) if is_text else text_kinds.infer_instants(rows, name)
    except DataError:  # nearly all values are of a kind: that the others are a mistake is not for us to say
        typed = distinct
    kind = kinds.kind_of(typed.type)
    if kind not in (Kind.NUMBER, Kind.TIMESTAMP):
        return Kind.CATEGORY, coded
    own = Rows(pa.table({name: typed}), rows.origins, is_text=False)
    values = kinds.as_number(own, name) if kind is Kind.NUMBER else kinds.as_timestamp(own, name)
    codes = to_floats(pa.chunked_array([chunk.indices for chunk in coded.chunks]))
    return kind, np.r_[values, np.nan][np.where(np.isnan(codes), -1, codes).astype(np.int64)]


_Found = tuple[str, list[str], NDArray[np.int64]]


def _of_numbers(values: Floats) -> _Found:
    known = values[~np.isnan(values)] + 0.0  # -0.0 becomes 0.0
    distinct = np.unique(known)
    if len(distinct) == 0:
        return "value", [MISSING], np.zeros(len(values), dtype=np.int64)
    if len(distinct) <= _FEW:
        return "value", [*_range_names(distinct, distinct), MISSING], _coded(values, distinct[:-1])
    names, codes = _quantile_bins(values, _range_names)
    return "quantile", names, codes


def _quantile_bins(values: Floats, name: Callable[[Floats, Floats], list[str]]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the names and codes of bins of equally many rows; rows with equal values are in one bin."""
    known = np.sort(values[~np.isnan(values)]) + 0.0  # -0.0 becomes 0.0
    cuts = np.unique(known[np.arange(1, _BINS) * len(known) // _BINS - 1])
    cuts = cuts[cuts < known[-1]]
    upper = np.searchsorted(known, [*cuts, known[-1]], side="right")
    lower = np.r_[0, upper[:-1]]
    return [*name(known[lower], known[upper - 1]), MISSING], _coded(values, cuts)


def _coded(values: Floats, cuts: Floats) -> NDArray[np.int64]:
    """Return [n] how many cuts lie below each value; of a missing one, one more than there are bins."""
    codes = np.searchsorted(cuts, values, side="left")
    codes[np.isnan(values)] = len(cuts) + 1
    return codes


def _range_names(lows: Floats, highs: Floats) -> list[str]:
    """Return "3.2 to 5.1" for each pair: whole numbers in full, others with as few digits as tell the pairs apart."""
    pairs = list(zip(lows.tolist(), highs.tolist(), strict=True))
    are_whole = all(value.is_integer() and abs(value) < 1e16 for pair in pairs for value in pair)
    if are_whole:
        return [f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}" for low, high in pairs]
    for digits in range(3, 18):
        written = [(_written(low, digits), _written(high, digits)) for low, high in pairs]
        are_ranges = [low == high or first != last for (low, high), (first, last) in zip(pairs, written, strict=True)]
        if all(are_ranges) and len(set(written)) == len(pairs):
            break
    return [low if low == high else f"{low} to {high}" for low, high in written]


def _written(value: float, digits: int) -> str:
    """Return a number with some significant digits, and an exponent where there would be many zeros."""
    rounded = float(f"{value:.{digits}g}")
    has_exponent = rounded != 0 and not (1e-4 <= abs(rounded) < 1e7)
    return f"{rounded:.{digits}g}" if has_exponent else np.format_float_positional(rounded, trim="-")


def _of_times(days: Floats) -> _Found:
    """Return the finest bins of the calendar of which there are not too many."""
    known = ~np.isnan(days)
    dates = np.floor(days[known]).astype("datetime64[D]")
    for unit, start, written in _CALENDAR:
        starts = np.unique(start(dates))
        if len(starts) <= _MOST_TIMES:
            codes = np.full(len(days), len(starts))
            codes[known] = np.searchsorted(starts, start(dates))
            return unit, [*map(written, starts), MISSING], codes
    names, codes = _quantile_bins(np.floor(days), _date_names)
    return "quantile", names, codes


def _date_names(lows: Floats, highs: Floats) -> list[str]:
    first, last = (ends.astype("datetime64[D]") for ends in (lows, highs))
    return [f"{low}" if low == high else f"{low} to {high}" for low, high in zip(first, last, strict=True)]


def _week(dates: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """Return the Monday of each date; 1970 began with a Thursday."""
    days = dates.astype(np.int64)
    return (days - (days + 3) % 7).astype("datetime64[D]")


def _quarter(dates: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    months = dates.astype("datetime64[M]").astype(np.int64)
    return (months - months % 3).astype("datetime64[M]")


# Per unit, from the finest: the start of a date's bin, and how a bin is written.
_CALENDAR: tuple[
    tuple[str, Callable[[NDArray[np.datetime64]], NDArray[np.datetime64]], Callable[[np.datetime64], str]], ...
] = (
    ("day", lambda dates: dates, str),
    ("week", _week, lambda start: f"week of {start}"),
    ("month", lambda dates: dates.astype("datetime64[M]"), str),
    ("quarter", _quarter, lambda start: f"{str(start)[:-3]}-Q{int(str(start)[-2:]) // 3 + 1}"),
    ("year", lambda dates: dates.astype("datetime64[Y]"), str),
)


def _of_texts(coded: pa.ChunkedArray, name: str) -> _Found:
    """Return the frequent values, most frequent first, and the others together."""
    if coded.num_chunks == 0:  # no rows
        return "value", [], np.empty(0, dtype=np.int64)
    indices = to_floats(pa.chunked_array([chunk.indices for chunk in coded.chunks]))
    known, texts = ~np.isnan(indices), coded.chunk(0).dictionary
    counts = np.bincount(indices[known].astype(np.int64), minlength=len(texts))
    n_distinct, n_known = int((counts > 0).sum()), int(known.sum())
    if n_distinct > _FREE_TEXT and n_distinct > n_known / 2:
        raise _free_text(f"column '{name}'", n_distinct, n_known)
    by_count = np.argsort(-counts, kind="stable")[:n_distinct]
    frequent = by_count[:_MOST_TEXTS][counts[by_count[:_MOST_TEXTS]] >= _LEAST_ROWS]
    if n_distinct <= _FEW or len(frequent) == 0:
        frequent = by_count[:_MOST_TEXTS]
    code_of = np.full(len(texts) + 1, len(frequent))
    code_of[frequent] = np.arange(len(frequent))
    code_of[-1] = len(frequent) + 1  # of missing values
    names = [*texts.take(pa.array(frequent)).to_pylist(), OTHER, MISSING]
    return "value", names, code_of[np.where(known, indices, -1).astype(np.int64)]
