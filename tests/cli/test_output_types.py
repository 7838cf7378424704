"""Parquet and Arrow out of several inputs, or of JSON lines: the types do not depend on what comes first."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from resmem_cli.data import json_lines
from tests.cli.conftest import Run, table

Model = Callable[..., Path]


def rows(**columns: pa.Array) -> pa.Table:
    """Five new rows with other values in some columns."""
    found = table("diamonds", "new").slice(0, 5)
    for name, values in columns.items():
        at = found.schema.get_field_index(name)
        found = found.set_column(at, name, values) if at >= 0 else found.append_column(name, values)
    return found


def read(path: str) -> pa.Table:
    return pyarrow.parquet.read_table(path) if path.endswith("parquet") else pyarrow.feather.read_table(path)


PARTS = {
    "full": rows(note=pa.array(["a", None, "b", "c", "d"])),
    "nothing": rows(carat=pa.nulls(5), note=pa.nulls(5), color=pa.nulls(5)),
    "whole": rows(carat=pa.array([1, 2, 3, 4, None], pa.int8()), note=pa.nulls(5, pa.large_string())),
}


@pytest.mark.parametrize("order", list(itertools.permutations(PARTS)))
@pytest.mark.parametrize("out", ["out.parquet", "out.arrow"])
def test_parts_of_nothing_or_whole_numbers_may_come_first(
    model: Model, run: Run, order: tuple[str, ...], out: str
) -> None:
    model()
    for i, name in enumerate(order):
        pyarrow.parquet.write_table(PARTS[name], f"{i}.parquet")
    names = [f"{i}.parquet" for i in range(len(order))]
    ended = run("predict", *names, "--model", "m", "--output", out)
    assert ended.code == 0, ended.err
    found = read(out)
    assert found.schema.field("carat").type == pa.float64()
    expected = [row for name in order for row in PARTS[name].to_pylist()]
    assert found.drop_columns(["prediction", "prediction_base"]).to_pylist() == expected
    assert sorted(path.name for path in Path.cwd().iterdir() if path.name.startswith(".")) == []


def test_types_that_nothing_holds_name_both_files(model: Model, fails: Callable[..., None]) -> None:
    model()
    pyarrow.parquet.write_table(rows(note=pa.array(["a"] * 5)), "a.parquet")
    pyarrow.parquet.write_table(rows(note=pa.array([1] * 5)), "b.parquet")
    sentence = (
        "the column 'note' is string in a.parquet and int64 in b.parquet; give it one type in all inputs, or write CSV"
    )
    fails(3, sentence, "predict", "a.parquet", "b.parquet", "--model", "m", "--output", "out.parquet", "--quiet")


@pytest.mark.parametrize("is_piped", [False, True])
def test_json_lines_may_begin_with_whole_numbers_or_null(
    model: Model, run: Run, stdin: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch, *, is_piped: bool
) -> None:
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 2000)
    model()
    new = table("diamonds", "new").to_pylist()
    for i, row in enumerate(new):
        row["n"] = None if i < 10 else i if i < 30 else i + 0.5
        row["text"] = None if i < 10 else "2024-01-01" if i < 30 else "x"
    data = "".join(json.dumps(row) + "\n" for row in new).encode()
    Path("new.jsonl").write_bytes(data)
    stdin(data)
    words = ("-" if is_piped else "new.jsonl", "--model", "m", "--batch-rows", 7, "--output", "out.parquet")
    ended = run("predict", *words)
    assert ended.code == 0, ended.err
    found = read("out.parquet")
    assert found.schema.field("n").type == pa.float64()
    assert found.drop_columns(["prediction", "prediction_base"]).to_pylist() == new


def test_explanations_of_rows_without_a_value_may_come_first(model: Model, run: Run) -> None:
    model()
    assert run("explain", "new.csv", "--model", "m", "--rows", "1,2,3", "--output", "out.parquet").code == 0
    assert read("out.parquet").num_rows > 0
