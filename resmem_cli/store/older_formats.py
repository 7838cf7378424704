"""What directories of older formats lack or say otherwise: all that keeps them readable is here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from resmem_cli.errors import ModelError
from resmem_cli.model.arrays import Arrays
from resmem_cli.model.memory.index import SHARD_CELLS

# What format 1 said once, and format 2 says of each base and of each memory.
_OF_BASE = ("estimator", "params")
_OF_MEMORY = ("representation", "settings", "cells", "columns", "search")
# Before format 4.
_BOOSTED, _BOOSTED_ONCE = ("boosting", "poisson"), {"bags": 1, "max_features": 1.0}


def present_manifest(content: Mapping[str, Any], written: int) -> dict[str, Any]:
    """Return a manifest that was written in a format up to the present one as the present one has it.

    From format 6 on a memory.json describes earlier memories, too: what changes in the present one changes in them.
    """
    if written < 2:
        content = _of_format_2(content)
    if written < 4 and "bases" in content:
        content = _of_format_4(content)
    if written < 6:
        content = _of_format_6(content)
    if written < 8:
        content = _of_format_8(content)
    if written < 10 and "memories" in content:
        content = _of_format_10(content)
    return dict(content)


def present_space(name: str, arrays: Arrays) -> Arrays:
    """Return the stored arrays of a space as the present format has them.

    Raises:
        ModelError: it is a network of format 1, which had one layer.
    """
    if "encoder_in" in arrays:
        raise ModelError(f"the {name} encoder was written by an older resmem", "run fit-residual again")
    if "encoder_scale" in arrays and "encoder_log_tau" not in arrays:  # format 1 had codes in units of τ
        return {**arrays, **{f"encoder_{each}": np.zeros((), np.float32) for each in ("log_tau", "log_gamma")}}
    return arrays


def stored_as(estimator: str, arrays: Arrays) -> str | None:
    """Return the suffix of the file that a base of this name lies in whose present format has arrays alone, or None.

    Boosted trees were scikit-learn's before format 7. `forget` writes manifests anew, and leaves their file as it is.
    """
    return "skops" if estimator in _BOOSTED and "n_bags" not in arrays else None


def _of_format_2(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest of format 1, which had one base and one memory, as one of format 2."""
    kept = {key: value for key, value in content.items() if key not in (*_OF_BASE, *_OF_MEMORY)}
    if "schema" in content:
        return kept | {"bases": [{key: content[key] for key in _OF_BASE} | {"can_refit": True}]}
    return kept | {
        "objective": None,
        "memories": [{"base": 0, "weight": 1.0, "residuals": "in-sample"} | {key: content[key] for key in _OF_MEMORY}],
    }


def _of_format_4(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of older bases with the defaults of their time, by which the folds have to fit them again."""
    of_bases = [
        {**each, "params": _BOOSTED_ONCE | each["params"]} if each["estimator"] in _BOOSTED else each
        for each in content["bases"]
    ]
    return {**content, "bases": of_bases}


def _of_format_6(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest that does not say when it was made, and knows no memory but the present one, as one that does.

    What a manifest of an older format says of that is not ours.
    """
    of_memory: dict[str, Any] = {} if "schema" in content else {"history": [], "earlier": []}
    return {**content, "made": None, **of_memory}


def _of_format_8(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest whose base to beat was its first one, and whose members were all of the prediction."""
    if "schema" in content:
        return {**content, "bases": [{**each, "weight": float(i == 0)} for i, each in enumerate(content["bases"])]}
    earlier = [{**each, "base_share": 0.0} for each in content["earlier"]]
    return {**content, "base_share": 0.0, "earlier": earlier}


def _of_format_10(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest whose memories were never cut as one that says how many cells are searched through one graph.

    So few memories are that large that rows may make shards of them as of any other.
    """
    earlier = [{**each, "memories": _cuttable(each["memories"])} for each in content["earlier"]]
    return {**content, "memories": _cuttable(content["memories"]), "earlier": earlier}


def _cuttable(memories: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    size = {"shard_cells": SHARD_CELLS}
    return [{**each, "graph": {**size, **each["graph"]}} if each.get("graph") else dict(each) for each in memories]
