"""Which search the points of a memory get: exact for few, a graph for many, shards for very many."""

from __future__ import annotations

from collections.abc import Sequence

from resmem_cli.errors import UsageError
from resmem_cli.model.arrays import Singles
from resmem_cli.model.memory.index import EXACT_BELOW, ExactIndex, GraphOptions, HnswIndex, Index
from resmem_cli.model.memory.shards import Shard, ShardedIndex, can_become


def build_index(points: Singles, k: int, options: GraphOptions, seed: int, threads: int) -> Index:
    """Return the exact search for few points, a graph for many, and several of these for more than a shard may have.

    Raises:
        UsageError: k is larger than the number of points.
    """
    if k > len(points):
        raise UsageError(
            f"{k} neighbours are more than the {len(points)} cells of the memory (rows with distinct representations)",
            f"set --neighbors to at most {len(points)}",
        )
    if len(points) > options.shard_cells:
        return ShardedIndex.build(points, k, options, seed, threads)
    if len(points) < EXACT_BELOW:
        return ExactIndex(points)
    return HnswIndex.build(points, k, options, seed, threads)


def changed_index(
    before: Index,
    left: Sequence[int] | None,
    points: Singles,
    *,
    k: int,
    options: GraphOptions,
    seed: int,
    threads: int,
) -> Index:
    """Return the search over other points, built anew only where it has to be; the old one must not be used any more.

    Args:
        before: the old search.
        left: how many of the points, from the first, are in the place of those of each of its shards; None if that is
            not known, because the points were condensed.
        points: [m, p] the points.
        k: how many neighbours will be searched.
        options: how graphs are built.
        seed: of new graphs.
        threads: that build them.
    """
    shards = shards_of(before)
    if left is None or (len(shards) == 1 and len(points) <= options.shard_cells):
        if left is not None and isinstance(before, HnswIndex) and can_become(before, points):
            return before.extended(points, k, options, threads)
        return build_index(points, k, options, seed, threads)
    changed = ShardedIndex.changed(shards, left, points, k=k, options=options, seed=seed, threads=threads)
    return changed if len(changed.shards) > 1 else changed.shards[0]


def shards_of(index: Index) -> tuple[Shard, ...]:
    """Return the shards of a search, which may be one."""
    if isinstance(index, ShardedIndex):
        return index.shards
    if isinstance(index, (ExactIndex, HnswIndex)):
        return (index,)
    raise TypeError(f"{type(index).__name__} is no search of a memory")
