"""Boosted trees as a few arrays, and their sums for many rows: scikit-learn's to the last bit, without importing it.

The nodes of a tree lie in preorder: an inner node is followed by its left subtree, then by its right one. Which nodes
are leaves says all about its shape, so that no stored number can lead anywhere.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.arrays import FLOAT, TRUTH, WHOLE, Arrays, Floats, Integers, stored
from resmem_cli.model.bases.leaf_tables import LeafTables

Truths = NDArray[np.bool_]
_WORDS = 8  # of a set: 32 categories each
MOST_CATEGORIES = 32 * _WORDS
_LEAF = -1
_WALKED_PAIRS = 1 << 15  # of rows and trees at once, so that what is held of each stays in the cache
# Tables of 200 trees take some milliseconds to build, which is what walking takes for about so many rows.
_ROWS_WORTH_TABLES = 256
# Of rows and trees: scikit-learn walks two or three times as fast, and takes more than a second to import.
_PAIRS_WORTH_SKLEARN, _PAIRS_WORTH_IMPORT = 100_000, 10_000_000


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees that add up to [outputs] numbers, iteration by iteration one tree for each.

    A number goes left if it is at most the threshold; a category if it is in the set; a missing or unknown one as the
    node says.

    Attributes:
        baseline: [outputs] what the trees are added to.
        n_nodes: [trees] of each.
        feature: [nodes] int32, the column that is asked for, or -1 of a leaf.
        number: [nodes] the threshold, or the value of a leaf.
        missing_left: [nodes] whether a missing value goes left.
        left_sets: [nodes that ask for a category, 8] uint32, one bit for every category that goes left, by its position
            among those of its column.
        n_categories: [d] how many categories a column has, 0 for a number.
        categories: [sum of these] their codes, in ascending order for each column.
    """

    baseline: Floats
    n_nodes: Integers
    feature: NDArray[np.int32]
    number: Floats
    missing_left: Truths
    left_sets: NDArray[np.uint32]
    n_categories: Integers
    categories: Floats

    @property
    def n_outputs(self) -> int:
        return len(self.baseline)

    @property
    def n_features(self) -> int:
        return len(self.n_categories)

    @property
    def n_iterations(self) -> int:
        return len(self.n_nodes) // self.n_outputs

    def totals(self, X: Floats, ends: Sequence[int]) -> Floats:
        """Return [ends, outputs, n] the sums of the baseline and the trees of the first iterations, up to each end.

        Args:
            X: [n, d] rows.
            ends: numbers of iterations, in ascending order.

        Raises:
            ValueError: the rows have other columns than the trees ask for.
        """
        if X.shape[1] != self.n_features:
            raise ValueError(f"rows of {X.shape[1]} columns for trees of {self.n_features}")
        sums = np.empty((len(ends), self.n_outputs, len(X)))
        total = np.repeat(self.baseline[:, None], len(X), axis=1)
        for first, rows, values in self._leaf_values(X):
            start, stop = first // self.n_outputs, (first + len(values)) // self.n_outputs
            of_iterations = values.reshape(stop - start, self.n_outputs, -1)
            for i, end in enumerate(ends):
                if start < end <= stop:
                    _add(total[:, rows], of_iterations[: end - start])
                    sums[i, :, rows] = total[:, rows]
                    of_iterations, start = of_iterations[end - start :], end
            _add(total[:, rows], of_iterations)
        return sums

    def _leaf_values(self, X: Floats) -> Iterator[tuple[int, slice, Floats]]:
        """Yield blocks of whole iterations and of rows: the first tree, the rows, and [trees, rows] values of leaves.

        For every row the trees come in their order. What is yielded may be overwritten.
        """
        is_built = "tables" in vars(self)
        tables = self.tables if is_built or len(X) >= _ROWS_WORTH_TABLES else None
        if tables is not None:
            yield from tables.leaf_values(X)
            return
        is_loaded = "sklearn.ensemble" in sys.modules
        if len(X) * len(self.n_nodes) >= (_PAIRS_WORTH_SKLEARN if is_loaded else _PAIRS_WORTH_IMPORT):
            from resmem_cli.model.bases import sklearn_forest

            yield from sklearn_forest.leaf_values(self, X)
            return
        step = max(1, _WALKED_PAIRS // len(self.n_nodes))
        for start in range(0, len(X), step):
            yield 0, slice(start, min(start + step, len(X))), self.number[self.leaves(X[start : start + step])]

    def leaves(self, X: Floats) -> Integers:
        """Return [trees, n] the nodes that are the leaves of [n, d] rows, found by following all trees side by side."""
        X = self.with_positions(X)
        leaf = np.repeat(self.starts[:, None], len(X), axis=1)
        nodes, row = leaf.ravel(), np.tile(np.arange(len(X)), len(self.starts))
        left_sets = self.left_sets
        walking = np.flatnonzero(self.feature[nodes] != _LEAF)
        while len(walking):
            at = nodes[walking]
            values = X[row[walking], self.feature[at]]
            goes_left = np.where(np.isnan(values), self.missing_left[at], values <= self.number[at])
            of_sets = np.flatnonzero((self.set_of[at] >= 0) & ~np.isnan(values))
            positions = values[of_sets].astype(np.uint32)
            words = left_sets[self.set_of[at[of_sets]], positions >> 5]
            goes_left[of_sets] = words >> (positions & 31) & 1
            at = np.where(goes_left, at + 1, self.right[at])
            nodes[walking] = at
            walking = walking[self.feature[at] != _LEAF]
        return leaf

    def with_positions(self, X: Floats) -> Floats:
        """Return [n, d] rows with the positions of categories in place of their codes; NaN of unknown ones."""
        if not self.n_categories.any():
            return X
        X = X.copy()
        for column, known in self.known_categories.items():
            position = np.minimum(np.searchsorted(known, X[:, column]), len(known) - 1)
            X[:, column] = np.where(known[position] == X[:, column], position, np.nan)
        return X

    @cached_property
    def known_categories(self) -> Mapping[int, Floats]:
        """By column, the codes of its categories."""
        ends = np.cumsum(self.n_categories)
        return {
            int(i): self.categories[ends[i] - self.n_categories[i] : ends[i]] for i in self.n_categories.nonzero()[0]
        }

    @cached_property
    def starts(self) -> Integers:
        """[trees] the roots."""
        return np.cumsum(self.n_nodes) - self.n_nodes

    @cached_property
    def set_of(self) -> Integers:
        """[nodes] which of the sets is asked, -1 of a node that asks for a number, or nothing."""
        asks = (self.feature != _LEAF) & (self.n_categories[self.feature] > 0)
        return np.where(asks, np.cumsum(asks) - 1, -1)

    @cached_property
    def right(self) -> Integers:
        """[nodes] the right child; of a leaf nothing that means anything.

        It is the next node before which as many subtrees are still to come.
        """
        left_to_come = np.cumsum(np.where(self.feature == _LEAF, -1, 1))
        to_come = np.concatenate([[0], left_to_come[:-1]])
        order = np.argsort(to_come, kind="stable")
        right = np.empty_like(order)
        right[order] = np.append(order[1:], 0)
        return right

    @cached_property
    def tables(self) -> LeafTables | None:
        """What finds the leaves of many rows; None where the trees are too large, or ask for too many columns."""
        return LeafTables.of(self)

    def __getstate__(self) -> dict[str, Any]:
        return self.to_arrays()  # and not what follows from them

    def to_arrays(self) -> Arrays:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def restore(cls, arrays: Arrays) -> Self:
        """Return the forest of stored arrays.

        Raises:
            KeyError, ValueError: the arrays are not those of trees.
        """
        n_nodes, n_categories = stored(arrays, "n_nodes", WHOLE, None), stored(arrays, "n_categories", WHOLE, None)
        feature = stored(arrays, "feature", np.int32, None)
        baseline = stored(arrays, "baseline", FLOAT, None)
        _require(len(baseline) > 0 and len(n_nodes) > 0 and len(n_nodes) % len(baseline) == 0, "no iterations")
        _require(n_nodes.min() > 0 and _sum(n_nodes) == len(feature), "other nodes than their trees")
        _require(((feature >= _LEAF) & (feature < len(n_categories))).all(), "columns that there are not")
        _require(((n_categories >= 0) & (n_categories <= MOST_CATEGORIES)).all(), "categories beyond those of a set")
        number = stored(arrays, "number", FLOAT, len(feature), finite=False)
        _require(np.isfinite(number[feature == _LEAF]).all(), "values that are no numbers")
        asks = (feature != _LEAF) & (n_categories[feature] > 0) if len(n_categories) else np.zeros(len(feature), bool)
        forest = cls(
            baseline,
            n_nodes,
            feature,
            number,
            stored(arrays, "missing_left", TRUTH, len(feature)),
            stored(arrays, "left_sets", np.uint32, int(asks.sum()), _WORDS),
            n_categories,
            stored(arrays, "categories", FLOAT, _sum(n_categories)),
        )
        _require(all((np.diff(known) > 0).all() for known in forest.known_categories.values()), "unordered categories")
        forest._refuse_other_shapes()
        return forest

    def _refuse_other_shapes(self) -> None:
        """Refuse nodes that are no trees: of each, the last leaf has to come with the last node, and not before."""
        to_come = np.cumsum(np.where(self.feature == _LEAF, -1, 1))  # less one for every tree before
        last = np.cumsum(self.n_nodes) - 1
        of_tree = np.repeat(np.arange(len(last)), self.n_nodes)
        to_come += of_tree
        _require((to_come[last] == -1).all() and np.count_nonzero(to_come < 0) == len(last), "nodes that are no trees")


def _add(total: Floats, values: Floats) -> None:
    """Add [iterations, outputs, n] values to [outputs, n] totals, one iteration after the other: each sum is rounded.

    NumPy adds several at once along an axis of neighbours in memory, which the first is not unless it is the only one.
    """
    if not len(values):
        return
    values[0] += total
    if total.size == 1:
        total[...] = np.add.accumulate(values.ravel())[-1]
    else:
        np.add.reduce(values, axis=0, out=total)


def _sum(counts: Integers) -> int:
    """Return the sum of stored counts, however large they are."""
    return sum(counts.tolist())


def _require(held: Any, what: str) -> None:
    if not held:
        raise ValueError(f"its trees have {what}")
