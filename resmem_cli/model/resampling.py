"""The Poisson bootstrap: how often a row counts in a resample, by a hash of the row's key and the resample's number.

A resample of n rows that are drawn with replacement holds each row about Poisson(1) times. Where every row decides that
for itself, resamples need no list of the rows: parts of them may be weighed anywhere, in any order, and their sums
added. Rows with the same key count equally often: those of a group are drawn together (cluster bootstrap).

Hanley and MacGibbon, "Creating non-parametric bootstrap samples using Poisson frequencies", 2006. Chamandy et al.,
"Estimating uncertainty for massive data streams", 2012. The hash is SplitMix64: Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", 2014.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.arrays import Floats

Keys = NDArray[np.uint64]

# Up to how many rows there are how many resamples: coarse, so that whoever counts only roughly knows it, too.
_STEPS = ((400_000, 1_000), (1_000_000, 500))
_LEAST = 200

# One hash of 64 bits tells four weights.
LANES = 4
_LANE = 1 << 16
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
# A weight is how many of these a lane is below: the probabilities that a Poisson(1) number is at least 1, 2, ...
# Rounded to a lane's 16 bits they still have the mean 1, and the variance 0.99997.
_AT_LEAST = tuple(
    round(_LANE * (1 - sum(math.exp(-1) / math.factorial(i) for i in range(least)))) for least in range(1, 9)
)


def n_resamples(n_rows: int) -> int:
    """Return how many resamples are taken of so many rows."""
    return next((count for most, count in _STEPS if n_rows <= most), _LEAST)


def row_keys(hashes: Keys, numbers: NDArray[np.int64]) -> Keys:
    """Return [n] keys of rows by hashes of what is in them, and their numbers in the file that they come from.

    Equal rows of one file have different keys; equal rows with the same number in several files have one.
    """
    return mixed(hashes + mixed(numbers.astype(np.uint64)))


def unit_keys(rows: Keys, groups: Keys | None) -> Keys:
    """Return [n] keys of what is drawn: the groups by their hashes or, where that is 0 (missing) or None, the rows."""
    return rows if groups is None else np.where(groups == 0, rows, groups)


def states(keys: Keys, seed: int) -> Keys:
    """Return [n] what the weights of rows with these keys follow from."""
    return mixed(keys ^ mixed(np.array([seed], dtype=np.uint64) + _GOLDEN))


def weights(of: Keys, resamples: range) -> Floats:
    """Return [n, resamples] how often each row, by its state, counts in each resample; `LANES` divides the first."""
    counters = np.arange(resamples.start // LANES, -(-resamples.stop // LANES), dtype=np.uint64)
    lanes = mixed(of[:, None] + counters * _GOLDEN).astype("<u8", copy=False).view("<u2")[:, : len(resamples)]
    counts = np.zeros(lanes.shape, dtype=np.uint8)
    for bound in _AT_LEAST:
        counts += lanes < bound
    return counts.astype(np.float64)


def mixed(values: Keys) -> Keys:
    """Return other 64-bit numbers, one for one, that look random whatever these are."""
    z = values ^ (values >> np.uint64(30))
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z
