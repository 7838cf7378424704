"""What base.json and memory.json say: every field of the present format, written, read and checked in one place."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resmem_cli import fields
from resmem_cli.errors import ModelError
from resmem_cli.fields import Fields
from resmem_cli.model.bases import BaseSpec
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memory.index import GraphOptions, HnswIndex, Index
from resmem_cli.model.memory.shards import MOST_SHARDS, Shard, ShardedIndex
from resmem_cli.model.resmem import Member
from resmem_cli.model.spaces.training import RESIDUAL_KINDS
from resmem_cli.store import history, ownership

if TYPE_CHECKING:  # they load what only fitting needs
    from resmem_cli.model.choosing.candidates import Candidate
    from resmem_cli.model.choosing.selection import Selection

_AGAIN = "fit the model again"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_MEMORIES = 1_000  # and bases
_MOST_SEED = (1 << 32) - 1
_LARGEST_SETTING = 1e300
_ROUNDING = 1e-6  # of weights
_MOST_GRAPH = 1_000_000  # links and candidates of a search graph
_MEASURED = ("base_loss", "resmem_loss", "gain", "standard_error")


def base_json(
    specs: Sequence[BaseSpec],
    weights: Sequence[float],
    *,
    seed: int,
    n_rows: int,
    n_forgotten: int,
    is_distilled: bool,
    schema: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what base.json says of bases; a schema as its `to_json` gives it."""
    forgotten = {"forgotten": n_forgotten} if n_forgotten else {}
    distilled = {"distilled": True} if is_distilled else {}
    weights = weights or [1.0, *[0.0] * (len(specs) - 1)]
    each = [{**_spec_json(spec), "weight": weight} for spec, weight in zip(specs, weights, strict=True)]
    return {"bases": each, "seed": seed, "rows": n_rows, **forgotten, **distilled, "schema": schema}


