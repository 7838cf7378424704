"""Several bases in one model: which is first, what is made of the others, and what their memories share."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from resmem_cli.data import encoding
from resmem_cli.data.inference import Roles
from resmem_cli.errors import UsageError
from resmem_cli.model.bases import ESTIMATORS, BaseSpec
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.model.choosing.plan import plans
from resmem_cli.model.grouping import drawn
from resmem_cli.model.rows import LabelledRows, Recipe
from resmem_cli.store import reading
from resmem_cli.workflow.inputs import Input
from tests.workflow.conftest import FIXED, TWO, Pipeline, mixed, shared

QUICK = {"max_iter": 15}  # of boosting and mlp
QUICK_AUTO = {**QUICK, "max_steps": 20, "n_estimators": 15}  # and of network and catboost


def steps(n_rows: int, seed: int = 0) -> pa.Table:
    """Rows that boosting explains and a linear base does not."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1, 1, (2, n_rows))
    return pa.table({"a": a, "b": b, "y": np.sign(a * b) * 5 + 0.1 * rng.normal(size=n_rows)})


def straight(n_rows: int, seed: int = 0) -> pa.Table:
    """Rows that a linear base explains."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1, 1, (2, n_rows))
    return pa.table({"a": a, "b": b, "y": 5 * a - 3 * b + 0.1 * rng.normal(size=n_rows)})


@pytest.mark.parametrize(
    ("n_numbers", "n_flags", "trained"),
    [(2, 120, ("mlp", "periodic")), (0, 3, ("mlp",)), (101, 0, ("mlp",)), (100, 0, ("mlp", "periodic"))],
)
def test_waves_are_learned_where_some_numbers_have_them_but_not_very_many(
    pipeline: Pipeline, n_numbers: int, n_flags: int, trained: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(600, n_numbers)), rng.integers(0, 2, (600, n_flags))])
    table = pa.table({**{f"x{i}": column for i, column in enumerate(X.T)}, "y": rng.normal(size=600)})
    pipeline.fit_base(pipeline.file("t.parquet", table), "linear", Roles("y"))
    base = reading.load_base(pipeline.model)
    rows = LabelledRows(X, table["y"].to_numpy(), None, np.zeros(600, dtype=bool))
    (plan,) = plans(rows, base.bases, [Recipe(base.specs[0], base.problem)], MemoryOptions())
    found = tuple(name for name in plan.spaces if name.startswith("learned:"))
    assert found == tuple(f"learned:{kind}" for kind in trained)


class TestBases:
    @pytest.mark.parametrize(("rows", "best"), [(steps, "boosting"), (straight, "linear")])
    @pytest.mark.parametrize("estimators", ["boosting,linear", "linear, boosting", "linear,boosting,linear"])
    def test_the_one_that_is_best_on_held_out_rows_is_first_however_they_are_named(
        self, pipeline: Pipeline, rows: object, best: str, estimators: str
    ) -> None:
        done = pipeline.fit_base(pipeline.file("t.parquet", rows(300)), estimators, Roles("y"), params=QUICK)  # type: ignore[operator]
        assert done.estimators[0] == best
        assert sorted(done.estimators) == ["boosting", "linear"]
        assert list(done.held_out) == sorted(done.held_out)
        stored = reading.load_base(pipeline.model)
        assert tuple(spec.estimator for spec in stored.specs) == done.estimators
        assert [type(base) for base in stored.bases] == [ESTIMATORS[name] for name in done.estimators]

    @pytest.mark.parametrize("is_regression", [True, False])
    def test_what_is_said_of_them_is_their_metric_on_rows_that_they_were_not_fitted_on(
        self, pipeline: Pipeline, is_regression: bool
    ) -> None:
        rows = mixed(203)
        if not is_regression:
            rows = rows.set_column(5, "y", pa.array(np.where(rows["y"].to_numpy() > 1, "a", "b")))
        weighted = rows.append_column("w", pa.array(np.arange(203) % 3 + 1.0))
        train = pipeline.file("train.parquet", weighted)
        done = pipeline.fit_base(train, "constant,linear", Roles("y", weight_column="w"), seed=5)
        stored = reading.load_base(pipeline.model)
        (table,) = Input((train,)).read_all()
        X, _ = encoding.encode(table, stored.schema)
        y, weight = encoding.encode_target(table, stored.schema), encoding.encode_weight(table, stored.schema)
        every = LabelledRows(X, y, weight, np.zeros(203, dtype=bool))
        rng = np.random.default_rng(5)
        every = every.take(drawn(every.related(stored.problem).groups, 50_000, rng))
        every.single_splits(stored.problem, rng)  # of more rows
        folds = list(every.splits(stored.problem, 3, rng))
        asked = np.concatenate([held_out for _, held_out in folds])
        assert (done.estimators, done.n_held_out) == (("linear", "constant"), 203)
        assert done.objective == ("rmse" if is_regression else "log_loss")
        for name, found in zip(done.estimators, done.held_out, strict=True):
            recipe = Recipe(BaseSpec(name), stored.problem)
            predictions = np.concatenate(
                [recipe.base_for(every.take(known)).predict(every.X[held]) for known, held in folds]
            )
            if is_regression:
                expected = np.sqrt(
                    np.average(np.square(predictions[:, 0] - every.y[asked]), weights=every.weight[asked])
                )
            else:
                of_class = predictions[np.arange(len(asked)), every.y[asked].astype(int)]
                expected = np.average(-np.log(of_class), weights=every.weight[asked])
            assert found == pytest.approx(expected)

    def test_all_are_fitted_on_all_rows(self, pipeline: Pipeline) -> None:
        train = pipeline.file("train.parquet", mixed(200))
        pipeline.fit_base(train, "constant,linear", Roles("y"))
        together = dict(zip(("linear", "constant"), reading.load_base(pipeline.model).bases, strict=True))
        for name, base in together.items():
            pipeline.fit_base(train, name, Roles("y"))
            for key, value in reading.load_base(pipeline.model).bases[0].to_arrays().items():
                np.testing.assert_array_equal(base.to_arrays()[key], value)

    def test_of_few_rows_none_are_held_out_and_the_order_stays(self, pipeline: Pipeline) -> None:
        train = pipeline.file("train.parquet", straight(49))
        done = pipeline.fit_base(train, "constant,linear", Roles("y"))
        assert (done.estimators, done.held_out, done.n_held_out) == (("constant", "linear"), (), 0)
        done = pipeline.fit_base(pipeline.file("more.parquet", straight(50)), "constant,linear", Roles("y"))
        assert (done.estimators, done.n_held_out) == (("linear", "constant"), 50)

    def test_one_alone_is_compared_with_nothing(self, pipeline: Pipeline) -> None:
        done = pipeline.fit_base(pipeline.file("train.parquet", straight(100)), "linear", Roles("y"))
        assert (done.estimators, done.held_out, done.n_held_out) == (("linear",), (), 0)

    def test_auto_is_a_strong_base_and_one_that_leaves_much_to_remember(self, pipeline: Pipeline) -> None:
        done = pipeline.fit_base(pipeline.file("t.parquet", straight(300)), "auto", Roles("y"), params=QUICK_AUTO)
        assert set(done.estimators) == {"boosting", "catboost", "network", "linear", "constant"}

    @pytest.mark.parametrize(
        ("n_classes", "fitted"),
        [(10, {"boosting", "catboost", "network", "linear", "constant"}), (11, {"linear", "constant"})],
    )
    def test_of_many_classes_auto_has_no_strong_base(
        self, pipeline: Pipeline, n_classes: int, fitted: set[str]
    ) -> None:
        rows = straight(300)
        rows = rows.set_column(2, "y", pa.array([f"class {i % n_classes}" for i in range(300)]))
        done = pipeline.fit_base(
            pipeline.file("t.parquet", rows), "auto", Roles("y"), params=QUICK_AUTO if n_classes == 10 else {}
        )
        assert set(done.estimators) == fitted

    def test_a_parameter_goes_to_every_base_that_has_it(self, pipeline: Pipeline) -> None:
        params = {"max_iter": 7, "hidden_layer_sizes": (3,)}
        pipeline.fit_base(pipeline.file("t.parquet", straight(60)), "boosting,mlp,constant", Roles("y"), params=params)
        stored = reading.load_base(pipeline.model)
        assert {spec.estimator: dict(spec.params) for spec in stored.specs} == {
            "boosting": {"max_iter": 7},
            "mlp": {"max_iter": 7, "hidden_layer_sizes": [3]},
            "constant": {},
        }

    def test_without_its_memory_a_model_predicts_as_the_first(self, pipeline: Pipeline) -> None:
        train = pipeline.file("train.parquet", straight(100))
        pipeline.fit_base(train, "constant,linear", Roles("y"))
        found = pipeline.predict(train, base_only=True)["prediction"]
        pipeline.fit_base(train, "linear", Roles("y"))
        assert found == pipeline.predict(train, base_only=True)["prediction"]


class TestMemories:
    def test_a_memory_on_the_second_base_is_used_where_it_is_better(self, pipeline: Pipeline) -> None:
        """And what it is compared with, by the folds as by `evaluate`, is the first base."""
        train = pipeline.file("train.parquet", steps(400))
        pipeline.fit_base(train, "linear,constant", Roles("y"))
        first = reading.load_base(pipeline.model)
        swapped = replace(first, specs=first.specs[::-1], bases=first.bases[::-1])
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(reading, "load_base", lambda _: swapped)
            done = pipeline.fit_residual(train, MemoryOptions(effort="quick", n_members=1, threads=1))
        assert done.estimators == tuple(spec.estimator for spec in swapped.specs)
        assert done.selection is not None
        assert done.selection.helps
        assert {score.candidate.base for score in done.selection.scores} == {0, 1}

    def test_two_memories_share_the_prediction(self, pipeline: Pipeline) -> None:
        train, new = pipeline.file("train.parquet", mixed(300)), pipeline.file("new.parquet", mixed(80, seed=1))
        with shared():
            done = pipeline.fit(train, "boosting,linear", Roles("y"), TWO, params=QUICK)
        assert [(done.estimators[member.base], member.weight) for member in done.members] == [
            (done.estimators[0], 0.7),
            (done.estimators[1], 0.3),
        ]
        assert done.members[0].space.name == "features"
        assert done.uses_memory
        both, weights = pipeline.predict(new), reading.load_base(pipeline.model).weights
        mean, of_bases = np.zeros(80), np.zeros(80)
        for base, member, weight in zip(done.estimators, done.members, weights, strict=True):
            params = QUICK if base == "boosting" else {}
            options = replace(FIXED, space=member.space.name)
            pipeline.fit(train, base, Roles("y"), options, params=params)
            mean += member.weight * pipeline.predict(new)["prediction"].to_numpy()
            of_bases += weight * pipeline.predict(new)["prediction_base"].to_numpy()
        np.testing.assert_allclose(both["prediction"], mean, rtol=1e-9)
        np.testing.assert_allclose(both["prediction_base"], of_bases, rtol=1e-9)

    def test_what_two_memories_gain_is_over_the_first_base(self, pipeline: Pipeline) -> None:
        train, new = pipeline.file("train.parquet", mixed(300)), pipeline.file("new.parquet", mixed(80, seed=1))
        with shared():
            pipeline.fit(train, "boosting,linear", Roles("y"), TWO, params=QUICK)
        found, labels = pipeline.predict(new), mixed(80, seed=1)["y"].to_numpy()
        compared = pipeline.evaluate(new)
        assert compared.uses_memory
        for name, value in (
            ("prediction_base", compared.metrics["rmse"].base),
            ("prediction", compared.metrics["rmse"].resmem),
        ):
            assert value == pytest.approx(np.sqrt(np.square(found[name].to_numpy() - labels).mean()))

    def test_a_weight_is_as_good_as_so_many_rows_in_two_memories(self, pipeline: Pipeline) -> None:
        rows = mixed(150)
        kinds = rows["kind"].to_pylist()
        rows = rows.set_column(5, "y", pa.array([len(kind) + i % 7 / 5 for i, kind in enumerate(kinds)]))
        weights = np.arange(150) % 3 + 1
        repeated = rows.take(np.repeat(np.arange(150), weights))
        other = Pipeline(pipeline.folder / "other")
        other.folder.mkdir()
        # Of a category alone: the scale of a number's distances knows rows, not weights.
        memory = replace(TWO, n_neighbors=3, space="features")
        weighted = rows.append_column("w", pa.array(weights))
        with shared():
            done = pipeline.fit(
                pipeline.file("w.parquet", weighted), "linear,constant",
                Roles("y", features=("kind",), weight_column="w"), memory,
            )  # fmt: skip
            again = other.fit(
                other.file("r.parquet", repeated), "linear,constant", Roles("y", features=("kind",)), memory
            )
        assert done.estimators == again.estimators
        assert set(done.estimators) == {"linear", "constant"}
        assert len(done.members) == 2
        new = pipeline.file("new.parquet", mixed(40, seed=4))
        found, expected = pipeline.predict(new), other.predict(new)
        for name in ("prediction", "prediction_base"):
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)

    def test_of_a_memory_that_the_user_switched_off_one_is_kept_on_the_first_base(self, pipeline: Pipeline) -> None:
        train = pipeline.file("train.parquet", mixed(120))
        done = pipeline.fit(train, "linear,constant", Roles("y"), MemoryOptions(shrinkage=0.0, threads=1))
        assert [(member.base, member.settings.shrinkage) for member in done.members] == [(0, 0.0)]
        assert (done.base_share, done.uses_memory) == (0.0, False)

    @pytest.mark.parametrize("other", ["constant", "boosting"])
    def test_without_folds_every_base_that_has_a_weight_is_corrected(self, pipeline: Pipeline, other: str) -> None:
        train = pipeline.file("train.parquet", mixed(120))
        done = pipeline.fit(train, f"linear,{other}", Roles("y"), FIXED)
        weights = reading.load_base(pipeline.model).weights
        expected = [(i, weight) for i, weight in enumerate(weights) if weight > 0]
        assert [(member.base, member.weight) for member in done.members] == expected
        assert len(expected) == (1 if other == "constant" else 2)
        assert done.base_share == 0

    def test_a_memory_that_is_off_predicts_exactly_as_the_first_base(self, pipeline: Pipeline) -> None:
        rng = np.random.default_rng(11)
        noise = pipeline.file("noise.parquet", pa.table({name: rng.normal(size=300) for name in ("a", "b", "y")}))
        done = pipeline.fit(noise, "constant,linear", Roles("y"), MemoryOptions(threads=1))
        assert not done.uses_memory
        assert [done.estimators[member.base] for member in done.members] == [done.estimators[0]]
        found = pipeline.predict(noise)
        assert found["prediction"] == found["prediction_base"] == pipeline.predict(noise, base_only=True)["prediction"]

    def test_rows_that_are_new_to_the_bases_are_asked_of_all_without_fitting_any_anew(self, pipeline: Pipeline) -> None:
        pipeline.fit_base(pipeline.file("old.parquet", mixed(100)), "linear,constant", Roles("y"))
        options = MemoryOptions(space="features", threads=1)
        done = pipeline.fit_residual(pipeline.file("new.parquet", mixed(250, seed=2)), options)
        assert done.selection is not None
        assert not done.selection.refitted
        assert [score.candidate.base for score in done.selection.scores] in ([0, 1], [1, 0])


class TestObjective:
    @pytest.mark.parametrize("objective", ["rmse", "mae"])
    def test_it_is_what_the_folds_make_best_and_the_verdict_is_about(self, pipeline: Pipeline, objective: str) -> None:
        train, new = pipeline.file("train.parquet", steps(300)), pipeline.file("new.parquet", steps(80, seed=1))
        options = MemoryOptions(objective=objective, space="features", threads=1)
        done = pipeline.fit(train, "linear", Roles("y"), options)
        assert done.objective == objective
        assert done.selection is not None
        assert done.selection.objective == objective
        compared = pipeline.evaluate(new)
        assert compared.objective == objective
        percent = compared.metrics[objective].gain_percent
        assert compared.verdict.startswith(f"The memory improves {objective} by {percent:.2f} % (95 % interval ")
        assert compared.to_json()["objective"] == objective

    def test_what_a_task_does_not_have_is_refused(self, pipeline: Pipeline) -> None:
        train = pipeline.file("train.parquet", mixed(60))
        pipeline.fit_base(train, "constant", Roles("y"))
        with pytest.raises(UsageError, match="accuracy is no metric of a regression"):
            pipeline.fit_residual(train, replace(FIXED, objective="accuracy"))


class TestResiduals:
    def test_cross_fitted_ones_are_remembered_where_they_are_asked_for(self, pipeline: Pipeline) -> None:
        """Of labels that a large network knows by heart: what it has not seen leaves more than what it has."""
        train = pipeline.file("train.parquet", steps(200))
        pipeline.fit_base(train, "boosting", Roles("y"), params={"max_iter": 60, "min_samples_leaf": 2})
        left = {}
        for kind in ("in-sample", "cross-fitted"):
            done = pipeline.fit_residual(train, replace(FIXED, residuals=kind))  # type: ignore[arg-type]
            assert [member.residuals for member in done.members] == [kind]
            assert json.loads((pipeline.model / "memory.json").read_text())["memories"][0]["residuals"] == kind
            (member,) = reading.load(pipeline.model).resmem.members
            left[kind] = float(np.abs(member.memory.residuals).mean())
        assert left["cross-fitted"] > 2 * left["in-sample"]

    def test_a_base_that_stays_needs_none(self, pipeline: Pipeline) -> None:
        pipeline.fit_base(pipeline.file("old.parquet", mixed(100)), "linear", Roles("y"))
        new = pipeline.file("new.parquet", mixed(250, seed=2))
        with pytest.raises(UsageError) as refused:
            pipeline.fit_residual(new, MemoryOptions(residuals="cross-fitted", threads=1))
        assert str(refused.value) == (
            "enough rows are new to the base, so it is not refitted: their residuals need no cross-fitting; "
            "leave --residuals out"
        )
