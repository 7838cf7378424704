"""`resmem remember` and `resmem forget`: parse, one call, print."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resmem_cli.cli import console, options
from resmem_cli.cli.reading import NOTHING_SAID, Reading, reads
from resmem_cli.errors import DataError

if TYPE_CHECKING:
    from resmem_cli.workflow.change import Changed
    from resmem_cli.workflow.drift import Drift


@reads
def remember(
    inputs: options.Inputs,
    model: options.WrittenModel,
    max_residual: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Refuse rows if a residual exceeds this; by default 100 times the 99.9 % quantile of the "
            "remembered ones (regression).",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Remember the rows however large their residuals are.")
    ] = False,
    keep: options.Keep = 1,
    threads: options.Threads = 0,
    wait: options.Wait = False,
    reading: Reading = NOTHING_SAID,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Add the residuals of labelled rows to the memory, without fitting anything again.

    A row with the id of a remembered row replaces it. Before that the rows are scored with the model as it is, and
    compared with what is remembered. resmem undo goes back.
    """
    if max_residual is not None and not max_residual >= 0:
        raise typer.BadParameter(f"{max_residual:g} is not a number of 0 or more", param_hint="'--max-residual'")
    if max_residual is not None and force:
        raise typer.BadParameter("--max-residual and --force exclude each other", param_hint="'--force'")
    source = reading.input_of(inputs)

    from resmem_cli.workflow.change import Guard
    from resmem_cli.workflow.change import remember as run

    with console.progress(quiet) as report:
        guard = Guard(max_residual, force)
        done = run(source, model, guard=guard, keep=keep, threads=threads, wait=wait, report=report)

    console.say(*source.note_lines, quiet=quiet)
    console.say_left_out(done.n_dropped, done.n_unknown_class, quiet=quiet)
    if done.n_repeated:
        console.say(
            f"note: {console.count(done.n_repeated, 'row')} left out, because a later row has the same id", quiet=quiet
        )
    replaced = f" in place of {console.count(done.n_removed, 'row')} with the same ids" if done.n_removed else ""
    console.say(
        f"remembered {console.count(done.n_added, 'row')}{replaced}: {done.n_rows:,} now{_recall(done)} -> "
        f"{model}/memory.json",
        quiet=quiet,
    )
    if done.n_equal:
        which = "1 of these rows equals a remembered row and counts twice now"
        if done.n_equal > 1:
            which = f"{done.n_equal:,} of these rows equal remembered rows and count twice now"
        console.say(f"note: {which}", quiet=quiet)
    if done.drift is not None:
        console.say(*_drift_lines(done.drift), quiet=quiet)
    if not done.is_bounded:
        console.say("note: all remembered residuals are about 0, from which no bound for new ones follows", quiet=quiet)
    if done.is_kept:
        console.say(console.KEPT, quiet=quiet)
    if as_json:
        print(json.dumps(done.to_json()))


def _drift_lines(drift: Drift) -> list[str]:
    """Return what the model made of the rows before it remembered them, and how unusual they are."""
    lines = []
    if drift.base is not None and drift.resmem is not None:
        gain = "" if drift.gain_percent is None else f", gain {drift.gain_percent:+.2f} %"
        lines.append(
            f"{drift.metric} on {console.count(drift.n_rows, 'new row')}, not remembered yet: "
            f"base {console.number(drift.base)}, with memory {console.number(drift.resmem)}{gain}"
        )
    residuals = "outside their 99 % prediction interval or set"
    if not drift.is_interval:
        residuals = "with a residual beyond that of 99 % of the remembered rows (more is usual of a base that fits "
        residuals += "these closely)"
    distances = "farther from all remembered rows than 99 % of these from each other"
    found = [(drift.residuals, residuals), (drift.distances, distances)]
    shares = [f"{100 * share:.3g} % {what}" for share, what in found if share is not None]
    if shares:
        lines.append(f"unusual rows (about 1 % is usual): {', '.join(shares)}")
    return lines + console.surprises(drift.surprises)


