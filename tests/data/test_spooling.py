"""Outputs with types do not depend on which table comes first: types are promoted, or both sources are named."""

from __future__ import annotations

import datetime as dt
import itertools
from decimal import Decimal

import pyarrow as pa
import pytest

from resmem_cli.data import output, promotion
from resmem_cli.errors import DataError

NAMES = ["a.parquet", "a.arrow"]


def spooled(path, *columns):
    with output.writer(str(path), may_change=True) as table:
        for i, column in enumerate(columns):
            table.write(pa.table({"x": column, "n": [i] * len(column)}), f"{i}.parquet")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("columns", "arrow_type"),
    [
        ([pa.nulls(2), pa.array([1, 2]), pa.array([0.5])], pa.float64()),
        ([pa.nulls(1), pa.array(["a"]), pa.array(["b"]).dictionary_encode()], pa.string()),
        ([pa.array([1], pa.int8()), pa.array([2**64 - 1], pa.uint64()), pa.array([-(2**63)])], pa.decimal128(20, 0)),
        ([pa.array([1]), pa.array([Decimal("1.50")])], pa.decimal128(22, 2)),
        ([pa.array([0.1]), pa.array([Decimal("1.50")])], pa.float64()),
        ([pa.array([dt.date(2024, 1, 2)]), pa.nulls(1)], pa.date32()),
        ([pa.array([1], pa.timestamp("ms")), pa.array([1], pa.timestamp("us"))], pa.timestamp("us")),
        ([pa.array([[1]]), pa.array([[0.5]]), pa.array([[None]])], pa.list_(pa.float64())),
        (
            [pa.array([{"a": 1}]), pa.array([{"b": "x", "a": 0.5}]), pa.nulls(1), pa.array([None, {"b": "y"}])],
            pa.struct({"a": pa.float64(), "b": pa.string()}),
        ),
    ],
)
def test_types_are_promoted_whichever_comes_first(read_back, tmp_path, name, columns, arrow_type):
    for some in itertools.permutations(columns):
        spooled(tmp_path / name, *some)
        found = read_back(tmp_path / name)
        if not pa.types.is_struct(arrow_type):  # whose fields have the order of the first
            assert found.schema.field("x").type == arrow_type
        expected = [value for column in some for value in column.to_pylist()]
        assert [without_missing(value) for value in found["x"].to_pylist()] == list(map(without_missing, expected))
        assert found["n"].to_pylist() == [i for i, column in enumerate(some) for _ in column]


def without_missing(value):
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([1]), pa.array(["a"])),
        (pa.array([True]), pa.array([1])),
        (pa.array([2**53 + 1]), pa.array([0.5])),
        (pa.array([1.5]), pa.array([Decimal(10**20)])),
        (pa.array(["a"]), pa.array([b"a"])),
        (pa.array([1], pa.timestamp("us")), pa.array([1], pa.timestamp("us", "UTC"))),
    ],
)
def test_types_that_nothing_holds_are_refused_with_both_sources_and_nothing_is_left(tmp_path, name, one, other):
    for first, second in ((one, other), (other, one)):
        with pytest.raises(DataError) as caught:
            spooled(tmp_path / name, pa.nulls(1), first, second)
        assert caught.value.message.startswith("the column 'x' is ")
        for column, source in ((first, "1.parquet"), (second, "2.parquet")):
            assert f"{column.type} in {source}" in caught.value.message
        assert caught.value.hint == "give it one type in all inputs, or write CSV"
        assert list(tmp_path.iterdir()) == []


def test_a_struct_is_put_together_again_where_its_parts_have_other_places():
    array = pa.array([{"b": 1, "a": [{"c": 1}]}, None, {"b": None, "a": None}, {"b": 2, "a": []}])
    wanted = pa.struct({"a": pa.list_(pa.struct({"d": pa.string(), "c": pa.float64()})), "b": pa.int64()})
    for start in range(4):
        found = promotion.cast(pa.chunked_array([array.slice(start), array.slice(0, start)]), wanted)
        found.validate(full=True)
        assert found.to_pylist() == [
            row and {"a": row["a"] and [{"d": None, "c": 1.0} for _ in row["a"]], "b": row["b"]}
            for row in [*array.slice(start).to_pylist(), *array.slice(0, start).to_pylist()]
        ]


@pytest.mark.parametrize("name", NAMES)
def test_dictionaries_may_differ_from_table_to_table(write, read_back, tmp_path, name):
    parts = [pa.array(words).dictionary_encode() for words in (["a", "b", None], ["b", "c"], ["d"], ["a"])]
    write(tmp_path / name, *(pa.table({"x": part}) for part in parts))
    assert read_back(tmp_path / name)["x"].to_pylist() == [value for part in parts for value in part.to_pylist()]
    assert pa.types.is_dictionary(read_back(tmp_path / name).schema.field("x").type)
