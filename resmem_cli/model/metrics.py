"""Losses per row, and the metrics of `evaluate`.

Every metric is a function of weighted sums over the rows, so that a bootstrap resample (how often each row counts) is
just other weights of the same rows, and the sums over parts of the rows add up to those over all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model import ranking
from resmem_cli.model.arrays import MOST_DENSE, Floats, mean_of_known, quotients
from resmem_cli.model.kernel import TINY
from resmem_cli.model.targets import Targets

_OUTLIER_ONE_IN = 1_000  # rows


@dataclass(frozen=True)
class Metric:
    """A metric of predictions.

    Attributes:
        statistics: takes [n] targets (numbers, or class codes) and [n, outputs] predictions (numbers, or
            probabilities), and returns what is to be added up over the rows: [n] or [n, s] numbers, or a sparse matrix.
        value: takes the [s, K] sums for K weightings of the rows, and what is known of their targets, and returns [K]
            values; NaN where there is none.
        is_regression: whether it is one of numbers, or of classes.
        lower_is_better: whether it is a loss.
        needs_every_class: whether it needs more of probabilities than `Reduced` has.
        by_class: whether the statistics are as many as there are classes.
        binned: where the statistics of a row follow from all rows, so that their sums cannot be added to those of other
            rows: returns nearly the same metric, by so many bins, of which they can.
    """

    statistics: Callable[[Floats, Any], Any]
    value: Callable[[Floats, Targets], Floats]
    is_regression: bool
    lower_is_better: bool
    needs_every_class: bool = False
    by_class: bool = False
    binned: Callable[[int], Metric] | None = None

    @classmethod
    def of_mean(cls, loss: Callable[[Floats, Any], Floats], *, is_regression: bool, lower_is_better: bool) -> Self:
        """Return the metric that is the mean of a loss, or a score, per row."""
        return cls(loss, _mean, is_regression, lower_is_better)


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


def outlier_bound(losses: Floats) -> float:
    """Return which of [n] losses all but the largest thousandth do not exceed.

    Squared errors have no bound: one row to which a line extrapolates can outweigh all others.
    """
    return float(np.sort(losses)[-1 - len(losses) // _OUTLIER_ONE_IN])


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


def _mean(sums: Floats, targets: Targets) -> Floats:
    return quotients(sums[0], targets.weight)


def _errors(y: Floats, predictions: Floats) -> Floats:
    return np.asarray(predictions[:, 0] - y)


def _r2(sums: Floats, targets: Targets) -> Floats:
    return 1 - quotients(sums[0], targets.squares)


def _recalled(y: Floats, probabilities: Predictions) -> Any:
    """Return a sparse [n, 2 * classes] matrix: the class of each row, and again where it is predicted."""
    from scipy import sparse  # here, because only evaluating needs it

    codes, n_classes = y.astype(np.int64), probabilities.shape[1]
    values = np.column_stack([np.ones(len(y)), _is_right(y, probabilities)])
    at = np.column_stack([codes, n_classes + codes])
    return sparse.csr_array((values.ravel(), at.ravel(), np.arange(0, 2 * len(y) + 1, 2)), (len(y), 2 * n_classes))


def _balanced_accuracy(sums: Floats, targets: Targets) -> Floats:
    totals, hits = np.split(sums, 2)
    return mean_of_known(quotients(hits, totals))


def _brier(y: Floats, probabilities: Predictions) -> Floats:
    n_classes = probabilities.shape[1]
    if isinstance(probabilities, Reduced):
        return np.asarray(probabilities.squares - 2 * probabilities.own + 1)
    one_hot = np.eye(n_classes)[y.astype(np.int64)]
    # That of two classes is of one of them, by convention half of the sum over both.
    return np.asarray(np.square(probabilities - one_hot).sum(axis=1) / (2 if n_classes == 2 else 1))


def _roc_auc(n_bins: int | None = None) -> Metric:
    """Return the area under the ROC curve: exact, by cells that follow from all rows, or by so many bins of scores."""
    return Metric(
        lambda y, probabilities: ranking.statistics(y, probabilities, n_bins),
        lambda sums, targets: ranking.area(sums, targets.n_outputs),
        is_regression=False,
        lower_is_better=False,
        needs_every_class=True,
        by_class=True,
        binned=_roc_auc if n_bins is None else None,
    )


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


# Every metric that is measured; adding one here is all that it takes.
METRICS: dict[str, Metric] = {
    "rmse": Metric(
        lambda y, p: np.square(_errors(y, p)),
        lambda sums, targets: np.sqrt(_mean(sums, targets)),
        is_regression=True,
        lower_is_better=True,
    ),
    "mae": Metric.of_mean(lambda y, p: np.abs(_errors(y, p)), is_regression=True, lower_is_better=True),
    "r2": Metric(lambda y, p: np.square(_errors(y, p)), _r2, is_regression=True, lower_is_better=False),
    "log_loss": Metric.of_mean(row_loss, is_regression=False, lower_is_better=True),
    "accuracy": Metric.of_mean(_is_right, is_regression=False, lower_is_better=False),
    "balanced_accuracy": Metric(
        _recalled, _balanced_accuracy, is_regression=False, lower_is_better=False, by_class=True
    ),
    "roc_auc": _roc_auc(),
    "brier": Metric.of_mean(_brier, is_regression=False, lower_is_better=True),
}
