"""How labelled rows look to a model that is about to remember them: what it makes of them, and how unusual they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.encoding import Surprises
from resmem_cli.errors import DataError, UsageError
from resmem_cli.model import explanation, metrics
from resmem_cli.model.arrays import Floats, row_blocks
from resmem_cli.model.bases.constant import Constant
from resmem_cli.model.metrics import Predictions
from resmem_cli.model.residuals import Residuals, values_of
from resmem_cli.model.resmem import Member, Prediction, ResMem
from resmem_cli.store import history
from resmem_cli.store.stored import StoredModel
from resmem_cli.workflow import measured
from resmem_cli.workflow.labelled import Labelled

# A row is unusual if it is beyond this share of rows like those that are remembered: of usual rows, 1 in 100 is.
USUAL = 0.99
_LEAST = 100  # rows that say where that is
# A residual is beyond any reason if it is so many times one that is larger than this share of those that are known.
TIMES = 100.0
LARGE = 0.999  # not the largest, which may have been forced
_ROUNDED = 1e-9  # of a prediction: residuals that are smaller are those of rounding


@dataclass(frozen=True)
class Drift:
    """What a model makes of rows that it does not remember yet.

    Attributes:
        metric: the model's objective.
        n_rows: how many rows were scored; those that equal remembered ones, or trained the bases, are not.
        n_effective: how many rows of equal weights these rows are worth.
        base, resmem: the metric's values on them; None if there are none.
        residuals: the share of these rows whose target is outside the 99 % prediction interval or, where too few rows
            were held out for that, whose residual is larger than that of 99 % of the remembered rows. None if neither
            is known.
        is_interval: which of the two.
        distances: the share of these rows whose nearest cell is farther than that of 99 % of the cells, of the first
            memory; None where there are fewer than 100 cells.
        surprises: missing values and unknown categories of the input, per column.
    """

    metric: str
    n_rows: int
    n_effective: float
    base: float | None
    resmem: float | None
    residuals: float | None
    is_interval: bool
    distances: float | None
    surprises: Surprises

    @property
    def gain_percent(self) -> float | None:
        """By how much the memory improves the metric, in percent of the base's value; None if that is not known."""
        if self.base is None or self.resmem is None:
            return None
        return measured.known(metrics.as_percent(metrics.gain(self.metric, self.base, self.resmem), self.base))

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "metric": self.metric,
            "rows": self.n_rows,
            "base": self.base,
            "resmem": self.resmem,
            "gain_percent": self.gain_percent,
            "unusual_residuals": self.residuals,
            "unusual_residuals_by": "interval" if self.is_interval else "remembered",
            "unusual_distances": self.distances,
            "missing_values": dict(self.surprises.missing),
            "unknown_categories": dict(self.surprises.unknown),
        }

    def to_history(self) -> dict[str, Any] | None:
        """What the history of the memory keeps; None of too few rows."""
        if self.n_effective < history.LEAST_MEASURED:
            return None
        return {
            "metric": self.metric,
            "base": self.base,
            "resmem": self.resmem,
            "rows": self.n_rows,
            "residuals": self.residuals,
            "distances": self.distances,
            "missing": self.surprises.missing.total(),
            "unknown": self.surprises.unknown.total(),
        }


def measure(stored: StoredModel, seen: NDArray[np.uint64], given: Labelled, threads: int) -> Drift:
    """Return what a model makes of rows that it is about to remember; those of the hashes `seen` do not count."""
    new = given.take(np.flatnonzero(~np.isin(given.hashes, seen)))
    if not len(new.y):
        return Drift(stored.objective, 0, 0, None, None, None, False, None, given.surprises)
    predicted = _Predicted.of(stored, new, threads)
    base, resmem = (_metric(stored.objective, new, each) for each in (predicted.base, predicted.resmem))
    residuals = None if predicted.is_beyond is None else float(np.mean(predicted.is_beyond))
    is_interval = residuals is not None
    if residuals is None:
        residuals = _beyond_remembered(stored.resmem, new)
    distances = _beyond_cells(stored.resmem, predicted.distance, threads)
    n_rows, n_effective = len(new.y), history.n_effective(len(new.y), new.weight)
    return Drift(
        stored.objective, n_rows, n_effective, base, resmem, residuals, is_interval, distances, given.surprises
    )


class _Predicted(NamedTuple):
    """What a model makes of n rows.

    Attributes:
        base, resmem: [n, outputs] without and with the memory, as `metrics.reduced` leaves them.
        distance: [n] from the nearest cell of the first memory.
        is_beyond: [n] whether the target is outside its prediction interval or set; None if too few rows were held out
            for one.
    """

    base: Predictions
    resmem: Predictions
    distance: Floats
    is_beyond: NDArray[np.bool_] | None

    @classmethod
    def of(cls, stored: StoredModel, new: Labelled, threads: int) -> _Predicted:
        parts = []
        for part in row_blocks(len(new.y), stored.base.problem.n_outputs):
            done, y = stored.resmem.predict(new.X[part], threads=threads, with_place=True), new.y[part]
            base, resmem = (metrics.reduced(y, each) for each in (done.base, done.resmem))
            parts.append(cls(base, resmem, np.asarray(done.distance), _is_beyond_interval(stored.resmem, done, y)))
        base, resmem = metrics.joined([part.base for part in parts]), metrics.joined([part.resmem for part in parts])
        beyond = [part.is_beyond for part in parts if part.is_beyond is not None]
        distance = np.concatenate([part.distance for part in parts])
        return cls(base, resmem, distance, np.concatenate(beyond) if beyond else None)


