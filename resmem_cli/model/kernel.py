"""The correction: a kernel-weighted mean of remembered residuals, added to the base's prediction.

    d_j   = ||φ(x) - φ_j||_2
    w_j   = c_j exp(-d_j / h) over the k nearest, normalised to sum 1
    g(x)  = Σ w_j r_j
    y'(x) = f_T(x) + γ g(x)              (classes: clipped to [0, 1], renormalised, and mixed with 1 % of f_T)

(ResMem, Yang et al. 2023, section 2; the counts c_j, the shrinkage γ and the temperature T are ours.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases.protocol import softmax

# The smallest probability that is told from 0 in a logarithm.
TINY = 1e-12
# The share of the base's probabilities that no correction takes away. Without it, neighbours that never had a class
# give it exactly 0, and one such row costs a log-loss of 27.6. Larger shares are no better (docs/decisions.md).
KEPT = 0.01


@dataclass(frozen=True)
class Settings:
    """How the memory is used.

    Attributes:
        n_neighbors: k, at least 1.
        bandwidth: h; 0 is the nearest cell alone, infinity the plain mean.
        is_relative: whether the bandwidth is a fraction of the distance to the k-th neighbour (it then adapts to
            how densely the rows lie) or a distance.
        shrinkage: γ; 0 leaves the base as it is, 1 is the paper's.
        temperature: T of the base's probabilities before residuals are taken; 1 for regression.
    """

    n_neighbors: int
    bandwidth: float
    is_relative: bool = True
    shrinkage: float = 1.0
    temperature: float = 1.0


class Corrections:
    """The corrected predictions of n rows under any settings; what settings have in common is computed once.

    Attributes:
        base: [n, outputs] predictions of the base.
        distances: [n, k] of the nearest cells, ascending in each row.
        counts: [n, k] how many rows (or how much weight) each of these cells stands for.
        residuals: gives, for a temperature, the [n, k, outputs] residuals of these cells.
        trend: [n, outputs] is added to every correction; None where the space has none.
    """

    def __init__(
        self,
        base: Floats,
        distances: Floats,
        counts: Floats,
        residuals: Callable[[float], Floats],
        trend: Floats | None = None,
    ) -> None:
        self.base, self.distances, self.counts, self.trend = base, distances, counts, trend
        self._residuals_at = residuals
        self._weights: dict[tuple[int, float, bool], Floats] = {}
        self._last: dict[str, tuple[object, Floats]] = {}

    def predictions(self, settings: Settings) -> Floats:
        """Return y', [n, outputs]."""
        tempered_base = self._once("base", settings.temperature, lambda: tempered(self.base, settings.temperature))
        return corrected(tempered_base, self.correction(settings), settings.shrinkage)

    def correction(self, settings: Settings) -> Floats:
        """Return g, [n, outputs]."""
        key = (settings.n_neighbors, settings.bandwidth, settings.is_relative, settings.temperature)
        return self._once("correction", key, lambda: self._correction(settings))

    def weights(self, settings: Settings) -> Floats:
        """Return w, [n, k] of the settings (all neighbours, if there are fewer)."""
        key = (settings.n_neighbors, settings.bandwidth, settings.is_relative)
        if key not in self._weights:
            nearest = slice(0, settings.n_neighbors)
            self._weights[key] = weights(
                self.distances[:, nearest],
                self.counts[:, nearest],
                settings.bandwidth,
                is_relative=settings.is_relative,
            )
        return self._weights[key]

    def residuals(self, settings: Settings) -> Floats:
        """Return r, [n, k, outputs] of the settings."""
        every = self._once("residuals", settings.temperature, lambda: self._residuals_at(settings.temperature))
        return every[:, : settings.n_neighbors]

    def _correction(self, settings: Settings) -> Floats:
        return correction(self.weights(settings), self.residuals(settings), self.trend)

    def _once(self, name: str, key: object, compute: Callable[[], Floats]) -> Floats:
        """Return what was computed last under this name, if it was for the same key."""
        if name not in self._last or self._last[name][0] != key:
            self._last[name] = key, compute()
        return self._last[name][1]


def weights(distances: Floats, counts: Floats, bandwidth: float, *, is_relative: bool) -> Floats:
    """Return [n, k] neighbour weights that sum to 1 in each row.

    Args:
        distances: [n, k] Euclidean, ascending in each row.
        counts: [n, k] how many rows (or how much weight) each neighbour cell stands for.
        bandwidth: h, or the fraction of the last distance that makes h.
        is_relative: which of the two.
    """
    # Distances are taken from the nearest one: the weights are the same, and one of them is always exp(0).
    weights: Floats = distances - distances[:, :1]
    # As h goes to 0 only the nearest remain; where every distance is 0 all are nearest.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        width = bandwidth * distances[:, -1:] if is_relative else bandwidth
        np.divide(weights, np.negative(width), out=weights, where=weights > 0)
    np.exp(weights, out=weights)  # in place: at prediction these arrays are most of what is computed
    weights *= counts
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def correction(neighbor_weights: Floats, residuals: Floats, trend: Floats | None = None) -> Floats:
    """Return g, [n, outputs]: the weighted mean of [n, k, outputs] neighbour residuals.

    Where there is a trend, [n, outputs], it is added, and the residuals are what the neighbours' own trends leave.
    """
    mean: Floats = (neighbor_weights[:, None, :] @ residuals)[:, 0, :]
    return mean if trend is None else mean + trend


def tempered(predictions: Floats, temperature: float) -> Floats:
    """Return f_T = softmax(log f / T) of [n, classes] probabilities; a single column (a number) stays as it is."""
    if temperature == 1.0 or predictions.shape[1] == 1:
        return predictions
    return softmax(np.log(np.maximum(predictions, TINY)) / temperature)


def corrected(predictions: Floats, correction: Floats, shrinkage: float) -> Floats:
    """Return y' = f + γ g; for classes clipped to [0, 1] and renormalised, with a `KEPT` share of f."""
    if shrinkage == 0:  # not even rounded otherwise, so that nothing is gained or lost
        return predictions
    mixed: Floats = np.multiply(shrinkage, correction, dtype=np.float64)
    mixed += predictions
    if predictions.shape[1] == 1:
        return mixed
    np.clip(mixed, 0.0, 1.0, out=mixed)  # in place: settings are scored by the hundred thousand
    total = mixed.sum(axis=1, keepdims=True)
    is_empty = ~(total[:, 0] > 0)
    if is_empty.any():
        mixed[is_empty], total[is_empty] = predictions[is_empty], 1.0
    mixed /= total
    mixed *= 1 - KEPT
    mixed += KEPT * predictions
    return mixed


def residuals(targets: Floats, predictions: Floats) -> Floats:
    """Return r = y - f_T, [n, outputs]; the targets are numbers, or class codes that stand for one-hot rows."""
    if predictions.shape[1] == 1:
        return targets[:, None] - predictions
    remaining = -predictions
    remaining[np.arange(len(targets)), targets.astype(np.int64)] += 1.0
    return remaining


def row_residuals(y: Floats, predictions: Floats, temperature: float, trend: Floats | None = None) -> Floats:
    """Return [n, outputs] what is remembered of rows: what their tempered predictions leave, less the trend there.

    A cell holds the mean of its rows'. The folds that choose the settings and the memory that is built both ask here.

    Args:
        y: [n] targets, numbers or class codes.
        predictions: [n, outputs] that the residuals are taken from.
        temperature: of these.
        trend: [n, outputs] of the rows in the space, or None.
    """
    left = residuals(y, tempered(predictions, temperature))
    return left if trend is None else left - trend
