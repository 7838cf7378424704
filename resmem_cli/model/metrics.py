"""Losses per row, and the metrics of `evaluate` with their paired bootstrap.

Every metric is a function of predictions and row weights, so that a bootstrap resample (how often each row was
drawn) is just another weighting of the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.arrays import MOST_DENSE, Floats
from resmem_cli.model.kernel import TINY

_RESAMPLES = 1_000
_LEAST_RESAMPLES = 200


# What is known of rows gives a metric for any [n] weights of them.
Weighing = Callable[[Floats], float]


@dataclass(frozen=True)
class Metric:
    """A metric of predictions.

    Attributes:
        of: takes [n] targets (numbers, or class codes) and [n, outputs] predictions (numbers, or probabilities), and
            returns what gives the metric for [n] weights of the rows: the bootstrap asks that many times.
        is_regression: whether it is one of numbers, or of classes.
        lower_is_better: whether it is a loss.
        needs_every_class: whether it needs more of probabilities than `Reduced` has.
    """

    of: Callable[[Floats, Any], Weighing]
    is_regression: bool
    lower_is_better: bool
    needs_every_class: bool = False


# What can be asked of the folds to make best, per task; the first is the default.
REGRESSION_OBJECTIVES = ("rmse", "mae")
CLASSIFICATION_OBJECTIVES = ("log_loss", "accuracy")


def objectives(is_regression: bool) -> tuple[str, ...]:
    """Return what can be made best in a task; the first is the default."""
    return REGRESSION_OBJECTIVES if is_regression else CLASSIFICATION_OBJECTIVES


@dataclass(frozen=True)
class Reduced:
    """What most metrics need of [n, classes] probabilities, where these are too many to be held for all rows.

    Attributes:
        own: [n] the probability of the row's own class.
        winners: [n] the most probable class, of equally probable ones the first.
        largest: [n] the probability of that class.
        squares: [n] the sum of the squares of all.
        n_classes: how many there are.
    """

    own: Floats
    winners: NDArray[np.int64]
    largest: Floats
    squares: Floats
    n_classes: int

    @classmethod
    def of(cls, y: Floats, probabilities: Floats) -> Reduced:
        squares = np.einsum("nc,nc->n", probabilities, probabilities)
        winners, largest = probabilities.argmax(axis=1), probabilities.max(axis=1)
        return cls(_own(y, probabilities), winners, largest, squares, probabilities.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.own), self.n_classes

    def __getitem__(self, which: NDArray[np.bool_]) -> Reduced:
        """Return some of the rows."""
        return Reduced(self.own[which], self.winners[which], self.largest[which], self.squares[which], self.n_classes)


Predictions = Floats | Reduced


def reduced(y: Floats, predictions: Floats) -> Predictions:
    """Return [n, outputs] predictions as they are, and of very many classes what is held of them for all rows."""
    return Reduced.of(y, predictions) if predictions.shape[1] > MOST_DENSE else predictions


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Return the rows of all parts, which are of one kind."""
    whole = [part for part in parts if isinstance(part, Reduced)]
    if not whole:
        return np.concatenate([part for part in parts if not isinstance(part, Reduced)])
    own, winners, largest, squares = (
        np.concatenate([getattr(part, name) for part in whole]) for name in ("own", "winners", "largest", "squares")
    )
    return Reduced(own, winners, largest, squares, whole[0].n_classes)


def are_same(one: Predictions, other: Predictions) -> bool:
    """Whether two predictions of the same rows are equal in all that is held of them."""
    if isinstance(one, Reduced) and isinstance(other, Reduced):
        return all((getattr(one, name) == getattr(other, name)).all() for name in ("own", "winners", "squares"))
    return bool(np.array_equal(np.asarray(one), np.asarray(other)))


def row_loss(y: Floats, predictions: Predictions, objective: str | None = None) -> Floats:
    """Return [n] the loss whose mean is the objective's: its square for rmse, one minus it for accuracy.

    Without an objective it is the squared error of numbers, and minus the log of the class's probability.
    """
    if not isinstance(predictions, Reduced) and predictions.shape[1] == 1:
        error = y - predictions[:, 0]
        return np.abs(error) if objective == "mae" else np.square(error)
    if objective == "accuracy":
        return np.asarray(_winners(predictions) != y, dtype=np.float64)
    return -np.log(np.maximum(_own(y, predictions), TINY))


def as_metric(objective: str, loss: float) -> float:
    """Return the objective's value of a mean `row_loss`."""
    if objective == "rmse":
        return float(np.sqrt(loss))
    return 1.0 - loss if objective == "accuracy" else loss


