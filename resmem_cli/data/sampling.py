"""A uniform sample of rows, drawn in one pass that holds no more than twice as many as are wanted.

Every row has a random number, and the rows of the smallest numbers are drawn; so which rows these are depends on the
seed and the order of the rows alone, and not on the batches that they come in. Rows of one group have one number, and
are drawn together or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from resmem_cli.errors import UsageError

Hashes = NDArray[np.uint64]
FOR_BASE, FOR_MEMORY = 0, 1  # purposes
_LARGE_GROUP = 0.05  # of the rows that are wanted
_COUNTED_AT_ONCE = 1_000_000


class Batch(Protocol):
    """Some of the rows."""

    def __len__(self) -> int: ...

    def take(self, positions: NDArray[np.int64], /) -> Self:
        """Return the rows at some positions."""
        ...


Some = TypeVar("Some", bound=Batch)


class Lots:
    """The random numbers of rows, which have to be asked for in the order of the rows."""

    def __init__(self, seed: int, purpose: int) -> None:
        """Take what they follow from; samples for different purposes are independent of each other."""
        self._of_rows = np.random.default_rng([seed, purpose])
        self._of_groups = np.random.default_rng([seed, purpose, 1]).integers(0, 1 << 63, 2).astype(np.uint64)

    def of(self, n_rows: int, groups: Hashes | None) -> NDArray[np.float64]:
        """Return [n] numbers from 0 to 1 of the next rows; `groups` are [n] hashes, 0 of a row that is alone."""
        own = self._of_rows.random(n_rows)
        if groups is None:
            return own
        mixed = groups ^ self._of_groups[0]
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # of splitmix64
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed ^= self._of_groups[1]
        return np.where(groups == 0, own, (mixed >> np.uint64(11)) * 2.0**-53)


@dataclass(frozen=True)
class Sample(Generic[Some]):
    """The rows that were drawn.

    Attributes:
        parts: in their order, none of them empty.
        limit: their numbers are below it, and those of all others are not.
        n_rows: how many rows there were to draw from.
        size: how many were wanted.
        largest_group: how many rows the largest group has; 0 without groups.
    """

    parts: list[Some]
    limit: float
    n_rows: int
    size: int
    largest_group: int = 0

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @property
    def notes(self) -> tuple[str, ...]:
        """What to say of a group that is too large to be drawn as often as others: it seldom fits at the end."""
        if self.limit == np.inf or self.largest_group <= _LARGE_GROUP * self.size:
            return ()
        return (
            f"the largest group has {self.largest_group:,} rows, more than {100 * _LARGE_GROUP:.0f} % of the "
            f"{self.size:,} of --sample: groups so large are drawn too rarely; raise --sample",
        )


class _GroupSizes:
    """Counts the rows of every group, holding two numbers for each."""

    def __init__(self) -> None:
        self._groups, self._counts = np.empty(0, np.uint64), np.empty(0, np.int64)
        self._waiting: list[Hashes] = []
        self._n_waiting = 0

    def add(self, groups: Hashes | None) -> None:
        """Count more rows; those without a group, of hash 0, are alone."""
        if groups is None:
            return
        self._waiting.append(groups[groups != 0])
        self._n_waiting += len(groups)
        if self._n_waiting > max(len(self._groups), _COUNTED_AT_ONCE):  # seldom: each sorts all groups
            self._count()

    def largest(self) -> int:
        """Return how many rows the largest group has; 0 if there is none."""
        self._count()
        return int(self._counts.max(initial=0))

    def _count(self) -> None:
        new, n_new = np.unique(np.concatenate([np.empty(0, np.uint64), *self._waiting]), return_counts=True)
        self._groups, at = np.unique(np.concatenate([self._groups, new]), return_inverse=True)
        counts = np.concatenate([self._counts, n_new])
        self._counts = np.zeros(len(self._groups), np.int64)
        np.add.at(self._counts, at, counts)
        self._waiting, self._n_waiting = [], 0


def draw(
    batches: Iterable[Some], size: int, lots: Lots, groups_of: Callable[[Some], Hashes | None] = lambda _: None
) -> Sample[Some]:
    """Draw rows (of groups, as many whole ones as fit); all rows, if there are no more than are wanted.

    Raises:
        UsageError: not even one group fits.
    """
    held: list[tuple[Some, NDArray[np.float64]]] = []
    n_rows, n_held, limit, sizes = 0, 0, np.inf, _GroupSizes()
    for batch in batches:
        groups = groups_of(batch)
        sizes.add(groups)
        numbers = lots.of(len(batch), groups)
        n_rows += len(batch)
        kept = _below(batch, numbers, limit)
        held += kept
        n_held += _count(kept)
        if n_held > 2 * size:
            held, limit = _cut(held, size)
            n_held = _count(held)
    held, limit = _cut(held, size) if n_held > size else (held, limit)
    if n_rows and not held:
        raise UsageError(f"a group of more than {size:,} rows was drawn first", "raise --sample, or leave --group out")
    return Sample([batch for batch, _ in held], limit, n_rows, size, sizes.largest())


def _count(held: list[tuple[Some, NDArray[np.float64]]]) -> int:
    return sum(len(numbers) for _, numbers in held)


def _cut(
    held: list[tuple[Some, NDArray[np.float64]]], size: int
) -> tuple[list[tuple[Some, NDArray[np.float64]]], float]:
    limit = float(np.partition(np.concatenate([numbers for _, numbers in held]), size)[size])
    return [part for batch, numbers in held for part in _below(batch, numbers, limit)], limit


def _below(batch: Some, numbers: NDArray[np.float64], limit: float) -> list[tuple[Some, NDArray[np.float64]]]:
    which = np.flatnonzero(numbers < limit)
    return [(batch.take(which), numbers[which])] if len(which) else []
