"""The whole model: bases, what they left unexplained, and their sum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resmem_cli.model import conformal, kernel
from resmem_cli.model.arrays import Floats, Singles
from resmem_cli.model.bases import Base
from resmem_cli.model.combination import combined
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memory import Cells, Memory
from resmem_cli.model.representation import Representation

_HELD_RESIDUALS = 4_000_000  # of neighbours, at once


@dataclass(frozen=True)
class Prediction:
    """[n, outputs] predictions without and with the memory: numbers, or probabilities of the classes."""

    base: Floats
    resmem: Floats


@dataclass(frozen=True)
class Corrected:
    """A base model with a memory of its residuals.

    Attributes:
        base: the position of the base among the model's.
    """

    base: int
    representation: Representation
    memory: Memory
    settings: Settings

    def correct(self, X: Floats, base: Base, predictions: Floats, threads: int) -> Floats:
        """Return [n, outputs] corrected predictions of [n, d] encoded rows."""
        settings = self.settings
        n_rows = max(1, _HELD_RESIDUALS // (settings.n_neighbors * predictions.shape[1]))
        corrected = []
        for start in range(0, len(X), n_rows):
            of_base = predictions[start : start + n_rows]
            queries = self.representation.represent(X[start : start + n_rows], base, of_base)
            distances, cells = self.memory.neighbors(queries.points, settings.n_neighbors, threads)
            weights = kernel.weights(
                distances, self.memory.counts[cells], settings.bandwidth, is_relative=settings.is_relative
            )
            correction = kernel.correction(weights, self.memory.residuals[cells], queries.trend)
            tempered = kernel.tempered(of_base, settings.temperature)
            corrected.append(kernel.corrected(tempered, correction, settings.shrinkage))
        return np.concatenate(corrected) if corrected else predictions

    def spread(self, X: Floats, base: Base, predictions: Floats, threads: int) -> Floats:
        """Return [n] how much the residuals of the neighbours differ of [n, d] encoded rows, numbers predicted."""
        k = self.settings.n_neighbors
        n_rows = max(1, _HELD_RESIDUALS // k)
        spreads = [np.empty(0)]
        for start in range(0, len(X), n_rows):
            of_base = predictions[start : start + n_rows]
            queries = self.representation.represent(X[start : start + n_rows], base, of_base)
            _, cells = self.memory.neighbors(queries.points, k, threads)
            spreads.append(conformal.spread(self.memory.residuals[cells, 0], self.memory.counts[cells]))
        return np.concatenate(spreads)


@dataclass(frozen=True)
class Remembered:
    """A base with the memory that was built for it, and what it was built of.

    Attributes:
        corrected: the base with its memory.
        cells: the [n] cell that each memorised row fell into, among others.
        residuals: [n, outputs] of each row, so that rows can be added and taken away.
        most_cells: how many there may be, or None for any number.
        points: [n, p] of each row, where cells are condensed; otherwise they are those of its cell.
    """

    corrected: Corrected
    cells: Cells
    residuals: Floats
    most_cells: int | None = None
    points: Singles | None = None


@dataclass(frozen=True)
class ResMem:
    """Bases with memories of their residuals; a pure function of a batch of rows.

    Attributes:
        bases: the first is the one to beat.
        members, weights: the corrected models whose weighted mean is the prediction; the weights sum to 1.
    """

    bases: tuple[Base, ...]
    members: tuple[Corrected, ...]
    weights: tuple[float, ...]

    def predict(self, X: Floats, *, threads: int = 1) -> Prediction:
        """Predict [n, d] encoded rows."""
        asked = {0, *(member.base for member in self.members)} if self.uses_memory else {0}
        of_bases = {i: self.bases[i].predict(X) for i in sorted(asked)}
        if not self.uses_memory:
            return Prediction(of_bases[0], of_bases[0])
        corrected = [m.correct(X, self.bases[m.base], of_bases[m.base], threads) for m in self.members]
        return Prediction(of_bases[0], combined(corrected, np.array(self.weights)))

    def spread(self, X: Floats, *, threads: int = 1) -> Floats:
        """Return [n] how much the residuals of neighbours differ, in the mean over the memories."""
        each = [m.spread(X, self.bases[m.base], self.bases[m.base].predict(X), threads) for m in self.members]
        return np.asarray(np.average(each, axis=0, weights=self.weights))

    @property
    def uses_memory(self) -> bool:
        """Whether a prediction can differ from the first base's."""
        return any(member.settings.shrinkage > 0 or member.base > 0 for member in self.members)
