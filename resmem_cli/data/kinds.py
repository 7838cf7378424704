"""The kinds a column can have, and how values of any Arrow type or text become that kind.

number     64-bit floats; missing is NaN; infinite values are refused.
category   text; missing is null, and so is the empty string.
boolean    1.0, 0.0, or NaN.
timestamp  an instant in UTC, which `timestamp_parts` turns into numbers.
vector     lists of numbers, all of one length, such as an embedding or pixels; in text as JSON: [0.1, 0.2].
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from resmem_cli import spelling
from resmem_cli.data import date_format, date_text, number_text
from resmem_cli.data.dialect import PERCENT, Dialect
from resmem_cli.data.rows import Rows, plain, to_booleans, to_floats
from resmem_cli.errors import DataError

Floats = NDArray[np.float64]

# What pandas and R write for "missing", and the UCI files' question mark. In a category they are values.
MISSING_WORDS = ("NA", "N/A", "n/a", "NaN", "nan", "-nan", "NaT", "NULL", "null", "None", "none", "#N/A", "?")
TIMESTAMP_PARTS = ("days", "year", "month", "day", "weekday", "day_of_year", "hour")
# Beyond these a number is no measurement but a placeholder. The square of a feature, added up over rows, must be a
# number; a target's errors are squared twice, and boosting holds targets and weights in single precision.
LARGEST, LARGEST_LABEL = 1e150, 1e37
EXACT = 1 << 53  # up to here a 64-bit float has all whole numbers
_NUMBERS_AT_ONCE = 4_000_000
_DAY_MICROSECONDS = 86_400_000_000
_NOT_NUMBER = "is not a number"
_NOT_BOOLEAN = "is neither true nor false"
_NOT_VECTOR = "is not a list of numbers"
_NOT_TIMESTAMP = "is not an ISO 8601 date or time"
_FORCE_NUMBERS = "correct it, or say how numbers are written with --decimal and --thousands"
VECTOR_PATTERN = r"^\[.*\]$"
_ZONE_PATTERN = r"[T ].*(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"


class Kind(enum.StrEnum):
    """What a column's values mean to a model."""

    NUMBER = "number"
    CATEGORY = "category"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    VECTOR = "vector"


def kind_of(arrow_type: pa.DataType) -> Kind | None:
    """Return the kind that values of an Arrow type have, or None if no model can use them."""
    if pa.types.is_dictionary(arrow_type):
        return kind_of(arrow_type.value_type)
    if pa.types.is_boolean(arrow_type):
        return Kind.BOOLEAN
    if pa.types.is_integer(arrow_type) or pa.types.is_floating(arrow_type) or pa.types.is_decimal(arrow_type):
        return Kind.NUMBER
    if pa.types.is_timestamp(arrow_type) or pa.types.is_date(arrow_type):
        return Kind.TIMESTAMP
    if is_list(arrow_type):
        return Kind.VECTOR if kind_of(arrow_type.value_type) in (Kind.NUMBER, Kind.BOOLEAN) else None
    return Kind.CATEGORY if is_text(arrow_type) else None


def is_text(arrow_type: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(arrow_type) or pa.types.is_large_string(arrow_type) or pa.types.is_string_view(arrow_type)
    )


def is_list(arrow_type: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type) or pa.types.is_fixed_size_list(arrow_type)
    )


def as_number(rows: Rows, name: str, *, largest: float = LARGEST) -> Floats:
    """Return a column as 64-bit floats, missing values as NaN.

    Raises:
        DataError: a value is not a number, infinite, or beyond the `largest` that can be computed with; the message
            names its file, row and column.
    """
    column = plain(rows.column(name))
    if pa.types.is_decimal(column.type):  # Arrow's own way from decimals to floats is off by a last bit in many
        column = pc.cast(column, pa.string())
    if is_text(column.type):
        values = _number_from_text(rows, name, column)
    elif kind_of(column.type) in (Kind.NUMBER, Kind.BOOLEAN) or pa.types.is_null(column.type):
        values = to_floats(column)
    else:
        raise _wrong_type(rows, name, "numbers")
    _refuse_huge(rows, name, values, largest)
    return values


