"""Which kind the values of a whole text column are of, and why a column that looks like another kind is text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resmem_cli.data import date_text, kinds, number_text
from resmem_cli.data.kinds import VECTOR_PATTERN, cast_or_none, to_microseconds, trimmed, without_missing_words
from resmem_cli.data.rows import Rows, plain
from resmem_cli.errors import DataError

# Text is taken for a kind if this share of it can be read as that: the rest is then named as wrong.
_MOSTLY = 0.9
# From this share on it is worth saying that a category is mostly numbers.
_OFTEN = 0.5
_NUMBER_PATTERN = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_DIGITS_PATTERN = r"^[0-9]+$"
_LEADING_ZERO_PATTERN = r"^0[0-9]+$"
_BOOLEAN_PATTERN = r"^(?i:true|false)$"
_INSTANT_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9].*)?$"
_PATTERNS = {
    "numbers": _NUMBER_PATTERN,
    "dates or times": _INSTANT_PATTERN,
    "true or false": _BOOLEAN_PATTERN,
    "lists of numbers": VECTOR_PATTERN,
}
_TIMES = ("dates or times",)


def infer(rows: Rows, name: str) -> pa.ChunkedArray:
    """Return a text column with the type that its whole content has: integer, float, boolean, timestamp, list or text.

    Digits that begin with a zero, such as postcodes, are names: text.

    Raises:
        DataError: nearly all of it is of a kind, so that the rest is more likely a mistake than a category.
    """
    text = kinds.iso_text(rows, name, kinds.known_text(rows, name))
    if not rows.written.writes_plainly:
        text = _numbers_of_dialect(rows, name, text)
    numbers = cast_or_none(text, pa.float64())
    if numbers is not None:
        if leading_zero(text) is not None:
            return rows.column(name)
        integers = cast_or_none(text, pa.int64())  # only now: Arrow would read "0x1F" as one
        return numbers if integers is None else integers
    if pc.all(pc.fill_null(pc.match_substring_regex(text, VECTOR_PATTERN), True)).as_py():
        return kinds.lists_of_text(rows, name, text)
    if pc.all(pc.fill_null(pc.match_substring_regex(text, _BOOLEAN_PATTERN), True)).as_py():
        return pc.cast(pc.utf8_lower(text), pa.bool_())
    instants = _instants(rows, name, text)
    if instants is not None:
        return instants
    _refuse_nearly(rows, name, text, tuple(_PATTERNS))
    return rows.column(name)


def _numbers_of_dialect(rows: Rows, name: str, text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text as programs write it if it is numbers by the rows' dialect, else as it is.

    Raises:
        DataError: nearly all of it is, or all of it is numbers in another dialect.
    """
    dialect, whole = rows.written, text.combine_chunks()
    looks = number_text.is_number(whole, dialect, dialect.unit_of(name))
    share = _share(looks)
    is_plain = cast_or_none(text, pa.float64()) is not None
    if text.null_count == len(text) or (share < _MOSTLY and not is_plain):
        return text
    if share < 1:
        position = pc.index(looks, False).as_py()
        mark = "point" if dialect.point == "." else "comma"
        raise DataError(
            f"{rows.locate(position)}: column '{name}' holds '{text[position].as_py()}' where "
            f"{int(share * 1000) / 10}% of the values are numbers with a decimal {mark}",
            _way_out(name),
        )
    return pa.chunked_array([number_text.plain(whole, dialect)])


def infer_instants(rows: Rows, name: str) -> pa.ChunkedArray:
    """Return a text column of a typed format as timestamps if that is what it holds, or as it is.

    JSON has no type for them, and Parquet's text is often what CSV would hold.

    Raises:
        DataError: nearly all of it is instants.
    """
    column = rows.column(name)
    text = without_missing_words(trimmed(plain(column)))
    instants = _instants(rows, name, text) if text.null_count < len(text) else None
    if instants is not None:
        return instants
    _refuse_nearly(rows, name, text, _TIMES)
    return column


def are_numbers(text: Any) -> bool:
    """Whether every text of a column is a number."""
    return bool(pc.all(pc.match_substring_regex(trimmed(text), _NUMBER_PATTERN), skip_nulls=False).as_py())


def leading_zero(text: Any) -> str | None:
    """Return the first text of a column of digits that begins with a zero, such as "00501"; None if there is none."""
    zeros = pc.match_substring_regex(text, _LEADING_ZERO_PATTERN)
    position = pc.index(zeros, True).as_py()
    if position < 0 or not pc.all(pc.match_substring_regex(text, _DIGITS_PATTERN)).as_py():
        return None
    return str(text[position].as_py())


@dataclass(frozen=True)
class Mixture:
    """What a text column is made of: the share of its values that are of a kind, and the most frequent of the others.

    Attributes:
        what: of which kind most are, in words.
        share: of the values that are, between 0 and 1.
        other, other_share: the most frequent of the other values.
    """

    what: str
    share: float
    other: str
    other_share: float

    def __str__(self) -> str:
        rest = 1 - self.share - self.other_share
        more = f", {_percent(rest)} others" if rest > 1e-9 else ""
        return f"{_percent(self.share)} {self.what}, {_percent(self.other_share)} '{self.other}'{more}"


def mixture(column: Any) -> Mixture | None:
    """Return what a text column is made of, if at least half of its values are numbers, dates or times."""
    text = without_missing_words(trimmed(column))
    for what in ("numbers", "dates or times"):
        looks = pc.match_substring_regex(text, _PATTERNS[what])
        share = _share(looks)
        if _OFTEN <= share < 1:
            counts = pc.value_counts(pc.filter(text, pc.invert(looks)))
            value, count = min(((i["values"], -i["counts"]) for i in counts.to_pylist()), key=lambda p: (p[1], p[0]))
            return Mixture(what, share, value, -count / (len(text) - text.null_count))
    return None


def unread_date(column: Any) -> str | None:
    """Return a value of a text column of which most look like dates, though none that could be read; None of others."""
    text = without_missing_words(trimmed(column)).drop_null()
    counts = pc.value_counts(text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text)
    return date_text.unread(counts.field("values"), counts.field("counts").to_numpy(), _MOSTLY)


def _instants(rows: Rows, name: str, text: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return text as instants; in UTC if every one has a zone."""
    for target in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        instants = cast_or_none(to_microseconds(text), target)
        if instants is not None:
            return instants
    looks = pc.match_substring_regex(text, _INSTANT_PATTERN)
    if not pc.all(looks).as_py():
        return None
    try:
        return kinds.instants_of_text(rows, name, text)  # some with a zone and some without
    except DataError as error:
        raise DataError(error.message, _way_out(name)) from None


def _refuse_nearly(rows: Rows, name: str, text: pa.ChunkedArray, whats: tuple[str, ...]) -> None:
    for what in whats:
        looks = pc.match_substring_regex(text, _PATTERNS[what])
        share = _share(looks)
        if _MOSTLY <= share < 1:
            position = pc.index(looks, False).as_py()
            raise DataError(
                f"{rows.locate(position)}: column '{name}' holds '{text[position].as_py()}' where "
                f"{int(share * 1000) / 10}% of the values are {what}",
                _way_out(name),
            )


def _way_out(name: str) -> str:
    return f"correct it, or use --category '{name}' if the column is categorical"


def _share(looks: pa.ChunkedArray) -> float:
    return pc.mean(pc.cast(looks, pa.float64())).as_py() or 0.0


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
