"""The protocol of TabArena: its published table read, ranks in it, its splits and its reference."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.model_selection import KFold, StratifiedKFold

from resmem_cli.data.inference import Roles
from resmem_cli.data.kinds import Floats
from resmem_cli.data.schema import Task
from tests.bench.accuracy import __main__ as benchmark
from tests.bench.accuracy import boosters, rivals, standings, tabarena
from tests.bench.accuracy.data import DataSet, Encoded, Labelled
from tests.bench.accuracy.neighbours import Predict
from tests.bench.accuracy.protocols import TABARENA, TALENT
from tests.bench.accuracy.runs import Found, Options, Run
from tests.bench.accuracy.standings import Rank
from tests.bench.accuracy.tabarena import PublishedSet

CSV = """\
dataset,fold,method,metric,metric_error,imputed,time_train_s,time_infer_s
concrete_compressive_strength,0,GBM (default),rmse,4.0,False,1,1
concrete_compressive_strength,0,CAT (tuned),rmse,3.0,False,1,1
concrete_compressive_strength,0,LR (default),rmse,9.0,False,1,1
concrete_compressive_strength,0,RF [Rerun] (default),rmse,5.0,False,1,1
concrete_compressive_strength,0,TABICL_GPU (default),rmse,4.0,True,1,1
concrete_compressive_strength,0,"AutoGluon 1.5 (extreme, 4h)",rmse,2.0,False,1,1
Bank_Customer_Churn,0,GBM (default),roc_auc,0.12,False,1,1
another_set,0,GBM (default),rmse,1.0,False,1,1
"""


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESMEM_TABARENA", raising=False)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "published.csv"
    path.write_text(CSV)
    return path


def ours(data_set: str, seed: int, metric: str, base: float, resmem: float) -> Found:
    return Run(data_set, "resmem-auto", "tabarena", seed), {"metrics": {metric: {"base": base, "resmem": resmem}}}


def reference(data_set: str, seed: int, metric: str, value: float, who: str = "lightgbm-bagged") -> Found:
    return Run(data_set, who, "tabarena", seed), {"metrics": {metric: {"value": value}}}


class TestPublishedTable:
    """What is read of the file: results that a method reached itself, once, on sets that are ours."""

    def test_imputed_results_reruns_and_other_sets_are_left_out(self, table: Path) -> None:
        read = tabarena.read(table)
        assert set(read) == {"concrete", "churn_modelling"}
        assert read["concrete"].errors == {
            "GBM (default)": 4.0,
            "CAT (tuned)": 3.0,
            "LR (default)": 9.0,
            "AutoGluon 1.5 (extreme, 4h)": 2.0,
        }
        assert read["concrete"].metric == "rmse"
        assert read["churn_modelling"].metric == "roc_auc"

    def test_a_table_without_a_column_is_refused(self, table: Path) -> None:
        table.write_text(CSV.replace("metric_error", "error"))
        with pytest.raises(ValueError, match="has no column metric_error"):
            tabarena.read(table)

    @pytest.mark.parametrize(
        "method",
        [
            *("REALTABPFN-V2.5 (tuned)", "TA-TABPFN-3 (default)", "TABPFNV2_GPU (default)", "TABICLV2 (default)"),
            *("TABDPT_GPU (tuned)", "TA-LIMIX (default)", "MITRA_GPU (default)", "SAP-RPT-OSS (default)"),
            *("TABFLEX_GPU (default)", "TABSTAR (tuned)", "TA-ORION-MSP (default)", "TA-ILTM (default)"),
            *("BETA_GPU (default)", "AutoGluon 1.5 (extreme, 4h)"),
        ],
    )
    def test_pretrained_methods_are_told_by_their_names(self, method: str) -> None:
        assert tabarena.pretrained(method)

    @pytest.mark.parametrize(
        "method", ["AutoGluon 1.4 (best, 4h)", "TABM_GPU (tuned)", "REALMLP_GPU (default)", "GBM (default)"]
    )
    def test_methods_that_learn_from_the_table_alone_are_not_pretrained(self, method: str) -> None:
        assert not tabarena.pretrained(method)


class TestRanks:
    """Ranks among 2, 3, 4 and 9, of which 2 is of a pretrained method and 4 of LightGBM."""

    @pytest.mark.parametrize(("error", "rank"), [(1.0, 1), (2.0, 1), (3.5, 3), (4.0, 3), (10.0, 5)])
    def test_a_rank_counts_the_smaller_errors(self, table: Path, error: float, rank: int) -> None:
        assert tabarena.read(table)["concrete"].rank(error) == rank

    def test_ranks_of_the_mean_and_of_single_seeds_as_they_are_and_scaled(self, table: Path) -> None:
        found = [
            ours("concrete", 0, "rmse", base=6.0, resmem=3.5),
            ours("concrete", 1, "rmse", base=8.0, resmem=5.5),
            reference("concrete", 0, "rmse", 7.0),  # scaled: 3.5 / 7 * 4 = 2
            reference("concrete", 1, "rmse", 5.5),  # scaled: 5.5 / 5.5 * 4 = 4, and the mean is 3
            reference("concrete", 1, "rmse", 3.0, "catboost-bagged"),  # of one seed, and not published
            ours("letter", 0, "accuracy", base=0.9, resmem=0.9),  # TabArena has no such set
        ]
        (standing,) = standings.standings(found, tabarena.read(table))
        assert [standing.cells[name].mean for name in ("base", "with memory", "lightgbm-bagged")] == [7.0, 4.5, 6.25]
        assert standing.ranks == {
            "rank": Rank(4, 3, 4, 5),
            "rank by lightgbm-bagged": Rank(2, 1, 3, 5),
            "not pretrained: rank": Rank(3, 2, 3, 4),
            "not pretrained: rank by lightgbm-bagged": Rank(1, 1, 2, 4),
        }
        shown = standings.markdown([standing])
        assert "| concrete | RMSE | auto | 2 | 7 ± 1.4 | 4.5 ± 1.4 | 6.25 ± 1.1 | 4 | 3 |  |" in shown
        assert "| concrete | auto | 4 (3-4) of 5 | 2 (1-3) of 5 |  | 3 (2-3) of 4 | 1 (1-2) of 4 |  |" in shown

    def test_the_rank_by_another_reference(self, table: Path) -> None:
        table.write_text(table.read_text().replace("CAT (tuned)", "CAT (default)"))
        found = [
            ours("concrete", 0, "rmse", base=6.0, resmem=3.5),
            reference("concrete", 0, "rmse", 3.5, "catboost-bagged"),  # scaled: 3.5 / 3.5 * 3 = 3
        ]
        (standing,) = standings.standings(found, tabarena.read(table))
        assert standing.ranks == {
            "rank": Rank(3, 3, 3, 5),
            "rank by catboost-bagged": Rank(2, 2, 2, 5),
            "not pretrained: rank": Rank(2, 2, 2, 4),
            "not pretrained: rank by catboost-bagged": Rank(1, 1, 1, 4),
        }

    def test_without_the_reference_only_the_scaled_ranks_are_missing(self, table: Path) -> None:
        (standing,) = standings.standings([ours("concrete", 0, "rmse", 6.0, 2.5)], tabarena.read(table))
        assert standing.ranks == {"rank": Rank(2, 2, 2, 5), "not pretrained: rank": Rank(1, 1, 1, 4)}

    def test_the_error_of_two_classes_is_one_minus_auc(self) -> None:
        published = {"churn_modelling": PublishedSet("Bank_Customer_Churn", "roc_auc", {"a": 0.1, "b": 0.2})}
        found = [
            ours("churn_modelling", 0, "roc_auc", base=0.75, resmem=0.85),
            reference("churn_modelling", 0, "roc_auc", 0.8),
        ]
        (standing,) = standings.standings(found, published)
        assert {name: cell.mean for name, cell in standing.cells.items()} == pytest.approx(
            {"base": 0.25, "with memory": 0.15, "lightgbm-bagged": 0.2}
        )
        assert standing.ranks["rank"] == Rank(2, 2, 2, 3)


class TestSplits:
    """All of two thirds are fitted on, the rest judges, and runs of both protocols are kept apart."""

    def test_every_row_is_in_one_part(self) -> None:
        train, validation, test = TABARENA.positions(1_000, seed=3)
        assert (len(train), len(validation), len(test)) == (666, 0, 334)
        assert sorted([*train, *test]) == list(range(1_000))

    def test_the_seed_alone_decides(self) -> None:
        first, again, other = (TABARENA.positions(500, seed)[2] for seed in (1, 1, 2))
        assert first.tolist() == again.tolist()
        assert set(first) != set(other)

    def test_files_of_the_older_protocol_keep_their_names(self) -> None:
        assert Options(n_rows=600).of_ours == "default_train_rows=600"
        assert Options(protocol=TABARENA, n_rows=600).of_ours == "default_tabarena_rows=600"
        assert Options(protocol=TABARENA).of_rival(stops_early=False) == "tabarena"
        assert Options().of_rival(stops_early=False) == "train"

    def test_the_older_protocol_runs_the_same_rivals_as_before(self) -> None:
        assert TALENT.rivals == tuple(name for name in rivals.RIVALS if not name.endswith("-bagged"))

    def test_the_sets_are_those_that_have_published_results(self) -> None:
        assert sorted(TABARENA.sets or ()) == sorted(tabarena.SETS.values())

    def test_a_target_is_replaced_by_its_natural_logarithm(self) -> None:
        rows = pa.table({"a": [1.0, 2.0], "y": [1.0, np.e], "b": [3.0, 4.0]})
        table = DataSet("made_up", rows, Roles("y", Task.REGRESSION)).with_log_target().table
        assert table.column_names == ["a", "y", "b"]
        assert table["y"].to_pylist() == pytest.approx([0.0, 1.0])
        assert table["a"].to_pylist() == [1.0, 2.0]


class TestReference:
    """The defaults of others about as TabArena runs them."""

    @pytest.mark.parametrize("n_classes", [0, 2])
    def test_the_bag_is_the_mean_of_eight_models_stopped_by_their_eighths(self, n_classes: int) -> None:
        X, y = made_up(n_classes)
        part = Labelled(X[:300], y[:300])
        rows = Encoded(part, part, Labelled(X[:0], y[:0]), (0, 0, 3), n_classes)
        predictions = boosters.lightgbm_bagged(rows, seed=4, threads=1)(X[300:])
        assert predictions[:, -1] == pytest.approx(bag_by_the_native_api(part, X[300:], n_classes, seed=4))

    @pytest.mark.parametrize("fit", [boosters.lightgbm_bagged, boosters.catboost_bagged])
    def test_probabilities_of_two_classes_sum_to_one(self, fit: Callable[..., Predict]) -> None:
        X, y = made_up(2)
        part = Labelled(X, y)
        predictions = fit(Encoded(part, part, part, (0, 0, 3), 2), seed=0, threads=1)(X)
        assert predictions.shape == (len(y), 2)
        assert np.mean(predictions.argmax(axis=1) == y) > 0.9
        assert predictions.sum(axis=1) == pytest.approx(1)


def made_up(n_classes: int) -> tuple[Floats, Floats]:
    """Two numbers and a category, and a target that hangs on them."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(400, 2)), rng.integers(0, 3, 400)]).astype(np.float64)
    signal = X[:, 0] + np.sin(3 * X[:, 1]) + X[:, 2] + rng.normal(scale=0.3, size=400)
    return X, signal if n_classes == 0 else (signal > 1).astype(np.float64)