def memory_json(
    members: Sequence[Member], *, base_share: float, base_id: str, n_rows: int, objective: str, folds: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what memory.json says of a model's members; `folds` as `folds_json` gives it, or empty."""
    return {
        "base": base_id,
        "rows": n_rows,
        "objective": objective,
        "memories": [_member_json(member) for member in members],
        "base_share": base_share,
        "folds": dict(folds),
    }


def folds_json(
    selection: Selection | None, group_column: str | None = None, time_column: str | None = None
) -> dict[str, Any]:
    """Return what memory.json says of the folds; nothing if there were none. The calibration has a file of its own.

    The columns are those by which rows were kept together and put in order, if they were.
    """
    if selection is None:
        return {}
    return {
        "members": [
            {**_candidate_json(each.candidate), "settings": settings_json(each.settings), "weight": each.weight}
            for each in selection.choices
        ],
        "candidates": [
            {
                **_candidate_json(each.candidate),
                "settings": settings_json(each.settings),
                "loss": each.loss,
                "standard_error": each.standard_error,
            }
            for each in selection.scores
        ],
        "objective": selection.objective,
        "base_loss": selection.base_loss,
        "resmem_loss": selection.resmem_loss,
        "gain": selection.gain,
        "standard_error": selection.standard_error,
        "helps": selection.helps,
        "is_clear": selection.is_clear,
        "n_folds": selection.n_folds,
        "refitted": selection.refitted,
        "n_queries": selection.n_queries,
        "forced": selection.forced,
        "whole_loss": selection.uncondensed_loss,
        "group_column": group_column,
        "time_column": time_column,
    }


def settings_json(settings: Settings) -> dict[str, Any]:
    """Return what memory.json says of a member's settings."""
    return {
        "n_neighbors": settings.n_neighbors,
        "bandwidth": settings.bandwidth,
        "is_relative": settings.is_relative,
        "shrinkage": settings.shrinkage,
        "temperature": settings.temperature,
    }


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


def check_base(content: Fields) -> None:
    """Refuse a base.json of which a field is missing, or is not what it must be.

    Raises:
        KeyError, ValueError: one is.
        ModelError: a name of parts leads elsewhere.
    """
    _check_stamps(content)
    _check_generation(content)
    each = _several(content, "bases", "base")
    for one in each:
        spec_of(one)
        fields.number(one, "weight", least=0, most=1 + _ROUNDING)
    if abs(sum(one["weight"] for one in each) - 1) > _ROUNDING:
        raise ValueError("the weights of its bases do not sum to 1")
    n_rows = fields.whole(content, "rows")
    fields.whole(content, "seed", most=_MOST_SEED)
    fields.group(content, "schema")
    if "forgotten" in content:
        fields.whole(content, "forgotten", most=n_rows)
    if "distilled" in content:
        fields.flag(content, "distilled")
    if "was" in content:
        fields.texts(content, "was")


def check_memory(content: Fields) -> None:
    """Refuse a memory.json of which a field is missing, or is not what it must be.

    Raises:
        KeyError, ValueError: one is.
        ModelError: a name of parts leads elsewhere.
    """
    _check_stamps(content)
    _check_state(content)
    history.check(content)
    earlier = fields.groups(content, "earlier")
    if len(earlier) > history.MOST_KEPT:
        raise ValueError(f"it keeps {len(earlier)} earlier memories")
    for state in earlier:
        _check_state(state)
        fields.whole(state, "number")


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
    for name in folds.keys() & {"group_column", "time_column"}:
        fields.maybe_text(folds, name)


def _spec_json(spec: BaseSpec) -> dict[str, Any]:
    return {"estimator": spec.estimator, "params": dict(spec.params), "can_refit": spec.can_refit}


def _member_json(member: Member) -> dict[str, Any]:
    index = member.memory.index
    return {
        "base": member.base,
        "weight": member.weight,
        "residuals": member.residuals,
        "representation": member.space.name,
        "settings": settings_json(member.settings),
        "cells": member.memory.n_cells,
        "columns": index.n_columns,
        "max_cells": member.memory.most_cells,
        "search": _search_json(index),
        "graph": _graph_json(member.memory.graph),
    }


def _search_json(index: Index) -> dict[str, Any]:
    if isinstance(index, ShardedIndex):
        each = [{"kind": _kind_of(shard), "cells": shard.n_points} for shard in index.shards]
        return {"kind": "shards", "ef": index.ef, "recall": index.recall, "shards": each}
    if isinstance(index, HnswIndex):
        return {"kind": "hnsw", "ef": index.ef, "recall": index.recall}
    return {"kind": "exact"}


def _kind_of(shard: Shard) -> str:
    return "hnsw" if isinstance(shard, HnswIndex) else "exact"


def _graph_json(graph: GraphOptions | None) -> dict[str, Any] | None:
    if graph is None:
        return None
    return {
        "M": graph.M,
        "ef_construction": graph.ef_construction,
        "ef": graph.ef,
        "recall": graph.recall,
        "shard_cells": graph.shard_cells,
    }


def _candidate_json(candidate: Candidate) -> dict[str, Any]:
    place = {"base": candidate.base, "representation": candidate.space, "residuals": candidate.residuals}
    return {"place": place}


def graph_of(content: Fields) -> GraphOptions | None:
    """Return how a search graph of other rows is built; None where an older resmem has not said it."""
    if content.get("graph") is None:
        return None
    graph = fields.group(content, "graph")
    most = _MOST_GRAPH
    return GraphOptions(
        M=fields.whole(graph, "M", least=2, most=most),
        ef_construction=fields.whole(graph, "ef_construction", least=1, most=most),
        ef=None if graph["ef"] is None else fields.whole(graph, "ef", least=1, most=most),
        recall=fields.number(graph, "recall", least=0, most=1),
        shard_cells=fields.whole(graph, "shard_cells", least=1),
    )


def shards_of(content: Fields) -> list[tuple[str, int]]:
    """Return for each shard of a memory whether it is searched exactly or by a graph, and how many cells it has."""
    search, n_cells = fields.group(content, "search"), fields.whole(content, "cells", least=1)
    if fields.text(search, "kind", ("exact", "hnsw", "shards")) != "shards":
        return [(search["kind"], n_cells)]
    each = fields.groups(search, "shards")
    said = [(fields.text(one, "kind", ("exact", "hnsw")), fields.whole(one, "cells", least=1)) for one in each]
    if not 2 <= len(said) <= MOST_SHARDS or sum(n for _, n in said) != n_cells:
        raise ValueError(f"its {len(said)} shards are not those of {n_cells} cells")
    return said


def _check_stamps(content: Fields) -> None:
    """Check who is said to have written a manifest."""
    fields.text(content, "resmem")
    fields.group(content, "libraries")


def _check_state(content: Fields) -> None:
    """Check what is said of one generation of memories, the present one or an earlier one."""
    _check_generation(content)
    fields.text(content, "base")
    fields.whole(content, "rows", least=1)
    fields.maybe_text(content, "objective")
    for one in _several(content, "memories", "memory"):
        _check_one(one)
    fields.number(content, "base_share", least=0, most=1 + _ROUNDING)
    fields.group(content, "folds")


def _check_generation(content: Fields) -> None:
    """Check what is said of the parts of a generation, and of when it was made."""
    history.check_time(content)
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
    fields.number(content, "weight", least=0, most=1 + _ROUNDING)
    fields.text(content, "residuals", RESIDUAL_KINDS)
    fields.text(content, "representation")
    settings_of(content)
    fields.whole(content, "cells", least=1)
    fields.whole(content, "columns", least=1)
    if content.get("max_cells") is not None:
        fields.whole(content, "max_cells", least=1)
    graph_of(content)
    if type(content["base"]) is not int:
        raise ValueError("base is not a whole number")
    search = fields.group(content, "search")
    if any(kind == "hnsw" for kind, _ in shards_of(content)):
        fields.whole(search, "ef", least=1, most=(1 << 31) - 1)
        if search["recall"] is not None:
            fields.number(search, "recall", least=0, most=1)
