"""Rows to learn from, and plain-loop references to compare with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import settings

from resmem_cli.model import spaces
from resmem_cli.model.arrays import Arrays, Floats
from resmem_cli.model.bases import ESTIMATORS, Base, BaseSpec, Problem
from resmem_cli.model.bases.protocol import Usual, is_installed
from resmem_cli.model.choosing.candidates import Candidate, Choice
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.model.fit import build_member
from resmem_cli.model.kernel import Settings
from resmem_cli.model.resmem import Member
from resmem_cli.model.rows import LabelledRows, Recipe
from resmem_cli.model.spaces import Space
from resmem_cli.model.spaces.encoder import KINDS
from resmem_cli.model.spaces.learning import Schedule
from resmem_cli.model.spaces.training import Training

# Properties are tried on few examples: each is small, and two cores run the whole suite.
FEW = settings(max_examples=25, deadline=None, derandomize=True)

REGRESSION, BINARY, MULTICLASS = 0, 2, 4
TASKS = (REGRESSION, BINARY, MULTICLASS)
EVERY_TASK = pytest.mark.parametrize("n_classes", TASKS, ids={0: "regression", 2: "binary", 4: "multiclass"}.get)
LEARNED = tuple(f"learned:{kind}" for kind in KINDS)
EVERY_LEARNED = pytest.mark.parametrize("name", LEARNED)

# Two numbers, a category of three codes, a number that is sometimes missing.
N_CATEGORIES = (0, 0, 3, 0)

# Small enough to be fitted in milliseconds.
QUICK = {
    "boosting": {"max_iter": 8, "min_samples_leaf": 5},
    "poisson": {"max_iter": 8, "min_samples_leaf": 5},
    "lightgbm": {"n_estimators": 8, "learning_rate": 0.3, "min_child_samples": 5},
    "xgboost": {"n_estimators": 8, "learning_rate": 0.3, "max_depth": 4},
    "catboost": {"n_estimators": 8, "learning_rate": 0.3, "depth": 4},
    "linear": {},
    "discriminant": {},
    "mlp": {"hidden_layer_sizes": (16,), "max_iter": 15, "learning_rate_init": 0.01},
    "network": {"members": 2, "max_steps": 60, "learning_rate": 0.02},
    "constant": {},
}

# The estimators whose library is there.
INSTALLED = [name for name, base in ESTIMATORS.items() if base.package is None or is_installed(base.package)]


def make_rows(n: int, n_classes: int, seed: int = 0) -> tuple[Floats, Floats, Problem]:
    """Rows of four encoded columns with a target that depends on them, and some noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    X[:, 2] = rng.integers(0, 3, n)
    value = X[:, 0] + np.sin(3 * X[:, 1]) + X[:, 2] + 0.3 * rng.normal(size=n)
    X[rng.random(n) < 0.1, 3] = np.nan
    y = value if n_classes == 0 else np.digitize(value, np.linspace(-0.5, 2.5, n_classes - 1)).astype(np.float64)
    return X, y, Problem(N_CATEGORIES, n_classes, seed=7)


class Parrot(Usual):
    """A base that repeats the label of a row that it was fitted to; of any other row it predicts the plain mean.

    The extreme of a base that overfits: where it was fitted nothing is left to remember. Tests put it among the
    estimators by the name "parrot".
    """

    is_thread_safe = True
    package = None
    stored_as = None
    estimator = None

    def __init__(self, known: dict[bytes, Floats], mean: Floats) -> None:
        self._known, self._mean = known, mean

    @classmethod
    def parameters(cls, problem: Problem) -> Mapping[str, Any]:
        return {}

    @classmethod
    def fit(cls, X: Floats, y: Floats, weight: Floats | None, problem: Problem, params: Mapping[str, Any]) -> Self:
        labels = one_hot(y, problem.n_outputs)
        return cls({row.tobytes(): label for row, label in zip(X, labels, strict=True)}, labels.mean(axis=0))

    def predict(self, X: Floats) -> Floats:
        return np.array([self._known.get(row.tobytes(), self._mean) for row in X]).reshape(len(X), len(self._mean))

    def represent(self, X: Floats) -> None:
        return None

    def to_arrays(self) -> Arrays:
        raise NotImplementedError

    @classmethod
    def restore(cls, arrays: Arrays, estimator: Any) -> Self:
        raise NotImplementedError


def skip_if_absent(name: str) -> None:
    """Skip the test if it needs an estimator whose library is not there."""
    package = ESTIMATORS[name].package
    if package is not None and not is_installed(package):
        pytest.skip(f"{package} is not installed")


def quick_base(name: str, X: Floats, y: Floats, problem: Problem, weight: Floats | None = None) -> Base:
    skip_if_absent(name)
    return ESTIMATORS[name].fit(X, y, weight, problem, QUICK.get(name, {}))


