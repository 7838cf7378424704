"""The whole model: bases, what they left unexplained, and their sum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from resmem_cli.model import conformal, kernel
from resmem_cli.model.arrays import Floats, Integers, Singles
from resmem_cli.model.bases import Base
from resmem_cli.model.combination import combined
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memory import Cells, Memory
from resmem_cli.model.representation import Representation

_HELD_RESIDUALS = 4_000_000  # of neighbours, at once


@dataclass(frozen=True)
class Prediction:
    """Predictions of n rows, and where they lie if that was asked for.

    Attributes:
        base, resmem: [n, outputs] without and with the memory: numbers, or probabilities of the classes.
        spread: [n] how much the residuals of a row's neighbours differ, in the mean over the memories; of numbers.
        distance: [n] from the nearest cell of the first memory.
    """

    base: Floats
    resmem: Floats
    spread: Floats | None = None
    distance: Floats | None = None


@dataclass(frozen=True)
class Near:
    """The neighbours of n rows in one memory, nearest first.

    Attributes:
        cells, distances: [n, k].
        weights: [n, k] they sum to 1 per row.
        trend: [n, outputs] what is added to a neighbour's residual, or None.
    """

    cells: Integers
    distances: Floats
    weights: Floats
    trend: Floats | None


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

    def near(self, X: Floats, base: Base, predictions: Floats, threads: int) -> Near:
        """Return the neighbours of [n, d] encoded rows, of which the base predicts [n, outputs]."""
        settings = self.settings
        queries = self.representation.represent(X, base, predictions)
        distances, cells = self.memory.neighbors(queries.points, settings.n_neighbors, threads)
        counts = self.memory.counts[cells]
        weights = kernel.weights(distances, counts, settings.bandwidth, is_relative=settings.is_relative)
        return Near(cells, distances, weights, queries.trend)

    def correct(self, near: Near, predictions: Floats) -> Floats:
        """Return [n, outputs] predictions of the base with what the neighbours add."""
        correction = kernel.correction(near.weights, self.memory.residuals[near.cells], near.trend)
        tempered = kernel.tempered(predictions, self.settings.temperature)
        return kernel.corrected(tempered, correction, self.settings.shrinkage)

    def spread(self, near: Near) -> Floats:
        """Return [n] how much the residuals of the neighbours differ, of numbers."""
        return conformal.spread(self.memory.residuals[near.cells, 0], self.memory.counts[near.cells])


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

    def predict(self, X: Floats, *, threads: int = 1, with_place: bool = False) -> Prediction:
        """Predict [n, d] encoded rows; `with_place` says also where they lie among what is remembered."""
        searches = self.uses_memory or with_place
        asked = {0, *(member.base for member in self.members)} if searches else {0}
        of_bases = {i: self.bases[i].predict(X) for i in sorted(asked)}
        base = of_bases[0]
        if not searches:
            return Prediction(base, base)
        resmem, spread, distance = np.empty_like(base), np.empty(len(X)), np.empty(len(X))
        has_spread = with_place and base.shape[1] == 1
        most_neighbors = max(member.settings.n_neighbors for member in self.members)
        n_rows = max(1, _HELD_RESIDUALS // (most_neighbors * base.shape[1] * len(self.members)))
        for start in range(0, len(X), n_rows):
            part = slice(start, start + n_rows)
            own_bases = {i: each[part] for i, each in of_bases.items()}
            near = self.near(X[part], own_bases, threads)
            resmem[part] = self.correct(near, own_bases)
            distance[part] = near[0].distances[:, 0]
            if has_spread:
                spreads = [m.spread(own) for m, own in zip(self.members, near, strict=True)]
                spread[part] = np.average(spreads, axis=0, weights=self.weights)
        after = resmem if self.uses_memory else base
        return Prediction(base, after, spread if has_spread else None, distance if with_place else None)

    def near(self, X: Floats, of_bases: Mapping[int, Floats], threads: int = 1) -> list[Near]:
        """Return per memory the neighbours of [n, d] encoded rows, of which the bases predict [n, outputs]."""
        return [m.near(X, self.bases[m.base], of_bases[m.base], threads) for m in self.members]

    def correct(self, near: Sequence[Near], of_bases: Mapping[int, Floats]) -> Floats:
        """Return the [n, outputs] weighted mean of the corrected models, from what `near` was asked of."""
        each = [m.correct(own, of_bases[m.base]) for m, own in zip(self.members, near, strict=True)]
        return combined(each, np.array(self.weights))

    @property
    def uses_memory(self) -> bool:
        """Whether a prediction can differ from the first base's."""
        return any(member.settings.shrinkage > 0 or member.base > 0 for member in self.members)