def in_percent(rows: Rows, name: str) -> Rows:
    """Return rows with types, of which a column that training had in percent can be read: its text has the sign.

    Raises:
        DataError: it has numbers other than 0, and the user does not say how numbers are written: 0.12 may be 12 %.
    """
    if is_text(plain(rows.column(name)).type):
        return replace(rows, is_text=True, dialect=Dialect(units=((name, PERCENT),), is_told=rows.dialect.is_told))
    if rows.dialect.is_told:
        return rows
    bare = np.flatnonzero(np.nan_to_num(as_number(rows, name)))
    if len(bare):
        raise _without_sign(
            rows,
            name,
            int(bare[0]),
            PERCENT,
            "write the values as text with the sign, such as 12%, or give --decimal . if the numbers of typed formats "
            "are in percent too (12 for 12 %)",
        )
    return rows


def is_rounded(rows: Rows, name: str) -> bool:
    """Whether a whole number of a column of numbers is none that a 64-bit float has."""
    column = plain(rows.column(name))
    if pa.types.is_floating(column.type):
        return False
    text = as_text(column)
    if is_text(column.type):
        text = plain_numbers(rows, name, known_text(rows, name))
    whole = pc.unique(text.filter(pc.fill_null(pc.match_substring_regex(text, r"^[+-]?[0-9]{16,}$"), False)))
    return any(int(each) != float(each) for each in whole.to_pylist())


def as_category(rows: Rows, name: str) -> pa.ChunkedArray:
    """Return a column as text, missing and empty values as null."""
    column = plain(rows.column(name))
    if kind_of(column.type) in (None, Kind.VECTOR) and not pa.types.is_null(column.type):
        raise _wrong_type(rows, name, "categories")
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    text = as_text(column)
    empty = pc.equal(text, "")
    return pc.if_else(empty, pa.scalar(None, pa.string()), text) if pc.any(empty).as_py() else text


def as_text(column: Any) -> Any:
    """Return what values of a type are as text: as Arrow writes them, but numbers without an exponent and instants
    of a zone in UTC.
    """
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        column = pc.cast(column, pa.timestamp(column.type.unit, "UTC"))  # offsets of long ago have seconds
    text = pc.cast(column, pa.string())
    if pa.types.is_floating(column.type):
        return _replaced(text, pc.match_substring_regex(text, r"e\+|^-0$"), spelling.canonical)
    if pa.types.is_decimal(column.type):  # of a large scale zero is "0E-10", and of one below zero 1,200 is "1.2E+3"
        return _replaced(text, pc.match_substring(text, "E"), lambda each: f"{Decimal(each):f}")
    return text


def canonical(text: Any) -> Any:
    """Return the one form of texts, whatever type or program has written them (`spelling.canonical`)."""
    return _replaced(text, pc.match_substring_regex(text, spelling.ODD), spelling.canonical)


def as_boolean(rows: Rows, name: str) -> Floats:
    """Return a column of true and false (or 1 and 0) as 1.0, 0.0 and NaN.

    Raises:
        DataError: a value is neither; the message names its file, row and column.
    """
    column = plain(rows.column(name))
    if is_text(column.type):
        lower = pc.utf8_lower(without_missing_words(trimmed(column)))
        column = _converted(rows, name, lower, target=pa.bool_(), wrong=_NOT_BOOLEAN)
    elif kind_of(column.type) not in (Kind.BOOLEAN, Kind.NUMBER) and not pa.types.is_null(column.type):
        raise _wrong_type(rows, name, "booleans")
    values = to_floats(column)
    wrong = np.flatnonzero(~np.isin(values, (0.0, 1.0)) & ~np.isnan(values))
    if len(wrong):
        raise _wrong_value(rows, name, int(wrong[0]), _NOT_BOOLEAN)
    return values


def as_timestamp(rows: Rows, name: str) -> Floats:
    """Return a column of instants as days since 1970-01-01 in UTC, missing values as NaN.

    Text without a zone, and types without one, are taken as UTC.

    Raises:
        DataError: a value is not an ISO 8601 date or time; the message names its file, row and column.
    """
    micros = pc.cast(pc.cast(as_instant(rows, name), pa.timestamp("us"), safe=False), pa.int64())
    return to_floats(micros) / _DAY_MICROSECONDS


