"""Every command on model directories as they were written once: each format stays readable.

Format 2 (written by git f73e11c), regression: two bases, two memories with graphs; classification: a learned encoder,
a condensed memory. Format 3 (by the commit after 6549dd8), regression: a bounded line. Format 4 (by b959337),
regression: an encoder that makes waves of a number of two values. Format 5 (by 529d2aa), regression: weights, and two
forgotten rows. Format 6 (by e8aa71f), regression and classification: boosted trees as scikit-learn has them, with
categories and gaps, one of the logarithm; weights: weights, and an earlier memory. Format 7 (by 61858c3): the same, its
boosted trees as arrays. Format 8 (by 9f9ef0f): networks, and weights of bases. Format 9 (by 4d9d5c5): dates
as text, percent signs, and a category of many values with its target encoding. Format 10 (by e9c8e86): shards.
Of format 1 are tests in store.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import Run, snapshot

STORED = Path(__file__).parents[1] / "store"
EVERY_MODEL = pytest.mark.parametrize(
    "name",
    [
        *("format_2/regression", "format_2/classification", "format_3/regression", "format_4/regression"),
        *("format_5/regression", "format_6/regression", "format_6/classification", "format_6/weights"),
        *("format_7/regression", "format_7/classification", "format_7/weights"),
        *("format_8/regression", "format_8/classification"),
        *("format_9/regression", "format_9/classification"),
        "format_10/regression",
    ],
)


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[str], Path]:
    """Copy a model with its rows to a folder."""
    return lambda name: Path(shutil.copytree(STORED / name, tmp_path / "old"))


@EVERY_MODEL
def test_it_is_verified_and_predicts_what_it_did(run: Run, copy_of: Callable[[str], Path], name: str) -> None:
    folder = copy_of(name)
    before = snapshot(folder)
    of_name = name.partition("/")[0].removeprefix("format_")
    assert json.loads((folder / "model/memory.json").read_text())["format"] == int(of_name)
    assert run("verify", "--model", folder / "model").code == 0
    for reader in ("inspect", "explain", "evaluate"):
        rows = () if reader == "inspect" else (folder / "train.csv",)
        assert run(reader, *rows, "--model", folder / "model").code == 0
    assert snapshot(folder) == before
    words = ("--interval", "0.8", "--support", "--output", "found.csv", "--quiet")
    assert run("predict", folder / "new.csv", "--model", folder / "model", *words).code == 0
    found, expected = pd.read_csv("found.csv"), pd.read_csv(folder / "predicted.csv")
    assert list(found) == list(expected)
    for column in expected:
        if expected[column].dtype.kind == "f":
            np.testing.assert_allclose(found[column], expected[column], rtol=1e-5)
        else:
            assert list(found[column]) == list(expected[column])


@EVERY_MODEL
def test_what_is_forgotten_and_remembered_again_gives_the_same_predictions(
    run: Run, copy_of: Callable[[str], Path], name: str
) -> None:
    folder = copy_of(name)
    model = folder / "model"
    rows = pd.read_csv(folder / "train.csv")
    rows[rows["id"].isin(["r3", "r7"])].to_csv("again.csv", index=False)
    predict = ("predict", folder / "train.csv", "--model", model, "--keep", "none", "--quiet", "--output")
    assert run(*predict, "before.csv").code == 0
    assert run("forget", "--ids", "r3,r7", "--model", model, "--quiet").code == 0
    assert run(*predict, "between.csv").code == 0
    assert run("remember", "again.csv", "--model", model, "--quiet").code == 0
    assert run(*predict, "after.csv").code == 0
    assert run("verify", "--model", model).code == 0
    before, between, after = (pd.read_csv(f"{when}.csv") for when in ("before", "between", "after"))
    assert not before.equals(between)
    for column in before:
        if before[column].dtype.kind == "f":
            # The graph is another one, and finds 99 % of the neighbours.
            assert np.isclose(after[column], before[column], rtol=1e-4).mean() > 0.9
        else:
            assert list(after[column]) == list(before[column])
