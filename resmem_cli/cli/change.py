"""`resmem remember` and `resmem forget`: parse, one call, print."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resmem_cli.cli import console, options

if TYPE_CHECKING:
    from resmem_cli.workflow.change import Changed


def remember(
    inputs: options.Inputs,
    model: options.Model,
    threads: options.Threads = 0,
    wait: options.Wait = False,
    input_format: options.InputFormat = None,
    delimiter: options.Delimiter = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Add labelled rows to the memory: what the base leaves unexplained of them, without fitting anything again.

    Where rows have ids, those replace remembered rows of the same id.
    """
    source = options.input_of(inputs, input_format, delimiter)

    from resmem_cli.workflow.change import remember as run

    with console.progress(quiet) as report:
        done = run(source, model, threads=threads, wait=wait, report=report)

    if done.n_dropped:
        console.say(f"note: {done.n_dropped:,} rows have no target (or no weight) and are left out", quiet=quiet)
    replaced = f", {done.n_removed:,} of them in place of rows of the same id" if done.n_removed else ""
    console.say(
        f"remembered {done.n_added:,} rows{replaced}: {done.n_rows:,} now{_recall(done)} -> {model}/memory.json",
        quiet=quiet,
    )
    _print_json(done, as_json=as_json)


def forget(
    model: options.Model,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[INPUT...]", help="Labelled rows to forget, found again by what is in them."),
    ] = None,
    ids: Annotated[
        str | None,
        typer.Option(metavar="FILE|ID,...", help="The ids of the rows to forget, or a file with one id per line."),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(metavar="COLUMN=VALUE", help="Of INPUT, only the rows that have this value in this column."),
    ] = None,
    threads: options.Threads = 0,
    wait: options.Wait = False,
    input_format: options.InputFormat = None,
    delimiter: options.Delimiter = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Erase rows from the memory, and every trace of them from the model directory.

    What the base, scales and encoders learned from them stays until both are fitted again.
    """
    if (ids is None) == (not inputs):
        raise typer.BadParameter("give either --ids, or the rows themselves", param_hint="'--ids'")
    column, separator, value = (where or "").partition("=")
    if where is not None and not (inputs and separator and column):
        hint = "the memory keeps no columns: give the rows with it" if separator else f"'{where}' is not COLUMN=VALUE"
        raise typer.BadParameter(hint, param_hint="'--where'")
    rows = None if not inputs else options.input_of(inputs, input_format, delimiter)
    named = [] if ids is None else _ids(ids)

    from resmem_cli.workflow.change import forget as run

    with console.progress(quiet) as report:
        done = run(
            model,
            ids=named,
            rows=rows,
            where=(column, value) if where is not None else None,
            threads=threads,
            wait=wait,
            report=report,
        )

    if done.not_found:
        shown = ", ".join(f"'{each}'" for each in done.not_found[:5])
        more = f" and {len(done.not_found) - 5:,} more" if len(done.not_found) > 5 else ""
        console.say(f"note: no row is remembered of {shown}{more}", quiet=quiet)
    console.say(
        f"forgot {done.n_removed:,} rows: {done.n_rows:,} left{_recall(done)} -> {model}/memory.json", quiet=quiet
    )
    if done.n_trained:
        console.say(
            f"note: the base was fitted on {done.n_trained:,} of them and still knows them; to undo that, run fit-base "
            "and fit-residual with the other rows",
            quiet=quiet,
        )
    _print_json(done, as_json=as_json)


def _ids(text: str) -> list[str]:
    # Not by Path.is_file, to which a long list of ids is a name that is too long.
    is_file = os.path.isfile(text)  # noqa: PTH113
    lines = Path(text).read_text(encoding="utf-8").splitlines() if is_file else options.names([text])
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise typer.BadParameter(f"'{text}' names no id", param_hint="'--ids'")
    return found


def _recall(done: Changed) -> str:
    known = [each for each in done.recall if each is not None]
    return f", recall {min(known):.3f}" if known else ""


def _print_json(done: Changed, *, as_json: bool) -> None:
    if as_json:
        said = asdict(done)
        names = {"n_rows": "rows", "n_added": "added", "n_removed": "removed", "n_dropped": "dropped"}
        print(json.dumps({names.get(name, name): value for name, value in said.items()}))
