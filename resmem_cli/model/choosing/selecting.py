"""Choosing bases, spaces, k, h, γ and T honestly: K-fold of the whole procedure.

In each fold every base is fitted anew on the fold's training rows (unless enough rows are new to it), spaces are
fitted to these rows and that base, the memory holds those training rows, and the held-out rows are the queries.
(Leave-one-out on the rows that trained the base is a trap: they look far better than new rows will.) Neighbours are
searched once per fold and candidate at the largest k; every setting is then scored on those arrays, and the best of
every candidate are combined.

What the memory gains is estimated without the optimism of choosing: in each fold the settings and the combination are
those that are best on the *other* folds. Only if that gain exceeds its standard error is the memory used; otherwise γ
is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from resmem_cli.errors import UsageError
from resmem_cli.model import conformal, kernel
from resmem_cli.model.arrays import Floats, Integers
from resmem_cli.model.choosing import scoring, serving
from resmem_cli.model.choosing.candidates import Candidate, Choice, Score
from resmem_cli.model.choosing.fold import Fold
from resmem_cli.model.choosing.folds import FoldSizes, growing_folds
from resmem_cli.model.choosing.grid import Grid
from resmem_cli.model.choosing.plan import Plan
from resmem_cli.model.choosing.selection import HeldOut, Selection
from resmem_cli.model.combination import combine, combined, in_base
from resmem_cli.model.conformal import Calibration
from resmem_cli.model.kernel import Settings
from resmem_cli.model.metrics import outlier_bound, row_loss
from resmem_cli.model.rows import LabelledRows
from resmem_cli.model.spaces import Space

_UNNOTICED = 0.005  # of the loss: a larger share is not given up for fewer neighbours
_CLEAR = 2.0  # standard errors
_NOTHING = 0.01  # of the loss: where a gain is less with such certainty, further folds are not worth their time
_MOST_CLASSES = 50  # of which the residuals of all held-out rows are kept


def select(
    rows: LabelledRows,
    plans: Sequence[Plan],
    grid: Grid,
    *,
    objective: str,
    most_members: int,
    n_folds: int,
    threads: int,
    base_weights: tuple[float, ...] = (),
    report: Callable[[str], None] = lambda _: None,
    sizes: FoldSizes = FoldSizes(),  # noqa: B008 - it is immutable
) -> tuple[Selection, Mapping[Candidate, Space]]:
    """Choose from the grid by folds, in each of which every base's plan is run; their mean is the one to beat.

    Without `base_weights` that is the first base alone.

    Returns:
        The selection, and the trained spaces of one of the folds.
    """
    if grid.is_off:  # the base as it is, which has no temperature
        grid = replace(grid, temperatures=(1.0,))
    plans = [replace(plan, temperatures=tuple({1.0, *grid.temperatures})) for plan in plans]
    refitted = plans[0].recipe.fixed is None
    for folds in growing_folds(rows, plans, n_folds, threads=threads, report=report, sizes=sizes):
        report(f"scoring settings on {len(folds)} groups of rows")
        weighed = [replace(fold, base_weights=base_weights) for fold in folds]
        selection = Selector(weighed, grid, objective, most_members).selection(refitted=refitted)
        if selection.is_clear:
            break
    return selection, folds[0].trained


def switched_off(grid: Grid, candidates: Sequence[Candidate]) -> Choice:
    """Return the choice that leaves the base as it is, in the space that costs least."""
    cheap = [candidate for candidate in candidates if candidate.base == 0 and candidate.space == "features"]
    candidate = cheap[0] if cheap else candidates[0]
    return Choice(candidate, replace(grid.settings(candidate.space)[0], shrinkage=0.0, temperature=1.0))


@dataclass(frozen=True)
class Combination:
    """Corrected models and, beside them, the base without memory: their weights sum to 1."""

    choices: tuple[Choice, ...]
    base_share: float = 0.0

    @property
    def weights(self) -> Floats:
        """[choices + 1] the base's is the last."""
        return np.array([*(choice.weight for choice in self.choices), self.base_share])


def only_combination(plans: Sequence[Plan], grid: Grid, base_weights: Sequence[float]) -> Combination:
    """Return what is left where nothing is measured: the settings that the user fixed, on every model of the base.

    Raises:
        UsageError: something is left to choose.
    """
    names = [plan.spaces for plan in plans]
    if any(len(own) > 1 or len(grid.settings(own[0])) > 1 for own in names):
        raise UsageError(
            "--folds 0 chooses no settings",
            "give a number for each setting, --representation and, for a learned one, --encoder; or set --folds to "
            "2 or more",
        )
    if grid.is_off:
        return Combination((switched_off(grid, [Candidate(0, name) for name in names[0]]),))
    weights = base_weights or (1.0,)
    choices = tuple(
        Choice(Candidate(i, names[i][0], plans[i].residuals or "in-sample"), grid.settings(names[i][0])[0], weights[i])
        for i in in_base(weights)
    )
    return Combination(choices)


