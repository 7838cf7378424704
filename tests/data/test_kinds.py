"""Kinds: the same values give the same numbers, as text or in any Arrow type, and wrong ones are named."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resmem_cli.data import kinds, text_kinds
from resmem_cli.data.kinds import TIMESTAMP_PARTS, Kind
from resmem_cli.data.rows import Rows, concatenate
from resmem_cli.errors import DataError

UTC = dt.UTC
PARIS = dt.timezone(dt.timedelta(hours=1))
NOON = dt.datetime(2024, 2, 29, 12, 30)
NAN = float("nan")
CORRECT = "correct it, or leave it empty if it is unknown"


def rows(values, arrow_type=None, *, source="t.csv", first=1) -> Rows:
    column = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, arrow_type)
    return Rows(pa.table({"x": column}), ((0, source, first),), is_text=column.type == pa.string())


def same(found, expected) -> bool:
    return np.array_equal(found, np.array(expected, dtype=float), equal_nan=True)


@pytest.mark.parametrize(
    ("arrow_type", "kind"),
    [
        (pa.int8(), Kind.NUMBER),
        (pa.uint64(), Kind.NUMBER),
        (pa.float16(), Kind.NUMBER),
        (pa.float32(), Kind.NUMBER),
        (pa.decimal128(10, 2), Kind.NUMBER),
        (pa.decimal256(50, 2), Kind.NUMBER),
        (pa.bool_(), Kind.BOOLEAN),
        (pa.timestamp("ns"), Kind.TIMESTAMP),
        (pa.timestamp("s", "Europe/Paris"), Kind.TIMESTAMP),
        (pa.date32(), Kind.TIMESTAMP),
        (pa.date64(), Kind.TIMESTAMP),
        (pa.string(), Kind.CATEGORY),
        (pa.large_string(), Kind.CATEGORY),
        (pa.string_view(), Kind.CATEGORY),
        (pa.dictionary(pa.int8(), pa.string()), Kind.CATEGORY),
        (pa.dictionary(pa.int32(), pa.int64()), Kind.NUMBER),
        (pa.binary(), None),
        (pa.time32("s"), None),
        (pa.duration("us"), None),
        (pa.list_(pa.float32()), Kind.VECTOR),
        (pa.list_(pa.float32(), 3), Kind.VECTOR),
        (pa.large_list(pa.int8()), Kind.VECTOR),
        (pa.list_(pa.string()), None),
        (pa.struct([("a", pa.int64())]), None),
        (pa.null(), None),
    ],
)
def test_every_arrow_type_has_a_kind_or_is_of_no_use(arrow_type, kind):
    assert kinds.kind_of(arrow_type) is kind


@pytest.mark.parametrize(
    ("values", "arrow_type", "text"),
    [
        ([1, None, -3], pa.int8(), ["1", None, "-3"]),
        ([1, None], pa.int64(), ["1", ""]),
        ([2**63 + 2048], pa.uint64(), ["9223372036854777856"]),
        ([2**53 + 1], pa.int64(), ["9007199254740993"]),
        ([1.5, None, NAN], pa.float16(), ["1.5", None, "nan"]),
        ([1.5, None, NAN], pa.float32(), ["1.5", None, "NaN"]),
        ([0.1, 1e-300, -0.0], pa.float64(), ["0.1", "1e-300", "-0.0"]),
        ([Decimal("0.10"), None], pa.decimal128(10, 2), ["0.10", None]),
        ([Decimal("5.70"), Decimal("64.44"), Decimal("1009.29")], pa.decimal128(10, 2), ["5.7", "64.44", "1009.29"]),
        ([Decimal("63864711.69442464")], pa.decimal128(38, 8), ["63864711.69442464"]),
        ([Decimal("123456789.125")], pa.decimal256(60, 3), ["123456789.125"]),
        ([None, None], pa.null(), [None, ""]),
        (["1", None], pa.large_string(), ["1", None]),
        (["1.5", None, " 2"], pa.string_view(), ["1.5", None, " 2"]),
    ],
)
def test_a_number_is_the_same_number_in_every_type_and_as_text(values, arrow_type, text):
    typed = kinds.as_number(rows(values, arrow_type), "x")
    assert typed.dtype == np.float64
    assert same(typed, kinds.as_number(rows(text, pa.string()), "x"))
    assert np.isnan(typed).tolist() == [value is None or bool(np.isnan(float(value))) for value in values]


@settings(deadline=None)
@given(st.lists(st.decimals(-(10**9), 10**9, allow_nan=False, allow_infinity=False, places=3), min_size=1, max_size=20))
def test_a_decimal_is_the_float_nearest_to_it(decimals):
    found = kinds.as_number(rows(decimals, pa.decimal128(20, 3)), "x")
    assert found.tolist() == [float(value) for value in decimals]


@settings(deadline=None)
@given(st.lists(st.floats(-kinds.LARGEST, kinds.LARGEST), min_size=1, max_size=20))
def test_a_float_survives_as_text(floats):
    assert kinds.as_number(rows([repr(value) for value in floats]), "x").tolist() == floats


@pytest.mark.parametrize("word", kinds.MISSING_WORDS)
def test_the_words_for_missing_are_missing_in_numbers_booleans_and_timestamps(word):
    assert np.isnan(kinds.as_number(rows(["1", word, f" {word} "]), "x")).tolist() == [False, True, True]
    assert np.isnan(kinds.as_boolean(rows(["true", word, f" {word} "]), "x")).tolist() == [False, True, True]
    assert np.isnan(kinds.as_timestamp(rows(["2024-01-01", word, f" {word} "]), "x")).tolist() == [False, True, True]


@pytest.mark.parametrize("word", kinds.MISSING_WORDS)
@pytest.mark.parametrize(
    ("values", "arrow_type"),
    [
        (["1", "2"], pa.int64()),
        (["1", "2.5"], pa.float64()),
        (["true", "FALSE"], pa.bool_()),
        (["2024-01-01", "2024-01-02 10:00"], pa.timestamp("us")),
    ],
)
def test_the_words_for_missing_do_not_make_a_column_text(word, values, arrow_type):
    inferred = text_kinds.infer(rows([*values, word, "", "  ", None]), "x")
    assert inferred.type == arrow_type
    assert inferred.null_count == 4


def test_in_categories_only_nothing_is_missing():
    found = kinds.as_category(rows(["NA", "", None, " ", "?", "a "]), "x")
    assert found.to_pylist() == ["NA", None, None, " ", "?", "a "]


@pytest.mark.parametrize(
    ("text", "number"),
    [("1 ", 1), (" 2", 2), ("\t3\t", 3), ("+4", 4), ("5.", 5), (".5", 0.5), ("1e3", 1000), ("-0", 0)],
)
def test_numbers_may_be_written_in_these_ways(text, number):
    assert kinds.as_number(rows([text]), "x").tolist() == [number]
    assert text_kinds.infer(rows([text]), "x").to_pylist() == [number]


@pytest.mark.parametrize("text", ["x", "1_000", "0x1F", "true", "2024-01-01", "--", "٣"])
def test_text_in_a_number_column_is_named_with_file_row_column_and_value(text):
    with pytest.raises(DataError) as caught:
        kinds.as_number(rows(["1", None, " 2 ", "NA", text, "y"]), "x")
    assert str(caught.value) == f"t.csv, row 5: column 'x' holds '{text}', which is not a number; {CORRECT}"


@pytest.mark.parametrize("text", ["1 2", "1,5", "12%", "$5"])
def test_a_number_that_is_written_otherwise_is_named_with_the_options_that_say_how(text):
    with pytest.raises(DataError) as caught:
        kinds.as_number(rows(["1", None, " 2 ", "NA", text, "y"]), "x")
    assert str(caught.value) == (
        f"t.csv, row 5: column 'x' holds '{text}', which is not a number; correct it, or say how numbers are written "
        "with --decimal and --thousands"
    )


@pytest.mark.parametrize("position", [0, 1, 63, 64, 99])
def test_the_first_wrong_value_is_the_one_that_is_named(position):
    values = ["1"] * 100
    values[position:] = ["x"] * (100 - position)
    with pytest.raises(DataError, match=f"^t.csv, row {position + 1}: "):
        kinds.as_number(rows(values), "x")


def test_a_wrong_value_is_shown_as_it_was_written():
    with pytest.raises(DataError, match="holds ' x ', which"):
        kinds.as_number(rows([" x "]), "x")


def test_a_wrong_value_in_the_second_file_is_named_with_its_row_there():
    both = concatenate([rows(["1", "2"], source="a.csv"), rows(["3", "x"], source="b.csv")])
    with pytest.raises(DataError) as caught:
        kinds.as_number(both, "x")
    assert str(caught.value) == f"b.csv, row 2: column 'x' holds 'x', which is not a number; {CORRECT}"


def test_a_wrong_value_in_a_later_batch_is_named_with_its_row_in_the_file(file, read):
    path = file("a.csv", "x\n" + "1\n" * 2_500 + "oops\n")
    batches = read(path, batch_rows=1_000)
    kinds.as_number(batches[0], "x")
    with pytest.raises(DataError) as caught:
        kinds.as_number(batches[-1], "x")
    assert str(caught.value) == f"{path}, row 2,501: column 'x' holds 'oops', which is not a number; {CORRECT}"


@pytest.mark.parametrize(
    ("values", "arrow_type"),
    [
        (["1", "inf"], pa.string()),
        (["1", "-Infinity"], pa.string()),
        (["1", "1e400"], pa.string()),
        ([1.0, float("inf")], pa.float64()),
        ([1.0, float("-inf")], pa.float32()),
    ],
)
def test_an_infinite_number_is_refused_with_its_row(values, arrow_type):
    with pytest.raises(DataError) as caught:
        kinds.as_number(rows(values, arrow_type), "x")
    assert str(caught.value) == (
        "t.csv, row 2: column 'x' holds an infinite value; replace it by a number, or leave it empty if it is unknown"
    )


@pytest.mark.parametrize(
    ("convert", "arrow_type", "expected"),
    [
        (kinds.as_number, pa.date32(), "numbers"),
        (kinds.as_number, pa.binary(), "numbers"),
        (kinds.as_number, pa.list_(pa.int64()), "numbers"),
        (kinds.as_category, pa.list_(pa.int64()), "categories"),
        (kinds.as_category, pa.time64("us"), "categories"),
        (kinds.as_boolean, pa.date32(), "booleans"),
        (kinds.as_timestamp, pa.int64(), "timestamps"),
        (kinds.as_timestamp, pa.bool_(), "timestamps"),
    ],
)
def test_a_column_of_a_type_without_such_values_is_refused(convert, arrow_type, expected):
    with pytest.raises(DataError) as caught:
        convert(rows([None], arrow_type), "x")
    assert str(caught.value) == (
        f"t.csv: column 'x' has the type {arrow_type}, where {expected} are needed; "
        "convert the column, or leave it out with --drop when fitting"
    )


@pytest.mark.parametrize(
    ("values", "arrow_type"),
    [
        ([True, False, None], pa.bool_()),
        ([1, 0, None], pa.int64()),
        ([1.0, 0.0, NAN], pa.float64()),
        (["true", "false", None], pa.string()),
        (["True", "FALSE", ""], pa.string()),
        ([" 1 ", "0", "NA"], pa.string()),
        (["true", "false", "null"], pa.large_string()),
        (["TRUE", "False", None], pa.string_view()),
        (pa.array(["true", "False", None]).dictionary_encode(), None),
    ],
)
def test_a_boolean_is_the_same_in_every_type_and_as_text(values, arrow_type):
    assert same(kinds.as_boolean(rows(values, arrow_type), "x"), [1, 0, NAN])


@pytest.mark.parametrize(
    ("values", "arrow_type", "shown"),
    [(["true", "yes"], pa.string(), "yes"), (["1", "2"], pa.string(), "2"), ([1, 2], pa.int64(), "2")],
)
def test_what_is_neither_true_nor_false_is_named(values, arrow_type, shown):
    with pytest.raises(DataError) as caught:
        kinds.as_boolean(rows(values, arrow_type), "x")
    assert str(caught.value) == (
        f"t.csv, row 2: column 'x' holds '{shown}', which is neither true nor false; {CORRECT}"
    )


@pytest.mark.parametrize(
    ("values", "arrow_type"),
    [
        (["a", None, "b"], pa.string()),
        (["a", "", "b"], pa.large_string()),
        (["a", "", "b"], pa.string_view()),
        (pa.array(["a", None, "b"]).dictionary_encode(), None),
        (pa.array(["a", "", "b"], pa.large_string()).dictionary_encode(), None),
        (pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int8()), pa.array(["a", None, "b"])), None),
        (pa.chunked_array([pa.array(["a", ""]).dictionary_encode(), pa.array(["b"]).dictionary_encode()]), None),
    ],
)
def test_a_category_is_the_same_in_every_text_type(values, arrow_type):
    found = kinds.as_category(rows(values, arrow_type), "x")
    assert found.type == pa.string()
    assert found.to_pylist() == ["a", None, "b"]


@pytest.mark.parametrize(
    ("values", "arrow_type", "expected"),
    [
        ([1, None], pa.int16(), ["1", None]),
        ([1.5, NAN, None], pa.float64(), ["1.5", None, None]),
        ([True, None], pa.bool_(), ["true", None]),
        ([None], pa.null(), [None]),
    ],
)
def test_other_values_may_be_categories_too_and_missing_stays_missing(values, arrow_type, expected):
    assert kinds.as_category(rows(values, arrow_type), "x").to_pylist() == expected


@pytest.mark.parametrize(
    ("values", "arrow_type"),
    [
        ([NOON], pa.timestamp("us")),
        ([NOON], pa.timestamp("ns")),
        ([NOON], pa.timestamp("s")),
        ([NOON.replace(tzinfo=UTC)], pa.timestamp("us", "UTC")),
        ([NOON.replace(tzinfo=UTC)], pa.timestamp("ms", "Europe/Paris")),
        ([NOON.replace(tzinfo=UTC)], pa.timestamp("s", "-08:00")),
        (["2024-02-29T12:30:00"], pa.string()),
        (["2024-02-29 12:30"], pa.string()),
        (["2024-02-29 12:30:00.000000"], pa.string()),
        (["2024-02-29 12:30:00.000000999"], pa.string()),
        (["2024-02-29T12:30:00Z"], pa.string()),
        (["2024-02-29T13:30:00+01:00"], pa.string()),
        (["2024-02-29 13:30:00+0100"], pa.string()),
        (["2024-02-29 04:30:00.000000-08"], pa.string()),
        ([" 2024-02-29T12:30 "], pa.large_string()),
        (["2024-02-29T12:30"], pa.string_view()),
        (pa.array([NOON]).dictionary_encode(), None),
    ],
)
def test_an_instant_is_the_same_with_and_without_zone_in_every_type_and_as_text(values, arrow_type):
    expected = (NOON - dt.datetime(1970, 1, 1)) / dt.timedelta(days=1)
    assert kinds.as_timestamp(rows(values, arrow_type), "x").tolist() == [expected]


@pytest.mark.parametrize(
    ("values", "arrow_type"),
    [
        ([dt.date(2024, 2, 29), None], pa.date32()),
        ([dt.date(2024, 2, 29), None], pa.date64()),
        (["2024-02-29", ""], None),
    ],
)
def test_a_date_is_its_midnight_in_utc(values, arrow_type):
    assert same(kinds.as_timestamp(rows(values, arrow_type), "x"), [19_782, NAN])


def test_text_with_and_without_zone_may_be_mixed_so_that_batches_do_not_matter():
    text = ["2024-01-01", "2024-01-01T01:00:00+01:00", None, "2024-01-01 00:00:00.000000123", "2024-01-01T00:00:00Z"]
    assert same(kinds.as_timestamp(rows(text), "x"), [19_723, 19_723, NAN, 19_723, 19_723])


@pytest.mark.parametrize(
    "others", [["2024-01-01", "2024-01-02"], ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00+01:00"]]
)
@pytest.mark.parametrize("wrong", ["2024-02-30", "yesterday", "10:00", "2024-13-01T00:00:00Z", "20240101"])
def test_what_is_no_date_is_the_value_that_is_named(others, wrong):
    with pytest.raises(DataError) as caught:
        kinds.as_timestamp(rows([*others, None, wrong]), "x")
    assert str(caught.value) == (
        f"t.csv, row 4: column 'x' holds '{wrong}', which is not an ISO 8601 date or time; {CORRECT}"
    )


def test_a_date_in_another_order_is_named_with_the_option_that_says_which():
    with pytest.raises(DataError) as caught:
        kinds.as_timestamp(rows(["2024-01-01", "01/02/2024"]), "x")
    assert str(caught.value) == (
        "t.csv, row 2: column 'x' holds '01/02/2024', which is not an ISO 8601 date or time; say in which order dates "
        "are written with --date-format"
    )


@settings(deadline=None)
@given(st.lists(st.none() | st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1)), min_size=1, max_size=10))
def test_the_parts_of_a_timestamp_are_those_of_pythons_datetime(instants):
    days = kinds.as_timestamp(rows(instants, pa.timestamp("us")), "x")
    text = kinds.as_timestamp(rows([value and value.isoformat() for value in instants], pa.string()), "x")
    assert same(days, text)
    parts = kinds.timestamp_parts(days)
    assert parts.shape == (len(instants), len(TIMESTAMP_PARTS))
    for value, found in zip(instants, parts, strict=True):
        if value is None:
            assert np.isnan(found).all()
            continue
        midnight = value.replace(hour=0, minute=0, second=0, microsecond=0)
        day = [value.year, value.month, value.day, value.weekday(), value.timetuple().tm_yday]
        assert found[0] == pytest.approx((value - dt.datetime(1970, 1, 1)) / dt.timedelta(days=1), abs=1e-11)
        assert found[1:6].tolist() == day
        assert found[6] == pytest.approx((value - midnight) / dt.timedelta(hours=1), abs=1e-9)


@pytest.mark.parametrize(
    ("values", "arrow_type"),
    [
        (["1", " 2 ", "-3"], pa.int64()),
        (["001", "10"], pa.string()),
        ([" 10", "00501", "NA", ""], pa.string()),
        (["001", "1.5"], pa.float64()),
        (["-01", "10"], pa.int64()),
        (["0", "10"], pa.int64()),
        (["1", "2.0"], pa.float64()),
        (["9223372036854775808", "1"], pa.float64()),
        (["1", "nan"], pa.int64()),
        (["inf", "1"], pa.float64()),
        (["True", "FALSE", "true"], pa.bool_()),
        (["2024-01-01", "2024-01-01T10:00"], pa.timestamp("us")),
        (["2024-01-01 10:00:00.123456789"], pa.timestamp("us")),
        (["2024-01-01T10:00:00Z", "2024-01-01T10:00:00+02:00"], pa.timestamp("us", "UTC")),
        (["", "NA", None], pa.int64()),
    ],
)
def test_text_has_the_type_that_all_of_it_can_be_read_as(values, arrow_type):
    assert text_kinds.infer(rows(values, pa.string()), "x").type == arrow_type


@pytest.mark.parametrize(
    "values",
    [
        ["a", "1"],
        ["yes", "no"],
        ["0x1F", "0x20"],
        ["1,000", "2,000"],
        ["1_000", "2"],
        ["10:00", "11:00"],
        ["01/02/2024", "02/02/2024"],
        ["true", "1"],
        ["2024-01-01", "soon"],
        ["1"] * 8 + ["x"],
    ],
)
def test_other_text_stays_exactly_as_it_is(values):
    assert text_kinds.infer(rows([*values, " NA "]), "x").to_pylist() == [*values, " NA "]


@pytest.mark.parametrize(
    ("values", "row", "value", "share"),
    [
        (["1"] * 9 + ["x"], 10, "x", "90.0%"),
        (["1"] * 9 + ["NA", "", None, "1o"], 13, "1o", "90.0%"),
        (["x"] + ["+1.5e3"] * 99, 1, "x", "99.0%"),
        ([" 1 "] * 19 + ["٣"], 20, "٣", "95.0%"),
        (["1"] * 19 + ["0x1F"], 20, "0x1F", "95.0%"),
        (["1"] * 19 + ["1,000"], 20, "1,000", "95.0%"),
    ],
)
def test_nearly_all_numbers_are_more_likely_a_mistake_than_names(values, row, value, share):
    with pytest.raises(DataError) as caught:
        text_kinds.infer(rows(values, pa.string()), "x")
    assert str(caught.value) == (
        f"t.csv, row {row}: column 'x' holds '{value}' where {share} of the values are numbers; "
        "correct it, or use --category 'x' if the column is categorical"
    )


DAYS = [f"2024-01-{1 + i % 28:02}" for i in range(19)]


@pytest.mark.parametrize(
    ("values", "wrong", "what"),
    [
        (DAYS, "soon", "dates or times"),
        (DAYS, "01/02/2024", "dates or times"),
        ([f"{day}T10:00:00Z" for day in DAYS], "-", "dates or times"),
        (["true", "False"] * 9 + ["TRUE"], "yes", "true or false"),
        (["[1, 2]"] * 19, "1, 2", "lists of numbers"),
        (["1"] * 19, "00x", "numbers"),
    ],
)
def test_of_every_kind_one_wrong_value_among_many_is_named(values, wrong, what):
    with pytest.raises(DataError) as caught:
        text_kinds.infer(rows([*values, "NA", wrong]), "x")
    assert str(caught.value) == (
        f"t.csv, row 21: column 'x' holds '{wrong}' where 95.0% of the values are {what}; "
        "correct it, or use --category 'x' if the column is categorical"
    )


def test_a_day_that_is_none_among_days_is_named():
    with pytest.raises(DataError) as caught:
        text_kinds.infer(rows([*DAYS, "2024-02-30"]), "x")
    assert str(caught.value) == (
        "t.csv, row 20: column 'x' holds '2024-02-30', which is not an ISO 8601 date or time; "
        "correct it, or use --category 'x' if the column is categorical"
    )


def test_instants_with_and_without_a_zone_are_instants():
    inferred = text_kinds.infer(rows(["2024-01-01", "2024-01-01T01:00:00+01:00", "NA"]), "x")
    assert inferred.type == pa.timestamp("us")
    assert inferred.to_pylist() == [dt.datetime(2024, 1, 1)] * 2 + [None]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2024-01-01", None, "2024-01-02 10:00", ""], pa.timestamp("us")),
        (["2024-01-01T10:00:00Z"] * 3, pa.timestamp("us", "UTC")),
        (["1", "2"], pa.string()),
        (["true"], pa.string()),
        (["2024-01-01", "soon"], pa.string()),
        ([None, ""], pa.string()),
        (["NA", "?"], pa.string()),
    ],
)
def test_text_of_a_typed_format_is_instants_or_as_it_is(values, expected):
    column = rows(values, pa.string())
    inferred = text_kinds.infer_instants(column, "x")
    assert inferred.type == expected
    assert expected != pa.string() or inferred.to_pylist() == values


def test_text_of_a_typed_format_that_is_nearly_all_instants_is_refused():
    with pytest.raises(
        DataError, match=r"row 20: column 'x' holds 'soon' where 95\.0% of the values are dates or times"
    ):
        text_kinds.infer_instants(rows([*DAYS, "soon"]), "x")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["1"] * 88 + ["-"] * 12, "88 % numbers, 12 % '-'"),
        (["1.5"] * 5 + ["-"] * 2 + ["x"], "62.5 % numbers, 25 % '-', 12.5 % others"),
        (["2024-01-01"] * 3 + ["soon", "NA", ""], "75 % dates or times, 25 % 'soon'"),
        (["1", "b", "a"], None),
        (["1", "2"], None),
        (["a"], None),
        (["", None], None),
    ],
)
def test_what_text_is_made_of_is_told_where_most_is_of_a_kind(values, said):
    found = text_kinds.mixture(rows(values, pa.string()).column("x"))
    assert found is None if said is None else str(found) == said


@pytest.mark.parametrize(("value", "arrow_type"), [("1e200", pa.string()), (-1.797e308, pa.float64())])
def test_a_number_too_large_to_compute_with_is_refused_with_its_row(value, arrow_type):
    column = ["1", value] if arrow_type == pa.string() else [1.0, value]
    with pytest.raises(DataError) as caught:
        kinds.as_number(rows(column, arrow_type), "x")
    assert str(caught.value) == (
        f"t.csv, row 2: column 'x' holds {float(value):.4g}, too large to compute with (beyond 1e+150); "
        "replace it by a number, or leave it empty if it is unknown"
    )


@pytest.mark.parametrize(
    ("values", "arrow_type", "expected"),
    [
        ([1e10, 1.5e10, 0.5, -0.0, 1e-7], pa.float64(), ["10000000000", "15000000000", "0.5", "0", "1e-7"]),
        ([Decimal("0"), Decimal("1.5")], pa.decimal128(30, 10), ["0.0000000000", "1.5000000000"]),
        ([Decimal("1200")], pa.decimal128(5, -2), ["1200"]),
        ([NOON.replace(tzinfo=UTC)], pa.timestamp("s", "Europe/Paris"), ["2024-02-29 12:30:00Z"]),
        ([dt.date(2024, 2, 29)], pa.date32(), ["2024-02-29"]),
    ],
)
def test_values_of_a_type_are_written_without_exponents_and_in_utc(values, arrow_type, expected):
    array = pa.array(values, arrow_type)
    assert kinds.as_text(array).to_pylist() == expected
    assert kinds.as_text(pa.chunked_array([array, array])).to_pylist() == expected * 2


@pytest.mark.parametrize("chunks", [[4], [1, 3], [2, 0, 2]])
def test_canonical_texts_keep_their_places_whatever_the_chunks(chunks):
    values, starts = pa.array(["1.0", "a", None, "TRUE"]), np.cumsum([0, *chunks])
    column = pa.chunked_array([values.slice(start, n) for start, n in zip(starts, chunks, strict=False)])
    assert kinds.canonical(column).to_pylist() == ["1", "a", None, "true"]
    assert kinds.canonical(values).to_pylist() == ["1", "a", None, "true"]


@pytest.mark.parametrize(
    ("values", "arrow_type"),
    [
        ([[1, 2], [3, 4]], pa.list_(pa.int64())),
        ([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
        (["[1, 2]", " [3.0,4e0 ] "], pa.string()),
    ],
)
def test_vectors_are_lists_of_numbers_or_their_text(values, arrow_type):
    assert kinds.as_vector(rows(values, arrow_type), "x").tolist() == [[1, 2], [3, 4]]


def test_text_that_is_all_lists_is_inferred_as_vectors():
    assert text_kinds.infer(rows(["[1, 2]", "[3, 4]"]), "x").to_pylist() == [[1, 2], [3, 4]]
    assert text_kinds.infer(rows(["[1, 2]", "a"]), "x").to_pylist() == ["[1, 2]", "a"]


@pytest.mark.parametrize(
    ("values", "arrow_type", "sentence"),
    [
        (
            [[1.0, 2.0], [1.0]],
            pa.list_(pa.float64()),
            "t.csv, row 2: column 'x' holds a vector of 1 numbers, where 2 numbers are needed; "
            "give every row a vector of one length",
        ),
        (
            [[1.0, 2.0], None],
            pa.list_(pa.float64()),
            "t.csv, row 2: column 'x' holds no vector, where 2 numbers are needed; give every row a vector of one "
            "length",
        ),
        (
            [[1.0, 2.0], [NAN, 2.0]],
            pa.list_(pa.float64()),
            "t.csv, row 2: column 'x' holds a vector with a missing or infinite number; replace it by a number",
        ),
        (
            ["[1, 2]", "[1, b]"],
            pa.string(),
            "t.csv, row 2: column 'x' holds '[1, b]', which is not a list of numbers; correct it, or leave it empty if "
            "it is unknown",
        ),
        (
            ["0.5"],
            pa.string(),
            "t.csv, row 1: column 'x' holds '0.5', which is not a list of numbers; correct it, or leave it empty if it "
            "is unknown",
        ),
        (
            [0.5],
            pa.float64(),
            "t.csv: column 'x' has the type double, where vectors are needed; convert the column, or leave it out "
            "with --drop when fitting",
        ),
    ],
)
def test_a_vector_that_is_none_is_refused_with_its_row(values, arrow_type, sentence):
    with pytest.raises(DataError) as caught:
        kinds.as_vector(rows(values, arrow_type), "x")
    assert str(caught.value) == sentence


def test_a_wrong_number_of_long_vectors_is_found_in_whichever_row_it_is():
    """They are converted a few rows at a time."""
    values = np.zeros((4, 1_500_000), np.float32)
    values[3, 7] = np.nan
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    table = Rows(pa.table({"x": lists}), ((0, "a.parquet", 1),), is_text=False)
    with pytest.raises(DataError, match="row 4: column 'x' holds a vector with a missing or infinite number"):
        kinds.as_vector(table, "x")
