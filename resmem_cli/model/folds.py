"""The folds that settings are chosen by: in each, the whole procedure on some rows, asked about the others."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from resmem_cli.model.arrays import Floats, Integers
from resmem_cli.model.condensing import condensed
from resmem_cli.model.fitting import RESIDUALS, Fitting, Place, Residuals, represent
from resmem_cli.model.grouping import drawn
from resmem_cli.model.memorising import row_residuals
from resmem_cli.model.memory import Cells, GraphOptions, build_index
from resmem_cli.model.neighbourhood import Neighbourhood
from resmem_cli.model.parallel import side_by_side
from resmem_cli.model.representation import LEARNED, Learned, Position
from resmem_cli.model.splitting import Recipe, Rows, splits

# Above this many rows one split of a subsample replaces the folds.
MOST_FOLDED_ROWS = 200_000
MOST_SPLIT_ROWS = 125_000  # 100,000 of them remembered, 25,000 asked
_SPLIT_SHARE = 5
# An encoder is trained anew in every fold; this many rows, asked in as few folds as hold them, mostly say enough of it.
_ROWS_TO_ASK = 1_000
_MOST_FOLDS_TO_LEARN = 3  # where these leave the gain unclear
_FOLD_EF = 128  # wide enough for the comparison of settings; only the final graph's recall is measured


@dataclass(frozen=True)
class View:
    """A fold's neighbours in one place.

    Attributes:
        distances, cells: [q, k] of every held-out row.
        trend: [q, outputs] of every held-out row, or None where the place has none.
        counts: [m] of the cells.
        residuals: by temperature, [m, outputs] what each cell remembers.
    """

    distances: Floats
    cells: Integers
    trend: Floats | None
    counts: Floats
    residuals: Mapping[float, Floats]

    def take(self, rows: Integers) -> View:
        trend = None if self.trend is None else self.trend[rows]
        return replace(self, distances=self.distances[rows], cells=self.cells[rows], trend=trend)


@dataclass(frozen=True)
class Fold:
    """A fold's held-out rows, and the memories that they are predicted from.

    Attributes:
        y, weight, group: [q] targets, weights, and which rows belong together because their features are equal.
        predictions: per base, [q, outputs].
        views: per place, the neighbours.
        trained: the fold's encoders, per place that has one.
        whole: the views of the memories before they were condensed; none if they were not.
        rows: [q] where the rows stand among all that the folds were made of, if that is known.
    """

    y: Floats
    weight: Floats
    group: Integers
    predictions: tuple[Floats, ...]
    views: dict[Place, View]
    trained: dict[Place, Neighbourhood]
    whole: dict[Place, View] = field(default_factory=dict)
    rows: Integers | None = None

    def take(self, rows: Integers) -> Fold:
        return Fold(
            self.y[rows],
            self.weight[rows],
            self.group[rows],
            tuple(each[rows] for each in self.predictions),
            {place: view.take(rows) for place, view in self.views.items()},
            self.trained,
            {place: view.take(rows) for place, view in self.whole.items()},
            None if self.rows is None else self.rows[rows],
        )


@dataclass(frozen=True)
class Plan:
    """What every fold does with one base.

    Attributes:
        recipe: how the base comes about.
        representations: the names of those to search in.
        residuals: of which kind; None tries cross-fitted ones too, where encoders are trained and the base overfits.
        n_neighbors: the largest k that will be asked for.
        graph: how its graphs are built.
        n_steps: how long an encoder is trained.
        share_of_cells: how many cells a memory may have for every row, or None for any number.
        tried: representations and kinds of residuals that another fold has tried, which then are those to try.
        temperatures: those that will be asked for.
    """

    recipe: Recipe
    representations: tuple[str, ...]
    residuals: Residuals | None
    n_neighbors: int
    graph: GraphOptions
    n_steps: int
    share_of_cells: float | None = None
    tried: tuple[tuple[str, Residuals], ...] = ()
    temperatures: tuple[float, ...] = (1.0,)

    @property
    def n_learned(self) -> int:
        """How many encoders are trained, which is most of what it costs."""
        return sum(name.startswith(LEARNED) for name in self.representations)

    @property
    def learns(self) -> bool:
        return self.n_learned > 0

    @property
    def is_open(self) -> bool:
        """Whether it is to be seen which kinds of residuals there are to try."""
        return self.residuals is None and self.learns and self.recipe.within.fixed is None

    def kinds(self, name: str, fitting: Fitting) -> tuple[Residuals, ...]:
        """Return the kinds of residuals to try: an encoder learns nothing from those of a base that overfits."""
        if self.residuals is not None:
            return (self.residuals,)
        if not self.is_open or not fitting.overfits:
            return ("in-sample",)
        return ("cross-fitted",) if name.startswith(LEARNED) else RESIDUALS


def growing_folds(
    rows: Rows, plans: Sequence[Plan], n_folds: int, *, threads: int, report: Callable[[str], None]
) -> Iterator[list[Fold]]:
    """Run the plan of every base on folds, and yield at least `n_folds` groups of held-out rows; each time of more.

    Of very many rows, there is one split of a subsample. Where encoders are trained, as few folds as ask enough rows
    come first, then one more at a time. Otherwise all folds come at once.
    """
    recipe = plans[0].recipe
    rng = np.random.default_rng(recipe.problem.seed)
    rows, chosen = _chosen_splits(rows, recipe, n_folds, rng)
    n_first = n_last = len(chosen)
    if any(plan.learns for plan in plans):
        n_asked = len(recipe.honest(rows.take(chosen[0][1])).y)
        n_first = min(n_first, -(-_ROWS_TO_ASK // n_asked))
        n_last = min(n_last, max(n_first, _MOST_FOLDS_TO_LEARN))
    # The first fold sees whether a base overfits. All others try the same, because only that can be compared.
    n_alone = 1 if any(plan.is_open for plan in plans) else n_first
    # A single run has all threads for what is in it.
    inner = threads if n_first == len(plans) == 1 else 1
    found: list[list[_OfBase]] = []
    for n in sorted({n_alone, *range(n_first, n_last + 1)}):
        of = f"of {n_first}" if n <= n_first else "because the gain is not clear"
        names = [f"fold {i + 1} {of}" for i in range(len(found), n)]
        further = dict(zip(names, chosen[len(found) : n], strict=True))
        found += _run_all(rows, plans, further, threads=threads, inner=inner, report=report)
        plans = [replace(plan, tried=tuple(half.views)) for plan, half in zip(plans, found[0], strict=True)]
        if n >= n_first:
            asked = (recipe.honest(rows.take(queries)) for _, queries in chosen)
            folds = [
                _joined(queries, recipe.problem.groups(queries.X), each)
                for queries, each in zip(asked, found, strict=False)
            ]
            n_groups = -(-n_folds // n)
            yield [group for fold in folds for group in _grouped(fold, n_groups, rng)]


def _chosen_splits(
    rows: Rows, recipe: Recipe, n_folds: int, rng: np.random.Generator
) -> tuple[Rows, list[tuple[Integers, Integers]]]:
    """Return the rows that take part, and of every split the positions of those remembered and of those asked."""
    are_many = len(rows.y) > MOST_FOLDED_ROWS
    if rows.is_valid is not None or (are_many and recipe.fixed is not None):
        return rows, [_split_by_honest(rows, recipe, rng)]
    if are_many:
        rows = rows.take(drawn(recipe.problem.groups(rows.X), MOST_SPLIT_ROWS, rng))
        return rows, list(splits(rows.X, rows.y, recipe.problem, _SPLIT_SHARE, rng))[:1]
    chosen = splits(rows.X, rows.y, recipe.problem, n_folds, rng)
    return rows, [split for split in chosen if recipe.is_honest(rows.take(split[1])).any()]


def _split_by_honest(rows: Rows, recipe: Recipe, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """Ask about the rows that may judge, and remember others: none that is given to judge, nor equals one asked about.

    Of very many, as many are remembered and asked about as suffice.
    """
    groups, honest = recipe.problem.groups(rows.X), np.flatnonzero(recipe.is_honest(rows))
    n_asked = MOST_SPLIT_ROWS // _SPLIT_SHARE
    asked = honest if len(honest) <= n_asked else honest[drawn(groups[honest], n_asked, rng)]
    stays = ~np.isin(groups, groups[asked])
    if rows.is_valid is not None:
        stays &= ~rows.is_valid
    remembered = np.flatnonzero(stays)
    if len(rows.y) > MOST_FOLDED_ROWS:
        remembered = remembered[drawn(groups[remembered], MOST_SPLIT_ROWS - n_asked, rng)]
    return remembered, asked


def _run_all(
    rows: Rows,
    plans: Sequence[Plan],
    chosen: Mapping[str, tuple[Integers, Integers]],
    *,
    threads: int,
    inner: int,
    report: Callable[[str], None],
) -> list[list[_OfBase]]:
    """Run every plan on some folds, which have names, with `inner` threads each; return per fold what each found."""
    jobs = [(plan, name) for name in chosen for plan in plans]
    # Those that take longest first, so that none of them runs alone at the end.
    order = sorted(range(len(jobs)), key=lambda i: -jobs[i][0].n_learned)
    arguments = [(rows, jobs[i][0], *chosen[jobs[i][1]], inner) for i in order]
    is_long = any(plan.learns for plan in plans)
    running = (
        side_by_side(_run_fold, arguments, n_rows=len(rows.y), threads=threads, is_long=is_long)
        if inner == 1
        else itertools.starmap(_run_fold, arguments)
    )
    found: dict[int, _OfBase] = {}
    for i in order:
        plan, name = jobs[i]
        report(f"{plan.recipe.spec.estimator}, {name}")
        found[i] = next(running)
    return [[found[i + j] for j in range(len(plans))] for i in range(0, len(jobs), len(plans))]


def _grouped(fold: Fold, n_groups: int, rng: np.random.Generator) -> list[Fold]:
    if n_groups == 1:
        return [fold]
    parts = np.array_split(rng.permutation(fold.group.max() + 1), n_groups)
    return [fold.take(np.flatnonzero(np.isin(fold.group, part))) for part in parts if len(part)]


class _OfBase(NamedTuple):
    """One base's part of a fold: its [q, outputs] predictions; by representation and kind of residuals the rest."""

    predictions: Floats
    views: dict[tuple[str, Residuals], View]
    trained: dict[tuple[str, Residuals], Neighbourhood]
    whole: dict[tuple[str, Residuals], View]


