"""The folds that settings are chosen by: how rows are split, and in which order the folds are run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from resmem_cli.errors import DataError
from resmem_cli.model.arrays import Floats
from resmem_cli.model.choosing.fold import Fold, OfBase, joined, run
from resmem_cli.model.choosing.plan import Plan
from resmem_cli.model.grouping import drawn
from resmem_cli.model.parallel import side_by_side
from resmem_cli.model.rows import LabelledRows, Recipe
from resmem_cli.model.splitting import Split

_HELD_OUT_ONE_IN = 5
_MOST_FOLDS_TO_LEARN = 3  # where encoders are trained anew in every fold, and the gain is not clear


@dataclass(frozen=True)
class FoldSizes:
    """How many rows the folds have.

    Attributes:
        most_folded: above this many rows one split of a subsample replaces the folds.
        most_split: the rows of that subsample; a fifth is held out, the others are remembered.
        enough_to_learn: as few folds as hold out this many rows come first where encoders are trained.
        most_queries: of very many classes, no more rows are held out in all folds,
        most_probabilities: nor so many that they have more probabilities of classes.
    """

    most_folded: int = 200_000
    most_split: int = 125_000
    enough_to_learn: int = 1_000
    most_queries: int = 10_000
    most_probabilities: int = 30_000_000

    def n_split(self, n_rows: int) -> int | None:
        """Return how many of so many rows make one split; None if there are folds of all."""
        return min(self.most_split, n_rows) if n_rows > self.most_folded else None


def growing_folds(
    rows: LabelledRows,
    plans: Sequence[Plan],
    n_folds: int,
    *,
    threads: int,
    report: Callable[[str], None],
    sizes: FoldSizes = FoldSizes(),
) -> Iterator[list[Fold]]:
    """Run the plan of every base on folds, and yield at least `n_folds` groups of held-out rows; each time of more.

    Of very many rows, there is one split of a subsample. Where encoders are trained, as few folds as hold out enough
    rows come first, then one more at a time. Otherwise all folds come at once.
    """
    recipe = plans[0].recipe
    rng = np.random.default_rng(recipe.problem.seed)
    rows, chosen = _chosen_splits(rows, recipe, n_folds, sizes, rng)
    if plans[0].n_largest is not None:
        chosen = _fewer_held_out(rows, recipe, chosen, sizes)
    n_first = n_last = len(chosen)
    if any(plan.learns for plan in plans):
        n_held_out = len(recipe.queries(rows.take(chosen[0][1])).y)
        n_first = min(n_first, -(-sizes.enough_to_learn // n_held_out))
        n_last = min(n_last, max(n_first, _MOST_FOLDS_TO_LEARN))
    # The first fold sees whether a base overfits. All others try the same, because only that can be compared.
    n_alone = 1 if any(plan.is_open for plan in plans) else n_first
    # A run has all threads for itself where no other takes as long.
    n_long = sum(plan.takes_long for plan in plans) or len(plans)
    inner = threads if n_first == n_long == 1 else 1
    runs: list[list[OfBase]] = []
    for n in sorted({n_alone, *range(n_first, n_last + 1)}):
        of = f"of {n_first}" if n <= n_first else "added because the gain is not clear"
        names = [f"fold {i + 1} {of}" for i in range(len(runs), n)]
        added = dict(zip(names, chosen[len(runs) : n], strict=True))
        runs += _run_all(rows, plans, added, threads=threads, inner=inner, report=report)
        plans = [replace(plan, tried=tuple(part.views)) for plan, part in zip(plans, runs[0], strict=True)]
        if n >= n_first:
            held_out = [recipe.queries(rows.take(positions)) for _, positions in chosen[:n]]
            groups = [queries.related(recipe.problem).dependent for queries in held_out]
            n_groups = -(-n_folds // n)
            folds = zip(held_out, map(joined, held_out, groups, runs), strict=True)
            yield [part for queries, fold in folds for part in _grouped(fold, queries.times, n_groups, rng)]


def _chosen_splits(
    rows: LabelledRows, recipe: Recipe, n_folds: int, sizes: FoldSizes, rng: np.random.Generator
) -> tuple[LabelledRows, list[Split]]:
    """Return the rows that take part, and of every split the positions of training rows and of held-out rows."""
    are_many = len(rows.y) > sizes.most_folded
    if rows.is_valid is not None or (are_many and recipe.fixed is not None and rows.times is None):
        return rows, [_split_off_queries(rows, recipe, sizes, rng)]
    if are_many:
        rows = rows.take(drawn(rows.related(recipe.problem).groups, sizes.most_split, rng))
        found = rows.single_splits(recipe.problem, rng)
    else:
        found = list(rows.splits(recipe.problem, n_folds, rng))
    chosen = [split for split in found if recipe.is_query(rows.take(split[1])).any()]
    if not chosen:
        raise DataError(
            "no row can be held out: those that are new to the bases are of groups that they have seen, or not later",
            "give rows of other groups, or later ones",
        )
    return rows, chosen[:1] if are_many else chosen


def _fewer_held_out(rows: LabelledRows, recipe: Recipe, chosen: list[Split], sizes: FoldSizes) -> list[Split]:
    """Hold out so few rows that the probabilities of all their classes can be held; the others are left out."""
    most = max(1, min(sizes.most_queries, sizes.most_probabilities // recipe.problem.n_classes) // len(chosen))
    fewer = []
    for training, held_out in chosen:
        queries = held_out[recipe.is_query(rows.take(held_out))]
        n_queries = min(most, len(queries))
        fewer.append((training, queries[np.arange(n_queries) * len(queries) // max(n_queries, 1)]))  # evenly spaced
    return fewer


def _split_off_queries(rows: LabelledRows, recipe: Recipe, sizes: FoldSizes, rng: np.random.Generator) -> Split:
    """Hold out the rows that can be queries, and remember others: none of --valid, of a held-out row's group, or later.

    Of very many, as many are remembered and held out as suffice.
    """
    related, queries = rows.related(recipe.problem), np.flatnonzero(recipe.is_query(rows))
    groups, n_held_out = related.groups, sizes.most_split // _HELD_OUT_ONE_IN
    if related.times is not None:  # of the others it is not known whether anything is earlier
        queries = queries[np.isfinite(related.times[queries])]
    held_out = queries if len(queries) <= n_held_out else queries[drawn(groups[queries], n_held_out, rng)]
    stays = ~np.isin(groups, groups[held_out])
    if rows.is_valid is not None:
        stays &= ~rows.is_valid
    if not stays.any():
        what = "is of the group of a held-out row" if related.are_named else "equals a held-out row in all features"
        raise DataError(f"every row to remember {what}", "give others to remember")
    if related.times is not None:
        stays &= related.times < related.times[held_out].min()
        if not stays.any():
            raise DataError(
                "no row to remember is earlier than all rows of --valid", "give later rows with --valid, or no --time"
            )
    remembered = np.flatnonzero(stays)
    if len(rows.y) > sizes.most_folded:
        remembered = remembered[drawn(groups[remembered], sizes.most_split - n_held_out, rng)]
    return remembered, held_out


def _run_all(
    rows: LabelledRows,
    plans: Sequence[Plan],
    chosen: Mapping[str, Split],
    *,
    threads: int,
    inner: int,
    report: Callable[[str], None],
) -> list[list[OfBase]]:
    """Run every plan on some folds, which have names, with `inner` threads each; return per fold those of all bases."""
    jobs = [(plan, name) for name in chosen for plan in plans]
    # Those that take longest first, so that none of them runs alone at the end.
    order = sorted(range(len(jobs)), key=lambda i: (-jobs[i][0].n_learned, not jobs[i][0].takes_long))
    arguments = [(rows, jobs[i][0], *chosen[jobs[i][1]], inner) for i in order]
    is_long = any(plan.learns for plan in plans)
    running = (
        side_by_side(run, arguments, n_rows=len(rows.y), threads=threads, is_long=is_long)
        if inner == 1
        else itertools.starmap(run, arguments)
    )
    done: dict[int, OfBase] = {}
    for i in order:
        plan, name = jobs[i]
        report(f"{plan.recipe.spec.estimator}, {name}")
        done[i] = next(running)
    return [[done[i + j] for j in range(len(plans))] for i in range(0, len(jobs), len(plans))]


def _grouped(fold: Fold, times: Floats | None, n_groups: int, rng: np.random.Generator) -> list[Fold]:
    """Cut a fold into parts that do not depend on each other, or if rows have times into stretches of time."""
    if n_groups == 1:
        return [fold]
    order = rng.permutation(fold.group.max() + 1)
    if times is not None:
        ascending = np.argsort(times, kind="stable")
        order = fold.group[ascending][np.sort(np.unique(fold.group[ascending], return_index=True)[1])]
    parts = np.array_split(order, n_groups)
    return [fold.take(np.flatnonzero(np.isin(fold.group, part))) for part in parts if len(part)]
