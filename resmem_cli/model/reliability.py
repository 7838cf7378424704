"""What comes true of predictions: means of predictions and of targets in bins of equal predictions.

Of numbers the bins have equally many rows. Of classes they are tenths of the probability, and the mean distance between
probability and frequency, by the rows of the bins, is the expected calibration error (Naeini, Cooper and Hauskrecht,
"Obtaining well calibrated probabilities using Bayesian binning", 2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.arrays import Floats
from resmem_cli.model.metrics import Predictions, Reduced

_BINS_OF_NUMBERS = 20
_BINS_OF_PROBABILITIES = 10


@dataclass(frozen=True)
class Reliability:
    """Predictions and targets, bin by bin.

    Attributes:
        predicted: [b] the mean prediction, ascending: a number, or a probability.
        actual: [b] the mean target, or the share of rows for which that came true.
        n_rows: [b].
        error: the mean distance of the two, by the weight of the bins' rows.
    """

    predicted: Floats
    actual: Floats
    n_rows: NDArray[np.int64]
    error: float


def of(y: Floats, predictions: Predictions, weight: Floats) -> Reliability:
    """Return how reliable predictions are: of numbers, of the second of two classes, or of the most probable of more.

    Args:
        y: [n] numbers, or class codes.
        predictions: [n, outputs] numbers or probabilities.
        weight: [n] row weights.
    """
    if isinstance(predictions, Reduced):
        return _of_probabilities(predictions.largest, predictions.winners == y, weight)
    if predictions.shape[1] == 1:
        return _binned(_equal_bins(predictions[:, 0]), predictions[:, 0], y, weight)
    if predictions.shape[1] == 2:
        return _of_probabilities(predictions[:, 1], y == 1, weight)
    return _of_probabilities(predictions.max(axis=1), predictions.argmax(axis=1) == y, weight)


def _of_probabilities(probabilities: Floats, is_so: NDArray[np.bool_], weight: Floats) -> Reliability:
    bins = np.minimum((probabilities * _BINS_OF_PROBABILITIES).astype(np.int64), _BINS_OF_PROBABILITIES - 1)
    return _binned(bins, probabilities, is_so.astype(np.float64), weight)


def _equal_bins(values: Floats) -> NDArray[np.int64]:
    """Return [n] numbers of bins with equally many rows; rows with equal values are in one bin."""
    ordered = np.sort(values)
    cuts = np.unique(ordered[np.arange(1, _BINS_OF_NUMBERS) * len(ordered) // _BINS_OF_NUMBERS])
    return np.searchsorted(cuts, values, side="right")


def _binned(bins: NDArray[np.int64], predicted: Floats, actual: Floats, weight: Floats) -> Reliability:
    n_rows, total = np.bincount(bins), np.bincount(bins, weight)
    used = total > 0
    means = [np.bincount(bins, weight * values)[used] / total[used] for values in (predicted, actual)]
    error = float(np.average(np.abs(means[0] - means[1]), weights=total[used]))
    return Reliability(means[0], means[1], n_rows[used], error)