def _joined(queries: Rows, group: Integers, found: Sequence[_OfBase]) -> Fold:
    views = {Place(base, *where): view for base, half in enumerate(found) for where, view in half.views.items()}
    trained = {Place(base, *where): state for base, half in enumerate(found) for where, state in half.trained.items()}
    whole = {Place(base, *where): view for base, half in enumerate(found) for where, view in half.whole.items()}
    weight = np.ones(len(queries.y)) if queries.weight is None else queries.weight
    predictions = tuple(half.predictions for half in found)
    return Fold(queries.y, weight, group, predictions, views, trained, whole, queries.positions)


def _run_fold(rows: Rows, plan: Plan, remembered: Integers, asked: Integers, threads: int) -> _OfBase:
    training, queries = rows.take(remembered), plan.recipe.honest(rows.take(asked))
    base = plan.recipe.base_for(training)
    of_queries = base.predict(queries.X)
    fitting = Fitting(training, base, plan.recipe.within, plan.n_steps, threads)
    wheres = plan.tried or [(name, kind) for name in plan.representations for kind in plan.kinds(name, fitting)]
    views, trained, whole = {}, {}, {}
    for (name, kind), (space, predictions) in zip(
        wheres, represent([fitting], [Place(0, *where) for where in wheres], threads), strict=True
    ):
        here, there = space.represent(training.X, base, predictions), space.represent(queries.X, base, of_queries)
        cells = Cells.group(here.points, training.weight)
        residuals = {t: row_residuals(training.y, here, predictions, t) for t in plan.temperatures}
        fewer = cells if plan.share_of_cells is None else _condensed(cells, plan, threads)
        views[name, kind] = _view(fewer, there, residuals, training.weight, plan)
        if plan.share_of_cells is not None:
            whole[name, kind] = _view(cells, there, residuals, training.weight, plan)
        if isinstance(space, Learned):
            trained[name, kind] = space.trained
    return _OfBase(of_queries, views, trained, whole)


def _condensed(cells: Cells, plan: Plan, threads: int) -> Cells:
    most = round((plan.share_of_cells or 0) * len(cells.members))
    return condensed(cells, max(most, plan.n_neighbors), seed=plan.recipe.problem.seed, threads=threads)


def _view(
    cells: Cells, queries: Position, residuals: Mapping[float, Floats], weight: Floats | None, plan: Plan
) -> View:
    """Search the cells for the neighbours of the queries; `residuals` are the remembered rows', by temperature."""
    k = min(plan.n_neighbors, len(cells.points))
    graph = replace(plan.graph, ef=plan.graph.ef or max(_FOLD_EF, k))
    index = build_index(cells.points, k, graph, plan.recipe.problem.seed, 1)
    distances, found = index.search(queries.points, k, 1)
    of_cells = {temperature: cells.mean(each, weight) for temperature, each in residuals.items()}
    return View(distances, found, queries.trend, cells.counts, of_cells)
