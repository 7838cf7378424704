"""Several bases, several memories, and what is asked of the folds: `--estimator a,b`, `--memories`, `--metric`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from resmem_cli.model.choosing import selecting
from resmem_cli.store import reading
from tests.cli.conftest import Run, table, write_csv
from tests.workflow.conftest import shared

Model = Callable[..., Path]
TRAIN = ("fit-base", "train.csv", "--target", "price", "--id", "id", "--model", "m", "--param", "max_iter=10")
SETTINGS = ("--neighbors", 6, "--bandwidth", 0.3, "--shrinkage", 1, "--temperature", 1)
OF_SETTINGS = "k 6, bandwidth 0.3 (relative), shrinkage 1, temperature 1, exact search -> m/memory.json"


@pytest.fixture(autouse=True)
def _train(tmp_path: Path) -> None:
    write_csv(table("diamonds", "train"), tmp_path / "train.csv")


class TestBases:
    def test_it_says_how_they_compare_and_which_is_first(self, run: Run) -> None:
        ended = run(*TRAIN, "--estimator", "constant,linear")
        assert re.fullmatch(r"rmse on 240 held-out rows: linear [\d.]+, constant [\d.]+", ended.lines[0])
        assert ended.lines[1:] == [
            "fitted linear and constant on 240 rows and 9 features (6 numeric, 3 categorical): regression of 'price' "
            "-> m/base.json"
        ]
        assert (ended.code, ended.out) == (0, "")
        better, worse = (float(word) for word in re.findall(r"[a-z] ([\d.]+)", ended.lines[0].partition(":")[2]))
        assert better < worse

    def test_three_are_listed_with_commas(self, run: Run) -> None:
        ended = run(*TRAIN, "--estimator", "constant,linear,boosting")
        assert re.match(r"fitted \w+, \w+ and \w+ on 240 rows", ended.lines[-1])

    def test_json_for_machines(self, run: Run) -> None:
        found = json.loads(run(*TRAIN, "--estimator", "constant,linear", "--json", "--quiet").out)
        assert found["estimators"] == list(found["held_out"]) == ["linear", "constant"]
        assert found["held_out"]["linear"] < found["held_out"]["constant"]

    def test_classes_are_compared_by_their_log_loss(self, run: Run) -> None:
        write_csv(table("chess", "train"), Path("chess.csv"))
        words = ("--target", "depth", "--id", "id", "--estimator", "linear,constant", "--model", "m")
        said = run("fit-base", "chess.csv", *words).lines[0]
        assert re.fullmatch(r"log_loss on 240 held-out rows: (linear|constant) [\d.]+, (linear|constant) [\d.]+", said)

    @pytest.mark.parametrize(
        ("asked", "fitted"),
        [
            ("auto", {"boosting", "poisson", "catboost", "linear", "constant"}),
            ("auto,constant", {"boosting", "poisson", "catboost", "linear", "constant"}),
            ("network,auto", {"boosting", "poisson", "catboost", "network", "linear", "constant"}),
            ("linear,linear", {"linear"}),
            (" constant , linear ", {"constant", "linear"}),
        ],
    )
    def test_names_are_separated_by_commas_and_auto_stands_for_those_that_suit(
        self, run: Run, asked: str, fitted: set[str]
    ) -> None:
        steps = ("--param", "max_steps=50") if "network" in asked else ()  # of the network
        found = json.loads(run(*TRAIN, "--estimator", asked, *steps, "--json", "--quiet").out)
        assert set(found["estimators"]) == fitted
        assert len(found["estimators"]) == len(fitted)

    def test_a_line_that_is_not_the_base_to_beat_is_bounded(self, run: Run) -> None:
        for asked, params in (((), True), (("--param", "bounded=false"), False)):
            words = ("--estimator", "linear,boosting", "--features", "carat", "--param", "max_iter=100", *asked)
            assert run(*TRAIN, *words, "--quiet").code == 0
            specs = reading.load_base(Path("m")).specs
            assert [spec.estimator for spec in specs] == ["boosting", "linear"]
            assert specs[1].params["bounded"] is params
        assert run(*TRAIN, "--estimator", "linear,constant", "--quiet").code == 0
        assert "bounded" not in reading.load_base(Path("m")).specs[0].params

    def test_a_parameter_reaches_those_that_have_it(self, run: Run) -> None:
        assert run(*TRAIN, "--estimator", "boosting,constant", "--quiet").code == 0
        specs = reading.load_base(Path("m")).specs
        assert {spec.estimator: spec.params for spec in specs} == {"boosting": {"max_iter": 10}, "constant": {}}


class TestMemories:
    def test_it_says_what_each_has_of_the_prediction(self, run: Run) -> None:
        run(*TRAIN, "--estimator", "linear,constant", "--quiet")
        words = ("--folds", 2, *SETTINGS, "--residuals", "cross-fitted", "--representation", "features")
        with shared():
            ended = run("fit-residual", "train.csv", "--model", "m", *words)
        assert re.match(
            r"rmse on 240 held-out rows \(base refitted without them\): base \(linear\) [\d.]+, with memory ",
            ended.lines[0],
        )
        what = "memorised 240 rows in 240 cells: base"
        assert ended.lines[-2:] == [
            f"weight 70 %: {what} linear, representation features, cross-fitted residuals, {OF_SETTINGS}",
            f"weight 30 %: {what} constant, representation features, cross-fitted residuals, {OF_SETTINGS}",
        ]
        assert ended.code == 0

    def test_json_for_machines(self, run: Run) -> None:
        run(*TRAIN, "--estimator", "linear,constant", "--quiet")
        with shared():
            ended = run("fit-residual", "train.csv", "--model", "m", "--folds", 2, *SETTINGS, "--json", "--quiet")
        found = json.loads(ended.out)
        assert found["bases"] == ["linear", "constant"]
        assert [(memory["base"], memory["weight"]) for memory in found["memories"]] == [
            ("linear", 0.7),
            ("constant", 0.3),
        ]
        assert [memory["representation"] for memory in found["memories"]] == ["features", "features"]
        assert found["uses_memory"] is True

    def test_a_memory_of_the_constant_base_beside_the_base_is_like_any_other(self, run: Run) -> None:
        """As where `auto` has many classes: what is remembered is what the constant leaves."""
        chess = table("chess", "train")
        write_csv(chess, Path("chess.csv"))
        write_csv(chess.slice(0, 9), Path("some.csv"))
        words = ("--target", "depth", "--id", "id", "--estimator", "linear,constant", "--model", "m", "--quiet")
        assert run("fit-base", "chess.csv", *words).code == 0
        words = ("--folds", 2, "--representation", "learned", "--encoder", "linear", "--memories", 1, "--shrinkage", 1)
        fitted = json.loads(run("fit-residual", "chess.csv", "--model", "m", *words, "--json", "--quiet").out)
        assert set(fitted["bases"]) == {"linear", "constant"}
        assert [memory["base"] for memory in fitted["memories"]] == ["constant"]
        before = run("predict", "chess.csv", "--model", "m").out
        each = json.loads(run("explain", "chess.csv", "--model", "m", "--rows", 1).out)
        assert each["prediction"] == pytest.approx(each["base"] + each["correction"] + each["adjustment"])
        assert run("forget", "some.csv", "--model", "m", "--threads", 1).code == 0
        assert run("predict", "chess.csv", "--model", "m").out != before
        assert "240 now" in run("remember", "some.csv", "--model", "m", "--threads", 1).err
        assert run("verify", "--model", "m").code == 0

    @pytest.mark.parametrize("most", [1, 2, 3])
    def test_no_more_are_kept_than_asked(self, run: Run, most: int) -> None:
        run(*TRAIN, "--estimator", "boosting,linear", "--quiet")
        words = ("--folds", 2, "--memories", most, "--json", "--quiet")
        found = json.loads(run("fit-residual", "train.csv", "--model", "m", *words).out)
        assert 1 <= len(found["memories"]) <= most
        assert sum(memory["weight"] for memory in found["memories"]) + found["base_share"] == pytest.approx(1)

    def test_the_candidates_are_those_of_every_base(self, run: Run) -> None:
        run(*TRAIN, "--estimator", "linear,constant", "--quiet")
        ended = run("fit-residual", "train.csv", "--model", "m", "--folds", 2, "--verbose")
        rows = [
            re.split(r" {2,}", line.strip()) for line in ended.lines if re.match(r" ?(linear|constant|base) ", line)
        ]
        assert rows[0] == [
            "base", "representation", "residuals", "k", "bandwidth", "kind", "shrinkage", "temperature",
            "held-out rmse", "± SE",
        ]  # fmt: skip
        assert sorted((row[0], row[1], row[2]) for row in rows[1:]) == [
            ("constant", "features", "in-sample"),
            ("linear", "features", "in-sample"),
            ("linear", "model", "in-sample"),
            ("linear", "sensitivity", "in-sample"),
        ]
        errors = [float(row[8]) for row in rows[1:]]
        assert errors == sorted(errors)
        assert all(0 < float(row[9]) < float(row[8]) for row in rows[1:])

    def test_a_memory_that_does_not_help_leaves_the_first_base_exactly(self, run: Run) -> None:
        rng = np.random.default_rng(3)
        write_csv(pa.table({name: rng.normal(size=300) for name in ("a", "b", "y")}), Path("noise.csv"))
        words = ("--target", "y", "--estimator", "linear,constant", "--model", "m", "--json", "--quiet")
        first = json.loads(run("fit-base", "noise.csv", *words).out)["estimators"][0]
        ended = run("fit-residual", "noise.csv", "--model", "m")
        assert "the memory is off: predictions are the base's" in ended.lines
        assert f"base {first}, representation features" in ended.lines[-1]
        for options in ((), ("--base-only",)):
            assert (
                run("predict", "noise.csv", "--model", "m", "--output", "o.csv", "--keep", "none", *options).code == 0
            )
            Path("o.csv").rename(f"{len(options)}.csv")
        whole, alone = (pyarrow.csv.read_csv(f"{n}.csv") for n in (0, 1))
        assert whole["prediction"] == whole["prediction_base"] == alone["prediction"]

    def test_a_row_is_predicted_as_the_mean_in_any_format_batch_and_number_of_threads(
        self, run: Run, model: Model
    ) -> None:
        base, resmem, *_ = reading.load(model("both"))
        assert len(resmem.members) == len(base.bases) == 2
        pyarrow.parquet.write_table(pyarrow.csv.read_csv("new.csv"), "new.parquet")
        found = []
        for words in (("new.csv",), ("new.parquet",), ("new.csv", "--batch-rows", 7), ("new.csv", "--threads", 2)):
            assert run("predict", *words, "--model", "m", "--output", "out.parquet", "--quiet").code == 0
            found.append(pyarrow.parquet.read_table("out.parquet"))
        for other in found[1:]:
            for name in ("prediction", "prediction_base"):
                np.testing.assert_allclose(other[name], found[0][name], rtol=1e-9)

    def test_evaluate_compares_the_mean_with_the_first_base(self, run: Run, model: Model) -> None:
        base = reading.load_base(model("both"))
        found = json.loads(run("evaluate", "test.csv", "--model", "m", "--json").out)
        assert run("predict", "test.csv", "--model", "m", "--base-only", "--output", "out.csv", "--quiet").code == 0
        alone = pyarrow.csv.read_csv("out.csv")
        error = alone["prediction"].to_numpy() - alone["price"].to_numpy()
        assert found["metrics"]["rmse"]["base"] == pytest.approx(np.sqrt(np.square(error).mean()))
        assert found["uses_memory"] is True
        assert len(base.bases) == 2


class TestShareOfTheBase:
    """The base is the mean of its models, and has a share in the prediction beside the memories."""

    @pytest.fixture(autouse=True)
    def _shared(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        def combine(predictions: list[np.ndarray], *_: object, uncounted: int) -> np.ndarray:
            shares = np.zeros(len(predictions))
            shares[0], shares[uncounted] = 0.7, 0.3
            return shares

        run(*TRAIN, "--estimator", "linear,boosting", "--quiet")
        with monkeypatch.context() as patched:
            patched.setattr(selecting, "combine", combine)
            words = ("--folds", 5, "--neighbors", 6, "--bandwidth", 0.5, "--representation", "sensitivity", "--json")
            self.fitted = run("fit-residual", "train.csv", "--model", "m", *words)

    def share(self) -> float:
        return float(json.loads(Path("m/memory.json").read_text())["base_share"])

    def test_it_is_told(self, run: Run) -> None:
        found = json.loads(self.fitted.out)
        assert ([each["weight"] for each in found["memories"]], found["base_share"]) == ([0.7], 0.3)
        assert "): base (mean of linear and boosting) " in self.fitted.lines[0]
        assert self.fitted.lines[-1] == "weight 30 %: the base without memory"
        assert self.fitted.lines[-2].startswith("weight 70 %: memorised 240 rows")
        assert "  weight 30 %: the base without memory" in run("inspect", "--model", "m").out
        inspected = json.loads(run("inspect", "--model", "m", "--json").out)
        assert inspected["memory"]["base_share"] == 0.3
        assert sum(base["weight"] for base in inspected["bases"]) == pytest.approx(1)
        assert run("verify", "--model", "m").code == 0

    def test_the_base_alone_is_that_beside_the_prediction_and_that_of_evaluate(self, run: Run) -> None:
        stored = reading.load_base(Path("m"))
        assert len(stored.bases) == 2
        for name, options in (("both.csv", ()), ("alone.csv", ("--base-only",))):
            assert run("predict", "train.csv", "--model", "m", "--output", name, "--quiet", *options).code == 0
        both, alone = (pyarrow.csv.read_csv(name) for name in ("both.csv", "alone.csv"))
        np.testing.assert_allclose(alone["prediction"], both["prediction_base"], rtol=1e-12)
        found = json.loads(run("evaluate", "train.csv", "--model", "m", "--json").out)
        for column, which in (("prediction_base", "base"), ("prediction", "resmem")):
            error = both[column].to_numpy() - both["price"].to_numpy()
            assert found["metrics"]["rmse"][which] == pytest.approx(np.sqrt(np.square(error).mean()))

    def test_it_stays_when_rows_are_forgotten_remembered_and_brought_back(self, run: Run) -> None:
        weights = reading.load_base(Path("m")).weights
        first = table("diamonds", "train").slice(0, 1)
        write_csv(first, Path("again.csv"))
        identity = str(first["id"][0].as_py())
        for words in (
            ("forget", "--ids", identity),
            ("remember", "again.csv"),
            ("undo",),
        ):
            assert run(*words, "--model", "m", "--quiet").code == 0
            assert self.share() == 0.3
            loaded = reading.load(Path("m"))
            assert (loaded.base.weights, loaded.resmem.base_share) == (weights, 0.3)
            assert run("verify", "--model", "m").code == 0


class TestMetric:
    @pytest.mark.parametrize("metric", ["auto", "rmse", "mae"])
    def test_of_numbers(self, run: Run, model: Model, metric: str) -> None:
        name = "rmse" if metric == "auto" else metric
        ended = run("fit-residual", "train.csv", "--model", model(), "--metric", metric, "--json")
        assert ended.lines[0].startswith(f"{name} on 240 held-out rows (base refitted without them): base ")
        measured = json.loads(ended.out)["measured"]
        assert measured["metric"] == name
        assert measured["gain_percent"] == pytest.approx(100 * (1 - measured["resmem"] / measured["base"]))
        self.is_what_evaluate_is_about(run, name)

    @pytest.mark.parametrize("metric", ["auto", "log_loss", "accuracy"])
    def test_of_classes(self, run: Run, model: Model, metric: str) -> None:
        """Of an accuracy more is better: the gain is positive where the memory is."""
        name = "log_loss" if metric == "auto" else metric
        ended = run("fit-residual", "train.csv", "--model", model("chess"), "--metric", metric, "--json")
        assert ended.lines[0].startswith(f"{name} on 240 held-out rows (base refitted without them): base ")
        measured = json.loads(ended.out)["measured"]
        sign = 1 if name == "accuracy" else -1
        assert measured["metric"] == name
        assert measured["gain_percent"] == pytest.approx(100 * sign * (measured["resmem"] / measured["base"] - 1))
        assert measured["helps"]
        assert measured["gain_percent"] > measured["standard_error_percent"] > 0
        if name == "accuracy":
            assert 0.3 < measured["base"] < measured["resmem"] < 1
        self.is_what_evaluate_is_about(run, name)

    @staticmethod
    def is_what_evaluate_is_about(run: Run, name: str) -> None:
        found = json.loads(run("evaluate", "test.csv", "--model", "m", "--json").out)
        assert found["objective"] == name
        assert f" {name} " in found["verdict"]

    def test_candidates_are_listed_by_it_best_first(self, run: Run, model: Model) -> None:
        words = ("--metric", "accuracy", "--verbose", "--folds", 2)
        ended = run("fit-residual", "train.csv", "--model", model("chess"), *words)
        assert "held-out accuracy" in ended.lines[0]
        rows = [re.split(r" {2,}", line.strip()) for line in ended.lines if line.strip().startswith("linear ")]
        accuracies = [float(row[8]) for row in rows]
        assert len(accuracies) == 3
        assert accuracies == sorted(accuracies, reverse=True)
        assert all(0 <= value <= 1 for value in accuracies)


class TestResiduals:
    @pytest.mark.parametrize("kind", ["in-sample", "cross-fitted"])
    @pytest.mark.parametrize("folds", [0, 2])
    def test_the_kind_that_is_asked_for_is_remembered_and_said(
        self, run: Run, model: Model, kind: str, folds: int
    ) -> None:
        words = ("--folds", folds, *SETTINGS, "--representation", "features", "--residuals", kind, "--json")
        ended = run("fit-residual", "train.csv", "--model", model("boosted"), *words)
        assert ("cross-fitted residuals" in ended.lines[-1]) == (kind == "cross-fitted")
        assert [memory["residuals"] for memory in json.loads(ended.out)["memories"]] == [kind]
        assert run("predict", "new.csv", "--model", "m", "--quiet").code == 0
