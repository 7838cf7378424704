"""Why a prediction is what it is: the neighbours that moved it, and how far from everything remembered a row is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resmem_cli.model.arrays import Floats, Integers
from resmem_cli.model.memory import Memory
from resmem_cli.model.resmem import Corrected, Near, ResMem

_SAMPLED = 1_000  # cells whose distance from their nearest other says what is usual


@dataclass(frozen=True)
class Shares:
    """What one memory's neighbours add to the predictions of n rows.

    Attributes:
        cells: [n, k] the neighbours, nearest first.
        distances, weights: [n, k] the weights sum to 1 per row.
        residuals: [n, k, outputs] what is remembered there, with what the step from there is expected to change.
        contributions: [n, k, outputs] what each adds to the prediction.
    """

    cells: Integers
    distances: Floats
    weights: Floats
    residuals: Floats
    contributions: Floats


@dataclass(frozen=True)
class Explanation:
    """The predictions of n rows, taken apart.

    Attributes:
        base, prediction: [n, outputs] as `ResMem.predict` gives them.
        shares: per memory; of a memory that is switched off, contributions of 0.
        percentiles: [n] how far the nearest cell of the first memory is: the percentage of cells that are nearer to
            their own nearest other.
    """

    base: Floats
    prediction: Floats
    shares: tuple[Shares, ...]
    percentiles: Floats


def explain(resmem: ResMem, X: Floats, usual: Floats, *, threads: int = 1) -> Explanation:
    """Explain the predictions of [n, d] encoded rows, which are few enough to hold all their neighbours.

    Args:
        resmem: the model.
        X: the rows.
        usual: what `usual_distances` gives for the first memory.
        threads: how many.
    """
    of_bases = {i: resmem.bases[i].predict(X) for i in {0, *(member.base for member in resmem.members)}}
    near = resmem.near(X, of_bases, threads)
    prediction = resmem.correct(near, of_bases) if resmem.uses_memory else of_bases[0]
    weights = resmem.weights if resmem.uses_memory else (0.0,) * len(near)
    shares = tuple(map(_shares, resmem.members, near, weights))
    return Explanation(of_bases[0], prediction, shares, percentiles(near[0].distances[:, 0], usual))


def usual_distances(memory: Memory, *, threads: int = 1) -> Floats:
    """Return, ascending, the distances of cells (a sample) from the nearest other cell."""
    rng = np.random.default_rng(0)
    sample = rng.permutation(len(memory.counts))[:_SAMPLED]
    distances, _ = memory.neighbors(memory.index.points_at(sample), 2, threads)
    alone = distances[:, -1] if distances.shape[1] > 1 else np.zeros(len(sample))
    return np.sort(alone)


def percentiles(distances: Floats, usual: Floats) -> Floats:
    """Return [n] the percentage of the usual distances that are smaller than each of [n] distances."""
    return 100.0 * np.searchsorted(usual, distances * (1 - 1e-6), side="left") / len(usual)


def _shares(member: Corrected, near: Near, weight: float) -> Shares:
    """Return what the neighbours of a memory add, whose corrected model has this weight in the prediction."""
    residuals = member.memory.residuals[near.cells]
    if near.trend is not None:
        residuals = residuals + near.trend[:, None, :]
    contributions = weight * member.settings.shrinkage * near.weights[:, :, None] * residuals
    return Shares(near.cells, near.distances, near.weights, residuals, contributions)
