"""Reading fields of stored JSON, which no hash covers: every one by its type, its size and its range.

A field that is missing is a KeyError, one that is something else a ValueError that says what; both name the field.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

Fields = Mapping[str, Any]

LARGEST = 1 << 53  # of whole numbers: beyond, not every one is a number of JSON's
_LONGEST = 1 << 20  # of a text
_HALF = re.compile("[\ud800-\udfff]")


def whole(fields: Fields, name: str, least: int = 0, most: int = LARGEST) -> int:
    """Return a whole number between two others."""
    value = fields[name]
    if type(value) is not int or not least <= value <= most:
        raise _wrong(name, value, f"a whole number of {least} to {most}")
    return value


def number(fields: Fields, name: str, least: float = -math.inf, most: float = math.inf) -> float:
    """Return a finite number between two others."""
    value = fields[name]
    if type(value) not in (int, float) or not least <= value <= most or not abs(value) < math.inf:
        raise _wrong(name, value, "a number" if math.isinf(least) else f"a number from {least:g}")
    return float(value)


def maybe_infinite(fields: Fields, name: str, least: float = -math.inf) -> float:
    """Return a number that may be infinite, which JSON has as text, or unknown, which it has as null: NaN."""
    value = fields[name]
    if value is None:
        return math.nan
    return float(value) if value in ("inf", "-inf") and float(value) >= least else number(fields, name, least)


def text(fields: Fields, name: str, among: Iterable[str] | None = None) -> str:
    """Return a text, which may have to be one of several."""
    value = fields[name]
    if not isinstance(value, str) or not _is_text(value):
        raise _wrong(name, value, "a text")
    if among is not None and value not in among:
        raise _wrong(name, value, "one of " + ", ".join(among))
    return value


def maybe_text(fields: Fields, name: str) -> str | None:
    """Return a text or None."""
    return None if fields[name] is None else text(fields, name)


def flag(fields: Fields, name: str) -> bool:
    """Return true or false."""
    value = fields[name]
    if not isinstance(value, bool):
        raise _wrong(name, value, "true or false")
    return value


def texts(fields: Fields, name: str) -> tuple[str, ...]:
    """Return a list of texts."""
    values = items(fields, name)
    if not all(isinstance(value, str) and _is_text(value) for value in values):
        raise _wrong(name, values, "a list of texts")
    return tuple(values)


def items(fields: Fields, name: str) -> list[Any]:
    """Return a list of anything."""
    value = fields[name]
    if not isinstance(value, list):
        raise _wrong(name, value, "a list")
    return value


def group(fields: Fields, name: str) -> dict[str, Any]:
    """Return fields within a field."""
    value = fields[name]
    if not isinstance(value, dict):
        raise _wrong(name, value, "a group of fields")
    return value


def groups(fields: Fields, name: str) -> list[dict[str, Any]]:
    """Return a list of groups of fields."""
    values = items(fields, name)
    if not all(isinstance(value, dict) for value in values):
        raise _wrong(name, values, "a list of groups of fields")
    return values


def _is_text(value: str) -> bool:
    """Whether it is of a bearable length, and no half of a surrogate pair, which JSON can hold and nobody can write."""
    return len(value) <= _LONGEST and (value.isascii() or not _HALF.search(value))


def _wrong(name: str, value: Any, wanted: str) -> ValueError:
    shown = repr(value)
    return ValueError(f"{name} is {shown if len(shown) < 60 else shown[:60] + ' …'}, not {wanted}")
