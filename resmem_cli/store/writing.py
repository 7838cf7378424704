"""Saving to a model directory: a new generation of parts, then the manifest that names it.

house.resmem/
  base.json      written last by fit-base
  memory.json    written last by fit-residual
  parts/<id>/    files that never change once a manifest names them
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from resmem_cli.model.residuals import to_arrays
from resmem_cli.model.resmem import ResMem
from resmem_cli.store import description, estimators, generations, history, manifest, members, parts
from resmem_cli.store.generations import Past, State
from resmem_cli.store.history import Change
from resmem_cli.store.rows import MemoryRows, TrainedRows
from resmem_cli.store.stored import StoredBase

_NO_PAST = Past()


def save_base(directory: Path, stored: StoredBase, rows: TrainedRows) -> str:
    """Write a new generation of the bases and return its id; a memory that is there becomes stale."""
    content = description.base_json(
        stored.specs,
        stored.weights,
        seed=stored.problem.seed,
        n_rows=stored.n_rows,
        n_forgotten=stored.n_forgotten,
        is_distilled=stored.is_distilled,
        schema=stored.schema.to_json(),
    )
    with parts.writing(directory) as folder:
        parts.save_arrays(folder / parts.ROWS, rows.to_arrays())
        for i, base in enumerate(stored.bases):
            parts.save_arrays(folder / parts.numbered(parts.ARRAYS, i), base.to_arrays())
            if base.stored_as is not None:
                data = estimators.to_bytes(base.estimator) if base.stored_as == estimators.SKOPS else base.estimator
                (folder / parts.numbered(f"{parts.ESTIMATOR}.{base.stored_as}", i)).write_bytes(data)
        placed = generations.placed(folder, directory, content)
        generations.replace(directory / manifest.BASE, {**placed, "made": manifest.now()})
    return str(placed["id"])


def save_memory(
    directory: Path,
    base_id: str,
    resmem: ResMem,
    rows: MemoryRows,
    *,
    objective: str,
    folds: Mapping[str, Any],
    past: Past = _NO_PAST,
) -> str:
    """Write a new generation of the memories and return its id.

    Args:
        directory: of the model.
        base_id: the generation of the bases that the memories belong to.
        resmem: the model, whose memories have contents.
        rows: what is kept of the remembered rows beside that.
        objective: the metric that was chosen by.
        folds: what they measured, as `description.folds_json` gives it.
        past: the history that leads to it, and the generations that undo can bring back.
    """
    with generations.changing(directory):
        made = manifest.now()
        state = _placed(directory, base_id, resmem, rows, objective=objective, folds=folds, made=made)
        generations.make_present(directory, state, past)
    return str(state["id"])


def replace_memory(directory: Path, resmem: ResMem, rows: MemoryRows, change: Change, *, keep: int) -> str:
    """Write a new generation of memories of other rows, and return its id; what the folds measured stays.

    Args:
        directory: of the model.
        resmem: the model.
        rows: what is kept of its remembered rows.
        change: what was done to the memory that is replaced.
        keep: how many generations undo can bring back, of which that one is the first.
    """
    before, base = manifest.read(directory / manifest.MEMORY), manifest.read(directory / manifest.BASE)
    kept = {name: before[name] for name in ("objective", "folds")}
    return save_memory(directory, base["id"], resmem, rows, past=past(directory, rows, change, keep=keep), **kept)


def past(directory: Path, rows: MemoryRows, change: Change, *, keep: int, with_present: bool = True) -> Past:
    """Return the past of a memory of some rows that is about to replace the present one, if there is one.

    Args:
        directory: of the model.
        rows: what is kept of the rows.
        change: what was done to the memory that is replaced.
        keep: how many generations undo can bring back.
        with_present: whether the one that is replaced can be one of them.
    """
    entries, earlier = generations.before(directory, with_present=with_present)
    entries = history.extended(entries, change, made=manifest.now(), n_rows=len(rows.hashes))
    return Past(entries, earlier, keep)


def replace_every(directory: Path, changed: Sequence[tuple[ResMem, MemoryRows] | None], change: Change) -> None:
    """Replace the present memories, and all that undo can bring back, by memories of other rows: all at once.

    Args:
        directory: of the model.
        changed: per generation, the present one first and then from the newest, the model and what is kept of its rows;
            None drops one.
        change: what was done to the present one.
    """
    content, base = manifest.read(directory / manifest.MEMORY), manifest.read(directory / manifest.BASE)
    states = [generations.state_of(content), *generations.kept(base, content)]
    made = manifest.now()
    with generations.changing(directory):
        new: list[State] = []
        for state, each in zip(states, changed, strict=True):
            if each is not None:
                own = {name: state[name] for name in ("objective", "folds")}
                when = state["made"] if new else made
                new.append(_placed(directory, base["id"], *each, **own, made=when, number=state["number"]))
        entries = history.extended(history.known(content), change, made=made, n_rows=new[0]["rows"])
        generations.make_present(directory, new[0], Past(entries, new[1:], len(new)))


def drop_measured(directory: Path) -> bool:
    """Drop all that was measured from the history, and return whether there was anything."""
    content = manifest.read(directory / manifest.MEMORY)
    entries = history.known(content)
    is_any = any(entry["measured"] is not None for entry in entries)
    if is_any:
        with parts.saying_unwritable(directory):
            manifest.rewrite(directory / manifest.MEMORY, {**content, "history": history.unmeasured(entries)})
    return is_any


def bring_back(directory: Path, state: State, change: Change) -> None:
    """Make a generation that is kept for undo the present one; the present one, and those between, are dropped."""
    content, base = manifest.read(directory / manifest.MEMORY), manifest.read(directory / manifest.BASE)
    kept = generations.kept(base, content)
    earlier = kept[kept.index(state) + 1 :]
    taken_back = history.unmeasured(history.known(content), after=state["number"])
    entries = history.extended(taken_back, change, made=manifest.now(), n_rows=state["rows"])
    with generations.changing(directory):
        present = generations.rebased(directory, state, base["id"])
        generations.make_present(directory, present, Past(entries, earlier, len(earlier)))


def _placed(
    directory: Path,
    base_id: str,
    resmem: ResMem,
    rows: MemoryRows,
    *,
    objective: str,
    folds: Mapping[str, Any],
    **dated: Any,
) -> State:
    """Write the parts of a generation of memories, and return what memory.json says of it."""
    content = description.memory_json(
        resmem.members,
        base_share=resmem.base_share,
        base_id=base_id,
        n_rows=len(rows.hashes),
        objective=objective,
        folds=folds,
    )
    with parts.writing(directory) as folder:
        parts.save_arrays(folder / parts.ROWS, {**rows.to_arrays(), **_contents(resmem)})
        if resmem.calibration is not None:
            parts.save_arrays(folder / parts.CALIBRATION, resmem.calibration.to_arrays())
        for i, member in enumerate(resmem.members):
            members.save(folder, member, i)
        return generations.placed(folder, directory, {**content, **dated})


def _contents(resmem: ResMem) -> dict[str, NDArray[Any]]:
    """Return the arrays of the rows that the memories were built of."""
    arrays: dict[str, NDArray[Any]] = {}
    for i, member in enumerate(resmem.members):
        contents = member.memory.contents
        if contents is None:
            raise ValueError("a memory that was loaded without its rows cannot be written")
        arrays[parts.of_memory("cells", i)] = contents.cells
        arrays |= {parts.of_memory(name, i): each for name, each in to_arrays(contents.residuals).items()}
        if contents.points is not None:
            arrays[parts.of_memory("points", i)] = contents.points
    return arrays
