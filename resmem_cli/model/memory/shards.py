"""A search over points that are cut into shards: consecutive ranges, each with an index of its own.

A shard is built, stored and changed apart from the others, so that none is larger than it may be. A search asks every
shard for a few of its nearest and merges them by distance. Where all that a shard gave are among the k nearest, it may
have more of them, and is asked for k. That loses nothing: of other shards even the next one is too far away. It gains
much: graphs need not be searched as widely for a few points as for k.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from resmem_cli.model.arrays import Floats, Integers, Singles
from resmem_cli.model.memory.index import (
    EXACT_BELOW,
    RECALL_QUERIES,
    ExactIndex,
    GraphOptions,
    HnswIndex,
    wide_enough,
)
from resmem_cli.model.parallel import in_order

MOST_SHARDS = 1_000  # each has files of its own
_SPREADS = 3.0  # standard deviations of the number of a query's neighbours in a shard

_NONE = np.empty(0, dtype=np.int64)

Shard = ExactIndex | HnswIndex


@dataclass(frozen=True)
class ShardedIndex:
    """Several searches as one.

    Attributes:
        shards: of the first points, of the next, ...
    """

    shards: tuple[Shard, ...]

    @classmethod
    def build(cls, points: Singles, k: int, options: GraphOptions, seed: int, threads: int) -> Self:
        """Build shards of equal sizes, side by side; none depends on the points of another."""
        sizes = _cut(len(points), _most(len(points), options.shard_cells))
        jobs = [_Fresh(part) for part in _parts(points, sizes)]
        return cls(_built(jobs, k, options, seed, threads))

    @classmethod
    def changed(
        cls,
        before: Sequence[Shard],
        left: Sequence[int],
        points: Singles,
        *,
        k: int,
        options: GraphOptions,
        seed: int,
        threads: int,
    ) -> Self:
        """Return an index of other points: a shard whose points stay is kept, one that only gains some is extended.

        The graphs of the old shards must not be used any more.

        Args:
            before: the old shards.
            left: how many of the points, from the first, are in the place of those of each; the rest is new.
            points: [m, p] all points.
            k: how many neighbours will be searched.
            options: how graphs are built.
            seed: of new graphs.
            threads: that build them.
        """
        ranges = _cut_again(left, len(points), options.shard_cells)
        parts = _parts(points, [size for size, _ in ranges])
        jobs = [_job(None if i is None else before[i], part) for (_, i), part in zip(ranges, parts, strict=True)]
        return cls(_built(jobs, k, options, seed, threads, is_fewer=len(jobs) < len(before)))

    def search(self, queries: Singles, k: int, threads: int = 1) -> tuple[Floats, Integers]:
        return _search(self.shards, queries, k, threads)

    def points_at(self, which: Integers) -> Singles:
        points = np.empty((len(which), self.n_columns), np.float32)
        of_shards = np.searchsorted(self.starts, which, side="right") - 1
        for i in np.unique(of_shards).tolist():
            points[of_shards == i] = self.shards[i].points_at(which[of_shards == i] - self.starts[i])
        return points

    @property
    def starts(self) -> Integers:
        """[shards] which point is the first of each."""
        return np.cumsum([0, *(shard.n_points for shard in self.shards[:-1])])

    @property
    def n_columns(self) -> int:
        return self.shards[0].n_columns

    @property
    def ef(self) -> int | None:
        """How many candidates a search considers in every graph; None if all shards are searched exactly."""
        return next((shard.ef for shard in self.shards if isinstance(shard, HnswIndex)), None)

    @property
    def recall(self) -> float | None:
        return next((shard.recall for shard in self.shards if isinstance(shard, HnswIndex)), None)


@dataclass(frozen=True)
class _Growing:
    """A shard that does not hold all of its points yet: those that it lacks show how much a search finds.

    Attributes:
        index: the search.
        points: [m, p] all that it is to hold.
        known, last: which of these it holds, and which it lacks.
    """

    index: Shard
    points: Singles
    known: Integers
    last: Integers

    def exact(self, queries: Singles, k: int) -> tuple[Floats, Integers]:
        """Return the true nearest among the points that it holds (all, if there are fewer than k)."""
        return ExactIndex(self.points[self.known]).search(queries, min(k, len(self.known)))


@dataclass(frozen=True)
class _Fresh:
    """A shard that has to be built of [m, p] points."""

    points: Singles

    def begun(self, k: int, options: GraphOptions, seed: int, threads: int, n_last: int) -> _Growing:
        if len(self.points) < EXACT_BELOW:
            return _Growing(ExactIndex(self.points), self.points, np.arange(len(self.points)), _NONE)
        index, known, last = HnswIndex.begun(self.points, k, options, seed, threads, n_last=n_last)
        return _Growing(index, self.points, known, last)


@dataclass(frozen=True)
class _Kept:
    """A shard that is there, and holds the first of [m, p] points."""

    index: Shard
    points: Singles

    def begun(self, k: int, options: GraphOptions, seed: int, threads: int, n_last: int) -> _Growing:
        n_held, n_points = self.index.n_points, len(self.points)
        index = self.index if n_held == n_points or isinstance(self.index, ExactIndex) else self.index.resized(n_points)
        return _Growing(index, self.points, np.arange(n_held), np.arange(n_held, n_points))


def can_become(shard: Shard, points: Singles) -> bool:
    """Whether what a shard holds is the first of some points, and no others or, of a graph, not too many are new."""
    n_held, n_points = shard.n_points, len(points)
    can_grow = isinstance(shard, HnswIndex) and shard.can_grow_to(n_points)
    if n_held > n_points or (n_held < n_points and not can_grow):
        return False
    return np.array_equal(shard.points_at(np.arange(n_held)), points[:n_held])


def _job(before: Shard | None, points: Singles) -> _Fresh | _Kept:
    """Return how a shard of some points comes about, in the place of another or of none."""
    return _Kept(before, points) if before is not None and can_become(before, points) else _Fresh(points)


def _built(
    jobs: Sequence[_Fresh | _Kept], k: int, options: GraphOptions, seed: int, threads: int, *, is_fewer: bool = False
) -> tuple[Shard, ...]:
    """Return the shards with all of their points, and with the width at which a search of all finds enough.

    `is_fewer` says that shards have gone: each of the others is asked for more, and may have to be searched wider.
    """
    each = max(1, threads // len(jobs))
    few = _share(k, len(jobs))
    n_last = max(1, RECALL_QUERIES // len(jobs))
    growing = list(in_order(lambda job: job.begun(few, options, seed, each, n_last), jobs, min(threads, len(jobs))))
    shards = _wide_enough(growing, k, options, threads, is_fewer=is_fewer)
    n_growing = max(1, sum(len(part.last) > 0 for part in growing))

    def complete(part: _Growing) -> None:
        if isinstance(part.index, HnswIndex):
            part.index.add(part.points, part.last, max(1, threads // n_growing))

    list(in_order(complete, growing, min(threads, n_growing)))
    return shards


def _wide_enough(
    growing: Sequence[_Growing], k: int, options: GraphOptions, threads: int, *, is_fewer: bool
) -> tuple[Shard, ...]:
    """Return the shards, the graphs of which are searched as widely as it takes to find enough in all shards."""
    shards = tuple(part.index for part in growing)
    graphs = [shard for shard in shards if isinstance(shard, HnswIndex)]
    asking = [(part, part.last) for part in growing if len(part.last)]
    if is_fewer and not asking:  # of points that are there each finds itself, and then its neighbours
        asking, k = [(part, part.known) for part in growing], k + 1
    if not graphs:
        return shards
    ef, recall = max(graph.ef for graph in graphs), min(graph.recall for graph in graphs)
    if asking:
        n_asked = max(1, RECALL_QUERIES // len(asking))
        asked = np.concatenate([part.points[which[:n_asked]] for part, which in asking])
        n_known = sum(len(part.known) for part in growing)
        k = min(k, n_known)
        exact, _ = _merged(((part.exact(asked, k), 0) for part in growing), k)

        def found(ef: int) -> Floats:
            return _search(_with(shards, ef, recall), asked, k, threads)[0]

        ef, recall = wide_enough(found, exact, ef, n_known, options)
    return _with(shards, ef, recall)


def _with(shards: Sequence[Shard], ef: int, recall: float) -> tuple[Shard, ...]:
    return tuple(replace(each, ef=ef, recall=recall) if isinstance(each, HnswIndex) else each for each in shards)


def _search(shards: Sequence[Shard], queries: Singles, k: int, threads: int) -> tuple[Floats, Integers]:
    starts = np.cumsum([0, *(shard.n_points for shard in shards)]).tolist()
    few = _share(k, len(shards))
    found = [shard.search(queries, min(few, shard.n_points), threads) for shard in shards]
    first, _ = _merged(zip(found, starts, strict=False), k)
    farthest = first[:, -1] if first.shape[1] == k else np.full(len(queries), np.inf)
    for i, shard in enumerate(shards):
        distances, nearest = found[i]
        again = np.flatnonzero(distances[:, -1] <= farthest)
        most = min(k, shard.n_points)
        if len(again) and distances.shape[1] < most:
            more = ((0, 0), (0, most - distances.shape[1]))
            distances, nearest = np.pad(distances, more, constant_values=np.inf), np.pad(nearest, more)
            distances[again], nearest[again] = shard.search(queries[again], most, threads)
            found[i] = distances, nearest
    return _merged(zip(found, starts, strict=False), k)


def _share(k: int, n_shards: int) -> int:
    """Return how many of the k nearest a shard seldom has more of, where points are in any order."""
    mean = k / n_shards
    return min(k, math.ceil(mean + _SPREADS * math.sqrt(mean * (1 - 1 / n_shards))))


def _merged(found: Iterable[tuple[tuple[Floats, Integers], int]], k: int) -> tuple[Floats, Integers]:
    """Return [n, k] the nearest of what was found in every shard, whose first point has a number.

    Of equally distant points the earlier comes first, as it does in every exact shard.
    """
    shards = iter(found)
    (distances, nearest), start = next(shards)
    nearest = nearest + start
    for (further, others), start in shards:
        both, of_both = np.concatenate([distances, further], axis=1), np.concatenate([nearest, others + start], axis=1)
        order = np.argsort(both, axis=1, kind="stable")[:, :k]
        distances, nearest = np.take_along_axis(both, order, axis=1), np.take_along_axis(of_both, order, axis=1)
    return distances, nearest


def _parts(points: Singles, sizes: Sequence[int]) -> list[Singles]:
    return np.split(points, np.cumsum(sizes)[:-1])


def _cut(n_points: int, most: int) -> list[int]:
    """Return the sizes of as few shards as can hold so many points; they differ by one point at most."""
    n_shards = max(1, -(-n_points // most))
    return [(i + 1) * n_points // n_shards - i * n_points // n_shards for i in range(n_shards)] if n_points else []


def _cut_again(left: Sequence[int], n_points: int, most: int) -> list[tuple[int, int | None]]:
    """Return the sizes of shards, and which of the old ones is in the place of each: None of a new one.

    Args:
        left: how many points are in the place of those of every old shard. Small neighbours become one, or rows that
            replace others would leave ever more of them.
        n_points: how many there are with new ones, which fill the last shard before they make further ones.
        most: how many points a shard may have; more if there would be very many shards.
    """
    most = _most(n_points, most)
    ranges: list[tuple[int, int | None]] = []
    for i, size in enumerate(left):
        if ranges and ranges[-1][0] + size <= most // 2:
            ranges[-1] = (ranges[-1][0] + size, None if size else ranges[-1][1])
        elif size > most:  # a cell whose first row is gone is now where its next row is
            ranges += [(part, None) for part in _cut(size, most)]
        elif size:
            ranges.append((size, i))
    n_new = n_points - sum(left)
    if ranges:
        filled = max(0, min(n_new, most - ranges[-1][0]))
        ranges[-1], n_new = (ranges[-1][0] + filled, ranges[-1][1]), n_new - filled
    ranges += [(size, None) for size in _cut(n_new, most)]
    return ranges if len(ranges) <= MOST_SHARDS else [(size, None) for size in _cut(n_points, most)]


def _most(n_points: int, most: int) -> int:
    return max(most, -(-n_points // MOST_SHARDS))