def error_of_metric(objective: str, loss: float, standard_error: float) -> float:
    """Return the standard error of the objective's value, of that of a mean `row_loss`.

    d sqrt(x) = dx / (2 sqrt(x)) carries that of a squared error over.
    """
    if objective != "rmse":
        return standard_error
    return standard_error / (2 * float(np.sqrt(loss))) if loss else 0.0


def gain(metric: str, base: float, resmem: float) -> float:
    """Return how much better the second value of a metric is, in the metric's units; negative if it is worse."""
    return base - resmem if METRICS[metric].lower_is_better else resmem - base


def as_percent(difference: float, base: float) -> float:
    """Return a gain, or its error, relative to the base's value; unknown (NaN) where that is not above 0."""
    if difference == 0:
        return 0.0
    return 100 * difference / base if base > 0 else float("nan")


@dataclass(frozen=True)
class Comparison:
    """One metric of the base and of the whole, and the interval of the difference.

    Attributes:
        base, resmem: the metric's values.
        gain: in the metric's units, positive when the memory is better.
        gain_percent: the gain relative to the base's value; NaN if that is 0, or an r2 below 0.
        ci95: the 95 % percentile interval of `gain_percent` over paired bootstrap resamples of the rows or groups; both
            ends are NaN where these do not bound it, and of a single row or group.
    """

    base: float
    resmem: float
    gain: float
    gain_percent: float
    ci95: tuple[float, float]


def compare(
    y: Floats,
    base: Predictions,
    resmem: Predictions,
    weight: Floats | None,
    seed: int,
    *,
    groups: NDArray[np.int64] | None = None,
    most_draws: int = 200_000_000,
) -> dict[str, Comparison]:
    """Compare two predictions of the same rows by every metric of their task.

    Rows of a group err together, so that as independent draws they would make the intervals too narrow: with groups, a
    resample draws whole groups (cluster bootstrap).

    Args:
        y: [n] numbers, or class codes.
        base: [n, outputs] numbers or probabilities; without some metrics, what is `reduced` of them.
        resmem: [n, outputs] likewise.
        weight: [n] row weights or None.
        seed: of the resamples.
        groups: [n] the number of each row's group, any integers; None if rows are independent.
        most_draws: rows times resamples, past which fewer resamples are taken.
    """
    own = np.ones(len(y)) if weight is None else weight
    is_regression = base.shape[1] == 1
    pairs = {
        name: (metric.of(y, base), metric.of(y, resmem))
        for name, metric in METRICS.items()
        if metric.is_regression == is_regression and not (metric.needs_every_class and isinstance(base, Reduced))
    }
    percents: dict[str, list[float]] = {name: [] for name in pairs}
    for times in _resamples(len(y), seed, most_draws, groups):
        drawn = times * own
        for name, (before, after) in pairs.items():
            percents[name].append(_drawn_percent(name, before(drawn), after(drawn)))
    return {name: _comparison(name, before(own), after(own), percents[name]) for name, (before, after) in pairs.items()}


def _comparison(name: str, base: float, resmem: float, percents: list[float]) -> Comparison:
    percent, drawn = _percent(name, base, resmem), np.array(percents)
    drawn, ends = drawn[~np.isnan(drawn)], (float("nan"), float("nan"))
    if len(drawn) and not np.isnan(percent):
        with np.errstate(invalid="ignore"):  # between two infinities
            low, high = np.percentile(drawn, [2.5, 97.5])
        if np.isfinite([low, high]).all():
            ends = float(low), float(high)
    return Comparison(base, resmem, gain(name, base, resmem), percent, ends)


def _percent(name: str, base: float, resmem: float) -> float:
    return as_percent(gain(name, base, resmem), base)


def _drawn_percent(name: str, base: float, resmem: float) -> float:
    """Return the gain in a resample in percent, infinite where the base's value there is not above 0."""
    difference = gain(name, base, resmem)
    return float(np.copysign(np.inf, difference)) if difference and base <= 0 else as_percent(difference, base)


