"""The kinds a column can have, and how values of any Arrow type or text become that kind.

number     64-bit floats; missing is NaN; infinite values are refused.
category   text; missing is null, and so is the empty string.
boolean    1.0, 0.0, or NaN.
timestamp  an instant in UTC, which `timestamp_parts` turns into numbers.
vector     lists of numbers, all of one length, such as an embedding or pixels; in text as JSON: [0.1, 0.2].
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from resmem_cli.data.rows import Rows, plain, to_floats
from resmem_cli.errors import DataError

Floats = NDArray[np.float64]

# What pandas and R write for "missing", and the UCI files' question mark. In a category they are values.
MISSING_WORDS = ("NA", "N/A", "n/a", "NaN", "nan", "-nan", "NaT", "NULL", "null", "None", "none", "#N/A", "?")
TIMESTAMP_PARTS = ("days", "year", "month", "day", "weekday", "day_of_year", "hour")
# Text is taken for numbers if this share of it can be read as numbers: the rest is then named as wrong.
_MOSTLY_NUMBERS = 0.9
_DAY_MICROSECONDS = 86_400_000_000
_NOT_BOOLEAN = "is neither true nor false"
_NOT_VECTOR = "is not a list of numbers"
_NOT_TIMESTAMP = "is not an ISO 8601 date or time"
_NUMBER_PATTERN = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_VECTOR_PATTERN = r"^\[.*\]$"
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


def infer_text(rows: Rows, name: str) -> pa.ChunkedArray:
    """Return a text column with the type that its whole content has: integer, float, boolean, timestamp or text.

    Raises:
        DataError: nearly all of it is numbers, so that the rest is more likely a mistake than a category.
    """
    text = _without_missing_words(_trimmed(rows.column(name)))
    numbers = _cast_or_none(text, pa.float64())
    if numbers is not None:  # only then integers: Arrow would read "0x1F" as one
        integers = _cast_or_none(text, pa.int64())
        return numbers if integers is None else integers
    if pc.all(pc.fill_null(pc.match_substring_regex(text, _VECTOR_PATTERN), True)).as_py():
        return _lists(rows, name, text)
    lower = pc.utf8_lower(text)
    if pc.all(pc.is_in(lower, value_set=pa.array(["true", "false", None]))).as_py():
        return pc.cast(lower, pa.bool_())
    for target in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        instants = _cast_or_none(_to_microseconds(text), target)
        if instants is not None:
            return instants
    _refuse_nearly_numbers(rows, name, text)
    return rows.column(name)


def as_number(rows: Rows, name: str) -> Floats:
    """Return a column as 64-bit floats, missing values as NaN.

    Raises:
        DataError: a value is not a number, or infinite; the message names its file, row and column.
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
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise DataError(
            f"{rows.locate(int(infinite[0]))}: column '{name}' holds an infinite value",
            "replace it by a number, or leave it empty if it is unknown",
        )
    return values


def as_category(rows: Rows, name: str) -> pa.ChunkedArray:
    """Return a column as text, missing and empty values as null."""
    column = plain(rows.column(name))
    if kind_of(column.type) in (None, Kind.VECTOR) and not pa.types.is_null(column.type):
        raise _wrong_type(rows, name, "categories")
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    text = pc.cast(column, pa.string())
    empty = pc.equal(text, "")
    return pc.if_else(empty, pa.scalar(None, pa.string()), text) if pc.any(empty).as_py() else text


def other_spelling(text: pa.Array) -> pa.Array:
    """Return whole numbers with ".0" where they are written without, and without where with; the rest as it is.

    Arrow writes the float 1.0 as "1" and pandas as "1.0".
    """
    with_point = pc.replace_substring_regex(text, r"^(-?(?:0|[1-9][0-9]*))$", r"\1.0")
    without = pc.replace_substring_regex(text, r"^(-?(?:0|[1-9][0-9]*))\.0$", r"\1")
    return pc.if_else(pc.equal(without, text), with_point, without)


