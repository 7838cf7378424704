"""`resmem evaluate`: parse, one call, print."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resmem_cli.cli import console, options
from resmem_cli.cli.engine import Engine, EngineName, NumberOfWorkers, Scheduler, workers_of
from resmem_cli.cli.figures import print_metrics
from resmem_cli.cli.json_file import Output, json_file
from resmem_cli.cli.limits import limited, percent
from resmem_cli.cli.reading import NOTHING_SAID, Reading, reads
from resmem_cli.cli.slices import print_slices

if TYPE_CHECKING:
    from resmem_cli.workflow.evaluate import Evaluation


@limited
@reads
def evaluate(
    inputs: options.Inputs,
    model: options.Model,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN,...|auto",
            help="Gain by the values of these columns, any of the input's; auto: where it stands out in any feature.",
        ),
    ] = None,
    min_gain: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT",
            parser=percent,
            help="Exit with code 5 if the lower end of the interval of the gain in the verdict is below this; give 5 "
            "for 5 %.",
        ),
    ] = None,
    limits: Mapping[str, float] | None = None,
    output: Output = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the bootstrap.")] = 0,
    interval: options.Interval = None,
    threads: options.Threads = 0,
    engine: Engine = EngineName.LOCAL,
    scheduler: Scheduler = None,
    workers: NumberOfWorkers = None,
    reading: Reading = NOTHING_SAID,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Compare the base with and without the memory on labelled rows: metrics, gains and their 95 % intervals."""
    source = reading.input_of(inputs)
    hired = workers_of(engine, scheduler, workers, threads)
    if hired is not None and by:
        raise typer.BadParameter("slices need all rows in one process: leave out --engine dask", param_hint="'--by'")

    from resmem_cli.workflow.inputs import refuse_overwriting
    from resmem_cli.workflow.thresholds import Limits

    if output is not None:
        refuse_overwriting(source, output, model)
    with json_file(output) as write, console.progress(quiet) as report:
        said: dict[str, Any] = {
            "seed": seed,
            "interval": options.level(interval),
            "limits": Limits(min_gain, limits or {}),
            "report": report,
        }
        if hired is None:
            from resmem_cli.workflow.evaluate import evaluate as run

            done = run(source, model, by=options.names(by) or by or (), threads=threads, **said)
        else:
            from resmem_cli.workflow import evaluate_on_dask

            done = evaluate_on_dask.evaluate(source, model, hired, **said)
        write(done.to_json())

    try:
        console.say(*source.note_lines, *(f"note: {note}" for note in done.notes), quiet=quiet)
        console.say_left_out(done.n_dropped, done.n_unknown_class, quiet=quiet)
        if done.n_seen:
            console.say(_warning(done), quiet=quiet)
        if as_json or output == "-":
            print(json.dumps(done.to_json()))
        else:
            _print(done, is_sliced=bool(by))
        print(end="", flush=True)
    except (BrokenPipeError, SystemExit):  # nobody reads the rest of the output
        done.refuse_missed()
        raise
    done.refuse_missed()


def _warning(done: Evaluation) -> str:
    of_all = f"warning: {done.n_seen:,} of the {console.count(done.n_rows, 'row')} equal training rows, so the metrics"
    if done.unseen is not None and done.unseen.are_enough:
        return f"{of_all} of all rows are too optimistic; the verdict is about the {done.unseen.n_rows:,} unseen rows"
    return f"{of_all} are too optimistic; evaluate on rows that the model was not trained on"


def _print(done: Evaluation, *, is_sliced: bool) -> None:
    print_metrics(done.metrics, done.unseen)
    console.tell("", f"{done.every.described}. {done.verdict}")
    if done.intervals is not None:
        intervals = done.intervals
        what, size = ("intervals", "width") if done.task == "regression" else ("sets", "number of classes")
        console.tell(
            f"Prediction {what} of level {100 * intervals.level:g} % cover {100 * intervals.coverage:.1f} % of the "
            f"rows; mean {size} {console.number(intervals.size)}."
        )
    if done.slices is not None:
        print_slices(done.slices)
    elif is_sliced:
        why = f"of the rows that were not seen in fitting {done.judged.lack}"
        console.tell("", f"No slices are shown: {why if done.judged.n_rows else 'every row was seen in fitting'}.")
