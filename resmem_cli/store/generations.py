"""The generations of a model directory: placed among its parts, named by a manifest, and swept when none names them.

memory.json describes the present generation of the memories and, under "earlier", the complete descriptions of those
that undo can bring back, newest first. One replacement of that file changes everything at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resmem_cli.errors import ModelError
from resmem_cli.store import description, history, manifest, ownership, parts
from resmem_cli.store.history import Entry
from resmem_cli.store.parts import Part

# What a manifest says that does not name its generation: not what it replaces, which may hold what is to be forgotten,
# and not when it was made, so that the same content has the same name.
_UNNAMING = ("was", "made", "history", "earlier", "number")

# What memory.json says of one generation of the memories, the present one or an earlier one.
State = dict[str, Any]
_SPARE = "rows_0.npz"  # a name of ours that no part has
_OF_STATE = ("id", "base", "rows", "objective", "memories", "base_share", "folds", "parts", "made")


@dataclass(frozen=True)
class Past:
    """What memory.json says beside its present generation.

    Attributes:
        history: one entry per change, the last of them the one that made the present generation.
        earlier: generations that may be kept for undo, newest first.
        keep: how many of these are kept.
    """

    history: Sequence[Entry] = ()
    earlier: Sequence[State] = ()
    keep: int = 0


def state_of(content: Mapping[str, Any]) -> State:
    """Return what a memory.json says of its present generation, with the number of the change that made it."""
    return {name: content[name] for name in _OF_STATE} | {"number": history.known(content)[-1]["number"]}


def kept(base: Mapping[str, Any], content: Mapping[str, Any]) -> list[State]:
    """Return the earlier generations that undo can bring back, newest first: those of the present bases.

    Args:
        base: what base.json says.
        content: what memory.json says.
    """
    return [state for state in content["earlier"] if belongs(base, state)]


def belongs(base: Mapping[str, Any], state: Mapping[str, Any]) -> bool:
    """Whether a generation of memories belongs to the present bases."""
    return state["base"] in (base["id"], *base.get("was", ()))


def before(directory: Path, *, with_present: bool = True) -> tuple[list[Entry], list[State]]:
    """Return the history of the memory that is about to be replaced, and what undo can bring back once it is.

    Both are empty where there is no memory that can be read. Of memories of other bases, which are lost, the history
    says no longer what was measured.
    """
    content, base = _readable(directory / manifest.MEMORY), _readable(directory / manifest.BASE)
    if content is None or base is None:
        return [], []
    try:
        description.check_memory(content)
    except (ModelError, LookupError, ValueError, TypeError):
        return [], []
    entries = history.known(content)
    if not belongs(base, content):
        return history.unmeasured(entries), kept(base, content)
    return entries, [*([state_of(content)] if with_present else []), *kept(base, content)]


def make_present(directory: Path, state: State, past: Past) -> None:
    """Name a generation of memories whose parts are there as the present one, and keep earlier ones for undo."""
    states = [state]
    for each in past.earlier:
        if len(states) > past.keep:
            break
        with suppress(ModelError, FileNotFoundError):  # a damaged one is dropped
            earlier = rebased(directory, each, state["base"])
            if earlier["id"] != states[-1]["id"]:  # the same content once more is no step back
                states.append(earlier)
    own = {name: state[name] for name in _OF_STATE}
    replace(directory / manifest.MEMORY, {**own, "history": list(past.history), "earlier": states[1:]})


def settle(directory: Path) -> None:
    """Finish a forget that was killed after it wrote the bases: all memories belong to the present ones again."""
    base, memory = _readable(directory / manifest.BASE), _readable(directory / manifest.MEMORY)
    with changing(directory):
        if base is not None and memory is not None and "was" in base and belongs(base, memory):
            present, earlier = state_of(memory), kept(base, memory)
            past = Past(history.known(memory), earlier, len(earlier))
            make_present(directory, rebased(directory, present, base["id"]), past)


def placed(folder: Path, directory: Path, content: Mapping[str, Any]) -> State:
    """Give finished parts their name among those of a directory, and return what a manifest says of them.

    A file that an older generation has, too, is a link to that one.
    """
    record = parts.record(folder)
    for name, part in record.items():
        _share(folder / name, part, directory)
    identity = parts.publish(folder, record, repr({name: content[name] for name in content if name not in _UNNAMING}))
    return {"id": identity, **content, "parts": parts.to_json(record)}


def rebased(directory: Path, state: State, base_id: str) -> State:
    """Return a generation as one of bases that have forgotten rows since: its name follows from theirs."""
    if state["base"] == base_id:
        return state
    paths = parts.checked(directory, state["id"], state["parts"])
    with parts.writing(directory) as folder:
        for name, path in paths.items():
            parts.link(path, folder / name)
        own = {name: value for name, value in state.items() if name not in ("id", "parts")}
        return placed(folder, directory, {**own, "base": base_id})


def replace(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a manifest, and remove the generations that none names any more."""
    try:
        manifest.write(path, content)
    finally:
        sweep(path.parent)


