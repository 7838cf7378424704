"""The whole model: a base, what it left unexplained, and their sum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from resmem_cli.model import kernel
from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases import Base
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memory import Cells, GraphOptions, Memory, build_index
from resmem_cli.model.representation import Representation

_HELD_RESIDUALS = 4_000_000  # of neighbours, at once


@dataclass(frozen=True)
class Prediction:
    """[n, outputs] predictions without and with the memory: numbers, or probabilities of the classes."""

    base: Floats
    resmem: Floats


@dataclass(frozen=True)
class ResMem:
    """A base model with a memory of its residuals; a pure function of a batch of rows."""

    base: Base
    representation: Representation
    memory: Memory
    settings: Settings

    def predict(self, X: Floats, *, threads: int = 1) -> Prediction:
        """Predict [n, d] encoded rows."""
        base = self.base.predict(X)
        if self.settings.shrinkage == 0:
            return Prediction(base, base)
        n_rows = max(1, _HELD_RESIDUALS // (self.settings.n_neighbors * base.shape[1]))
        blocks = [slice(start, start + n_rows) for start in range(0, len(X), n_rows)]
        summed = [self._correct(X[block], base[block], threads) for block in blocks]
        return Prediction(base, np.concatenate(summed) if summed else base)

    def _correct(self, X: Floats, base: Floats, threads: int) -> Floats:
        settings = self.settings
        queries = self.representation.represent(X, self.base, base)
        distances, cells = self.memory.neighbors(queries, settings.n_neighbors, threads)
        weights = kernel.weights(
            distances, self.memory.counts[cells], settings.bandwidth, is_relative=settings.is_relative
        )
        correction = kernel.correction(weights, self.memory.residuals[cells])
        return kernel.corrected(kernel.tempered(base, settings.temperature), correction, settings.shrinkage)


@dataclass(frozen=True)
class Remembered:
    """A fitted model, and the [n] cell that each memorised row fell into."""

    model: ResMem
    cells: Cells


def memorise(
    base: Base,
    representation: Representation,
    settings: Settings,
    rows: tuple[Floats, Floats, Floats | None],
    graph: GraphOptions,
    *,
    seed: int,
    threads: int,
    clip_neighbors: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Remembered:
    """Build the memory of `rows`: their [n, d] encodings, [n] targets, and [n] positive weights or None.

    Raises:
        UsageError: more neighbours are asked for than there are cells (unless `clip_neighbors` lowers their number).
    """
    X, y, weight = rows
    predictions = base.predict(X)
    cells = Cells.group(representation.represent(X, base, predictions), weight)
    residuals = kernel.residuals(y, kernel.tempered(predictions, settings.temperature))
    if clip_neighbors:
        settings = replace(settings, n_neighbors=min(settings.n_neighbors, len(cells.points)))
    report(f"indexing {len(cells.points):,} cells")
    index = build_index(cells.points, settings.n_neighbors, graph, seed, threads)
    memory = Memory(cells.mean(residuals, weight), cells.counts, index)
    return Remembered(ResMem(base, representation, memory, settings), cells)
