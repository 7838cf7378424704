"""The same rows as CSV, Parquet, Arrow and JSON lines: the same ids, categories, labels and features, of any type.

What is learned from one format is applied to every other.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resmem_cli import spelling
from resmem_cli.data import encoding, sources, tables
from resmem_cli.data.inference import Roles, learn
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Task

FORMATS = ("csv", "tsv", "parquet", "arrow", "jsonl")
N = 12  # so that each of three values is in four rows
_INSTANTS = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1))
# Text that other programs take for something else; none of it is another value's writing.
_WORDS = ["a", "x y", "12e4", "1E-8", "007", "7", "08", "1.10", "1.1", "1e5", "yes", "00501", "NaNa", "tru", "ü", "-"]
_VALUES = {
    "integer": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "small integer": (pa.int8(), st.integers(-128, 127)),
    "unsigned integer": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "neighbouring integers": (pa.int64(), st.integers(2**53, 2**53 + 5)),
    "whole float": (pa.float64(), st.integers(-(2**53), 2**53).map(float)),
    "float": (pa.float64(), st.floats(-1e15, 1e15).map(lambda value: round(value, 3) + 0.0)),
    "whole decimal": (pa.decimal128(20, 2), st.integers(-(10**6), 10**6).map(lambda value: Decimal(value) / 1)),
    "decimal": (pa.decimal128(20, 2), st.integers(-(10**8), 10**8).map(lambda value: Decimal(value) / 100)),
    "large decimal": (pa.decimal128(38, 0), st.integers(-(10**37), 10**37).map(Decimal)),
    "boolean": (pa.bool_(), st.booleans()),
    "day": (pa.date32(), _INSTANTS.map(dt.datetime.date)),
    "instant": (pa.timestamp("us"), _INSTANTS),
    "seconds": (pa.timestamp("s"), _INSTANTS.map(lambda value: value.replace(microsecond=0))),
    "midnight": (pa.timestamp("ms"), _INSTANTS.map(lambda value: dt.datetime.combine(value.date(), dt.time()))),
    "instant of a zone": (
        pa.timestamp("us", "Europe/Paris"),
        _INSTANTS.map(lambda value: value.replace(tzinfo=dt.UTC)),
    ),
    "text": (pa.string(), st.sampled_from(_WORDS)),
}


@st.composite
def columns(draw: st.DrawFn, names: tuple[str, ...] = tuple(_VALUES)) -> pa.Array:
    """N values of one type, two or three different ones, as many of each."""
    arrow_type, values = _VALUES[draw(st.sampled_from(names))]
    distinct = draw(st.lists(values, min_size=2, max_size=3, unique=True))
    return pa.array([distinct[i % len(distinct)] for i in range(N)], arrow_type)


LABELS = tuple(name for name in _VALUES if name not in ("day", "instant", "seconds", "midnight", "instant of a zone"))


@pytest.fixture
def in_every_format(file: Callable[..., str], tmp_path: Path) -> Callable[[pa.Table], dict[str, list[Rows]]]:
    def rows_of(table: pa.Table) -> dict[str, list[Rows]]:
        return {form: tables.read_all(sources.resolve([written(form, table)])) for form in FORMATS}

    def written(form: str, table: pa.Table) -> str:
        if form == "jsonl":  # what JSON has no type for is text in it
            lines = (json.dumps(row, default=str) + "\n" for row in table.to_pylist())
            return file(f"rows.{form}", "".join(lines))
        return file(f"rows.{form}", table)

    return rows_of


def encoded(rows: Rows, schema: Any) -> tuple[list[list[float]], list[float], list[str]]:
    X, surprises = encoding.encode(rows, schema)
    assert not surprises.unknown, surprises
    ids = [spelling.canonical(name) for name in encoding.as_ids(rows, schema)]
    return X.tolist(), encoding.encode_target(rows, schema).tolist(), ids


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(identity=columns(), category=columns(), label=columns(LABELS))
def test_the_same_rows_are_the_same_in_every_format_and_type(identity, category, label, in_every_format):
    table = pa.table({"id": identity, "c": category, "x": [i / 4 for i in range(N)], "y": label})
    read = in_every_format(table)
    for learned_from, parts in read.items():
        found = learn(parts, Roles("y", Task.CLASSIFICATION, id_column="id", categories=["c"], rarest_category=1))
        assert len(found.schema.target.classes) == len(set(label.to_pylist())), learned_from
        assert len(found.schema.columns[0].categories) == len(set(category.to_pylist())), learned_from
        (first, *others) = [encoded(rows, found.schema) for rows in _singles(read)]
        assert not np.isin(first[1], [encoding.NO_CLASS]).any()
        for form, other in zip(FORMATS[1:], others, strict=True):
            assert other == first, (learned_from, form)


def _singles(read: dict[str, list[Rows]]) -> Iterator[Rows]:
    for form in FORMATS:
        (rows,) = read[form]
        yield rows
