"""Whether a file of XGBoost's is whole and its trees lead on, which the library does not look at.

Where UBJSON ends early it reads on beyond the end and asks for memory without bound; where a node leads beyond the last
it follows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from resmem_cli.model.arrays import Integers

# How values are stored by what stands before them: big-endian numbers, and words that say it all.
_INTEGERS = {b"i": ">i1", b"U": "u1", b"I": ">i2", b"l": ">i4", b"L": ">i8"}
_NUMBERS = {**_INTEGERS, b"d": ">f4", b"D": ">f8", b"C": "u1"}
_WORDS = {b"T": True, b"F": False, b"Z": None}
_OF_NODES = ("split_conditions", "default_left", "loss_changes", "sum_hessian", "split_type")
_LEAF, _NO_PARENT = -1, (-1, (1 << 31) - 1)
_MOST_FEATURES, _MOST_CATEGORIES = 1_000_000, 1 << 24  # beyond which the library asks for gigabytes


def is_ubj(data: bytes) -> bool:
    """Whether an object is UBJSON rather than JSON: its keys begin with their length instead of a quotation mark."""
    return data[:1] == b"{" and data[1:2] in _INTEGERS


def refuse_damaged(data: bytes) -> None:
    """Refuse a file that is not whole, or of which a tree leads elsewhere than to its own later nodes and leaves.

    Raises:
        ValueError: it is such.
    """
    try:
        content = read_ubj(data) if is_ubj(data) else json.loads(data)
        learner = content["learner"]
        shape = _Shape.of(learner)
        boosted = learner["gradient_booster"]
        if boosted["name"] == "gblinear":
            _require(len(boosted["model"]["weights"]) == (shape.n_features + 1) * shape.n_outputs)
        elif boosted["name"] == "dart":
            _refuse_unlinked(boosted["gbtree"]["model"], shape)
            _require(len(boosted["weight_drop"]) == len(boosted["gbtree"]["model"]["trees"]))
        else:
            _require(boosted["name"] == "gbtree")
            _refuse_unlinked(boosted["model"], shape)
    except (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise ValueError("it is damaged") from error


def read_ubj(data: bytes) -> Any:
    """Return what a whole file of UBJSON holds, arrays of numbers as arrays.

    Raises:
        ValueError, KeyError, RecursionError: it is none, ends before its last value does, or goes on after it.
    """
    value, end = _value(data, 0)
    if end != len(data):
        raise ValueError
    return value


class _Shape(NamedTuple):
    """How many features a model reads, and how many numbers it gives."""

    n_features: int
    n_outputs: int

    @classmethod
    def of(cls, learner: Mapping[str, Any]) -> _Shape:
        said = learner["learner_model_param"]
        n_features, n_classes = int(said["num_feature"]), int(said["num_class"])
        _require(0 <= n_features <= _MOST_FEATURES)
        softmax = learner["objective"].get("softmax_multiclass_param", {})
        _require(n_classes >= 0 and int(softmax.get("num_class", n_classes)) == n_classes)
        for name in ("feature_names", "feature_types"):
            _require(len(learner.get(name, ())) in (0, n_features))
        shape = cls(n_features, max(n_classes, int(said.get("num_target", 1)), 1))
        _require(str(said["base_score"]).count(",") + 1 in (1, shape.n_outputs))
        return shape


def _refuse_unlinked(model: Mapping[str, Any], shape: _Shape) -> None:
    trees, outputs = model["trees"], _integers(model["tree_info"])
    _require(len(outputs) == len(trees) and np.all((outputs >= 0) & (outputs < shape.n_outputs)))
    _require([int(tree["id"]) for tree in trees] == list(range(len(trees))))
    said = model["gbtree_model_param"]
    n_at_once = int(said.get("num_parallel_tree", 1))
    _require(int(said["num_trees"]) == len(trees) and 0 < n_at_once <= max(len(trees), 1))
    if "iteration_indptr" in model:
        bounds = _integers(model["iteration_indptr"])
        _require(bounds[0] == 0 and bounds[-1] == len(trees) and np.all(np.diff(bounds) >= 0))
    for tree in trees:
        _refuse_tree(tree, shape)
    if "cats" in model:
        _refuse_other_values(model["cats"], shape)


def _refuse_other_values(categories: Mapping[str, Any], shape: _Shape) -> None:
    """Refuse the values of categories, unless each feature has its own."""
    counts = []
    for values in categories.get("enc", ()):
        offsets, n_values = _integers(values.get("offsets", ())), len(values["values"])
        if len(offsets):  # of texts, one behind the other
            _require(offsets[0] == 0 and offsets[-1] <= n_values and np.all(np.diff(offsets) >= 0))
        counts.append(len(offsets) - 1 if len(offsets) else n_values)
    segments, order = (_integers(categories.get(name, ())) for name in ("feature_segments", "sorted_idx"))
    if len(segments):
        _require(len(counts) == shape.n_features and np.array_equal(segments, np.cumsum([0, *counts])))
        _require(len(order) in (0, sum(counts)) and np.all((order >= 0) & (order < max(counts))))


def _refuse_tree(tree: Mapping[str, Any], shape: _Shape) -> None:
    left, right, parents, feature = (
        _integers(tree[name]) for name in ("left_children", "right_children", "parents", "split_indices")
    )
    _require(len(left) == len(right) == len(parents) == len(feature) == int(tree["tree_param"]["num_nodes"]) > 0)
    _refuse_other_lists(tree, len(left), shape)
    _require(parents[0] in _NO_PARENT)
    reached = np.zeros(len(left), dtype=np.bool_)
    nodes = np.array([0])
    while len(nodes):
        reached[nodes] = True
        inner = nodes[left[nodes] != _LEAF]
        _require(np.all((feature[inner] >= 0) & (feature[inner] < shape.n_features)))
        nodes = np.concatenate([left[inner], right[inner]])
        _require(np.all((nodes >= 0) & (nodes < len(left))))
        _require(np.array_equal(parents[nodes], np.concatenate([inner, inner])))
        _require(not reached[nodes].any() and len(np.unique(nodes)) == len(nodes))
    if "categories" in tree:
        _refuse_categories(tree, len(left))


def _refuse_other_lists(tree: Mapping[str, Any], n_nodes: int, shape: _Shape) -> None:
    """Refuse a tree unless it has as many of everything as it has nodes, and of a vector's numbers as leaves."""
    said = tree["tree_param"]
    width = max(int(said["size_leaf_vector"]), 1)
    _require(width in (1, shape.n_outputs) and 0 <= int(said.get("num_feature", 0)) <= shape.n_features)
    _require(all(len(tree[name]) == n_nodes for name in _OF_NODES if name in tree))
    _require(len(tree.get("base_weights", ())) in (0, n_nodes, n_nodes * width))
    if width > 1:
        is_leaf = _integers(tree["left_children"]) == _LEAF
        which, n_leaves = _integers(tree["right_children"])[is_leaf], int(is_leaf.sum())
        _require("leaf_weights" in tree and len(tree["leaf_weights"]) == n_leaves * width)
        _require(np.all((which >= 0) & (which < n_leaves)))
    _require(all(name in tree for name in ("split_conditions", "default_left")))