class Selector:
    """The folds with the losses of every candidate and setting on them."""

    def __init__(self, folds: Sequence[Fold], grid: Grid, objective: str, most_members: int) -> None:
        self._grid, self._objective, self._most_members = grid, objective, most_members
        self._with_outliers = list(folds)
        self._folds = _without_outliers(folds) if objective == "rmse" else list(folds)
        self._every_fold = range(len(folds))
        self._candidates = list(folds[0].views)
        thinned = [scoring.thinned(fold, len(folds)) for fold in self._folds]
        # Per candidate [folds, settings].
        self._losses = {
            candidate: np.array(
                [scoring.losses(fold, candidate, grid.settings(candidate.space), objective) for fold in thinned]
            )
            for candidate in self._candidates
        }
        self._base = [scoring.of_base(fold, objective) for fold in self._folds]
        self._corrected: dict[tuple[Candidate, Settings], list[Floats]] = {}

    def selection(self, *, refitted: bool) -> Selection:
        """Return the choice and what it gains; `refitted` says whether the folds fitted the bases anew."""
        folds = self._folds
        before = [self._loss(fold, base) for fold, base in zip(folds, self._base, strict=True)]
        on_others = [self._chosen(self._others(i)) for i in self._every_fold]
        after = [self._loss(folds[i], self._predictions(chosen, i)) for i, chosen in enumerate(on_others)]
        over_base = gain, standard_error = _paired_gain(folds, before, after)
        over_temperature = _paired_gain(folds, self._tempered_losses(), after)
        both = (over_base, over_temperature)
        helps = all(each > error for each, error in both)
        is_worse = any(each <= -error for each, error in both)
        is_better = all(each >= _CLEAR * error for each, error in both)
        base_loss = float(np.average(np.concatenate(before), weights=np.concatenate([fold.weight for fold in folds])))
        is_negligible = not helps and gain + _CLEAR * standard_error < _NOTHING * base_loss
        forced = self._grid.is_forced
        chosen = self._chosen(self._every_fold)
        uses_memory = (helps or forced) and bool(chosen.choices)
        if not uses_memory:
            chosen = Combination((switched_off(self._grid, self._candidates),))
        weight = np.concatenate([fold.weight for fold in folds])
        return Selection(
            choices=chosen.choices,
            base_share=chosen.base_share,
            scores=self._scores(),
            objective=self._objective,
            base_loss=base_loss,
            resmem_loss=float(np.average(np.concatenate(after), weights=weight)),
            gain=gain,
            standard_error=standard_error,
            helps=helps,
            is_clear=is_worse or is_better or is_negligible or forced,
            n_folds=len(folds),
            refitted=refitted,
            n_queries=len(weight),
            forced=forced,
            uncondensed_loss=self._uncondensed_loss(on_others, weight) if folds[0].uncondensed else None,
            calibration=self._calibration(on_others if uses_memory else None),
            held_out=self._held_out(),
        )

    def _others(self, fold: int) -> list[int]:
        """Return the other folds; of a single one, itself."""
        return [i for i in self._every_fold if i != fold] or [fold]

    def _calibration(self, on_others: Sequence[Combination] | None) -> Calibration:
        """Calibrate by what the other folds chose, or by the base with the standard deviation of the neighbours."""
        off = (switched_off(self._grid, self._candidates),)
        predictions, stds = [], []
        # Of all rows: outliers are to be covered, too.
        for i, fold in enumerate(self._with_outliers):
            chosen = Combination((), 1.0) if on_others is None else on_others[i]
            predictions.append(self._mean_prediction(fold, chosen))
            if predictions[-1].shape[1] == 1:
                choices = chosen.choices or off
                each = [scoring.neighbor_stds(fold, choice.candidate, choice.settings) for choice in choices]
                stds.append(conformal.mean_std(each, np.array([choice.weight for choice in choices])))
        y, every = np.concatenate(list(map(scoring.truth, self._with_outliers))), np.concatenate(predictions)
        positions = [fold.rows for fold in self._with_outliers if fold.rows is not None]
        rows = np.concatenate(positions) if len(positions) == len(self._with_outliers) else None
        if every.shape[1] > 1:
            return conformal.of_classes(every, y, rows)
        return conformal.of_numbers(np.abs(y - every[:, 0]), np.concatenate(stds), rows)

    def _held_out(self) -> HeldOut | None:
        """Return the held-out rows with the base's residuals; None of very many classes, or unknown rows."""
        folds = self._with_outliers
        positions = [fold.rows for fold in folds if fold.rows is not None]
        if len(positions) < len(folds) or folds[0].base.shape[1] > _MOST_CLASSES:
            return None
        residuals = [kernel.residuals(fold.y, fold.base) for fold in folds]
        return HeldOut(np.concatenate(positions), np.concatenate(residuals))

    def _uncondensed_loss(self, on_others: Sequence[Combination], weight: Floats) -> float:
        """Return the mean loss of what the other folds chose, had the memories not been condensed."""
        losses = [
            self._loss(fold, self._mean_prediction(replace(fold, views=fold.uncondensed), chosen))
            for fold, chosen in zip(self._folds, on_others, strict=True)
        ]
        return float(np.average(np.concatenate(losses), weights=weight))

    def _loss(self, fold: Fold, predictions: Floats) -> Floats:
        return row_loss(scoring.truth(fold), predictions, self._objective)

    def _best(self, candidate: Candidate, on: Sequence[int], n_neighbors: int | None = None) -> Settings:
        """Return the settings, all or of so many neighbours, that are best on some folds, or nearly so with fewer."""
        settings, losses = self._grid.settings(candidate.space), self._losses[candidate][on]
        counts = np.array([each.n_neighbors for each in settings])
        if n_neighbors is not None:
            losses = np.where(counts == n_neighbors, losses, np.inf)
        return settings[_frugal(losses, counts)]

    def _chosen(self, on: Sequence[int]) -> Combination:
        """Return the combination that is best on some of the folds; without the base's share if the user forced it.

        Of a shrinkage of 0 that is the base alone: other weights of the bases would be no memory's gain.
        """
        if self._grid.is_off:
            return Combination((), 1.0)
        best = [(candidate, self._best(candidate, on)) for candidate in self._candidates]
        y = np.concatenate([scoring.truth(self._folds[i]) for i in on])
        weight = np.concatenate([self._folds[i].weight for i in on])
        predictions = [np.concatenate([self._of(*each)[i] for i in on]) for each in best]
        if not self._grid.is_forced:
            predictions.append(np.concatenate([self._base[i] for i in on]))
        shares = combine(
            predictions,
            lambda mean: row_loss(y, mean, self._objective),
            weight,
            self._most_members,
            lambda of: self._cost_factor(best[i] for i in of if i < len(best)),
            uncounted=len(best),
        )
        base_share = float(shares[len(best) :].sum())
        choices = [Choice(*each, float(share)) for each, share in zip(best, shares, strict=False) if share > 0]
        choices = sorted(choices, key=lambda choice: -choice.weight)
        return self._with_fewer_neighbors(Combination(tuple(choices), base_share), on)

    def _cost_factor(self, members: Iterable[tuple[Candidate, Settings]]) -> float:
        return serving.cost_factor(members, self._folds[0].base_weights)

    def _with_fewer_neighbors(self, combination: Combination, on: Sequence[int]) -> Combination:
        """Return the members of a combination with as few neighbours as what further ones gain for the mean pays for.

        In a mean the errors of one member's correction count less than they do alone, where `_best` chose.
        """
        chosen = list(combination.choices)
        y = np.concatenate([scoring.truth(self._folds[i]) for i in on])
        weight = np.concatenate([self._folds[i].weight for i in on])

        def penalised_loss(members: Sequence[Choice]) -> float:
            mixed = replace(combination, choices=tuple(members))
            mean = np.concatenate([self._predictions(mixed, i) for i in on])
            loss = float(np.average(row_loss(y, mean, self._objective), weights=weight))
            return loss * self._cost_factor((each.candidate, each.settings) for each in members)

        least = penalised_loss(chosen)
        for at, choice in enumerate(combination.choices):
            for n_neighbors in sorted(
                {k for k in self._grid.neighbors if k < choice.settings.n_neighbors}, reverse=True
            ):
                fewer = replace(choice, settings=self._best(choice.candidate, on, n_neighbors))
                other = [*chosen[:at], fewer, *chosen[at + 1 :]]
                loss = penalised_loss(other)
                if not loss < least:
                    break
                chosen, least = other, loss
        return replace(combination, choices=tuple(chosen))

    def _predictions(self, chosen: Combination, fold: int) -> Floats:
        each = [self._of(choice.candidate, choice.settings)[fold] for choice in chosen.choices]
        return combined([*each, self._base[fold]], chosen.weights)

    def _of(self, candidate: Candidate, settings: Settings) -> list[Floats]:
        """Return per fold the [q, outputs] predictions of one corrected model, as `scoring.predictions`."""
        key = candidate, settings
        if key not in self._corrected:
            self._corrected[key] = [scoring.predictions(fold, *key, self._objective) for fold in self._folds]
        return self._corrected[key]

    def _mean_prediction(self, fold: Fold, chosen: Combination) -> Floats:
        """Return the [q, outputs] weighted mean of several corrected predictions and the base's."""
        pairs = [(choice.candidate, choice.settings) for choice in chosen.choices]
        each = [scoring.predictions(fold, *pair, self._objective) for pair in pairs]
        return combined([*each, scoring.of_base(fold, self._objective)], chosen.weights)

    def _scores(self) -> tuple[Score, ...]:
        scores = []
        for candidate in self._candidates:
            settings = self._best(candidate, self._every_fold)
            predictions = self._of(candidate, settings)
            losses = [self._loss(fold, each) for fold, each in zip(self._folds, predictions, strict=True)]
            mean, error = _paired_gain(self._folds, losses, [np.zeros_like(loss) for loss in losses])
            scores.append(Score(candidate, settings, mean, error))
        return tuple(sorted(scores, key=lambda score: score.loss))

    def _tempered_losses(self) -> list[Floats]:
        """Return the held-out losses of the base with its temperature alone chosen on the other folds.

        A temperature needs no memory: what it gains must not be credited to one.
        """
        folds = self._folds
        losses = [
            [self._loss(fold, scoring.of_base(fold, self._objective, temperature=t)) for t in self._grid.temperatures]
            for fold in folds
        ]
        means = np.array(
            [
                [np.average(loss, weights=fold.weight) for loss in of_fold]
                for of_fold, fold in zip(losses, folds, strict=True)
            ]
        )
        on_others = means.sum(axis=0) - means if len(folds) > 1 else means
        return [of_fold[best] for of_fold, best in zip(losses, on_others.argmin(axis=1), strict=True)]


