"""Percentiles of very many numbers in little memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from resmem_cli.model.arrays import Floats

_ACCURACY = 0.01  # of a percentile, relative to it
_LARGEST = 1e300  # beyond that sums would be infinite
_RATIO = (1 + _ACCURACY) / (1 - _ACCURACY)


class Sketch:
    """How many numbers of 0 or more lie in each of ever wider bins: percentiles of them are right within 1 %.

    Sketches add up in any order to the same. Masson, Rim and Lee, "DDSketch", PVLDB 12 (2019).
    """

    def __init__(self) -> None:
        self._bins: Counter[int] = Counter()
        self._n_zeros = 0
        self._sum = 0.0

    def __len__(self) -> int:
        return self._n_zeros + self._bins.total()

    def add(self, values: Floats) -> None:
        """Take [n] numbers; what is no finite number is left out."""
        values = np.minimum(values[np.isfinite(values)], _LARGEST)
        above = values[values > 0]
        self._n_zeros += len(values) - len(above)
        self._sum = min(self._sum + float(values.sum()), _LARGEST)
        bins, counts = np.unique(np.ceil(np.log(above) / math.log(_RATIO)).astype(np.int64), return_counts=True)
        self._bins.update(dict(zip(bins.tolist(), counts.tolist(), strict=True)))

    def merge(self, other: Sketch) -> None:
        """Take what another one has been given."""
        self._bins.update(other._bins)
        self._n_zeros += other._n_zeros
        self._sum += other._sum

    def percentile(self, level: float) -> float:
        """Return the number that `level` percent of the others do not exceed, or NaN if there is none."""
        left = math.ceil(len(self) * level / 100) - self._n_zeros
        if not len(self):
            return math.nan
        if left <= 0:
            return 0.0
        for which in sorted(self._bins):
            left -= self._bins[which]
            if left <= 0:
                return 2 * _RATIO**which / (1 + _RATIO)
        raise AssertionError("a level beyond 100")

    def summary(self, levels: Sequence[int] = (50, 90, 99)) -> Mapping[str, float] | None:
        """Return the mean and percentiles by name ("p50"), or None if there is no number."""
        if not len(self):
            return None
        return {"mean": self._sum / len(self), **{f"p{level}": self.percentile(level) for level in levels}}
