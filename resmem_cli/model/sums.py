"""What two predictions of the same rows add up to, for many weightings of the rows at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from resmem_cli.model import resampling
from resmem_cli.model.arrays import Floats
from resmem_cli.model.metrics import Metric, Predictions
from resmem_cli.model.resampling import LANES, Keys
from resmem_cli.model.targets import Targets

Values = dict[str, tuple[Floats, Floats]]  # by metric, [K] of the base and of the whole

# Numbers at once: of weights, what a processor's cache holds; of sums, what memory may be taken for them.
_WEIGHTS, _SUMS = 1 << 17, 1 << 22


@dataclass(frozen=True)
class Sums:
    """Sums over rows for K weightings of them; those of parts of the rows add up to those of all.

    Attributes:
        targets: of the targets alone.
        base, resmem: by metric, [s, K] of its statistics.
    """

    targets: Targets
    base: dict[str, Floats]
    resmem: dict[str, Floats]

    def merged(self, other: Sums) -> Sums:
        """Return the sums over the rows of both."""
        base, resmem = (
            {name: one[name] + another[name] for name in one}
            for one, another in ((self.base, other.base), (self.resmem, other.resmem))
        )
        return Sums(self.targets.merged(other.targets), base, resmem)

    def values(self, metrics: Mapping[str, Metric]) -> Values:
        """Return the values of metrics."""
        return {
            name: (metric.value(self.base[name], self.targets), metric.value(self.resmem[name], self.targets))
            for name, metric in metrics.items()
        }


class Statistics:
    """What metrics need of each of n rows, multiplied by its weight."""

    def __init__(
        self, y: Floats, base: Predictions, resmem: Predictions, weight: Floats | None, metrics: Mapping[str, Metric]
    ) -> None:
        """Take [n] targets, two [n, outputs] predictions of them, and [n] weights or None."""
        own = np.ones(len(y)) if weight is None else weight
        self._n_outputs = base.shape[1]
        # No farther from the mean than a standard deviation, so that nothing is lost in squares about it.
        self._centre = float(np.median(y))
        distance = y - self._centre
        self._targets = own[:, None] * np.column_stack([np.ones(len(y)), distance, distance**2])
        self._base, self._resmem = (
            {name: _weighed(metric.statistics(y, predictions), own) for name, metric in metrics.items()}
            for predictions in (base, resmem)
        )

    def sums(self) -> Sums:
        """Return the sums with every row once."""
        return self._sums([(slice(None), np.ones((len(self._targets), 1)))], 1)

    def resampled(self, states: Keys, resamples: range) -> Sums:
        """Return the sums for resamples of the rows, by the [n] states of their keys; `LANES` divides the first."""
        step = max(1, _WEIGHTS // max(len(resamples), 1), self._n_sums)
        blocks = (slice(start, start + step) for start in range(0, len(states), step))
        return self._sums(((block, resampling.weights(states[block], resamples)) for block in blocks), len(resamples))

    def blocks(self, n_resamples: int) -> Iterator[range]:
        """Yield so many resamples in ranges of which all sums can be held."""
        step = max(LANES, _SUMS // self._n_sums // LANES * LANES)
        for start in range(0, n_resamples, step):
            yield range(start, min(start + step, n_resamples))

    @property
    def _n_sums(self) -> int:
        return sum(each.shape[1] for side in (self._base, self._resmem) for each in side.values())

    def _sums(self, weighings: Iterable[tuple[slice, Floats]], n_weighings: int) -> Sums:
        targets = np.zeros((3, n_weighings))
        base, resmem = dict[str, Floats](), dict[str, Floats]()
        for rows, weights in weighings:
            targets += self._targets[rows].T @ weights
            for side, sums in ((self._base, base), (self._resmem, resmem)):
                for name, each in side.items():
                    product = each[rows].T @ weights
                    sums[name] = np.add(sums[name], product, out=sums[name]) if name in sums else product
        return Sums(Targets.of(self._n_outputs, self._centre, targets), base, resmem)


def _weighed(statistics: Any, weight: Floats) -> Any:
    """Return [n, s] statistics times [n] weights."""
    if isinstance(statistics, np.ndarray):
        return np.asarray(weight[:, None] * statistics.reshape(len(weight), -1), dtype=np.float64)
    statistics.data *= np.repeat(weight, np.diff(statistics.indptr))
    return statistics
