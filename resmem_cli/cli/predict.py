"""`resmem predict`: parse, one call, print."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resmem_cli.cli import console, options
from resmem_cli.cli.engine import Engine, EngineName, NumberOfWorkers, Scheduler, workers_of
from resmem_cli.cli.reading import NOTHING_SAID, Reading, reads
from resmem_cli.data.sources import STDIN, Format
from resmem_cli.errors import UsageError

if TYPE_CHECKING:
    from resmem_cli.data.places import Place
    from resmem_cli.workflow.cluster import Workers
    from resmem_cli.workflow.inputs import Input, Report
    from resmem_cli.workflow.predict import PredictOptions
    from resmem_cli.workflow.predict_files import FilesOptions
    from resmem_cli.workflow.predicted import Predicted

_MOST_SHOWN = 10  # files that failed


@reads
def predict(
    inputs: options.Inputs,
    model: options.Model,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The output file; - is standard output.")
    ] = "-",
    output_format: Annotated[
        Format | None, typer.Option(help="Format of the output; by default from its file name.")
    ] = None,
    output_dir: Annotated[
        Any,
        typer.Option(
            metavar="DIR",
            parser=options.output_directory,
            help="Write one output per input file, of the same name, in this directory or URI.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="With --output-dir: skip inputs whose output was made of the same input, model and options.",
        ),
    ] = False,
    keep_going: Annotated[
        bool,
        typer.Option(
            "--keep-going",
            help="With --output-dir: leave out files that cannot be predicted, do the others, and exit with code 6.",
        ),
    ] = False,
    failures: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="With --keep-going: write the files left out, with reasons, as JSON lines."),
    ] = None,
    keep: Annotated[
        str, typer.Option(metavar="all|none|id|COLUMN,...", help="Input columns to copy to the output.")
    ] = "all",
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="Prefix of the names of the added columns.")] = "",
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Add one column probability_<class> per class.")
    ] = False,
    support: Annotated[
        bool,
        typer.Option(
            "--support",
            help="Add distance_percentile: how far the nearest remembered row is; near 100, it is unlike all of them.",
        ),
    ] = False,
    interval: options.Interval = None,
    base_only: Annotated[bool, typer.Option("--base-only", help="Predict with the base alone.")] = False,
    batch_rows: Annotated[
        int | None,
        typer.Option(
            min=1, max=1 << 24, help="Rows per batch and thread; 32768 unless given, fewer of more than 64 columns."
        ),
    ] = None,
    threads: options.Threads = 0,
    engine: Engine = EngineName.LOCAL,
    scheduler: Scheduler = None,
    workers: NumberOfWorkers = None,
    metrics: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write figures of the run for Prometheus' textfile collector."),
    ] = None,
    reading: Reading = NOTHING_SAID,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Predict rows: adds prediction, prediction_base and, for classification, probability to the input's columns."""
    source = reading.input_of(inputs)

    hired = workers_of(engine, scheduler, workers, threads)
    if output_dir is not None and output != "-":
        raise typer.BadParameter("--output and --output-dir exclude each other", param_hint="'--output-dir'")
    of_files = {"--resume": resume, "--keep-going": keep_going, "--engine dask": hired is not None}
    for name in (name for name, is_given in of_files.items() if is_given and output_dir is None):
        raise typer.BadParameter("it needs --output-dir", param_hint=f"'{name}'")
    if failures is not None and not keep_going:
        raise typer.BadParameter("it needs --keep-going", param_hint="'--failures'")
    if as_json and output_dir is None and output == "-":
        raise typer.BadParameter("it needs --output or --output-dir", param_hint="'--json'")
    beside = {option: path for option, path in (("--failures", failures), ("--metrics", metrics)) if path is not None}
    _refuse_mixture(beside, "--json" if as_json else "--output" if output_dir is None and output == STDIN else None)
    if output_dir is None and not as_json:
        options.refuse_terminal(output, output_format)

    from resmem_cli.data.rows import leave_pandas_out
    from resmem_cli.workflow.predict import PredictOptions
    from resmem_cli.workflow.predict import predict as run
    from resmem_cli.workflow.predict_files import FilesOptions
    from resmem_cli.workflow.scoring import ScoreOptions

    chosen = PredictOptions(
        output=output,
        format=output_format,
        score=ScoreOptions(
            keep=keep if keep in ("all", "none", "id") else options.names([keep]),
            prefix=prefix,
            with_probabilities=probabilities,
            with_support=support,
            interval=options.level(interval),
            base_only=base_only,
        ),
        batch_rows=batch_rows,
        threads=threads,
        beside=beside,
    )
    leave_pandas_out()
    with console.progress(quiet, output=output if output_dir is None else None) as report:
        if output_dir is None:
            done = run(source, model, chosen, report)
        else:
            files = FilesOptions(output_dir, resume, keep_going)
            done = _predict_files(source, model, chosen, files, hired, report)

    _write_beside(done, failures, metrics)
    if as_json:
        print(json.dumps(done.to_json()))
    _say(done, source.note_lines, is_of_files=output_dir is not None, quiet=quiet)
    if done.failures:
        _refuse_failures(done, failures)