def quick_recipe(name: str, problem: Problem, fixed: Base | None = None) -> Recipe:
    skip_if_absent(name)
    return Recipe(BaseSpec(name, QUICK.get(name, {})), problem, fixed)


def rows_of(X: Floats, y: Floats, *, weight: Floats | None = None, is_new: np.ndarray | None = None) -> LabelledRows:
    """Rows that the stored base has all seen, if that is not said."""
    return LabelledRows(X, y, weight, np.zeros(len(y), dtype=bool) if is_new is None else is_new)


def training_of(
    rows: LabelledRows,
    problem: Problem,
    *,
    estimator: str = "linear",
    base: Base | None = None,
    fixed: Base | None = None,
    n_steps: int = 3,
) -> Training:
    """Rows with a base: the one that stays, one that is given, or one that is fitted to them."""
    base = fixed or base or quick_base(estimator, rows.X, rows.y, problem, rows.weight)
    return Training(rows, base, quick_recipe(estimator, problem, fixed), Schedule(n_steps), threads=1)


def fit_space(
    name: str, base: Base, X: Floats, y: Floats, problem: Problem, *, estimator: str = "linear", n_steps: int = 2
) -> Space:
    training = training_of(rows_of(X, y), problem, estimator=estimator, base=base, n_steps=n_steps)
    return spaces.fit(name, training, "in-sample")


def member_of(
    training: Training,
    candidate: Candidate,
    setting: Settings,
    *,
    weight: float = 1.0,
    clip: bool = False,
    most_cells: int | None = None,
) -> Member:
    """The base of the rows with the memory that is built of a choice; `clip` where the folds chose the neighbours."""
    options = MemoryOptions(n_neighbors=None if clip else setting.n_neighbors, most_cells=most_cells)
    space = spaces.fit(candidate.space, training, candidate.residuals)
    return build_member(training, Choice(candidate, setting, weight), space, options)


def probabilities(rng: np.random.Generator, n: int, n_classes: int, *, ties: bool = False) -> Floats:
    """Probabilities of rows; with ties, of few different values."""
    values = rng.dirichlet(np.ones(n_classes), n)
    return np.round(values * 8 + 0.5) / np.round(values * 8 + 0.5).sum(axis=1, keepdims=True) if ties else values


def numbers(n: int = 80, seed: int = 0) -> tuple[Floats, Floats, Floats, Floats]:
    """Targets, predictions of a base and better ones, weights."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n)
    return y, (y + rng.normal(size=n))[:, None], (y + 0.5 * rng.normal(size=n))[:, None], rng.uniform(0.1, 4, n)


def classes(
    n_classes: int, n: int = 120, seed: int = 0, *, ties: bool = False
) -> tuple[Floats, Floats, Floats, Floats]:
    """Class codes, two predictions of their probabilities that know nothing, weights."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % n_classes).astype(np.float64)
    base, resmem = (probabilities(rng, n, n_classes, ties=ties) for _ in range(2))
    return y, base, resmem, rng.uniform(0.1, 4, n)


def one_hot(y: Floats, n_outputs: int) -> Floats:
    """The targets as the predictions that would be perfect."""
    return y[:, None] if n_outputs == 1 else np.eye(n_outputs)[y.astype(np.int64)]


def remembered_as(labels: Floats, base: Floats) -> Floats:
    """What is predicted where the memory knows the labels: numbers exactly, of probabilities the base keeps 1 %."""
    return labels if labels.shape[1] == 1 else 0.99 * labels + 0.01 * base


def corrected_by_loops(
    distances: list[float],
    counts: list[float],
    residuals: list[list[float]],
    prediction: list[float],
    *,
    bandwidth: float,
    is_relative: bool,
    shrinkage: float,
    temperature: float,
) -> list[float]:
    """The prediction of one row as the paper's formulas say it (with our counts, shrinkage and temperature)."""
    h = bandwidth * distances[-1] if is_relative else bandwidth
    w = [c * math.exp(-d / h) for d, c in zip(distances, counts, strict=True)]
    w = [value / sum(w) for value in w]
    g = [sum(w[j] * residuals[j][c] for j in range(len(w))) for c in range(len(prediction))]
    if len(prediction) == 1:
        return [prediction[0] + shrinkage * g[0]]
    powers = [math.exp(math.log(p) / temperature) for p in prediction]
    summed = [p / sum(powers) + shrinkage * g[c] for c, p in enumerate(powers)]
    clipped = [min(max(value, 0.0), 1.0) for value in summed]
    return [0.99 * value / sum(clipped) + 0.01 * p / sum(powers) for value, p in zip(clipped, powers, strict=True)]
