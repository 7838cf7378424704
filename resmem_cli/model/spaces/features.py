"""Distances between the features: numbers as normal scores, categories as indicators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from resmem_cli.model.arrays import Arrays, Floats
from resmem_cli.model.bases import Base, Problem
from resmem_cli.model.scaling import Encoded, Scaler
from resmem_cli.model.spaces.protocol import Position, Untrained
from resmem_cli.model.spaces.training import ResidualKind, Training


@dataclass(frozen=True)
class Features(Untrained):
    """The scaled features."""

    name: ClassVar[str] = "features"
    scaler: Scaler

    @classmethod
    def untrained_names(cls, base: Base, X: Floats, problem: Problem) -> tuple[str, ...]:
        return (cls.name,)

    @classmethod
    def fit(cls, variant: str, training: Training, residuals: ResidualKind) -> Self:
        return cls(training.scaler)

    def represent(self, rows: Encoded, base: Base, predictions: Floats) -> Position:
        return Position(rows.scaled(self.scaler))

    def to_arrays(self) -> Arrays:
        return self.scaler.to_arrays()

    @classmethod
    def restore(cls, variant: str, arrays: Arrays) -> Self:
        return cls(Scaler.from_arrays(arrays))

    def belongs(self, problem: Problem, n_columns: int) -> bool:
        return self.scaler.n_categories == problem.n_categories and self.scaler.n_outputs == n_columns
