"""A prediction is a function of the row: not of its batch, of threads, of the file's format, nor of column order.

Boosting agrees to the last bit. The others multiply matrices, whose last bits may depend on the shape: they agree to
1e-9 (the network, which computes in single precision, to 1e-5) of the target's size.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from resmem_cli.data.inference import Roles
from tests.workflow.conftest import FIXED, TWO, Pipeline, mixed, shared

EXTRAS = ("lightgbm", "xgboost", "catboost")
ESTIMATORS = ("boosting", "linear", "mlp", "constant", "boosting,linear")  # the last with two memories
Fitted = Callable[[str], Pipeline]


def assert_equal(estimator: str, found: pa.Table, expected: pa.Table) -> None:
    assert found.column_names == expected.column_names == ["prediction", "prediction_base"]
    for name in found.column_names:
        one, other = found[name].to_numpy(), expected[name].to_numpy()
        if estimator == "boosting":
            np.testing.assert_array_equal(one, other)
        else:
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 if estimator == "mlp" else 1e-9)


@pytest.fixture(params=ESTIMATORS)
def estimator(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def whole(fitted: Fitted, estimator: str) -> tuple[Pipeline, str, pa.Table]:
    """A fitted pipeline, its file of new rows, and their predictions at once with one thread."""
    pipeline = fitted(estimator)
    name = str(pipeline.folder / "new.parquet")
    return pipeline, name, pipeline.predict(name)


@pytest.mark.parametrize("batch_rows", [1, 7, 89, 90, 1_000])
def test_batches(whole: tuple[Pipeline, str, pa.Table], estimator: str, batch_rows: int) -> None:
    pipeline, name, expected = whole
    assert_equal(estimator, pipeline.predict(name, batch_rows=batch_rows), expected)


@pytest.mark.parametrize("batch_rows", [7, 1_000])
def test_threads(whole: tuple[Pipeline, str, pa.Table], estimator: str, batch_rows: int) -> None:
    pipeline, name, expected = whole
    assert_equal(estimator, pipeline.predict(name, threads=2, batch_rows=batch_rows), expected)


def test_formats(whole: tuple[Pipeline, str, pa.Table], estimator: str) -> None:
    pipeline, name, expected = whole
    assert_equal(estimator, pipeline.predict(name.replace(".parquet", ".csv")), expected)


def test_the_order_of_columns_and_columns_beside_them(whole: tuple[Pipeline, str, pa.Table], estimator: str) -> None:
    pipeline, name, expected = whole
    rows = pyarrow.parquet.read_table(name)
    more = rows.select(sorted(rows.column_names, reverse=True)).add_column(1, "other", pa.array([[1]] * rows.num_rows))
    assert_equal(estimator, pipeline.predict(pipeline.file("more.parquet", more)), expected)


def test_the_rows_around_it(whole: tuple[Pipeline, str, pa.Table], estimator: str) -> None:
    """In another order, and in two files."""
    pipeline, name, expected = whole
    rows = pyarrow.parquet.read_table(name)
    order = np.random.default_rng(0).permutation(rows.num_rows)
    parts = [
        pipeline.file("first.parquet", rows.take(order[:31])),
        pipeline.file("second.csv", rows.take(order[31:])),
    ]
    assert_equal(estimator, pipeline.predict(*parts), expected.take(order))


@pytest.mark.parametrize("name", ["train.csv", "train.parquet"])
def test_the_format_that_was_trained_on(pipeline: Pipeline, name: str) -> None:
    """CSV and Parquet of the same rows make the same model: the same bytes."""
    rows = mixed(200)
    other = Pipeline(pipeline.folder / "other")
    other.folder.mkdir()
    pipeline.fit(pipeline.file(name, rows), "linear", Roles("y"))
    other.fit(other.file("train.parquet", rows), "linear", Roles("y"))
    new = pipeline.file("new.parquet", mixed(50, seed=2))
    np.testing.assert_allclose(pipeline.predict(new)["prediction"], other.predict(new)["prediction"], rtol=0, atol=1e-9)


def test_classes(pipeline: Pipeline) -> None:
    rows = mixed(300)
    thirds = np.digitize(rows["y"], np.quantile(rows["y"], [0.33, 0.66]))
    rows = rows.set_column(5, "y", pa.array(np.array(["low", "middle", "high"])[thirds]))
    pipeline.fit(pipeline.file("train.parquet", rows), "linear", Roles("y"))
    name = pipeline.file("new.parquet", mixed(90, seed=1))
    expected = pipeline.predict(name, with_probabilities=True)
    for options in ({"batch_rows": 1}, {"batch_rows": 7, "threads": 2}):
        found = pipeline.predict(name, with_probabilities=True, **options)
        assert found["prediction"] == expected["prediction"]
        for column in expected.column_names[2:]:
            np.testing.assert_allclose(found[column], expected[column], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["train.csv", "train.parquet"])
def test_the_format_that_two_memories_were_trained_on(pipeline: Pipeline, name: str) -> None:
    rows = mixed(200)
    other = Pipeline(pipeline.folder / "other")
    other.folder.mkdir()
    memory = replace(TWO, space="learned", encoder="linear", n_steps=3)
    for each, train in ((pipeline, pipeline.file(name, rows)), (other, other.file("train.parquet", rows))):
        with shared():
            done = each.fit(train, "linear,constant", Roles("y"), memory)
        assert len(done.members) == 2
    new = pipeline.file("new.parquet", mixed(50, seed=2))
    np.testing.assert_allclose(pipeline.predict(new)["prediction"], other.predict(new)["prediction"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("estimators", ["linear", "linear,boosting"])
def test_a_learned_representation(pipeline: Pipeline, estimators: str) -> None:
    """It computes in single precision, in the network of the encoder and in the distances."""
    memory = replace(TWO if "," in estimators else FIXED, space="learned", encoder="mlp", n_steps=5)
    train = pipeline.file("train.parquet", mixed(200))
    with shared() if "," in estimators else nullcontext():
        done = pipeline.fit(train, estimators, Roles("y"), memory)
    assert len(done.members) == len(done.estimators) == len(estimators.split(","))
    name = pipeline.file("new.parquet", mixed(90, seed=1))
    expected = pipeline.predict(name)
    for options in ({"batch_rows": 1}, {"batch_rows": 7, "threads": 2}, {"batch_rows": 1_000, "threads": 2}):
        assert_equal("mlp", pipeline.predict(name, **options), expected)


@pytest.mark.parametrize("estimator", ["boosting", "lightgbm", "xgboost", "catboost", "mlp"])
def test_on_how_many_threads_score_batches_side_by_side(pipeline: Pipeline, estimator: str) -> None:
    """LightGBM gave other numbers, and XGBoost refused, where two threads asked one model at the same time."""
    if estimator in EXTRAS:
        pytest.importorskip(estimator)
    few = {"n_estimators": 30} if estimator in EXTRAS else {"max_iter": 30}
    train = pipeline.file("train.parquet", mixed(400))
    pipeline.fit(train, estimator, Roles("y"), replace(FIXED, space="model"), params=few)
    many = pipeline.file("many.parquet", pa.concat_tables([mixed(400, seed=1)] * 10))
    one, two = (pipeline.predict(many, threads=threads, batch_rows=200) for threads in (1, 2))
    np.testing.assert_allclose(one["prediction"].to_numpy(), two["prediction"].to_numpy(), rtol=0, atol=1e-5)
