"""A memory of fewer cells: the nearest are merged, round after round, until no more are left than may be.

In each round every cell looks for its nearest other; two that are each other's nearest may become one, at their
weighted mean. Of such pairs those go first that lose least: the sum of squared distances that the merging adds, as in
Ward's clustering. (Reciprocal nearest neighbours merged at once: Murtagh 1983; found approximately here.)
"""

from __future__ import annotations

import numpy as np

from resmem_cli.model.arrays import Integers
from resmem_cli.model.memory.building import build_index
from resmem_cli.model.memory.cells import Cells
from resmem_cli.model.memory.index import GraphOptions

_GRAPH = GraphOptions(M=8, ef_construction=64, ef=32)


def condensed(cells: Cells, most: int, *, seed: int, threads: int) -> Cells:
    """Return at most `most` cells that hold the same rows; the same cells if they are few enough already.

    The outcome does not depend on the number of threads: the graphs are built by one.
    """
    while len(cells.points) > most:
        first, second = _pairs(cells, seed, threads)
        cells = _merged(cells, first[: len(cells.points) - most], second[: len(cells.points) - most])
    return cells


def _pairs(cells: Cells, seed: int, threads: int) -> tuple[Integers, Integers]:
    """Return pairs of cells that are each other's nearest, those that lose least by becoming one first."""
    distances, found = build_index(cells.points, 2, _GRAPH, seed, 1).search(cells.points, 2, threads)
    own = np.arange(len(found))
    is_other = found != own[:, None]  # mostly the second: every cell is nearest to itself
    column = is_other.argmax(axis=1)
    nearest, apart = found[own, column], distances[own, column]
    is_pair = (nearest[nearest] == own) & (own < nearest)
    if not is_pair.any():  # a search that is not exact may find none: then the nearest two of all
        closest = int(apart.argmin())
        return own[[closest]], nearest[[closest]]
    first, second = own[is_pair], nearest[is_pair]
    n, m = cells.counts[first], cells.counts[second]
    lost = n * m / np.maximum(n + m, np.finfo(float).tiny) * np.square(apart[first])
    order = np.argsort(lost, kind="stable")
    return first[order], second[order]


def _merged(cells: Cells, first: Integers, second: Integers) -> Cells:
    """Return the cells with every second one in its first; cells that count nothing meet in the middle."""
    n, m = cells.counts[first], cells.counts[second]
    share = np.where(n + m > 0, m / np.where(n + m > 0, n + m, 1.0), 0.5)[:, None]
    points, counts = cells.points.copy(), cells.counts.copy()
    points[first] = (1 - share) * points[first] + share * points[second]
    counts[first] += m
    stays = np.ones(len(points), dtype=bool)
    stays[second] = False
    target = np.arange(len(points))
    target[second] = first
    renumbered = np.cumsum(stays) - 1
    return Cells(points[stays], counts[stays], renumbered[target[cells.of_rows]])
