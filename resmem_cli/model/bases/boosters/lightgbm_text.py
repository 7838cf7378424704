"""Whether a text is a whole model of LightGBM's, which ends the process at some texts that are not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from resmem_cli.model.arrays import Integers

_PARAMETER = re.compile(rb"\[[a-z][a-z0-9_]*: [^\r\n]*\]")
_OBJECTIVE = re.compile(r"[a-z][a-z0-9_]*(?: [a-z][a-z0-9_]*(?::[-+.0-9einf]+)?)*")
_NUMBER = rb"(?:-?(?:\d+(?:\.\d*)?(?:e[-+]?\d+)?|inf|nan))"
_MOST_LINES = 22  # of a tree, beyond which the library reads none
_SPLITS = ("split_gain", "internal_value", "internal_weight", "internal_count")  # a number of each, where they are said
_LEAVES = ("leaf_weight", "leaf_count")
_TREE = re.compile(rb"Tree=(\d+)\n(?:[a-z_]+=(?:" + _NUMBER + rb"(?: +|(?=\n)))*+ *\n)++\n+")


def header_of(data: bytes) -> dict[str, str]:
    """Return what the text says of the whole model.

    Raises:
        ValueError: it is no text of LightGBM's.
    """
    if not data.startswith(b"tree\n"):
        raise ValueError("it is not a text of LightGBM's")
    return _values(data.partition(b"\n\n")[0])


def refuse_damaged(data: bytes) -> None:
    """Refuse a text whose parts do not fit together.

    Raises:
        ValueError: it is such a text.
    """
    header, body = header_of(data), data.partition(b"\n\n")[2]
    try:
        bounds = np.cumsum([0, *map(int, header["tree_sizes"].split())]).tolist()
        n_features = int(header["max_feature_idx"]) + 1
        _refuse_other_end(body[bounds[-1] :])
        _refuse_other_outputs(header, len(bounds) - 1)
        _require(len(header["feature_names"].split(" ")) == len(header["feature_infos"].split(" ")) == n_features)
        for i, (start, end) in enumerate(pairwise(bounds)):
            found = _TREE.fullmatch(body[start:end])
            _require(found is not None and int(found[1]) == i)
            tree = _values(body[start:end])
            _require(len(tree) <= 1 + _MOST_LINES)
            _refuse_unlinked(tree, n_features)
    except (IndexError, KeyError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise ValueError("it is damaged") from error


def _refuse_other_end(text: bytes) -> None:
    """Refuse what follows the trees, unless parameters of the training are there to their end, or not at all."""
    _require(text.startswith(b"end of trees\n"))
    lines = re.split(rb"[\r\n]+", text)
    if b"parameters:" in lines:
        start = lines.index(b"parameters:") + 1
        end = lines.index(b"end of parameters")
        _require(end >= start and all(_PARAMETER.fullmatch(line) for line in lines[start:end]))


def _refuse_other_outputs(header: Mapping[str, str], n_trees: int) -> None:
    """Refuse a model of which not every output has as many trees, or whose loss is of another number of classes."""
    n_outputs, objective = int(header["num_class"]), header.get("objective")
    _require(objective is None or _OBJECTIVE.fullmatch(objective) is not None)
    said = (objective or "").split(" ")
    _require(n_outputs == int(header["num_tree_per_iteration"]) > 0)
    _require(n_trees > 0 and n_trees % n_outputs == 0)
    n_classes = [int(each.partition(":")[2]) for each in said if each.startswith("num_class:")]
    _require(n_classes in ([], [n_outputs]))


def _refuse_unlinked(tree: Mapping[str, str], n_features: int) -> None:
    """Refuse a tree unless every node asks for a feature that there is and leads on to later nodes or to leaves."""
    feature, kind, left, right = (
        _integers(tree, name) for name in ("split_feature", "decision_type", "left_child", "right_child")
    )
    n_leaves, nodes = int(tree["num_leaves"]), np.arange(len(feature))
    threshold = np.array(tree["threshold"].split(), dtype=np.float64)
    _require(len(tree["leaf_value"].split()) == n_leaves == len(nodes) + 1)
    for names, count in ((_SPLITS, len(nodes)), (_LEAVES, n_leaves)):
        counts = [len(tree[name].split()) for name in names if name in tree]
        _require(all(each == count or (each == 0 and n_leaves == 1) for each in counts))
    _require(len(kind) == len(left) == len(right) == len(threshold) == len(nodes))
    _require((feature >= 0) & (feature < n_features))
    for child in (left, right):
        _require((child >= -n_leaves) & (child < len(nodes)) & ((child < 0) | (child > nodes)))
    if int(tree["num_cat"]) > 0:
        bounds, which = _integers(tree, "cat_boundaries"), threshold[(kind & 1) == 1]
        _require(len(bounds) == int(tree["num_cat"]) + 1)
        _require(bounds[0] == 0 and bounds[-1] == len(tree["cat_threshold"].split()))
        _require(np.diff(bounds) >= 0)
        _require((which >= 0) & (which < len(bounds) - 1))
    else:
        _require((kind & 1) == 0)
    if int(tree.get("is_linear", "0")) != 0:
        _refuse_other_lines(tree, n_leaves, n_features)


def _refuse_other_lines(tree: Mapping[str, str], n_leaves: int, n_features: int) -> None:
    """Refuse leaves that hold lines, unless each has as many features and slopes as it says."""
    counts, features = _integers(tree, "num_features"), _integers(tree, "leaf_features")
    _require(len(tree["leaf_const"].split()) == len(counts) == n_leaves)
    _require(counts >= 0)
    _require(counts.sum() == len(features) == len(tree["leaf_coeff"].split()))
    _require((features >= 0) & (features < n_features))


def _require(held: Any) -> None:
    if not np.all(held):
        raise ValueError


def _integers(tree: Mapping[str, str], name: str) -> Integers:
    return np.array(tree[name].split(), dtype=np.int64)


def _values(text: bytes) -> dict[str, str]:
    """Return what lines of "name=value" say.

    Raises:
        ValueError: a name is there twice, of which the library takes the other, or what ends a line for it alone.
    """
    if b"\r" in text or b"\0" in text:
        raise ValueError("it is damaged")
    pairs = [line.split("=", 1) for line in text.decode().split("\n") if "=" in line]
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("it is damaged")
    return dict(pairs)
