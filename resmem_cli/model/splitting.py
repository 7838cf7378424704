"""How rows are split so that what is measured on one part holds for new rows.

Rows that belong together, because they are of one group or have equal features, are on one side of every split. Where
rows have times, later ones are judged by a model of earlier ones: the last half is held out in blocks, each with
everything before it to learn from. Every split that is made of rows is made here.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.arrays import Floats, Integers
from resmem_cli.model.grouping import dealt

Split = tuple[Integers, Integers]  # positions of the rows to learn from or remember, and of those that are held out

_HELD_OUT_ONE_IN = 5  # of the rows, where they are split once
_STOPPED_BY_AT_MOST_ONE_IN = 3  # of few groups one may be most of the rows
_STOPPED_BY_ONE_IN = 10  # of the rows say when to stop
_MOST_STRATIFIED = 5_000  # groups: scikit-learn deals them one by one, and many are alike without that


@dataclass(frozen=True)
class Related:
    """Which rows belong together, and when they are from.

    Attributes:
        groups: [n] the group of each row.
        are_named: whether the groups are those of a column; otherwise rows of equal features are one.
        times: [n] when each row is from, in any unit, -inf where that is not known; None if rows have no times.
    """

    groups: Integers
    are_named: bool = False
    times: Floats | None = None

    @property
    def dependent(self) -> Integers:
        """[n] which rows depend on each other, numbered from 0: those of a group, or else of one time."""
        values: NDArray[Any] = self.groups if self.are_named or self.times is None else self.times
        numbers: Integers = np.unique(values, return_inverse=True)[1]
        return numbers

    @property
    def are_none(self) -> bool:
        """Whether every row is on its own, and of no time."""
        return self.times is None and len(np.unique(self.groups)) == len(self.groups)

    def take(self, rows: Integers | NDArray[np.bool_]) -> Related:
        return Related(self.groups[rows], self.are_named, None if self.times is None else self.times[rows])


def splits(related: Related, classes: Floats | None, n_folds: int, rng: np.random.Generator) -> Iterator[Split]:
    """Yield (training rows, held-out rows) per fold; of rows with times the latest first.

    There are fewer folds where there are fewer groups or times, and none of one group.

    Args:
        related: which rows belong together.
        classes: [n] codes of classes, which are spread evenly over the folds; None for numbers.
        n_folds: how many.
        rng: what is random is drawn by it.
    """
    if related.times is not None:
        yield from _in_time(related, related.times, n_folds, rng)
    elif related.are_named:
        yield from _by_group(related.groups, classes, n_folds, rng)
    else:
        yield from _by_equal_features(related.groups, classes, n_folds, rng)


def single_splits(related: Related, classes: Floats | None, rng: np.random.Generator) -> list[Split]:
    """Return splits of which one is enough, the best first: a fifth of the rows is held out, or the last tenth in time.

    Where rows have groups and times, half of the groups of the last quarter are held out: a fifth would be too few.
    There is none of one group.
    """
    n_folds = 2 if related.times is not None and related.are_named else _HELD_OUT_ONE_IN
    return _nearest_in_size(related, splits(related, classes, n_folds, rng), 1 / _HELD_OUT_ONE_IN)


def stopping_split(related: Related, classes: Floats | None, seed: int, which: int = 0) -> Split:
    """Return the rows to fit to, and those that say when to stop: one of ten tenths, or with times the last tenth.

    There is no class of which none are left to fit to. There may be none to stop by, of few rows or groups.
    """
    rng = np.random.default_rng(seed)
    if related.times is None and not related.are_named:
        held = _tenth(related.groups, classes, rng, which)
        return np.flatnonzero(~held), np.flatnonzero(held)
    if related.times is not None:
        found = single_splits(related, classes, rng)[:1]
    else:
        found = _nearest_in_size(related, splits(related, classes, _STOPPED_BY_ONE_IN, rng), 1 / _STOPPED_BY_ONE_IN)
    found = [split for split in found if len(split[1]) <= len(related.groups) / _STOPPED_BY_AT_MOST_ONE_IN]
    everything = np.arange(len(related.groups)), np.empty(0, dtype=np.int64)
    if not found:
        return everything
    fitted, held_out = found[which % len(found)]
    if classes is not None:
        lost = np.setdiff1d(classes, classes[fitted])
        if len(lost) and related.times is not None:  # how long to learn a class cannot be seen without it
            return everything
        stays = np.isin(related.groups[held_out], related.groups[np.isin(classes, lost)])
        fitted, held_out = np.union1d(fitted, held_out[stays]), held_out[~stays]
    return fitted, held_out


def _nearest_in_size(related: Related, found: Iterator[Split], share: float) -> list[Split]:
    """Return splits of groups by how near they are to holding out a share of the rows; in time the latest first."""
    if related.times is not None or not related.are_named:
        return list(found)
    return sorted(found, key=lambda split: abs(len(split[1]) - share * len(related.groups)))


def _by_equal_features(
    groups: Integers, classes: Floats | None, n_folds: int, rng: np.random.Generator
) -> Iterator[Split]:
    """Deal the groups out one by one: nearly all are single rows, too many for scikit-learn's splitters."""
    order = dealt(groups, classes, rng)
    fold_of = np.empty(len(order), dtype=np.int64)
    fold_of[order] = np.arange(len(order)) % n_folds
    for fold in range(min(n_folds, len(order)) if len(order) > 1 else 0):
        is_held_out = fold_of[groups] == fold
        yield np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def _tenth(groups: Integers, classes: Floats | None, rng: np.random.Generator, which: int) -> NDArray[np.bool_]:
    """Return [n] one of ten tenths, spread evenly over the classes; of no class the only group."""
    order = dealt(groups, classes, rng)
    if classes is not None:
        codes = classes[np.unique(groups, return_index=True)[1]].astype(np.int64)  # of the groups
        order = order[np.bincount(codes)[codes[order]] > 1]
    held = np.zeros(int(groups.max(initial=-1)) + 1, dtype=np.bool_)
    held[order[_STOPPED_BY_ONE_IN - 1 - which :: _STOPPED_BY_ONE_IN]] = True
    return held[groups]


