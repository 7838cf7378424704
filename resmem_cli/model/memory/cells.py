"""Rows grouped into cells of equal points.

Equal points must be one cell: HNSW links duplicates to each other and loses the rest of the graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from resmem_cli.model.arrays import Floats, Integers, Singles
from resmem_cli.model.residuals import Residuals, SparseResiduals


@dataclass(frozen=True)
class Cells:
    """Rows grouped by equal points.

    Attributes:
        points: [m, p] the distinct points, in the order in which they first appear.
        counts: [m] how many rows (or how much weight) each stands for.
        of_rows: [n] the cell of each row.
    """

    points: Singles
    counts: Floats
    of_rows: Integers

    @classmethod
    def group(cls, points: Singles, weight: Floats | None = None) -> Self:
        """Group [n, p] points; rows of weight 0 belong to a cell but do not count in it."""
        rows = np.ascontiguousarray(points + np.float32(0))  # -0.0 becomes 0.0
        as_bytes = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
        _, first, inverse = np.unique(as_bytes, return_index=True, return_inverse=True)
        order = np.argsort(first, kind="stable")
        position = np.empty_like(order)
        position[order] = np.arange(len(order))
        of_rows = position[inverse.ravel()]
        return cls(rows[first[order]], np.asarray(np.bincount(of_rows, weight, len(order)), dtype=np.float64), of_rows)

    def mean(self, values: Residuals, weight: Floats | None = None) -> Residuals:
        """Return [m, outputs] the (weighted) mean of [n, outputs] row values in each cell."""
        if isinstance(values, SparseResiduals):
            return values.cell_means(self.of_rows, self.counts, weight)
        heavy = values if weight is None else values * weight[:, None]
        sums = np.column_stack([np.bincount(self.of_rows, column, len(self.counts)) for column in heavy.T])
        means: Floats = sums / np.where(self.counts > 0, self.counts, 1.0)[:, None]
        return means
