"""Whether a text is a whole model of LightGBM's, which ends the process at some texts that are not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from resmem_cli.model.arrays import Integers

_NUMBER = rb"(?:-?(?:\d+(?:\.\d*)?(?:e[-+]?\d+)?|inf|nan))"
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
        _require(body[bounds[-1] :].startswith(b"end of trees"))
        _require((len(bounds) - 1) % int(header["num_tree_per_iteration"]) == 0)
        _require(len(header["feature_names"].split(" ")) == len(header["feature_infos"].split(" ")) == n_features)
        for i, (start, end) in enumerate(pairwise(bounds)):
            found = _TREE.fullmatch(body[start:end])
            _require(found is not None and int(found[1]) == i)
            _refuse_unlinked(_values(body[start:end]), n_features)
    except (IndexError, KeyError, ValueError, OverflowError, ZeroDivisionError) as error:
        raise ValueError("it is damaged") from error


def _refuse_unlinked(tree: Mapping[str, str], n_features: int) -> None:
    """Refuse a tree unless every node asks for a feature that there is and leads on to later nodes or to leaves."""
    feature, kind, left, right = (
        _integers(tree, name) for name in ("split_feature", "decision_type", "left_child", "right_child")
    )
    n_leaves, nodes = int(tree["num_leaves"]), np.arange(len(feature))
    threshold = np.array(tree["threshold"].split(), dtype=np.float64)
    _require(len(tree["leaf_value"].split()) == n_leaves == len(nodes) + 1)
    _require(len(kind) == len(left) == len(right) == len(threshold) == len(nodes))
    _require((feature >= 0) & (feature < n_features))
    for child in (left, right):
        _require((child >= -n_leaves) & (child < len(nodes)) & ((child < 0) | (child > nodes)))
    if int(tree["num_cat"]) > 0:
        bounds, which = _integers(tree, "cat_boundaries"), threshold[(kind & 1) == 1]
        _require(bounds[0] == 0 and bounds[-1] == len(tree["cat_threshold"].split()))
        _require(np.diff(bounds) >= 0)
        _require((which >= 0) & (which < len(bounds) - 1))
    else:
        _require((kind & 1) == 0)


def _require(held: Any) -> None:
    if not np.all(held):
        raise ValueError


def _integers(tree: Mapping[str, str], name: str) -> Integers:
    return np.array(tree[name].split(), dtype=np.int64)


def _values(text: bytes) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.decode().split("\n") if "=" in line)
