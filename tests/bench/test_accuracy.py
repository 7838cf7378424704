"""The benchmark itself: nobody sees the test rows, nothing finished is repeated, and the report has what was run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resmem_cli.data.inference import Roles
from resmem_cli.data.schema import Task
from resmem_cli.model import comparison
from tests.bench.accuracy import __main__ as benchmark
from tests.bench.accuracy import data, marks, rivals, trust
from tests.bench.accuracy.data import DataSet
from tests.bench.accuracy.protocols import TALENT
from tests.bench.accuracy.published import SOURCES
from tests.bench.accuracy.runs import Options, Run
from tests.bench.accuracy.scores import scores
from tests.bench.accuracy.tables import tables


@pytest.fixture(autouse=True)
def _threads_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")


def rows_of(task: Task, n_rows: int = 240) -> pa.Table:
    """Numbers with gaps, a category written as whole numbers, and a target that hangs on both."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, n_rows))
    kind = rng.integers(0, 3, n_rows)
    y = a + np.sin(3 * b) + kind
    gaps = pa.array(np.where(rng.random(n_rows) < 0.1, np.nan, b), from_pandas=True)
    target = y if task is Task.REGRESSION else np.array(["low", "middle", "high"])[np.digitize(y, [0.0, 1.5])]
    return pa.table({"a": a, "b": gaps, "kind": kind, "y": target})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two data sets with their descriptions."""
    for name, task in (("made_up", Task.REGRESSION), ("sorted", Task.CLASSIFICATION)):
        pq.write_table(rows_of(task), tmp_path / f"{name}.parquet")
        said = {"task": "multiclass" if task is Task.CLASSIFICATION else "regression", "target": "y"}
        (tmp_path / f"{name}.json").write_text(json.dumps(said | {"categorical": ["kind"]}))
    return tmp_path


def words_for(folder: Path, *more: str) -> list[str]:
    asked = ["--bases", "linear", "--rivals", "knn", "--seeds", "2", "--effort", "quick", "--threads", "1"]
    return ["--data", str(folder), "--results", str(folder / "results"), *asked, *more]


class TestSplits:
    """Everybody is given the same rows, and no row is in two parts."""

    def test_every_row_is_in_one_part(self) -> None:
        parts = TALENT.positions(1_003, seed=5)
        assert sorted(np.concatenate(parts).tolist()) == list(range(1_003))

    def test_sizes_are_the_published_ones(self) -> None:
        assert [len(part) for part in TALENT.positions(20_640, seed=0)] == [13_209, 3_303, 4_128]

    def test_the_seed_alone_decides(self) -> None:
        first, again, other = (TALENT.positions(500, seed) for seed in (1, 1, 2))
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
        assert not np.array_equal(first[2], other[2])

    @pytest.mark.parametrize("train_on", ["train", "train+validation"])
    def test_rivals_learn_from_the_rows_that_ours_are_fitted_on(self, train_on: str) -> None:
        known = DataSet("made_up", rows_of(Task.REGRESSION), Roles("y", Task.REGRESSION, categories=("kind",)))
        parts = data.split(known, 0)
        rows, test = data.encode(known, parts, train_on)
        assert rows.fitting.y.tolist() == parts.fitting(train_on)["y"].to_pylist()
        assert test.y.tolist() == parts.test["y"].to_pylist()
        assert not set(test.y) & {*rows.fitting.y, *rows.train.y, *rows.validation.y}
        assert rows.n_categories == (0, 0, 3)


class TestRuns:
    """What is finished stays, and what failed is tried again."""

    def test_the_second_time_nothing_is_repeated(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        asked = words_for(folder, "--seeds", "1")
        assert benchmark.main(asked) == 0
        assert capsys.readouterr().out.startswith("0 runs are finished, 4 are left\n")
        kept = {path: path.stat().st_mtime_ns for path in (folder / "results").glob("*/*.json")}
        assert len(kept) == 4
        assert benchmark.main(asked) == 0
        assert capsys.readouterr().out.startswith("4 runs are finished, 0 are left\n")
        assert {path: path.stat().st_mtime_ns for path in kept} == kept

    def test_the_report_has_a_row_per_data_set(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        benchmark.main(words_for(folder, "--sets", "made_up"))
        shown = capsys.readouterr().out
        written = (folder / "results/report-quick_train.md").read_text()
        assert written in shown
        assert "| data | seeds | linear | linear + memory | knn |" in written
        table = json.loads((folder / "results/report-quick_train.json").read_text())["tables"][0]
        assert table["title"] == "rmse"
        row = table["rows"]["made_up"]
        assert row["linear + memory"]["n_seeds"] == 2
        found = [json.loads(path.read_text()) for path in (folder / "results/made_up").glob("resmem-linear*")]
        assert row["linear"]["mean"] == pytest.approx(np.mean([run["metrics"]["rmse"]["base"] for run in found]))
        for run in found:
            assert run["estimators"] == ["linear"]
            assert sum(member["weight"] for member in run["members"]) == pytest.approx(1)
            assert {member["estimator"] for member in run["members"]} == {"linear"}

    def test_other_options_are_another_run(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        asked = words_for(folder, "--sets", "made_up", "--seeds", "1")
        benchmark.main(asked)
        capsys.readouterr()
        benchmark.main([*asked, "--memory", "n_neighbors=4"])
        assert capsys.readouterr().out.startswith("1 runs are finished, 1 are left\n")

    def test_a_run_that_fails_is_told_of_and_the_others_go_on(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pq.write_table(pa.table({"a": [1.0] * 50, "kind": [1] * 50, "y": [2.0] * 50}), folder / "made_up.parquet")
        assert benchmark.main(words_for(folder, "--seeds", "1")) == 1
        told = capsys.readouterr()
        assert "made_up, resmem-linear, seed 0 failed: the target 'y' has the same value" in told.err
        assert sorted(path.parent.name for path in (folder / "results").glob("*/*.json")) == ["sorted", "sorted"]


@pytest.mark.parametrize("name", rivals.RIVALS)
@pytest.mark.parametrize("task", list(Task))
@pytest.mark.filterwarnings("default")  # what other libraries deprecate is not this project's fault
def test_every_rival_beats_a_guess(name: str, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rival that is given wrong rows, or loses its categories, would not."""
    if not rivals.RIVALS[name].is_installed:
        pytest.skip(f"{rivals.RIVALS[name].package} is not installed")
    monkeypatch.setattr("tests.bench.accuracy.boosters._MOST_TREES", 200)
    known = DataSet("made_up", rows_of(task, 400), Roles("y", task, categories=("kind",)))
    parts = data.split(known, 0)
    found = rivals.run(Run("made_up", name, "train", 0), known, parts, Options(), threads=1)
    if known.is_regression:
        assert found["metrics"]["rmse"]["value"] < 0.8 * np.std(known.table["y"].to_numpy())
    else:
        assert found["metrics"]["accuracy"]["value"] > 0.6


