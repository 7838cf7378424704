"""Of a Parquet file a command reads the columns that it needs: damage to another one goes unseen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Run

QUICK = ("--effort", "quick", "--folds", 2, "--neighbors", 4, "--bandwidth", 0.5, "--shrinkage", 0.5)
DATA = 3


def rows(seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 60))
    return pa.table({"id": np.arange(60) + 60 * seed, "a": a, "extra": rng.normal(size=60), "b": b, "y": a + np.sin(b)})


@pytest.fixture
def damaged(run: Run) -> str:
    """A model of `a` and `b`, and new rows whose column "extra" cannot be read."""
    pq.write_table(rows(0), "train.parquet")
    pq.write_table(rows(1), "new.parquet")
    words = ("train.parquet", "--target", "y", "--id", "id", "--drop", "extra", "--estimator", "linear")
    assert run("fit-base", *words, "--model", "m").code == 0
    assert run("fit-residual", "train.parquet", "--model", "m", *QUICK).code == 0
    column = next(
        group.column(i)
        for group in [pq.read_metadata("new.parquet").row_group(0)]
        for i in range(group.num_columns)
        if group.column(i).path_in_schema == "extra"
    )
    data, start = bytearray(Path("new.parquet").read_bytes()), column.dictionary_page_offset or column.data_page_offset
    data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    Path("new.parquet").write_bytes(data)
    return "new.parquet"


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "new.parquet", "--model", "m", "--keep", "none"),
        ("predict", "new.parquet", "--model", "m", "--keep", "id,y"),
        ("evaluate", "new.parquet", "--model", "m"),
        ("evaluate", "new.parquet", "--model", "m", "--by", "a"),
        ("explain", "new.parquet", "--model", "m"),
        ("compare", "m", "m", "new.parquet"),
        ("distill", "new.parquet", "--model", "m", "--student", "s", "--estimator", "linear"),
        ("remember", "new.parquet", "--model", "m"),
        ("forget", "new.parquet", "--model", "m", "--where", "id=60"),
    ],
)
def test_a_column_that_is_not_needed_is_not_read(damaged: str, run: Run, words: tuple[str, ...]) -> None:
    ended = run(*words)
    assert "cannot be read" not in ended.err
    if words[0] == "forget":  # the row was found, and is in no memory
        assert "no row with the id '60' is remembered" in ended.err
    else:
        assert ended.code == 0, ended.err


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "new.parquet", "--model", "m", "--keep", "all"),
        ("evaluate", "new.parquet", "--model", "m", "--by", "extra"),
    ],
)
def test_a_column_that_is_needed_is_read(damaged: str, run: Run, words: tuple[str, ...]) -> None:
    ended = run(*words)
    assert ended.code == DATA
    assert f"{damaged} cannot be read" in ended.err
