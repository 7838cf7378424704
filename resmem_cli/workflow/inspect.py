"""inspect and verify: what a model directory holds, and whether it is sound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resmem_cli.data.places import Place
from resmem_cli.data.schema import Schema
from resmem_cli.model import metrics
from resmem_cli.store import consistent, description, generations, history, manifest, reading, verifying
from resmem_cli.store.verifying import Verified
from resmem_cli.workflow import measured
from resmem_cli.workflow.inputs import Report, silent


@dataclass(frozen=True)
class _Inspected:
    """What the manifests of a model directory say; `memory` is None if there is none."""

    schema: Schema
    base: Mapping[str, Any]
    memory: Mapping[str, Any] | None

    @property
    def is_stale(self) -> bool:
        """Whether the memory belongs to bases that were fitted again since."""
        return self.memory is not None and self.memory["base"] not in (self.base["id"], *self.base.get("was", ()))

    @property
    def kept(self) -> list[Mapping[str, Any]]:
        """What memory.json says of the earlier memories that undo can bring back, newest first."""
        return [] if self.memory is None else list(generations.kept(self.base, self.memory))

    @property
    def n_bytes(self) -> int:
        """The size of all parts."""
        contents = [content for content in (self.base, self.memory, *self.kept) if content is not None]
        return sum(_size(content) for content in {content["id"]: content for content in contents}.values())

    def to_json(self) -> dict[str, Any]:
        schema, base = self.schema, self.base
        kinds = Counter(column.kind.value for column in schema.columns)
        return {
            "format": base["format"],
            "resmem": base["resmem"],
            "libraries": base["libraries"],
            "task": schema.target.task.value,
            "target": schema.target.name,
            "classes": list(schema.target.class_names),
            "id": schema.id_column,
            "weight": schema.weight_column,
            "group": schema.group_column,
            "time": schema.time_column,
            "read_as": schema.dialect.described() or None,
            "features": {"count": len(schema.columns), "kinds": dict(kinds), "names": list(schema.names)},
            "bases": [
                {name: each[name] for name in ("estimator", "params", "can_refit", "weight")} for each in base["bases"]
            ],
            "base_rows": base["rows"],
            "is_distilled": base.get("distilled", False),
            "made": base["made"],
            "seed": base["seed"],
            "bytes": self.n_bytes,
            "memory": None if self.memory is None else self._memory(self.memory),
        }

    def _memory(self, content: Mapping[str, Any]) -> dict[str, Any]:
        folds = content["folds"]
        objective = content["objective"] or metrics.objectives(not self.schema.target.classes)[0]
        return {
            "is_stale": self.is_stale,
            "rows": content["rows"],
            "made": content["made"],
            "changes": history.known(content)[-1]["number"],
            "kept": [{"made": each["made"], "rows": each["rows"], "bytes": _size(each)} for each in self.kept],
            "objective": objective,
            "memories": [
                {
                    "base": self.base["bases"][each["base"]]["estimator"] if not self.is_stale else None,
                    **{name: each[name] for name in ("weight", "residuals", "representation", "cells")},
                    **measured.settings(each["settings"]),
                    "columns": each["columns"],
                    "max_cells": each.get("max_cells"),
                    "search": {name: each["search"].get(name) for name in ("kind", "ef")},
                    "shards": len(description.shards_of(each)),
                    "recall": each["search"].get("recall"),
                }
                for each in content["memories"]
            ],
            "base_share": content["base_share"],
            "measured": measured.measured(folds, objective) if folds else None,
            "bytes": _size(content),
        }


def inspect(model: Place) -> dict[str, Any]:
    """Return what the manifests say, without loading what they name: a mapping as `--json` prints it.

    Raises:
        ModelError: there is no model, or a manifest is damaged or of a newer format.
    """
    base = reading.read_manifest(model, manifest.BASE)
    memory = reading.read_manifest(model, manifest.MEMORY) if reading.has_memory(model) else None
    with consistent.guarded(model):
        return _Inspected(Schema.from_json(base["schema"]), base, memory).to_json()


def verify(model: Place, report: Report = silent) -> Verified:
    """Check everything that the directory holds.

    Raises:
        ModelError: something is missing, damaged, or does not fit the rest.
    """
    report("checking every file")
    return verifying.verify(model)


def _size(content: Mapping[str, Any]) -> int:
    return sum(part["bytes"] for part in content["parts"].values())
