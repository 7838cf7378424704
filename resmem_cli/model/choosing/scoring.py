"""The losses of the settings on a fold's held-out rows, whose neighbours were searched once.

Every setting reads the same arrays: the first k of the neighbours, weighted by any bandwidth, added by any shrinkage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from resmem_cli.model import conformal
from resmem_cli.model.arrays import Floats, row_blocks
from resmem_cli.model.choosing.candidates import Candidate
from resmem_cli.model.choosing.fold import Fold
from resmem_cli.model.kernel import Corrections, Settings, tempered
from resmem_cli.model.metrics import row_loss
from resmem_cli.model.sparse_correction import CollapsedCorrections, SparseCorrections, collapsed, corrections

_MOST_SCORED = 100_000  # held-out rows times the numbers of a residual that the grid is scored on
_RANKS = "accuracy"  # the objective that asks which class is the most probable
_HELD_RESIDUALS = 500_000  # of neighbours, at once


def losses(
    fold: Fold,
    candidate: Candidate,
    settings: Sequence[Settings],
    objective: str,
    *,
    most_held: int = _HELD_RESIDUALS,
) -> Floats:
    """Return [settings] the mean held-out loss of each; those that share most are best next to each other."""
    most_neighbors = max(each.n_neighbors for each in settings)
    total = np.zeros(len(settings))
    for part in _parts(fold, candidate, most_neighbors, most_held):
        corrected, y = _corrected(part, candidate, objective), truth(part)
        of_part = (row_loss(y, corrected.predictions(each), objective) for each in settings)
        total += [float(loss @ part.weight) for loss in of_part]
    mean: Floats = total / fold.weight.sum()
    return mean


def truth(fold: Fold) -> Floats:
    """Return [q] targets of the predictions that are given here; of very many classes the first of two columns."""
    return np.zeros(len(fold.y)) if fold.is_sparse else fold.y


def of_base(fold: Fold, objective: str, temperature: float = 1.0) -> Floats:
    """Return the [q, outputs] predictions of the base; of very many classes [q, 2] what `collapsed` makes of them."""
    predictions = fold.base
    if not fold.is_sparse:
        return tempered(predictions, temperature)
    codes, with_others = fold.y.astype(np.int64), objective == _RANKS
    parts = row_blocks(len(codes), predictions.shape[1])
    each = (collapsed(tempered(predictions[p], temperature), codes[p], with_others=with_others) for p in parts)
    return np.concatenate(list(each))


def predictions(
    fold: Fold,
    candidate: Candidate,
    settings: Settings,
    objective: str | None = None,
    *,
    most_held: int = _HELD_RESIDUALS,
) -> Floats:
    """Return the [q, outputs] corrected predictions of one setting; of very many classes [q, 2] as `of_base`."""
    parts = _parts(fold, candidate, settings.n_neighbors, most_held)
    return np.concatenate([_corrected(part, candidate, objective).predictions(settings) for part in parts])


def neighbor_stds(fold: Fold, candidate: Candidate, settings: Settings) -> Floats:
    """Return [q] the standard deviation of the residuals of each held-out row's neighbours, of numbers."""
    each = []
    for part in _parts(fold, candidate, settings.n_neighbors, _HELD_RESIDUALS):
        found = _corrections(part, candidate)
        residuals = found.residuals(settings)[:, :, 0]
        each.append(conformal.neighbor_std(residuals, found.counts[:, : settings.n_neighbors]))
    return np.concatenate(each)


def thinned(fold: Fold, n_folds: int) -> Fold:
    """Return evenly spaced rows of a fold that is larger than scoring the whole grid is worth."""
    step = -(-len(fold.y) * fold.n_held * n_folds // _MOST_SCORED)
    return fold.take(np.arange(0, len(fold.y), max(step, 1)))


def _corrections(fold: Fold, candidate: Candidate) -> Corrections:
    view = fold.views[candidate]
    return corrections(
        fold.predictions[candidate.base],
        view.distances,
        view.counts[view.cells],
        lambda temperature: view.residuals[temperature][view.cells],
        view.trend,
        is_sparse=view.is_sparse,
    )


def _corrected(fold: Fold, candidate: Candidate, objective: str | None) -> Corrections | CollapsedCorrections:
    """Return what gives the corrected predictions of settings, of which a loss is taken."""
    found = _corrections(fold, candidate)
    if isinstance(found, SparseCorrections):
        return CollapsedCorrections(found, fold.y, with_others=objective == _RANKS)
    return found


def _parts(fold: Fold, candidate: Candidate, n_neighbors: int, most_held: int) -> Iterator[Fold]:
    """Cut a fold, of one candidate, into parts whose neighbours' residuals are few enough to hold."""
    fold = replace(fold, views={candidate: fold.views[candidate]}, uncondensed={})
    n_rows = max(1, most_held // (n_neighbors * fold.n_held))
    for start in range(0, len(fold.y), n_rows):
        yield fold.take(np.arange(start, min(start + n_rows, len(fold.y))))