def _by_group(groups: Integers, classes: Floats | None, n_folds: int, rng: np.random.Generator) -> Iterator[Split]:
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    _, groups = np.unique(groups, return_inverse=True)
    n_groups = int(groups.max(initial=-1)) + 1
    n_folds = min(n_folds, n_groups)
    if n_folds < 2:
        return
    groups = rng.permutation(n_groups)[groups]  # groups of one size are dealt out in the order of their numbers
    if classes is not None and (
        n_groups > _MOST_STRATIFIED or np.unique(classes, return_counts=True)[1].max() < n_folds
    ):
        classes = None  # scikit-learn wants a class with as many rows as there are folds
    folds = GroupKFold(n_folds) if classes is None else StratifiedGroupKFold(n_folds)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # it is in fewer folds
        for training, held_out in folds.split(groups, classes, groups):
            if len(held_out):  # stratified, a fold may get no group
                yield training, held_out


def _in_time(related: Related, times: Floats, n_folds: int, rng: np.random.Generator) -> Iterator[Split]:
    """Yield blocks of the last half of the rows, each with the rows before it, the latest first.

    Rows of one time are in one block. Where groups are named, each is held out in one block alone: in the first that it
    has rows in, if it has none earlier, or else in one that is drawn. There it leaves the training rows. In other
    blocks its rows are not held out.
    """
    blocks = _blocks(times, n_folds)
    block_of = _blocks_of_groups(related.groups, times, blocks, rng) if related.are_named else None
    for block, (start, stop) in reversed(list(enumerate(blocks))):
        training = np.flatnonzero(times < start)
        held_out = np.flatnonzero((times >= start) & (times < stop))
        if block_of is not None:
            held_out = held_out[block_of[related.groups[held_out]] == block]
            training = training[block_of[related.groups[training]] != block]
        if len(training) and len(held_out):
            yield training, held_out


def _blocks_of_groups(
    groups: Integers, times: Floats, blocks: list[tuple[float, float]], rng: np.random.Generator
) -> Integers:
    """Return [groups] the block in which each is held out."""
    n_groups = int(groups.max(initial=-1)) + 1
    first = np.full(n_groups, np.inf)
    np.minimum.at(first, groups, times)
    starts = np.array([start for start, _ in blocks])
    new_in = np.searchsorted(starts, first, side="right") - 1  # -1 before the first block
    return np.where(new_in >= 0, new_in, rng.permutation(n_groups) % max(len(blocks), 2))


def _blocks(times: Floats, n_folds: int) -> list[tuple[float, float]]:
    """Return the first time of each block to hold out and the first after it, ascending."""
    from sklearn.model_selection import TimeSeriesSplit

    ordered, n_rows = np.sort(times), len(times)
    n_folds = min(n_folds, n_rows // 2)
    if n_folds < 1 or ordered[0] == ordered[-1]:
        return []
    held_out = max(1, n_rows // (2 * n_folds))
    if n_folds == 1:
        firsts = [n_rows - held_out]
    else:
        firsts = [block[0] for _, block in TimeSeriesSplit(n_folds, test_size=held_out).split(ordered)]
    starts = np.unique(ordered[firsts])
    starts = starts[starts > ordered[0]]
    if not len(starts):  # nearly all rows are of the first time
        starts = np.unique(ordered)[1:2]
    return list(zip(starts.tolist(), [*starts[1:].tolist(), np.inf], strict=True))
