"""What is kept of rows that two predictions were made of, and how the two compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.kinds import Floats
from resmem_cli.data.relations import numbered_groups
from resmem_cli.model import metrics
from resmem_cli.model.metrics import Comparison
from resmem_cli.workflow import measured

LEAST_UNSEEN = 30  # rows that were not seen in fitting: fewer are no sample to judge by, as in the folds


@dataclass(frozen=True)
class Scored:
    """Rows with two predictions.

    Attributes:
        y: [n] numbers, or class codes.
        first, second: [n, outputs] numbers or probabilities; without and with the memory, or of two models.
        weight: [n] row weights.
        is_seen: [n] whether a row was seen in fitting.
        groups: [n] hashes of the groups that rows belong to, 0 where there is none; None if they are not known.
    """

    y: Floats
    first: Floats
    second: Floats
    weight: Floats
    is_seen: NDArray[np.bool_]
    groups: NDArray[np.uint64] | None = None

    def take(self, which: NDArray[np.bool_]) -> Scored:
        """Return some of these rows."""
        groups = None if self.groups is None else self.groups[which]
        return Scored(
            self.y[which], self.first[which], self.second[which], self.weight[which], self.is_seen[which], groups
        )

    @property
    def independent(self) -> NDArray[np.int64] | None:
        """[n] the number of each row's group; None if groups are not known, or all rows are of one."""
        if self.groups is None or len(self.groups) == 0:
            return None
        numbers = numbered_groups(self.groups)
        return numbers if numbers.max() > 0 else None

    def compare(self, seed: int) -> dict[str, Comparison]:
        """Return every metric of the rows; none if there are no rows."""
        if len(self.y) == 0:
            return {}
        return metrics.compare(self.y, self.first, self.second, self.weight, seed, groups=self.independent)


def joined(parts: list[Scored]) -> Scored:
    """Return the rows of all parts."""
    groups = [part.groups for part in parts if part.groups is not None]
    return Scored(
        np.concatenate([part.y for part in parts]),
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.second for part in parts]),
        np.concatenate([part.weight for part in parts]),
        np.concatenate([part.is_seen for part in parts]),
        np.concatenate(groups) if len(groups) == len(parts) else None,
    )


@dataclass(frozen=True)
class Unseen:
    """The rows that were not seen in fitting.

    Attributes:
        n_rows: how many they are.
        metrics: by name; empty without rows.
    """

    n_rows: int
    metrics: dict[str, Comparison]

    @property
    def are_enough(self) -> bool:
        """Whether they can be judged by."""
        return self.n_rows >= LEAST_UNSEEN


def unseen(scored: Scored, seed: int) -> Unseen | None:
    """Return the figures of the rows that were not seen in fitting; None if no row was, and they are those of all."""
    if not scored.is_seen.any():
        return None
    rest = scored.take(~scored.is_seen)
    return Unseen(len(rest.y), rest.compare(seed))


def interval(compared: Comparison) -> str:
    """Return "(95 % interval +1.20 to +3.40 %)"."""
    low, high = compared.ci95
    return f"(95 % interval {low:+.2f} to {high:+.2f} %)"


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
