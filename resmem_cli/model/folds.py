"""The folds that settings are chosen by: in each, the whole procedure on some rows, asked about the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from resmem_cli.model import kernel, representation
from resmem_cli.model.arrays import Floats, Integers, Singles
from resmem_cli.model.memory import Cells, GraphOptions, build_index
from resmem_cli.model.parallel import side_by_side
from resmem_cli.model.splitting import Recipe, Rows, splits

# Above this many rows one split of a subsample replaces the folds.
MOST_FOLDED_ROWS = 200_000
MOST_SPLIT_ROWS = 125_000  # 100,000 of them remembered, 25,000 asked
_SPLIT_SHARE = 5
# An encoder is trained anew in every fold; this many rows, asked in as few folds as hold them, say enough of it.
_ROWS_TO_ASK = 2_500
_FOLD_EF = 128  # wide enough for the comparison of settings; only the final graph's recall is measured


@dataclass(frozen=True)
class View:
    """A fold's neighbours in one representation: [q, k] distances, [q, k] cells; per cell its count and means."""

    distances: Floats
    cells: Integers
    counts: Floats
    targets: Floats
    predictions: Floats


@dataclass(frozen=True)
class Fold:
    """A fold's held-out rows: [q] targets and weights, [q, outputs] base predictions, a view per representation."""

    y: Floats
    weight: Floats
    predictions: Floats
    views: dict[str, View]

    def take(self, rows: Integers) -> Fold:
        views = {
            name: replace(view, distances=view.distances[rows], cells=view.cells[rows])
            for name, view in self.views.items()
        }
        return Fold(self.y[rows], self.weight[rows], self.predictions[rows], views)


@dataclass(frozen=True)
class Plan:
    """What every fold does.

    Attributes:
        recipe: how its base comes about.
        representations: the names of those to search in.
        n_neighbors: the largest k that will be asked for.
        graph: how its graphs are built.
        n_steps: how long an encoder is trained.
    """

    recipe: Recipe
    representations: tuple[str, ...]
    n_neighbors: int
    graph: GraphOptions
    n_steps: int

    @property
    def learns(self) -> bool:
        return any(name.startswith(representation.LEARNED) for name in self.representations)


def run_folds(rows: Rows, plan: Plan, n_folds: int, *, threads: int, report: Callable[[str], None]) -> list[Fold]:
    """Run the plan on every fold, and return at least `n_folds` groups of held-out rows.

    Of very many rows, one split of a subsample is run; where encoders are trained, as few folds as ask enough rows.
    """
    problem = plan.recipe.problem
    rng = np.random.default_rng(problem.seed)
    if len(rows.y) > MOST_FOLDED_ROWS:
        rows = rows.take(rng.permutation(len(rows.y))[:MOST_SPLIT_ROWS])
        chosen = list(splits(rows.y, problem, _SPLIT_SHARE, rng))[:1]
    else:
        chosen = list(splits(rows.y, problem, n_folds, rng))
    if plan.recipe.fixed is not None:
        chosen = [split for split in chosen if rows.is_new[split[1]].any()]
    if plan.learns:
        n_asked = len(plan.recipe.honest(rows.take(chosen[0][1])).y)
        chosen = chosen[: max(1, -(-_ROWS_TO_ASK // n_asked))]
    report(f"fold 1 of {len(chosen)}")
    folds: list[Fold] = []
    # A single fold has all threads for what is in it.
    inner = threads if len(chosen) == 1 else 1
    arguments = [(rows, plan, *split, inner) for split in chosen]
    found = (
        side_by_side(_run_fold, arguments, n_rows=len(rows.y), threads=threads)
        if inner == 1
        else map(_run_fold, *zip(*arguments, strict=True))
    )
    for fold in found:
        folds.append(fold)
        report(f"fold {min(len(folds) + 1, len(chosen))} of {len(chosen)}")
    n_groups = -(-n_folds // len(folds))
    return [group for fold in folds for group in _grouped(fold, n_groups, rng)]


def _grouped(fold: Fold, n_groups: int, rng: np.random.Generator) -> list[Fold]:
    if n_groups == 1:
        return [fold]
    groups = np.array_split(rng.permutation(len(fold.y)), n_groups)
    return [fold.take(np.sort(group)) for group in groups if len(group)]


def _run_fold(rows: Rows, plan: Plan, remembered: Integers, asked: Integers, threads: int) -> Fold:
    training, queries = rows.take(remembered), plan.recipe.honest(rows.take(asked))
    base = plan.recipe.base_for(training)
    of_training, of_queries = base.predict(training.X), base.predict(queries.X)
    # What is left of a prediction of 0 is the target itself: for classes, its one-hot row.
    targets = kernel.residuals(training.y, np.zeros_like(of_training))
    fitting = representation.Fitting(training, base, plan.recipe, plan.n_steps, threads)
    views = {}
    for name in plan.representations:
        space = fitting.fit(name)
        cells = Cells.group(space.represent(training.X, base, of_training), training.weight)
        distances, found = _neighbors(cells, space.represent(queries.X, base, of_queries), plan)
        means = (cells.mean(values, training.weight) for values in (targets, of_training))
        views[name] = View(distances, found, cells.counts, *means)
    weight = np.ones(len(queries.y)) if queries.weight is None else queries.weight
    return Fold(queries.y, weight, of_queries, views)


def _neighbors(cells: Cells, queries: Singles, plan: Plan) -> tuple[Floats, Integers]:
    k = min(plan.n_neighbors, len(cells.points))
    graph = replace(plan.graph, ef=plan.graph.ef or max(_FOLD_EF, k))
    return build_index(cells.points, k, graph, plan.recipe.problem.seed, 1).search(queries, k, 1)
