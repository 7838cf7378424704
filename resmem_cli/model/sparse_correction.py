"""The correction of very many classes: by sparse residuals, it moves few of a row's probabilities.

    S        the classes of which a neighbour of the row remembers something
    q_c      clip(f_c + γ g_c, 0, 1) for c in S, and f_c for the others
    Σ q_c  = Σ of f_c outside S, which no setting changes, + Σ of q_c in S

so that beside f itself, hundreds of settings cost no more of 10,000 classes than S has. The formula is `kernel`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.arrays import Floats, Integers
from resmem_cli.model.kernel import KEPT, Corrections, Settings, tempered
from resmem_cli.model.residuals import SparseResiduals


@dataclass(frozen=True)
class Support:
    """The pairs of a row and a class that the neighbours' residuals move, in order.

    Attributes:
        base: [n, classes] f of every class.
        rest: [n] the sum of f outside the pairs.
        rows, classes: [pairs].
        starts: [n] the first pair of each row.
        base_at: [pairs] f.
        values, places: [n, k, e] of every entry of a neighbour's residual, its value and its pair.
    """

    base: Floats
    rest: Floats
    rows: Integers
    classes: Integers
    starts: Integers
    base_at: Floats
    values: Floats
    places: Integers

    @classmethod
    def of(cls, base: Floats, residuals: SparseResiduals) -> Support:
        """Return that of [n, classes] f and [n, k] residuals."""
        n_rows, n_classes = base.shape
        keys = np.arange(n_rows)[:, None, None] * n_classes + residuals.classes
        is_moved = np.zeros(base.size, dtype=np.bool_)
        is_moved[keys] = True
        pairs = np.flatnonzero(is_moved)
        place = np.empty(base.size, dtype=np.int64)  # of the keys that are pairs
        place[pairs] = np.arange(len(pairs))
        rows, classes = np.divmod(pairs, n_classes)
        starts = np.searchsorted(rows, np.arange(n_rows))
        rest = np.where(is_moved.reshape(base.shape), 0.0, base).sum(axis=1)
        return cls(base, rest, rows, classes, starts, base.ravel()[pairs], residuals.values, place[keys])

    def correction(self, weights: Floats) -> Floats:
        """Return [pairs] g by the [n, k] weights of the neighbours."""
        moved = weights[:, :, None] * self.values
        return np.asarray(np.bincount(self.places.ravel(), moved.ravel(), len(self.rows)))

    def clipped(self, correction: Floats, shrinkage: float) -> tuple[Floats, Floats]:
        """Return [pairs] q of the pairs, and [n] the sums of q over all classes."""
        clipped = np.clip(self.base_at + shrinkage * correction, 0.0, 1.0)
        return clipped, self.rest + np.add.reduceat(clipped, self.starts)


class SparseCorrections(Corrections):
    """As `kernel.Corrections`, by residuals of which only some classes are held."""

    def __init__(
        self, base: Floats, distances: Floats, counts: Floats, residuals: Callable[[float], SparseResiduals]
    ) -> None:
        super().__init__(base, distances, counts, _not_held)
        self._sparse_at = residuals
        # What was computed last: most settings share it with the one before.
        self._tempered: tuple[float, Floats, SparseResiduals] | None = None
        self._support: tuple[tuple[float, int], Support] | None = None

    def predictions(self, settings: Settings) -> Floats:
        """Return y', [n, classes]."""
        if settings.shrinkage == 0:
            return tempered(self.base, settings.temperature)
        support = self.support(settings)
        clipped, total = support.clipped(self.correction(settings), settings.shrinkage)
        every = _kept(support.base, support.base, total[:, None])
        every[support.rows, support.classes] = _kept(support.base_at, clipped, total[support.rows])
        return every

    def correction(self, settings: Settings) -> Floats:
        """Return g of the pairs of rows and classes that a neighbour's residual moves."""
        key = (settings.n_neighbors, settings.bandwidth, settings.is_relative, settings.temperature)
        return self._once("correction", key, lambda: self.support(settings).correction(self.weights(settings)))

    def neighbor_residuals(self, settings: Settings) -> SparseResiduals:
        """Return [n, k] residuals of the settings' neighbours."""
        return self._sparse_at(settings.temperature)[:, : settings.n_neighbors]

    def support(self, settings: Settings) -> Support:
        """Return what the residuals of the settings' neighbours move."""
        key, temperature = (settings.temperature, settings.n_neighbors), settings.temperature
        if self._tempered is None or self._tempered[0] != temperature:
            self._tempered = temperature, tempered(self.base, temperature), self._sparse_at(temperature)
        if self._support is None or self._support[0] != key:
            _, base, residuals = self._tempered
            self._support = key, Support.of(base, residuals[:, : settings.n_neighbors])
        return self._support[1]


