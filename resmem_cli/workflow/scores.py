"""What is kept of rows that two predictions were made of, and how the two compare."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.kinds import Floats
from resmem_cli.data.relations import numbered_groups
from resmem_cli.model import comparison, metrics, resampling
from resmem_cli.model.comparison import Comparison
from resmem_cli.model.metrics import Predictions
from resmem_cli.model.resampling import Keys
from resmem_cli.workflow import measured

# Fewer are no sample to judge by: intervals of so few exclude 0 much more often than in 5 % of all cases.
LEAST_ROWS = 30
LEAST_GROUPS = 20  # or times


@dataclass(frozen=True)
class Scored:
    """Rows with two predictions.

    Attributes:
        y: [n] numbers, or class codes.
        first, second: [n, outputs] numbers or probabilities, as `metrics.reduced` leaves them; without and with the
            memory, or of two models.
        weight: [n] row weights.
        is_seen: [n] whether a row was seen in fitting.
        hashes: [n] of what is in a row; equal rows count as one.
        keys: [n] by which rows are drawn, where they are not drawn by groups.
        groups: [n] hashes of the groups (or times) that rows belong to, 0 where there is none; None if they are not
            known.
    """

    y: Floats
    first: Predictions
    second: Predictions
    weight: Floats
    is_seen: NDArray[np.bool_]
    hashes: NDArray[np.uint64]
    keys: Keys
    groups: NDArray[np.uint64] | None = None

    def take(self, which: NDArray[np.bool_]) -> Scored:
        """Return some of these rows."""
        return Scored(
            self.y[which],
            self.first[which],
            self.second[which],
            self.weight[which],
            self.is_seen[which],
            self.hashes[which],
            self.keys[which],
            None if self.groups is None else self.groups[which],
        )

    @property
    def independent(self) -> NDArray[np.int64] | None:
        """[n] the number of each row's group; None if groups are not known."""
        return None if self.groups is None else numbered_groups(self.groups)

    @property
    def units(self) -> Keys:
        """[n] keys of what is drawn: groups or, of rows that have none, the rows."""
        return resampling.unit_keys(self.keys, self.groups)

    def sample(self, seed: int, unit: str, n_resamples: int) -> Sample:
        """Return every metric of the rows, and how many they are; `unit` is what one of the groups is called."""
        groups, compared = self.independent, {}
        if len(self.y):
            compared = comparison.compare(
                self.y, self.first, self.second, self.weight, seed, units=self.units, n_resamples=n_resamples
            )
        n_groups = None if groups is None else int(groups.max(initial=-1)) + 1
        return Sample(len(self.y), len(np.unique(self.hashes)), n_groups, unit, compared)


def joined(parts: list[Scored]) -> Scored:
    """Return the rows of all parts; where some tell their groups, those of the others have none."""
    groups = [np.zeros(len(part.y), np.uint64) if part.groups is None else part.groups for part in parts]
    are_known = any(part.groups is not None for part in parts)
    return Scored(
        np.concatenate([part.y for part in parts]),
        metrics.joined([part.first for part in parts]),
        metrics.joined([part.second for part in parts]),
        np.concatenate([part.weight for part in parts]),
        np.concatenate([part.is_seen for part in parts]),
        np.concatenate([part.hashes for part in parts]),
        np.concatenate([part.keys for part in parts]),
        np.concatenate(groups) if are_known else None,
    )


