"""One text form of a value, whatever column type or program has written it: ids, labels and categories go by it.

A whole number is its digits: pandas writes the 17 of a column with a missing value as "17.0", SQL the one of a decimal
as "17.00", Arrow the float 12345678901 as "1.2345678901e+10". An instant is ISO 8601 in UTC without what is zero; a day
is its midnight. Truth is "true" or "false". Everything else is as it is written: "007" is not 7, and "1.10" is not 1.1.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from decimal import Decimal

# What may have another form than its own: for whoever looks through many texts and can leave the rest alone. It is
# written so that Python and RE2 (Arrow's) read the same in it.
ODD = (
    r"^(-0|-?(0|[1-9][0-9]*)\.0+|-?[0-9](\.[0-9]+)?e[+-][0-9]{1,3}|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9:.+Z-]+"
    r"|[tT][rR][uU][eE]|[fF][aA][lL][sS][eE])$"
)
_WHOLE = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.0+)?", re.ASCII)
_SCIENTIFIC = re.compile(r"-?[0-9](\.[0-9]+)?e[+-][0-9]{1,3}", re.ASCII)
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"(Z|[+-][0-9]{2}(?::?[0-9]{2}(?::?[0-9]{2})?)?)?",
    re.ASCII,
)
_MAY_HAVE_FORMS = re.compile(r"[-0-9]|true$|false$", re.IGNORECASE)  # how numbers, instants and truths begin
_MOST_DIGITS = 40  # before or after the point, of a number with an exponent: more than any id or decimal has


def canonical(text: str) -> str:
    """Return the one form of a text that stands for a value.

    Args:
        text: as a file holds it, or as Arrow, pandas or Python writes a value.
    """
    first = text[:1]
    if first in "tTfF":
        lower = text.lower()
        return lower if lower in ("true", "false") else text
    if not (first.isdigit() or first == "-"):
        return text
    if whole := _WHOLE.fullmatch(text):
        sign, digits = whole.groups()
        return digits if digits == "0" else sign + digits
    if instant := _INSTANT.fullmatch(text):
        return _utc(instant)
    return _plain(text) if _SCIENTIFIC.fullmatch(text) else text


def may_have_forms(text: str) -> bool:
    """Whether other texts may stand for the same value; if not, texts can be compared, and ordered, as they are."""
    return _MAY_HAVE_FORMS.match(text) is not None


def shared(texts: Iterable[str]) -> dict[str, list[str]]:
    """Return by canonical form the texts that share it, where there are two or more."""
    groups: dict[str, list[str]] = {}
    for text in texts:
        groups.setdefault(canonical(text), []).append(text)
    return {form: group for form, group in groups.items() if len(group) > 1}


def _plain(text: str) -> str:
    """Return a number with an exponent without one, if that is of a bearable length."""
    value = Decimal(text)
    if abs(value.adjusted()) > _MOST_DIGITS:
        return text
    plain = f"{value:f}"
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if value == 0 else plain


def _utc(found: re.Match[str]) -> str:
    """Return an instant in UTC, "2024-01-31T10:00:00.5"; what is no instant, such as the 30th of February, as it is."""
    day, minute, second, fraction, zone = found.groups()
    try:
        instant = dt.datetime.fromisoformat(f"{day}T{minute}:{second or '00'}")
        if zone is not None and zone != "Z":
            digits = zone[1:].replace(":", "").ljust(6, "0")  # of towns before 1911 seconds, too
            hours, minutes, seconds = (int(digits[at : at + 2]) for at in (0, 2, 4))
            offset = dt.timedelta(hours=hours, minutes=minutes, seconds=seconds)
            instant -= -offset if zone[0] == "-" else offset
    except (ValueError, OverflowError):
        return found.string
    rest = (fraction or "").rstrip("0")
    if not rest and instant.time() == dt.time(0):
        return instant.date().isoformat()
    return instant.isoformat() + (f".{rest}" if rest else "")
