"""The four verbs from end to end on every kind of target and column."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from resmem_cli.data.inference import Roles
from resmem_cli.data.schema import Task
from resmem_cli.errors import DataError, UsageError
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.model.kernel import KEPT
from resmem_cli.store import reading
from resmem_cli.workflow import fit_residual, predict
from resmem_cli.workflow.inputs import Input
from resmem_cli.workflow.predict import PredictOptions
from tests.workflow.conftest import FIXED, Pipeline, mixed

Fitted = Callable[[str], Pipeline]


def with_target(rows: pa.Table, values: np.ndarray) -> pa.Table:
    return rows.set_column(rows.column_names.index("y"), "y", pa.array(values))


class TestClasses:
    """The prediction has the type that the target had."""

    @pytest.mark.parametrize(
        ("values", "arrow_type"),
        [
            (["no", "yes"], pa.string()),
            (["a,b", 'the "c"', "é"], pa.string()),
            ([3, 5, 10], pa.int64()),
            ([0, 1], pa.int64()),
            ([False, True], pa.bool_()),
            ([0.5, 1.5], pa.float64()),
        ],
    )
    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    @pytest.mark.parametrize("estimator", ["constant", "linear"])
    def test_from_end_to_end(
        self, pipeline: Pipeline, values: list[object], arrow_type: pa.DataType, kind: str, estimator: str
    ) -> None:
        rows = mixed(240)
        codes = np.digitize(rows["y"], np.quantile(rows["y"], np.linspace(0, 1, len(values) + 1)[1:-1]))
        rows = rows.set_column(5, "y", pa.array([values[code] for code in codes], arrow_type))
        train = pipeline.file(f"train.{kind}", rows.slice(0, 160))
        test = pipeline.file(f"test.{kind}", rows.slice(160))
        pipeline.fit(train, estimator, Roles("y", Task.CLASSIFICATION))
        found = pipeline.predict(test, with_probabilities=True)
        assert found["prediction"].type == arrow_type
        assert set(found["prediction"].to_pylist()) <= set(values)
        names = [f"probability_{str(value).lower() if isinstance(value, bool) else value}" for value in values]
        assert found.column_names == ["prediction", "prediction_base", "probability", *names]
        evaluation = pipeline.evaluate(test)
        right = [
            one == other
            for one, other in zip(found["prediction"].to_pylist(), rows["y"].to_pylist()[160:], strict=True)
        ]
        assert evaluation.metrics["accuracy"].resmem == pytest.approx(np.mean(right))
        assert (evaluation.n_rows, evaluation.n_seen, evaluation.task) == (80, 0, Task.CLASSIFICATION)
        assert pipeline.evaluate(train).n_seen == 160

    def test_true_and_false_in_a_csv_are_labels_as_written(self, pipeline: Pipeline) -> None:
        rows = mixed(120)
        rows = with_target(rows, np.where(rows["y"].to_numpy() > 1, "TRUE", "false"))
        pipeline.fit(pipeline.file("train.csv", rows), "linear", Roles("y"))
        assert reading.load_base(pipeline.model).schema.target.classes == ("TRUE", "false")
        assert set(pipeline.predict(pipeline.file("new.csv", rows))["prediction"].to_pylist()) == {"TRUE", "false"}
        typed = with_target(rows, rows["y"].to_numpy() == "TRUE")
        assert pipeline.evaluate(pipeline.file("typed.parquet", typed)).n_rows == 120


class TestKinds:
    def test_the_schema_has_every_kind(self, fitted: Fitted) -> None:
        schema = reading.load_base(fitted("linear").model).schema
        assert [str(column.kind) for column in schema.columns] == [
            "number",
            "number",
            "category",
            "boolean",
            "timestamp",
        ]

    def test_times_are_learned_from(self, pipeline: Pipeline) -> None:
        """The target is the hour: it can be told from the time alone, in another zone and as text as well."""
        hours = np.arange(600) * 7
        at = np.datetime64("2023-05-01T00:00:00", "us") + hours * np.timedelta64(3600, "s")
        rows = pa.table({"at": pa.array(at), "y": hours % 24 * 1.0})
        pipeline.fit_base(pipeline.file("train.parquet", rows.slice(0, 400)), "linear", Roles("y"))
        asked = rows.slice(400)
        found = pipeline.predict(pipeline.file("new.parquet", asked), base_only=True)["prediction"]
        np.testing.assert_allclose(found, asked["y"], atol=0.5)
        zoned = asked.set_column(
            0, "at", asked["at"].cast(pa.timestamp("ms", "UTC")).cast(pa.timestamp("ms", "Asia/Tokyo"))
        )
        text = asked.set_column(0, "at", pa.array([f"{value.isoformat()}Z" for value in asked["at"].to_pylist()]))
        for name, other in (("zoned.parquet", zoned), ("text.csv", text), ("new.csv", asked)):
            again = pipeline.predict(pipeline.file(name, other), base_only=True)["prediction"]
            np.testing.assert_allclose(again, found, atol=1e-9)

    def test_missing_values_are_predicted_and_counted(self, fitted: Fitted) -> None:
        pipeline = fitted("boosting")
        rows = mixed(30, seed=3).drop_columns(["y"])
        for i, name in enumerate(rows.column_names):
            column = rows[name].to_pylist()
            column[0] = None
            rows = rows.set_column(i, name, pa.array(column, rows[name].type))
        kinds = rows["kind"].to_pylist()
        kinds[1:4] = ["unheard of"] * 3
        rows = rows.set_column(2, "kind", pa.array(kinds))
        options = PredictOptions(str(pipeline.folder / "gaps.parquet"), threads=1, batch_rows=2)
        done = predict.predict(Input((pipeline.file("gaps.csv", rows),)), pipeline.model, options)
        assert done.n_rows == 30
        n_gaps = rows["a"].null_count
        assert done.surprises.missing == {"a": n_gaps, "b": 1, "kind": 1, "flag": 1, "at": 1}
        assert done.surprises.unknown == {"kind": 3}
        found = pipeline.predict(str(pipeline.folder / "gaps.csv"))
        assert np.isfinite(found["prediction"].to_numpy()).all()


class TestWeights:
    def test_a_weight_is_as_good_as_so_many_rows(self, pipeline: Pipeline) -> None:
        rows = mixed(100)
        weights = np.arange(100) % 3 + 1
        repeated = rows.take(np.repeat(np.arange(100), weights))
        other = Pipeline(pipeline.folder / "other")
        other.folder.mkdir()
        # Of a category alone: a number's normal score is that of the middle of its weight, nearly that of as many rows.
        memory = replace(FIXED, n_neighbors=4)
        pipeline.fit(
            pipeline.file("weighted.parquet", rows.append_column("w", pa.array(weights))),
            "constant",
            Roles("y", features=("kind",), weight_column="w"),
            memory,
        )
        other.fit(other.file("repeated.parquet", repeated), "constant", Roles("y", features=("kind",)), memory)
        new = pipeline.file("new.parquet", mixed(40, seed=4))
        found, expected = pipeline.predict(new), other.predict(new)
        for name in ("prediction", "prediction_base"):
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-9)

    def test_a_row_of_weight_0_is_not_remembered(self, pipeline: Pipeline) -> None:
        rows = mixed(60)
        weights = np.where(np.arange(60) < 20, 0, 1)
        done = pipeline.fit(
            pipeline.file("train.parquet", rows.append_column("w", pa.array(weights))),
            "constant",
            Roles("y", weight_column="w"),
        )
        assert (done.n_rows, done.n_dropped) == (40, 20)
        assert reading.load_base(pipeline.model).bases[0].predict(np.zeros((1, 1)))[0, 0] == pytest.approx(
            rows["y"].to_numpy()[20:].mean()
        )

    @pytest.mark.parametrize("estimator", ["boosting", "lightgbm", "xgboost", "catboost", "linear", "mlp"])
    def test_weight_0_is_left_out(self, pipeline: Pipeline, estimator: str) -> None:
        """Neither scales nor bins nor categories nor early stopping know of such a row."""
        rows = mixed(60)
        wild = rows.set_column(0, "a", pa.array(np.arange(60) * 1e6)).set_column(2, "kind", pa.array(["other"] * 60))
        both = pa.concat_tables([rows, wild]).append_column("w", pa.array(np.repeat([1.0, 0.0], 60)))
        other = Pipeline(pipeline.folder / "other")
        other.folder.mkdir()
        found = []
        for each, table in ((pipeline, both), (other, rows.append_column("w", pa.array(np.ones(60))))):
            each.fit(each.file("train.parquet", table), estimator, Roles("y", weight_column="w"))
            found.append(each.predict(each.file("new.parquet", mixed(40, seed=4))))
        for name in ("prediction", "prediction_base"):
            assert found[0][name] == found[1][name]


class TestMemory:
    def test_memorised_rows_are_predicted_as_their_targets(self, pipeline: Pipeline) -> None:
        """The point of it all: one neighbour, full strength, distinct rows."""
        train = pipeline.file("train.csv", mixed(150))
        pipeline.fit(train, "linear", Roles("y"), replace(FIXED, n_neighbors=1, bandwidth=0.0))
        np.testing.assert_allclose(pipeline.predict(train)["prediction"], mixed(150)["y"], atol=1e-6)

    def test_memorised_classes_are_predicted_as_they_are(self, pipeline: Pipeline) -> None:
        rows = with_target(mixed(150), np.array(["a", "b", "c"])[np.arange(150) % 3])
        train = pipeline.file("train.csv", rows)
        pipeline.fit(train, "linear", Roles("y"), replace(FIXED, n_neighbors=1, bandwidth=0.0))
        found = pipeline.predict(train)
        assert found["prediction"].to_pylist() == rows["y"].to_pylist()
        assert found["probability"].to_numpy().min() >= 1 - KEPT

    def test_a_memory_that_is_off_predicts_exactly_as_the_base(self, pipeline: Pipeline) -> None:
        rng = np.random.default_rng(11)
        noise = pa.table({name: rng.normal(size=300) for name in ("a", "b", "y")})
        done = pipeline.fit(pipeline.file("noise.parquet", noise), "linear", Roles("y"), MemoryOptions(threads=1))
        assert done.members[0].settings.shrinkage == 0
        assert done.selection is not None
        assert not done.selection.helps
        assert not done.is_switched_off
        found = pipeline.predict(str(pipeline.folder / "noise.parquet"))
        assert found["prediction"] == found["prediction_base"]
        evaluation = pipeline.evaluate(str(pipeline.folder / "noise.parquet"))
        assert not evaluation.uses_memory
        assert evaluation.verdict.startswith("The memory is off")

    def test_rows_that_the_base_has_seen_are_told_from_new_ones(self, pipeline: Pipeline) -> None:
        """With enough new rows the base stays as it is while the folds choose."""
        old, new = mixed(300), mixed(250, seed=9)
        train = pipeline.file("train.parquet", old)
        pipeline.fit_base(train, "linear", Roles("y"))
        options = MemoryOptions(space="features", threads=1)
        refitted = pipeline.fit_residual(train, options)
        assert (refitted.n_rows, refitted.n_seen) == (300, 300)
        assert refitted.selection is not None
        assert refitted.selection.refitted
        both = pipeline.file("both.parquet", pa.concat_tables([old, new]))
        fixed = pipeline.fit_residual(both, options)
        assert (fixed.n_rows, fixed.n_seen) == (550, 300)
        assert fixed.selection is not None
        assert not fixed.selection.refitted
        assert fixed.selection.n_queries == 250

    def test_the_memory_may_be_of_other_rows_than_the_base(self, pipeline: Pipeline) -> None:
        pipeline.fit_base(pipeline.file("train.parquet", mixed(200)), "linear", Roles("y"))
        memory = pipeline.file("memory.parquet", mixed(80, seed=9))
        done = pipeline.fit_residual(memory, replace(FIXED, n_neighbors=1, bandwidth=0.0))
        assert (done.n_rows, done.n_seen) == (80, 0)
        np.testing.assert_allclose(pipeline.predict(memory)["prediction"], mixed(80, seed=9)["y"], atol=1e-6)
        assert pipeline.evaluate(str(pipeline.folder / "train.parquet")).n_seen == 200
        assert pipeline.evaluate(memory).n_seen == 80

    def test_what_the_folds_measured_is_stored(self, pipeline: Pipeline) -> None:
        import json

        options = MemoryOptions(space="features", threads=1, n_folds=3)
        done = pipeline.fit(pipeline.file("train.parquet", mixed(120)), "linear", Roles("y"), options)
        assert done.selection is not None
        folds = json.loads((pipeline.model / "memory.json").read_text())["folds"]
        assert (folds["gain"], folds["standard_error"]) == (done.selection.gain, done.selection.standard_error)
        assert (folds["n_folds"], folds["helps"], folds["objective"]) == (3, done.selection.helps, "rmse")
        for group in ("members", "candidates"):
            assert [each["place"] for each in folds[group]] == [
                {"base": 0, "representation": "features", "residuals": "in-sample"}
            ]
        assert folds["candidates"][0]["loss"] == done.selection.scores[0].loss

    @pytest.mark.parametrize("n_folds", [1, 31])
    def test_folds_that_the_rows_do_not_allow(self, pipeline: Pipeline, n_folds: int) -> None:
        train = pipeline.file("train.parquet", mixed(60))
        pipeline.fit_base(train, "constant", Roles("y"))
        with pytest.raises(UsageError if n_folds == 1 else DataError):
            pipeline.fit_residual(train, MemoryOptions(n_folds=n_folds, threads=1))

    @pytest.mark.parametrize("n_rows", [11, 29])
    def test_fewer_than_30_held_out_rows_say_nothing_of_a_gain(self, pipeline: Pipeline, n_rows: int) -> None:
        few = pipeline.file("few.parquet", mixed(n_rows))
        done = pipeline.fit(few, "constant", Roles("y"), MemoryOptions(threads=1))
        assert (done.selection, done.too_few, done.uses_memory) == (None, n_rows, False)
        assert pipeline.predict(few)["prediction"] == pipeline.predict(few)["prediction_base"]
        with pytest.raises(UsageError, match=f"^{n_rows} held-out rows are too few to choose settings by"):
            pipeline.fit_residual(few, MemoryOptions(shrinkage=1.0, threads=1))

    def test_rows_that_are_hardly_different_say_nothing_of_a_gain(self, pipeline: Pipeline) -> None:
        """All rows of a fold are remembered, or none of what is equal to them."""
        one = mixed(4)
        same = pipeline.file("same.parquet", pa.concat_tables([one] * 20))
        done = pipeline.fit(same, "constant", Roles("y"), MemoryOptions(threads=1))
        assert (done.selection, done.too_few, done.uses_memory) == (None, 4, False)

    def test_folds_choose_among_as_many_neighbours_as_they_have(self, pipeline: Pipeline) -> None:
        done = pipeline.fit(pipeline.file("t.parquet", mixed(12)), "constant", Roles("y"), MemoryOptions(threads=1))
        assert done.members[0].settings.n_neighbors <= 12 * 4 // 5
        assert len(pipeline.predict(str(pipeline.folder / "t.parquet"))) == 12


def test_progress_is_reported(pipeline: Pipeline) -> None:
    train = pipeline.file("train.parquet", mixed(100))
    pipeline.fit_base(train, "constant", Roles("y"))
    said: list[tuple[str, float | None]] = []

    def report(what: str, /, share: float | None = None) -> None:
        said.append((what, share))

    fit_residual.fit_residual(Input((train,)), pipeline.model, MemoryOptions(n_folds=2, threads=1), report)
    assert said[:2] == [("loading the base", None), ("reading", None)]
    stages = {"constant, fold 1 of 2", "constant, fold 2 of 2", "memorising 100 rows", "writing"}
    assert stages <= {what for what, _ in said}
    said.clear()
    options = PredictOptions(str(pipeline.folder / "out.csv"), batch_rows=40, threads=1)
    predict.predict(Input((train,)), pipeline.model, options, report)
    assert [what for what, _ in said[:2]] == ["loading the model", "predicting"]
    found = [(re.fullmatch(r"(\d+ rows) \([\d,]+ rows/s\)", what)[1], share) for what, share in said[2:]]
    assert found == [("40 rows", 0.4), ("80 rows", 0.8), ("100 rows", 1.0)]


def test_a_batch_without_any_target_is_only_counted(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Boosting refuses to predict no rows at all."""
    from resmem_cli.data import tables

    pipeline.fit(pipeline.file("train.parquet", mixed(100)), "boosting", Roles("y"), params={"max_iter": 3})
    rows = mixed(30, seed=2)
    values = rows["y"].to_pylist()
    values[10:20] = [None] * 10
    name = pipeline.file("gaps.parquet", rows.set_column(5, "y", pa.array(values)))
    read = tables.read
    monkeypatch.setattr(tables, "read", lambda *words, **options: read(*words, **options | {"batch_rows": 5}))
    found = pipeline.evaluate(name)
    assert (found.n_rows, found.n_dropped) == (20, 10)
