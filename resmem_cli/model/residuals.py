"""Residuals of very many classes: of each row its own class and those that the base finds most probable.

A residual y - f has one entry per class, and nearly all of them are about 0: the base gives most of its probability to
few classes. The largest entries are kept, the others are 0. A memory of them costs as much of 10,000 classes as of 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from resmem_cli.model.arrays import FLOAT, Arrays, Floats, Integers, row_blocks, stored, stored_codes
from resmem_cli.model.bases.protocol import Base
from resmem_cli.model.kernel import tempered

N_LARGEST = 16  # classes of a row beside its own: 32 take twice the memory for 0.3 % of the loss (docs/decisions.md)
CLASSES = "residual_classes"  # the name of an array
_MOST_IN_CELL = 64  # classes of a cell, which rows of many classes may share
# In the place of predictions of all rows, where a space looks at none: those that are not trained.
NOT_NEEDED: Floats = np.empty((0, 0))


@dataclass(frozen=True)
class SparseResiduals:
    """Residuals of which each has e entries; its other classes have 0.

    Attributes:
        classes: [..., e] codes, all different but where a value is 0.
        values: [..., e].
        n_classes: how many classes there are.
    """

    classes: Integers
    values: Floats
    n_classes: int

    @property
    def n_entries(self) -> int:
        """How many numbers are held of each residual."""
        return int(self.classes.shape[-1])

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, which: Any) -> SparseResiduals:
        """Return some of the residuals, in the shape of their numbers."""
        return SparseResiduals(self.classes[which], self.values[which], self.n_classes)

    def dense(self) -> Floats:
        """Return [n, n_classes] all classes of [n] residuals, which must be few."""
        every = np.zeros((len(self), self.n_classes))
        np.add.at(every, (np.arange(len(self))[:, None], self.classes), self.values)
        return every

    def of_classes(self, classes: Integers) -> Floats:
        """Return [n, k] of [n, k] residuals the value of one class per row, [n]."""
        is_class = self.classes == classes[:, None, None]
        return np.asarray(np.where(is_class, self.values, 0.0).sum(axis=-1))

    def cell_means(self, of_rows: Integers, counts: Floats, weight: Floats | None) -> SparseResiduals:
        """Return the (weighted) mean residual of each of m cells; of very many classes in one the largest values.

        Args:
            of_rows: [n] the cell of each residual.
            counts: [m] how much weight each cell stands for.
            weight: [n], or None.
        """
        cells = np.repeat(of_rows, self.n_entries)
        values = (self.values if weight is None else self.values * weight[:, None]).ravel()
        keys, places = np.unique(cells * self.n_classes + self.classes.ravel(), return_inverse=True)
        sums = np.bincount(places, values, len(keys))
        of_keys, classes = np.divmod(keys, self.n_classes)
        # The entries of a cell next to each other, the largest first.
        order = np.lexsort((-np.abs(sums), of_keys))
        starts = np.searchsorted(of_keys[order], np.arange(len(counts)))
        rank = np.arange(len(keys)) - starts[of_keys[order]]
        width = min(int(rank.max(initial=0)) + 1, max(_MOST_IN_CELL, self.n_entries))
        kept, rank = order[rank < width], rank[rank < width]
        shape = len(counts), width
        means = SparseResiduals(np.zeros(shape, dtype=np.int64), np.zeros(shape), self.n_classes)
        means.classes[of_keys[kept], rank] = classes[kept]
        means.values[of_keys[kept], rank] = sums[kept]
        means.values[:] /= np.where(counts > 0, counts, 1.0)[:, None]
        return means


Residuals = Floats | SparseResiduals


def joined(parts: Sequence[Residuals]) -> Residuals:
    """Return the residuals of all parts, which are of one kind."""
    sparse = [part for part in parts if isinstance(part, SparseResiduals)]
    dense = [part for part in parts if not isinstance(part, SparseResiduals)]
    if sparse and dense:
        raise TypeError("residuals of different kinds")
    if dense:
        return np.concatenate(dense)
    wide = max(part.n_entries for part in sparse)
    classes, values = (
        np.concatenate([np.pad(array, ((0, 0), (0, wide - array.shape[1]))) for array in arrays])
        for arrays in ([part.classes for part in sparse], [part.values for part in sparse])
    )
    return SparseResiduals(classes, values, sparse[0].n_classes)


def values_of(residuals: Residuals) -> Floats:
    """Return [n, numbers] all that is held of residuals."""
    return residuals.values if isinstance(residuals, SparseResiduals) else residuals


def to_arrays(residuals: Residuals) -> Arrays:
    """Return what is stored of residuals."""
    if isinstance(residuals, SparseResiduals):
        return {"residuals": residuals.values, CLASSES: residuals.classes}
    return {"residuals": residuals}


def from_arrays(arrays: Arrays, n_rows: int, n_classes: int, *, finite: bool = True) -> Residuals:
    """Return the [n_rows] residuals that were stored; `n_classes` is 0 of numbers.

    Raises:
        KeyError, ValueError: they are damaged.
    """
    if CLASSES not in arrays:
        return stored(arrays, "residuals", FLOAT, n_rows, n_classes or 1, finite=finite)
    classes = stored_codes(arrays, CLASSES, n_classes, n_rows, None)
    if classes.dtype.kind != "i" or not 1 <= classes.shape[1] <= n_classes:
        raise ValueError("the classes of the residuals are not those of the target")
    return SparseResiduals(classes, stored(arrays, "residuals", FLOAT, *classes.shape, finite=finite), n_classes)


def sparse_residuals(
    base: Base, X: Floats, y: Floats, n_classes: int, temperatures: Sequence[float], *, n_largest: int = N_LARGEST
) -> dict[float, SparseResiduals]:
    """Return, by temperature, the [n] residuals of a base's predictions; a temperature changes no order of classes.

    Args:
        base: what is asked, for a block of the rows at a time.
        X: [n, d] encoded rows.
        y: [n] class codes.
        n_classes: how many there are.
        temperatures: of the predictions.
        n_largest: how many of the most probable classes are kept beside the row's own.
    """
    width, codes = min(n_largest + 1, n_classes), y.astype(np.int64)
    classes = np.empty((len(y), width), dtype=np.int64)
    values = {temperature: np.empty((len(y), width)) for temperature in temperatures}
    for part in row_blocks(len(y), n_classes):
        predictions = base.predict(X[part])
        ranked = predictions.copy()
        ranked[np.arange(len(ranked)), codes[part]] = np.inf  # the own class is always one of them
        classes[part] = np.argpartition(ranked, n_classes - width, axis=1)[:, n_classes - width :]
        is_own = classes[part] == codes[part, None]
        for temperature, of_temperature in values.items():
            kept = np.take_along_axis(tempered(predictions, temperature), classes[part], axis=1)
            of_temperature[part] = is_own - kept
    return {temperature: SparseResiduals(classes, each, n_classes) for temperature, each in values.items()}
