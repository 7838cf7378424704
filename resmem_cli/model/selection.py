"""Choosing bases, representations, k, h, γ and T honestly: K-fold of the whole procedure.

In each fold every base is fitted anew on the fold's training rows, rows are represented by that base, the memory
holds those training rows, and the held-out rows are the queries. (Leave-one-out on the rows that trained the base
is a trap: they look far better than new rows will.) Neighbours are searched once per fold and place at the largest k;
every setting is then scored on those arrays, and the best of every place are combined.

What the memory gains is estimated without the optimism of choosing: in each fold the settings and the combination are
those that are best on the *other* folds. Only if that gain exceeds its standard error is the memory used; otherwise γ
is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from resmem_cli.model import conformal, kernel, scoring
from resmem_cli.model.arrays import Floats, Integers
from resmem_cli.model.combination import combine, combined
from resmem_cli.model.conformal import Calibration
from resmem_cli.model.fitting import Place
from resmem_cli.model.folds import Fold, Plan, growing_folds
from resmem_cli.model.kernel import Settings
from resmem_cli.model.metrics import row_loss
from resmem_cli.model.neighbourhood import Neighbourhood
from resmem_cli.model.representation import Features
from resmem_cli.model.scoring import Grid
from resmem_cli.model.splitting import Rows

_OUTLIER_SHARE = 1_000
# Of the loss. Without this bound the standard error over five folds let a gain of 29.7 % become one of 27.0 %.
_UNNOTICED = 0.005
_CLEAR = 2.0  # standard errors
# Fewer held-out rows say nothing of a gain, whatever it is in them.
LEAST_HELD_OUT = 30


@dataclass(frozen=True)
class Candidate:
    """The best settings of one place, and the mean loss they had over all folds, with its standard error."""

    place: Place
    settings: Settings
    loss: float
    standard_error: float


@dataclass(frozen=True)
class Member:
    """One of the corrected models whose weighted mean is the prediction."""

    place: Place
    settings: Settings
    weight: float = 1.0


@dataclass(frozen=True)
class Selection:
    """What was chosen, and what the folds said.

    Attributes:
        members: the choice; one with a shrinkage of 0 if the memory does not help.
        candidates: the best of every place, best first.
        objective: what was made best, one of the metrics' objectives.
        base_loss, resmem_loss: mean held-out `row_loss` of the first base, and of the memory with settings chosen on
            the other folds.
        gain: their difference; positive is better.
        standard_error: of the gain, the larger of that over folds and that over rows.
        helps: whether the gain exceeds its standard error, also over the base with a temperature alone.
        is_clear: whether one of these is less than minus a standard error, or both exceed two; or the user chose.
        n_folds: how many folds (or groups of one split's held-out rows).
        refitted: whether each fold fitted the base anew; otherwise rows new to the base were the queries.
        n_queries: how many held-out rows the figures rest on; for rmse, all but a thousandth.
        forced: whether the user chose a shrinkage above 0, so that the gain was not asked.
        whole_loss: as `resmem_loss`, of the memories before they were condensed; None if they were not.
        calibration: what intervals are made of, from the same rows and choices.
    """

    members: tuple[Member, ...]
    candidates: tuple[Candidate, ...]
    objective: str
    base_loss: float
    resmem_loss: float
    gain: float
    standard_error: float
    helps: bool
    is_clear: bool
    n_folds: int
    refitted: bool
    n_queries: int
    forced: bool
    whole_loss: float | None = None
    calibration: Calibration | None = field(default=None, compare=False)


def select(
    rows: Rows,
    plans: Sequence[Plan],
    grid: Grid,
    *,
    objective: str,
    most_members: int,
    n_folds: int,
    threads: int,
    report: Callable[[str], None] = lambda _: None,
) -> tuple[Selection, Mapping[Place, Neighbourhood]]:
    """Choose from the grid by folds, in each of which every base's plan is run; the first base is the one to beat.

    Returns:
        The selection, and the encoders that one of the folds has trained.
    """
    if grid.shrinkages == (0.0,):  # the base as it is, which has no temperature
        grid = replace(grid, temperatures=(1.0,))
    plans = [replace(plan, temperatures=tuple({1.0, *grid.temperatures})) for plan in plans]
    refitted = plans[0].recipe.fixed is None
    for folds in growing_folds(rows, plans, n_folds, threads=threads, report=report):
        report(f"scoring settings on {len(folds)} groups of rows")
        verdict = _Judge(folds, grid, objective, most_members).verdict(refitted=refitted)
        if verdict.is_clear:
            break
    return verdict, folds[0].trained


class _Judge:
    """The folds with the losses of every place and setting on them."""

    def __init__(self, folds: Sequence[Fold], grid: Grid, objective: str, most_members: int) -> None:
        self._grid, self._objective, self._most_members = grid, objective, most_members
        self._whole_folds = list(folds)
        self._folds = _without_outliers(folds) if objective == "rmse" else list(folds)
        self._places = list(folds[0].views)
        # Per place [folds, settings].
        self._losses = {
            place: np.array(
                [scoring.grid_losses(scoring.thinned(fold, len(folds)), place, grid, objective) for fold in self._folds]
            )
            for place in self._places
        }
        self._corrected: dict[tuple[Place, Settings], list[Floats]] = {}

    def verdict(self, *, refitted: bool) -> Selection:
        folds, everywhere = self._folds, range(len(self._folds))
        before = [self._loss(fold, fold.predictions[0]) for fold in folds]
        elsewhere = [self._chosen([j for j in everywhere if j != i] or [i]) for i in everywhere]
        after = [self._loss(folds[i], self._predictions(members, i)) for i, members in enumerate(elsewhere)]
        gain, standard_error = _difference(folds, before, after)
        beyond = _difference(folds, self._tempered_losses(), after)
        both = [(gain, standard_error), beyond]
        helps = all(each > error for each, error in both)
        is_clear = any(each <= -error for each, error in both) or all(each >= _CLEAR * error for each, error in both)
        forced = self._grid.is_forced
        weight = np.concatenate([fold.weight for fold in folds])
        uses = helps or forced
        return Selection(
            members=self._chosen(everywhere) if uses else (nothing(self._grid, self._places),),
            candidates=self._candidates(),
            objective=self._objective,
            base_loss=float(np.average(np.concatenate(before), weights=weight)),
            resmem_loss=float(np.average(np.concatenate(after), weights=weight)),
            gain=gain,
            standard_error=standard_error,
            helps=helps,
            is_clear=is_clear or forced,
            n_folds=len(folds),
            refitted=refitted,
            n_queries=len(weight),
            forced=forced,
            whole_loss=self._whole_loss(elsewhere, weight) if folds[0].whole else None,
            calibration=self._calibration(elsewhere if uses else None),
        )

    def _calibration(self, elsewhere: Sequence[Sequence[Member]] | None) -> Calibration:
        """Calibrate intervals of what the other folds chose, or of the first base with the spread around it."""
        alone = [(nothing(self._grid, self._places),)] * len(self._folds)
        predictions, spreads = [], []
        # Of all rows: outliers are to be covered, too.
        for fold, members in zip(self._whole_folds, elsewhere or alone, strict=True):
            predictions.append(_combined(fold, members) if elsewhere else fold.predictions[0])
            if predictions[-1].shape[1] == 1:
                each = [scoring.spreads(fold, member.place, member.settings) for member in members]
                spreads.append(np.average(each, axis=0, weights=[member.weight for member in members]))
        y, whole = np.concatenate([fold.y for fold in self._whole_folds]), np.concatenate(predictions)
        known = [fold.rows for fold in self._whole_folds if fold.rows is not None]
        rows = np.concatenate(known) if len(known) == len(self._whole_folds) else None
        if whole.shape[1] > 1:
            return conformal.of_classes(whole, y, rows)
        return conformal.of_numbers(np.abs(y - whole[:, 0]), np.concatenate(spreads), rows)

    def _whole_loss(self, elsewhere: Sequence[Sequence[Member]], weight: Floats) -> float:
        """Return the mean loss of what the other folds chose, had the memories not been condensed."""
        losses = []
        for fold, members in zip(self._folds, elsewhere, strict=True):
            losses.append(self._loss(fold, _combined(replace(fold, views=fold.whole), members)))
        return float(np.average(np.concatenate(losses), weights=weight))

    def _loss(self, fold: Fold, predictions: Floats) -> Floats:
        return row_loss(fold.y, predictions, self._objective)

    def _best(self, place: Place, on: Sequence[int]) -> Settings:
        """Return the settings that are best on some of the folds, or nearly so with fewer neighbours."""
        settings, losses = self._grid.settings(place.representation), self._losses[place][on]
        return settings[_frugal(losses, np.array([each.n_neighbors for each in settings]))]

    def _chosen(self, on: Sequence[int]) -> tuple[Member, ...]:
        """Return the combination that is best on some of the folds."""
        best = [(place, self._best(place, on)) for place in self._places]
        y, weight = (np.concatenate([getattr(self._folds[i], name) for i in on]) for name in ("y", "weight"))
        predictions = [np.concatenate([self._of(place, settings)[i] for i in on]) for place, settings in best]
        weights = combine(predictions, lambda p: row_loss(y, p, self._objective), weight, self._most_members)
        members = [Member(*each, float(share)) for each, share in zip(best, weights, strict=True) if share > 0]
        return tuple(sorted(members, key=lambda member: -member.weight))

    def _predictions(self, members: Sequence[Member], fold: int) -> Floats:
        each = [self._of(member.place, member.settings)[fold] for member in members]
        return combined(each, np.array([member.weight for member in members]))

    def _of(self, place: Place, settings: Settings) -> list[Floats]:
        """Return per fold the [q, outputs] predictions of one corrected model."""
        if (place, settings) not in self._corrected:
            self._corrected[place, settings] = [scoring.predictions(fold, place, settings) for fold in self._folds]
        return self._corrected[place, settings]

    def _candidates(self) -> tuple[Candidate, ...]:
        candidates = []
        for place in self._places:
            settings = self._best(place, range(len(self._folds)))
            losses = [self._loss(fold, each) for fold, each in zip(self._folds, self._of(place, settings), strict=True)]
            mean, error = _difference(self._folds, losses, [np.zeros_like(each) for each in losses])
            candidates.append(Candidate(place, settings, mean, error))
        return tuple(sorted(candidates, key=lambda candidate: candidate.loss))

    def _tempered_losses(self) -> list[Floats]:
        """Return the held-out losses of the base with its temperature alone chosen on the other folds.

        A temperature needs no memory: what it gains must not be credited to one.
        """
        folds = self._folds
        losses = [
            [self._loss(fold, kernel.tempered(fold.predictions[0], t)) for t in self._grid.temperatures]
            for fold in folds
        ]
        means = np.array(
            [[np.average(loss, weights=fold.weight) for loss in own] for own, fold in zip(losses, folds, strict=True)]
        )
        elsewhere = means.sum(axis=0) - means if len(folds) > 1 else means
        return [own[best] for own, best in zip(losses, elsewhere.argmin(axis=1), strict=True)]


def _frugal(losses: Floats, n_neighbors: Integers) -> int:
    """Return which of the settings to use, by their [folds, settings] losses: fewer neighbours are found faster.

    Of those whose loss exceeds the least by no more than the standard error of that difference, nor by a share that
    anyone would notice, the ones with the fewest neighbours, and of these the best.
    """
    mean = losses.mean(axis=0)
    best = int(np.argmin(mean))
    if len(losses) < 2:
        return best
    worse = losses - losses[:, [best]]
    error = worse.std(axis=0, ddof=1) / np.sqrt(len(losses))
    close = np.flatnonzero(worse.mean(axis=0) <= np.minimum(error, _UNNOTICED * mean[best]))
    fewest = close[n_neighbors[close] == n_neighbors[close].min()]
    return int(fewest[np.argmin(mean[fewest])])


def nothing(grid: Grid, places: Sequence[Place]) -> Member:
    """Return the member that leaves the first base as it is, in the space that costs least."""
    cheap = [place for place in places if place.base == 0 and place.representation == Features.name]
    place = cheap[0] if cheap else places[0]
    return Member(place, replace(grid.settings(place.representation)[0], shrinkage=0.0, temperature=1.0))


def _without_outliers(folds: Sequence[Fold]) -> list[Fold]:
    """Leave out the thousandth of the held-out rows that a regression's base gets most wrong.

    Squared errors have no bound: one row to which a linear base extrapolates can outweigh all others, and the memory
    that happens to help it would be chosen. Only the base's errors are looked at, so that no harm is hidden.
    """
    losses = [row_loss(fold.y, fold.predictions[0]) for fold in folds]
    ranked = np.sort(np.concatenate(losses))
    bound = ranked[-1 - len(ranked) // _OUTLIER_SHARE]
    return [fold.take(np.flatnonzero(loss <= bound)) for fold, loss in zip(folds, losses, strict=True)]


def _difference(folds: Sequence[Fold], before: Sequence[Floats], after: Sequence[Floats]) -> tuple[float, float]:
    """Return the mean paired improvement, and its standard error: the larger of that over folds and over rows."""
    weight = np.concatenate([fold.weight for fold in folds])
    difference = np.concatenate(before) - np.concatenate(after)
    gain = float(np.average(difference, weights=weight))
    by_fold = np.array([np.average(b - a, weights=f.weight) for b, a, f in zip(before, after, folds, strict=True)])
    over_folds = by_fold.std(ddof=1) / np.sqrt(len(folds)) if len(folds) > 1 else 0.0
    # Rows of equal features are not independent of each other, and count as one.
    groups = np.concatenate([fold.group + offset for fold, offset in zip(folds, _offsets(folds), strict=True)])
    by_group = np.bincount(groups, weight * (difference - gain))
    over_rows = np.linalg.norm(by_group) / weight.sum()
    return gain, float(max(over_folds, over_rows))


def _offsets(folds: Sequence[Fold]) -> Integers:
    """Return what is added to each fold's numbers of groups, so that no two folds have the same."""
    return np.cumsum([0, *(int(fold.group.max(initial=-1)) + 1 for fold in folds[:-1])])


def _combined(fold: Fold, members: Sequence[Member]) -> Floats:
    """Return the [q, outputs] weighted mean of several corrected predictions."""
    each = [scoring.predictions(fold, member.place, member.settings) for member in members]
    return combined(each, np.array([member.weight for member in members]))