def _refuse_categories(tree: Mapping[str, Any], n_nodes: int) -> None:
    which, starts, sizes, values = (
        _integers(tree[name]) for name in ("categories_nodes", "categories_segments", "categories_sizes", "categories")
    )
    _require(len(which) == len(starts) == len(sizes))
    _require(np.all((which >= 0) & (which < n_nodes)) and np.all(np.diff(which) > 0))
    _require(np.all((starts >= 0) & (sizes >= 0) & (starts + sizes <= len(values))))
    _require(np.all((values >= 0) & (values < _MOST_CATEGORIES)))
    splits_categories = _integers(tree["split_type"]) == 1
    _require(len(splits_categories) == n_nodes and np.isin(np.flatnonzero(splits_categories), which).all())


def _require(held: Any) -> None:
    if not held:
        raise ValueError


def _integers(values: Any) -> Integers:
    return np.asarray(values).astype(np.int64)


def _value(data: bytes, at: int) -> tuple[Any, int]:
    """Return the value that begins at a position, and where it ends; KeyError if it is none, as beyond the end."""
    marker, at = data[at : at + 1], at + 1
    if marker == b"S":
        return _text(data, at)
    if marker == b"[":
        return _array(data, at)
    if marker in _WORDS:
        return _WORDS[marker], at
    if marker != b"{":
        numbers, at = _numbers(data, at, marker, 1)
        return numbers[0], at
    found = {}
    while data[at : at + 1] != b"}":
        key, at = _text(data, at)
        if key in found:  # the library would read the other one
            raise ValueError
        found[key], at = _value(data, at)
    return found, at + 1


def _array(data: bytes, at: int) -> tuple[Any, int]:
    kind, values = None, []
    if data[at : at + 1] == b"$":
        kind, at = data[at + 1 : at + 2], at + 2
    if data[at : at + 1] != b"#":
        while data[at : at + 1] != b"]":
            value, at = _value(data, at)
            values.append(value)
        return values, at + 1
    count, at = _length(data, at + 1)
    if kind is not None:
        return _numbers(data, at, kind, count)
    for _ in range(count):
        value, at = _value(data, at)
        values.append(value)
    return values, at


def _numbers(data: bytes, at: int, marker: bytes, count: int) -> tuple[Any, int]:
    """Return an array of as many numbers, and where it ends; ValueError if there are fewer."""
    kind = np.dtype(_NUMBERS[marker])
    return np.frombuffer(data, kind, count, at), at + count * kind.itemsize


def _text(data: bytes, at: int) -> tuple[str, int]:
    length, at = _length(data, at)
    if at + length > len(data):
        raise ValueError
    return data[at : at + length].decode(), at + length


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Return a length and where it ends."""
    marker = data[at : at + 1]
    numbers, end = _numbers(data, at + 1, marker if marker in _INTEGERS else b"", 1)
    length = int(numbers[0])
    if length < 0:
        raise ValueError
    return length, end
