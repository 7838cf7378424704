"""Rows that belong together, because their features are equal or nearly so, and how they are dealt out together.

A row that is held out while its copy is remembered is predicted from that copy: the gain that is measured so is not
that of new rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.arrays import Floats, Integers
from resmem_cli.model.resampling import mixed

_STEP = np.uint64(0x9E3779B97F4A7C15)  # as SplitMix64 steps
_SAME = 1e-7  # of the range between deciles of a column: in single precision, as memories hold points, they are equal
_LOOKED_AT = 10_000  # rows, for the deciles, and before all are looked at
_LEAST_GROUPS, _LEAST_ONE_IN = 20, 10  # a tenth of the rows or more
_MOSTLY = 0.5  # of the rows
_NEARLY_ALL = 0.95  # of the groups
_LARGE = 10  # a group that holds more than one tenth of the rows that are drawn


def equal_rows(X: Floats) -> Integers:
    """Return [n] the number of each row's group, from 0 in the order in which they first appear.

    Rows are equal if all of [n, d] are, a missing value being equal to a missing one. They are told apart by a 64-bit
    hash: rows that differ are taken as equal with a probability of 1e-19 a pair.
    """
    hashes = np.zeros(len(X), dtype=np.uint64)
    for column in X.T:
        hashes = mixed((hashes ^ mixed(_bits(column))) + _STEP)
    return _numbered(hashes)


def copies(X: Floats) -> Integers:
    """Return [n] the number of each row's group: those of [n, d] that are copies of each other.

    Groups are numbered as `equal_rows` does. Numbers are equal here if they are closer than single precision tells
    apart, and columns are not looked at that number the rows: whole numbers of which no two are equal. Unless next to
    nothing would tell rows apart then.
    """
    rounded = _rounded(X)
    numbers_rows = np.array([_numbers_rows(column) for column in X.T], dtype=np.bool_)
    for some in (rounded[:, ~numbers_rows], rounded) if numbers_rows.any() else (rounded,):
        labels = equal_rows(some)
        if labels.max(initial=-1) + 1 >= max(len(X) / _LEAST_ONE_IN, min(len(X), _LEAST_GROUPS)):
            return labels
    return equal_rows(X)


def copies_but_for(X: Floats, y: Floats, features: Sequence[Sequence[int]]) -> tuple[int, Integers] | None:
    """Return the feature that alone tells rows from their copies, such as a time of loading, and the groups; or None.

    Most rows have a copy then, as `copies` finds it of all other features (of so many columns of [n, d] each), and
    copies are equal in the [n] numbers that are the target, whose values are so many that this is no chance. Of classes
    nobody can tell: that rows of equal features are of one class may be what the features say.
    """
    if len(features) < 2 or len(X) < _LEAST_GROUPS or _share_of_copies(_hashes(y)) <= _MOSTLY:
        return None
    counted = [i for i, column in enumerate(X.T) if not _numbers_rows(column)]
    whole = _sum_of_hashes(X, counted)
    if _share_of_copies(whole) > _MOSTLY:  # nothing tells them apart
        return None
    for number, feature in enumerate(features):
        of_feature = [i for i in feature if i in counted]
        if of_feature and _share_of_copies(whole - _sum_of_hashes(X, of_feature)) > _MOSTLY:
            groups = copies(np.delete(X, feature, axis=1))
            if _are_copies(groups, y):
                return number, groups
    return None


def _are_copies(groups: Integers, y: Floats) -> bool:
    """Whether most rows are in [n] groups with others, nearly all of one target each, of which there are many."""
    sizes = np.bincount(groups)
    values = equal_rows(_rounded(y[:, None]))
    _, first = np.unique(equal_rows(np.column_stack([groups, values])), return_index=True)
    n_values = np.bincount(groups[first])
    has_copies = sizes > 1
    return bool(
        sizes[has_copies].sum() > _MOSTLY * len(y)
        and np.mean(n_values[has_copies] == 1) >= _NEARLY_ALL
        and values.max() + 1 >= len(sizes) / 2
    )


def _hashes(column: Floats) -> NDArray[np.uint64]:
    return mixed(_bits(_rounded(column[:, None])[:, 0]))


def _sum_of_hashes(X: Floats, columns: Sequence[int]) -> NDArray[np.uint64]:
    """Return [n] hashes of some columns of rows: a sum, so that any of them can be taken away again."""
    total = np.zeros(len(X), dtype=np.uint64)
    for i in columns:
        total += mixed(_hashes(X[:, i]) + mixed(np.array([i], dtype=np.uint64)))
    return total


def _share_of_copies(hashes: NDArray[np.uint64]) -> float:
    """Return how many of the rows with these [n] hashes have another of the same; of very many rows, of some hashes."""
    some = hashes[hashes % np.uint64(-(-len(hashes) // _LOOKED_AT)) == 0]
    _, counts = np.unique(some, return_counts=True)
    return float(counts[counts > 1].sum() / max(len(some), 1))


def _bits(column: Floats) -> NDArray[np.uint64]:
    """Return the bits of [n] numbers: one pattern for every NaN, and one for either 0."""
    values = column + 0.0  # -0.0 becomes 0.0
    values[np.isnan(values)] = np.nan
    return values.view(np.uint64)


def _numbers_rows(column: Floats) -> bool:
    some = column[:_LOOKED_AT]
    return all(bool((each == np.floor(each)).all()) and len(np.unique(each)) == len(each) for each in (some, column))


def _rounded(X: Floats) -> Floats:
    """Return rows whose numbers are whole multiples of the least difference that counts in their column."""
    if not X.size:
        return X
    some = np.sort(X[:: -(-len(X) // _LOOKED_AT)], axis=0)  # what is missing comes last
    n_known = np.maximum((~np.isnan(some)).sum(axis=0), 1)
    low, high = (np.take_along_axis(some, ((n_known - 1) * tenths // 10)[None], axis=0)[0] for tenths in (1, 9))
    with np.errstate(all="ignore"):  # what is not finite is not rounded
        rounded = np.rint(X / (_SAME * (high - low)))
    return np.where(np.isfinite(rounded), rounded, X)


def dealt(labels: Integers, y: Floats | None, rng: np.random.Generator) -> Integers:
    """Return the order in which groups are dealt out, so that parts are alike: class after class, large groups first.

    Args:
        labels: [n] the group of each row, numbered from 0 in the order of their first rows.
        y: [n] class codes, of which a group counts by that of its first row; None for numbers.
        rng: what the order is drawn by.

    Returns:
        [groups] their numbers.
    """
    _, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    order = rng.permutation(len(first))
    order = order[np.argsort(-sizes[order], kind="stable")]
    return order if y is None else order[np.argsort(y[first][order], kind="stable")]


def drawn(labels: Integers, most: int, rng: np.random.Generator) -> Integers:
    """Return the positions of rows of groups drawn at random: about `most` rows, ascending.

    Groups are drawn whole; of one that holds more than a tenth of `most`, as many rows as its share of all.
    """
    _, group, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    order = rng.permutation(len(sizes))
    is_large = (sizes > most // _LARGE) & (len(labels) > most)
    if is_large.any():  # always among them: a random order would mostly leave out what most rows are
        group = _thinned(group, sizes, is_large, most, rng)
        sizes = np.bincount(group[group >= 0], minlength=len(sizes))
        order = order[np.argsort(~is_large[order], kind="stable")]
    n_groups = int(np.searchsorted(np.cumsum(sizes[order]), most, side="right"))
    is_chosen = np.zeros(len(sizes) + 1, dtype=np.bool_)  # the last is of rows in no group
    is_chosen[order[: max(n_groups, 1)]] = True
    return np.flatnonzero(is_chosen[group])


def _thinned(
    group: Integers, sizes: Integers, is_large: NDArray[np.bool_], most: int, rng: np.random.Generator
) -> Integers:
    """Return [n] the group of each row, -1 for all but a share of the rows of large groups."""
    kept = group.copy()
    for large in np.flatnonzero(is_large).tolist():
        rows = np.flatnonzero(group == large)
        n_kept = max(1, sizes[large] * most // len(group))
        kept[rng.permutation(rows)[n_kept:]] = -1
    return kept


def _numbered(hashes: NDArray[np.uint64]) -> Integers:
    """Number values in the order in which they first appear."""
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[inverse]
