"""The trees of histogram boosting in a few arrays: one file for each part of each tree takes a millisecond to read."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

_TREES = "_predictors"  # where scikit-learn keeps them: a list for every iteration
# Of a tree: what it is made of, one after the other in the arrays of all trees.
_PARTS = ("nodes", "binned_left_cat_bitsets", "raw_left_cat_bitsets")


def pack(estimator: Any) -> Any:
    """Return histogram boosting, or a list of them, with its trees in a few arrays; anything else as it is."""
    if isinstance(estimator, list):
        return [pack(part) for part in estimator]
    if not _is_fitted(estimator):
        return estimator
    trees = [tree for iteration in getattr(estimator, _TREES) for tree in iteration]
    packed: dict[str, Any] = {"per_iteration": np.array([len(trees) for trees in getattr(estimator, _TREES)])}
    for part in _PARTS:
        arrays = [getattr(tree, part) for tree in trees]
        packed[part] = np.concatenate(arrays)
        packed[f"n_{part}"] = np.array([len(array) for array in arrays])
    return _with_trees(estimator, packed)


def unpack(estimator: Any) -> Any:
    """Return what was packed.

    Raises:
        ValueError: the arrays are not those of trees.
    """
    if isinstance(estimator, list):
        return [unpack(part) for part in estimator]
    if not _is_fitted(estimator) or not isinstance(getattr(estimator, _TREES), dict):
        return estimator
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

    packed = getattr(estimator, _TREES)
    kinds = (PREDICTOR_RECORD_DTYPE, np.dtype(np.uint32), np.dtype(np.uint32))
    parts = [_split(packed[part], packed[f"n_{part}"], dtype) for part, dtype in zip(_PARTS, kinds, strict=True)]
    trees = iter([TreePredictor(*arrays) for arrays in zip(*parts, strict=True)])
    iterations = [[next(trees) for _ in range(n)] for n in packed["per_iteration"].tolist()]
    if next(trees, None) is not None:
        raise ValueError("there are more trees than iterations hold")
    return _with_trees(estimator, iterations)


def _is_fitted(estimator: Any) -> bool:
    from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting

    return isinstance(estimator, BaseHistGradientBoosting) and hasattr(estimator, _TREES)


def _with_trees(estimator: Any, trees: Any) -> Any:
    other = copy.copy(estimator)
    setattr(other, _TREES, trees)
    return other


def _split(whole: Any, lengths: Any, dtype: np.dtype[Any]) -> list[Any]:
    if not isinstance(whole, np.ndarray) or whole.dtype != dtype or lengths.min(initial=0) < 0:
        raise ValueError("the arrays are not those of trees")
    if lengths.sum() != len(whole):
        raise ValueError("the arrays of the trees are longer or shorter than they say")
    return np.split(whole, np.cumsum(lengths)[:-1])
