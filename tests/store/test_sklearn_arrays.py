"""Arrays of scikit-learn's that do not belong together: refused before its C reads what is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import SVC, SVR

from resmem_cli.errors import DataError, ModelError
from resmem_cli.store import estimators

X = np.random.default_rng(0).normal(size=(80, 2))
Y = X[:, 0] + X[:, 1] ** 2
CODES = np.digitize(Y, [0, 1])
HONEST: dict[str, Callable[[], Any]] = {
    "svr": lambda: SVR().fit(X, Y),
    "svr without vectors": lambda: SVR(epsilon=100).fit(X, Y),
    "svc": lambda: SVC().fit(X, CODES),
    "precomputed svr": lambda: SVR(kernel="precomputed").fit(X @ X.T, Y),
    "neighbours": lambda: KNeighborsRegressor(algorithm="brute").fit(X, Y),
    "neighbours by classes": lambda: KNeighborsClassifier(algorithm="brute").fit(X, CODES),
    "network": lambda: MLPRegressor(hidden_layer_sizes=(4, 3), max_iter=300, tol=1.0, random_state=0).fit(X, Y),
    "line": lambda: Ridge().fit(X, Y),
    "lines of classes": lambda: LogisticRegression().fit(X, CODES),
    "one-hot": lambda: make_pipeline(OneHotEncoder(), Ridge()).fit(X.round(), Y),
}


def put(name: str, value: Any, step: int | None = None) -> Callable[[Any], None]:
    """Set an attribute of an estimator, or of a step of a pipeline."""

    def change(model: Any) -> None:
        owner = model if step is None else model.steps[step][1]
        setattr(owner, name, value(getattr(owner, name)) if callable(value) else value)

    return change


def all_but_last(array: Any) -> Any:
    return array[:-1]


DAMAGED: dict[str, tuple[str, Callable[[Any], None]]] = {
    "no vectors": ("svr", put("support_vectors_", np.zeros((0, 2)))),
    "a vector too few": ("svr", put("support_vectors_", all_but_last)),
    "vectors of other columns": ("svr", put("support_vectors_", lambda v: v[:, :1].copy())),
    "more vectors than there are": ("svr", put("_n_support", lambda n: n + 10**6)),
    "coefficients too few": ("svr", put("_dual_coef_", lambda v: v[:, :-1].copy())),
    "no intercept": ("svr", put("_intercept_", np.zeros(0))),
    "numbers of it too few": ("svr", put("support_", all_but_last)),
    "one that reads sparse rows": ("svr", put("_sparse", True)),
    "another kind of machine": ("svr", lambda model: model.__dict__.update(_impl="c_svc")),
    "of three classes two": ("svc", put("classes_", all_but_last)),
    "counts of two classes": ("svc", put("_n_support", all_but_last)),
    "negative counts": ("svc", put("_n_support", lambda n: np.array([-n.sum(), n.sum(), n.sum()], n.dtype))),
    "coefficients of one pair": ("svc", put("_dual_coef_", lambda v: v[:1].copy())),
    "intercepts of one pair": ("svc", put("_intercept_", lambda v: v[:1].copy())),
    "probabilities of one pair": ("svc", put("_probA", np.zeros(1))),
    "a row that is not there": ("precomputed svr", put("support_", lambda v: v + np.int32(10**6))),
    "no neighbours": ("neighbours", put("_fit_X", np.zeros((0, 2)))),
    "fewer neighbours than asked": ("neighbours", put("n_neighbors", 81)),
    "neighbours of other columns": ("neighbours", put("_fit_X", lambda v: v[:, :1].copy())),
    "targets too few": ("neighbours", put("_y", all_but_last)),
    "rows that are said and not there": ("neighbours", put("n_samples_fit_", 10**6)),
    "weights of other columns": ("neighbours", put("effective_metric_params_", {"w": np.ones(1)})),
    "a class beyond": ("neighbours by classes", put("_y", lambda v: v + 10**6)),
    "layers that do not follow": ("network", put("coefs_", lambda layers: [layers[0], layers[0], layers[2]])),
    "biases too few": ("network", put("intercepts_", all_but_last)),
    "a slope too few": ("line", put("coef_", all_but_last)),
    "lines of other classes": ("lines of classes", put("coef_", all_but_last)),
    "columns too few": ("one-hot", put("_n_features_outs", lambda counts: [1] * len(counts), step=0)),
}


def read_by(error: type[Exception]) -> Callable[[bytes, str], Any]:
    return estimators.from_foreign if error is DataError else estimators.from_bytes


@pytest.mark.parametrize("name", HONEST)
def test_arrays_that_belong_together_are_read(name: str) -> None:
    model = HONEST[name]()
    rows = {"precomputed svr": X @ X.T, "one-hot": X.round()}.get(name, X)
    for error in (DataError, ModelError):
        read = read_by(error)(estimators.to_bytes(model), "x.skops")
        np.testing.assert_array_equal(read.predict(rows), model.predict(rows))


@pytest.mark.parametrize("name", DAMAGED)
def test_arrays_that_do_not_belong_together_are_refused(name: str) -> None:
    whose, change = DAMAGED[name]
    model = HONEST[whose]()
    change(model)
    data = estimators.to_bytes(model)
    for error in (DataError, ModelError):
        with pytest.raises(error, match=r"^x\.skops cannot be read as an estimator"):
            read_by(error)(data, "x.skops")
