"""Groups and times of rows, whatever types and formats they come in."""

from __future__ import annotations

import datetime
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from resmem_cli.data.kinds import Kind
from resmem_cli.data.relations import Relations
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Column, Schema, Target, Task
from resmem_cli.errors import DataError

SCHEMA = Schema((Column("x", Kind.NUMBER, "double"),), Target("y", Task.REGRESSION, "double"))
NAN = float("nan")


def rows(*, is_text: bool = False, **columns: object) -> Rows:
    return Rows(pa.table(columns), ((0, "rows.csv", 1),), is_text)


def groups_of(values: object) -> np.ndarray:
    found = Relations.of(rows(g=values), replace(SCHEMA, group_column="g")).groups
    assert found is not None
    return found


def times_of(values: object, *, is_text: bool = False) -> tuple[Kind | None, list[float]]:
    found = Relations.of(rows(t=values, is_text=is_text), replace(SCHEMA, time_column="t"))
    assert found.times is not None
    return found.time_kind, found.times.tolist()


def test_groups_are_the_same_in_every_type():
    as_text = groups_of(pa.array(["1", "20", None, "1"]))
    assert as_text[0] == as_text[3] != as_text[1]
    assert as_text[2] == 0
    for other in (
        pa.array([1, 20, None, 1]),
        pa.array([1.0, 20.0, NAN, 1.0]),
        pa.array(["1", "20", "", "1"]),
        pa.array(["1.0", "20", None, "1"]),
        pa.array(["1", "20", None, "1"]).dictionary_encode(),
    ):
        np.testing.assert_array_equal(groups_of(other), as_text)


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (pa.array([3, None, 5]), Kind.NUMBER, [3, NAN, 5]),
        (pa.array([2.5, NAN, -1.0]), Kind.NUMBER, [2.5, NAN, -1]),
        (pa.array(["2020", "", "2021.5"]), Kind.NUMBER, [2020, NAN, 2021.5]),
        (pa.array(["1970-01-02", "NA", "1970-01-03T12:00:00"]), Kind.TIMESTAMP, [1, NAN, 2.5]),
        (pa.array([datetime.date(1970, 1, 2), None]), Kind.TIMESTAMP, [1, NAN]),
        (pa.array([None, None], pa.string()), None, [NAN, NAN]),
    ],
)
def test_times_are_numbers_or_days(values, kind, expected):
    found = times_of(values, is_text=pa.types.is_string(values.type))
    assert found[0] is kind
    np.testing.assert_array_equal(found[1], expected)


def test_text_that_is_no_time_is_refused():
    with pytest.raises(DataError, match=r"row 2: column 't' holds 'soon', which is not an ISO 8601 date or time"):
        times_of(pa.array(["2020-01-01", "soon"]), is_text=True)
    with pytest.raises(DataError, match="lacks the column 't'"):
        Relations.of(rows(x=[1.0]), replace(SCHEMA, time_column="t"))


def test_parts_are_joined_and_numbered():
    schema = replace(SCHEMA, group_column="g", time_column="t")
    first = Relations.of(rows(g=["a", "b", None], t=[3, 2, None]), schema)
    second = Relations.of(rows(g=["b", None, "c"], t=[NAN, 5.5, 1]), schema).take(np.array([0, 1]))
    found = Relations.joined([first, second]).numbered()
    assert found.groups.max() == 3
    assert (found.groups[1] == found.groups[3], len(np.unique(found.groups))) == (True, 4)
    assert found.times.tolist() == [3, 2, -np.inf, -np.inf, 5.5]
    assert found.notes == (
        "2 rows have no value of 'g': each counts as a group of its own, so that rows that do belong together may be "
        "on both sides of a split",
        "2 rows have no time 't': they are taken as the earliest",
    )


def test_a_part_without_any_time_joins_dates_and_numbers_but_not_both_together():
    schema = replace(SCHEMA, time_column="t")
    number, date, nothing = (
        Relations.of(rows(t=pa.array(values)), schema)
        for values in ([1], [datetime.date(2020, 1, 1)], pa.array([None], pa.float64()))
    )
    assert Relations.joined([nothing, date]).time_kind is Kind.TIMESTAMP
    with pytest.raises(DataError, match="the time 't' is a number in some rows and a date in others"):
        Relations.joined([number, nothing, date])


def test_columns_that_may_be_groups_are_read_beside_the_features():
    schema = replace(SCHEMA, columns=(*SCHEMA.columns, Column("k", Kind.CATEGORY, "string", ("a",), has_rest=True)))
    table = {"x": [1.0], "y": [2.0], "k": ["b"], "who": ["p"], "n": [7], "v": [[1.0, 2.0]]}
    found = Relations.of(rows(**table), schema, with_others=True)
    assert list(found.others) == ["k", "who", "n"]
    assert Relations.of(rows(**table), replace(schema, group_column="who"), with_others=True).others == {}
    more = Relations.of(rows(x=[1.0], y=[2.0], k=["b"], who=["q"]), schema, with_others=True)
    assert list(Relations.joined([found, more]).others) == ["k", "who"]
    assert Relations.of(rows(**table), schema).others == {}


def test_the_schema_keeps_the_columns_and_older_ones_had_none():
    schema = replace(SCHEMA, group_column="g", time_column="t")
    assert Schema.from_json(schema.to_json()) == schema
    older = {name: value for name, value in SCHEMA.to_json().items() if name not in ("group_column", "time_column")}
    assert Schema.from_json(older) == SCHEMA
    with pytest.raises(ValueError, match="group_column is 3"):
        Schema.from_json({**older, "group_column": 3})


def test_groups_that_are_all_missing_or_all_different():
    schema = replace(SCHEMA, group_column="g")
    with pytest.raises(DataError, match="no row has a group 'g'; name another column with --group"):
        Relations.of(rows(g=pa.array([None, None], pa.string())), schema).numbered()
    (note,) = Relations.of(rows(g=["a", "b"]), schema).numbered().notes
    assert note == "every row has its own 'g', so that --group changes nothing"
