"""Distances between what the base computes: a network's last hidden layer, a boosting's groups of trees.

This is the paper's choice of φ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from resmem_cli.errors import UsageError
from resmem_cli.model import cost
from resmem_cli.model.arrays import Arrays, Floats
from resmem_cli.model.bases import Base, Problem
from resmem_cli.model.scaling import Encoded
from resmem_cli.model.spaces.protocol import Position, Untrained, fits_single_precision, looked_at
from resmem_cli.model.spaces.training import ResidualKind, Training


@dataclass(frozen=True)
class OfModel(Untrained):
    """The base's own representation."""

    name: ClassVar[str] = "model"

    @classmethod
    def untrained_names(cls, base: Base, X: Floats, problem: Problem) -> tuple[str, ...]:
        points = base.represent(looked_at(X))
        # The terms of a linear model of many columns are neither few nor what it computes on its way.
        is_wide = points is not None and points.shape[1] >= len(problem.n_categories) > cost.WIDE
        return () if points is None or is_wide or not fits_single_precision(points) else (cls.name,)

    @classmethod
    def fit(cls, variant: str, training: Training, residuals: ResidualKind) -> Self:
        return cls()

    def represent(self, rows: Encoded, base: Base, predictions: Floats) -> Position:
        known = rows.represented.get(id(base))
        points = base.represent(rows.X) if known is None else known
        if points is None:
            raise UsageError(
                "this base has no representation of its own", "choose another --representation, for example features"
            )
        return Position(points)

    def to_arrays(self) -> Arrays:
        return {}

    @classmethod
    def restore(cls, variant: str, arrays: Arrays) -> Self:
        return cls()

    def belongs(self, problem: Problem, n_columns: int) -> bool:
        return True  # how many columns a base computes is known when it has computed them
