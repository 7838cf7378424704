"""Distances between the vectors of one column, such as the embeddings of texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from resmem_cli.model.arrays import WHOLE, Arrays, Floats, stored
from resmem_cli.model.bases import Base, Problem
from resmem_cli.model.scaling import Encoded
from resmem_cli.model.spaces.protocol import Position, Untrained
from resmem_cli.model.spaces.training import ResidualKind, Training


@dataclass(frozen=True)
class Column(Untrained):
    """A column of vectors as it is.

    Attributes:
        column: its name.
        start, stop: the encoded columns that it fills.
    """

    column: str
    start: int
    stop: int

    @property
    def name(self) -> str:
        return _name(self.column)

    @classmethod
    def has_variant(cls, variant: str) -> bool:
        return bool(variant)

    @classmethod
    def untrained_names(cls, base: Base, X: Floats, problem: Problem) -> tuple[str, ...]:
        return tuple(map(_name, problem.vectors))

    @classmethod
    def fit(cls, variant: str, training: Training, residuals: ResidualKind) -> Self:
        return cls(variant, *training.problem.vectors[variant])

    def represent(self, rows: Encoded, base: Base, predictions: Floats) -> Position:
        return Position(rows.X[:, self.start : self.stop].astype(np.float32))

    def to_arrays(self) -> Arrays:
        return {"columns": np.array([self.start, self.stop])}

    @classmethod
    def restore(cls, variant: str, arrays: Arrays) -> Self:
        return cls(variant, *stored(arrays, "columns", WHOLE, 2).tolist())

    def belongs(self, problem: Problem, n_columns: int) -> bool:
        place = (self.start, self.stop)
        return problem.vectors.get(self.column) == place and self.stop - self.start == n_columns


def _name(column: str) -> str:
    return f"column:{column}"
