"""Memorising: from training rows and their base to a corrected model, and from a memory to one of other rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model import kernel
from resmem_cli.model.arrays import Floats, Singles
from resmem_cli.model.bases import Base
from resmem_cli.model.condensing import condensed
from resmem_cli.model.fitting import Fitting, Place, Represented, represented_alone
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memory import Cells, GraphOptions, HnswIndex, Memory, build_index
from resmem_cli.model.representation import Position, Representation
from resmem_cli.model.resmem import Corrected, Remembered
from resmem_cli.model.splitting import Rows


def memorise(
    fitting: Fitting,
    place: Place,
    settings: Settings,
    graph: GraphOptions,
    *,
    represented: Represented | None = None,
    clip_neighbors: bool = False,
    most_cells: int | None = None,
) -> Remembered:
    """Build the memory of the rows and the base that a representation is fitted to.

    Args:
        fitting: the rows, and their base.
        place: where the memory is.
        settings: how it will be used.
        graph: how its search graph is built.
        represented: what `represent` has found, if it was asked before.
        clip_neighbors: whether the number of neighbours is lowered to that of the cells.
        most_cells: how many there may be; None leaves each distinct representation a cell.

    Raises:
        UsageError: more neighbours are asked for than there are cells.
    """
    training = fitting.training
    representation, predictions = represented or represented_alone(fitting, place)
    points, residuals = _points_and_residuals(representation, fitting.base, training, predictions, settings.temperature)
    seed = fitting.recipe.problem.seed
    cells = _cells(points, training.weight, most_cells, seed, fitting.threads)
    if clip_neighbors:
        settings = replace(settings, n_neighbors=min(settings.n_neighbors, len(cells.points)))
    fitting.report(f"indexing {len(cells.points):,} cells")
    index = build_index(cells.points, settings.n_neighbors, graph, seed, fitting.threads)
    memory = Memory(cells.mean(residuals, training.weight), cells.counts, index)
    corrected = Corrected(place.base, representation, memory, settings)
    return Remembered(corrected, cells, residuals, most_cells, None if most_cells is None else points)


def changed(
    old: Remembered,
    kept: NDArray[np.bool_],
    base: Base,
    new: Rows,
    weight: Floats | None,
    *,
    seed: int,
    threads: int,
) -> Remembered:
    """Build the memory of those old rows that are kept, then of new ones, as if it had never been another.

    Where rows only come, a search graph is extended, and the old index must not be used any more.

    Args:
        old: the memory.
        kept: [n] which of its rows stay.
        base: the base that it is of.
        new: rows to add, which may be none.
        weight: [kept + new] of all rows, or None.
        seed: of the search graph.
        threads: that build it.
    """
    corrected, settings = old.corrected, old.corrected.settings
    points = corrected.memory.index.points_at(old.cells.members[kept]) if old.points is None else old.points[kept]
    residuals = old.residuals[kept]
    if len(new.y):
        added = _points_and_residuals(corrected.representation, base, new, base.predict(new.X), settings.temperature)
        points, residuals = np.concatenate([points, added[0]]), np.concatenate([residuals, added[1]])
    cells = _cells(points, weight, old.most_cells, seed, threads)
    k = min(settings.n_neighbors, len(cells.points))
    index, options = corrected.memory.index, _graph_options(corrected.memory.index)
    if kept.all() and isinstance(index, HnswIndex) and old.most_cells is None:  # then the old cells are the first
        index = index.extended(cells.points, k, options, threads)
    else:
        index = build_index(cells.points, k, options, seed, threads)
    memory = Memory(cells.mean(residuals, weight), cells.counts, index)
    own_points = None if old.most_cells is None else points
    return Remembered(replace(corrected, memory=memory), cells, residuals, old.most_cells, own_points)


def row_residuals(y: Floats, position: Position, predictions: Floats, temperature: float) -> Floats:
    """Return [n, outputs] what is remembered of rows: what their tempered predictions leave, less the trend there.

    A cell holds the mean of its rows'. The folds that choose the settings and the memory that is built both ask here.

    Args:
        y: [n] targets, numbers or class codes.
        position: of the rows.
        predictions: [n, outputs] that the residuals are taken from.
        temperature: of these.
    """
    residuals = kernel.residuals(y, kernel.tempered(predictions, temperature))
    return residuals if position.trend is None else residuals - position.trend


def _points_and_residuals(
    representation: Representation, base: Base, rows: Rows, predictions: Floats, temperature: float
) -> tuple[Singles, Floats]:
    """Return [n, p] representations and the [n, outputs] residuals that are remembered there, without their trend."""
    position = representation.represent(rows.X, base, predictions)
    return position.points, row_residuals(rows.y, position, predictions, temperature)


def _cells(points: Singles, weight: Floats | None, most: int | None, seed: int, threads: int) -> Cells:
    cells = Cells.group(points, weight)
    return cells if most is None else condensed(cells, most, seed=seed, threads=threads)


def _graph_options(index: object) -> GraphOptions:
    """Return how the present index was built, and the recall that it has, unless more than the default was asked."""
    if not isinstance(index, HnswIndex):
        return GraphOptions()
    known = GraphOptions(M=index.graph.M, ef_construction=index.graph.ef_construction)
    return replace(known, recall=min(known.recall, index.recall)) if index.recall < known.recall else known
