"""What the settings of a grid make of a fold's held-out rows, whose neighbours were searched once.

Every setting reads the same arrays: the first k of the neighbours, weighted by any bandwidth, added by any shrinkage.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from resmem_cli.model import conformal, kernel
from resmem_cli.model.arrays import Floats
from resmem_cli.model.fitting import Place
from resmem_cli.model.folds import Fold
from resmem_cli.model.kernel import Settings
from resmem_cli.model.metrics import row_loss
from resmem_cli.model.representation import LEARNED

_MOST_SCORED = 100_000  # held-out rows times classes that the grid is scored on
_HELD_RESIDUALS = 500_000  # of neighbours, at once


@dataclass(frozen=True)
class Grid:
    """The settings that are tried: every combination of these, in every place.

    Attributes:
        neighbors, bandwidths, shrinkages, temperatures: the values of each setting.
        is_relative: whether the bandwidths are fractions of the distance to the last neighbour.
        own_bandwidths: distances that are tried as well where an encoder was trained, in units of its own τ.
    """

    neighbors: tuple[int, ...] = (4, 8, 16, 32, 64, 128)
    bandwidths: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4, 0.8)
    shrinkages: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.5, 2.25)
    temperatures: tuple[float, ...] = (1.0, 1.5, 2.5)
    is_relative: bool = True
    own_bandwidths: tuple[float, ...] = (0.4, 0.7, 1.0)

    def widths(self, representation: str) -> list[tuple[float, bool]]:
        """Return the bandwidths for a representation, each with whether it is relative."""
        own = self.own_bandwidths if representation.startswith(LEARNED) else ()
        return [(h, self.is_relative) for h in self.bandwidths] + [(h, False) for h in own]

    def settings(self, representation: str) -> list[Settings]:
        """Return every combination for a representation, in the order of `grid_losses`."""
        widths = self.widths(representation)
        combinations = itertools.product(self.temperatures, self.neighbors, widths, self.shrinkages)
        return [Settings(k, h, is_relative, gamma, t) for t, k, (h, is_relative), gamma in combinations]

    @property
    def is_forced(self) -> bool:
        """Whether the user chose a shrinkage above 0, so that the gain is not asked."""
        return len(self.shrinkages) == 1 and self.shrinkages[0] > 0


def grid_losses(fold: Fold, place: Place, grid: Grid, objective: str) -> Floats:
    """Return the mean held-out loss of every setting of the grid, in the order of `Grid.settings`."""
    view = fold.views[place]
    total = np.zeros(len(grid.settings(place.representation)))
    for part in _parts(fold, max(grid.neighbors)):
        near = part.views[place]
        counts = view.counts[near.cells]
        weights = [
            kernel.weights(near.distances[:, :k], counts[:, :k], h, is_relative=is_relative)
            for k, (h, is_relative) in itertools.product(grid.neighbors, grid.widths(place.representation))
        ]
        losses = []
        for temperature in grid.temperatures:
            predictions = kernel.tempered(part.predictions[place.base], temperature)
            residuals = view.residuals[temperature][near.cells]
            for weight in weights:
                correction = kernel.correction(weight, residuals[:, : weight.shape[1]], near.trend)
                for shrinkage in grid.shrinkages:
                    loss = row_loss(part.y, kernel.corrected(predictions, correction, shrinkage), objective)
                    losses.append(float(loss @ part.weight))
        total += losses
    mean: Floats = total / fold.weight.sum()
    return mean


def predictions(fold: Fold, place: Place, settings: Settings) -> Floats:
    """Return the [q, outputs] corrected predictions of one setting."""
    view = fold.views[place]
    residuals = view.residuals[settings.temperature]
    found = []
    for part in _parts(fold, settings.n_neighbors):
        near = part.views[place]
        cells, distances = near.cells[:, : settings.n_neighbors], near.distances[:, : settings.n_neighbors]
        weight = kernel.weights(distances, view.counts[cells], settings.bandwidth, is_relative=settings.is_relative)
        predictions = kernel.tempered(part.predictions[place.base], settings.temperature)
        correction = kernel.correction(weight, residuals[cells], near.trend)
        found.append(kernel.corrected(predictions, correction, settings.shrinkage))
    return np.concatenate(found)


def spreads(fold: Fold, place: Place, settings: Settings) -> Floats:
    """Return [q] how much the residuals of each held-out row's neighbours differ, of numbers."""
    view = fold.views[place]
    residuals = view.residuals[settings.temperature][:, 0]
    found = []
    for part in _parts(fold, settings.n_neighbors):
        cells = part.views[place].cells[:, : settings.n_neighbors]
        found.append(conformal.spread(residuals[cells], view.counts[cells]))
    return np.concatenate(found)


def thinned(fold: Fold, n_folds: int) -> Fold:
    """Return evenly spaced rows of a fold that is larger than scoring the whole grid is worth."""
    step = -(-fold.predictions[0].size * n_folds // _MOST_SCORED)
    return fold.take(np.arange(0, len(fold.y), max(step, 1)))


def _parts(fold: Fold, n_neighbors: int) -> Iterator[Fold]:
    """Cut a fold into parts whose neighbours' residuals are few enough to hold."""
    n_rows = max(1, _HELD_RESIDUALS // (n_neighbors * fold.predictions[0].shape[1]))
    for start in range(0, len(fold.y), n_rows):
        yield fold.take(np.arange(start, min(start + n_rows, len(fold.y))))
