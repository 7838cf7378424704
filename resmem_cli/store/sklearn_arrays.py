"""Whether the arrays in an estimator belong together: where scikit-learn hands them to C, it does not look.

A file whose hashes and types are in order can hold a support vector machine without its vectors or neighbours that are
not there: predicting would read, or write, foreign memory.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np


def refuse_unfitting(estimator: Any) -> None:
    """Refuse one estimator, not those within it, unless its arrays have the shapes that it says.

    Raises:
        ValueError: they have not.
    """
    from sklearn.linear_model._base import LinearClassifierMixin, LinearModel
    from sklearn.neighbors._base import NeighborsBase
    from sklearn.neural_network._multilayer_perceptron import BaseMultilayerPerceptron
    from sklearn.preprocessing import OneHotEncoder
    from sklearn.svm._base import BaseLibSVM

    if isinstance(estimator, BaseLibSVM) and hasattr(estimator, "support_vectors_"):
        _refuse_vectors(estimator)
    elif isinstance(estimator, NeighborsBase) and hasattr(estimator, "_fit_X"):
        _refuse_neighbours(estimator)
    elif isinstance(estimator, OneHotEncoder) and hasattr(estimator, "categories_"):
        _require(len(estimator.categories_) == estimator.n_features_in_)
        _require(list(estimator._n_features_outs) == list(estimator._compute_n_features_outs()))
        _require(min(estimator._n_features_outs, default=0) >= 0)
    elif isinstance(estimator, BaseMultilayerPerceptron) and hasattr(estimator, "coefs_"):
        _refuse_layers(estimator)
    elif isinstance(estimator, LinearModel | LinearClassifierMixin) and hasattr(estimator, "coef_"):
        _refuse_lines(estimator)


def _refuse_vectors(machine: Any) -> None:
    """Refuse a support vector machine of which libsvm would read more than there is."""
    from sklearn.svm import SVC, SVR, NuSVC, NuSVR

    kind = next((known for known in (SVC, NuSVC, SVR, NuSVR) if type(machine) is known), None)
    _require(kind is not None and "_impl" not in vars(machine))  # or libsvm would take it for another kind
    _require(not machine._sparse)  # of which there is none, because no sparse matrix is trusted
    vectors, coefficients = machine.support_vectors_, machine._dual_coef_
    is_classifier = kind in (SVC, NuSVC)
    n_classes = len(machine.classes_) if is_classifier else 2
    n_pairs = n_classes * (n_classes - 1) // 2
    n_vectors = len(machine.support_)
    _require(n_classes > 1 and len(machine._n_support) == n_classes)
    _require(np.all(machine.n_support_ >= 0) and machine.n_support_.sum() == n_vectors)
    _require(coefficients.shape == (n_classes - 1, n_vectors))
    _require(machine._intercept_.shape == (n_pairs,))
    for probabilities in (machine._probA, machine._probB):
        _require(probabilities.shape in ((0,), (n_pairs,)))
    _require(machine._probA.shape == machine._probB.shape)
    if machine.kernel == "precomputed" or callable(machine.kernel):
        _require(np.all((machine.support_ >= 0) & (machine.support_ < machine.shape_fit_[0])))
        return
    _require(vectors.shape == (n_vectors, machine.n_features_in_))


def _refuse_neighbours(model: Any) -> None:
    n_rows, n_columns = model._fit_X.shape
    _require(n_rows == model.n_samples_fit_ > 0 and n_columns == model.n_features_in_)
    _require(model.n_neighbors is None or 0 < model.n_neighbors <= n_rows)
    targets = getattr(model, "_y", None)
    _require(targets is None or len(targets) == n_rows)
    classes = getattr(model, "classes_", None)
    if targets is not None and classes is not None and not isinstance(classes, list):
        _require(np.all((targets >= 0) & (targets < len(classes))))
    for value in model.effective_metric_params_.values():
        if isinstance(value, np.ndarray):
            _require(all(size == n_columns for size in value.shape))


def _refuse_layers(network: Any) -> None:
    weights, biases = network.coefs_, network.intercepts_
    _require(len(weights) == len(biases) == network.n_layers_ - 1 > 0)
    widths = [network.n_features_in_, *(layer.shape[1] for layer in weights)]
    _require(all(layer.shape == shape for layer, shape in zip(weights, pairwise(widths), strict=True)))
    _require(all(bias.shape == (width,) for bias, width in zip(biases, widths[1:], strict=True)))
    _require(widths[-1] == network.n_outputs_)


def _refuse_lines(model: Any) -> None:
    slopes, classes = model.coef_, getattr(model, "classes_", None)
    if not isinstance(slopes, np.ndarray) or not hasattr(model, "n_features_in_"):
        return  # scikit-learn multiplies sparse ones, whose shape it looks at
    _require(slopes.ndim in (1, 2) and slopes.shape[-1] == model.n_features_in_)
    n_lines = len(slopes) if slopes.ndim == 2 else 1
    _require(np.size(model.intercept_) in (1, n_lines))
    if classes is not None and isinstance(classes, np.ndarray) and classes.ndim == 1:
        _require(n_lines == (len(classes) if len(classes) > 2 else 1))


def _require(held: Any) -> None:
    if not held:
        raise ValueError("arrays in it do not belong together")
