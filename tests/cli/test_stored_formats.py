"""Every command on model directories as they were written once: each format stays readable (git f73e11c wrote these).

Regression: two bases, two memories with graphs. Classification: a learned encoder, a condensed memory.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import Run, snapshot

FORMAT_2 = Path(__file__).parents[1] / "store/format_2"
EVERY_TASK = pytest.mark.parametrize("task", ["regression", "classification"])


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder to which a model and its rows are copied."""
    return Path(shutil.copytree(FORMAT_2, tmp_path / "old"))


@EVERY_TASK
def test_it_is_verified_and_predicts_what_it_did(run: Run, old: Path, task: str) -> None:
    folder = old / task
    before = snapshot(folder)
    assert json.loads((folder / "model/memory.json").read_text())["format"] == 2
    assert run("verify", "--model", folder / "model").code == 0
    for reader in ("inspect", "explain", "evaluate"):
        rows = () if reader == "inspect" else (folder / "train.csv",)
        assert run(reader, *rows, "--model", folder / "model").code == 0
    assert snapshot(folder) == before
    words = ("--interval", "0.8", "--support", "--output", "found.csv", "--quiet")
    assert run("predict", folder / "new.csv", "--model", folder / "model", *words).code == 0
    found, expected = pd.read_csv("found.csv"), pd.read_csv(folder / "predicted.csv")
    assert list(found) == list(expected)
    for name in expected:
        if expected[name].dtype.kind == "f":
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
        else:
            assert list(found[name]) == list(expected[name])


@EVERY_TASK
def test_what_is_forgotten_and_remembered_again_gives_the_same_predictions(run: Run, old: Path, task: str) -> None:
    folder, model = old / task, old / task / "model"
    rows = pd.read_csv(folder / "train.csv")
    rows[rows["id"].isin(["r3", "r7"])].to_csv("again.csv", index=False)
    predict = ("predict", folder / "train.csv", "--model", model, "--keep", "none", "--quiet", "--output")
    assert run(*predict, "before.csv").code == 0
    assert run("forget", "--ids", "r3,r7", "--model", model, "--quiet").code == 0
    assert run(*predict, "between.csv").code == 0
    assert run("remember", "again.csv", "--model", model, "--quiet").code == 0
    assert run(*predict, "after.csv").code == 0
    assert run("verify", "--model", model).code == 0
    before, between, after = (pd.read_csv(f"{name}.csv") for name in ("before", "between", "after"))
    assert not before.equals(between)
    for name in before:
        if before[name].dtype.kind == "f":
            # The graph is another one, and finds 99 % of the neighbours.
            assert np.isclose(after[name], before[name], rtol=1e-4).mean() > 0.9
        else:
            assert list(after[name]) == list(before[name])
