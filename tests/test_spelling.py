"""Spelling: every writing of a value has one form, and what is not that value has another."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resmem_cli.spelling import ODD, canonical, shared


@pytest.mark.parametrize(
    ("form", "writings"),
    [
        ("17", ["17", "17.0", "17.00", "17.000000"]),
        ("-3", ["-3", "-3.0"]),
        ("0", ["0", "-0", "0.0", "-0.0"]),
        ("9007199254740993", ["9007199254740993", "9007199254740993.0"]),
        ("18446744073709551615", ["18446744073709551615", "18446744073709551615.00"]),
        ("12345678901", ["12345678901", "1.2345678901e+10", "12345678901.0"]),
        ("10000000000000000", ["1e+16", "10000000000000000"]),
        ("0.00001", ["1e-05", "1e-5", "0.00001"]),
        ("12345678901.5", ["1.23456789015e+10", "12345678901.5"]),
        ("true", ["true", "True", "TRUE"]),
        ("false", ["false", "False"]),
        ("2024-01-01", ["2024-01-01", "2024-01-01 00:00:00", "2024-01-01T00:00:00.000000", "2024-01-01T00:00Z"]),
        ("2024-01-01T10:00:00", ["2024-01-01 10:00", "2024-01-01T12:00:00+02:00", "2024-01-01 02:00:00.000-0800"]),
        ("1900-01-01", ["1900-01-01 00:09:21+00:09:21", "1899-12-31T23:59:00-000100"]),
        ("2023-12-31T23:00:00", ["2024-01-01T01:00+02", "2023-12-31 23:00:00.000000000"]),
        ("2024-01-01T10:00:00.12", ["2024-01-01 10:00:00.120", "2024-01-01T10:00:00.120000000Z"]),
    ],
)
def test_a_value_has_one_form_however_it_is_written(form, writings):
    assert {canonical(each) for each in writings} == {form}


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "a", "t", "007", "00.0", "01", "+1", "1.", ".5", "1 ", " 1", "1.10", "1,0", "12e4", "1E+16", "0x1F"),
        *("2024-02-30T00:00", "2024-01-01 ", "2024-1-1", "2024-01-01T25:00", "10:00:00", "2.0.0", "2.0\n", "truer"),
        *("0001-01-01T00:00:00+01:00", "٣.0", "NaN", "-", "--1", "1-1.0"),
    ],
)
def test_other_text_is_its_own_form(text):
    assert canonical(text) == text


@given(st.text(alphabet="0123456789.-+eETZ: truefalsFALSETRU", max_size=30) | st.text(max_size=5))
def test_a_form_is_its_own_form_and_text_that_is_not_odd_is_its_own(text):
    assert canonical(canonical(text)) == canonical(text)
    if not re.search(ODD, text):
        assert canonical(text) == text


@given(st.integers(-(2**63), 2**64 - 1))
def test_an_integer_is_the_same_as_a_decimal_and_with_a_point(number):
    forms = {str(number), f"{number}.0", str(Decimal(number).quantize(Decimal("0.01")))}
    assert {canonical(form) for form in forms} == {str(number)}


@given(st.integers(-(2**53), 2**53).map(float))
def test_a_whole_float_is_its_digits(number):
    assert canonical(repr(number)) == str(int(number))


@given(st.floats(-1e39, 1e39))
def test_the_form_of_a_float_is_that_float_and_has_no_exponent(number):
    form = canonical(repr(number))
    assert float(form) == number
    assert "e" not in form or abs(number) < 1e-39


@given(st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)), st.integers(-14 * 60, 14 * 60))
def test_an_instant_is_the_same_in_every_zone(instant, minutes):
    there = instant.replace(tzinfo=dt.UTC).astimezone(dt.timezone(dt.timedelta(minutes=minutes)))
    assert canonical(str(there)) == canonical(there.isoformat()) == canonical(str(instant))


@given(st.lists(st.integers(0, 30).map(str) | st.integers(0, 30).map("{:02}".format), unique=True))
def test_text_with_zeros_before_it_shares_its_form_with_none(texts):
    assert shared(texts) == {}


def test_texts_that_share_a_form_are_found():
    assert shared(["1", "a", "1.0", "2.0", "TRUE", "01", "true"]) == {"1": ["1", "1.0"], "true": ["TRUE", "true"]}
