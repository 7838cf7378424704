"""Why a prediction is what it is: the neighbours that moved it, and how far a row is from everything remembered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resmem_cli.model.arrays import Floats, Integers
from resmem_cli.model.memory.memory import Memory

_SAMPLED = 1_000  # cells whose distance from their nearest other says what is usual


@dataclass(frozen=True)
class Shares:
    """What the neighbours of n rows in one member's memory add to the predictions.

    Attributes:
        cells: [n, k] the neighbours, nearest first.
        distances, weights: [n, k] the weights sum to 1 per row.
        residuals: [n, k, outputs] what is remembered there, with the expected change from there to the row.
        contributions: [n, k, outputs] what each adds to the prediction.

    Of very many classes, residuals and contributions are [n, k, 1], of the predicted class alone.
    """

    cells: Integers
    distances: Floats
    weights: Floats
    residuals: Floats
    contributions: Floats

    def of(self, row: int, output: int) -> tuple[Floats, Floats]:
        """Return [k] residuals and [k] contributions of a row in one output, of very many classes the predicted one."""
        held = min(output, self.residuals.shape[2] - 1)
        return self.residuals[row, :, held], self.contributions[row, :, held]


@dataclass(frozen=True)
class Explanation:
    """The predictions of n rows, taken apart.

    Attributes:
        base, prediction: [n, outputs] as `ResMem.predict` gives them.
        shares: per member; contributions of 0 where the memory is switched off.
        percentiles: [n] how far the nearest cell of the first member is: the percentage of cells that are nearer to
            their own nearest other.
    """

    base: Floats
    prediction: Floats
    shares: tuple[Shares, ...]
    percentiles: Floats


def usual_distances(memory: Memory, *, threads: int = 1) -> Floats:
    """Return, ascending, the distances of cells (a sample) from the nearest other cell."""
    rng = np.random.default_rng(0)
    sample = rng.permutation(memory.n_cells)[:_SAMPLED]
    distances, _ = memory.neighbors(memory.index.points_at(sample), 2, threads)
    alone = distances[:, -1] if distances.shape[1] > 1 else np.zeros(len(sample))
    return np.sort(alone)


def percentiles(distances: Floats, usual: Floats) -> Floats:
    """Return [n] the percentage of the usual distances that are smaller than each of [n] distances."""
    return 100.0 * np.searchsorted(usual, distances * (1 - 1e-6), side="left") / len(usual)
