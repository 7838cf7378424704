"""`resmem fit-base` and `resmem fit-residual`: what they say, print, and store."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from resmem_cli.model.memory.index import HnswIndex
from resmem_cli.model.resmem import Member
from resmem_cli.store import reading
from tests.cli.conftest import Run, table, write_csv

Model = Callable[..., Path]
Csv = Callable[..., Path]
TRAIN = ("fit-base", "train.csv", "--target", "price", "--model", "m")
FIXED = ("--folds", 0, "--neighbors", 6, "--bandwidth", 0.3, "--shrinkage", 1, "--representation", "features")


def only(model: Path) -> Member:
    """The one memory of a model."""
    (member,) = reading.load(model).resmem.members
    return member


@pytest.fixture(autouse=True)
def _train(tmp_path: Path) -> None:
    write_csv(table("diamonds", "train"), tmp_path / "train.csv")


class TestBase:
    def test_it_says_what_was_fitted_and_where_it_is(self, run: Run) -> None:
        ended = run(*TRAIN, "--estimator", "linear", "--id", "id")
        assert ended.err == (
            "fitted linear on 240 rows and 9 features (6 numeric, 3 categorical): regression of 'price' -> "
            "m/base.json\n"
        )
        assert (ended.code, ended.out) == (0, "")

    def test_it_says_what_it_left_out_and_why(self, run: Run, csv: Csv) -> None:
        rows = "".join(f"r{i},{i},{'' if i % 5 == 0 else i / 7}\n" for i in range(40))
        csv("t.csv", f"name,a,y\n{rows}")
        ended = run("fit-base", "t.csv", "--target", "y", "--model", "m", "--estimator", "constant")
        assert ended.lines[:2] == [
            "note: 8 of 40 rows have no target 'y' and are left out",
            "note: the column 'name' has no value in 3 rows or more and is not used as a feature",
        ]
        assert reading.load_base(Path("m")).n_rows == 32

    @pytest.mark.parametrize("options", [("--quiet",), ("-q",)])
    def test_quiet_says_nothing(self, run: Run, options: tuple[str, ...]) -> None:
        ended = run(*TRAIN, "--estimator", "constant", *options)
        assert (ended.code, ended.out, ended.err) == (0, "", "")

    def test_json_for_machines(self, run: Run) -> None:
        ended = run(*TRAIN, "--estimator", "linear", "--id", "id", "--json", "--quiet")
        assert json.loads(ended.out) == {
            "rows": 240,
            "estimators": ["linear"],
            "held_out": {},
            "weights": {},
            "held_out_mean": None,
            "task": "regression",
            "classes": [],
            "features": dict.fromkeys(["carat", "depth", "table", "x", "y", "z"], "number")
            | dict.fromkeys(["cut", "color", "clarity"], "category"),
            "notes": [],
        }

    def test_parameters_reach_the_estimator_and_are_stored(self, run: Run) -> None:
        words = ("--estimator", "mlp", "--param", "hidden_layer_sizes=(5,3)", "--param", "max_iter=3")
        assert run(*TRAIN, *words, "--param", "early_stopping=False", "--param", "activation=tanh").code == 0
        base = reading.load_base(Path("m"))
        assert base.specs[0].params["hidden_layer_sizes"] == [5, 3]
        assert base.specs[0].params["early_stopping"] is False
        assert [layer.shape[1] for layer in base.bases[0].weights] == [5, 3, 1]  # type: ignore[attr-defined]
        assert base.bases[0].activation == "tanh"  # type: ignore[attr-defined]

    def test_columns_can_be_chosen_left_out_and_taken_as_categories(self, run: Run) -> None:
        run(*TRAIN, "--estimator", "constant", "--features", "carat,cut", "--features", "table", "--category", "table")
        columns = {column.name: str(column.kind) for column in reading.load_base(Path("m")).schema.columns}
        assert columns == {"carat": "number", "cut": "category", "table": "category"}
        run(*TRAIN, "--estimator", "constant", "--drop", "carat,x,y,z,id", "--weight", "depth")
        schema = reading.load_base(Path("m")).schema
        assert schema.names == ("cut", "color", "clarity", "table")
        assert (schema.weight_column, schema.id_column) == ("depth", None)

    @pytest.mark.parametrize(
        ("options", "task"),
        [
            ((), "classification"),
            (("--task", "classification"), "classification"),
            (("--task", "regression"), "regression"),
        ],
    )
    def test_whole_numbers_are_classes_unless_the_task_says_otherwise(
        self, run: Run, csv: Csv, options: tuple[str, ...], task: str
    ) -> None:
        csv("t.csv", "a,y\n" + "".join(f"{i},{i % 3}\n" for i in range(60)))
        ended = run("fit-base", "t.csv", "--target", "y", "--model", "m", "--estimator", "constant", *options)
        assert str(reading.load_base(Path("m")).schema.target.task) == task
        note = "note: the target 'y' has 3 distinct integers, used as class labels ("
        assert (f"{note}--task regression to predict numbers)" in ended.lines) == (not options)

    def test_several_files_of_several_formats_are_one_training_input(self, run: Run) -> None:
        rows = table("diamonds", "train")
        write_csv(rows.slice(0, 100), Path("a.csv"))
        pyarrow.parquet.write_table(rows.slice(100), "b.parquet")
        words = ("--target", "price", "--id", "id", "--estimator", "linear", "--threads", 1)
        assert run("fit-base", "a.csv", "b.parquet", *words, "--model", "two").code == 0
        assert run("fit-base", "train.csv", *words, "--model", "one").code == 0
        one, two = (reading.load_base(Path(name)).bases[0].to_arrays() for name in ("one", "two"))
        np.testing.assert_allclose(two["coefficients"], one["coefficients"], rtol=1e-9)

    def test_a_glob_and_a_directory_name_their_files(self, run: Run) -> None:
        rows = table("diamonds", "train")
        for part in (0, 1):
            Path(f"day={part}").mkdir()
            pyarrow.parquet.write_table(rows.slice(part * 120, 120), f"day={part}/rows.parquet")
        words = ("--target", "price", "--id", "id", "--estimator", "constant", "--json", "--quiet", "--model", "m")
        for inputs in (["day=*"], ["day=*/*.parquet"], ["day=0", "day=1"]):
            assert json.loads(run("fit-base", *inputs, *words).out)["rows"] == 240

    def test_a_failed_fit_leaves_the_model_that_was_there(self, run: Run, model: Model) -> None:
        model()
        before = run("predict", "new.csv", "--model", "m", "--quiet").out
        assert run(*TRAIN, "--param", "max_iter=none such").code == 2
        assert run("predict", "new.csv", "--model", "m", "--quiet").out == before


class TestResidual:
    def test_it_says_what_the_folds_measured_and_what_was_chosen(
        self, run: Run, model: Model, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("RESMEM_THREADS")  # every core, as a user has it
        ended = run("fit-residual", "train.csv", "--model", model(), "--memories", 1)
        assert re.fullmatch(
            r"rmse on 240 held-out rows \(base refitted without them\): base [\d.]+, with memory [\d.]+, "
            r"gain \+[\d.]+ % \(standard error [\d.]+ %\)",
            ended.lines[0],
        )
        assert re.fullmatch(
            r"memorised 240 rows in 240 cells: representation (features|sensitivity|model), k \d+, "
            r"bandwidth [\d.]+ \(relative\), shrinkage [\d.]+, temperature 1, exact search -> m/memory.json",
            ended.lines[1],
        )
        assert (ended.code, ended.out, len(ended.lines)) == (0, "", 2)

    def test_a_model_of_classes_is_measured_by_its_log_loss(self, run: Run, model: Model) -> None:
        ended = run("fit-residual", "train.csv", "--model", model("chess"), "--representation", "features")
        assert ended.lines[0].startswith("log_loss on 240 held-out rows (base refitted without them): base ")

    def test_rows_that_are_new_to_the_base_are_asked_about_without_fitting_it_anew(
        self, run: Run, model: Model
    ) -> None:
        """And what is said names how many rows that rests on."""
        model()
        rows = pyarrow.parquet.read_table(Path(__file__).parents[2] / "sample_data/diamonds_test.parquet").slice(0, 200)
        write_csv(rows, Path("fresh.csv"))
        ended = run("fit-residual", "fresh.csv", "--model", "m")
        assert ended.lines[0].startswith("rmse on 200 held-out rows (new to the base): base ")
        ended = run("fit-residual", "train.csv", "fresh.csv", "--model", "m", "--json", "--quiet")
        assert json.loads(ended.out)["rows"] == 440
        assert json.loads(ended.out)["measured"]["refitted"] is False

    def test_json_for_machines(self, run: Run, model: Model) -> None:
        words = ("--memories", 1, "--json", "--quiet")
        found = json.loads(run("fit-residual", "train.csv", "--model", model(), *words).out)
        assert set(found) == {"rows", "bases", "uses_memory", "memories", "base_share", "measured"}
        assert (found["rows"], found["bases"], found["uses_memory"]) == (240, ["linear"], True)
        (memory,) = found["memories"]
        assert set(memory) == {
            "base", "weight", "cells", "shards", "representation", "residuals", "neighbors", "bandwidth",
            "bandwidth_kind", "shrinkage", "temperature", "recall",
        }  # fmt: skip
        assert (memory["base"], memory["weight"], memory["cells"]) == ("linear", 1, 240)
        assert (memory["residuals"], memory["recall"]) == ("in-sample", None)
        measured = found["measured"]
        assert set(measured) == {
            "metric", "base", "resmem", "resmem_not_condensed", "gain", "gain_percent", "standard_error",
            "standard_error_percent", "helps", "rows", "folds", "refitted", "group", "time",
        }  # fmt: skip
        assert measured["resmem_not_condensed"] is None
        assert measured["gain_percent"] == pytest.approx(100 * (1 - measured["resmem"] / measured["base"]))
        settings = only(Path("m")).settings
        assert (settings.n_neighbors, settings.bandwidth) == (memory["neighbors"], memory["bandwidth"])

    def test_a_memory_of_few_cells_says_what_that_costs(self, run: Run, model: Model) -> None:
        words = ("fit-residual", "train.csv", "--model", model(), "--effort", "quick", "--memories", 1, "--json")
        whole = json.loads(run(*words, "--quiet").out)["measured"]
        done = run(*words, "--max-cells", 60)
        found = json.loads(done.out)
        assert found["memories"][0]["cells"] == 60
        measured = found["measured"]
        assert measured["base"] == whole["base"]
        said = f"rmse with --max-cells {measured['resmem']:.5g}, without it {measured['resmem_not_condensed']:.5g}"
        assert said in done.err.splitlines()
        assert measured["resmem"] > measured["resmem_not_condensed"]
        assert int(run("predict", "train.csv", "--model", "m", "--output", "p.csv").code) == 0
        assert only(Path("m")).memory.counts.sum() == 240

    def test_more_cells_than_rows_change_nothing(self, run: Run, model: Model) -> None:
        words = ("fit-residual", "train.csv", "--model", model(), "--effort", "quick", "--json", "--quiet")
        plain, roomy = (json.loads(run(*words, *more).out) for more in ((), ("--max-cells", 10_000)))
        assert roomy["memories"] == plain["memories"]
        assert roomy["measured"] == plain["measured"] | {"resmem_not_condensed": plain["measured"]["resmem"]}

    def test_more_neighbours_than_cells_are_refused(self, run: Run, model: Model) -> None:
        done = run("fit-residual", "train.csv", "--model", model(), "--max-cells", 5, "--neighbors", 6)
        assert done.code == 2
        assert (
            "6 neighbours are more than the 5 cells of --max-cells; raise --max-cells, or lower --neighbors" in done.err
        )

    def test_settings_that_are_given_are_kept_and_without_folds_nothing_is_measured(
        self, run: Run, model: Model
    ) -> None:
        model()
        words = ("--neighbors", 7, "--bandwidth", 0.25, "--shrinkage", 0.5, "--representation", "model")
        ended = run("fit-residual", "train.csv", "--model", "m", "--folds", 0, *words, "--json")
        assert ended.lines == [
            "memorised 240 rows in 240 cells: representation model, k 7, bandwidth 0.25 (relative), shrinkage 0.5, "
            "temperature 1, exact search -> m/memory.json"
        ]
        assert json.loads(ended.out)["measured"] is None
        settings = only(Path("m")).settings
        assert (settings.n_neighbors, settings.bandwidth, settings.shrinkage) == (7, 0.25, 0.5)
        assert run("fit-residual", "train.csv", "--model", "m", *words, "--folds", 3, "--memories", 1).code == 0
        assert only(Path("m")).settings == settings

    @pytest.mark.parametrize("bandwidth", ["0", "inf", "1e-300"])
    def test_a_bandwidth_may_be_anything_from_nothing_to_everything(
        self, run: Run, model: Model, bandwidth: str
    ) -> None:
        words = ("--folds", 0, "--neighbors", 3, "--shrinkage", 1, "--representation", "features")
        assert run("fit-residual", "train.csv", "--model", model(), *words, "--bandwidth", bandwidth).code == 0
        assert only(Path("m")).settings.bandwidth == float(bandwidth)
        assert run("predict", "new.csv", "--model", "m").code == 0

    def test_an_absolute_bandwidth(self, run: Run, model: Model) -> None:
        words = ("--bandwidth", 2, "--bandwidth-kind", "absolute", "--memories", 1)
        ended = run("fit-residual", "train.csv", "--model", model(), *words)
        assert "bandwidth 2 (absolute)" in ended.lines[-1]
        assert not only(Path("m")).settings.is_relative

    def test_a_memory_that_does_not_help_is_switched_off_and_that_is_said(self, run: Run, csv: Csv) -> None:
        """Nothing in the rows tells their target: predictions are exactly the base's."""
        rng = np.random.default_rng(3)
        noise = pa.table({name: rng.normal(size=300) for name in ("a", "b", "y")})
        csv("noise.csv", noise)
        assert run("fit-base", "noise.csv", "--target", "y", "--model", "m", "--estimator", "linear").code == 0
        ended = run("fit-residual", "noise.csv", "--model", "m")
        assert ended.lines[1:3] == [
            "the memory does not help: the gain does not exceed its standard error",
            "the memory is off: predictions are the base's",
        ]
        assert "shrinkage 0, " in ended.lines[3]
        found = pyarrow.parquet.read_table(self.predicted(run, "noise.csv"))
        assert found["prediction"].to_pylist() == found["prediction_base"].to_pylist()
        alone = pyarrow.parquet.read_table(self.predicted(run, "noise.csv", "--base-only"))
        assert found["prediction"].to_pylist() == alone["prediction"].to_pylist()

    def test_a_memory_can_be_forced(self, run: Run, csv: Csv) -> None:
        rng = np.random.default_rng(3)
        csv("noise.csv", pa.table({name: rng.normal(size=300) for name in ("a", "b", "y")}))
        assert run("fit-base", "noise.csv", "--target", "y", "--model", "m", "--estimator", "linear").code == 0
        ended = run("fit-residual", "noise.csv", "--model", "m", "--shrinkage", 0.5)
        assert ended.lines[1] == (
            "the memory does not help: the gain does not exceed its standard error; "
            "it is used because --shrinkage is given"
        )
        assert "shrinkage 0.5, " in ended.lines[-1]
        found = pyarrow.parquet.read_table(self.predicted(run, "noise.csv"))
        assert found["prediction"].to_pylist() != found["prediction_base"].to_pylist()

    def test_a_memory_can_be_switched_off(self, run: Run, model: Model) -> None:
        """Then there is nothing to say about folds."""
        ended = run("fit-residual", "train.csv", "--model", model(), "--shrinkage", 0)
        assert ended.lines[0] == "the memory is off (--shrinkage 0): predictions are the base's"
        assert len(ended.lines) == 2

    def test_rows_without_target_or_weight_are_left_out_and_counted(self, run: Run) -> None:
        rows = table("diamonds", "train")
        price = [None if i in (1, 2) else value for i, value in enumerate(rows["price"].to_pylist())]
        weight = [0 if i in (2, 3) else 1 for i in range(rows.num_rows)]
        gaps = rows.set_column(rows.column_names.index("price"), "price", pa.array(price)).append_column(
            "w", pa.array(weight)
        )
        write_csv(gaps, Path("gaps.csv"))
        words = ("--target", "price", "--weight", "w", "--id", "id", "--model", "m", "--estimator", "linear")
        assert run("fit-base", "gaps.csv", *words).lines[:2] == [
            "note: 2 of 240 rows have the weight 0 ('w') and are left out",
            "note: 1 of 238 rows have no target 'price' and are left out",
        ]
        ended = run("fit-residual", "gaps.csv", "--model", "m", *FIXED)
        assert ended.lines[0] == "note: 3 rows without a target (or weight) left out"
        assert "memorised 237 rows" in ended.lines[1]

    def test_equal_rows_become_one_cell(self, run: Run, model: Model) -> None:
        model()
        once = table("diamonds", "train").slice(0, 50)
        write_csv(pa.concat_tables([once] * 3), Path("thrice.csv"))
        ended = run("fit-residual", "thrice.csv", "--model", "m", *FIXED)
        assert "memorised 150 rows in 50 cells" in ended.lines[-1]
        memory = only(Path("m")).memory
        assert memory.counts.tolist() == [3.0] * 50

    def test_many_cells_are_searched_through_a_graph_whose_recall_is_measured(self, run: Run, csv: Csv) -> None:
        rng = np.random.default_rng(0)
        values = rng.normal(size=(1_200, 3))
        csv(
            "many.csv",
            pa.table({"a": values[:, 0], "b": values[:, 1], "y": np.sin(5 * values[:, 0]) + values[:, 2] / 9}),
        )
        assert run("fit-base", "many.csv", "--target", "y", "--model", "m", "--estimator", "constant").code == 0
        ended = run("fit-residual", "many.csv", "--model", "m", *FIXED, "--json", "--M", 8, "--ef-construction", 60)
        assert re.search(r", recall (1\.000|0\.99\d) -> m/memory.json$", ended.lines[-1])
        assert json.loads(ended.out)["memories"][0]["recall"] >= 0.99
        assert isinstance(only(Path("m")).memory.index, HnswIndex)
        ended = run("fit-residual", "many.csv", "--model", "m", *FIXED, "--M", 2, "--ef-construction", 8, "--ef", 1)
        assert re.search(
            r"\(below --recall 0\.99: raise --M or --ef-construction\) -> m/memory\.json$", ended.lines[-1]
        )

    @staticmethod
    def predicted(run: Run, rows: str, *options: str) -> str:
        assert run("predict", rows, "--model", "m", "--output", "out.parquet", *options).code == 0
        return "out.parquet"


@pytest.mark.parametrize("estimator", ["boosting", "linear", "mlp", "constant", "boosting,linear"])
def test_the_same_seed_and_one_thread_give_the_same_directory(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, estimator: str
) -> None:
    from tests.cli.conftest import snapshot

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")  # else the manifests say when they were made
    params = ["--param", "max_iter=5"] if estimator in ("boosting", "mlp", "boosting,linear") else []
    for name in ("one", "two"):
        common = ("--model", name, "--threads", 1, "--quiet")
        words = ("--target", "price", "--id", "id", "--estimator", estimator, *params, "--seed", 4)
        assert run("fit-base", "train.csv", *words, *common).code == 0
        assert run("fit-residual", "train.csv", *common, "--folds", 2).code == 0
    one, two = snapshot(tmp_path / "one"), snapshot(tmp_path / "two")
    assert one.keys() == two.keys()
    assert one == two
