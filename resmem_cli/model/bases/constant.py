"""The base that knows nothing but the target: its mean, or the frequencies of its classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from resmem_cli.model.arrays import FLOAT, Arrays, Floats, Singles, stored
from resmem_cli.model.bases.protocol import OfArrays, Problem
from resmem_cli.model.cost import Size


@dataclass(frozen=True)
class Constant(OfArrays):
    """With this base, the memory alone is the model: kernel regression on the neighbours.

    Attributes:
        value: [outputs] the one prediction.
    """

    reads_features: ClassVar[bool] = False
    is_constant: ClassVar[bool] = True

    value: Floats

    @classmethod
    def seconds_to_fit(cls, size: Size) -> float:
        return 0.0

    @classmethod
    def parameters(cls, problem: Problem) -> Mapping[str, Any]:
        return {}

    @classmethod
    def fit(cls, X: Floats, y: Floats, weight: Floats | None, problem: Problem, params: Mapping[str, Any]) -> Self:
        if problem.is_regression:
            return cls(np.array([np.average(y, weights=weight)]))
        counts = np.bincount(y.astype(np.int64), weights=weight, minlength=problem.n_classes)
        return cls(counts / counts.sum())

    def predict(self, X: Floats) -> Floats:
        return np.tile(self.value, (len(X), 1))

    def represent(self, X: Floats) -> Singles | None:
        return None

    def to_arrays(self) -> Arrays:
        return {"value": self.value}

    @classmethod
    def restore(cls, arrays: Arrays, estimator: Any) -> Self:
        return cls(stored(arrays, "value", FLOAT, None))

    def belongs(self, problem: Problem, width: int) -> bool:
        return len(self.value) == problem.n_outputs
