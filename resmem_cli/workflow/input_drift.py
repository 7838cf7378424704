"""How the features of rows differ from those of the training rows, as far as a model keeps what those were."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.encoding import Surprises
from resmem_cli.data.kinds import Floats, Kind
from resmem_cli.model.scaling import Scaler
from resmem_cli.store.stored import StoredModel
from resmem_cli.workflow.labelled import Labelled

_CUTS = 40  # quantiles of the training rows at which the distributions are compared
_ROUNDING = 1e-9  # of the range: what lies so close to an end is not outside


@dataclass(frozen=True)
class ColumnDrift:
    """One feature.

    Attributes:
        name: of the column.
        missing, unknown: the share of rows without a value, or with a category that training did not have.
        outside: of the values, the share outside the range of the training rows; None where that is not known.
        shift: the largest distance between the cumulative distributions of these rows and of the training rows
            (Kolmogorov and Smirnov), at the quantiles of the latter that are kept; None where these are not.
    """

    name: str
    missing: float
    unknown: float
    outside: float | None
    shift: float | None


@dataclass(frozen=True)
class InputDrift:
    """All features.

    Attributes:
        columns: in the order of the schema.
        by_chance: the shift that, if nothing had changed, none of the columns would exceed with a probability of 95 %
            (Bonferroni); rows are taken as independent.
    """

    columns: tuple[ColumnDrift, ...]
    by_chance: float


class Counting:
    """Counts the values of batches between the quantiles of the training rows."""

    def __init__(self, stored: StoredModel) -> None:
        """Take a model, of which the finest scale that it keeps of numbers is compared with."""
        self._schema, self._n_trained = stored.base.schema, stored.base.n_rows
        scaler = _finest(stored)
        # By encoded column: the cuts, and what share of the training rows is up to each; none if that is not known.
        self._cuts: dict[int, tuple[Floats, Floats | None]] = {}
        if scaler is not None:
            numbers = [i for i, count in enumerate(scaler.n_categories) if count == 0]
            self._cuts = {i: _cuts(knots) for i, knots in zip(numbers, scaler.knots, strict=True)}
        self._counts = {i: np.zeros(len(cuts) + 1, np.int64) for i, (cuts, _) in self._cuts.items()}
        self._outside = dict.fromkeys(self._cuts, 0)
        self._surprises, self._n_read, self._n_labelled = Surprises(), 0, 0

    def add(self, rows: Labelled, part: slice) -> None:
        """Take a part of a batch."""
        X = rows.X[part]
        self._n_labelled += len(X)
        if part.start == 0:  # what is missing or unknown is counted for the batch as a whole
            self._surprises.add(rows.surprises)
            self._n_read += len(rows.X) + rows.n_dropped + rows.n_foreign
        for i, (cuts, _) in self._cuts.items():
            values = X[:, i][~np.isnan(X[:, i])]
            self._counts[i] += np.bincount(np.searchsorted(cuts, values, side="left"), minlength=len(cuts) + 1)
            margin = _ROUNDING * (cuts[-1] - cuts[0])
            self._outside[i] += int(((values < cuts[0] - margin) | (values > cuts[-1] + margin)).sum())

    def drift(self) -> InputDrift:
        """Return what was counted."""
        found = []
        for column, start in zip(self._schema.columns, self._schema.starts, strict=True):
            # Of a time, the days since 1970 alone: the other parts come again every year, month, week or day.
            width = 1 if column.kind is Kind.TIMESTAMP else column.width
            parts = [i for i in range(start, start + width) if i in self._cuts and self._counts[i].sum()]
            shifts = [shift for shift in map(self._shift, parts) if shift is not None]
            found.append(
                ColumnDrift(
                    column.name,
                    self._surprises.missing[column.name] / max(self._n_read, 1),
                    self._surprises.unknown[column.name] / max(self._n_read, 1),
                    max((self._outside[i] / int(self._counts[i].sum()) for i in parts), default=None),
                    max(shifts, default=None),
                )
            )
        n_compared = max(sum(each.shift is not None for each in found), 1)
        spread = math.sqrt(1 / max(self._n_labelled, 1) + 1 / max(self._n_trained, 1))
        return InputDrift(tuple(found), min(1.0, math.sqrt(-math.log(0.05 / n_compared / 2) / 2) * spread))

    def _shift(self, i: int) -> float | None:
        trained = self._cuts[i][1]
        if trained is None:
            return None
        here = np.cumsum(self._counts[i])[:-1] / self._counts[i].sum()
        return float(np.abs(here - trained).max())


def _finest(stored: StoredModel) -> Scaler | None:
    """Return the map of the features that knows most of their distributions; None if no base or space keeps one."""
    holders = (*stored.resmem.bases, *(member.space for member in stored.resmem.members))
    scalers = [each for each in (getattr(holder, "scaler", None) for holder in holders) if isinstance(each, Scaler)]
    return max(scalers, key=lambda each: each.knots.shape[1], default=None)


def _cuts(knots: Floats) -> tuple[Floats, Floats | None]:
    """Return some of the quantiles, and the share of training rows up to each; None where only the ends are kept."""
    if len(knots) <= 2:
        return knots, None
    picked: NDArray[np.float64] = np.unique(knots[np.linspace(0, len(knots) - 1, _CUTS + 1).astype(np.int64)])
    share = (np.searchsorted(knots, picked, side="right") - 1) / (len(knots) - 1)
    return picked, np.asarray(share, dtype=np.float64)