@reads
def forget(
    model: options.WrittenModel,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT...",
            help="Rows to forget, matched by their ids or, where rows have none, by their values.",
        ),
    ] = None,
    ids: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|ID,...",
            help="The ids of the rows to forget, or a file (- for standard input) with one id per line.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Only the rows of INPUT with this value in this column; if repeated, rows that match all.",
        ),
    ] = None,
    threads: options.Threads = 0,
    wait: options.Wait = False,
    reading: Reading = NOTHING_SAID,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Erase rows from the memory, and every trace of them from the model directory.

    What the base, the scaling and the encoders learned from them stays until base and memory are fitted again.
    """
    if (ids is None) == (not inputs):
        raise typer.BadParameter("give either --ids or INPUT", param_hint="'--ids'")
    pairs = [word.partition("=") for word in where or ()]
    for column, separator, value in pairs:
        if not separator or not column:
            raise typer.BadParameter(f"'{column}{separator}{value}' is not COLUMN=VALUE", param_hint="'--where'")
    if pairs and not inputs:
        raise typer.BadParameter("it needs INPUT, because the memory does not store columns", param_hint="'--where'")
    rows = None if not inputs else reading.input_of(inputs)
    named = [] if ids is None else _ids(ids)

    from resmem_cli.workflow.change import forget as run

    with console.progress(quiet) as report:
        done = run(
            model,
            ids=named,
            rows=rows,
            where=[(column, value) for column, _, value in pairs],
            threads=threads,
            wait=wait,
            report=report,
        )

    console.say(*(() if rows is None else rows.note_lines), quiet=quiet)
    if done.not_found:
        shown = ", ".join(f"'{name}'" for name in done.not_found[:5])
        more = f" and {len(done.not_found) - 5:,} more" if len(done.not_found) > 5 else ""
        console.say(f"note: no row has the id {shown}{more}", quiet=quiet)
    what = "rows that only an earlier memory had"
    if done.n_removed:
        what = console.count(done.n_removed, "row")
    elif done.n_trained:
        what = f"{console.count(done.n_trained, 'training row')} of the base, not remembered"
    console.say(f"forgot {what}: {done.n_rows:,} left{_recall(done)} -> {model}/memory.json", quiet=quiet)
    if done.n_trained:
        them = "it" if done.n_trained == 1 else "them"
        console.say(
            f"note: the base was trained on {console.count(done.n_trained, 'forgotten row')} and still knows "
            f"{them}; to remove that, run fit-base and fit-residual without {them}",
            quiet=quiet,
        )
    if done.n_kept:
        console.say(f"note: erased from {_memories(done.n_kept)} that undo can bring back, too", quiet=quiet)
    if done.n_lost:
        console.say(
            f"note: undo cannot bring {_memories(done.n_lost)} back any more: nothing else was in them, they were "
            "damaged, or they are equal to another one now",
            quiet=quiet,
        )
    if as_json:
        print(json.dumps(done.to_json()))


def _memories(n: int) -> str:
    return "1 earlier memory" if n == 1 else f"{n:,} earlier memories"


def _ids(text: str) -> list[str]:
    """Return the ids that an option lists, or those of the file, pipe or standard input that it names, one per line."""
    # Not by Path, to which a long list of ids is a name that is too long.
    if text == "-":
        lines = _lines(sys.stdin.buffer.read(), "standard input")
    elif os.path.exists(text) and not os.path.isdir(text):  # noqa: PTH110, PTH112
        lines = _lines(Path(text).read_bytes(), f"'{text}'")
    else:
        lines = [name for line in text.splitlines() for name in options.names([line])]
    ids = [line for line in lines if line.strip()]
    if not ids:
        raise typer.BadParameter(f"'{text}' names no id", param_hint="'--ids'")
    return ids


def _lines(data: bytes, name: str) -> list[str]:
    try:
        return data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{name}, line {line:,} is not UTF-8 text", "write the ids as UTF-8, one per line") from error


def _recall(done: Changed) -> str:
    recalls = [recall for recall in done.recall if recall is not None]
    return f", recall {min(recalls):.3f}" if recalls else ""
