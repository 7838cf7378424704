"""The linear discriminant against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from resmem_cli.errors import UsageError
from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases import Problem, automatic
from resmem_cli.model.bases.discriminant import Discriminant
from resmem_cli.model.bases.linear import Linear
from resmem_cli.model.bases.protocol import softmax
from tests.model.examples import make_rows


def rows(n: int = 300, n_classes: int = 8, seed: int = 0) -> tuple[Floats, Floats, Problem]:
    rng = np.random.default_rng(seed)
    y = np.r_[np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)]
    X = rng.normal(size=(n_classes, 3))[y] * 2 + rng.normal(size=(n, 3))
    return X, y.astype(float), Problem((0, 0, 0), n_classes, 0)


@pytest.mark.parametrize("prior_rows", [0.5, 2.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_what_its_formula_says(prior_rows: float, weighted: bool) -> None:
    X, y, problem = rows()
    weight = np.random.default_rng(1).uniform(0.5, 2, len(y)) if weighted else None
    found = Discriminant.fit(X, y, weight, problem, {"prior_rows": prior_rows})
    x = found.scaler.transform(X).astype(float)
    w = np.ones(len(y)) if weight is None else weight / weight.mean()
    centre = sum(w[i] * x[i] for i in range(len(x))) / len(x)

    def mean(of: np.ndarray) -> Floats:
        return (sum(w[i] * x[i] for i in of) + prior_rows * centre) / (w[of].sum() + prior_rows)

    covariance = np.zeros((3, 3))
    for i in range(len(x)):
        left = x[i] - mean(np.flatnonzero((y == y[i]) & (np.arange(len(x)) != i)))
        covariance += w[i] * np.outer(left, left) / len(x)
    covariance += 1e-3 * covariance.trace() / 3 * np.eye(3)
    scores = np.empty((len(x), 8))
    for c in range(8):
        of = np.flatnonzero(y == c)
        direction = np.linalg.solve(covariance, mean(of))
        scores[:, c] = x @ direction - mean(of) @ direction / 2 + np.log((w[of].sum() + 1) / (len(x) + 8))
    np.testing.assert_allclose(found.predict(X), softmax(scores), rtol=1e-5, atol=1e-7)


def test_a_row_of_weight_2_is_the_row_twice_in_the_means_of_its_class() -> None:
    X, y, problem = rows()
    weight = np.where(np.arange(len(y)) < 100, 2.0, 1.0)
    repeated = np.repeat(np.arange(len(y)), weight.astype(int))
    heavy = Discriminant.fit(X, y, weight, problem, {}).predict(X)
    twice = Discriminant.fit(X[repeated], y[repeated], None, problem, {}).predict(X)
    assert np.abs(heavy - twice).max() < 0.05  # the weights are 1 on average, the counts are not


def test_of_numbers_it_is_the_linear_model() -> None:
    X, y, problem = make_rows(60, 0)
    assert Discriminant.parameters(problem) == Linear.parameters(problem)
    np.testing.assert_array_equal(
        Discriminant.fit(X, y, None, problem, {}).predict(X), Linear.fit(X, y, None, problem, {}).predict(X)
    )


@pytest.mark.parametrize("value", [0, -1, True, "2", float("nan"), float("inf"), None])
def test_a_prior_that_is_no_number_above_0_is_refused(value: object) -> None:
    X, y, problem = rows(30)
    with pytest.raises(UsageError, match=r"prior_rows is .*, not a number above 0"):
        Discriminant.fit(X, y, None, problem, {"prior_rows": value})


@pytest.mark.parametrize(
    ("n_classes", "expected"),
    [(10, "boosting,network,linear,constant"), (100, "linear,constant"), (101, "discriminant")],
)
def test_it_is_the_base_of_very_many_classes(n_classes: int, expected: str) -> None:
    assert ",".join(automatic(Problem((0,), n_classes, 0), np.zeros(300), is_there=lambda _: False)) == expected
