"""Dates as people write them: 31.12.2024, 12/31/2024, 2024/12/31 8:15. ISO 8601 needs nothing of this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from resmem_cli.data.date_format import TIME, DateFormat
from resmem_cli.data.rows import to_booleans, to_floats

PIVOT = 69  # of years of two digits, as POSIX has it: 68 is 2068, and 69 is 1969
# What looks like a date of which only the order is not known; of two-digit years not with hyphens, as codes have them.
LOOKS = (
    r"^(?:[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{4}|[0-9]{4}[./][0-9]{1,2}[./][0-9]{1,2}|"
    r"[0-9]{1,2}[./][0-9]{1,2}[./][0-9]{2})" + TIME + "$"
)
_MONTH = (
    r"(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)\.?"
)
_HALF_DAY = r" ?[AaPp]\.?[Mm]\.?$"
# What is a date to a reader, but none that is read: of names of months.
_NAMED = (
    rf"^(?:[a-zA-Z]+,? )?(?:[0-9]{{1,2}}\.?[ /-]?{_MONTH}[ /-]?,? ?(?:[0-9]{{4}}|[0-9]{{2}})|"
    rf"{_MONTH}[ /-]?[0-9]{{1,2}},?[ /-][0-9]{{4}})(?:,?[T ].*)?$"
)
_ORDERS, _SHORT_ORDERS = ("dmy", "mdy", "ymd"), ("dms", "mds", "smd")


def looks_like_one(text: str) -> bool:
    """Whether a text may be a date of which the order is not known."""
    return bool(pc.match_substring_regex(pa.scalar(text.strip()), LOOKS).as_py())


def to_iso(text: Any, form: DateFormat) -> Any:
    """Return texts with those in a format as ISO 8601, and all others as they are."""
    parts = pc.extract_regex(text, form.pattern)
    day, month, year, time = (pc.struct_field(parts, name) for name in ("d", "m", "y", "time"))
    if "s" in form.order:
        late = pc.greater_equal(pc.cast(year, pa.int64()), PIVOT)
        year = pc.binary_join_element_wise(pc.if_else(late, "19", "20"), year, "")
    date = pc.binary_join_element_wise(year, pc.utf8_lpad(month, 2, "0"), pc.utf8_lpad(day, 2, "0"), "-")
    time = pc.replace_substring_regex(time, r"^[T ] ?([0-9]):", r" 0\1:")
    time = pc.replace_substring_regex(time, r"^[T ] ?", " ")
    return pc.coalesce(pc.binary_join_element_wise(date, time, ""), text)


@dataclass(frozen=True)
class Reading:
    """How a column of dates can be read: formats that fit every value, or else the one that fits most of them.

    Attributes:
        formats: that fit; of several, each reads some value as another day than the others do.
        nearly: a format that fits nearly all.
        odd: a value that it does not fit.
    """

    formats: tuple[DateFormat, ...] = ()
    nearly: DateFormat | None = None
    odd: str = ""


def read(values: pa.Array, counts: NDArray[np.int64], mostly: float) -> Reading | None:
    """Return how distinct values, which are in `counts` rows, can be read; None if they are no dates.

    Args:
        values: [n] texts without missing ones.
        counts: [n] rows that have each.
        mostly: the share of the rows from which on the rest is more likely a mistake than something else.
    """
    if not counts.sum() or counts[to_booleans(pc.match_substring_regex(values, LOOKS))].sum() < mostly * counts.sum():
        return None
    found = [(form, *_days(values, form)) for form in _formats()]
    fitting = [(form, days) for form, fits, days in found if fits.all()]
    distinct: list[tuple[DateFormat, NDArray[np.float64]]] = []
    for form, days in fitting:
        if not any(np.array_equal(days, other) for _, other in distinct):
            distinct.append((form, days))
    if distinct:
        return Reading(tuple(form for form, _ in distinct))
    form, fits, _ = max(found, key=lambda each: counts[each[1]].sum())
    if counts[fits].sum() < mostly * counts.sum():
        return None
    return Reading((), form, values[int(np.flatnonzero(~fits)[0])].as_py())


def unread(values: pa.Array, counts: NDArray[np.int64], mostly: float) -> str | None:
    """Return the first of the values that look like dates, as those do that are one in any order or name a month.

    Returns None if they are less than `mostly` of all rows; `read` says what the arguments are.
    """
    dates = pc.replace_substring_regex(values, _HALF_DAY, "")
    looks = to_booleans(pc.match_substring_regex(dates, LOOKS))
    named = to_booleans(pc.match_substring_regex(values, _NAMED))
    if not counts.sum() or counts[looks | named].sum() < mostly * counts.sum():
        return None
    found = named | (looks & np.logical_or.reduce([_days(dates, form)[0] for form in _formats()]))
    return None if counts[found].sum() < mostly * counts.sum() else str(values[int(np.flatnonzero(found)[0])].as_py())


def _formats() -> Sequence[DateFormat]:
    every = [DateFormat(order, separator) for order in (*_ORDERS, *_SHORT_ORDERS) for separator in "./"]
    return [*every, DateFormat("dmy", "-"), DateFormat("mdy", "-")]  # with hyphens the year first is ISO 8601


def _days(values: pa.Array, form: DateFormat) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return [n] which values are dates in a format, and as a number each day that they are then."""
    parts = pc.extract_regex(values, form.pattern)
    day, month, year = (to_floats(pc.cast(pc.struct_field(parts, name), pa.float64())) for name in ("d", "m", "y"))
    fits = (day >= 1) & (day <= 31) & (month >= 1) & (month <= 12)
    return fits, np.where(fits, year * 10_000 + month * 100 + day, np.nan)
