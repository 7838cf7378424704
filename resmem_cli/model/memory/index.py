"""The search for the nearest points: exact for few, by an HNSW graph for many (Malkov and Yashunin 2018; hnswlib)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from resmem_cli.errors import ModelError
from resmem_cli.model.arrays import Floats, Integers, Singles

EXACT_BELOW = 1_000
_ADDED_AT_ONCE = 10_000  # Ctrl-C is heard between the calls of hnswlib, and not within one
RECALL_QUERIES, _RECALL_ONE_IN = 500, 10  # at most so many, and of few points at most a tenth
_MOST_EF = 4_096
# Neighbouring queries one after the other find their part of the graph in the processor's cache: a fifth to a third
# faster. Of few it does not pay.
_ORDERED_FROM = 1_000
_ROWS_OF_AXIS, _STEPS_TO_AXIS = 256, 3
# A graph of few points, to which many are added, is as wide as few need: it finds less than was measured on the few.
_MOST_GROWTH = 2
SHARD_CELLS = 5_000_000  # about a gigabyte of graph at 16 columns
_MOST_HELD = 2_000_000  # distances, or differences of coordinates, held at once by the exact search


class Index(Protocol):
    """A search over [m, p] points."""

    def search(self, queries: Singles, k: int, threads: int) -> tuple[Floats, Integers]:
        """Return [n, k] Euclidean distances, ascending, and the [n, k] points they belong to."""
        ...

    def points_at(self, which: Integers) -> Singles:
        """Return some of the points."""
        ...

    @property
    def n_columns(self) -> int:
        """How many columns the points have."""
        ...

    @property
    def recall(self) -> float | None:
        """The share of true neighbours that the search finds; None if it is exact, NaN if it was not measured."""
        ...


@dataclass(frozen=True)
class ExactIndex:
    """Every distance computed; of equally distant points the earlier comes first (at the k-th place, either may).

    Attributes:
        points: [m, p].
        ranked_in: the precision in which the nearest are found; in single precision it is faster, and points may be
            mistaken for each other that differ by a few thousandths of the range of all.
    """

    points: Singles
    ranked_in: type[np.float32] | type[np.float64] = np.float64

    def search(
        self, queries: Singles, k: int, threads: int = 1, *, most_held: int = _MOST_HELD
    ) -> tuple[Floats, Integers]:
        # Taken from their middle: far from 0, the squares would leave no digits to the distances.
        center = self.points.mean(axis=0, dtype=np.float64)
        points = (self.points - center).astype(self.ranked_in)
        squares = np.einsum("mp,mp->m", points, points)
        distances, indices = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
        block = max(1, most_held // max(len(points), k * points.shape[1]))
        for start in range(0, len(queries), block):
            part = (queries[start : start + block] - center).astype(self.ranked_in)
            # |q|² is left out: it is the same for every point.
            rank = squares - 2 * part @ points.T
            nearest = np.argpartition(rank, k - 1, axis=1)[:, :k] if k < len(points) else np.argsort(rank, axis=1)
            nearest.sort(axis=1)
            # The difference, not the expanded square: an equal point is at distance 0 and not at rounding error.
            own = queries[start : start + block, None, :].astype(np.float64)
            apart = np.sqrt(np.square(own - self.points[nearest]).sum(axis=2))
            order = np.argsort(apart, axis=1, kind="stable")
            distances[start : start + block] = np.take_along_axis(apart, order, axis=1)
            indices[start : start + block] = np.take_along_axis(nearest, order, axis=1)
        return distances, indices

    def points_at(self, which: Integers) -> Singles:
        return self.points[which]

    @property
    def n_columns(self) -> int:
        return int(self.points.shape[1])

    @property
    def n_points(self) -> int:
        return len(self.points)

    @property
    def recall(self) -> None:
        return None


@dataclass(frozen=True)
class GraphOptions:
    """How HNSW graphs are built and searched.

    Attributes:
        M, ef_construction: hnswlib's.
        ef: how many candidates a search considers; None is raised from the number of neighbours until `recall` holds.
        recall: the share of true neighbours that a search has to find.
        shard_cells: how many cells are searched through one graph; more are cut into shards.
    """

    M: int = 16
    ef_construction: int = 200
    ef: int | None = None
    recall: float = 0.99
    shard_cells: int = SHARD_CELLS


@dataclass
class HnswIndex:
    """An approximate search.

    Attributes:
        graph: hnswlib's index, its labels the positions of the points.
        ef: the size of the candidate list while searching.
        recall: the share of true neighbours that it found for points which it did not hold yet; NaN if not measured.
        file: the file that it was read of, as long as that has what it holds.
    """

    graph: Any
    ef: int
    recall: float
    file: Path | None = None

    @classmethod
    def build(cls, points: Singles, k: int, options: GraphOptions, seed: int, threads: int) -> Self:
        """Build the graph; with one thread the same points and seed give the same graph."""
        index, known, last = cls.begun(points, k, options, seed, threads, n_last=RECALL_QUERIES)
        index._raise_ef(points[known], points[last], k, options, threads)
        index.add(points, last, threads)
        return index

    @classmethod
    def begun(
        cls, points: Singles, k: int, options: GraphOptions, seed: int, threads: int, *, n_last: int
    ) -> tuple[Self, Integers, Integers]:
        """Build the graph of most points, and return it with which it holds and which (at most `n_last`) it does not.

        The last points are new to it, as the rows will be that are predicted: they show its recall before it is `add`
        that completes it.
        """
        graph = new_graph(points.shape[1])
        graph.init_index(
            len(points), M=options.M, ef_construction=options.ef_construction, random_seed=seed % (1 << 31)
        )
        # Shuffled, because a graph of rows that come sorted is poorly linked between their groups.
        order = np.random.default_rng(seed).permutation(len(points))
        index = cls(graph, options.ef or k, float("nan"))
        n_known = len(order) - min(n_last, len(order) // _RECALL_ONE_IN)
        index.add(points, order[:n_known], threads)
        return index, order[:n_known], order[n_known:]

    def search(self, queries: Singles, k: int, threads: int = 1) -> tuple[Floats, Integers]:
        self.graph.set_ef(max(self.ef, k))
        order = _along_main_axis(queries) if len(queries) >= _ORDERED_FROM else np.arange(len(queries))
        try:
            labels, squares = self.graph.knn_query(queries[order], k=k, num_threads=threads)
        except RuntimeError as error:  # a query met fewer than k points, and no longer list would meet more
            raise ModelError(
                f"the search graph finds fewer than {k} neighbours", "run fit-residual again with a larger --M"
            ) from error
        distances, nearest = np.empty(squares.shape), np.empty(labels.shape, dtype=np.int64)
        distances[order], nearest[order] = np.sqrt(squares, dtype=np.float64), labels
        return distances, nearest

    def points_at(self, which: Integers) -> Singles:
        points = np.asarray(self.graph.get_items(which, return_type="numpy"), dtype=np.float32)
        return points.reshape(len(which), self.n_columns)  # of no points hnswlib gives no columns either

    @property
    def n_columns(self) -> int:
        return int(self.graph.dim)

    @property
    def n_points(self) -> int:
        return int(self.graph.get_current_count())

    def can_grow_to(self, n_points: int) -> bool:
        """Whether so many points are few enough to be added to those that it holds, instead of building it anew."""
        return n_points <= _MOST_GROWTH * self.n_points

    def save(self, path: Path) -> None:
        self.graph.save_index(str(path))

    @classmethod
    def load(cls, path: Path, n_columns: int, n_points: int, ef: int, recall: float) -> Self:
        """Load a graph that has been checked: hnswlib trusts what it reads."""
        graph = new_graph(n_columns)
        graph.load_index(str(path), max_elements=n_points)
        return cls(graph, ef, recall, path)

    def extended(self, points: Singles, k: int, options: GraphOptions, threads: int) -> Self:
        """Return this index with further points: of all [m, p], those after the ones that it holds."""
        index, n_held = self.resized(len(points)), self.n_points
        if n_held < len(points):
            few = points[n_held:][:RECALL_QUERIES]
            index._raise_ef(points[:n_held], few, k, options, threads)
            index.add(points, np.arange(n_held, len(points)), threads)
        return index

    def resized(self, n_points: int) -> Self:
        """Return this index with room for as many points as it is to hold; this one must not be used any more."""
        if n_points <= self.n_points:
            return replace(self)
        self.graph.resize_index(n_points)
        return replace(self, file=None)

    def add(self, points: Singles, which: Integers, threads: int) -> None:
        """Add some of [m, p] points, for which there is room."""
        for start in range(0, len(which), _ADDED_AT_ONCE):
            part = which[start : start + _ADDED_AT_ONCE]
            self.graph.add_items(points[part], part, num_threads=threads)

    def _raise_ef(self, known: Singles, new: Singles, k: int, options: GraphOptions, threads: int) -> None:
        if len(new) == 0:
            return
        k = min(k, len(known))
        exact, _ = ExactIndex(known).search(new, k)

        def found(ef: int) -> Floats:
            self.ef = ef
            return self.search(new, k, threads)[0]

        self.ef, self.recall = wide_enough(found, exact, self.ef, len(known), options)


def wide_enough(
    found: Callable[[int], Floats], exact: Floats, ef: int, n_known: int, options: GraphOptions
) -> tuple[int, float]:
    """Widen a search until it finds enough of the true neighbours that new points have among the known ones.

    Args:
        found: the [n, k] distances of new points from those that a search of some width finds.
        exact: [n, k] from the true ones.
        ef: the width to begin with.
        n_known: how many points are searched.
        options: what is enough.

    Returns:
        The width, and the share of the true neighbours that are found at it.
    """
    while True:
        # By distance, not by name: of points equally far away either one is right.
        recall = float((found(ef) <= exact[:, -1:] * (1 + 1e-5) + 1e-12).mean())
        if recall >= options.recall or options.ef is not None or ef >= min(_MOST_EF, n_known):
            return ef, recall
        ef = -(-ef * 5 // 4)


def _along_main_axis(points: Singles) -> Integers:
    """Return the order of [n, p] points along about the direction in which they vary most: by a power iteration."""
    with np.errstate(over="ignore", invalid="ignore"):  # any order will do
        some = points[:: -(-len(points) // _ROWS_OF_AXIS)]
        some = some - some.mean(axis=0)
        axis = some[np.einsum("np,np->n", some, some).argmax()]
        for _ in range(_STEPS_TO_AXIS):
            axis = some.T @ (some @ axis)
            axis /= max(float(np.linalg.norm(axis)), np.finfo(np.float32).tiny)
        return np.argsort(points @ axis)


def new_graph(n_columns: int) -> Any:
    """Return an empty hnswlib index of squared Euclidean distances.

    Raises:
        ModelError: hnswlib is not installed, which it is not where it could not be compiled.
    """
    try:
        import hnswlib
    except ImportError as error:
        raise ModelError(
            "hnswlib, which searches the memory, is not installed",
            "install a C++ compiler and the Python headers, then: HNSWLIB_NO_NATIVE=1 pip install hnswlib",
        ) from error
    return hnswlib.Index(space="l2", dim=n_columns)
