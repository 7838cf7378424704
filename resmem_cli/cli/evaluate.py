"""`resmem evaluate`: parse, one call, print."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from resmem_cli.cli import console, options

if TYPE_CHECKING:
    from resmem_cli.workflow.evaluate import Evaluation


def evaluate(
    inputs: options.Inputs,
    model: options.Model,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the bootstrap.")] = 0,
    interval: options.Interval = None,
    threads: options.Threads = 0,
    input_format: options.InputFormat = None,
    delimiter: options.Delimiter = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Compare the base with and without the memory on labelled rows: metrics, gains and their 95 % intervals."""
    source = options.input_of(inputs, input_format, delimiter)

    from resmem_cli.workflow.evaluate import evaluate as run

    with console.progress(quiet) as report:
        done = run(source, model, seed=seed, interval=options.level(interval), threads=threads, report=report)

    console.say(*source.note_lines, quiet=quiet)
    console.say_left_out(done.n_dropped, done.n_unknown_class, quiet=quiet)
    if done.n_seen:
        console.say(
            f"warning: {done.n_seen:,} of the {done.n_rows:,} rows equal training rows, so the metrics are too "
            "optimistic; evaluate on rows that the model was not trained on",
            quiet=quiet,
        )
    if as_json:
        print(json.dumps(done.to_json()))
    else:
        _print_table(done)


def _print_table(done: Evaluation) -> None:
    rows = [
        (
            name,
            console.number(compared.base),
            console.number(compared.resmem),
            console.number(compared.gain),
            f"{compared.gain_percent:+.2f} %",
            f"{compared.ci95[0]:+.2f} to {compared.ci95[1]:+.2f} %",
        )
        for name, compared in done.metrics.items()
    ]
    console.table(("metric", "base", "resmem", "gain", "gain %", "95 % interval"), rows)
    console.tell("", f"{done.n_rows:,} rows. {done.verdict}")
    if done.intervals is not None:
        intervals = done.intervals
        what, size = ("intervals", "width") if done.task == "regression" else ("sets", "number of classes")
        console.tell(
            f"Prediction {what} of level {100 * intervals.level:g} % cover {100 * intervals.coverage:.1f} % of the "
            f"rows; mean {size} {console.number(intervals.size)}."
        )
