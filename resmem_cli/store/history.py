"""The history of a memory: one entry of memory.json per change, oldest first.

An entry says when and by which command the memory became what it is, and what was measured then. It holds no ids and
no hashes: an entry outlives the rows that it is about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli import fields
from resmem_cli.fields import Fields

FIT, REMEMBER, FORGET, UNDO = "fit-residual", "remember", "forget", "undo"
_COMMANDS = (FIT, REMEMBER, FORGET, UNDO)
MOST_KEPT = 100  # generations of memories for undo
_MOST = 1_000  # entries: of a change every night, nearly three years
# Of fewer rows nothing that was measured is kept: the metric of a single row is its residual.
LEAST_MEASURED = 10
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")

Entry = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """What a command did to a memory.

    Attributes:
        command: its name.
        n_added, n_removed: how many rows came and went.
        measured: the "metric" by name, its values "base" and "resmem", the number of "rows" it was measured on and,
            of rows that were remembered, the shares that were unusual: "residuals" and "distances" (None if unknown),
            and how many values were "missing" or "unknown". None if nothing was measured.
    """

    command: str
    n_added: int
    n_removed: int
    measured: Fields | None = None


def extended(history: Sequence[Fields], change: Change, *, made: str, n_rows: int) -> list[Entry]:
    """Return a history with one more entry: after the change there are `n_rows` rows. The oldest entries are dropped.

    A change that erases rows also erases what was measured before: it may have been measured on these rows.
    """
    before = unmeasured(history) if change.command == FORGET else list(map(dict, history))
    measured = change.measured
    if measured is not None and measured["rows"] < LEAST_MEASURED:
        measured = None
    entry = {
        "number": history[-1]["number"] + 1 if history else 1,
        "made": made,
        "command": change.command,
        "added": change.n_added,
        "removed": change.n_removed,
        "rows": n_rows,
        "measured": None if measured is None else dict(measured),
    }
    return [*before, entry][-_MOST:]


def unmeasured(history: Sequence[Fields], after: int = 0) -> list[Entry]:
    """Return a history without what was measured by the changes after the one of a number."""
    return [{**entry, "measured": None} if entry["number"] > after else dict(entry) for entry in history]


def n_effective(n_rows: int, weight: NDArray[np.float64] | None) -> float:
    """Return how many rows of equal weights so many rows are worth: (Σw)² / Σw² (Kish 1965)."""
    if weight is None or not weight.any():
        return n_rows if weight is None else 0
    shares = weight / weight.max()
    return float(shares.sum() ** 2 / np.square(shares).sum())


def known(content: Mapping[str, Any]) -> list[Entry]:
    """Return the history of a memory; that of one of an older resmem begins with the memory as it is."""
    if content["history"]:
        return list(content["history"])
    rows, made = content["rows"], content["made"]
    return [
        {"number": 1, "made": made, "command": None, "added": rows, "removed": 0, "rows": rows, "measured": None},
    ]


def difference(before: NDArray[np.uint64] | None, after: NDArray[np.uint64]) -> tuple[int, int]:
    """Return how many rows came and how many went, from the hashes of those that were and are remembered."""
    values, counts = np.unique(after, return_counts=True)
    old, old_counts = (values[:0], counts[:0]) if before is None else np.unique(before, return_counts=True)
    every = np.union1d(values, old)
    change = np.zeros(len(every), dtype=np.int64)
    change[np.searchsorted(every, values)] += counts
    change[np.searchsorted(every, old)] -= old_counts
    return int(change.clip(min=0).sum()), int((-change).clip(min=0).sum())


def check(content: Fields) -> None:
    """Refuse a history of which a field is missing, or is not what it must be.

    Raises:
        KeyError, ValueError: one is.
    """
    last = 0
    entries = fields.groups(content, "history")
    if len(entries) > _MOST:
        raise ValueError(f"history has {len(entries)} entries")
    for entry in entries:
        last = fields.whole(entry, "number", least=last + 1)
        check_time(entry)
        if entry["command"] is not None:
            fields.text(entry, "command", _COMMANDS)
        for name in ("added", "removed", "rows"):
            fields.whole(entry, name)
        if entry["measured"] is not None:
            _check_measured(fields.group(entry, "measured"))


def check_time(content: Fields) -> None:
    """Refuse a time, unless it is unknown, that is not in UTC to the second, as ISO 8601 writes it.

    Raises:
        KeyError, ValueError: it is missing, or something else.
    """
    if content["made"] is not None and not _TIME.fullmatch(fields.text(content, "made")):
        raise ValueError(f"made is {content['made']!r}, not a time such as 2026-01-31T23:59:59Z")


def _check_measured(measured: Fields) -> None:
    fields.text(measured, "metric")
    fields.whole(measured, "rows")
    for name in ("base", "resmem"):
        if measured[name] is not None:
            fields.number(measured, name)
    for name in ("residuals", "distances"):
        if measured.get(name) is not None:
            fields.number(measured, name, least=0, most=1)
    for name in measured.keys() & {"missing", "unknown"}:
        fields.whole(measured, name)
