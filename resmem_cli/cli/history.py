"""`resmem history` and `resmem undo`: parse, one call, print."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from resmem_cli.cli import console, options

if TYPE_CHECKING:
    from resmem_cli.workflow.history import Entry

_HEADER = ("made (UTC)", "command", "added", "removed", "rows", "metric", "base", "memory", "unusual", "state")


def history(model: options.Model, as_json: options.AsJson = False, traceback: options.Traceback = False) -> None:
    """List every change of the memory: when, by which command, its rows, and what was measured then.

    What fit-residual measured is on held-out rows; what remember measured is on the new rows, before they were
    remembered. "unusual" is the larger of the two shares that remember prints.
    """
    from resmem_cli.workflow.history import history as run

    entries = run(model)
    if as_json:
        print(json.dumps([entry.to_json() for entry in entries]))
        return
    console.table(_HEADER, [_cells(entry) for entry in entries], n_left=2)


def undo(
    model: options.WrittenModel,
    wait: options.Wait = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Go back to the memory before the last fit-residual or remember; the present one is dropped.

    Rows that were forgotten stay forgotten: forget erases them from the earlier memories, too.
    """
    from resmem_cli.workflow.history import undo as run

    with console.progress(quiet) as report:
        done = run(model, wait=wait, report=report)
    by = "" if done.command is None else f" ({done.command})"
    made = "before" if done.made is None else f"of {console.time(done.made)} UTC{by}"
    console.say(
        f"back to the memory {made}: {console.count(done.n_removed, 'row')} removed, {done.n_added:,} added, "
        f"{done.n_rows:,} now -> {model}/memory.json",
        quiet=quiet,
    )
    if as_json:
        print(json.dumps(done.to_json()))


def _cells(entry: Entry) -> tuple[str, ...]:
    counts = (f"{entry.n_added:,}", f"{entry.n_removed:,}", f"{entry.n_rows:,}")
    made = "-" if entry.made is None else console.time(entry.made)
    state = {"present": "present", "kept": "kept", "gone": "-"}[entry.state]
    return (made, entry.command or "(unknown)", *counts, *_measured(entry), state)


def _measured(entry: Entry) -> tuple[str, ...]:
    found = entry.measured
    if found is None:
        return ("-",) * 4
    values = ("-" if found[name] is None else console.number(found[name]) for name in ("base", "resmem"))
    shares = [found[name] for name in ("unusual_residuals", "unusual_distances") if found.get(name) is not None]
    return (found["metric"], *values, f"{100 * max(shares):.3g} %" if shares else "-")
