"""`resmem predict`: parse, one call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resmem_cli.cli import console, options
from resmem_cli.cli.reading import NOTHING_SAID, Reading, reads
from resmem_cli.data.sources import Format


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
        Path | None,
        typer.Option(metavar="DIR", help="Write one output per input file, of the same name, in this directory."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="With --output-dir: skip inputs whose output is newer than the input and the model."
        ),
    ] = False,
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
    reading: Reading = NOTHING_SAID,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Predict rows: adds prediction, prediction_base and, for classification, probability to the input's columns."""
    source = reading.input_of(inputs)

    if output_dir is not None and output != "-":
        raise typer.BadParameter("--output and --output-dir exclude each other", param_hint="'--output-dir'")
    if resume and output_dir is None:
        raise typer.BadParameter("it needs --output-dir", param_hint="'--resume'")
    if output_dir is None:
        options.refuse_terminal(output, output_format)

    from resmem_cli.data.rows import leave_pandas_out
    from resmem_cli.workflow.predict import PredictOptions, predict_each
    from resmem_cli.workflow.predict import predict as run
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
    )
    leave_pandas_out()
    with console.progress(quiet, output=output if output_dir is None else None) as report:
        if output_dir is None:
            done = run(source, model, chosen, report)
        else:
            done = predict_each(source, model, output_dir, chosen, report, resume=resume)

    console.say(*source.note_lines, *console.surprises(done.surprises), quiet=quiet)
    if done.surprises.not_finite:
        rows = console.count(done.surprises.not_finite, "row")
        console.say(f"note: the prediction of {rows} is not finite", quiet=quiet)
    files = "" if output_dir is None else f" of {done.n_files:,} files"
    kept = f"; {console.count(done.n_kept, 'file')} skipped, already up to date" if done.n_kept else ""
    rate = done.n_rows / max(done.seconds, 1e-9)
    console.say(
        f"predicted {done.n_rows:,} rows{files} in {done.seconds:.2f} s ({rate:,.0f} rows/s){kept}", quiet=quiet
    )