def _resamples(n: int, seed: int, most_draws: int, groups: NDArray[np.int64] | None = None) -> Iterator[Floats]:
    """Yield, per resample, how often each of n rows was drawn, with replacement, or drawn with its [n] group.

    A single row or group has no resamples.
    """
    rng = np.random.default_rng(seed)
    members = None if groups is None else np.unique(groups, return_inverse=True)[1]
    n_units = n if members is None else int(members.max()) + 1
    if n_units < 2:
        return
    for _ in range(int(np.clip(most_draws // max(n, 1), _LEAST_RESAMPLES, _RESAMPLES))):
        times = np.bincount(rng.integers(0, n_units, n_units), minlength=n_units).astype(np.float64)
        yield times if members is None else times[members]


def _rmse(y: Floats, predictions: Floats) -> Weighing:
    mse = _mse(y, predictions)
    return lambda weight: float(np.sqrt(mse(weight)))


def _mse(y: Floats, predictions: Floats) -> Weighing:
    return _mean_of(np.square(predictions[:, 0] - y))


def _mae(y: Floats, predictions: Floats) -> Weighing:
    return _mean_of(np.abs(predictions[:, 0] - y))


def _r2(y: Floats, predictions: Floats) -> Weighing:
    mse = _mse(y, predictions)

    def value(weight: Floats) -> float:
        mean = weight @ y / weight.sum()
        variance = weight @ np.square(y - mean) / weight.sum()
        return float(1 - mse(weight) / variance) if variance > 0 else float("nan")

    return value


def _log_loss(y: Floats, probabilities: Predictions) -> Weighing:
    return _mean_of(row_loss(y, probabilities))


def _accuracy(y: Floats, probabilities: Predictions) -> Weighing:
    return _mean_of(_is_right(y, probabilities))


def _balanced_accuracy(y: Floats, probabilities: Predictions) -> Weighing:
    codes, is_right, n_classes = y.astype(np.int64), _is_right(y, probabilities), probabilities.shape[1]

    def value(weight: Floats) -> float:
        totals = np.bincount(codes, weight, n_classes)
        hits = np.bincount(codes, weight * is_right, n_classes)
        present = totals > 0
        return float((hits[present] / totals[present]).mean())

    return value


def _brier(y: Floats, probabilities: Predictions) -> Weighing:
    n_classes = probabilities.shape[1]
    if isinstance(probabilities, Reduced):
        return _mean_of(probabilities.squares - 2 * probabilities.own + 1)
    one_hot = np.eye(n_classes)[y.astype(np.int64)]
    # That of two classes is of one of them, by convention half of the sum over both.
    return _mean_of(np.square(probabilities - one_hot).sum(axis=1) / (2 if n_classes == 2 else 1))


def _roc_auc(y: Floats, probabilities: Floats) -> Weighing:
    n_classes = probabilities.shape[1]
    ranked = [1] if n_classes == 2 else range(n_classes)
    areas = [_Area(probabilities[:, c], y == c) for c in ranked]

    def value(weight: Floats) -> float:
        known = [area for area in (each.value(weight) for each in areas) if not np.isnan(area)]
        return float(np.mean(known)) if known else float("nan")  # a class without rows has no curve

    return value


def _mean_of(losses: Floats) -> Weighing:
    return lambda weight: float(weight @ losses / weight.sum())


def _own(y: Floats, probabilities: Predictions) -> Floats:
    """Return [n] the probability of each row's class."""
    if isinstance(probabilities, Reduced):
        return probabilities.own
    return np.asarray(probabilities[np.arange(len(y)), y.astype(np.int64)])


def _winners(probabilities: Predictions) -> NDArray[np.int64]:
    """Return [n] the predicted class, of equally probable ones the first."""
    return probabilities.winners if isinstance(probabilities, Reduced) else probabilities.argmax(axis=1)


def _is_right(y: Floats, probabilities: Predictions) -> Floats:
    """Return [n] 1 where the predicted class is the row's."""
    return np.asarray(_winners(probabilities) == y, dtype=np.float64)


class _Area:
    """The area under one class's ROC curve, sorted once so that each weighting costs one pass."""

    def __init__(self, scores: Floats, is_class: NDArray[np.bool_]) -> None:
        self._order = np.argsort(scores, kind="stable")
        ordered = scores[self._order]
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])  # of rows with equal scores
        self._is_class = is_class[self._order]

    def value(self, weight: Floats) -> float:
        ordered = weight[self._order]
        positive = np.add.reduceat(ordered * self._is_class, self._starts)
        negative = np.add.reduceat(ordered * ~self._is_class, self._starts)
        below = np.cumsum(negative) - negative
        pairs = positive.sum() * negative.sum()
        return float(positive @ (below + negative / 2) / pairs) if pairs > 0 else float("nan")


# Every metric that is measured; adding one here is all that it takes.
METRICS: dict[str, Metric] = {
    "rmse": Metric(_rmse, is_regression=True, lower_is_better=True),
    "mae": Metric(_mae, is_regression=True, lower_is_better=True),
    "r2": Metric(_r2, is_regression=True, lower_is_better=False),
    "log_loss": Metric(_log_loss, is_regression=False, lower_is_better=True),
    "accuracy": Metric(_accuracy, is_regression=False, lower_is_better=False),
    "balanced_accuracy": Metric(_balanced_accuracy, is_regression=False, lower_is_better=False),
    "roc_auc": Metric(_roc_auc, is_regression=False, lower_is_better=False, needs_every_class=True),
    "brier": Metric(_brier, is_regression=False, lower_is_better=True),
}
