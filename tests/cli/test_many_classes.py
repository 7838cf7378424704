"""Every command with more classes than whose probabilities are held for all rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resmem_cli.cli.main import main
from resmem_cli.store import reading
from tests.cli.conftest import Run
from tests.sharing import made_once

N_CLASSES, N_ROWS = 120, 900
FIXED = ("--representation", "features", "--neighbors", 4, "--bandwidth", 0.2, "--shrinkage", 1, "--temperature", 1)


def rows(n: int, seed: int) -> pa.Table:
    """Rows of classes that are two clusters each, which no line tells from the others."""
    centres = np.random.default_rng(0).normal(size=(N_CLASSES, 2, 4)) * 2
    rng = np.random.default_rng(seed)
    y = np.arange(n) % N_CLASSES
    X = centres[y, rng.integers(0, 2, n)] + 0.3 * rng.normal(size=(n, 4))
    columns = {f"x{j}": X[:, j] for j in range(4)}
    return pa.table({"id": [f"{seed}-{i}" for i in range(n)], **columns, "label": [f"class {c}" for c in y]})


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, the rows that made it and others; not to be changed."""

    def make(folder: Path) -> None:
        for name, n, seed in (("train", N_ROWS, 1), ("new", 200, 2), ("more", 150, 3)):
            pq.write_table(rows(n, seed), folder / f"{name}.parquet")
        model = ("--model", folder / "model", "--quiet", "--threads", 1)
        for words in (("fit-base", "--target", "label", "--id", "id"), ("fit-residual", "--folds", 3)):
            assert main([str(word) for word in (words[0], folder / "train.parquet", *words[1:], *model)]) == 0

    return made_once(tmp_path_factory, "many-classes", make)


@pytest.fixture
def folder(fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to change, which the test works in."""
    shutil.copytree(fitted, tmp_path / "many")
    monkeypatch.chdir(tmp_path / "many")
    return tmp_path / "many"


def test_fit_base_and_fit_residual_say_what_they_leave_out(run: Run, folder: Path) -> None:
    done = run("fit-base", "train.parquet", "--target", "label", "--id", "id", "--model", "other")
    assert "note: 120 classes are many: auto fits a linear discriminant in closed form" in done.err
    assert "fitted discriminant on 900 rows" in done.err
    done = run("fit-residual", "train.parquet", "--model", "other", "--folds", 3)
    assert (
        "note: 120 classes are many: a residual holds the row's own class and the 16 most probable others" in done.err
    )
    assert "encoders and cross-fitted residuals are not tried" in done.err
    done = run("fit-residual", "train.parquet", "--model", "other", "--folds", 0, *FIXED)
    assert "note: 120 classes are many" in done.err


def test_the_memory_helps_and_evaluate_says_so_without_the_area(run: Run, folder: Path) -> None:
    done = run("evaluate", "new.parquet", "--model", "model", "--json", "--interval", 0.9, "--by", "auto")
    found = json.loads(done.out)
    assert found["metrics"].keys() == {"log_loss", "accuracy", "balanced_accuracy", "brier"}
    assert found["metrics"]["log_loss"]["ci95"][0] > 0
    assert 0.8 < found["interval"]["coverage"] <= 1
    assert "roc_auc is left out: it ranks all rows once for each of 120 classes" in done.err
    refused = run("evaluate", "new.parquet", "--model", "model", "--min-roc-auc", 0.5)
    assert refused.code == 2
    assert refused.lines[-1].endswith("roc_auc is not measured of more than 100 classes; limit another metric")


def test_predictions_agree_with_their_probabilities_sets_and_explanations(run: Run, folder: Path) -> None:
    run("predict", "new.parquet", "--model", "model", "--output", "p.parquet", "--probabilities", "--interval", 0.9)
    found = pq.read_table("p.parquet")
    names = [name for name in found.column_names if name.startswith("probability_")]
    probabilities = np.column_stack([found[name] for name in names])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(probabilities.max(axis=1), found["probability"])
    winners = [names[i].removeprefix("probability_") for i in probabilities.argmax(axis=1)]
    assert winners == found["prediction"].to_pylist()
    sets = [json.loads(each) for each in found["prediction_set"].to_pylist()]
    assert all(winner in each for winner, each in zip(winners, sets, strict=True))
    run("predict", "new.parquet", "--model", "model", "--output", "q.parquet", "--batch-rows", 7)
    assert pq.read_table("q.parquet")["prediction"].to_pylist() == winners
    explained = [json.loads(line) for line in run("explain", "new.parquet", "--model", "model").out.splitlines()]
    assert [each["label"] for each in explained] == winners
    np.testing.assert_allclose([each["prediction"] for each in explained], found["probability"])
    for each in explained:
        assert each["base"] + each["correction"] + each["adjustment"] == pytest.approx(each["prediction"])


def test_rows_are_remembered_and_forgotten(run: Run, folder: Path) -> None:
    before = reading.load(folder / "model").resmem.members[0].memory
    remembered = json.loads(run("remember", "more.parquet", "--model", "model", "--json").out)
    assert (remembered["rows"], remembered["added"]) == (N_ROWS + 150, 150)
    assert remembered["measured"]["resmem"] < remembered["measured"]["base"]
    assert run("forget", "--ids", "3-0,1-7", "--model", "model").code == 0
    assert run("verify", "--model", "model").code == 0
    after = reading.load(folder / "model").resmem.members[0].memory
    assert before.is_sparse
    assert after.is_sparse
    assert after.counts.sum() == before.counts.sum() + 148
    assert run("undo", "--model", "model").code == 0
    assert json.loads(run("inspect", "--model", "model", "--json").out)["memory"]["rows"] == N_ROWS - 1


def test_models_of_very_many_classes_are_compared(run: Run, folder: Path) -> None:
    shutil.copytree("model", "other")
    same = run("compare", "model", "other", "new.parquet")
    assert "predict the same" in same.out + same.err
