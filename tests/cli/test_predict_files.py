"""`predict --output-dir`: every input file into a file of the same name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Run, table, write_csv

Fails = Callable[..., None]
USAGE = 2


@pytest.fixture
def inputs(model: Callable[..., Path], tmp_path: Path) -> list[str]:
    """Five files of eight rows, one of them in a folder of its own."""
    model()
    new = table("diamonds", "new")
    names = ["in/a.csv", "in/b.csv", "in/c.csv", "in/d.csv", "in/deep/a.csv"]
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for i, name in enumerate(names):
        write_csv(new.slice(8 * i, 8), tmp_path / name)
    return names


@pytest.mark.parametrize("threads", [1, 2])
def test_the_files_together_hold_what_one_output_holds(inputs: list[str], run: Run, threads: int) -> None:
    words = ("predict", *inputs, "--model", "m", "--threads", threads)
    whole = run(*words, "--quiet").out.splitlines()
    ended = run(*words, "--output-dir", "out")
    assert "predicted 40 rows of 5 files in" in ended.err
    assert ended.out == ""
    parts = [(Path("out") / name.removeprefix("in/")).read_text().splitlines() for name in inputs]
    assert [line for part in parts for line in part[1:]] == whole[1:]
    assert {part[0] for part in parts} == {whole[0]}


def test_another_format_is_another_ending(inputs: list[str], run: Run) -> None:
    assert run("predict", "in/*.csv", "--model", "m", "--output-dir", "out", "--output-format", "parquet").code == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.parquet", "b.parquet", "c.parquet", "d.parquet"]
    assert pq.read_table("out/a.parquet").num_rows == 8


def test_what_is_newer_than_its_input_and_the_model_is_kept(inputs: list[str], run: Run) -> None:
    words = ("predict", "in/*.csv", "--model", "m", "--output-dir", "out", "--resume")
    assert "predicted 32 rows of 4 files" in run(*words).err
    Path("out/b.csv").unlink()
    later = time.time() + 10
    os.utime("in/c.csv", (later, later))
    before = {name: Path("out", name).stat().st_mtime_ns for name in ("a.csv", "d.csv")}
    ended = run(*words)
    assert "predicted 16 rows of 2 files" in ended.err
    assert ended.err.endswith("; 2 files skipped, already up to date\n")
    assert {name: Path("out", name).stat().st_mtime_ns for name in before} == before
    os.utime("m/memory.json", (later, later))
    assert "of 4 files" in run(*words).err


def test_a_file_that_is_wrong_leaves_those_before_it(inputs: list[str], run: Run) -> None:
    Path("in/c.csv").write_text("id,carat\nd1,2\n")
    ended = run("predict", "in/*.csv", "--model", "m", "--output-dir", "out", "--threads", 1)
    assert ended.err.startswith("resmem: in/c.csv lacks the columns 'cut'")
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.csv", "b.csv"]


def test_nothing_of_the_users_is_replaced(inputs: list[str], fails: Fails) -> None:
    sentence = "the input 'in/a.csv' would be replaced by its output; name another --output-dir"
    fails(USAGE, sentence, "predict", "in/a.csv", "--model", "m", "--output-dir", "in")
    words = ("--model", "m", "--output-dir", "out")
    fails(
        USAGE, "two inputs would be written to 'out/a.csv'; name each file once", "predict", *["in/a.csv"] * 2, *words
    )
    fails(
        USAGE,
        "standard input has no file name to use in --output-dir; name files, or use --output",
        "predict",
        "-",
        *words,
    )
    said = "Invalid value for '--output-dir': --output and --output-dir exclude each other; see resmem predict --help"
    fails(USAGE, said, "predict", "in/a.csv", *words, "--output", "x.csv")
    said = "Invalid value for '--resume': it needs --output-dir; see resmem predict --help"
    fails(USAGE, said, "predict", "in/a.csv", "--model", "m", "--resume")


def test_a_directory_of_parquet_keeps_its_folders(inputs: list[str], run: Run) -> None:
    new = table("diamonds", "new")
    for name, start in (("x=1", 0), ("x=2", 8)):
        (Path("days") / name).mkdir(parents=True)
        pq.write_table(pa.table(new.slice(start, 8)), Path("days") / name / "part.parquet")
    assert run("predict", "days", "--model", "m", "--output-dir", "out").code == 0
    assert [pq.read_table(Path("out") / name / "part.parquet").num_rows for name in ("x=1", "x=2")] == [8, 8]