@contextmanager
def changing(directory: Path) -> Iterator[None]:
    """Leave no generation behind that no manifest names, however the block ends.

    Raises:
        OutputError: the directory cannot be written, or the disk is full.
    """
    with parts.saying_unwritable(directory):
        try:
            yield
        finally:
            sweep(directory)


def sweep(directory: Path) -> None:
    """Remove the generations that no manifest names: older ones, and what a writer left that failed or was killed."""
    _drop_was(directory)
    _drop_stale(directory)
    keep = named(directory)
    if keep is not None:
        ownership.sweep(directory, keep)


def named(directory: Path) -> set[str] | None:
    """Return the generations that the manifests name; None if one is damaged or newer, and it is not known which."""
    paths = [directory / name for name in (manifest.BASE, manifest.MEMORY)]
    try:
        contents = [manifest.read(path) for path in paths if path.exists()]
        return {state["id"] for content in contents for state in _states(content)}
    except (ModelError, LookupError, TypeError, AttributeError):
        return None


def _drop_was(directory: Path) -> None:
    """Forget which generation the bases were, once all memories belong to the present one: its name is a hash of it.

    base.json stays as old as it is, or make would fit the memory again.
    """
    path = directory / manifest.BASE
    base, memory = _readable(path), _readable(directory / manifest.MEMORY)
    if base is None or memory is None or "was" not in base:
        return
    if all(state.get("base") == base["id"] for state in (memory, *memory["earlier"])):
        manifest.rewrite(path, {name: value for name, value in base.items() if name != "was"})


def _drop_stale(directory: Path) -> None:
    """Drop the earlier generations of bases that were replaced; the memory stays stale, for make too."""
    path = directory / manifest.MEMORY
    base, memory = _readable(directory / manifest.BASE), _readable(path)
    if base is not None and memory is not None and len(kept(base, memory)) < len(memory["earlier"]):
        manifest.rewrite(path, {**memory, "earlier": kept(base, memory)})


def _share(path: Path, part: Part, directory: Path) -> None:
    """Put a link in the place of a file that a generation that a manifest names has, too, where that is sound."""
    manifests = (_readable(directory / name) for name in (manifest.BASE, manifest.MEMORY))
    for state in (state for content in manifests if content is not None for state in _states(content)):
        other = directory / parts.FOLDER / state["id"] / path.name
        is_said = parts.to_json({path.name: part})[path.name] == state["parts"].get(path.name)
        if not is_said or other.is_symlink() or other.parent.is_symlink() or not other.exists():
            continue
        if other.samefile(path):
            return
        if parts.is_same(other, part):
            spare = path.with_name(_SPARE)
            parts.link(other, spare)
            spare.replace(path)
            return


def _readable(path: Path) -> dict[str, Any] | None:
    """Return what a manifest says, or None if there is none that can be read, with all that is looked up here."""
    try:
        content = manifest.read(path)
        states = _states(content)
        is_sound = all(map(_is_named, states)) and all(isinstance(each, str) for each in content.get("was", ()))
        if path.name == manifest.MEMORY:
            is_sound &= all(isinstance(state["base"], str) for state in states) and "earlier" in content
        return content if is_sound else None
    except (OSError, ModelError, LookupError, TypeError, AttributeError):
        return None


def _states(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return all generations that a manifest names."""
    return [content, *content.get("earlier", ())]


def _is_named(state: Any) -> bool:
    """Whether a generation has a name and parts."""
    if not isinstance(state, dict) or not isinstance(state.get("parts"), dict):
        return False
    return isinstance(state.get("id"), str) and bool(ownership.GENERATION.fullmatch(state["id"]))
