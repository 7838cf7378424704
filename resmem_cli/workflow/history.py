"""history and undo: how a memory came to be what it is, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resmem_cli.data.places import Place
from resmem_cli.errors import ModelError, UsageError
from resmem_cli.model import metrics
from resmem_cli.store import consistent, generations, locking, manifest, reading, using, writing
from resmem_cli.store import history as stored_history
from resmem_cli.store.history import Change
from resmem_cli.store.rows import MemoryRows
from resmem_cli.workflow import measured
from resmem_cli.workflow.inputs import Report, silent


@dataclass(frozen=True)
class Entry:
    """One change of a memory.

    Attributes:
        number: counts the changes, from 1.
        made: when, in UTC; None in a memory of an older resmem.
        command: that made it; None if that is not known.
        n_added, n_removed, n_rows: how many rows came and went, and how many there were then.
        measured: "metric", its values "base" and "resmem", "gain_percent", and the "rows" that it was measured on: by
            fit-residual held-out rows, by remember the new ones. Of these also the shares "unusual_residuals" and
            "unusual_distances", and how many "missing_values" and "unknown_categories". None if nothing was measured,
            on fewer than 10 rows, or before rows were forgotten.
        state: "present", "kept" if undo can bring it back, or "gone".
    """

    number: int
    made: str | None
    command: str | None
    n_added: int
    n_removed: int
    n_rows: int
    measured: dict[str, Any] | None
    state: str

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        counts = ("n_added", "n_removed", "n_rows")
        return {
            **{name: getattr(self, name) for name in ("number", "made", "command")},
            **{name.removeprefix("n_"): getattr(self, name) for name in counts},
            "measured": self.measured,
            "state": self.state,
        }


@dataclass(frozen=True)
class Undone:
    """What undo did.

    Attributes:
        n_rows: how many rows the memory holds now.
        n_added, n_removed: how many came back, and how many went, as far as the memory that is dropped can be read.
        back_to: the number of the change that made this memory.
        made, command: when and by which command it was made; None if that is not known.
        n_kept: how many earlier memories undo can still bring back.
    """

    n_rows: int
    n_added: int
    n_removed: int
    back_to: int
    made: str | None
    command: str | None
    n_kept: int

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {name.removeprefix("n_"): value for name, value in vars(self).items()}


def history(model: Place) -> list[Entry]:
    """Return every change of a model's memory, oldest first (the last thousand).

    Raises:
        ModelError: there is no memory, or it is damaged or of a newer format.
    """
    base = reading.read_manifest(model, manifest.BASE)
    content = reading.read_manifest(model, manifest.MEMORY)
    with consistent.guarded(model):
        kept = frozenset(state["number"] for state in generations.kept(base, content))
        return listed(stored_history.known(content), kept)


def listed(entries: Sequence[stored_history.Entry], kept: frozenset[int]) -> list[Entry]:
    """Return a stored history as it is shown, with the numbers of the changes that undo can go back to."""
    return [_entry(entry, kept, entries[-1]["number"]) for entry in entries]


def undo(
    model: Path, *, expected: tuple[str, str] | None = None, wait: bool = False, report: Report = silent
) -> Undone:
    """Bring back the memory that there was before the last change that is kept; the present one is dropped.

    Earlier memories that are damaged are dropped, too, as far as there is a sound one before them.

    Args:
        model: the directory.
        expected: the generations of bases and memories that are to be there.
        wait: until another writer is done, or refuse to.
        report: is told what is being done.

    Raises:
        ModelError: there is no memory, what is kept is damaged, or there is another generation than is expected.
        OutputError: the directory cannot be written, or another writer is at work.
        UsageError: no earlier memory is kept.
    """
    with locking.alone(model, wait=wait):
        report("loading the memories")
        content = reading.read_manifest(model, manifest.MEMORY)
        base = reading.read_manifest(model, manifest.BASE)
        if expected is not None and (base["id"], content["id"]) != expected:
            raise written_since(model)
        kept = generations.kept(base, content)
        if not kept:
            generations.sweep(model)  # of an undo that was killed the memory that it dropped may still lie there
            raise UsageError(
                f"no earlier memory of '{model}' is kept, so there is nothing to go back to",
                f"--keep of remember and fit-residual says how many are; resmem history --model {model} lists them",
            )
        present = reading.remembered_hashes(model)
        back, earlier = _first_sound(model, len(kept))
        state, n_rows = kept[back - 1], len(earlier.hashes)
        n_added, n_removed = stored_history.difference(present, earlier.hashes)
        report("writing")
        writing.bring_back(model, state, Change(stored_history.UNDO, n_added, n_removed))
        n_kept = reading.n_kept(model)
    commands = {entry["number"]: entry["command"] for entry in stored_history.known(content)}
    number = state["number"]
    return Undone(n_rows, n_added, n_removed, number, state["made"], commands.get(number), n_kept)


def written_since(directory: Place) -> ModelError:
    """Return what is to be raised where a directory holds another model than the one that was loaded from it."""
    return ModelError(f"the model '{directory}' was written since it was loaded", "load it again")


def _first_sound(model: Path, n_kept: int) -> tuple[int, MemoryRows]:
    """Return after how many steps back there is a memory that can be used, and what is kept of its rows."""
    first = None
    for back in range(1, n_kept + 1):
        try:
            stored, rows = reading.load_for_change(model, back)
            using.refuse_unusable(model, stored.base, stored.resmem)
        except ModelError as error:
            first = first or error
        else:
            return back, rows
    if first is None:
        raise ValueError("no earlier memory is kept")
    raise reading.damaged_earlier(model, first) from first


def _entry(entry: dict[str, Any], kept: frozenset[int], last: int) -> Entry:
    state = "present" if entry["number"] == last else "kept" if entry["number"] in kept else "gone"
    counts = (entry["added"], entry["removed"], entry["rows"])
    found = None if entry["measured"] is None else _measured(entry["measured"])
    return Entry(entry["number"], entry["made"], entry["command"], *counts, found, state)


def _measured(found: dict[str, Any]) -> dict[str, Any]:
    """Return what was measured, under the names that every `--json` gives it."""
    metric, base, resmem = found["metric"], found["base"], found["resmem"]
    gain = None
    if base is not None and resmem is not None and metric in metrics.METRICS:
        gain = measured.known(metrics.as_percent(metrics.gain(metric, base, resmem), base))
    of_rows = {
        "unusual_residuals": "residuals",
        "unusual_distances": "distances",
        "missing_values": "missing",
        "unknown_categories": "unknown",
    }
    return {
        "metric": metric,
        "base": base,
        "resmem": resmem,
        "gain_percent": gain,
        "rows": found["rows"],
        **{name: found[key] for name, key in of_rows.items() if key in found},
    }
