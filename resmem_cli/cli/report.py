"""`resmem report`: parse, one call, print."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from resmem_cli.cli import console, options
from resmem_cli.cli.reading import NOTHING_SAID, Reading, reads
from resmem_cli.data import places, uris
from resmem_cli.data.sources import STDIN
from resmem_cli.errors import UsageError


@reads
def report(
    inputs: options.Inputs,
    model: options.Model,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The HTML file to write; - is standard output.")
    ] = STDIN,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN,...|auto", help="Columns to give the gain by; by default auto, all features."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the bootstrap.")] = 0,
    threads: options.Threads = 0,
    reading: Reading = NOTHING_SAID,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Write what evaluate measures as a page to show: one HTML file with pictures, without scripts."""
    source = reading.input_of(inputs)

    from resmem_cli.data.output import opened
    from resmem_cli.report.page import page, refuse_without_library
    from resmem_cli.workflow.diagnose import diagnose
    from resmem_cli.workflow.inputs import refuse_overwriting
    from resmem_cli.workflow.slices import AUTO

    refuse_without_library()
    if options.is_terminal(output):
        raise UsageError(
            "a page is HTML, which a terminal does not show", "name a file with --output, or redirect it with | or >"
        )
    refuse_overwriting(source, output, model)
    shown = [uris.shown(word) for word in inputs]
    names = ["standard input" if word == STDIN else places.place(word).name or word for word in shown]
    with opened(output) as stream, console.progress(quiet, output=output) as progress:
        found = diagnose(
            source, model, seed=seed, by=options.names(by) or by or [AUTO], threads=threads, report=progress
        )
        again = _again(shown, model, output, by or [], seed, reading)
        stream.write(page(found, source=", ".join(names), command=again).html.encode())

    evaluation = found.evaluation
    console.say(*source.note_lines, *(f"note: {note}" for note in evaluation.notes), quiet=quiet)
    console.say_left_out(evaluation.n_dropped, evaluation.n_unknown_class, quiet=quiet)
    console.say(f"{evaluation.every.described}. {evaluation.verdict}", quiet=quiet)


def _again(
    inputs: Sequence[str],
    model: Any,
    output: str,
    by: Sequence[str],
    seed: int,
    reading: Reading,
) -> str:
    """Return the command that makes the page again."""
    words = ["resmem", "report", *inputs, "--model", places.word(model)]
    words += [word for column in by for word in ("--by", column)]
    words += ["--seed", str(seed)] if seed else []
    return shlex.join([*words, *reading.words, "--output", output])
