"""From rows to arrays: the same rows give the same numbers from any file, and surprises are counted."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resmem_cli.data import encoding
from resmem_cli.data.encoding import Surprises, encode, encode_target, encode_weight, hash_rows
from resmem_cli.data.inference import Roles, learn
from resmem_cli.data.kinds import Kind
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Column, Schema, Target, Task
from resmem_cli.errors import DataError

NAN = float("nan")
SCHEMA = Schema(
    (
        Column("n", Kind.NUMBER, "double"),
        Column("b", Kind.BOOLEAN, "bool"),
        Column("pooled", Kind.CATEGORY, "string", ("a", "b"), has_rest=True),
        Column("closed", Kind.CATEGORY, "string", ("x", "y")),
        Column("t", Kind.TIMESTAMP, "timestamp[us]"),
    ),
    Target("y", Task.REGRESSION, "double"),
    weight_column="w",
)
TABLE = pa.table(
    {
        "n": [1.5, 2.0, None],
        "b": [True, False, None],
        "pooled": ["b", "a", "b"],
        "closed": ["x", "y", "y"],
        "t": pa.array([dt.datetime(2024, 1, 2, 6), None, dt.datetime(1969, 12, 31)], pa.timestamp("us")),
        "y": [0.5, 1.5, 2.5],
        "w": [1.0, 0.0, 2.0],
    }
)
ENCODED = [
    [1.5, 1, 1, 0, 19_724.25, 2024, 1, 2, 1, 2, 6],
    [2.0, 0, 0, 1] + [NAN] * 7,
    [NAN, NAN, 1, 1, -1, 1969, 12, 31, 2, 365, 0],
]


def typed(table=None, source="t.parquet", **columns) -> Rows:
    return Rows(pa.table(columns) if table is None else table, ((0, source, 1),), is_text=False)


def text(source="t.csv", **columns) -> Rows:
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    return Rows(table, ((0, source, 1),), is_text=True)


def as_text(table: pa.Table) -> Rows:
    return text(**{name: table.column(name).cast(pa.string()).to_pylist() for name in table.column_names})


def same(found, expected) -> bool:
    return np.array_equal(found, np.array(expected, dtype=float), equal_nan=True)


def classes(*values) -> Schema:
    return Schema((Column("n", Kind.NUMBER, "double"),), Target("y", Task.CLASSIFICATION, "", values))


@pytest.mark.parametrize("rows", [typed(TABLE), as_text(TABLE)])
def test_rows_are_encoded_column_by_column_as_the_schema_says(rows):
    encoded, _ = encode(rows, SCHEMA)
    assert encoded.dtype == np.float64
    assert same(encoded, ENCODED)


def test_the_order_of_columns_and_other_columns_do_not_matter():
    table = TABLE.select(["closed", "t", "n", "pooled", "b"]).append_column("other", pa.array([[1], [2], [3]]))
    assert same(encode(typed(table), SCHEMA)[0], ENCODED)


@pytest.mark.parametrize("values", [[1, 2], [1.0, 2.0], ["1", "2.0"], [True, None]])
def test_integers_and_floats_are_taken_for_each_other(values):
    schema = Schema((Column("n", Kind.NUMBER, "double"),), Target("y", Task.REGRESSION, "double"))
    found, _ = encode(typed(n=values), schema)
    assert same(found, [[1], [2 if values[1] else NAN]])


def test_encoding_leaves_the_table_as_it_was():
    table = pa.table(TABLE.to_pydict())
    encode(typed(table), SCHEMA)
    assert table.to_pydict() == TABLE.to_pydict()


def test_missing_values_are_nan_and_counted_per_column():
    _, surprises = encode(typed(TABLE), SCHEMA)
    assert dict(surprises.missing) == {"n": 1, "b": 1, "t": 1}
    assert dict(surprises.unknown) == {}


def test_an_unknown_category_falls_into_the_rest_or_is_missing_and_is_counted():
    table = TABLE.set_column(2, "pooled", pa.array(["new", None, ""])).set_column(
        3, "closed", pa.array(["z", "", None])
    )
    encoded, surprises = encode(typed(table), SCHEMA)
    assert same(encoded[:, 2:4], [[2, NAN], [NAN, NAN], [NAN, NAN]])
    assert dict(surprises.unknown) == {"pooled": 1, "closed": 1}
    assert dict(surprises.missing) == {"n": 1, "b": 1, "pooled": 2, "closed": 2, "t": 1}


def test_surprises_of_batches_add_up():
    total = Surprises()
    table = TABLE.set_column(3, "closed", pa.array(["z", "", "x"]))
    for start in range(3):
        total.add(encode(typed(table.slice(start, 1)), SCHEMA)[1])
    whole = encode(typed(table), SCHEMA)[1]
    assert total == whole
    assert dict(total.unknown) == {"closed": 1}


@pytest.mark.parametrize("chunk", [1, 2])
def test_chunks_do_not_matter(chunk):
    table = pa.concat_tables([TABLE.slice(start, chunk) for start in range(0, 3, chunk)])
    assert same(encode(typed(table), SCHEMA)[0], ENCODED)


def test_all_missing_columns_are_named_at_once():
    with pytest.raises(DataError) as caught:
        encode(typed(TABLE.select(["y", "b", "n"])), SCHEMA)
    assert str(caught.value) == (
        "t.parquet lacks the columns 'pooled', 'closed', 't', which the model needs; add them; the file has: y, b, n"
    )


def test_one_missing_column_is_named_alone():
    with pytest.raises(DataError) as caught:
        encode(typed(TABLE.drop_columns(["t"]).select(["n", "b", "pooled", "closed"])), SCHEMA)
    assert str(caught.value) == (
        "t.parquet lacks the column 't', which the model needs; add it; the file has: n, b, pooled, closed"
    )


def test_a_wrong_value_is_named_with_its_place():
    with pytest.raises(DataError) as caught:
        encode(text(n=["1", "x"]), Schema(SCHEMA.columns[:1], SCHEMA.target))
    assert str(caught.value) == (
        "t.csv, row 2: column 'n' holds 'x', which is not a number; correct it, or leave it empty if it is unknown"
    )


@pytest.mark.parametrize(
    ("schema", "rows", "codes"),
    [
        (classes("a", "b"), text(y=["b", "a", "", None]), [1, 0, NAN, NAN]),
        (classes("a", "b"), typed(y=["b", "a", "", None]), [1, 0, NAN, NAN]),
        (classes("a", "b"), typed(y=pa.array(["b", "a", None]).dictionary_encode()), [1, 0, NAN]),
        (classes("a", "b"), typed(y=pa.array(["b", "a", None], pa.large_string())), [1, 0, NAN]),
        (classes("a", "b"), typed(y=pa.array(["b", "a", None], pa.string_view())), [1, 0, NAN]),
        (classes("1", "2"), typed(y=[2, 1, None]), [1, 0, NAN]),
        (classes(1, 2), text(y=["2", " 1 ", "NA", "2.0"]), [1, 0, NAN, 1]),
        (classes(1, 2), typed(y=pa.array([2, 1, None], pa.uint8())), [1, 0, NAN]),
        (classes(1, 2), typed(y=[2.0, 1.0, NAN]), [1, 0, NAN]),
        (classes(False, True), text(y=["True", "false", "", "1"]), [1, 0, NAN, 1]),
        (classes(False, True), typed(y=[True, False, None]), [1, 0, NAN]),
        (classes(False, True), typed(y=[1, 0, None]), [1, 0, NAN]),
        (classes(0.0, 1.5), text(y=["1.5", "0", "-0.0", ""]), [1, 0, 0, NAN]),
        (classes(0.0, 1.5), typed(y=[1.5, -0.0, NAN, None]), [1, 0, NAN, NAN]),
    ],
)
def test_a_class_is_its_position_among_the_classes_from_csv_and_parquet(schema, rows, codes):
    found = encode_target(rows, schema)
    assert found.dtype == np.float64
    assert same(found, codes)


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["b", "a", "b", "a"], None),
        ([True, False, True, False], None),
        ([2, 1, 2, 1], None),
        ([1.5, -0.0, 1.5, 0.0], Task.CLASSIFICATION),
        (pa.array([0.1, 0.2] * 2, pa.float32()), Task.CLASSIFICATION),
    ],
)
def test_the_classes_that_were_learned_are_found_again_in_the_rows_they_were_learned_from(values, task):
    found = learn([typed(x=range(4), y=values)], Roles("y", task))
    codes = encode_target(found.rows, found.schema)
    assert not np.isnan(codes).any()
    assert codes[0] == codes[2] != codes[1] == codes[3]


@pytest.mark.parametrize(
    ("schema", "rows", "place", "shown"),
    [
        (classes("a", "b"), text(y=["a", "", "c"]), "t.csv, row 3", "c"),
        (classes("a", "b"), typed(y=["a", "c"]), "t.parquet, row 2", "c"),
        (classes(1, 2), text(y=["1", "3"]), "t.csv, row 2", "3"),
        (classes(1, 2), typed(y=[1.0, 1.5]), "t.parquet, row 2", "1.5"),
        (classes(True), typed(y=[True, False]), "t.parquet, row 2", "False"),
    ],
)
def test_a_class_that_training_did_not_have_is_named(schema, rows, place, shown):
    codes = encode_target(rows, schema)
    (at,) = np.flatnonzero(codes == encoding.NO_CLASS)
    assert str(encoding.unknown_class(rows, schema, int(at))) == (
        f"{place}: the target 'y' holds the class '{shown}', which is not in the training data; "
        "remove such rows, or fit again with rows of this class"
    )


@pytest.mark.parametrize("rows", [text(y=["1", "", "2.5"]), typed(y=[1, None, 2.5]), typed(y=[1, NAN, 2.5])])
def test_a_number_to_be_predicted_is_itself(rows):
    assert same(encode_target(rows, SCHEMA), [1, NAN, 2.5])


def test_a_target_that_is_not_there_is_named():
    with pytest.raises(DataError) as caught:
        encode_target(typed(n=[1]), SCHEMA)
    assert str(caught.value) == ("t.parquet lacks the column 'y', which the model needs; add it; the file has: n")


def test_a_batch_may_have_no_weight_at_all():
    assert same(encode_weight(typed(w=[0.0, 0.0]), SCHEMA), [0, 0])


@pytest.mark.parametrize("rows", [typed(w=[1, 0, 2]), text(w=["1", "0.0", " 2 "]), typed(w=[1.0, 0.0, 2.0])])
def test_weights_are_numbers_of_zero_or_more(rows):
    assert same(encode_weight(rows, SCHEMA), [1, 0, 2])


def test_a_schema_without_weights_has_none():
    assert encode_weight(typed(w=[1]), classes("a")) is None


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([1.0, -0.5], "t.parquet, row 2: the weight 'w' is -0.5; give weights of 0 or more"),
        ([1.0, None], "t.parquet, row 2: the weight 'w' is missing; give weights of 0 or more"),
        (
            [1.0, 1e38],
            "t.parquet, row 2: column 'w' holds 1e+38, too large to compute with (beyond 1e+37); "
            "replace it by a number, or leave it empty if it is unknown",
        ),
        (
            [1.0, float("inf")],
            "t.parquet, row 2: column 'w' holds an infinite value; "
            "replace it by a number, or leave it empty if it is unknown",
        ),
    ],
)
def test_other_weights_are_refused(values, sentence):
    with pytest.raises(DataError) as caught:
        encode_weight(typed(w=values), SCHEMA)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", ["a.csv", "a.tsv.gz", "a.parquet", "a.arrow", "a.jsonl"])
def test_rows_hash_the_same_from_every_format(file, read, name):
    table = pa.table(
        {
            "n": [0.1 * i if i % 7 else None for i in range(40)],
            "c": ["ab"[i % 2] if i % 5 else None for i in range(40)],
            "b": [bool(i % 3) for i in range(40)],
            "y": [1 / (i + 1) for i in range(40)],
        }
    )
    schema = learn([typed(table)], Roles("y")).schema
    (rows,) = read(file(name, table))

    def hashes(rows: Rows) -> list[int]:
        return hash_rows(encode(rows, schema)[0], encode_target(rows, schema)).tolist()

    assert hashes(rows) == hashes(typed(table))
    assert len(set(hashes(rows))) == 40


def test_hashes_are_64_bits_and_do_not_depend_on_the_other_rows():
    encoded, target = np.arange(20.0).reshape(10, 2), np.arange(10.0)
    whole = hash_rows(encoded, target)
    assert whole.dtype == np.uint64
    assert (hash_rows(encoded[3:5], target[3:5]) == whole[3:5]).all()


def test_zero_and_minus_zero_and_all_kinds_of_nan_hash_the_same():
    other_nan = np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)[0]
    one = hash_rows(np.array([[0.0, NAN]]), np.array([0.0]))
    two = hash_rows(np.array([[-0.0, -other_nan]]), np.array([-0.0]))
    assert one == two


def test_hashing_leaves_the_arrays_as_they_were():
    encoded, target = np.array([[-0.0, NAN]]), np.array([-0.0])
    hash_rows(encoded, target)
    assert np.signbit(encoded[0, 0])
    assert np.signbit(target[0])


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(*(st.floats(allow_infinity=False, allow_nan=False).map(lambda v: v + 0.0) for _ in range(3))),
        min_size=2,
        max_size=30,
        unique=True,
    )
)
def test_different_rows_have_different_hashes(rows):
    whole = np.array(rows)
    assert len(np.unique(hash_rows(whole[:, :2], whole[:, 2]))) == len(rows)


def test_a_target_is_a_part_of_the_hash_and_columns_do_not_commute():
    encoded = np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 1.0]])
    assert len(set(hash_rows(encoded, np.array([3.0, 4.0, 3.0])).tolist())) == 3


@pytest.mark.parametrize(
    ("rows", "expected"), [(typed(i=[7, None]), ["7", ""]), (text(i=["007", ""]), ["007", ""]), (typed(i=[NAN]), [""])]
)
def test_ids_are_text_and_empty_where_missing(rows, expected):
    assert encoding.as_ids(rows, replace(SCHEMA, id_column="i")) == expected


def test_an_id_column_that_is_not_there_is_named():
    with pytest.raises(DataError) as caught:
        encoding.as_ids(typed(n=[1]), replace(SCHEMA, id_column="i"))
    assert str(caught.value) == "t.parquet lacks the column 'i', which the model needs; add it; the file has: n"


WHOLE_AND_HALF = {"arrow": ["1", "2", "10", "2.5"], "pandas": ["1.0", "2.0", "10.0", "2.5"]}


@pytest.mark.parametrize("known", WHOLE_AND_HALF.values())
@pytest.mark.parametrize(
    "rows",
    [
        typed(c=[1.0, 2.0, None, 10.0, 2.5]),
        text(c=["1.0", "2.0", "", "10.0", "2.5"]),
        text(c=["1", "2", "", "10", "2.5"]),
        text(c=["1", "2.0", "", "10", "2.5"]),
    ],
)
def test_a_whole_number_is_the_same_category_with_and_without_a_point(known, rows):
    schema = Schema((Column("c", Kind.CATEGORY, "string", tuple(known)),), Target("y", Task.REGRESSION, "double"))
    found, surprises = encode(rows, schema)
    assert same(found[:, 0], [0, 1, NAN, 2, 3])
    assert not surprises.unknown


def test_a_category_that_is_known_as_it_is_written_is_not_taken_for_another():
    column = Column("c", Kind.CATEGORY, "string", ("1", "1.0", "2.0", "a", "007"))
    schema = Schema((column,), Target("y", Task.REGRESSION, "double"))
    found, surprises = encode(text(c=["1", "1.0", "2", "a.0", "007.0", "7", "2\n", "2.0.0"]), schema)
    assert same(found[:, 0], [0, 1, 2] + [NAN] * 5)
    assert surprises.unknown == {"c": 5}


@pytest.mark.parametrize(
    ("known", "rows", "codes"),
    [
        (("1", "2"), typed(c=pa.array(["1", "2"]).cast(pa.decimal128(10, 2))), [0, 1]),
        (("2.50", "1.00"), typed(c=[1.0, 2.5]), [1, 0]),
        (("2.5", "1"), typed(c=pa.array(["2.50", "1.00"]).cast(pa.decimal128(10, 2))), [0, 1]),
        (("2.5", "1"), text(c=["2.50", "1.00"]), [NAN, 1]),  # of text only the same writing, or a whole number
        (("1.10", "1.1"), text(c=["1.10", "1.1"]), [0, 1]),
        (("True", "False"), typed(c=[True, False]), [0, 1]),
        (("true", "false"), text(c=["TRUE", "False"]), [0, 1]),
        (("2024-01-01", "2024-01-02"), typed(c=pa.array([19_723, 19_724], pa.int32()).cast(pa.date32())), [0, 1]),
        (("2024-01-01 00:00:00.000000",), typed(c=pa.array([19_723], pa.int32()).cast(pa.date32())), [0]),
        (("2024-01-01T10:00:00+02:00",), text(c=["2024-01-01 08:00"]), [0]),
        (("12345678901",), typed(c=[12345678901.0]), [0]),
        (("1.2345678901e+10",), typed(c=[12345678901]), [0]),
        (("007", "7"), typed(c=[7]), [1]),
        (("007",), typed(c=[7]), [NAN]),
        (("12e4",), typed(c=[120000]), [NAN]),
    ],
)
def test_a_category_is_the_same_value_in_every_type(known, rows, codes):
    schema = Schema((Column("c", Kind.CATEGORY, "string", known),), Target("y", Task.REGRESSION, "double"))
    assert same(encode(rows, schema)[0][:, 0], codes)


@pytest.mark.parametrize("value", ["17", "17.0", "17.00"])
@pytest.mark.parametrize(
    "column", [pa.array([17, 18]), pa.array([17.0, 18.5]), pa.array(["17.0", "x"]), pa.array(["17.00", "170"])]
)
def test_a_value_that_is_asked_for_is_found_in_every_type(value, column):
    assert encoding.has_value(typed(c=column), "c", value).tolist() == [True, False]


def test_classes_that_are_text_may_be_whole_numbers_with_and_without_a_point_too():
    assert same(encode_target(typed(y=[1.0, 2.0, None]), classes("1.0", "2.0")), [0, 1, NAN])
    assert same(encode_target(text(y=["2.0", "1.0", ""]), classes("1", "2")), [1, 0, NAN])
