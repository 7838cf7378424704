"""Distances between the features, each scaled by how much the base's predictions depend on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from resmem_cli.model.arrays import SINGLE, Arrays, Floats, Singles, stored
from resmem_cli.model.bases import Base, Problem
from resmem_cli.model.bases.sensitivity import has_sensitivity
from resmem_cli.model.scaling import Encoded, Scaler
from resmem_cli.model.spaces.protocol import Position, Untrained
from resmem_cli.model.spaces.training import ResidualKind, Training


@dataclass(frozen=True)
class Sensitivity(Untrained):
    """The scaled features times [p] how much the base's predictions depend on each."""

    name: ClassVar[str] = "sensitivity"
    scaler: Scaler
    scale: Singles

    @classmethod
    def untrained_names(cls, base: Base, X: Floats, problem: Problem) -> tuple[str, ...]:
        return (cls.name,) if has_sensitivity(base, problem) else ()

    @classmethod
    def fit(cls, variant: str, training: Training, residuals: ResidualKind) -> Self:
        return cls(training.scaler, training.feature_scale)

    def represent(self, rows: Encoded, base: Base, predictions: Floats) -> Position:
        return Position(rows.scaled(self.scaler) * self.scale)

    def to_arrays(self) -> Arrays:
        return {**self.scaler.to_arrays(), "sensitivity": self.scale}

    @classmethod
    def restore(cls, variant: str, arrays: Arrays) -> Self:
        scaler = Scaler.from_arrays(arrays)
        return cls(scaler, stored(arrays, "sensitivity", SINGLE, scaler.n_outputs))

    def belongs(self, problem: Problem, n_columns: int) -> bool:
        return self.scaler.n_categories == problem.n_categories and self.scaler.n_outputs == n_columns
