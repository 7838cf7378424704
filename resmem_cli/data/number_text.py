"""Numbers as people write them: 1.234,50 and 1 234,50, € 3.20, 12 %, (1,234) and 5- for negative ones."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resmem_cli.data.dialect import COMMA, PERCENT, POINT, Dialect

_SPACES = r" \x{a0}\x{202f}\x{2009}"
_BETWEEN = {"": None, ".": r"\.", ",": ",", " ": f"[{_SPACES}]", "'": r"['\x{2019}]"}
_UNIT = r"%|\p{Sc}|EUR|USD|GBP|CHF|JPY|CNY|SEK|NOK|DKK|PLN|CZK|HUF|kr|zł"
_EXPONENT = r"(?:[eE][+-]?[0-9]+)?"
_MINUS = "-\N{MINUS SIGN}"
_AROUND = (
    (
        r"^(?P<open>\(?)(?P<first>[+M]?)[S]*(?P<before>UNIT)?[S]*(?P<second>[+M]?)(?P<core>CORE)"
        r"[S]*(?P<after>UNIT)?[S]*(?P<last>[M]?)(?P<close>\)?)$"
    )
    .replace("S", _SPACES)
    .replace("UNIT", _UNIT)
    .replace("M", "\\" + _MINUS)
)
# Digits with any marks, of which the meaning is to be found out.
_ANY_CORE = rf"(?:[0-9][0-9.,'\x{{2019}}{_SPACES}]*[0-9.,]|[0-9]|[.,][0-9]+){_EXPONENT}"


def core_pattern(decimal: str, thousands: str) -> str:
    """Return the pattern of a number without sign and unit; groups between thousands are all of three digits."""
    between = _BETWEEN[thousands]
    grouped = "" if between is None else rf"[1-9][0-9]{{0,2}}(?:{between}[0-9]{{3}})+|"
    mark = re.escape(decimal)
    return rf"(?:(?:{grouped}[0-9]+)(?:{mark}[0-9]*)?|{mark}[0-9]+){_EXPONENT}"


def parts(text: Any, core: str = _ANY_CORE) -> Any:
    """Return the parts of texts that are numbers, null of all others: open, first, before, second, core, ..."""
    return pc.extract_regex(text, _AROUND.replace("CORE", core))


def unit_of(found: Any) -> Any:
    """Return the signs of numbers in parts, "" where there is none."""
    return pc.binary_join_element_wise(pc.struct_field(found, "before"), pc.struct_field(found, "after"), "")


def is_number(text: Any, dialect: Dialect, unit: str) -> Any:
    """Return whether texts are numbers of a column with a unit, or without one; null where missing."""
    found = parts(text, core_pattern(dialect.point, dialect.thousands or ""))
    known = pc.is_valid(found)
    sign = pc.fill_null(unit_of(found), "")
    is_bare = pc.equal(sign, "")
    if unit == PERCENT and not dialect.is_told:  # 0.12 may be 12 %, but 0 is 0 %
        is_bare = pc.and_(is_bare, is_zero(pc.struct_field(found, "core")))
    fits = pc.and_(known, pc.or_(is_bare, pc.equal(sign, unit)))
    if dialect.is_assumed:
        fits = pc.and_(fits, pc.invert(is_ambiguous(found)))
    return pc.if_else(pc.is_null(text), pa.scalar(None, pa.bool_()), pc.and_(fits, _is_signed_once(found)))


def plain(text: Any, dialect: Dialect) -> Any:
    """Return texts that `is_number` says are numbers as programs write them: -1234.5; the others are null."""
    core = core_pattern(dialect.point, dialect.thousands or "")
    simple = pc.match_substring_regex(text, f"^[+-]?{core}$")
    if pc.all(pc.fill_null(simple, True)).as_py():
        return _without_marks(text, dialect)
    found = parts(text, core)
    number = _without_marks(pc.struct_field(found, "core"), dialect)
    return pc.if_else(_is_negative(found), pc.binary_join_element_wise("-", number, ""), number)


def is_ambiguous(found: Any) -> Any:
    """Return whether numbers in parts have one mark before their last three digits, which may mean either thing."""
    return pc.fill_null(
        pc.match_substring_regex(pc.struct_field(found, "core"), r"^[1-9][0-9]{0,2}[.,][0-9]{3}$"), False
    )


def is_zero(cores: Any) -> Any:
    """Return whether numbers without sign and unit are 0."""
    return pc.fill_null(pc.match_substring_regex(cores, r"^[0.,]+$"), False)


def _without_marks(text: Any, dialect: Dialect) -> Any:
    between = _BETWEEN[dialect.thousands or ""]
    if between is not None:
        text = pc.replace_substring_regex(text, between, "")
    return text if dialect.point == POINT else pc.replace_substring(text, COMMA, POINT)


def _is_signed_once(found: Any) -> Any:
    """Return whether numbers have one sign at most, of which brackets are one, and both brackets or none."""
    is_open, is_closed = (pc.not_equal(pc.struct_field(found, name), "") for name in ("open", "close"))
    n_signs = _sum_of([pc.not_equal(pc.struct_field(found, name), "") for name in ("open", "first", "second", "last")])
    return pc.fill_null(pc.and_(pc.equal(is_open, is_closed), pc.less_equal(n_signs, 1)), False)


def _is_negative(found: Any) -> Any:
    signs = [pc.is_in(pc.struct_field(found, name), pa.array(list(_MINUS))) for name in ("first", "second", "last")]
    return pc.or_(pc.equal(pc.struct_field(found, "open"), "("), pc.or_(signs[0], pc.or_(signs[1], signs[2])))


def _sum_of(flags: list[Any]) -> Any:
    """Return how many of several flags are true, element by element."""
    first, *others = (pc.cast(flag, pa.int8()) for flag in flags)
    for other in others:
        first = pc.add(first, other)
    return first
