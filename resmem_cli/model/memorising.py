"""Memorising: from training rows and their base to a corrected model."""

from __future__ import annotations

from dataclasses import dataclass, replace

from resmem_cli.model import kernel
from resmem_cli.model.condensing import condensed
from resmem_cli.model.fitting import Fitting, Place, Represented, represented_alone
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memory import Cells, GraphOptions, Memory, build_index
from resmem_cli.model.resmem import Corrected


@dataclass(frozen=True)
class Remembered:
    """A base with the memory that was built for it, and the [n] cell that each memorised row fell into."""

    corrected: Corrected
    cells: Cells


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
    position = representation.represent(training.X, fitting.base, predictions)
    seed = fitting.recipe.problem.seed
    cells = Cells.group(position.points, training.weight)
    if most_cells is not None:
        fitting.report(f"condensing {len(cells.points):,} cells")
        cells = condensed(cells, most_cells, seed=seed, threads=fitting.threads)
    residuals = kernel.residuals(training.y, kernel.tempered(predictions, settings.temperature))
    if position.trend is not None:
        residuals = residuals - position.trend
    if clip_neighbors:
        settings = replace(settings, n_neighbors=min(settings.n_neighbors, len(cells.points)))
    fitting.report(f"indexing {len(cells.points):,} cells")
    index = build_index(cells.points, settings.n_neighbors, graph, seed, fitting.threads)
    memory = Memory(cells.mean(residuals, training.weight), cells.counts, index)
    return Remembered(Corrected(place.base, representation, memory, settings), cells)