def as_boolean(rows: Rows, name: str) -> Floats:
    """Return a column of true and false (or 1 and 0) as 1.0, 0.0 and NaN.

    Raises:
        DataError: a value is neither; the message names its file, row and column.
    """
    column = plain(rows.column(name))
    if is_text(column.type):
        lower = pc.utf8_lower(_without_missing_words(_trimmed(column)))
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
        return _timestamp_from_text(rows, name, _without_missing_words(_trimmed(column)))
    if kind_of(column.type) is not Kind.TIMESTAMP and not pa.types.is_null(column.type):
        raise _wrong_type(rows, name, "timestamps")
    return column


def as_vector(rows: Rows, name: str, length: int | None = None) -> Floats:
    """Return a column of vectors as [n, length] 64-bit floats; without `length`, that of the first row.

    Raises:
        DataError: a vector is missing, of another length, or holds a number that is missing or infinite; the message
            names its file and row.
    """
    column = plain(rows.column(name))
    if is_text(column.type):
        column = _lists(rows, name, _trimmed(column))
    if kind_of(column.type) is not Kind.VECTOR:
        raise _wrong_type(rows, name, "vectors")
    lengths = to_floats(pc.fill_null(pc.list_value_length(column), -1)).astype(np.int64)
    wanted = int(lengths[0]) if length is None and len(lengths) else length or 0
    other = np.flatnonzero(lengths != wanted)
    if len(other):
        position = int(other[0])
        what = f"a vector of {lengths[position]} numbers" if lengths[position] >= 0 else "no vector"
        raise DataError(
            f"{rows.locate(position)}: column '{name}' holds {what}, where {wanted} numbers are needed",
            "give every row a vector of one length",
        )
    values = to_floats(pc.list_flatten(column)).reshape(len(rows), wanted)
    wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(wrong):
        raise DataError(
            f"{rows.locate(int(wrong[0]))}: column '{name}' holds a vector with a missing or infinite number",
            "replace it by a number",
        )
    return values


def timestamp_parts(days: Floats) -> Floats:
    """Return the numbers that a timestamp becomes.

    Args:
        days: [n] days since 1970-01-01 UTC, NaN where missing.

    Returns:
        [n, 7]: days, year, month (1 to 12), day (1 to 31), weekday (Monday 0), day of the year (from 1),
        hour (with fractions): `TIMESTAMP_PARTS`. A missing instant has every part missing.
    """
    known = ~np.isnan(days)
    whole = np.floor(np.where(known, days, 0.0)).astype("datetime64[D]")
    months, years = whole.astype("datetime64[M]"), whole.astype("datetime64[Y]")
    number = whole.astype(np.int64)
    parts = np.column_stack(
        [
            days,
            years.astype(np.int64) + 1970,
            months.astype(np.int64) % 12 + 1,
            (whole - months).astype(np.int64) + 1,
            (number + 3) % 7,
            (whole - years).astype(np.int64) + 1,
            np.round((np.where(known, days, 0.0) - number) * 24, 9),
        ]
    ).astype(np.float64)
    parts[~known] = np.nan
    return parts


def _trimmed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    text = pc.utf8_trim_whitespace(column)
    empty = pc.equal(text, "")
    return pc.if_else(empty, pa.scalar(None, text.type), text) if pc.any(empty).as_py() else text


def _without_missing_words(text: pa.ChunkedArray) -> pa.ChunkedArray:
    missing = pc.is_in(text, value_set=pa.array(MISSING_WORDS, text.type))
    return pc.if_else(missing, pa.scalar(None, text.type), text) if pc.any(missing).as_py() else text


def _number_from_text(rows: Rows, name: str, column: pa.ChunkedArray) -> Floats:
    try:
        return to_floats(pc.cast(column, pa.float64()))  # the clean case, without a pass for spaces and "NA"
    except pa.ArrowInvalid:
        text = _without_missing_words(_trimmed(column))
        return to_floats(_converted(rows, name, text, target=pa.float64(), wrong="is not a number"))


