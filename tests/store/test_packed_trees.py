"""The trees of histogram boosting in a few arrays: the same trees again, or refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestRegressor

from resmem_cli.errors import ModelError
from resmem_cli.store import estimators, packed_trees


def boosted(n_iterations: int, n_classes: int = 0, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=300), rng.integers(0, 6, 300)])
    y = np.where(X[:, 1] % 2, X[:, 0], -X[:, 0])
    kind = HistGradientBoostingClassifier if n_classes else HistGradientBoostingRegressor
    targets = np.digitize(y, np.quantile(y, np.arange(1, n_classes) / n_classes)) if n_classes else y
    model = kind(max_iter=n_iterations, categorical_features=[1], random_state=seed, max_features=0.5)
    return X, model.fit(X, targets)


@pytest.mark.parametrize("n_classes", [0, 2, 4])
def test_boostings_come_back_as_they_were(n_classes: int) -> None:
    X, first = boosted(7, n_classes)
    second = boosted(3, n_classes, seed=1)[1]
    data = estimators.to_bytes([first, second])
    again = estimators.from_bytes(data, "estimator.skops")
    asked = "predict_proba" if n_classes else "predict"
    for found, original in zip(again, (first, second), strict=True):
        np.testing.assert_array_equal(getattr(found, asked)(X), getattr(original, asked)(X))
        assert [len(trees) for trees in found._predictors] == [1 if n_classes < 3 else n_classes] * found.n_iter_
    assert estimators.to_bytes([first, second]) == data
    assert isinstance(first._predictors, list)


def test_more_trees_are_no_more_files() -> None:
    few, many = (zipfile.ZipFile(io.BytesIO(estimators.to_bytes(boosted(n)[1]))).namelist() for n in (2, 50))
    assert len(few) == len(many)


def test_trees_that_were_stored_one_by_one_are_read() -> None:
    X, model = boosted(5)
    data = estimators._canonical(skops.io.dumps(model))
    np.testing.assert_array_equal(estimators.from_bytes(data, "estimator.skops").predict(X), model.predict(X))


def test_other_estimators_and_one_that_is_not_fitted_stay_as_they_are() -> None:
    for model in (RandomForestRegressor(), HistGradientBoostingRegressor(), "text"):
        assert packed_trees.pack(model) is model
        assert packed_trees.unpack(model) is model


def _lead_back(packed: dict[str, Any]) -> None:
    packed["nodes"]["left"][0] = 0


def _negative(packed: dict[str, Any]) -> None:
    packed["n_nodes"] = packed["n_nodes"] + np.array([1_000, *[0] * (len(packed["n_nodes"]) - 2), -1_000])


def _of_more(packed: dict[str, Any]) -> None:
    packed["n_nodes"] = packed["n_nodes"] + 1


def _untyped(packed: dict[str, Any]) -> None:
    packed["nodes"] = packed["nodes"]["value"].copy()


def _in_more_iterations(packed: dict[str, Any]) -> None:
    packed["per_iteration"] = np.append(packed["per_iteration"], 1)


def _in_fewer_iterations(packed: dict[str, Any]) -> None:
    packed["per_iteration"] = packed["per_iteration"][:-1]


def _of_fewer_sets(packed: dict[str, Any]) -> None:
    packed["raw_left_cat_bitsets"] = packed["raw_left_cat_bitsets"][:0]
    packed["n_raw_left_cat_bitsets"] = packed["n_raw_left_cat_bitsets"] * 0


def _without(packed: dict[str, Any]) -> None:
    del packed["nodes"]


def _as_text(packed: dict[str, Any]) -> None:
    packed["n_nodes"] = "many"


def _of_no_numbers(packed: dict[str, Any]) -> None:
    packed["n_nodes"] = packed["n_nodes"] * 1.5


@pytest.mark.parametrize(
    "damage",
    [
        _lead_back,
        _negative,
        _of_more,
        _untyped,
        _in_more_iterations,
        _in_fewer_iterations,
        _of_fewer_sets,
        _without,
        _as_text,
        _of_no_numbers,
    ],
)
def test_arrays_that_make_no_trees_are_refused(damage: Callable[[dict[str, Any]], None]) -> None:
    packed = packed_trees.pack(boosted(5)[1])
    damage(packed._predictors)
    with pytest.raises(ModelError, match=r"estimator\.skops cannot be read as an estimator"):
        estimators.from_bytes(estimators._canonical(skops.io.dumps(packed)), "estimator.skops")
