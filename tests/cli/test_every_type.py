"""Every Arrow type in, every format out: the right value, or one sentence that names the column."""

from __future__ import annotations

import csv
import datetime as dt
import json
import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest

from tests.cli.conftest import Run, table

DATA = 3
N = 40
PART = 7  # rows of a batch
AT = dt.datetime(2024, 2, 29, 1, 2, 3, 450_000)
ZONES = (None, "UTC", "Europe/Paris", "+02:00")
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
INSTANT = 1_709_168_523


def instants(unit: str, zone: str | None) -> pa.Array:
    return pa.array([INSTANT * PER_SECOND[unit] + (unit != "s"), None, 0], pa.timestamp(unit, zone))


def text_of(unit: str, zone: str | None) -> list[str | None]:
    hours, offset = {None: (0, ""), "UTC": (0, "Z"), "Europe/Paris": (1, "+0100"), "+02:00": (2, "+0200")}[zone]
    fraction = "" if unit == "s" else "." + "1".rjust(len(str(PER_SECOND[unit])) - 1, "0")
    zero = fraction.replace("1", "0")
    return [f"2024-02-29 0{1 + hours}:02:03{fraction}{offset}", None, f"1970-01-01 0{hours}:00:00{zero}{offset}"]


# Name: (values, what they are as text, what they are as JSON); None where they are refused.
Case = tuple[pa.Array, list[Any] | None, list[Any] | None]
CASES: dict[str, Case] = {
    "null": (pa.nulls(2), [None, None], [None, None]),
    "boolean": (pa.array([True, None, False]), ["true", None, "false"], [True, None, False]),
    "half": (pa.array([1.5, None], pa.float16()), ["1.5", None], [1.5, None]),
    "float": (pa.array([0.5, None], pa.float32()), ["0.5", None], [0.5, None]),
    "double": (pa.array([0.1, None, 1e300]), ["0.1", None, "1e+300"], [0.1, None, 1e300]),
    "infinite": (pa.array([math.inf, -math.inf]), ["inf", "-inf"], None),
    "not a number": (pa.array([math.nan, 1.5]), [None, "1.5"], [None, 1.5]),
    "decimal of 32 bits": (pa.array([Decimal("1.50"), None], pa.decimal32(5, 2)), ["1.50", None], ["1.50", None]),
    "decimal of 64 bits": (pa.array([Decimal("1.50"), None], pa.decimal64(12, 2)), ["1.50", None], ["1.50", None]),
    "small decimal": (pa.array([Decimal("1E-10")], pa.decimal128(38, 10)), ["1E-10"], ["1E-10"]),
    "whole decimal": (pa.array([Decimal(10**37), None], pa.decimal128(38, 0)), [str(10**37), None], [10**37, None]),
    "decimal of 256 bits": (pa.array([Decimal(10**69)], pa.decimal256(70, 0)), [str(10**69)], [10**69]),
    "decimal of hundreds": (pa.array([Decimal(1200)], pa.decimal128(5, -2)), ["1.2E+3"], [1200]),
    "text": (pa.array(['ü", x', None, "a\tb"]), ['ü", x', None, "a\tb"], ['ü", x', None, "a\tb"]),
    "large text": (pa.array(["a", None], pa.large_string()), ["a", None], ["a", None]),
    "view of text": (pa.array(["a", None], pa.string_view()), ["a", None], ["a", None]),
    "bytes": (pa.array([b"a\xff", None]), None, None),
    "large bytes": (pa.array([b"a\xff", None], pa.large_binary()), None, None),
    "view of bytes": (pa.array([b"a\xff", None], pa.binary_view()), None, None),
    "bytes of one length": (pa.array([b"\xff\xfe", None], pa.binary(2)), None, None),
    "day": (pa.array([AT.date(), None], pa.date32()), ["2024-02-29", None], ["2024-02-29", None]),
    "day of 64 bits": (pa.array([AT.date(), None], pa.date64()), ["2024-02-29", None], ["2024-02-29", None]),
    "time in s": (pa.array([dt.time(1, 2, 3)], pa.time32("s")), ["01:02:03"], ["01:02:03"]),
    "time in ms": (pa.array([AT.time()], pa.time32("ms")), ["01:02:03.450"], ["01:02:03.450"]),
    "time in us": (pa.array([AT.time()], pa.time64("us")), ["01:02:03.450000"], ["01:02:03.450000"]),
    "time in ns": (pa.array([3_723_000_000_001], pa.time64("ns")), ["01:02:03.000000001"], ["01:02:03.000000001"]),
    "no calendar's": (pa.array([10**14], pa.timestamp("s")), None, None),
    "interval": (pa.array([pa.MonthDayNano([1, 2, 3]), None], pa.month_day_nano_interval()), None, None),
    "list": (pa.array([[1, None], None, []]), ["[1, null]", None, "[]"], [[1, None], None, []]),
    "list of floats": (pa.array([[1.5, 2.0], None]), ["[1.5, 2]", None], [[1.5, 2.0], None]),
    "list of booleans": (pa.array([[True], None]), ["[true]", None], [[True], None]),
    "large list": (pa.array([[1], None], pa.large_list(pa.int64())), ["[1]", None], [[1], None]),
    "list of one length": (pa.array([[1, 2], None], pa.list_(pa.int64(), 2)), ["[1, 2]", None], [[1, 2], None]),
    "view of lists": (pa.array([[1], None], pa.list_view(pa.int64())), ["[1]", None], [[1], None]),
    "large view of lists": (pa.array([[1], None], pa.large_list_view(pa.int64())), ["[1]", None], [[1], None]),
    "list of text": (pa.array([["a", None], None]), None, [["a", None], None]),
    "list of infinite": (pa.array([[math.inf]]), ["[inf]"], None),
    "list of instants": (
        pa.array([[1], None, [None]], pa.list_(pa.timestamp("ns"))),
        None,
        [["1970-01-01 00:00:00.000000001"], None, [None]],
    ),
    "list of lists": (pa.array([[[1]], None]), None, [[[1]], None]),
    "record": (
        pa.array([{"a": 1, "t": 1}, None], pa.struct({"a": pa.int64(), "t": pa.timestamp("ns", "UTC")})),
        None,
        [{"a": 1, "t": "1970-01-01 00:00:00.000000001Z"}, None],
    ),
    "record of bytes": (pa.array([{"a": b"x"}]), None, None),
    "record of nothing": (pa.array([{}, None], pa.struct([])), None, [{}, None]),
    "map": (pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())), None, [[["k", 1]], None]),
    "map of instants": (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.timestamp("ns"))), None, None),
    "dictionary": (pa.array(["a", None, "b"]).dictionary_encode(), ["a", None, "b"], ["a", None, "b"]),
    "dictionary of numbers": (pa.array([5, None]).dictionary_encode(), ["5", None], [5, None]),
    "runs": (pa.RunEndEncodedArray.from_arrays([3], pa.array(["a"])), ["a"] * 3, ["a"] * 3),
    "runs of numbers": (pa.RunEndEncodedArray.from_arrays([3], pa.array([7])), ["7"] * 3, [7] * 3),
    "union": (
        pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]),
        None,
        None,
    ),
    "extension": (pa.array([b"0" * 16, None], pa.uuid()), None, None),
    "extension of text": (pa.array(['{"a":1}', None], pa.json_()), ['{"a":1}', None], ['{"a":1}', None]),
}
for _bits in (8, 16, 32, 64):
    for _sign, _most in (("", 2 ** (_bits - 1) - 1), ("u", 2**_bits - 1)):
        _column = pa.array([_most, None, 0], getattr(pa, f"{_sign}int{_bits}")())
        CASES[f"{_sign}int{_bits}"] = (_column, [str(_most), None, "0"], [_most, None, 0])
