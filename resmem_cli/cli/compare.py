"""`resmem compare`: parse, one call, print."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from resmem_cli.cli import console, options
from resmem_cli.cli.figures import print_metrics
from resmem_cli.cli.json_file import Output, json_file
from resmem_cli.cli.reading import NOTHING_SAID, Reading, reads

if TYPE_CHECKING:
    from resmem_cli.workflow.compare import ComparedModels


@reads
def compare(
    model_a: Annotated[
        str, typer.Argument(metavar="MODEL_A", help="A model directory, or the URI of one.", show_default=False)
    ],
    model_b: Annotated[
        str,
        typer.Argument(
            metavar="MODEL_B",
            help="Another, of the same target. A gain is positive where B is better.",
            show_default=False,
        ),
    ],
    inputs: options.Inputs,
    output: Output = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the bootstrap.")] = 0,
    threads: options.Threads = 0,
    reading: Reading = NOTHING_SAID,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Compare two models on the same labelled rows: metrics of both, gains of B over A, and their 95 % intervals."""
    source = reading.input_of(inputs)

    from resmem_cli.workflow.compare import compare as run
    from resmem_cli.workflow.inputs import refuse_overwriting

    a, b = options.read_model(model_a), options.read_model(model_b)
    if output is not None:
        for model in (a, b):
            refuse_overwriting(source, output, model)
    with json_file(output) as write, console.progress(quiet) as report:
        done = run(source, a, b, seed=seed, threads=threads, report=report)
        write(done.to_json())

    console.say(*source.note_lines, *(f"note: {note}" for note in done.notes), quiet=quiet)
    console.say_left_out(done.n_dropped, done.n_unknown_class, quiet=quiet)
    if done.unseen is not None:
        console.say(_warning(done), quiet=quiet)
    if as_json or output == "-":
        print(json.dumps(done.to_json()))
    else:
        _print(done)


def _warning(done: ComparedModels) -> str:
    counts = {done.a: done.n_seen_by_a, done.b: done.n_seen_by_b}
    (name, n), *other = [(name, n) for name, n in counts.items() if n]
    also = "".join(f", and {n:,} those of '{name}'" for name, n in other)
    of_all = f"{n:,} of the {console.count(done.n_rows, 'row')} equal training rows of '{name}'{also}"
    return f"warning: {of_all}, so {'the' if other else 'its'} metrics of all rows are too optimistic"


def _print(done: ComparedModels) -> None:
    console.tell(f"A: {done.a}", f"B: {done.b}", "")
    print_metrics(done.metrics, done.unseen, first="A", second="B")
    console.tell("", f"{done.every.described}. {done.verdict}")
