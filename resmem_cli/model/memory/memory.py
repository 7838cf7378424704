"""A memory: what is remembered in every cell of a space, the search for the nearest, and how it changes with rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.arrays import Floats, Integers, Singles
from resmem_cli.model.memory.building import build_index, changed_index, shards_of
from resmem_cli.model.memory.cells import Cells
from resmem_cli.model.memory.condensing import condensed
from resmem_cli.model.memory.index import GraphOptions, HnswIndex, Index
from resmem_cli.model.residuals import Residuals, SparseResiduals, joined, values_of


@dataclass(frozen=True)
class Contents:
    """The rows that a memory was built of, so that rows can be added and removed.

    Attributes:
        cells: [n] the cell of each row.
        residuals: [n, outputs] of each row.
        points: [n, p] of each row, where cells are condensed; None otherwise: they are those of the cells.
    """

    cells: Integers
    residuals: Residuals
    points: Singles | None = None


@dataclass(frozen=True)
class Memory:
    """What is remembered.

    Attributes:
        residuals: [m, outputs] the mean residual of each cell; of very many classes sparse.
        counts: [m] how many rows, or how much weight, each cell stands for.
        index: the search over the cells' points.
        graph: how a search graph of other cells is built; None of a memory of an older resmem: as the present one.
        most_cells: how many cells there may be, or None for any number.
        contents: the rows it was built of; None of a memory that was loaded for predicting alone.
    """

    residuals: Residuals
    counts: Floats
    index: Index
    graph: GraphOptions | None = None
    most_cells: int | None = None
    contents: Contents | None = None

    @classmethod
    def build(
        cls,
        points: Singles,
        residuals: Residuals,
        weight: Floats | None,
        *,
        n_neighbors: int,
        graph: GraphOptions,
        most_cells: int | None = None,
        clip_neighbors: bool = False,
        seed: int,
        threads: int,
    ) -> Self:
        """Build the memory of rows.

        Args:
            points: [n, p] of the rows in the memory's space.
            residuals: [n, outputs] what is remembered of each.
            weight: [n], or None.
            n_neighbors: how many neighbours will be searched.
            graph: how a search graph is built.
            most_cells: how many cells there may be; None leaves every distinct point a cell.
            clip_neighbors: whether fewer cells than neighbours are no error.
            seed: of the graph.
            threads: that build it.

        Raises:
            UsageError: there are fewer cells than neighbours.
        """
        cells = _cells(points, weight, most_cells, seed, threads)
        k = min(n_neighbors, len(cells.points)) if clip_neighbors else n_neighbors
        index = build_index(cells.points, k, graph, seed, threads)
        contents = Contents(cells.of_rows, residuals, None if most_cells is None else points)
        return cls(cells.mean(residuals, weight), cells.counts, index, graph, most_cells, contents)

    def changed(
        self,
        kept: NDArray[np.bool_],
        points: Singles,
        residuals: Residuals,
        weight: Floats | None,
        *,
        n_neighbors: int,
        seed: int,
        threads: int,
    ) -> Self:
        """Build the memory of those of its rows that are kept, then of new ones, as if it had never been another.

        Search graphs that only gain cells are extended, and those that keep theirs stay: the old memory must not be
        used any more.

        Args:
            kept: [n] which rows stay.
            points: [a, p] of the rows to add, which may be none.
            residuals: [a, outputs] of these.
            weight: [kept + a] of all rows, or None.
            n_neighbors: how many neighbours will be searched.
            seed: of the search graph.
            threads: that build it.
        """
        before = self._contents
        old = self.index.points_at(before.cells[kept]) if before.points is None else before.points[kept]
        points, residuals = np.concatenate([old, points]), joined([before.residuals[kept], residuals])
        cells = _cells(points, weight, self.most_cells, seed, threads)
        k, options = min(n_neighbors, len(cells.points)), self.graph or _graph_options(self.index)
        left = None if self.most_cells is not None else self._left(kept, cells)
        index = changed_index(self.index, left, cells.points, k=k, options=options, seed=seed, threads=threads)
        contents = Contents(cells.of_rows, residuals, None if before.points is None else points)
        return replace(
            self, residuals=cells.mean(residuals, weight), counts=cells.counts, index=index, contents=contents
        )

    def _left(self, kept: NDArray[np.bool_], cells: Cells) -> list[int]:
        """Return how many cells of the rows that are kept are in the place of those of each shard.

        Cells are numbered by the first row in them. So a shard has those cells of which the first row is one of
        consecutive rows, and that is what it has when rows before or among them are gone.
        """
        sizes = [shard.n_points for shard in shards_of(self.index)]
        ends = [int(np.argmax(self._contents.cells == start)) for start in np.cumsum(sizes)[:-1]]
        n_kept = np.concatenate([[0], np.cumsum(kept)])
        n_cells = [int(cells.of_rows[: n_kept[end]].max(initial=-1)) + 1 for end in [0, *ends, len(kept)]]
        return np.diff(n_cells).tolist()

    @property
    def _contents(self) -> Contents:
        if self.contents is None:
            raise ValueError("this memory was loaded without the rows that it was built of")
        return self.contents

    @property
    def is_sparse(self) -> bool:
        """Whether only some classes of each residual are held."""
        return isinstance(self.residuals, SparseResiduals)

    @property
    def n_held(self) -> int:
        """How many numbers are held of each residual."""
        return int(values_of(self.residuals).shape[1])

    @property
    def n_cells(self) -> int:
        return len(self.counts)

    @property
    def n_shards(self) -> int:
        return len(shards_of(self.index))

    @property
    def recall(self) -> float | None:
        """The share of true neighbours that the search finds; None if it is exact, NaN if it was not measured."""
        return self.index.recall

    def neighbors(self, queries: Singles, k: int, threads: int) -> tuple[Floats, Integers]:
        """Return [n, k] distances and cells of the k nearest to [n, p] points (all, if there are fewer than k)."""
        return self.index.search(np.ascontiguousarray(queries), min(k, self.n_cells), threads)


def _cells(points: Singles, weight: Floats | None, most: int | None, seed: int, threads: int) -> Cells:
    cells = Cells.group(points, weight)
    return cells if most is None else condensed(cells, most, seed=seed, threads=threads)


def _graph_options(index: Index) -> GraphOptions:
    """Return how the present index was built, with the recall that it has if that is less than the default."""
    if not isinstance(index, HnswIndex):
        return GraphOptions()
    options = GraphOptions(M=index.graph.M, ef_construction=index.graph.ef_construction)
    return replace(options, recall=min(options.recall, index.recall)) if index.recall < options.recall else options