def refuse_bound_of_classes(stored: StoredModel, most: float | None) -> None:
    """Refuse a bound for residuals where they are those of probabilities.

    Raises:
        UsageError: there is one.
    """
    if most is not None and not stored.base.problem.is_regression:
        raise UsageError("--max-residual is for regression: residuals of probabilities are at most 1", "leave it out")


def refuse_beyond_reason(stored: StoredModel, given: Labelled, most: float | None) -> bool:
    """Refuse rows whose residuals cannot be right: one of them in a memory spoils every prediction near it.

    Args:
        stored: the model. Residuals of classes are bounded, and always pass.
        given: the rows.
        most: how large a residual may be; by default what `bound` says.

    Returns:
        Whether there was a bound.

    Raises:
        DataError: one is larger, or no number; the message says how many rows are, and why.
    """
    if not stored.base.problem.is_regression:
        return True
    name, is_bounded = stored.base.schema.target.name, True
    for member in stored.resmem.members:
        base = stored.resmem.bases[member.base]
        found = np.abs(values_of(member.remembered(given.as_new(), base)[1])[:, 0])
        limit, why = bound(stored, member) if most is None else (most, "what --max-residual allows")
        if most is None and limit <= _ROUNDED * np.median(np.abs(base.predict(given.X))):
            limit, is_bounded = math.inf, False
        n_beyond = int((~(found <= limit)).sum())
        if n_beyond:
            worst = int(np.argmax(np.where(np.isnan(found), np.inf, found)))
            named = f" (id '{given.ids[worst]}')" if given.ids is not None and given.ids[worst] else ""
            have = "has a residual" if n_beyond == 1 else "have residuals"
            raise DataError(
                f"{n_beyond:,} of {len(found):,} rows {have} larger than {_written(limit)}, which is {why}: up to "
                f"{_written(found[worst])}{named}, so none was remembered",
                f"check '{name}' and its units, or allow more with --max-residual or --force",
            )
    return is_bounded


def bound(stored: StoredModel, member: Member) -> tuple[float, str]:
    """Return the largest residual that is within reason for one of a model's memories, and why.

    It is 100 times a large one of those that are remembered or, since a base may fit these too closely, held out. It
    says nothing if it is 0, or of the size of rounding: of a base that was perfect so far.
    """
    remembered = _large(np.abs(values_of(_remembered_residuals(member))))
    calibration = stored.resmem.calibration
    held_out = 0.0
    if calibration is not None and len(calibration.scores):
        # Where scores are relative to how much neighbours differ, this is that of rows whose neighbours do not.
        held_out = _large(calibration.scores) * (calibration.offset if math.isfinite(calibration.offset) else 1)
    which = "remembered ones" if remembered >= held_out else "held-out errors"
    return TIMES * max(remembered, held_out), f"{TIMES:g} times the {100 * LARGE:g} % quantile of the {which}"


def _large(residuals: Floats) -> float:
    return float(np.quantile(residuals, LARGE, method="lower"))


def _metric(objective: str, rows: Labelled, predictions: Predictions) -> float | None:
    losses = metrics.row_loss(rows.y, predictions, objective)
    return measured.known(metrics.as_metric(objective, float(np.average(losses, weights=rows.weight))))


def _is_beyond_interval(resmem: ResMem, predicted: Prediction, y: Floats) -> NDArray[np.bool_] | None:
    """Return [n] which rows are outside their prediction interval or set; None if too few were held out for one."""
    try:
        ends = resmem.interval(predicted, USUAL)
    except UsageError:
        return None
    if isinstance(ends, tuple):
        return np.asarray(~((ends[0] <= y) & (y <= ends[1])))
    return np.asarray(~ends[np.arange(len(y)), y.astype(np.int64)])


def _beyond_remembered(resmem: ResMem, new: Labelled) -> float | None:
    """Return the share of rows whose residual is beyond those of most remembered rows; None if these are too few.

    Under the first memory that is of more than a constant: what that leaves is how unusual a target is.
    """
    of_more = (each for each in resmem.members if not isinstance(resmem.bases[each.base], Constant))
    member = next(of_more, resmem.members[0])
    remembered = _sizes(_remembered_residuals(member))
    if len(remembered) < _LEAST:
        return None
    residuals = member.remembered(new.as_new(), resmem.bases[member.base])[1]
    return float(np.mean(~(_sizes(residuals) <= np.quantile(remembered, USUAL))))


def _beyond_cells(resmem: ResMem, distance: Floats, threads: int) -> float | None:
    """Return the share of rows that are farther from the nearest cell than most cells are from each other."""
    usual = explanation.usual_distances(resmem.members[0].memory, threads=threads)
    if len(usual) < _LEAST:
        return None
    return float(np.mean(explanation.percentiles(distance, usual) > 100 * USUAL))


def _remembered_residuals(member: Member) -> Residuals:
    """Return [n, outputs] of the rows that a memory was built of."""
    contents = member.memory.contents
    if contents is None:
        raise ValueError("the model was loaded without the rows of its memories")
    return contents.residuals


def _sizes(residuals: Residuals) -> Floats:
    """Return [n] how large residuals are; of classes, how much probability the true one lacks."""
    held = values_of(residuals)
    sizes: Floats = np.abs(held[:, 0]) if held.shape[1] == 1 else held.max(axis=1)
    return sizes


def _written(value: float) -> str:
    """Return a number as people read it."""
    return f"{value:,.0f}" if 1_000 <= abs(value) < 1e15 else f"{value:.4g}"
