"""The trees of scikit-learn's histogram boosting as a forest of our own, and back again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from resmem_cli.model.arrays import Floats, Integers
from resmem_cli.model.bases.forest import Forest


def forest_of(model: Any) -> Forest:
    """Return the trees of a fitted HistGradientBoosting estimator.

    It reads columns of categories first, as their positions among those of training (`_preprocess_X`).

    Raises:
        ValueError: its trees are not as scikit-learn makes them.
    """
    trees = [tree for iteration in model._predictors for tree in iteration]
    n_nodes = np.array([len(tree.nodes) for tree in trees], dtype=np.int64)
    nodes = np.concatenate([tree.nodes for tree in trees])
    inner = nodes["is_leaf"] == 0
    columns, known = _columns(model)
    n_categories = np.array([len(known.get(i, ())) for i in range(model.n_features_in_)], dtype=np.int64)
    feature = np.where(inner, columns[np.where(inner, nodes["feature_idx"], 0)], -1)
    asks = inner & (n_categories[feature] > 0)
    if not np.array_equal(asks, inner & (nodes["is_categorical"] != 0)):
        raise ValueError("its trees ask for a category of a number, or for a number of a category")
    first_set = np.cumsum([0, *(len(tree.raw_left_cat_bitsets) for tree in trees)])[:-1]
    left_sets = np.concatenate([tree.raw_left_cat_bitsets for tree in trees])
    sets = left_sets[(np.repeat(first_set, n_nodes) + nodes["bitset_idx"])[asks]]
    forest = Forest.restore(
        {
            "baseline": np.ravel(model._baseline_prediction).astype(np.float64),
            "n_nodes": n_nodes,
            "feature": feature.astype(np.int32),
            "number": np.where(inner, np.where(asks, 0.0, nodes["num_threshold"]), nodes["value"]),
            "missing_left": nodes["missing_go_to_left"] != 0,
            "left_sets": sets.reshape(-1, left_sets.shape[1]),
            "n_categories": n_categories,
            "categories": np.concatenate([np.empty(0), *known.values()]),
        }
    )
    start = np.repeat(forest.starts, n_nodes)
    at = np.flatnonzero(inner)
    if not (
        np.array_equal(nodes["left"][at] + start[at], at + 1)
        and np.array_equal(nodes["right"][at] + start[at], forest.right[at])
    ):
        raise ValueError("the nodes of its trees are in another order")
    return forest


def leaf_values(forest: Forest, X: Floats) -> Iterator[tuple[int, slice, Floats]]:
    """Yield per iteration, for [n, d] rows, its first tree, the rows, and scikit-learn's [outputs, n] values."""
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

    X, n_outputs = forest.with_positions(X), forest.n_outputs
    nodes = np.zeros(len(forest.feature), dtype=PREDICTOR_RECORD_DTYPE)
    of_node = np.arange(len(nodes)) - np.repeat(forest.starts, forest.n_nodes)
    right = forest.right - np.repeat(forest.starts, forest.n_nodes)
    is_leaf = forest.feature < 0
    nodes["value"] = nodes["num_threshold"] = forest.number
    nodes["feature_idx"] = np.where(is_leaf, 0, forest.feature)
    nodes["left"], nodes["right"] = np.where(is_leaf, 0, (of_node + 1, right))
    nodes["missing_go_to_left"], nodes["is_leaf"] = forest.missing_left, is_leaf
    nodes["is_categorical"], nodes["bitset_idx"] = forest.set_of >= 0, np.maximum(forest.set_of, 0)
    # What is unknown is missing here already.
    known = np.full((1, forest.left_sets.shape[1]), 0xFFFFFFFF, dtype=np.uint32)
    no_places = np.zeros(forest.n_features, dtype=np.uint32)
    trees = np.split(nodes, forest.starts[1:])
    for first in range(0, len(trees), n_outputs):
        found = [
            TreePredictor(tree, forest.left_sets, forest.left_sets).predict(X, known, no_places, n_threads=1)
            for tree in trees[first : first + n_outputs]
        ]
        yield first, slice(0, len(X)), np.stack(found)


def _columns(model: Any) -> tuple[Integers, dict[int, Floats]]:
    """Return [d] which column each of those is that the trees ask for, and the categories by column."""
    if model.is_categorical_ is None:
        return np.arange(model.n_features_in_), {}
    is_category = np.asarray(model.is_categorical_, dtype=np.bool_)
    of_categories = np.flatnonzero(is_category)
    known = {}
    encoder = model._preprocessor.named_transformers_["encoder"]
    for i, (column, categories) in enumerate(zip(of_categories.tolist(), encoder.categories_, strict=True)):
        values = np.asarray(categories, dtype=np.float64)
        known[column] = values[~np.isnan(values)]
        if not np.array_equal(model._bin_mapper.bin_thresholds_[i], np.arange(len(known[column]))):
            raise ValueError("its trees know other categories than it encodes")
    return np.concatenate([of_categories, np.flatnonzero(~is_category)]), known
