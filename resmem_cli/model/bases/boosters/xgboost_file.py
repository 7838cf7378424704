"""Whether a file of XGBoost's is whole and its trees lead on, which the library does not look at.

Where UBJSON ends early it reads on beyond the end and asks for memory without bound; where a node leads beyond the last
it follows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from resmem_cli.model.arrays import Integers

# How values are stored by what stands before them: big-endian numbers, and words that say it all.
_INTEGERS = {b"i": ">i1", b"U": "u1", b"I": ">i2", b"l": ">i4", b"L": ">i8"}
_NUMBERS = {**_INTEGERS, b"d": ">f4", b"D": ">f8", b"C": "u1"}
_WORDS = {b"T": True, b"F": False, b"Z": None}
_LEAF = -1


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
        boosted = learner["gradient_booster"]
        boosted = boosted.get("gbtree", boosted)  # within it of DART
        if "trees" in boosted["model"]:
            _refuse_unlinked(boosted["model"], learner["learner_model_param"])
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


def _refuse_unlinked(model: Mapping[str, Any], shape: Mapping[str, Any]) -> None:
    n_outputs = max(int(shape["num_class"]), int(shape.get("num_target", 1)), 1)
    trees, outputs = model["trees"], _integers(model["tree_info"])
    _require(len(outputs) == len(trees) and np.all((outputs >= 0) & (outputs < n_outputs)))
    if "iteration_indptr" in model:
        bounds = _integers(model["iteration_indptr"])
        _require(bounds[0] == 0 and bounds[-1] == len(trees) and np.all(np.diff(bounds) >= 0))
    for tree in trees:
        _refuse_tree(tree, int(shape["num_feature"]))


def _refuse_tree(tree: Mapping[str, Any], n_features: int) -> None:
    left, right, feature = (_integers(tree[name]) for name in ("left_children", "right_children", "split_indices"))
    _require(len(left) == len(right) == len(feature) == int(tree["tree_param"]["num_nodes"]) > 0)
    reached = np.zeros(len(left), dtype=np.bool_)
    nodes = np.array([0])
    while len(nodes):
        reached[nodes] = True
        inner = nodes[left[nodes] != _LEAF]
        _require(np.all((feature[inner] >= 0) & (feature[inner] < n_features)))
        nodes = np.concatenate([left[inner], right[inner]])
        _require(np.all((nodes >= 0) & (nodes < len(left))))
        _require(not reached[nodes].any() and len(np.unique(nodes)) == len(nodes))
    if "categories" in tree:
        _refuse_categories(tree, len(left))


def _refuse_categories(tree: Mapping[str, Any], n_nodes: int) -> None:
    which, starts, sizes, values = (
        _integers(tree[name]) for name in ("categories_nodes", "categories_segments", "categories_sizes", "categories")
    )
    _require(len(which) == len(starts) == len(sizes))
    _require(np.all((which >= 0) & (which < n_nodes)))
    _require(np.all((starts >= 0) & (sizes >= 0) & (starts + sizes <= len(values))))
    _require(np.all(values >= 0))
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
