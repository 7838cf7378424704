"""Saving to a model directory: a new generation of parts, then the manifest that names it.

house.resmem/
  base.json      written last by fit-base
  memory.json    written last by fit-residual
  parts/<id>/    files that never change once a manifest names them
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from resmem_cli.errors import ModelError
from resmem_cli.model.resmem import ResMem
from resmem_cli.store import description, estimators, manifest, members, ownership, parts
from resmem_cli.store.reading import StoredBase
from resmem_cli.store.rows import MemoryRows, TrainedRows


def save_base(directory: Path, stored: StoredBase, rows: TrainedRows) -> str:
    """Write a new generation of the bases and return its id; a memory that is there becomes stale."""
    content = description.base_json(
        stored.specs,
        seed=stored.problem.seed,
        n_rows=stored.n_rows,
        n_forgotten=stored.n_forgotten,
        schema=stored.schema.to_json(),
    )
    with parts.writing(directory) as folder:
        parts.save_arrays(folder / parts.ROWS, rows.to_arrays())
        for i, base in enumerate(stored.bases):
            parts.save_arrays(folder / parts.numbered(parts.ARRAYS, i), base.to_arrays())
            if base.stored_as is not None:
                data = estimators.to_bytes(base.estimator) if base.stored_as == estimators.SKOPS else base.estimator
                (folder / parts.numbered(f"{parts.ESTIMATOR}.{base.stored_as}", i)).write_bytes(data)
        return publish(folder, directory / manifest.BASE, content)


def save_memory(
    directory: Path,
    base_id: str,
    resmem: ResMem,
    rows: MemoryRows,
    *,
    objective: str,
    folds: Mapping[str, Any],
) -> str:
    """Write a new generation of the memories and return its id.

    Args:
        directory: of the model.
        base_id: the generation of the bases that the memories belong to.
        resmem: the model, whose memories have contents.
        rows: what is kept of the remembered rows beside that.
        objective: the metric that was chosen by.
        folds: what they measured, as `description.folds_json` gives it.
    """
    content = description.memory_json(
        resmem.members, base_id=base_id, n_rows=len(rows.hashes), objective=objective, folds=folds
    )
    with parts.writing(directory) as folder:
        parts.save_arrays(folder / parts.ROWS, {**rows.to_arrays(), **_contents(resmem)})
        if resmem.calibration is not None:
            parts.save_arrays(folder / parts.CALIBRATION, resmem.calibration.to_arrays())
        for i, member in enumerate(resmem.members):
            members.save(folder, member, i)
        return publish(folder, directory / manifest.MEMORY, content)


def replace_memory(directory: Path, resmem: ResMem, rows: MemoryRows) -> str:
    """Write a new generation of memories of other rows, and return its id; what the folds measured stays."""
    before = manifest.read(directory / manifest.MEMORY)
    base_id = manifest.read(directory / manifest.BASE)["id"]
    return save_memory(directory, base_id, resmem, rows, objective=before["objective"], folds=before["folds"])


def _contents(resmem: ResMem) -> dict[str, NDArray[Any]]:
    """Return the arrays of the rows that the memories were built of."""
    arrays: dict[str, NDArray[Any]] = {}
    for i, member in enumerate(resmem.members):
        contents = member.memory.contents
        if contents is None:
            raise ValueError("a memory that was loaded without its rows cannot be written")
        arrays[parts.of_memory("cells", i)] = contents.cells
        arrays[parts.of_memory("residuals", i)] = contents.residuals
        if contents.points is not None:
            arrays[parts.of_memory("points", i)] = contents.points
    return arrays


def sweep(directory: Path) -> None:
    """Remove the generations that no manifest names: older ones, and what a writer left that failed or was killed."""
    keep = _named(directory)
    if keep is not None:
        _drop_was(directory)
        ownership.sweep(directory, keep)


def _drop_was(directory: Path) -> None:
    """Forget which generation the bases were, once the memory belongs to the present one: its name is a hash of it.

    base.json stays as old as it is, or make would fit the memory again.
    """
    path = directory / manifest.BASE
    if not path.exists() or not (directory / manifest.MEMORY).exists():
        return
    base = manifest.read(path)
    if "was" in base and manifest.read(directory / manifest.MEMORY).get("base") == base["id"]:
        kept = {name: value for name, value in base.items() if name not in ("was", *manifest.DATED)}
        manifest.write(path, kept, modified=path.stat().st_mtime_ns)


def _named(directory: Path) -> set[str] | None:
    """Return the generations that the manifests name; None if one is damaged or newer, and it is not known which."""
    paths = [directory / name for name in (manifest.BASE, manifest.MEMORY)]
    try:
        return {manifest.read(path)["id"] for path in paths if path.exists()}
    except (ModelError, KeyError, TypeError):
        return None


def publish(folder: Path, path: Path, content: Mapping[str, Any]) -> str:
    """Give finished parts their name, make them the present generation by their manifest, and return the name."""
    record = parts.record(folder)
    before = _present(path)
    # Not of what is replaced: that may hold what is to be forgotten.
    identity = parts.publish(folder, record, repr({name: content[name] for name in content if name != "was"}))
    try:
        manifest.write(path, {"id": identity, **content, "parts": parts.to_json(record)})
    finally:
        sweep(path.parent)
    if before is not None and before["id"] not in (_named(path.parent) or {before["id"]}):
        ownership.remove(folder.parent / before["id"], before["parts"])  # also where something else lies among them
    return identity


def _present(path: Path) -> Mapping[str, Any] | None:
    """Return what a manifest says that is about to be replaced, or None if there is none that can be read."""
    try:
        content = manifest.read(path)
    except (FileNotFoundError, ModelError, KeyError, TypeError):
        return None
    is_named = isinstance(content.get("id"), str) and ownership.GENERATION.fullmatch(content["id"])
    return content if is_named and isinstance(content.get("parts"), dict) else None
