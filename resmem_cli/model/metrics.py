"""Losses per row, and the metrics of `evaluate` with their paired bootstrap.

Every metric is a function of predictions and row weights, so that a bootstrap resample (how often each row was
drawn) is just another weighting of the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.arrays import Floats
from resmem_cli.model.kernel import TINY

REGRESSION_METRICS = ("rmse", "mae", "r2")
CLASSIFICATION_METRICS = ("log_loss", "accuracy", "balanced_accuracy", "roc_auc", "brier")
LOWER_IS_BETTER = frozenset({"rmse", "mae", "log_loss", "brier"})
_RESAMPLES = 1_000
_LEAST_RESAMPLES = 200
_MOST_DRAWS = 200_000_000  # rows times resamples, past which fewer resamples are taken


# What can be asked of the folds to make best, per task; the first is the default.
REGRESSION_OBJECTIVES = ("rmse", "mae")
CLASSIFICATION_OBJECTIVES = ("log_loss", "accuracy")


def objectives(is_regression: bool) -> tuple[str, ...]:
    """Return what can be made best in a task; the first is the default."""
    return REGRESSION_OBJECTIVES if is_regression else CLASSIFICATION_OBJECTIVES


def row_loss(y: Floats, predictions: Floats, objective: str | None = None) -> Floats:
    """Return [n] the loss whose mean is the objective's: its square for rmse, one minus it for accuracy.

    Without an objective it is the squared error of numbers, and minus the log of the class's probability.
    """
    if predictions.shape[1] == 1:
        error = y - predictions[:, 0]
        return np.abs(error) if objective == "mae" else np.square(error)
    if objective == "accuracy":  # of equally probable classes the first is predicted
        return np.asarray(predictions.argmax(axis=1) != y, dtype=np.float64)
    return -np.log(np.maximum(predictions[np.arange(len(y)), y.astype(np.int64)], TINY))


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
    return base - resmem if metric in LOWER_IS_BETTER else resmem - base


def as_percent(difference: float, base: float) -> float:
    """Return a gain, or its error, relative to the base's value; NaN where that is 0 and the gain is not."""
    if difference == 0:
        return 0.0
    return 100 * difference / abs(base) if base else float("nan")


@dataclass(frozen=True)
class Comparison:
    """One metric of the base and of the whole, and the interval of the difference.

    Attributes:
        base, resmem: the metric's values.
        gain: in the metric's units, positive when the memory is better.
        gain_percent: the gain relative to the base's value.
        ci95: the 95 % percentile interval of `gain_percent` over paired bootstrap resamples of the rows.
    """

    base: float
    resmem: float
    gain: float
    gain_percent: float
    ci95: tuple[float, float]


def compare(y: Floats, base: Floats, resmem: Floats, weight: Floats | None, seed: int) -> dict[str, Comparison]:
    """Compare two predictions of the same rows by every metric of their task.

    Args:
        y: [n] numbers, or class codes.
        base: [n, outputs] numbers or probabilities.
        resmem: [n, outputs] likewise.
        weight: [n] row weights or None.
        seed: of the resamples.
    """
    own = np.ones(len(y)) if weight is None else weight
    is_regression = base.shape[1] == 1
    prepare = _Regression if is_regression else _Classification
    before, after = prepare(y, base), prepare(y, resmem)
    names = REGRESSION_METRICS if is_regression else CLASSIFICATION_METRICS
    points = {name: (before.value(name, own), after.value(name, own)) for name in names}
    percents: dict[str, list[float]] = {name: [] for name in names}
    for times in _resamples(len(y), seed):
        drawn = times * own
        for name in names:
            percents[name].append(_percent(name, before.value(name, drawn), after.value(name, drawn)))
    return {name: _comparison(name, *points[name], percents[name]) for name in names}


def _comparison(name: str, base: float, resmem: float, percents: list[float]) -> Comparison:
    known = np.array([value for value in percents if np.isfinite(value)])
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return Comparison(base, resmem, gain(name, base, resmem), _percent(name, base, resmem), (float(low), float(high)))


def _percent(name: str, base: float, resmem: float) -> float:
    return as_percent(gain(name, base, resmem), base)


def _resamples(n: int, seed: int) -> Iterator[Floats]:
    """Yield, per resample, how often each of n rows was drawn in n draws with replacement."""
    rng = np.random.default_rng(seed)
    for _ in range(int(np.clip(_MOST_DRAWS // max(n, 1), _LEAST_RESAMPLES, _RESAMPLES))):
        yield np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)


class _Regression:
    def __init__(self, y: Floats, predictions: Floats) -> None:
        self._y = y
        error = predictions[:, 0] - y
        self._squared, self._absolute = np.square(error), np.abs(error)

    def value(self, name: str, weight: Floats) -> float:
        total = weight.sum()
        if name == "mae":
            return float(weight @ self._absolute / total)
        mse = weight @ self._squared / total
        if name == "rmse":
            return float(np.sqrt(mse))
        mean = weight @ self._y / total
        variance = weight @ np.square(self._y - mean) / total
        return float(1 - mse / variance) if variance > 0 else float("nan")


class _Classification:
    def __init__(self, y: Floats, probabilities: Floats) -> None:
        codes = y.astype(np.int64)
        n_classes = probabilities.shape[1]
        # Of equally probable classes the first is predicted, as `predict` does.
        correct = (probabilities.argmax(axis=1) == codes).astype(np.float64)
        one_hot = np.eye(n_classes)[codes]
        self._codes, self._n_classes = codes, n_classes
        self._correct = correct
        self._log = row_loss(y, probabilities)
        # The Brier score of two classes is that of one of them, by convention half of the sum over both.
        self._brier = np.square(probabilities - one_hot).sum(axis=1) / (2 if n_classes == 2 else 1)
        ranked = [1] if n_classes == 2 else range(n_classes)
        self._areas = [_Area(probabilities[:, c], codes == c) for c in ranked]
        self._values: dict[str, Callable[[Floats], float]] = {
            "log_loss": lambda weight: float(weight @ self._log / weight.sum()),
            "accuracy": lambda weight: float(weight @ self._correct / weight.sum()),
            "brier": lambda weight: float(weight @ self._brier / weight.sum()),
            "balanced_accuracy": self._balanced_accuracy,
            "roc_auc": lambda weight: _mean([area.value(weight) for area in self._areas]),
        }

    def value(self, name: str, weight: Floats) -> float:
        return self._values[name](weight)

    def _balanced_accuracy(self, weight: Floats) -> float:
        totals = np.bincount(self._codes, weight, self._n_classes)
        hits = np.bincount(self._codes, weight * self._correct, self._n_classes)
        present = totals > 0
        return float((hits[present] / totals[present]).mean())


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


def _mean(values: list[float]) -> float:
    """The mean of what is known: a class without rows has no curve."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
