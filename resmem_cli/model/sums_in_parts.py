"""What is known of two predictions of rows that nobody holds together: sums of bounded size, which merge.

They give what `comparison.compare` gives of all rows at once, but for metrics that compare every row with every other:
of those the rows are put into bins of scores, fewer where resamples are weighed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from resmem_cli.model import comparison, ranking, resampling
from resmem_cli.model.arrays import MOST_DENSE, Floats
from resmem_cli.model.comparison import Comparison
from resmem_cli.model.distinct import Distinct
from resmem_cli.model.metrics import Metric, Predictions
from resmem_cli.model.resampling import Keys
from resmem_cli.model.sums import Statistics, Sums, Values

# Bins of all classes together, and of one at least and at most. Each resample has sums of its own: these are few.
_BINS, _LEAST_BINS = 16_384, 256
_RESAMPLED_BINS, _LEAST_RESAMPLED_BINS, _MOST_RESAMPLED_BINS = 64_000, 12, 512
# Where few bins leave more than this share of the pairs open, a gain that they hide has an interval that excludes it.
_MOST_ERROR = 0.1


@dataclass(frozen=True)
class SumsInParts:
    """Sums over some rows.

    Attributes:
        n_rows: how many they are.
        n_outputs: how many outputs a prediction has.
        n_resamples: how many there are.
        different: hashes of what is in the rows.
        units: keys of what is drawn, rows or groups.
        once: the sums with every row once.
        resampled_once: the same of the statistics that resamples have.
        resampled: the sums for resamples.
    """

    n_rows: int
    n_outputs: int
    n_resamples: int
    different: Distinct
    units: Distinct
    once: Sums
    resampled_once: Sums
    resampled: Sums

    @classmethod
    def of(
        cls,
        y: Floats,
        base: Predictions,
        resmem: Predictions,
        weight: Floats,
        *,
        hashes: Keys,
        units: Keys,
        seed: int,
        n_resamples: int,
    ) -> SumsInParts:
        """Return the sums over [n] rows, at least one, with [n] hashes of what is in them; else as `compare`."""
        n_outputs = base.shape[1]
        statistics = Statistics(y, base, resmem, weight, _resampled_metrics(n_outputs, n_resamples))
        return cls(
            len(y),
            n_outputs,
            n_resamples,
            Distinct.of(hashes),
            Distinct.of(units),
            Statistics(y, base, resmem, weight, _metrics(n_outputs)).sums(),
            statistics.sums(),
            statistics.resampled(resampling.states(units, seed), range(n_resamples)),
        )

    def merged(self, other: SumsInParts) -> SumsInParts:
        """Return the sums over the rows of both."""
        return replace(
            self,
            n_rows=self.n_rows + other.n_rows,
            different=self.different.merged(other.different),
            units=self.units.merged(other.units),
            once=self.once.merged(other.once),
            resampled_once=self.resampled_once.merged(other.resampled_once),
            resampled=self.resampled.merged(other.resampled),
        )

    def compared(self) -> dict[str, Comparison]:
        """Return the comparison by every metric.

        One of too many sums for every resample has no interval, nor one whose few bins cannot tell scores apart.
        """
        values, metrics = self.once.values(_metrics(self.n_outputs)), self._resampled_metrics
        few, drawn = self.resampled_once.values(metrics), self.resampled.values(metrics)
        blurred = self._blurred
        # What few bins lose is lost in all resamples alike, if it is little.
        shifted: Values = {
            name: (base + values[name][0] - few[name][0], resmem + values[name][1] - few[name][1])
            for name, (base, resmem) in drawn.items()
            if name not in blurred
        }
        return comparison.comparisons(values, [shifted] if self.units.count > 1 else [])

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what is not measured as it is of all rows at once."""
        found = []
        for name in _binned(self.n_outputs):
            error = self._greatest_error(self.once, name)
            found.append(f"{name} is that of probabilities in bins, at most {error:.1g} off the exact one")
        found += [
            f"{name} has no interval: the probabilities lie too close together for the bins of resamples"
            for name in self._blurred
        ]
        without = [name for name in _metrics(self.n_outputs) if name not in self._resampled_metrics]
        if without:
            named, have = " and ".join(without), "has" if len(without) == 1 else "have"
            found.append(f"{named} {have} no interval: it would need sums of each of {self.n_outputs:,} classes")
        return tuple(found)

    @property
    def _blurred(self) -> list[str]:
        """The metrics of which the few bins of resamples put too many rows of different classes into one."""
        binned = [name for name in _binned(self.n_outputs) if name in self._resampled_metrics]
        return [name for name in binned if self._greatest_error(self.resampled_once, name) > _MOST_ERROR]

    def _greatest_error(self, sums: Sums, name: str) -> float:
        both = (sums.base[name], sums.resmem[name])
        return max(float(ranking.greatest_error(each, self.n_outputs)[0]) for each in both)

    @property
    def _resampled_metrics(self) -> dict[str, Metric]:
        return _resampled_metrics(self.n_outputs, self.n_resamples)


def _of_task(n_outputs: int) -> dict[str, Metric]:
    return comparison.of_task(n_outputs, is_reduced=n_outputs > MOST_DENSE)


def _binned(n_outputs: int) -> list[str]:
    return [name for name, metric in _of_task(n_outputs).items() if metric.binned is not None]


def _metrics(n_outputs: int) -> dict[str, Metric]:
    """Return what is measured once, by fine bins where it takes bins."""
    n_bins = max(_LEAST_BINS, _BINS // len(ranking.ranked(n_outputs)))
    return {name: metric.binned(n_bins) if metric.binned else metric for name, metric in _of_task(n_outputs).items()}


def _resampled_metrics(n_outputs: int, n_resamples: int) -> dict[str, Metric]:
    """Return what is measured in every resample, by few bins, without what takes too many sums."""
    n_bins = min(_MOST_RESAMPLED_BINS, _RESAMPLED_BINS // max(n_resamples, 1) // len(ranking.ranked(n_outputs)))
    return {
        name: metric.binned(n_bins) if metric.binned else metric
        for name, metric in _of_task(n_outputs).items()
        if (n_bins >= _LEAST_RESAMPLED_BINS if metric.binned else n_outputs <= MOST_DENSE or not metric.by_class)
    }
