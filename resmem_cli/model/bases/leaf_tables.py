"""Which leaves rows end in, looked up for blocks of rows and trees at once.

This is QuickScorer (Lucchese et al., "QuickScorer: a fast algorithm to rank documents with additive ensembles of
regression trees", SIGIR 2015): the leaves of a tree are numbered from left to right, one bit each. A node that sends a
row to the right rules out the leaves of its left subtree; the leaf of a row is the first one that no node rules out. In
which order the nodes are asked does not matter.

Ours is its form for NumPy. A column is turned into codes once, by its rank among the thresholds of all trees. A table
has for every code of a column and for every tree the leaves that the nodes on that column leave over. So what is left
over in a block of trees is a row of the table for every row, copied, and the intersection over columns. Columns of few
codes share a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.arrays import Floats, Integers

if TYPE_CHECKING:
    from resmem_cli.model.bases.forest import Forest

_MOST_CODES = 256  # of columns that share a table
_MOST_TABLES = 100  # beyond, to follow the nodes in C is as fast
_MOST_BYTES = 64 << 20
# Of blocks, whose tables and buffers stay in the cache; codes are computed for more rows at once.
_BLOCK_TREES, _BLOCK_ROWS, _CODED_ROWS = 64, 256, 4_096
_MANY_VALUES = 512  # from which on they are searched side by side
# A word times a power of 2 has other leading bits for every power (a de Bruijn sequence): which bit a word has.
_SEQUENCES: dict[int, int] = {32: 0x077CB531, 64: 0x03F79D71B4CB0A89}


@dataclass(frozen=True)
class Column:
    """How the values of a column become codes: their rank among keys.

    Attributes:
        feature: the position of the column.
        keys: the thresholds and infinity, in ascending order, or the categories.
        is_category: whether a value that is not among the keys is as good as missing, which has the last code.
    """

    feature: int
    keys: Floats
    is_category: bool

    @property
    def n_codes(self) -> int:
        return len(self.keys) + 1

    def codes(self, X: Floats) -> Integers:
        """Return [n] the codes of [n, d] rows: x <= keys[j] if and only if the code is at most j."""
        values = np.ascontiguousarray(X[:, self.feature])
        # NaN comes after infinity.
        codes = self._searched(values) if len(values) >= _MANY_VALUES else np.searchsorted(self.keys, values)
        if self.is_category:
            codes[self.keys[np.minimum(codes, len(self.keys) - 1)] != values] = len(self.keys)
        return codes

    @cached_property
    def _padded(self) -> Floats:
        """Half a power of 2 of no meaning, then the keys, up to a whole power of 2 in all."""
        half = 1 << (len(self.keys).bit_length() - 1)
        return np.concatenate([np.zeros(half), self.keys, np.full(2 * half - 1 - len(self.keys), np.inf)])

    def _searched(self, values: Floats) -> Integers:
        """Return `searchsorted` of values, all of them side by side: nothing branches, which is what takes it long."""
        step = half = 1 << (len(self.keys).bit_length() - 1)
        codes, move = np.full(len(values), 2 * half - 1), np.empty(len(values), dtype=np.int64)
        keys, is_left = np.empty(len(values)), np.empty(len(values), dtype=np.bool_)
        while step:
            np.take(self._padded[half - step :], codes, out=keys, mode="clip")  # those that many before
            np.less_equal(values, keys, out=is_left)
            np.multiply(is_left, step, out=move)
            np.subtract(codes, move, out=codes)
            step //= 2
        np.minimum(codes, len(self.keys), out=codes)
        return codes


@dataclass(frozen=True)
class Block:
    """Some consecutive trees.

    Attributes:
        first: the first of them.
        tables: by group of columns, [codes, trees] the leaves that are left over; of those that the trees ask for.
        values: [trees * bits] of the leaves, in the order of the sequence.
        offsets: [trees, 1] where those of a tree begin.
    """

    first: int
    tables: Sequence[tuple[int, NDArray[Any]]]
    values: Floats
    offsets: Integers


@dataclass(frozen=True)
class LeafTables:
    """The tables of a forest.

    Attributes:
        groups: the columns that share a table.
        blocks: of trees.
        n_bits: of the words, one for each leaf of a tree.
    """

    groups: Sequence[Sequence[Column]]
    blocks: Sequence[Block]
    n_bits: int

    @property
    def n_bytes(self) -> int:
        return sum(table.nbytes for block in self.blocks for _, table in block.tables)

    @classmethod
    def of(cls, forest: Forest) -> Self | None:
        """Return the tables of a forest; None if they would be too large, or more than they are worth."""
        n_trees = len(forest.n_nodes)
        is_leaf = forest.feature < 0
        n_leaves = int(np.add.reduceat(is_leaf.astype(np.int64), forest.starts).max())
        n_bits = next((n for n in _SEQUENCES if n_leaves <= n), 0)
        groups = _grouped(_columns(forest))
        n_bytes = sum(_n_codes(group) for group in groups) * n_trees * n_bits // 8
        if not n_bits or len(groups) > _MOST_TABLES or n_bytes > _MOST_BYTES:
            return None
        masks = _Masks.of(forest, n_bits)
        tables = [_joint([masks.table(column) for column in group]) for group in groups]
        values = _in_sequence(forest, n_bits)
        step = max(1, _BLOCK_TREES // forest.n_outputs) * forest.n_outputs
        blocks = []
        for start in range(0, n_trees, step):
            trees = slice(start, start + step)
            own = [(i, np.ascontiguousarray(table[:, trees])) for i, table in enumerate(tables)]
            asked = [(i, table) for i, table in own if (table != masks.nothing).any()]
            n = len(values[trees])
            blocks.append(Block(start, asked or own[:1], values[trees].ravel(), np.arange(n)[:, None] * n_bits))
        return cls(groups, blocks, n_bits)

    def leaf_values(self, X: Floats) -> Iterator[tuple[int, slice, Floats]]:
        """Yield for [n, d] rows, block by block, the first tree, the rows, and [trees, rows] values of the leaves.

        For every row the trees come in their order. The values are overwritten by the next ones.
        """
        n_most = min(len(X), _BLOCK_ROWS) * max(len(block.offsets) for block in self.blocks)
        word = np.dtype(f"u{self.n_bits // 8}")
        left, other = np.empty(n_most, word), np.empty(n_most, word)
        positions, values = np.empty(n_most, np.intp), np.empty(n_most)
        sequence, shift = word.type(_SEQUENCES[self.n_bits]), word.type(self.n_bits - self.n_bits.bit_length() + 1)
        for start in range(0, len(X), _CODED_ROWS):
            codes = [_codes(group, X[start : start + _CODED_ROWS]) for group in self.groups]
            for block in self.blocks:
                n_trees = len(block.offsets)
                for first in range(0, min(_CODED_ROWS, len(X) - start), _BLOCK_ROWS):
                    n = min(_BLOCK_ROWS, len(X) - start - first)
                    n_pairs, rows = n * n_trees, slice(first, first + n)
                    here, there = (buffer[:n_pairs].reshape(n, n_trees) for buffer in (left, other))
                    for i, (group, table) in enumerate(block.tables):
                        np.take(table, codes[group][rows], axis=0, out=there if i else here, mode="clip")
                        if i:
                            np.bitwise_and(here, there, out=here)
                    np.negative(here, out=there)
                    np.bitwise_and(here, there, out=here)  # the lowest bit alone
                    np.multiply(here, sequence, out=here)
                    np.right_shift(here, shift, out=here)
                    at = positions[:n_pairs].reshape(n_trees, n)
                    np.copyto(at, here.T, casting="unsafe")
                    np.add(at, block.offsets, out=at)
                    of_leaves = values[:n_pairs].reshape(n_trees, n)
                    np.take(block.values, at, out=of_leaves, mode="clip")
                    yield block.first, slice(start + first, start + first + n), of_leaves


@dataclass(frozen=True)
class _Masks:
    """What the inner nodes of a forest leave over of the leaves of their trees, if a row goes to the right there."""

    forest: Forest
    node: Integers
    tree: Integers
    mask: NDArray[Any]

    @classmethod
    def of(cls, forest: Forest, n_bits: int) -> Self:
        word = np.dtype(f"u{n_bits // 8}").type
        is_leaf = forest.feature < 0
        before: Integers = np.cumsum(is_leaf) - is_leaf  # leaves
        node = np.flatnonzero(~is_leaf)
        tree = np.repeat(np.arange(len(forest.starts)), forest.n_nodes)[node]
        first = (before[node] - before[forest.starts[tree]]).astype(word)
        n_left = (before[forest.right[node]] - before[node]).astype(word)
        return cls(forest, node, tree, ~(((word(1) << n_left) - word(1)) << first))

    @property
    def nothing(self) -> Any:
        """The mask that rules nothing out."""
        return np.iinfo(self.mask.dtype).max

    def table(self, column: Column) -> NDArray[Any]:
        """Return [codes, trees] the leaves that the nodes on a column leave over."""
        own = np.flatnonzero(self.forest.feature[self.node] == column.feature)
        node, tree, mask = self.node[own], self.tree[own], self.mask[own]
        table = np.full((column.n_codes, len(self.forest.starts)), self.nothing, self.mask.dtype)
        if column.is_category:
            sets = self.forest.left_sets[self.forest.set_of[node]]
            for code in range(len(column.keys)):
                goes_right = sets[:, code >> 5] >> np.uint32(code & 31) & 1 == 0
                np.bitwise_and.at(table[code], tree[goes_right], mask[goes_right])
        else:
            key = np.where(
                np.isnan(self.forest.number[node]), -1, np.searchsorted(column.keys, self.forest.number[node])
            )
            np.bitwise_and.at(table, (key + 1, tree), mask)
            np.bitwise_and.accumulate(table[:-1], axis=0, out=table[:-1])
            table[-1] = self.nothing  # what is at most infinite goes left; only a missing value has this code
        goes_right = ~self.forest.missing_left[node]
        np.bitwise_and.at(table[-1], tree[goes_right], mask[goes_right])
        return table


def _columns(forest: Forest) -> list[Column]:
    """Return the columns that the trees ask for."""
    columns = []
    known = forest.known_categories
    order = np.argsort(forest.feature, kind="stable")
    features, starts = np.unique(forest.feature[order], return_index=True)
    for feature, thresholds in zip(features.tolist(), np.split(forest.number[order], starts[1:]), strict=True):
        if feature in known:
            columns.append(Column(feature, known[feature], is_category=True))
        elif feature >= 0:
            # NaN is the middle of two infinities, which nothing is at most.
            keys = np.unique(np.append(thresholds[~np.isnan(thresholds)], np.inf))
            columns.append(Column(feature, keys, is_category=False))
    return columns


def _grouped(columns: Sequence[Column]) -> list[list[Column]]:
    """Return groups of columns that share a table, so that their codes together are not too many."""
    groups: list[list[Column]] = []
    for column in sorted(columns, key=lambda column: column.n_codes):
        if groups and _n_codes([*groups[-1], column]) <= _MOST_CODES:
            groups[-1].append(column)
        else:
            groups.append([column])
    return groups or [[Column(0, np.array([np.inf]), False)]]  # trees of one leaf ask for nothing


def _n_codes(group: Sequence[Column]) -> int:
    return int(np.prod([column.n_codes for column in group]))


def _codes(group: Sequence[Column], X: Floats) -> Integers:
    """Return [n] the position in the table of a group for [n, d] rows."""
    codes = group[0].codes(X)
    for column in group[1:]:
        codes = codes * column.n_codes + column.codes(X)
    return codes


def _joint(tables: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the [codes, trees] table of a group of columns, of those of each."""
    joint = tables[0]
    for table in tables[1:]:
        joint = (joint[:, None] & table).reshape(-1, joint.shape[1])
    return joint


def _in_sequence(forest: Forest, n_bits: int) -> Floats:
    """Return [trees, bits] the values of the leaves, where the multiplication by the sequence leads."""
    leaf = np.flatnonzero(forest.feature < 0)
    tree = np.repeat(np.arange(len(forest.starts)), forest.n_nodes)[leaf]
    rank = np.arange(len(leaf)) - np.searchsorted(tree, tree)
    shift = n_bits - n_bits.bit_length() + 1
    place = np.array([((_SEQUENCES[n_bits] << i) % (1 << n_bits)) >> shift for i in range(n_bits)])
    values = np.zeros((len(forest.starts), n_bits))
    values[tree, place[rank]] = forest.number[leaf]
    return values