def bag_by_the_native_api(part: Labelled, test: Floats, n_classes: int, seed: int) -> Floats:
    params: dict[str, Any] = {"learning_rate": 0.05, "num_threads": 1, "verbosity": -1}
    params |= {"objective": "binary", "metric": "auc"} if n_classes else {"objective": "regression", "metric": "rmse"}
    folds = (StratifiedKFold if n_classes else KFold)(8, shuffle=True, random_state=seed)
    predictions = []
    for fitted, held_out in folds.split(part.X, part.y):
        train, watched = (
            lightgbm.Dataset(part.X[rows], part.y[rows], categorical_feature=[2]) for rows in (fitted, held_out)
        )
        stop = lightgbm.early_stopping(100, verbose=False)
        model = lightgbm.train(params, train, 10_000, valid_sets=[watched], callbacks=[stop])
        assert model.best_iteration < 10_000
        predictions.append(np.asarray(model.predict(test, num_iteration=model.best_iteration)))
    mean: Floats = np.mean(predictions, axis=0)
    return mean


class TestRuns:
    """From the command to the report."""

    @pytest.fixture
    def words(self, tmp_path: Path) -> list[str]:
        X, y = made_up(2)
        rows = {"a": X[:, 0], "b": X[:, 1], "kind": X[:, 2].astype(int), "Exited": y.astype(int)}
        pq.write_table(pa.Table.from_pandas(pd.DataFrame(rows)), tmp_path / "churn_modelling.parquet")
        said = {"task": "binary", "target": "Exited", "categorical": ["kind"]}
        (tmp_path / "churn_modelling.json").write_text(json.dumps(said))
        asked = ["--protocol", "tabarena", "--bases", "linear", "--seeds", "1", "--effort", "quick", "--threads", "1"]
        return ["--data", str(tmp_path), "--results", str(tmp_path / "results"), *asked]

    @pytest.mark.filterwarnings("default")  # what other libraries deprecate is not this project's fault
    def test_the_report_has_ranks_if_the_published_table_is_there(
        self, words: list[str], table: Path, tmp_path: Path
    ) -> None:
        report = tmp_path / "results/report-quick_tabarena.md"
        assert benchmark.main(words) == 0
        assert "TabArena\n\nIts published results are not there" in report.read_text()
        assert benchmark.main([*words, "--tabarena", str(table), "--report-only"]) == 0
        assert "not there" not in report.read_text()
        assert "| churn_modelling | 1 - AUC | linear | 1 |" in report.read_text()
        (standing,) = json.loads(report.with_suffix(".json").read_text())["tabarena"]
        run = json.loads((tmp_path / "results/churn_modelling/resmem-linear.quick_tabarena.seed0.json").read_text())
        assert run["rows"] == [266, 0, 134]
        assert standing["errors"]["with memory"]["mean"] == pytest.approx(1 - run["metrics"]["roc_auc"]["resmem"])
        assert 0 < standing["errors"]["lightgbm-bagged"]["mean"] < 0.2

    @pytest.mark.parametrize(
        ("more", "told"),
        [
            (["--rivals", "knn"], "'knn' chooses by validation rows, and --protocol tabarena has none"),
            (["--train-on", "train+validation"], "--protocol tabarena has no validation rows to train on"),
            (["--tabarena", "missing.csv"], "must name TabArena's table as CSV"),
        ],
    )
    def test_what_the_protocol_cannot_do_is_refused(
        self, words: list[str], more: list[str], told: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            benchmark.main([*words, *more])
        assert told in capsys.readouterr().err

    def test_the_logarithm_of_houses_is_what_is_learned(
        self, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rng = np.random.default_rng(0)
        a = rng.normal(size=300)
        rows = pa.table({"a": a, "b": rng.normal(size=300), "MedHouseVal": np.exp(100 + a)})
        pq.write_table(rows, tmp_path / "california.parquet")
        (tmp_path / "california.json").write_text('{"task": "regression", "target": "MedHouseVal", "categorical": []}')
        benchmark.main([*words, "--sets", "california", "--rivals", "none"])
        run = json.loads((tmp_path / "results/california/resmem-linear.quick_tabarena.seed0.json").read_text())
        assert run["metrics"]["rmse"]["base"] < 0.1  # of the values themselves it would be above 1e43
