"""The slices that a column makes: which values and bins, how they are named, and which columns make none."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from resmem_cli.data.kinds import Kind
from resmem_cli.data.rows import Rows
from resmem_cli.data.slicing import ColumnValues, Slicing
from resmem_cli.errors import DataError


def batches(*columns, is_text=False):
    return [Rows(pa.table({"x": each}), ((0, "rows.csv", 1),), is_text) for each in columns]


def sliced(*columns, is_text=False, kind=None, which=None) -> Slicing:
    values = ColumnValues("x", kind)
    for rows in batches(*columns, is_text=is_text):
        values.add(rows)
    n = sum(map(len, columns))
    return values.slicing(np.ones(n, dtype=np.bool_) if which is None else which)


def named(found: Slicing) -> list[str]:
    """The name of every row's slice."""
    return [found.names[code] for code in found.codes]


def as_text(values) -> pa.Array:
    return pa.array(["" if value is None else str(value) for value in values])


# Numbers


@pytest.mark.parametrize("is_text", [False, True], ids=["typed", "text"])
def test_few_numbers_are_slices_by_themselves(is_text):
    values = [3, 1, None, 2.5, 1]
    column = as_text(values) if is_text else pa.array(values, pa.float64())
    found = sliced(column, is_text=is_text)
    assert (found.bins, found.names) == ("value", ("1", "2.5", "3", "(missing)"))
    assert named(found) == ["3", "1", "(missing)", "2.5", "1"]


@pytest.mark.parametrize("is_text", [False, True], ids=["typed", "text"])
def test_many_numbers_are_put_into_bins_of_equally_many_rows(is_text):
    values = np.random.default_rng(0).permutation(np.arange(1_000) / 100).tolist()
    found = sliced(as_text(values) if is_text else pa.array(values), is_text=is_text)
    assert found.bins == "quantile"
    assert found.names == ("0 to 1.99", "2 to 3.99", "4 to 5.99", "6 to 7.99", "8 to 9.99")
    assert np.bincount(found.codes).tolist() == [200] * 5
    for value, name in zip(values, named(found), strict=True):
        low, high = map(float, name.split(" to "))
        assert low <= value <= high


def test_equal_numbers_are_in_one_bin():
    values = [0.0] * 700 + list(range(1, 301))
    found = sliced(pa.array(values, pa.float64()))
    assert found.names == ("0", "1 to 100", "101 to 300")
    assert np.bincount(found.codes).tolist() == [700, 100, 200]
    assert sliced(pa.array([-0.0] * 700 + list(range(1, 301)))).names[0] == "0"
    nearly_all_largest = sliced(pa.array(list(range(20)) + [50] * 980))
    assert nearly_all_largest.names == ("0 to 50",)


def test_names_have_the_digits_that_tell_slices_apart():
    values = np.linspace(-4.123456789, 4, 10_000)
    names = ("-4.12 to -2.5", "-2.5 to -0.875", "-0.874 to 0.75", "0.751 to 2.38", "2.38 to 4")
    assert sliced(pa.array(values)).names == names
    assert sliced(pa.array([1e20, 1.0, -0.0, 0.0, 1e-9, 123456.0])).names == ("0", "1e-09", "1", "123000", "1e+20")
    assert sliced(pa.array([0.123456789, 0.123456788])).names == ("0.123456788", "0.123456789")
    assert sliced(pa.array(1e9 * values)).names[1] == "-2.5e+09 to -8.75e+08"
    assert sliced(pa.array(values / 1e9)).names[1] == "-2.5e-09 to -8.75e-10"
    assert sliced(pa.array(1 + values / 1e5)).names[0] == "0.999959 to 0.999975"


def test_whole_numbers_are_named_as_they_are():
    assert sliced(pa.array(range(1_000_001, 1_001_001))).names[:2] == ("1000001 to 1000200", "1000201 to 1000400")
    assert sliced(pa.array(list(range(2001, 2021)))).names[0] == "2001 to 2004"


def test_bins_are_those_of_the_rows_that_count():
    which = np.arange(2_000) < 1_000
    found = sliced(pa.array(range(2_000)), which=which)
    assert found.names[-1] == "800 to 999"
    assert len(found.codes) == 1_000


def test_numbers_that_are_missing_everywhere_are_one_slice():
    assert sliced(pa.array([None, None], pa.float64())).names == ("(missing)",)
    assert sliced(pa.nulls(3)).names == ("(missing)",)
    assert sliced(pa.array(["", ""]), is_text=True).names == ("(missing)",)


# Times


def days(*, step: int, n: int = 100) -> pa.Array:
    return pa.array([dt.datetime(2024, 1, 1, 12) + dt.timedelta(days=step * i) for i in range(n)])


