"""The area under ROC curves, from the weights of the rows in cells of a class's scores.

What counts is which rows are ranked before which: rows of one cell are tied, and cells are in the order of the scores.
The weights of the rows in each cell, of the class and of the others, are sums, as other metrics have them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.arrays import Floats, mean_of_known, quotients

Cells = NDArray[np.int64]
_LARGEST_LOGIT, _EVEN_LOGIT = 16.0, 2.0


def exact(scores: Floats, is_class: NDArray[np.bool_]) -> Cells:
    """Return [n] cells of a class's scores that lose nothing.

    Rows with equal scores share one. So do neighbouring ones that are all of the class, or all of others: nothing that
    is compared lies between them.
    """
    order = np.argsort(scores, kind="stable")
    ordered, positive = scores[order], is_class[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    n_positive = np.add.reduceat(positive.astype(np.int64), starts)
    n_tied = np.diff(np.r_[starts, len(order)])
    pure = np.select([n_positive == 0, n_positive == n_tied], [0, 1], 2)
    begins = np.r_[True, (pure[1:] != pure[:-1]) | (pure[1:] == 2)]
    cells = np.empty(len(order), dtype=np.int64)
    cells[order] = np.repeat(np.cumsum(begins) - 1, n_tied)
    return cells


def binned(scores: Floats, n_bins: int) -> Cells:
    """Return [n] cells of probabilities that are the same wherever they are computed: bins of their logit.

    They are about even where that is small, and wider the larger it is, since it is not known where the scores lie.
    What is no number comes last, as when scores are sorted.
    """
    with np.errstate(divide="ignore"):
        logit = np.log(scores) - np.log1p(-np.minimum(scores, 1.0))
    scaled = np.arcsinh(np.clip(logit, -_LARGEST_LOGIT, _LARGEST_LOGIT) / _EVEN_LOGIT)
    share = (scaled / np.arcsinh(_LARGEST_LOGIT / _EVEN_LOGIT) + 1) / 2
    share = np.where(np.isnan(share), 1.0, share)  # a NaN made a whole number differs by processor
    bins: Cells = np.minimum((share * n_bins).astype(np.int64), n_bins - 1)
    return bins


def statistics(y: Floats, probabilities: Floats, n_bins: int | None = None) -> Any:
    """Return a sparse [n, ranked classes * cells * 2] matrix: which cell of each class's scores a row is in.

    The cells are `exact`, or so many bins. Of two columns that follow each other the first is of the rows of other
    classes, the second of those of the class.
    """
    from scipy import sparse  # here, because only evaluating needs it

    n_classes = probabilities.shape[1]
    of_class = [y == c for c in ranked(n_classes)]
    scores = [probabilities[:, c] for c in ranked(n_classes)]
    if n_bins is None:
        cells = [exact(each, own) for each, own in zip(scores, of_class, strict=True)]
        n_cells = 1 + max(int(each.max()) for each in cells)
    else:
        cells, n_cells = [binned(each, n_bins) for each in scores], n_bins
    at = [2 * (i * n_cells + each) + own for i, (each, own) in enumerate(zip(cells, of_class, strict=True))]
    indices = np.stack(at, axis=1).ravel()
    starts = np.arange(len(y) + 1) * len(cells)
    return sparse.csr_array((np.ones(len(indices)), indices, starts), (len(y), 2 * n_cells * len(cells)))


def area(sums: Floats, n_classes: int) -> Floats:
    """Return [K] the mean area of the classes of which some rows are and others are not; NaN if there is none."""
    others, own = _per_class(sums, n_classes)
    before = np.cumsum(others, axis=1)
    before -= others / 2  # of tied rows half are ranked before
    return mean_of_known(quotients(np.einsum("cgk,cgk->ck", own, before), own.sum(axis=1) * others.sum(axis=1)))


def greatest_error(sums: Floats, n_classes: int) -> Floats:
    """Return [K] how far `area` may be from that of the scores themselves: half of the pairs that share a cell."""
    others, own = _per_class(sums, n_classes)
    return mean_of_known(quotients((own * others).sum(axis=1) / 2, own.sum(axis=1) * others.sum(axis=1)))


def ranked(n_classes: int) -> range:
    """Return the classes whose scores are ranked; of two, one tells all."""
    return range(1, 2) if n_classes == 2 else range(n_classes)


def _per_class(sums: Floats, n_classes: int) -> tuple[Floats, Floats]:
    n_ranked = len(ranked(n_classes))
    cells = sums.reshape(n_ranked, len(sums) // (2 * n_ranked), 2, sums.shape[1])
    return cells[:, :, 0], cells[:, :, 1]