@dataclass(frozen=True)
class Sample:
    """Rows that say something of a model.

    Attributes:
        n_rows: how many they are.
        n_different: how many of them differ in features or target.
        n_groups: of how many groups (or times) they are, drawn whole for the intervals; None if that is not known.
        unit: what one of these is called.
        metrics: by name; empty without rows.
    """

    n_rows: int
    n_different: int
    n_groups: int | None
    unit: str
    metrics: dict[str, Comparison]

    @property
    def are_enough(self) -> bool:
        """Whether they can be judged by."""
        return self._are_enough_rows and (self.n_groups is None or self.n_groups >= LEAST_GROUPS)

    @property
    def described(self) -> str:
        """How many they are: "320 rows of 12 groups"."""
        return counted(self.n_rows, "row") + (f" of {counted(self.n_groups, self.unit)}" if self.n_groups else "")

    @property
    def lack(self) -> str:
        """What they lack: "12 rows are too few to judge by"."""
        if self._are_enough_rows:
            return f"rows of {counted(self.n_groups or 0, self.unit)} are too few to judge by"
        different = "different " if self.n_different < self.n_rows else ""
        is_are = "is" if self.n_different == 1 else "are"
        return f"{counted(self.n_different, f'{different}row')} {is_are} too few to judge by"

    def needed(self, kind: str) -> str:
        """Return what would be enough: "at least 30 such rows", "other rows of at least 20 groups"."""
        if self._are_enough_rows:
            return f"{kind} rows of at least {LEAST_GROUPS} {self.unit}s"
        return f"at least {LEAST_ROWS} {kind} rows"

    @property
    def _are_enough_rows(self) -> bool:
        return self.n_different >= LEAST_ROWS


class Judged:
    """What an evaluation says of its rows.

    Attributes:
        every: all rows that were scored.
        unseen: those that were not seen in fitting, if some were.
    """

    every: Sample
    unseen: Sample | None

    @property
    def n_rows(self) -> int:
        """How many rows were scored."""
        return self.every.n_rows

    @property
    def metrics(self) -> dict[str, Comparison]:
        """By name, of all rows."""
        return self.every.metrics

    @property
    def judged(self) -> Sample:
        """The rows that the verdict, the slices and the thresholds are about."""
        return self.every if self.unseen is None else self.unseen


def samples(scored: Scored, seed: int, unit: str, n_read: int) -> tuple[Sample, Sample | None]:
    """Return all rows, and those that were not seen in fitting; None if no row was, and they are all rows.

    `n_read` is how many rows the input has, with those that do not count.
    """
    n_resamples = resampling.n_resamples(n_read)
    every = scored.sample(seed, unit, n_resamples)
    return every, scored.take(~scored.is_seen).sample(seed, unit, n_resamples) if scored.is_seen.any() else None


def notes(scored: Scored) -> tuple[str, ...]:
    """Return what to say of metrics that are not measured."""
    if not isinstance(scored.first, metrics.Reduced):
        return ()
    left_out = ", ".join(name for name, each in metrics.METRICS.items() if each.needs_every_class)
    return (f"{left_out} is left out: it ranks all rows once for each of {scored.first.n_classes:,} classes",)


def counted(n: int, what: str) -> str:
    """Return "1 row" or "2,000 rows"."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def interval(compared: Comparison) -> str:
    """Return "(95 % interval +1.20 to +3.40 %)"."""
    low, high = compared.ci95
    return "(interval unknown)" if math.isnan(low) else f"(95 % interval {low:+.2f} to {high:+.2f} %)"


def change(compared: Comparison) -> str:
    """Return "by +2.30 %", or the two values where the percentage is not known."""
    percent = compared.gain_percent
    return f"from {compared.base:.5g} to {compared.resmem:.5g}" if math.isnan(percent) else f"by {percent:+.2f} %"


def contradictions(compared: Mapping[str, Comparison], objective: str) -> str:
    """Return what a verdict on the objective must not hide: which other metrics are worse, more than by chance."""
    worse = [
        f"{name} is worse by {-each.gain_percent:.2f} % {interval(each)}"
        for name, each in compared.items()
        if name != objective and each.ci95[1] < 0
    ]
    return f"; but {' and '.join(worse)}" if worse else ""


def metrics_json(compared: Mapping[str, Comparison], first: str = "base", second: str = "resmem") -> dict[str, Any]:
    """Return metrics as JSON has them, the two values under these names; what is not known is None."""
    names = {"base": first, "resmem": second}
    return {
        metric: {names.get(key, key): value for key, value in measured.known_values(asdict(each)).items()}
        for metric, each in compared.items()
    }