@pytest.mark.parametrize("is_text", [False, True], ids=["typed", "text"])
@pytest.mark.parametrize(
    ("column", "bins", "first"),
    [
        (days(step=1, n=8), "day", "2024-01-01"),
        (days(step=1, n=60), "week", "week of 2024-01-01"),
        (days(step=3), "month", "2024-01"),
        (days(step=9), "quarter", "2024-Q1"),
        (days(step=35), "year", "2024"),
        (days(step=365), "quantile", "2024-01-01 to 2042-12-27"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_times_are_put_into_the_finest_bins_of_which_there_are_not_too_many(column, bins, first, is_text):
    found = sliced(pc.cast(column, pa.string()) if is_text else column, is_text=is_text)
    assert (found.bins, found.names[0]) == (bins, first)
    assert 2 <= len(found.names) <= 12
    assert found.codes.tolist() == sorted(found.codes)


def test_a_time_is_in_the_bin_that_its_name_says():
    column = days(step=9)
    quarters = [f"{each.year}-Q{(each.month - 1) // 3 + 1}" for each in column.to_pylist()]
    assert named(sliced(column)) == quarters
    mondays = [each.date() - dt.timedelta(days=each.weekday()) for each in days(step=1, n=60).to_pylist()]
    assert named(sliced(days(step=1, n=60))) == [f"week of {each}" for each in mondays]


def test_a_missing_time_is_a_slice():
    found = sliced(pa.array([dt.datetime(2024, 1, 1), None]))
    assert named(found) == ["2024-01-01", "(missing)"]


# Text


def test_a_few_values_are_slices_the_most_frequent_first():
    found = sliced(pa.array(["b"] * 3 + ["a"] * 40 + ["c", None, ""]))
    assert (found.bins, found.names) == ("value", ("a", "b", "c", "(missing)"))
    assert np.bincount(found.codes).tolist() == [40, 3, 1, 2]


def test_of_more_values_the_rare_ones_are_pooled():
    found = sliced(pa.array(["b"] * 40 + ["a"] * 30 + ["c"] * 29 + [f"d{i}" for i in range(8)] + [None, ""]))
    assert found.names == ("b", "a", "(other)", "(missing)")
    assert np.bincount(found.codes).tolist() == [40, 30, 37, 2]


def test_where_all_values_are_rare_the_most_frequent_are_shown():
    found = sliced(pa.array([f"v{i % 25}" for i in range(51)]))
    assert found.names == ("v0", *(f"v{i}" for i in range(1, 20)), "(other)")


def test_of_very_many_values_the_most_frequent_are_slices():
    found = sliced(pa.array([f"v{i % 40}" for i in range(4_000)]))
    assert len(found.names) == 21
    assert found.names[-1] == "(other)"


@pytest.mark.parametrize("is_text", [False, True], ids=["typed", "text"])
def test_truth_values_are_slices(is_text):
    column = pa.array(["true", "false", ""]) if is_text else pa.array([True, False, None])
    assert named(sliced(column, is_text=is_text)) == ["true", "false", "(missing)"]


def test_what_the_model_takes_for_categories_is_not_put_into_bins():
    column = as_text(i % 40 for i in range(4_000))
    assert len(sliced(column, is_text=True, kind=Kind.CATEGORY).names) == 21
    assert sliced(column, is_text=True).bins == "quantile"


def test_digits_that_begin_with_a_zero_are_names():
    assert sliced(pa.array(["01", "10", "01"]), is_text=True).names == ("01", "10")


def test_a_few_words_among_numbers_make_them_text():
    column = as_text([1, 2, 3, 4] * 40 + ["none of them"] * 40)
    assert sliced(column, is_text=True).names == ("1", "2", "3", "4", "none of them")


# Several batches


def test_batches_are_one_column():
    values = [str(i % 3) for i in range(300)]
    whole = sliced(pa.array(values), kind=Kind.CATEGORY)
    parts = sliced(*(pa.array(values[i : i + 70]) for i in range(0, 300, 70)), kind=Kind.CATEGORY)
    assert named(parts) == named(whole)


def test_what_a_batch_holds_alone_does_not_decide_for_the_column():
    found = sliced(as_text([1, 2, 1]), as_text(["a", "b", "a"]), is_text=True)
    assert named(found) == ["1", "2", "1", "a", "b", "a"]


def test_text_beside_numbers_and_times_of_another_format_is_read_alike():
    values = ColumnValues("x")
    for rows in (*batches(as_text([1, 2, ""]), is_text=True), *batches(pa.array([2.0, None, 3.5]))):
        values.add(rows)
    assert named(values.slicing(np.ones(6, dtype=np.bool_))) == ["1", "2", "(missing)", "2", "(missing)", "3.5"]
    values = ColumnValues("x")
    for rows in (*batches(pa.array(["2024-01-01"]), is_text=True), *batches(pa.array([dt.datetime(2024, 1, 2, 3)]))):
        values.add(rows)
    assert named(values.slicing(np.ones(2, dtype=np.bool_))) == ["2024-01-01", "2024-01-02"]


# What makes no slices


def test_free_text_is_refused():
    with pytest.raises(DataError) as caught:
        sliced(pa.array([f"a remark on row {i}" for i in range(300)]))
    assert str(caught.value) == (
        "column 'x' has 300 different values in 300 rows, too many to compare; name a column whose values repeat, or "
        "add one that puts the rows into groups"
    )


def test_a_large_batch_is_enough_to_refuse_free_text():
    values = ColumnValues("x")
    values.add(batches(as_text(range(10_000)), is_text=True)[0])  # numbers, which are not known for such yet
    (rows,) = batches(pa.array([f"a remark on row {i}" for i in range(10_000)]))
    with pytest.raises(DataError, match=r"rows\.csv: column 'x' has 10,000 different values in 10,000 rows"):
        values.add(rows)


@pytest.mark.parametrize("column", [pa.array([[1.0, 2.0]]), pa.array([{"a": 1}])], ids=["vector", "struct"])
def test_what_cannot_be_compared_is_refused(column):
    with pytest.raises(DataError, match="whose values make no slices; name a column of numbers, text, true and false"):
        sliced(column)