def as_instant(rows: Rows, name: str) -> pa.ChunkedArray:
    """Return a column of instants in an Arrow type for them; `as_timestamp` says what is refused."""
    column = plain(rows.column(name))
    if is_text(column.type):
        return instants_of_text(rows, name, iso_text(rows, name, without_missing_words(trimmed(column))))
    if kind_of(column.type) is not Kind.TIMESTAMP and not pa.types.is_null(column.type):
        raise _wrong_type(rows, name, "timestamps")
    return column


def as_vector(rows: Rows, name: str, length: int | None = None, out: Floats | None = None) -> Floats:
    """Return a column of vectors as [n, length] 64-bit floats, in `out` if given; without `length`, that of the first.

    Raises:
        DataError: a vector is missing, of another length, or holds a number that is missing or infinite; the message
            names its file and row.
    """
    column = _lists(rows, name)
    wanted = _length(rows, name, column, length)
    values = np.empty((len(rows), wanted)) if out is None else out
    step = max(1, _NUMBERS_AT_ONCE // max(wanted, 1))
    for start in range(0, len(rows), step):  # so that no more than this is held beside them
        part = slice(start, min(start + step, len(rows)))
        values[part] = to_floats(pc.list_flatten(column.slice(start, step))).reshape(-1, wanted)
        wrong = np.flatnonzero(~(np.abs(values[part]) <= LARGEST).all(axis=1))
        if len(wrong):
            at = start + int(wrong[0])
            is_huge = np.isfinite(values[at]).all()
            what = f"a number beyond {LARGEST:g}" if is_huge else "a missing or infinite number"
            raise DataError(f"{rows.locate(at)}: column '{name}' holds a vector with {what}", "replace it by a number")
    return values


def vector_length(rows: Rows, name: str) -> int:
    """Return how many numbers each of a column's vectors holds; DataError if that differs."""
    return _length(rows, name, _lists(rows, name))


def _lists(rows: Rows, name: str) -> pa.ChunkedArray:
    column = plain(rows.column(name))
    if is_text(column.type):
        column = lists_of_text(rows, name, trimmed(column))
    if kind_of(column.type) is not Kind.VECTOR:
        raise _wrong_type(rows, name, "vectors")
    return column


def _length(rows: Rows, name: str, column: pa.ChunkedArray, length: int | None = None) -> int:
    lengths = to_floats(pc.fill_null(pc.list_value_length(column), -1)).astype(np.int64)
    wanted = int(lengths[0]) if length is None and len(lengths) else length or 0
    other = np.flatnonzero((lengths != wanted) | (lengths < 1))
    if len(other):
        position = int(other[0])
        what = f"a vector of {lengths[position]} numbers" if lengths[position] >= 0 else "no vector"
        needed = f"{wanted} numbers are" if wanted > 0 else "at least one number is"
        raise DataError(
            f"{rows.locate(position)}: column '{name}' holds {what}, where {needed} needed",
            "give every row a vector of one length",
        )
    return wanted


def timestamp_parts(days: Floats) -> Floats:
    """Return the numbers that a timestamp becomes.

    Args:
        days: [n] days since 1970-01-01 UTC, NaN where missing.

    Returns:
        [n, 7]: days, year, month (1 to 12), day (1 to 31), weekday (Monday 0), day of the year (from 1),
        hour (with fractions): `TIMESTAMP_PARTS`. A missing instant has every part missing.
    """
    known = ~np.isnan(days)
    dates = np.floor(np.where(known, days, 0.0)).astype("datetime64[D]")
    months, years = dates.astype("datetime64[M]"), dates.astype("datetime64[Y]")
    number = dates.astype(np.int64)
    parts = np.column_stack(
        [
            days,
            years.astype(np.int64) + 1970,
            months.astype(np.int64) % 12 + 1,
            (dates - months).astype(np.int64) + 1,
            (number + 3) % 7,
            (dates - years).astype(np.int64) + 1,
            np.round((np.where(known, days, 0.0) - number) * 24, 9),
        ]
    ).astype(np.float64)
    parts[~known] = np.nan
    return parts


def _replaced(text: Any, which: Any, form: Callable[[str], str]) -> Any:
    """Return texts with some of them in another form."""
    mask = to_booleans(pc.fill_null(which, False))
    if not mask.any():
        return text
    return with_forms(text, mask, [form(each) for each in pc.filter(text, pa.array(mask)).to_pylist()])


def with_forms(text: Any, mask: NDArray[np.bool_], forms: Sequence[str]) -> Any:
    """Return texts with `forms`, in order, where the [n] mask is true."""
    at = np.where(mask, len(text) - 1 + np.cumsum(mask), np.arange(len(text)))
    both = [*(text.chunks if isinstance(text, pa.ChunkedArray) else [text]), pa.array(forms, pa.string())]
    taken = pa.chunked_array(both, pa.string()).take(pa.array(at))
    return taken if isinstance(text, pa.ChunkedArray) else taken.combine_chunks()


def trimmed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    text = pc.utf8_trim_whitespace(column)
    empty = pc.equal(text, "")
    return pc.if_else(empty, pa.scalar(None, text.type), text) if pc.any(empty).as_py() else text


def without_missing_words(text: pa.ChunkedArray) -> pa.ChunkedArray:
    missing = pc.is_in(text, value_set=pa.array(MISSING_WORDS, text.type))
    return pc.if_else(missing, pa.scalar(None, text.type), text) if pc.any(missing).as_py() else text


def known_text(rows: Rows, name: str) -> pa.ChunkedArray:
    """Return the values of a text column without spaces around them; empty ones and words for "missing" are null."""
    return without_missing_words(trimmed(plain(rows.column(name))))


def plain_numbers(rows: Rows, name: str, text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return numbers in text as programs write them, by the dialect of the rows.

    Raises:
        DataError: a value is no number in that dialect.
    """
    dialect = rows.written
    if dialect.writes_plainly:
        return text
    position = pc.index(number_text.is_number(text, dialect, dialect.unit_of(name)), False).as_py()
    if position >= 0:
        raise _not_number(rows, name, position)
    return number_text.plain(text, dialect)


def plain_labels(rows: Rows, name: str, text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return labels, those that are numbers in the dialect of the rows as programs write them."""
    return text if rows.written.writes_plainly else pc.coalesce(number_text.plain(text, rows.written), text)


def iso_text(rows: Rows, name: str, text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text with dates in the format of the rows' dialect as ISO 8601."""
    form = rows.written.date_format_of(name)
    return text if form is None else date_text.to_iso(text, date_format.parsed(form))


def _number_from_text(rows: Rows, name: str, column: pa.ChunkedArray) -> Floats:
    if not rows.written.writes_plainly:
        return to_floats(pc.cast(plain_numbers(rows, name, without_missing_words(trimmed(column))), pa.float64()))
    try:
        return to_floats(pc.cast(column, pa.float64()))  # the clean case, without a pass for spaces and "NA"
    except pa.ArrowInvalid:
        text = without_missing_words(trimmed(column))
        return to_floats(_converted(rows, name, text, target=pa.float64(), wrong=_NOT_NUMBER))


def lists_of_text(rows: Rows, name: str, text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return "[1, 2.5]" as a list of numbers; what has no brackets is none."""
    other = pc.index(pc.match_substring_regex(text, VECTOR_PATTERN), False).as_py()
    if other >= 0:
        raise _wrong_value(rows, name, other, _NOT_VECTOR)
    bare = pc.utf8_trim_whitespace(pc.replace_substring_regex(text, r"^\[|\]$", ""))
    lists = pc.split_pattern_regex(pc.if_else(pc.equal(bare, ""), pa.scalar(None, pa.string()), bare), r"\s*,\s*")
    wanted = pa.list_(pa.float64())
    values = cast_or_none(lists, wanted)
    if values is None:
        position = next(i for i, each in enumerate(lists) if each.is_valid and cast_or_none(each, wanted) is None)
        raise _wrong_value(rows, name, position, _NOT_VECTOR)
    return values


def instants_of_text(rows: Rows, name: str, text: pa.ChunkedArray) -> pa.ChunkedArray:
    instants = cast_or_none(text, pa.timestamp("us"))  # the clean case
    if instants is not None:
        return instants
    text = to_microseconds(text)
    zoned = pc.match_substring_regex(text, _ZONE_PATTERN)
    nothing = pa.scalar(None, text.type)
    utc = pc.if_else(zoned, nothing, text)
    other = pc.if_else(zoned, text, nothing)
    utc = _converted(rows, name, utc, target=pa.timestamp("us"), wrong=_NOT_TIMESTAMP)
    other = _converted(rows, name, other, target=pa.timestamp("us", "UTC"), wrong=_NOT_TIMESTAMP)
    return pc.coalesce(utc, pc.cast(other, pa.timestamp("us")))


def to_microseconds(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cut what is finer off fractions of a second, as pandas writes them."""
    return pc.replace_substring_regex(text, r"(:[0-9]{2}\.[0-9]{6})[0-9]{1,3}", r"\1")


def cast_or_none(text: Any, target: pa.DataType) -> Any:
    try:
        return pc.cast(text, target)
    except pa.ArrowInvalid:
        return None


def _converted(rows: Rows, name: str, text: pa.ChunkedArray, *, target: pa.DataType, wrong: str) -> pa.ChunkedArray:
    values = cast_or_none(text, target)
    if values is not None:
        return values
    start, end = 0, len(text)  # the first wrong value is in text[start:end]: halve that until it is found
    while end - start > 1:
        middle = (start + end) // 2
        if cast_or_none(text[start:middle], target) is None:
            end = middle
        else:
            start = middle
    raise _wrong_value(rows, name, start, wrong)


def _refuse_huge(rows: Rows, name: str, values: Floats, largest: float) -> None:
    huge = np.flatnonzero(np.abs(values) > largest)
    if not len(huge):
        return
    value = values[huge[0]]
    what = "an infinite value" if np.isinf(value) else f"{value:.4g}, too large to compute with (beyond {largest:g})"
    raise DataError(
        f"{rows.locate(int(huge[0]))}: column '{name}' holds {what}",
        "replace it by a number, or leave it empty if it is unknown",
    )


def _not_number(rows: Rows, name: str, position: int) -> DataError:
    dialect, unit = rows.written, rows.written.unit_of(name)
    value = rows.column(name)[position].as_py()
    if unit and number_text.is_number(trimmed(pa.array([value])), replace(dialect, is_told=True), unit)[0].as_py():
        return _without_sign(
            rows,
            name,
            position,
            unit,
            f"write the values with the sign, such as 12{unit}, or say with --decimal how numbers are written if those "
            "without it are in percent too",
        )
    marks = f"a decimal {'point' if dialect.point == '.' else 'comma'}" + (f" and '{unit}'" if unit else "")
    unsure = ", in a file that is delimited otherwise than the training file" if dialect.is_assumed else ""
    return _wrong_value(rows, name, position, f"is not surely a number with {marks}{unsure}", _FORCE_NUMBERS)


def _without_sign(rows: Rows, name: str, position: int, unit: str, hint: str) -> DataError:
    value = rows.column(name)[position].as_py()
    return DataError(
        f"{rows.locate(position)}: column '{name}' holds '{value}' without the '{unit}' of the training file, and "
        "their units differ",
        hint,
    )


def _wrong_value(rows: Rows, name: str, position: int, wrong: str, force: str = "") -> DataError:
    value = rows.column(name)[position].as_py()
    if wrong == _NOT_NUMBER and rows.is_text and number_text.parts(pa.array([value.strip()]))[0].is_valid:
        force = _FORCE_NUMBERS
    if wrong == _NOT_TIMESTAMP and rows.is_text and date_text.looks_like_one(value):
        force = "say in which order dates are written with --date-format"
    return DataError(
        f"{rows.locate(position)}: column '{name}' holds '{value}', which {wrong}",
        force or "correct it, or leave it empty if it is unknown",
    )


def _wrong_type(rows: Rows, name: str, expected: str) -> DataError:
    return DataError(
        f"{rows.source}: column '{name}' has the type {rows.column(name).type}, where {expected} are needed",
        "convert the column, or leave it out with --drop when fitting",
    )
