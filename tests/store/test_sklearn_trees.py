"""Trees of scikit-learn's that are crafted to lead nowhere: refused before anything follows them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from resmem_cli.errors import DataError, ModelError
from resmem_cli.store import estimators

HOLDERS = {
    "tree": DecisionTreeClassifier(random_state=0),
    "forest": RandomForestClassifier(3, random_state=0),
    "extra trees": ExtraTreesRegressor(3, random_state=0),
    "gradient boosting": GradientBoostingClassifier(n_estimators=3, random_state=0),
    "of several classes": GradientBoostingClassifier(n_estimators=3, random_state=0),
    "histogram": HistGradientBoostingClassifier(max_iter=3, categorical_features=[3], random_state=0),
    "bagging": BaggingClassifier(DecisionTreeClassifier(), 3, max_features=0.5, random_state=0),
    "stacked in a pipeline": make_pipeline(
        StandardScaler(), StackingClassifier([("forest", RandomForestClassifier(2, random_state=0))], cv=2)
    ),
}


def rows() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(200, 3)), rng.integers(0, 5, 200)])
    return X, (X[:, 0] > 0) ^ (X[:, 3] == 2)


def trees_of(estimator: Any) -> list[Any]:
    """Every decision tree within an estimator."""
    if hasattr(estimator, "tree_"):
        return [estimator]
    if hasattr(estimator, "steps"):
        return trees_of(estimator.steps[-1][1])
    return [tree for each in np.ravel(estimator.estimators_) for tree in trees_of(each)]


def change_nodes(tree: Any, field: str, value: int | None) -> None:
    """Set a field of the root; None is the number of nodes."""
    state = tree.tree_.__getstate__()
    nodes = state["nodes"].copy()
    nodes[field][0] = len(nodes) if value is None else value
    tree.tree_.__setstate__(state | {"nodes": nodes})


def assert_refused(estimator: Any) -> None:
    data = estimators.to_bytes(estimator)
    for read, error in ((estimators.from_bytes, ModelError), (estimators.from_foreign, DataError)):
        with pytest.raises(
            error, match=r"^x\.skops cannot be read .*one of its trees refers to a node that does not exist"
        ):
            read(data, "x.skops")


@pytest.mark.parametrize("name", HOLDERS)
def test_trees_that_lead_on_are_read(name: str) -> None:
    X, y = rows()
    fitted = HOLDERS[name].fit(X, y + (X[:, 1] > 1) if name == "of several classes" else y)
    for read in (estimators.from_bytes, estimators.from_foreign):
        np.testing.assert_array_equal(read(estimators.to_bytes(fitted), "x").predict(X), fitted.predict(X))


@pytest.mark.parametrize("name", [name for name in HOLDERS if name != "histogram"])
@pytest.mark.parametrize(
    ("field", "value"),
    [("left_child", None), ("right_child", 1 << 40), ("left_child", 0), ("right_child", -7), ("feature", 99)],
)
def test_a_tree_that_leads_back_or_beyond_is_refused(name: str, field: str, value: int | None) -> None:
    fitted = HOLDERS[name].fit(*rows())
    change_nodes(trees_of(fitted)[-1], field, value)
    assert_refused(fitted)


def test_a_tree_that_says_it_has_no_nodes_is_refused() -> None:
    fitted = DecisionTreeClassifier(random_state=0).fit(*rows())
    fitted.tree_.__setstate__(fitted.tree_.__getstate__() | {"node_count": 0})
    assert_refused(fitted)


@pytest.mark.parametrize("name", ["tree", "forest", "gradient boosting"])
def test_trees_of_other_columns_than_their_estimator_are_refused(name: str) -> None:
    fitted = HOLDERS[name].fit(*rows())
    fitted.n_features_in_ = 2
    assert_refused(fitted)


def test_boosted_trees_that_would_write_beyond_their_column_are_refused() -> None:
    fitted = HOLDERS["gradient boosting"].fit(*rows())
    fitted.estimators_ = fitted.estimators_.reshape(1, -1)
    assert_refused(fitted)


@pytest.mark.parametrize("name", ["tree", "forest", "bagging", "gradient boosting", "of several classes"])
def test_trees_of_other_values_than_their_estimator_predicts_are_refused(name: str) -> None:
    """Of classes a node holds a number each; boosted trees write one number of each into a column of their own."""
    X, y = rows()
    fitted = HOLDERS[name].fit(X, y + (X[:, 1] > 1) if name == "of several classes" else y)
    holder = trees_of(fitted)[0]
    other = DecisionTreeRegressor(max_depth=2).fit(X, np.column_stack([y, y]))
    holder.tree_ = other.tree_ if "boosting" in name or "classes" in name else DecisionTreeRegressor().fit(X, y).tree_
    with pytest.raises(DataError, match=r"^x\.skops cannot be read"):
        estimators.from_foreign(estimators.to_bytes(fitted), "x.skops")


@pytest.mark.parametrize(
    "change",
    [
        lambda boosting: boosting._predictors[0].append(boosting._predictors[0][0]),
        lambda boosting: boosting.__dict__.update(n_trees_per_iteration_=3),
        lambda boosting: boosting.__dict__.update(_baseline_prediction=np.zeros((1, 3))),
        lambda boosting: boosting.__dict__.update(classes_=np.arange(4)),
        lambda boosting: boosting._bin_mapper.bin_thresholds_.pop(),
    ],
)
def test_boosted_trees_of_other_outputs_than_there_are_classes_are_refused(change: Any) -> None:
    fitted = HistGradientBoostingClassifier(max_iter=3, categorical_features=[3], random_state=0).fit(*rows())
    change(fitted)
    assert_refused(fitted)


@pytest.mark.parametrize("what", ["one column for all", "other columns"])
def test_boosted_trees_behind_other_columns_than_theirs_are_refused(what: str) -> None:
    X, y = rows()
    fitted = HistGradientBoostingClassifier(max_iter=3, categorical_features=[3], random_state=0).fit(X, y)
    if what == "one column for all":
        fitted._preprocessor = PCA(1).fit(X)
    else:
        fitted._preprocessor.n_features_in_ = 2
    assert_refused(fitted)


def test_a_boosted_tree_that_asks_a_number_for_its_category_is_refused() -> None:
    fitted = HistGradientBoostingClassifier(max_iter=3, categorical_features=[3], random_state=0).fit(*rows())
    fitted._bin_mapper.is_categorical_ = np.zeros_like(fitted._bin_mapper.is_categorical_)
    assert_refused(fitted)


@pytest.mark.parametrize(
    ("field", "value"), [("left", None), ("right", 0), ("left", 0xFFFFFFFF), ("feature_idx", 4), ("feature_idx", -1)]
)
def test_a_boosted_tree_that_leads_back_or_beyond_is_refused(field: str, value: int | None) -> None:
    fitted = HistGradientBoostingClassifier(max_iter=3, categorical_features=[3], random_state=0).fit(*rows())
    nodes = fitted._predictors[-1][0].nodes
    nodes[field][0] = len(nodes) if value is None else value
    assert_refused(fitted)


@pytest.mark.parametrize("what", ["set", "columns", "nodes"])
def test_a_boosted_tree_whose_categories_or_nodes_are_missing_is_refused(what: str) -> None:
    fitted = HistGradientBoostingClassifier(max_iter=3, categorical_features=[3], random_state=0).fit(*rows())
    trees = [tree for trees in fitted._predictors for tree in trees if tree.nodes["is_categorical"].any()]
    if what == "set":
        trees[0].raw_left_cat_bitsets = trees[0].raw_left_cat_bitsets[:0]
    elif what == "columns":
        fitted._bin_mapper.is_categorical_ = fitted._bin_mapper.is_categorical_[:2]
    else:
        trees[0].nodes = trees[0].nodes[:0]
    assert_refused(fitted)


@pytest.mark.parametrize("name", ["binned_left_cat_bitsets", "raw_left_cat_bitsets", "nodes"])
def test_a_boosted_tree_of_arrays_that_could_not_be_stored_is_refused(name: str) -> None:
    fitted = HistGradientBoostingClassifier(max_iter=3, categorical_features=[3], random_state=0).fit(*rows())
    tree = next(tree for trees in fitted._predictors for tree in trees if tree.nodes["is_categorical"].any())
    array = getattr(tree, name)
    setattr(tree, name, array[["value"]].copy() if name == "nodes" else array[:, :3].copy())
    with pytest.raises(DataError, match=r"^x\.skops cannot be read"):
        estimators.from_foreign(skops.io.dumps(fitted), "x.skops")
