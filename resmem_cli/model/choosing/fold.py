"""One fold: the whole procedure on its training rows, and what its held-out rows are predicted from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from resmem_cli.model.arrays import Floats, Integers, Singles
from resmem_cli.model.choosing.candidates import Candidate
from resmem_cli.model.choosing.plan import Plan
from resmem_cli.model.combination import mean_of_bases
from resmem_cli.model.kernel import row_residuals
from resmem_cli.model.memory.building import build_index
from resmem_cli.model.memory.cells import Cells
from resmem_cli.model.memory.condensing import condensed
from resmem_cli.model.memory.index import EXACT_BELOW, ExactIndex, Index
from resmem_cli.model.residuals import NOT_NEEDED, Residuals, SparseResiduals, values_of
from resmem_cli.model.rows import LabelledRows
from resmem_cli.model.scaling import Encoded
from resmem_cli.model.spaces import Position, Space
from resmem_cli.model.spaces.fitting import fit_spaces
from resmem_cli.model.spaces.training import ResidualKind, Training

# Up to so many held-out rows are searched faster without a graph than one is built, whatever the number of cells.
_MOST_EXACT = 15_000
_FOLD_EF = 128  # wide enough for the comparison of settings; only the final graph's recall is measured


@dataclass(frozen=True)
class View:
    """A candidate's neighbours of a fold's held-out rows.

    Attributes:
        distances, cells: [q, k] of every held-out row.
        trend: [q, outputs] of every held-out row, or None where the space has none.
        counts: [m] of the cells.
        residuals: by temperature, 1 among them, [m, outputs] what each cell remembers.
    """

    distances: Floats
    cells: Integers
    trend: Floats | None
    counts: Floats
    residuals: Mapping[float, Residuals]

    @property
    def is_sparse(self) -> bool:
        """Whether only some classes of each residual are held."""
        return isinstance(self.residuals[1.0], SparseResiduals)

    def take(self, rows: Integers) -> View:
        trend = None if self.trend is None else self.trend[rows]
        return replace(self, distances=self.distances[rows], cells=self.cells[rows], trend=trend)


@dataclass(frozen=True)
class Fold:
    """A fold's held-out rows, and the memories that they are predicted from.

    Attributes:
        y, weight, group: [q] targets, weights, and which rows belong together because their features are equal.
        predictions: per base, [q, outputs].
        views: per candidate, the neighbours.
        trained: the fold's trained spaces, per candidate that has one.
        uncondensed: the views of the memories before they were condensed; empty if they were not.
        rows: [q] where the rows stand among all that the folds were made of, if that is known.
        base_weights: of each base in the mean that is the one to beat; without any, that is the first.
    """

    y: Floats
    weight: Floats
    group: Integers
    predictions: tuple[Floats, ...]
    views: dict[Candidate, View]
    trained: dict[Candidate, Space]
    uncondensed: dict[Candidate, View] = field(default_factory=dict)
    rows: Integers | None = None
    base_weights: tuple[float, ...] = ()

    @property
    def base(self) -> Floats:
        """[q, outputs] predictions of the base to beat."""
        return mean_of_bases(dict(enumerate(self.predictions)), self.base_weights)

    @property
    def is_sparse(self) -> bool:
        """Whether the memories hold only some classes of each residual."""
        return any(view.is_sparse for view in self.views.values())

    @property
    def n_held(self) -> int:
        """How many numbers the memories hold of each residual."""
        sparse = [values_of(view.residuals[1.0]).shape[1] for view in self.views.values() if view.is_sparse]
        return int(max(sparse, default=self.predictions[0].shape[1]))

    def take(self, rows: Integers) -> Fold:
        return Fold(
            self.y[rows],
            self.weight[rows],
            self.group[rows],
            tuple(predictions[rows] for predictions in self.predictions),
            {candidate: view.take(rows) for candidate, view in self.views.items()},
            self.trained,
            {candidate: view.take(rows) for candidate, view in self.uncondensed.items()},
            None if self.rows is None else self.rows[rows],
            self.base_weights,
        )


class OfBase(NamedTuple):
    """One base's part of a fold: its [q, outputs] predictions; by space and residuals what `Fold` has by candidate."""

    predictions: Floats
    views: dict[tuple[str, ResidualKind], View]
    trained: dict[tuple[str, ResidualKind], Space]
    uncondensed: dict[tuple[str, ResidualKind], View]