for _unit in PER_SECOND:
    CASES[f"duration in {_unit}"] = (pa.array([1500, None], pa.duration(_unit)), None, None)
    for _zone in ZONES:
        CASES[f"instant in {_unit}, {_zone}"] = (instants(_unit, _zone), *[text_of(_unit, _zone)] * 2)  # type: ignore[assignment]
SECONDS = {pa.time32("s"), *(pa.timestamp("s", zone) for zone in ZONES)}
# What Parquet's own types do not have.
NOT_PARQUET = {"interval", "record of nothing", "runs", "runs of numbers", "union", "decimal of hundreds"}


@pytest.fixture
def given(model: Callable[..., Path], tmp_path: Path) -> Callable[[str, str], Path | None]:
    """The new rows with a column "kept" of a case, over and over, in a file of a typed format that has its type."""
    model()

    def write(name: str, form: str) -> Path | None:
        column = CASES[name][0]
        repeated = pa.concat_arrays([column] * N).slice(0, N)
        rows = table("diamonds", "new").append_column("kept", repeated)
        path = tmp_path / f"rows.{form}"
        if form == "arrow":
            with pyarrow.ipc.new_file(path, rows.schema) as writer:
                writer.write_table(rows, max_chunksize=15)
        elif name in NOT_PARQUET:
            return None
        else:
            pyarrow.parquet.write_table(rows, path, row_group_size=15)
        return path

    return write