def _lists(rows: Rows, name: str, text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return "[1, 2.5]" as a list of numbers; what has no brackets is none."""
    other = pc.index(pc.match_substring_regex(text, _VECTOR_PATTERN), False).as_py()
    if other >= 0:
        raise _wrong_value(rows, name, other, _NOT_VECTOR)
    bare = pc.utf8_trim_whitespace(pc.replace_substring_regex(text, r"^\[|\]$", ""))
    lists = pc.split_pattern_regex(pc.if_else(pc.equal(bare, ""), pa.scalar(None, pa.string()), bare), r"\s*,\s*")
    wanted = pa.list_(pa.float64())
    values = _cast_or_none(lists, wanted)
    if values is None:
        position = next(i for i, each in enumerate(lists) if each.is_valid and _cast_or_none(each, wanted) is None)
        raise _wrong_value(rows, name, position, _NOT_VECTOR)
    return values


def _timestamp_from_text(rows: Rows, name: str, text: pa.ChunkedArray) -> pa.ChunkedArray:
    instants = _cast_or_none(text, pa.timestamp("us"))  # the clean case
    if instants is not None:
        return instants
    text = _to_microseconds(text)
    zoned = pc.match_substring_regex(text, _ZONE_PATTERN)
    nothing = pa.scalar(None, text.type)
    utc = pc.if_else(zoned, nothing, text)
    other = pc.if_else(zoned, text, nothing)
    utc = _converted(rows, name, utc, target=pa.timestamp("us"), wrong=_NOT_TIMESTAMP)
    other = _converted(rows, name, other, target=pa.timestamp("us", "UTC"), wrong=_NOT_TIMESTAMP)
    return pc.coalesce(utc, pc.cast(other, pa.timestamp("us")))


def _to_microseconds(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cut what is finer off fractions of a second, as pandas writes them."""
    return pc.replace_substring_regex(text, r"(:[0-9]{2}\.[0-9]{6})[0-9]{1,3}", r"\1")


def _cast_or_none(text: Any, target: pa.DataType) -> Any:
    try:
        return pc.cast(text, target)
    except pa.ArrowInvalid:
        return None


def _converted(rows: Rows, name: str, text: pa.ChunkedArray, *, target: pa.DataType, wrong: str) -> pa.ChunkedArray:
    values = _cast_or_none(text, target)
    if values is not None:
        return values
    start, end = 0, len(text)  # the first wrong value is in text[start:end]: halve that until it is found
    while end - start > 1:
        middle = (start + end) // 2
        if _cast_or_none(text[start:middle], target) is None:
            end = middle
        else:
            start = middle
    raise _wrong_value(rows, name, start, wrong)


def _refuse_nearly_numbers(rows: Rows, name: str, text: pa.ChunkedArray) -> None:
    looks = pc.match_substring_regex(text, _NUMBER_PATTERN)
    share = pc.mean(pc.cast(looks, pa.float64())).as_py() or 0.0
    if share < _MOSTLY_NUMBERS:
        return
    position = pc.index(looks, False).as_py()
    raise DataError(
        f"{rows.locate(position)}: column '{name}' holds '{text[position].as_py()}' where "
        f"{int(share * 1000) / 10}% of the values are numbers",
        f"correct it, or say --category '{name}' if these are names",
    )


def _wrong_value(rows: Rows, name: str, position: int, wrong: str) -> DataError:
    value = rows.column(name)[position].as_py()
    return DataError(
        f"{rows.locate(position)}: column '{name}' holds '{value}', which {wrong}",
        "correct it, or leave it empty if it is unknown",
    )


def _wrong_type(rows: Rows, name: str, expected: str) -> DataError:
    return DataError(
        f"{rows.source}: column '{name}' has the type {rows.column(name).type}, where {expected} are needed",
        "convert the column, or leave it out with --drop when fitting",
    )