def joined(queries: LabelledRows, group: Integers, of_bases: Sequence[OfBase]) -> Fold:
    """Return the fold of held-out rows, from what was computed for every base."""
    views: dict[Candidate, View] = {}
    trained: dict[Candidate, Space] = {}
    uncondensed: dict[Candidate, View] = {}
    for base, part in enumerate(of_bases):
        views |= {Candidate(base, *key): view for key, view in part.views.items()}
        trained |= {Candidate(base, *key): space for key, space in part.trained.items()}
        uncondensed |= {Candidate(base, *key): view for key, view in part.uncondensed.items()}
    weight = np.ones(len(queries.y)) if queries.weight is None else queries.weight
    predictions = tuple(part.predictions for part in of_bases)
    return Fold(queries.y, weight, group, predictions, views, trained, uncondensed, queries.positions)


def run(rows: LabelledRows, plan: Plan, training: Integers, held_out: Integers, threads: int) -> OfBase:
    """Fit a base and its spaces to the training rows, remember these, and search the neighbours of the held-out rows.

    Args:
        rows: all rows.
        plan: what to try with the base.
        training: positions of the rows to fit to and to remember.
        held_out: positions of the others, of which the queries are.
        threads: how many.
    """
    memorised, queries = rows.take(training), plan.recipe.queries(rows.take(held_out))
    base = plan.recipe.base_for(memorised)
    of_queries = base.predict(queries.X)
    fitted = Training(memorised, base, plan.recipe.within, plan.schedule, threads)
    keys = plan.tried or [(name, kind) for name in plan.spaces for kind in plan.kinds(name, fitted)]
    found = OfBase(of_queries, {}, {}, {})
    spaces = fit_spaces([(name, fitted, kind) for name, kind in keys], threads)
    of_memory, of_held_out = Encoded(memorised.X), Encoded(queries.X)
    for (name, kind), space in zip(keys, spaces, strict=True):
        points, residuals = _remembered(fitted, of_memory, space, kind, plan)
        there = space.represent(of_held_out, base, of_queries)
        cells = Cells.group(points, memorised.weight)
        if plan.share_of_cells is None:
            found.views[name, kind] = _view(cells, there, residuals, memorised.weight, plan)
        else:
            found.uncondensed[name, kind] = _view(cells, there, residuals, memorised.weight, plan)
            fewer = _condensed(cells, plan, threads)
            found.views[name, kind] = _view(fewer, there, residuals, memorised.weight, plan)
        if space.needs_training:
            found.trained[name, kind] = space
    return found


def _remembered(
    fitted: Training, encoded: Encoded, space: Space, kind: ResidualKind, plan: Plan
) -> tuple[Singles, Mapping[float, Residuals]]:
    """Return what is remembered of [n] training rows: their points and, by temperature, residuals."""
    rows, base = fitted.rows, fitted.base
    if plan.n_largest is not None:
        return space.represent(encoded, base, NOT_NEEDED).points, fitted.sparse(plan.temperatures, plan.n_largest)
    predictions = fitted.predictions(kind)
    here = space.represent(encoded, base, predictions)
    return here.points, {t: row_residuals(rows.y, predictions, t, here.trend) for t in plan.temperatures}


def _condensed(cells: Cells, plan: Plan, threads: int) -> Cells:
    most = round((plan.share_of_cells or 0) * len(cells.of_rows))
    return condensed(cells, max(most, plan.n_neighbors), seed=plan.recipe.problem.seed, threads=threads)


def _view(
    cells: Cells, queries: Position, residuals: Mapping[float, Residuals], weight: Floats | None, plan: Plan
) -> View:
    """Search the cells for the neighbours of the queries; `residuals` are the remembered rows', by temperature."""
    k = min(plan.n_neighbors, len(cells.points))
    index: Index
    if len(cells.points) >= EXACT_BELOW and len(queries.points) <= _MOST_EXACT:
        index = ExactIndex(cells.points, np.float32)
    else:
        graph = replace(plan.graph, ef=plan.graph.ef or max(_FOLD_EF, k))
        index = build_index(cells.points, k, graph, plan.recipe.problem.seed, 1)
    distances, nearest = index.search(queries.points, k, 1)
    of_cells = {temperature: cells.mean(values, weight) for temperature, values in residuals.items()}
    return View(distances, nearest, queries.trend, cells.counts, of_cells)