def _frugal(losses: Floats, n_neighbors: Integers) -> int:
    """Return which of the settings to use, by their [folds, settings] losses: fewer neighbours are found faster.

    Of those whose loss exceeds the least by no more than the standard error of that difference, nor by a share that
    anyone would notice, the ones with the fewest neighbours, and of these the best.
    """
    losses = np.nan_to_num(losses, nan=np.inf, posinf=np.inf)
    mean = losses.mean(axis=0)
    best = int(np.argmin(mean))
    if len(losses) < 2 or not np.isfinite(mean[best]):
        return best
    finite = np.flatnonzero(np.isfinite(mean))
    worse = losses[:, finite] - losses[:, [best]]
    error = worse.std(axis=0, ddof=1) / np.sqrt(len(losses))
    close = finite[worse.mean(axis=0) <= np.minimum(error, _UNNOTICED * mean[best])]
    fewest = close[n_neighbors[close] == n_neighbors[close].min()]
    return int(fewest[np.argmin(mean[fewest])])


def _without_outliers(folds: Sequence[Fold]) -> list[Fold]:
    """Leave out the thousandth of the held-out rows that a regression's base gets most wrong.

    Squared errors have no bound: one row to which a linear base extrapolates can outweigh all others, and the memory
    that happens to help it would be chosen. Only the base's errors are looked at, so that no harm is hidden. A fold
    that holds nothing else keeps its rows.
    """
    losses = [row_loss(fold.y, fold.base) for fold in folds]
    bound = outlier_bound(np.concatenate(losses))
    usual = [loss <= bound for loss in losses]
    return [fold.take(np.flatnonzero(own)) if own.any() else fold for fold, own in zip(folds, usual, strict=True)]


def _paired_gain(folds: Sequence[Fold], before: Sequence[Floats], after: Sequence[Floats]) -> tuple[float, float]:
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
    if len(np.unique(groups)) < 2:  # rows that are all equal say nothing of others
        return gain, abs(gain)
    return gain, float(max(over_folds, over_rows))


def _offsets(folds: Sequence[Fold]) -> Integers:
    """Return [folds] what is added to each fold's numbers of groups, so that no two folds have the same."""
    sizes = [int(fold.group.max(initial=-1)) + 1 for fold in folds]
    return np.cumsum([0, *sizes[:-1]])