@pytest.mark.parametrize(
    ("folds", "metrics", "expected"),
    [
        ({"objective": "rmse", "base_loss": 4.0, "resmem_loss": 1.0}, ["rmse", "mae"], 50.0),
        ({"objective": "mae", "base_loss": 4.0, "resmem_loss": 1.0}, ["rmse", "mae"], 75.0),
        ({"objective": "log_loss", "base_loss": 0.5, "resmem_loss": 0.4}, ["log_loss", "accuracy"], 20.0),
        ({"objective": "accuracy", "base_loss": 0.2, "resmem_loss": 0.12}, ["log_loss", "accuracy"], 10.0),
        ({"base_loss": 4.0, "resmem_loss": 1.0}, ["rmse", "mae"], 50.0),  # of an older program
        ({"base_loss": 0.5, "resmem_loss": 0.4}, ["log_loss", "accuracy"], 20.0),
    ],
)
def test_the_gain_of_the_folds_is_read_in_the_metric_that_they_made_best(
    folds: dict[str, object], metrics: list[str], expected: float
) -> None:
    tested = {name: {"gain_percent": i} for i, name in enumerate(metrics)}
    record = {"folds": folds, "metrics": tested, "uses_memory": True}
    assert trust.folds_gain_percent(record) == pytest.approx(expected)
    (point,) = trust.points([(Run("made_up", "resmem-linear", "quick", 0), record)])
    assert point.test == tested[str(folds.get("objective", metrics[0]))]["gain_percent"]


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_auc_of_rivals_is_that_of_evaluate(n_classes: int) -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, n_classes, 60).astype(np.float64)
    predictions = rng.dirichlet(np.ones(n_classes), 60).round(1)  # with ties
    rows = np.arange(60, dtype=np.uint64)
    by_evaluate = comparison.compare(y, predictions, predictions, None, 0, units=rows, n_resamples=0)
    assert scores(y, predictions)["roc_auc"] == pytest.approx(by_evaluate["roc_auc"].base)


