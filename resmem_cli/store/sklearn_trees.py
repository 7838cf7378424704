"""Whether the trees in an estimator lead somewhere: scikit-learn follows them without looking where they lead.

A file whose hashes and types are in order can still hold a tree with a child beyond its nodes, or one that leads back:
predicting would read foreign memory, or never end.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

_BITSET = 8  # words of 32 bits, one bit per category
_OF_COLUMNS = ("OrdinalEncoder", "FunctionTransformer", "str")  # each gives one column for one ("passthrough")


def refuse_unlinked(estimator: Any) -> None:
    """Refuse an estimator unless every node of its trees asks for a column that there is and leads on to later nodes.

    Raises:
        ValueError: a tree leads elsewhere, or reads other columns than its estimator.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
    from sklearn.ensemble._forest import BaseForest
    from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
    from sklearn.tree import BaseDecisionTree
    from sklearn.tree._tree import Tree

    for part in within(estimator):
        if isinstance(part, BaseHistGradientBoosting) and hasattr(part, "_predictors"):
            _refuse_boosting(part, TreePredictor)
            preprocessor = getattr(part, "_preprocessor", None)  # of categories, by their columns
            if preprocessor is not None:
                _require(
                    isinstance(preprocessor, ColumnTransformer) and preprocessor.n_features_in_ == part.n_features_in_
                )
                _require(all(type(step[1]).__name__ in _OF_COLUMNS for step in preprocessor.transformers_))
        elif isinstance(part, BaseDecisionTree) and hasattr(part, "tree_"):
            _require(part.n_features_in_ == part.tree_.n_features)
            _refuse_other_values(part)
        elif isinstance(part, BaseForest | GradientBoostingClassifier | GradientBoostingRegressor):
            trees = np.ravel(getattr(part, "estimators_", []))
            _require(all(isinstance(tree, BaseDecisionTree) for tree in trees))
            _require(all(tree.n_features_in_ == part.n_features_in_ for tree in trees))
            if isinstance(part, BaseForest):
                _require(all(_outputs(tree) == _outputs(part) for tree in trees))
            if not isinstance(part, BaseForest) and len(trees):  # a column of trees for each column that is summed up
                n_classes = len(getattr(part, "classes_", ()))
                _require(part.estimators_.shape[1:] == (n_classes if n_classes > 2 else 1,))
                _require(all(tree.tree_.value.shape[1:] == (1, 1) for tree in trees))
        elif isinstance(part, Tree):
            _refuse_tree(part)


def within(estimator: Any) -> Iterator[Any]:
    """Yield an estimator and every object that it holds, each once."""
    left, seen = [estimator], set[int]()
    while left:
        held = left.pop()
        if id(held) in seen:
            continue
        seen.add(id(held))
        yield held
        if isinstance(held, dict):
            left.extend(held.values())
        elif isinstance(held, list | tuple | set):
            left.extend(held)
        elif isinstance(held, partial):  # to look at its __dict__ would make one, and its bytes would be others
            left.extend((*held.args, *held.keywords.values()))
        elif isinstance(held, np.ndarray):
            left.extend(held.ravel() if held.dtype == object else ())
        else:
            left.extend(vars(held).values() if hasattr(held, "__dict__") else ())


def _outputs(model: Any) -> tuple[int, list[int]]:
    """Return how many numbers a tree or a forest predicts, and of classes how many there are of each."""
    return int(model.n_outputs_), [int(count) for count in np.ravel(getattr(model, "n_classes_", ()))]


def _refuse_other_values(model: Any) -> None:
    """Refuse a decision tree that says it predicts something else than the numbers that are in its nodes."""
    tree, (n_outputs, n_classes) = model.tree_, _outputs(model)
    n_labels = [len(labels) for labels in (model.classes_ if n_outputs > 1 else [model.classes_])] if n_classes else []
    _require(tree.n_outputs == n_outputs and n_labels == n_classes)
    _require(np.array_equal(tree.n_classes, n_classes or [1] * n_outputs))
    _require(tree.value.shape == (tree.node_count, n_outputs, max(n_classes, default=1)))


def _refuse_boosting(boosting: Any, kind: type) -> None:
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

    n_features = boosting.n_features_in_
    is_category = boosting._bin_mapper.is_categorical_
    _require(is_category.shape == (n_features,))
    _require(len(boosting._bin_mapper.bin_thresholds_) == n_features)
    n_classes = len(getattr(boosting, "classes_", ()))
    n_outputs = n_classes if n_classes > 2 else 1
    _require(boosting.n_trees_per_iteration_ == n_outputs)
    _require(np.shape(boosting._baseline_prediction)[1:] == (n_outputs,))
    _require(all(len(trees) == n_outputs for trees in boosting._predictors))
    for tree in (tree for trees in boosting._predictors for tree in trees):
        _require(isinstance(tree, kind))
        nodes, sets = tree.nodes, tree.raw_left_cat_bitsets
        inner = nodes[nodes["is_leaf"] == 0]
        _refuse_nodes(len(nodes), np.flatnonzero(nodes["is_leaf"] == 0), inner["left"], inner["right"])
        _require((inner["feature_idx"] >= 0) & (inner["feature_idx"] < n_features))
        _require(nodes.dtype == PREDICTOR_RECORD_DTYPE)
        for bits in (sets, tree.binned_left_cat_bitsets):
            _require(bits.shape == (len(sets), _BITSET) and bits.dtype == np.uint32)
        of_categories = inner[inner["is_categorical"] != 0]
        _require(of_categories["bitset_idx"] < len(sets))
        _require(is_category[of_categories["feature_idx"]] != 0)


def _refuse_tree(tree: Any) -> None:
    _require(0 < tree.node_count <= tree.capacity)  # or the arrays would be longer than the memory that holds them
    inner = np.flatnonzero(tree.children_left != -1)
    _refuse_nodes(tree.node_count, inner, tree.children_left[inner], tree.children_right[inner])
    _require((tree.feature[inner] >= 0) & (tree.feature[inner] < tree.n_features))


def _refuse_nodes(n_nodes: int, inner: Any, left: Any, right: Any) -> None:
    """Refuse nodes of which one leads back or beyond the last."""
    _require(n_nodes > 0)
    for child in (left, right):
        _require((child > inner) & (child < n_nodes))


def _require(held: Any) -> None:
    if not np.all(held):
        raise ValueError("one of its trees refers to a node that does not exist")