def _refuse_mixture(beside: Mapping[str, str], other: str | None) -> None:
    """Refuse two outputs on standard output, which would be of one another's format.

    Args:
        beside: what the options write that are not for predictions.
        other: the option that writes to standard output in any case.
    """
    written = [*([] if other is None else [other]), *(option for option, path in beside.items() if path == STDIN)]
    if len(written) > 1:
        first, second = written[:2]
        raise UsageError(f"{first} and {second} both write to standard output", f"name a file with {second}")


def _write_beside(done: Predicted, failures: str | None, metrics: str | None) -> None:
    """Write the files of a run that are not predictions."""
    from resmem_cli.workflow import job_files

    try:
        if failures is not None:
            job_files.write_failures(failures, done)
        if metrics is not None:
            job_files.write_metrics(metrics, done)
    except BrokenPipeError:  # nobody reads the rest, but the code still says what came of it
        if not done.failures:
            raise


def _predict_files(
    source: Input, model: Place, chosen: PredictOptions, files: FilesOptions, workers: Workers | None, report: Report
) -> Predicted:
    if workers is None:
        from resmem_cli.workflow.predict_files import predict_files

        return predict_files(source, model, chosen, files, report)
    from resmem_cli.workflow import predict_on_dask

    return predict_on_dask.predict_files(source, model, chosen, files, workers, report=report)


def _say(done: Predicted, notes: Sequence[str], *, is_of_files: bool, quiet: bool) -> None:
    found = done.surprises
    console.say(*notes, *console.surprises(found), quiet=quiet)
    if found.not_finite:
        rows = console.count(found.not_finite, "row")
        console.say(f"note: the prediction of {rows} is not finite", quiet=quiet)
    if done.again:
        reasons = ", ".join(f"{why} {n:,}" for why, n in done.again.items())
        console.say(f"note: {console.count(done.again.total(), 'output')} made again: {reasons}", quiet=quiet)
    files = f" of {console.count(done.n_files, 'file')}" if is_of_files else ""
    kept = f"; {console.count(done.n_kept, 'file')} skipped, already up to date" if done.n_kept else ""
    console.say(
        f"predicted {done.n_rows:,} rows{files} in {done.seconds:.2f} s ({done.rate:,.0f} rows/s){kept}",
        quiet=quiet,
    )


def _refuse_failures(done: Predicted, listed: str | None) -> None:
    """Name the first files that failed, and end with the exit code of that."""
    from resmem_cli.errors import PartialError

    shown = done.failures[:_MOST_SHOWN]
    for failure in shown:
        said = failure.error.message
        is_named = said.startswith(failure.input) or f"'{failure.input}'" in said
        name = "" if is_named else f"{failure.input}: "
        console.say(f"failed: {name}{failure.error}", quiet=False)
    n_more = len(done.failures) - len(shown)
    n_all = done.n_files + done.n_kept + len(done.failures)
    unseen = f", {n_more:,} not shown" if n_more else ""
    where = "--failures FILE lists them" if listed is None else f"'{listed}' lists them"
    if listed == STDIN:
        where = "standard output lists them"
    raise PartialError(
        f"{len(done.failures):,} of {n_all:,} files could not be predicted{unseen}",
        f"{where}; correct them and run again with --resume",
    )