def test_rows_of_one_class_have_no_auc() -> None:
    assert set(scores(np.ones(4), np.full((4, 2), 0.5))) == {"accuracy", "log_loss"}


def test_every_published_row_is_whole() -> None:
    for source in SOURCES:
        assert source.reference in source.columns
        for row in (*source.means.values(), *source.deviations.values()):
            assert len(row) == len(source.columns)


def test_published_numbers_are_in_the_units_of_our_target() -> None:
    run = Run("california", "lightgbm", "train", 0)
    rmse, ratio, _ = tables([(run, {"metrics": {"rmse": {"value": 0.45}}, "seconds": {"fit": 1.0}})])
    assert rmse.cells["california"]["TALENT: tabr"].mean == pytest.approx(0.421376)
    assert ratio.cells["california"]["TabR: TabR"].mean == pytest.approx(0.3998 / 0.4495)


class TestMarks:
    """TALENT's marks: reached from the right side, on the sets that have one."""

    @pytest.mark.parametrize(
        ("data_set", "metric", "values", "reached"),
        [
            ("letter", "accuracy", (0.984, 0.986), True),  # the mean is the mark
            ("letter", "accuracy", (0.984, 0.9859), False),
            ("protein_casp", "rmse", (3.0, 3.05), True),
            ("protein_casp", "rmse", (3.0, 3.1), False),
        ],
    )
    def test_the_mean_with_memory_decides(
        self, data_set: str, metric: str, values: tuple[float, ...], reached: bool
    ) -> None:
        found = [
            (Run(data_set, "resmem-auto", "default_train", seed), {"metrics": {metric: {"base": 0.0, "resmem": value}}})
            for seed, value in enumerate(values)
        ]
        found.append((Run(data_set, "lightgbm", "train", 0), {"metrics": {metric: {"value": 1.0}}}))
        found.append((Run("concrete", "resmem-auto", "default_train", 0), {"metrics": {"rmse": {"resmem": 1.0}}}))
        (mark,) = marks.marks(found)
        assert mark.is_reached is reached
        line = marks.markdown([mark]).splitlines()[-1]
        assert line.startswith(f"| {data_set} | {metric} | {'<= 3.04' if metric == 'rmse' else '>= 0.985'} | auto |")
        assert line.endswith("| yes |" if reached else "| no |")

    def test_the_report_has_them(self, tmp_path: Path) -> None:
        record = {"metrics": {"accuracy": {"base": 0.9, "resmem": 0.99, "gain_percent": 10.0}}, "rows": [64, 16, 20]}
        seconds = {"seconds": {"fit_base": 1.0, "fit_residual": 1.0}}
        Run("letter", "resmem-auto", "default_train", 0).write(tmp_path, record | seconds)
        benchmark.main(["--data", str(tmp_path), "--results", str(tmp_path), "--report-only"])
        assert (
            "| letter | accuracy | >= 0.985 | auto | 0.99 | yes |" in (tmp_path / "report-default_train.md").read_text()
        )
        (mark,) = json.loads((tmp_path / "report-default_train.json").read_text())["marks"]
        assert mark["reached"] is True