def over_and_over(values: list[Any]) -> list[Any]:
    return [values[i % len(values)] for i in range(N)]


@pytest.mark.parametrize("form", ["parquet", "arrow"])
@pytest.mark.parametrize("name", CASES)
def test_is_passed_on_as_it_is_or_refused(
    given: Callable[[str, str], Path | None], run: Run, name: str, form: str
) -> None:
    path = given(name, form)
    if path is None:
        return
    column, text, as_json = CASES[name]
    for out, expected in (("csv", text), ("tsv", text), ("jsonl", as_json)):
        target = Path(f"out.{out}")
        ended = run("predict", path, "--model", "m", "--output", target, "--batch-rows", PART)
        if expected is None:
            assert ended.code == DATA, ended.err
            assert ended.err.startswith("resmem: the column 'kept' ")
            assert ended.err.count("\n") == 1
            assert not target.exists()
            continue
        assert ended.code == 0, ended.err
        found = kept(target)
        if form == "parquet" and column.type in SECONDS:  # which Parquet has not
            found = [value and value.replace(".000", "") for value in found]
        assert found == over_and_over(expected)
    for out in ("parquet", "arrow"):
        target = Path(f"out.{out}")
        ended = run("predict", path, "--model", "m", "--output", target, "--batch-rows", PART)
        if out == "parquet" and name in NOT_PARQUET:
            assert ended.code == DATA
            assert ended.err == (
                f"resmem: the column 'kept' of type {column.type} cannot be written as parquet; "
                "leave it out with --keep, or write another format\n"
            )
            assert not target.exists()
            continue
        assert ended.code == 0, ended.err
        before = read(path).column("kept")
        found = read(target).column("kept")
        found = found.cast(before.type) if column.type in SECONDS else found
        assert as_text(found) == as_text(before)


def read(path: Path) -> pa.Table:
    return pyarrow.parquet.read_table(path) if path.suffix == ".parquet" else pyarrow.ipc.open_file(path).read_all()


def as_text(column: pa.ChunkedArray) -> list[str]:
    """Values written out: where there is no Python object for them, by Arrow."""
    if pa.types.is_timestamp(column.type) or pa.types.is_time(column.type):
        column = column.cast(pa.int64() if column.type.bit_width == 64 else pa.int32())
    return [str(value) for value in column.to_pylist()]


def kept(path: Path) -> list[Any]:
    if path.suffix == ".jsonl":
        return [json.loads(line)["kept"] for line in path.read_text().splitlines()]
    with path.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream, delimiter="," if path.suffix == ".csv" else "\t")
        return [row["kept"] or None for row in rows]
