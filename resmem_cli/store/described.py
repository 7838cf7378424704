"""What base.json and memory.json may say: every field of the present format, read and checked in one place."""

from __future__ import annotations

import math
import re
from typing import Any

from resmem_cli import fields
from resmem_cli.errors import ModelError
from resmem_cli.fields import Fields
from resmem_cli.model.bases import BaseSpec
from resmem_cli.model.kernel import Settings
from resmem_cli.store import ownership

_AGAIN = "fit the model again"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_MEMORIES = 1_000  # and bases
_MOST_SEED = (1 << 32) - 1
_LARGEST_SETTING = 1e300
_RESIDUALS = ("in-sample", "cross-fitted")
_MEASURED = ("base_loss", "resmem_loss", "gain", "standard_error")


def check_base(content: Fields) -> None:
    """Refuse a base.json of which a field is missing, or is not what it must be.

    Raises:
        KeyError, ValueError: one is.
        ModelError: a name of parts leads elsewhere.
    """
    _check_generation(content)
    each = _several(content, "bases", "base")
    for one in each:
        spec_of(one)
    n_rows = fields.whole(content, "rows")
    fields.whole(content, "seed", most=_MOST_SEED)
    fields.group(content, "schema")
    if "forgotten" in content:
        fields.whole(content, "forgotten", most=n_rows)
    if "was" in content:
        fields.texts(content, "was")


def check_memory(content: Fields) -> None:
    """Refuse a memory.json of which a field is missing, or is not what it must be.

    Raises:
        KeyError, ValueError: one is.
        ModelError: a name of parts leads elsewhere.
    """
    _check_generation(content)
    fields.text(content, "base")
    fields.whole(content, "rows", least=1)
    fields.maybe_text(content, "objective")
    for one in _several(content, "memories", "memory"):
        _check_one(one)
    fields.group(content, "folds")


def check_folds(content: Fields) -> None:
    """Refuse a memory.json whose folds say something else than they measure; nothing is predicted by them.

    Raises:
        KeyError, ValueError: a field is missing, or is not what it must be.
    """
    folds = fields.group(content, "folds")
    if not folds:
        return
    for name in _MEASURED:
        fields.number(folds, name)
    if folds.get("whole_loss") is not None:
        fields.number(folds, "whole_loss")
    for name in folds.keys() & {"n_queries", "n_folds"}:  # which older ones may lack
        fields.whole(folds, name)
    for name in {"helps", *(folds.keys() & {"refitted"})}:
        fields.flag(folds, name)


def spec_of(content: Fields) -> BaseSpec:
    """Return how one of the bases came about."""
    params = fields.group(content, "params")
    return BaseSpec(fields.text(content, "estimator"), params, fields.flag(content, "can_refit"))


def settings_of(content: Fields) -> Settings:
    """Return how one of the memories is used."""
    own = fields.group(content, "settings")
    bandwidth = fields.maybe_infinite(own, "bandwidth", least=0)
    if math.isnan(bandwidth):
        raise ValueError("bandwidth is unknown")
    return Settings(
        n_neighbors=fields.whole(own, "n_neighbors", least=1),
        bandwidth=bandwidth,
        is_relative=fields.flag(own, "is_relative"),
        shrinkage=fields.number(own, "shrinkage", least=0, most=_LARGEST_SETTING),
        temperature=fields.number(own, "temperature", least=math.ulp(0.0), most=_LARGEST_SETTING),
    )


def _check_generation(content: Fields) -> None:
    """Check what every manifest says: who wrote it, and its parts."""
    fields.text(content, "resmem")
    fields.group(content, "libraries")
    identity = fields.text(content, "id")
    if not ownership.GENERATION.fullmatch(identity):
        raise ModelError(f"'{identity[:60]}' is not a name of parts", _AGAIN)
    parts = fields.group(content, "parts")
    for name in parts:
        part = fields.group(parts, name)
        if not ownership.FILE_NAME.fullmatch(name):
            raise ModelError(f"'{name[:60]}' is not a name of a part", _AGAIN)
        fields.whole(part, "bytes")
        if not _SHA256.fullmatch(fields.text(part, "sha256")):
            raise ValueError(f"the SHA-256 of {name} is none")


def _several(content: Fields, name: str, what: str) -> list[dict[str, Any]]:
    each = fields.groups(content, name)
    if not each:
        raise ValueError(f"it names no {what}")
    if len(each) > _MOST_MEMORIES:
        raise ValueError(f"it names {len(each)} times a {what}")
    return each


def _check_one(content: Fields) -> None:
    """Check what is said of one of the memories; whether it fits its base is for whoever loads both."""
    fields.number(content, "weight", least=0, most=1 + 1e-6)
    fields.text(content, "residuals", _RESIDUALS)
    fields.text(content, "representation")
    settings_of(content)
    fields.whole(content, "cells", least=1)
    fields.whole(content, "columns", least=1)
    if content.get("max_cells") is not None:
        fields.whole(content, "max_cells", least=1)
    if type(content["base"]) is not int:
        raise ValueError("base is not a whole number")
    search = fields.group(content, "search")
    if fields.text(search, "kind", ("exact", "hnsw")) == "hnsw":
        fields.whole(search, "ef", least=1, most=(1 << 31) - 1)
        if search["recall"] is not None:
            fields.number(search, "recall", least=0, most=1)
