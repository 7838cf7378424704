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

from resmem_cli.model import kernel
from resmem_cli.model.arrays import Floats
from resmem_cli.model.folds import Fold, Plan, run_folds
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memory import GraphOptions
from resmem_cli.model.metrics import row_loss
from resmem_cli.model.representation import LEARNED
from resmem_cli.model.splitting import Recipe, Rows

_MOST_SCORED = 200_000  # held-out rows times classes that the grid is scored on
_HELD_RESIDUALS = 500_000  # of neighbours, at once
_OUTLIER_SHARE = 1_000


@dataclass(frozen=True)
class Grid:
    """The settings that are tried: every combination of these, for every representation.

    Attributes:
        representations: their names.
        neighbors, bandwidths, shrinkages, temperatures: the values of each setting.
        is_relative: whether the bandwidths are fractions of the distance to the last neighbour.
        own_bandwidths: distances that are tried as well where an encoder was trained, in units of its own τ.
    """

    representations: tuple[str, ...]
    neighbors: tuple[int, ...] = (4, 8, 16, 32, 64, 128)
    bandwidths: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4, 0.8)
    shrinkages: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.5, 2.25)
    temperatures: tuple[float, ...] = (1.0, 1.5, 2.5)
    is_relative: bool = True
    own_bandwidths: tuple[float, ...] = (0.4, 0.7, 1.0)

    def widths(self, name: str) -> list[tuple[float, bool]]:
        """Return the bandwidths for a representation, each with whether it is relative."""
        own = self.own_bandwidths if name.startswith(LEARNED) else ()
        return [(h, self.is_relative) for h in self.bandwidths] + [(h, False) for h in own]

    def settings(self, name: str) -> list[Settings]:
        """Return every combination for a representation, in the order of `_grid_losses`."""
        combinations = itertools.product(self.temperatures, self.neighbors, self.widths(name), self.shrinkages)
        return [Settings(k, h, is_relative, gamma, t) for t, k, (h, is_relative), gamma in combinations]

    @property
    def choices(self) -> list[tuple[str, Settings]]:
        """Every representation with every setting."""
        return [(name, settings) for name in self.representations for settings in self.settings(name)]


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
        helps: whether the gain exceeds its standard error, also over the base with a temperature alone.
        n_folds: how many folds (or groups of one split's held-out rows).
        refitted: whether each fold fitted the base anew; otherwise rows new to the base were the queries.
        n_queries: how many held-out rows the figures rest on; of a regression, all but a thousandth.
        forced: whether the user chose a shrinkage above 0, so that the gain was not asked.
    """

    representation: str
    settings: Settings
    candidates: tuple[Candidate, ...]
    base_loss: float
    resmem_loss: float
    gain: float
    standard_error: float
    helps: bool
    n_folds: int
    refitted: bool
    n_queries: int
    forced: bool


def select(
    rows: Rows,
    recipe: Recipe,
    grid: Grid,
    *,
    n_folds: int,
    n_steps: int,
    graph: GraphOptions,
    threads: int,
    report: Callable[[str], None] = lambda _: None,
) -> Selection:
    """Choose from the grid by folds, in each of which the base comes about by the recipe."""
    if grid.shrinkages == (0.0,):  # the base as it is, which has no temperature
        grid = replace(grid, temperatures=(1.0,))
    plan = Plan(recipe, grid.representations, max(grid.neighbors), graph, n_steps)
    folds = run_folds(rows, plan, n_folds, threads=threads, report=report)
    report(f"scoring {len(grid.choices):,} settings on {len(folds)} groups of rows")
    return _choose(folds, grid, refitted=recipe.fixed is None)


def _choose(folds: Sequence[Fold], grid: Grid, *, refitted: bool) -> Selection:
    choices = grid.choices
    folds = _without_outliers(folds)
    losses = np.array([_choice_losses(_thinned(fold, len(folds)), grid) for fold in folds])
    after = [_setting_loss(fold, *choices[best]) for fold, best in zip(folds, _best_elsewhere(losses), strict=True)]
    before = [row_loss(fold.y, fold.predictions) for fold in folds]
    gain, standard_error = _difference(folds, before, after)
    beyond = _difference(folds, _tempered_losses(folds, grid.temperatures), after)
    helps = gain > standard_error and beyond[0] > beyond[1]
    mean = losses.mean(axis=0)
    name, settings = choices[int(np.argmin(mean))]
    forced = len(grid.shrinkages) == 1 and grid.shrinkages[0] > 0
    if not forced and not helps:
        settings = replace(settings, shrinkage=0.0, temperature=1.0)
    best = [_best_of(name, mean, choices) for name in grid.representations]
    weight = np.concatenate([fold.weight for fold in folds])
    return Selection(
        representation=name,
        settings=settings,
        candidates=tuple(sorted(best, key=lambda candidate: candidate.loss)),
        base_loss=float(np.average(np.concatenate(before), weights=weight)),
        resmem_loss=float(np.average(np.concatenate(after), weights=weight)),
        gain=gain,
        standard_error=standard_error,
        helps=helps,
        n_folds=len(folds),
        refitted=refitted,
        n_queries=len(weight),
        forced=forced,
    )


def _without_outliers(folds: Sequence[Fold]) -> list[Fold]:
    """Leave out the thousandth of the held-out rows that a regression's base gets most wrong.

    Squared errors have no bound: one row to which a linear base extrapolates can outweigh all others, and the memory
    that happens to help it would be chosen. Only the base's errors are looked at, so that no harm is hidden.
    """
    if folds[0].predictions.shape[1] > 1:
        return list(folds)
    losses = [row_loss(fold.y, fold.predictions) for fold in folds]
    ranked = np.sort(np.concatenate(losses))
    bound = ranked[-1 - len(ranked) // _OUTLIER_SHARE]
    return [fold.take(np.flatnonzero(loss <= bound)) for fold, loss in zip(folds, losses, strict=True)]


def _best_elsewhere(losses: Floats) -> list[int]:
    """Return, for each fold of [folds, choices] losses, the choice that is best on the other folds."""
    if len(losses) == 1:
        return [int(np.argmin(losses[0]))]
    return [int(np.argmin(losses.sum(axis=0) - own)) for own in losses]


def _tempered_losses(folds: Sequence[Fold], temperatures: Sequence[float]) -> list[Floats]:
    """Return the held-out losses of the base with its temperature alone chosen on the other folds.

    A temperature needs no memory: what it gains must not be credited to one.
    """
    losses = [[row_loss(fold.y, kernel.tempered(fold.predictions, t)) for t in temperatures] for fold in folds]
    means = np.array(
        [[np.average(loss, weights=fold.weight) for loss in own] for own, fold in zip(losses, folds, strict=True)]
    )
    return [own[best] for own, best in zip(losses, _best_elsewhere(means), strict=True)]


def _difference(folds: Sequence[Fold], before: Sequence[Floats], after: Sequence[Floats]) -> tuple[float, float]:
    """Return the mean paired improvement, and its standard error: the larger of that over folds and over rows."""
    weight = np.concatenate([fold.weight for fold in folds])
    difference = np.concatenate(before) - np.concatenate(after)
    gain = float(np.average(difference, weights=weight))
    by_fold = np.array([np.average(b - a, weights=f.weight) for b, a, f in zip(before, after, folds, strict=True)])
    over_folds = by_fold.std(ddof=1) / np.sqrt(len(folds)) if len(folds) > 1 else 0.0
    over_rows = np.linalg.norm(weight * (difference - gain)) / weight.sum()
    return gain, float(max(over_folds, over_rows))


def _choice_losses(fold: Fold, grid: Grid) -> Floats:
    return np.concatenate([_grid_losses(fold, name, grid) for name in grid.representations])


def _thinned(fold: Fold, n_folds: int) -> Fold:
    """Return evenly spaced rows of a fold that is larger than scoring the whole grid is worth."""
    step = -(-fold.predictions.size * n_folds // _MOST_SCORED)
    return fold.take(np.arange(0, len(fold.y), max(step, 1)))


def _best_of(name: str, mean: Floats, choices: Sequence[tuple[str, Settings]]) -> Candidate:
    own = [i for i, choice in enumerate(choices) if choice[0] == name]
    best = min(own, key=lambda i: mean[i])
    return Candidate(name, choices[best][1], float(mean[best]))


def _grid_losses(fold: Fold, name: str, grid: Grid) -> Floats:
    """Return the mean held-out loss of every setting of the grid, in the order of `Grid.settings`."""
    view = fold.views[name]
    total = np.zeros(len(grid.settings(name)))
    for part in _parts(fold, max(grid.neighbors)):
        near = part.views[name]
        counts = view.counts[near.cells]
        weights = [
            kernel.weights(near.distances[:, :k], counts[:, :k], h, is_relative=is_relative)
            for k, (h, is_relative) in itertools.product(grid.neighbors, grid.widths(name))
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
