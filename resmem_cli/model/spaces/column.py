"""Distances between the vectors of one column, such as the embeddings of texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from resmem_cli.model import cost
from resmem_cli.model.arrays import WHOLE, Arrays, Floats, stored
from resmem_cli.model.axes import Axes
from resmem_cli.model.bases import Base, Problem
from resmem_cli.model.scaling import Encoded
from resmem_cli.model.spaces.protocol import Position, Untrained, fits_single_precision, looked_at
from resmem_cli.model.spaces.training import ResidualKind, Training


@dataclass(frozen=True)
class Column(Untrained):
    """A column of vectors as it is, or the principal components of long ones.

    Attributes:
        column: its name.
        start, stop: the encoded columns that it fills.
        axes: the principal components, or None.
    """

    column: str
    start: int
    stop: int
    axes: Axes | None = None

    @property
    def name(self) -> str:
        return _name(self.column)

    @classmethod
    def has_variant(cls, variant: str) -> bool:
        return bool(variant)

    @classmethod
    def untrained_names(cls, base: Base, X: Floats, problem: Problem) -> tuple[str, ...]:
        some, places = looked_at(X), problem.vectors.items()
        return tuple(_name(column) for column, (start, stop) in places if fits_single_precision(some[:, start:stop]))

    @classmethod
    def fit(cls, variant: str, training: Training, residuals: ResidualKind) -> Self:
        start, stop = training.problem.vectors[variant]
        n_axes = cost.n_axes(stop - start)
        return cls(variant, start, stop, None if n_axes is None else Axes.fit(training.rows.X[:, start:stop], n_axes))

    def represent(self, rows: Encoded, base: Base, predictions: Floats) -> Position:
        vectors = rows.X[:, self.start : self.stop]
        return Position(vectors.astype(np.float32) if self.axes is None else self.axes.along(vectors))

    def to_arrays(self) -> Arrays:
        axes = {} if self.axes is None else self.axes.to_arrays()
        return {"columns": np.array([self.start, self.stop]), **axes}

    @classmethod
    def restore(cls, variant: str, arrays: Arrays) -> Self:
        start, stop = stored(arrays, "columns", WHOLE, 2).tolist()
        return cls(variant, start, stop, Axes.from_arrays(arrays, stop - start))

    def belongs(self, problem: Problem, n_columns: int) -> bool:
        place = (self.start, self.stop)
        width = self.stop - self.start if self.axes is None else self.axes.n_axes
        return problem.vectors.get(self.column) == place and width == n_columns


def _name(column: str) -> str:
    return f"column:{column}"
