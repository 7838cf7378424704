"""`resmem distill`: parse, one call, print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from resmem_cli.cli import console, options
from resmem_cli.cli.reading import NOTHING_SAID, Reading, reads


@reads
def distill(
    inputs: options.Inputs,
    model: options.Model,
    student: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            parser=options.written_model,
            help="The model directory to write; a base that is there is replaced.",
        ),
    ],
    estimator: Annotated[
        str,
        typer.Option(
            metavar="NAME,...|auto",
            help="Base models to fit (see fit-base --list-estimators); auto: boosting, of more than 10 classes mlp.",
        ),
    ] = "auto",
    param: options.Params = None,
    threads: options.Threads = 0,
    wait: options.Wait = False,
    reading: Reading = NOTHING_SAID,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Fit a base model without memory to the predictions of a model, for serving without a search for neighbours.

    The rows need no target. Further rows are made from them, and predicted by the model. resmem compare says what the
    new model keeps of the gain, and resmem predict --base-only predicts with it.
    """
    source = reading.input_of(inputs)
    params = options.parameters(param)

    from resmem_cli.workflow.distill import DistillOptions
    from resmem_cli.workflow.distill import distill as run

    with console.progress(quiet) as report:
        done = run(source, model, student, DistillOptions(estimator, params, threads), report, wait=wait)
    console.say(*source.note_lines, *(f"note: {note}" for note in done.notes), quiet=quiet)
    console.say(
        f"fitted {', '.join(done.estimators)} to what '{model}' predicts of {console.count(done.n_rows, 'row')} and of "
        f"{done.n_made:,} made from them -> {student}/base.json",
        f"next, what it keeps of the gain: resmem compare {model} {student} TEST",
        quiet=quiet,
    )
    if as_json:
        print(json.dumps(done.to_json()))
