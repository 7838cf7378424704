"""What a base model is to the rest: fitted, asked for predictions and a representation, stored, restored."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np

from resmem_cli.errors import UsageError
from resmem_cli.model.arrays import Arrays, Floats, Singles


@dataclass(frozen=True)
class Problem:
    """What is to be learned.

    Attributes:
        n_categories: [d] how many codes each encoded column can hold, 0 for a number.
        n_classes: how many classes the target has, 0 for regression.
        seed: what every random step starts from.
    """

    n_categories: tuple[int, ...]
    n_classes: int
    seed: int

    @property
    def is_regression(self) -> bool:
        return self.n_classes == 0

    @property
    def n_outputs(self) -> int:
        """The columns of a prediction: the number itself, or one probability per class."""
        return self.n_classes or 1


@dataclass(frozen=True)
class BaseSpec:
    """Which estimator, with which parameters of its own."""

    estimator: str
    params: Mapping[str, Any] = field(default_factory=dict)


class Base(Protocol):
    """A fitted base model."""

    @classmethod
    def parameters(cls, problem: Problem) -> Mapping[str, Any]:
        """The names and defaults of the parameters that `fit` takes."""
        ...

    @classmethod
    def fit(cls, X: Floats, y: Floats, weight: Floats | None, problem: Problem, params: Mapping[str, Any]) -> Self:
        """Fit on [n, d] encoded rows and their [n] targets (class codes from 0 for classification).

        Raises:
            UsageError: a parameter has a value that the estimator refuses.
        """
        ...

    def predict(self, X: Floats) -> Floats:
        """Return [n, 1] numbers, or [n, n_classes] probabilities."""
        ...

    def represent(self, X: Floats) -> Singles | None:
        """Return [n, p] what the model computes on its way to a prediction, or None if there is no such thing."""
        ...

    # What has to be stored: arrays, and where arrays do not suffice, a scikit-learn estimator.
    def to_arrays(self) -> Arrays: ...

    @property
    def estimator(self) -> Any: ...

    @classmethod
    def restore(cls, arrays: Arrays, estimator: Any) -> Self: ...


class FromSklearn:
    """How the bases that scikit-learn fits are asked for: our defaults, then the user's parameters."""

    @classmethod
    def sklearn_class(cls, problem: Problem) -> Any:
        raise NotImplementedError

    @classmethod
    def defaults(cls, problem: Problem) -> dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def parameters(cls, problem: Problem) -> Mapping[str, Any]:
        signature = inspect.signature(cls.sklearn_class(problem).__init__).parameters.values()
        own = {p.name: p.default for p in signature if p.name not in ("self", "random_state", "categorical_features")}
        return own | cls.defaults(problem)

    @classmethod
    def unfitted(cls, problem: Problem, params: Mapping[str, Any]) -> Any:
        """Return the estimator, seeded, with our defaults where `params` say nothing."""
        return cls.sklearn_class(problem)(**{**cls.defaults(problem), **params, "random_state": problem.seed})


@contextmanager
def fitting(params: Mapping[str, Any]) -> Iterator[None]:
    """Turn scikit-learn's refusal of the user's parameters into a sentence of ours."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # Few iterations are the user's choice or our default's; the folds judge what comes of them.
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        try:
            yield
        except ValueError as error:
            if not params:  # then it is not a parameter's fault
                raise
            raise UsageError(" ".join(str(error).split()).rstrip("."), "correct the --param") from error


def spread_classes(probabilities: Floats, present: Any, n_classes: int) -> Floats:
    """Place [n, m] probabilities of the classes present in training into [n, n_classes]; absent classes get 0."""
    if len(present) == n_classes:
        return np.asarray(probabilities, dtype=np.float64)
    spread = np.zeros((len(probabilities), n_classes))
    # Of one class alone the estimators still give the two columns of a binary model.
    spread[:, np.asarray(present, dtype=np.int64)] = probabilities if len(present) > 1 else 1.0
    return spread


def softmax(logits: Floats) -> Floats:
    """Return exp(logits) normalised over the last axis, computed without overflow."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    normalised: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return normalised
