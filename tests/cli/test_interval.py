"""`predict --interval` and `evaluate --interval`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Run

Model = Callable[..., Path]
_QUICK = ("--effort", "quick", "--quiet")


class TestNumbers:
    @pytest.fixture
    def fitted(self, run: Run, model: Model) -> Path:
        path = model()
        assert run("fit-residual", "train.csv", "--model", path, *_QUICK).code == 0
        return path

    def test_every_row_gets_the_ends_of_its_interval(self, run: Run, fitted: Path) -> None:
        words = ("predict", "test.csv", "--model", fitted, "--quiet", "--support")
        widths = {}
        for level in (0.5, 0.9):
            assert run(*words, "--interval", level, "--output", "p.parquet").code == 0
            table = pq.read_table("p.parquet")
            assert table.column_names[-5:] == ["prediction", "prediction_base", "lower", "upper", "distance_percentile"]
            lower, prediction, upper = (table[name].to_numpy() for name in ("lower", "prediction", "upper"))
            np.testing.assert_allclose(prediction - lower, upper - prediction)
            widths[level] = upper - lower
        assert (widths[0.5] < widths[0.9]).all()
        assert len(np.unique(widths[0.9])) > 40  # they adapt

    def test_evaluate_measures_coverage(self, run: Run, fitted: Path) -> None:
        found = json.loads(run("evaluate", "test.csv", "--model", fitted, "--interval", 0.9, "--json").out)["interval"]
        run("predict", "test.csv", "--model", fitted, "--interval", 0.9, "--output", "p.parquet", "--quiet")
        table = pq.read_table("p.parquet")
        lower, upper, y = (np.array(table[name].to_pylist(), float) for name in ("lower", "upper", "price"))
        assert found == {
            "level": 0.9,
            "coverage": pytest.approx(np.mean((lower <= y) & (y <= upper))),
            "size": pytest.approx(np.mean(upper - lower)),
        }
        assert 0.75 <= found["coverage"] <= 1
        said = run("evaluate", "test.csv", "--model", fitted, "--interval", 0.9).out
        assert (
            f"Prediction intervals of level 90 % cover {100 * found['coverage']:.1f} % of the rows; mean width" in said
        )

    def test_intervals_stay_where_rows_come_and_go(self, run: Run, fitted: Path) -> None:
        assert run("remember", "test.csv", "--model", fitted).code == 0
        assert run("predict", "test.csv", "--model", fitted, "--interval", 0.9, "--quiet").code == 0
        assert run("verify", "--model", fitted).code == 0

    def test_without_folds_there_are_none(self, run: Run, model: Model) -> None:
        path = model()
        for verb in ("predict", "evaluate"):
            ended = run(verb, "test.csv", "--model", path, "--interval", 0.9)
            assert (ended.code, ended.out) == (2, "")
            said = "this memory has no held-out rows to make prediction intervals from; run fit-residual with --folds 2"
            assert said in ended.err

    @pytest.mark.parametrize("level", ["0", "1", "90", "-0.5"])
    def test_a_level_is_between_0_and_1(self, run: Run, fitted: Path, level: str) -> None:
        ended = run("predict", "test.csv", "--model", fitted, f"--interval={level}")
        assert ended.code == 2
        assert "is not between 0 and 1" in ended.err

    def test_more_than_the_held_out_rows_can_promise_is_refused(self, run: Run, fitted: Path) -> None:
        ended = run("predict", "test.csv", "--model", fitted, "--interval", 0.9999)
        assert ended.code == 2
        assert "240 held-out rows are too few for intervals of 99.99 %; use at most --interval 0.9958" in ended.err
        assert run("predict", "test.csv", "--model", fitted, "--interval", 0.9958, "--quiet").code == 0

    def test_a_memory_that_is_off_has_intervals_about_the_base(self, run: Run, model: Model) -> None:
        path = model()
        assert run("fit-residual", "train.csv", "--model", path, "--shrinkage", 0, *_QUICK).code == 0
        assert run("predict", "test.csv", "--model", path, "--interval", 0.8, "--output", "p.parquet").code == 0
        table = pq.read_table("p.parquet")
        middle = (table["lower"].to_numpy() + table["upper"].to_numpy()) / 2
        np.testing.assert_allclose(middle, table["prediction_base"].to_numpy())


def test_classes_get_sets(run: Run, model: Model) -> None:
    path = model("chess")
    assert run("fit-residual", "train.csv", "--model", path, *_QUICK).code == 0
    words = ("predict", "test.csv", "--model", path, "--interval", 0.9, "--probabilities", "--output", "p.parquet")
    assert run(*words).code == 0
    rows = pq.read_table("p.parquet").to_pylist()
    sets = [json.loads(row["prediction_set"]) for row in rows]
    assert all(row["prediction"] in own for row, own in zip(rows, sets, strict=True))
    for row, own in zip(rows, sets, strict=True):
        outside = [row[f"probability_{name}"] for name in ("draw", "fourteen", "thirteen") if name not in own]
        assert max(outside, default=0) <= min(row[f"probability_{name}"] for name in own)
    found = json.loads(run("evaluate", "test.csv", "--model", path, "--interval", 0.9, "--json").out)["interval"]
    assert found["coverage"] == pytest.approx(
        np.mean([row["depth"] in own for row, own in zip(rows, sets, strict=True)])
    )
    assert found["size"] == pytest.approx(np.mean([len(own) for own in sets]))
