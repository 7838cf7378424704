"""Choosing representation, k, h, γ and T honestly: K-fold of the whole procedure.

In each fold the base is fitted anew on the fold's training rows, rows are represented by that base, the memory
holds those training rows, and the held-out rows are the queries. (Leave-one-out on the rows that trained the base
is a trap: they look far better than new rows will.) Neighbours are searched once per fold and representation at the
largest k; every setting is then scored on those arrays.

What the memory gains is estimated without the optimism of choosing: in each fold the settings are those that are
best on the *other* folds. Only if that gain exceeds its standard error is the memory used; otherwise γ is 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from resmem_cli.model import kernel, representation
from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases import Base, BaseSpec, Problem
from resmem_cli.model.folds import Fold, Plan, Rows, has_enough_new, run_folds
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memory import Cells, GraphOptions
from resmem_cli.model.metrics import row_loss

_MOST_SCORED = 400_000  # held-out rows times classes that the grid is scored on
_HELD_RESIDUALS = 500_000  # of neighbours, at once
_COUNTED_ROWS = 20_000  # have as many cells as there are neighbours to choose, or nearly all cells there are


@dataclass(frozen=True)
class Grid:
    """The settings that are tried: every combination of these, for every representation."""

    representations: tuple[str, ...]
    neighbors: tuple[int, ...] = (4, 8, 16, 32, 64, 128)
    bandwidths: tuple[float, ...] = (0.05, 0.1, 0.2, 0.35, 0.6, 1.0)
    shrinkages: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    temperatures: tuple[float, ...] = (1.0, 1.5, 2.5)
    is_relative: bool = True

    @property
    def settings(self) -> list[Settings]:
        """Every combination, in the order of `_grid_losses`."""
        combinations = itertools.product(self.temperatures, self.neighbors, self.bandwidths, self.shrinkages)
        return [Settings(k, h, self.is_relative, gamma, t) for t, k, h, gamma in combinations]


@dataclass(frozen=True)
class Candidate:
    """The best settings of one representation, and the mean loss they had over all folds."""

    representation: str
    settings: Settings
    loss: float


@dataclass(frozen=True)
class Selection:
    """What was chosen, and what the folds said.

    Attributes:
        representation, settings: the choice; a shrinkage of 0 if the memory does not help.
        candidates: the best of every representation, best first.
        base_loss, resmem_loss: mean held-out loss (squared error, log-loss) of the base, and of the memory with
            settings chosen on the other folds.
        gain: their difference; positive is better.
        standard_error: of the gain, the larger of that over folds and that over rows.
        n_folds: how many folds (or groups of one split's held-out rows).
        refitted: whether each fold fitted the base anew; otherwise rows new to the base were the queries.
        n_queries: how many held-out rows the figures rest on.
        forced: whether the user chose a shrinkage above 0, so that the gain was not asked.
    """

    representation: str
    settings: Settings
    candidates: tuple[Candidate, ...]
    base_loss: float
    resmem_loss: float
    gain: float
    standard_error: float
    n_folds: int
    refitted: bool
    n_queries: int
    forced: bool

    @property
    def helps(self) -> bool:
        return self.gain > self.standard_error


def select(
    rows: Rows,
    base: Base,
    spec: BaseSpec,
    problem: Problem,
    grid: Grid,
    *,
    n_folds: int,
    graph: GraphOptions,
    threads: int,
    report: Callable[[str], None] = lambda _: None,
) -> Selection:
    """Choose from the grid by folds.

    Where the rows are (nearly) those that the base was fitted on, every fold fits the base anew; where enough of
    them are new to it, the base stays and only new rows are queries.
    """
    if grid.shrinkages == (0.0,):  # the base as it is, which has no temperature
        grid = replace(grid, temperatures=(1.0,))
    fixed = base if has_enough_new(rows.is_new) else None
    plan = Plan(spec, problem, fixed, grid.representations, max(grid.neighbors), graph)
    folds = run_folds(rows, plan, n_folds, threads=threads, report=report)
    report(f"scoring {len(grid.settings) * len(grid.representations):,} settings on {len(folds)} folds")
    chosen = _choose(folds, grid, refitted=fixed is None)
    if len(grid.neighbors) == 1:  # the user's own number: a memory that is too small for it refuses it
        return chosen
    space = representation.fit(chosen.representation, rows.X, problem.n_categories)
    n_cells = len(Cells.group(space.represent(rows.X[:_COUNTED_ROWS], base)).points)
    return replace(chosen, settings=replace(chosen.settings, n_neighbors=min(chosen.settings.n_neighbors, n_cells)))


def _choose(folds: Sequence[Fold], grid: Grid, *, refitted: bool) -> Selection:
    scored = [_thinned(fold, len(folds)) for fold in folds]
    choices = [(name, settings) for name in grid.representations for settings in grid.settings]
    losses = np.array(
        [np.concatenate([_grid_losses(fold, name, grid) for name in grid.representations]) for fold in scored]
    )
    mean = losses.mean(axis=0)
    # Per fold: the loss of what the other folds would have chosen.
    others = [choices[int(np.argmin(losses.sum(axis=0) - own))] for own in losses]
    if len(folds) == 1:
        others = [choices[int(np.argmin(mean))]]
    before = [row_loss(fold.y, fold.predictions) for fold in folds]
    after = [_setting_loss(fold, *choice) for fold, choice in zip(folds, others, strict=True)]
    weight = np.concatenate([fold.weight for fold in folds])
    difference = np.concatenate(before) - np.concatenate(after)
    gain = float(np.average(difference, weights=weight))
    by_fold = np.array([np.average(b - a, weights=f.weight) for b, a, f in zip(before, after, folds, strict=True)])
    over_folds = by_fold.std(ddof=1) / np.sqrt(len(folds)) if len(folds) > 1 else 0.0
    over_rows = np.linalg.norm(weight * (difference - gain)) / weight.sum()
    name, settings = choices[int(np.argmin(mean))]
    standard_error = float(max(over_folds, over_rows))
    forced = len(grid.shrinkages) == 1 and grid.shrinkages[0] > 0
    if not forced and not gain > standard_error:
        settings = replace(settings, shrinkage=0.0, temperature=1.0)
    best = [_best_of(name, mean, choices) for name in grid.representations]
    return Selection(
        representation=name,
        settings=settings,
        candidates=tuple(sorted(best, key=lambda candidate: candidate.loss)),
        base_loss=float(np.average(np.concatenate(before), weights=weight)),
        resmem_loss=float(np.average(np.concatenate(after), weights=weight)),
        gain=gain,
        standard_error=standard_error,
        n_folds=len(folds),
        refitted=refitted,
        n_queries=len(difference),
        forced=forced,
    )


def _thinned(fold: Fold, n_folds: int) -> Fold:
    """Return every so-manieth row of a fold that is larger than scoring the whole grid is worth."""
    step = -(-fold.predictions.size * n_folds // _MOST_SCORED)
    return fold.take(np.arange(0, len(fold.y), max(step, 1)))


def _best_of(name: str, mean: Floats, choices: Sequence[tuple[str, Settings]]) -> Candidate:
    own = [i for i, choice in enumerate(choices) if choice[0] == name]
    best = min(own, key=lambda i: mean[i])
    return Candidate(name, choices[best][1], float(mean[best]))


def _grid_losses(fold: Fold, name: str, grid: Grid) -> Floats:
    """Return the mean held-out loss of every setting of the grid, in the order of `Grid.settings`."""
    view = fold.views[name]
    total = np.zeros(len(grid.settings))
    for part in _parts(fold, max(grid.neighbors)):
        near = part.views[name]
        counts = view.counts[near.cells]
        weights = [
            kernel.weights(near.distances[:, :k], counts[:, :k], h, is_relative=grid.is_relative)
            for k, h in itertools.product(grid.neighbors, grid.bandwidths)
        ]
        losses = []
        for temperature in grid.temperatures:
            predictions = kernel.tempered(part.predictions, temperature)
            residuals = (view.targets - kernel.tempered(view.predictions, temperature))[near.cells]
            for weight in weights:
                correction = kernel.correction(weight, residuals[:, : weight.shape[1]])
                for shrinkage in grid.shrinkages:
                    loss = row_loss(part.y, kernel.corrected(predictions, correction, shrinkage))
                    losses.append(float(loss @ part.weight))
        total += losses
    mean: Floats = total / fold.weight.sum()
    return mean


def _setting_loss(fold: Fold, name: str, settings: Settings) -> Floats:
    """Return the [q] held-out losses of one setting."""
    view = fold.views[name]
    residuals = view.targets - kernel.tempered(view.predictions, settings.temperature)
    losses = []
    for part in _parts(fold, settings.n_neighbors):
        near = part.views[name].cells[:, : settings.n_neighbors]
        distances = part.views[name].distances[:, : settings.n_neighbors]
        weight = kernel.weights(distances, view.counts[near], settings.bandwidth, is_relative=settings.is_relative)
        predictions = kernel.tempered(part.predictions, settings.temperature)
        correction = kernel.correction(weight, residuals[near])
        losses.append(row_loss(part.y, kernel.corrected(predictions, correction, settings.shrinkage)))
    return np.concatenate(losses)


def _parts(fold: Fold, n_neighbors: int) -> Iterator[Fold]:
    """Cut a fold into parts whose neighbours' residuals are few enough to hold."""
    n_rows = max(1, _HELD_RESIDUALS // (n_neighbors * fold.predictions.shape[1]))
    for start in range(0, len(fold.y), n_rows):
        yield fold.take(np.arange(start, min(start + n_rows, len(fold.y))))