@dataclass(frozen=True)
class _Truth:
    """Where the classes of rows are in a support.

    Attributes:
        place: [n] the pair of each row and its class, if it is one.
        is_pair: [n] whether it is.
        own: [n] f of the class.
        others: [n] the largest f of a class that is neither the row's nor in a pair; 0 if that is not to be known.
    """

    place: Integers
    is_pair: NDArray[np.bool_]
    own: Floats
    others: Floats

    @classmethod
    def of(cls, y: Integers, support: Support, *, with_others: bool) -> _Truth:
        n_rows, n_classes = support.base.shape
        every, pairs = np.arange(n_rows), support.rows * n_classes + support.classes
        keys = every * n_classes + y
        place = np.minimum(np.searchsorted(pairs, keys), len(pairs) - 1)
        others = np.zeros(n_rows)
        if with_others:
            left = support.base.copy()
            left[support.rows, support.classes] = 0.0
            left[every, y] = 0.0
            others = left.max(axis=1)
        return cls(place, pairs[place] == keys, support.base[every, y], others)


class CollapsedCorrections:
    """Corrected predictions of rows whose classes are known: of each row two probabilities, see `collapsed`."""

    def __init__(self, corrections: SparseCorrections, y: Floats, *, with_others: bool) -> None:
        self._corrections, self._y, self._with_others = corrections, y.astype(np.int64), with_others
        self._last: tuple[Support, _Truth] | None = None

    def predictions(self, settings: Settings) -> Floats:
        """Return [n, 2] what `collapsed` makes of y'."""
        if settings.shrinkage == 0:
            base = tempered(self._corrections.base, settings.temperature)
            return collapsed(base, self._y, with_others=self._with_others)
        support = self._corrections.support(settings)
        truth = self._truth(support)
        clipped, total = support.clipped(self._corrections.correction(settings), settings.shrinkage)
        own = _kept(truth.own, np.where(truth.is_pair, clipped[truth.place], truth.own), total)
        if not self._with_others:
            return np.column_stack([own, 1 - own])
        moved = _kept(support.base_at, clipped, total[support.rows])
        moved[truth.place[truth.is_pair]] = 0.0
        others = np.maximum(_kept(truth.others, truth.others, total), np.maximum.reduceat(moved, support.starts))
        return np.column_stack([own, others])

    def _truth(self, support: Support) -> _Truth:
        if self._last is None or self._last[0] is not support:
            self._last = support, _Truth.of(self._y, support, with_others=self._with_others)
        return self._last[1]


def corrections(
    base: Floats,
    distances: Floats,
    counts: Floats,
    residuals: Callable[[float], Any],
    trend: Floats | None,
    *,
    is_sparse: bool,
) -> Corrections:
    """Return the corrected predictions of n rows under any settings, as `Corrections` takes them.

    `residuals` gives those of the [n, k] neighbours, sparse ones or of all outputs.
    """
    if not is_sparse:
        return Corrections(base, distances, counts, residuals, trend)
    if trend is not None:
        raise ValueError("sparse residuals have no trend")
    return SparseCorrections(base, distances, counts, residuals)


def collapsed(predictions: Floats, y: Integers, *, with_others: bool = True) -> Floats:
    """Return [n, 2] of [n, classes] probabilities that of the row's own class, and the largest other one.

    Both losses of a row depend on these alone: as if there were two classes, and the truth were always the first. The
    mean of several models' gives the log-loss of their mean exactly, and its accuracy from below, as the largest others
    need not be of one class. Without others, the second is the rest.
    """
    every = np.arange(len(y))
    own = predictions[every, y]
    if not with_others:
        return np.column_stack([own, 1 - own])
    left = predictions.copy()
    left[every, y] = 0.0
    return np.column_stack([own, left.max(axis=1)])


def _kept(base: Floats, clipped: Floats, total: Floats) -> Floats:
    """Return y' of [...] f and q, and the sums of q of the rows; f itself where they are 0."""
    has_some = total > 0
    normalised = np.where(has_some, clipped / np.where(has_some, total, 1.0), base)
    return np.asarray((1 - KEPT) * normalised + KEPT * base)


def _not_held(temperature: float) -> Floats:
    raise AssertionError("sparse residuals are not held of every class")
