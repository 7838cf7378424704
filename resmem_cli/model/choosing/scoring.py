"""The losses of the settings on a fold's held-out rows, whose neighbours were searched once.

Every setting reads the same arrays: the first k of the neighbours, weighted by any bandwidth, added by any shrinkage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from resmem_cli.model import conformal
from resmem_cli.model.arrays import Floats
from resmem_cli.model.choosing.candidates import Candidate
from resmem_cli.model.choosing.fold import Fold
from resmem_cli.model.kernel import Corrections, Settings
from resmem_cli.model.metrics import row_loss

_MOST_SCORED = 100_000  # held-out rows times classes that the grid is scored on
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
    for part in _parts(fold, most_neighbors, most_held):
        corrections = _corrections(part, candidate)
        of_part = (row_loss(part.y, corrections.predictions(each), objective) for each in settings)
        total += [float(loss @ part.weight) for loss in of_part]
    mean: Floats = total / fold.weight.sum()
    return mean


def predictions(fold: Fold, candidate: Candidate, settings: Settings, *, most_held: int = _HELD_RESIDUALS) -> Floats:
    """Return the [q, outputs] corrected predictions of one setting."""
    parts = _parts(fold, settings.n_neighbors, most_held)
    return np.concatenate([_corrections(part, candidate).predictions(settings) for part in parts])


def spreads(fold: Fold, candidate: Candidate, settings: Settings) -> Floats:
    """Return [q] the standard deviation of the residuals of each held-out row's neighbours, of numbers."""
    each = []
    for part in _parts(fold, settings.n_neighbors, _HELD_RESIDUALS):
        corrections = _corrections(part, candidate)
        residuals = corrections.residuals(settings)[:, :, 0]
        each.append(conformal.spread(residuals, corrections.counts[:, : settings.n_neighbors]))
    return np.concatenate(each)


def thinned(fold: Fold, n_folds: int) -> Fold:
    """Return evenly spaced rows of a fold that is larger than scoring the whole grid is worth."""
    step = -(-fold.predictions[0].size * n_folds // _MOST_SCORED)
    return fold.take(np.arange(0, len(fold.y), max(step, 1)))


def _corrections(fold: Fold, candidate: Candidate) -> Corrections:
    view = fold.views[candidate]
    return Corrections(
        fold.predictions[candidate.base],
        view.distances,
        view.counts[view.cells],
        lambda temperature: view.residuals[temperature][view.cells],
        view.trend,
    )


def _parts(fold: Fold, n_neighbors: int, most_held: int) -> Iterator[Fold]:
    """Cut a fold into parts whose neighbours' residuals are few enough to hold."""
    n_rows = max(1, most_held // (n_neighbors * fold.predictions[0].shape[1]))
    for start in range(0, len(fold.y), n_rows):
        yield fold.take(np.arange(start, min(start + n_rows, len(fold.y))))
