"""`resmem fit-residual`: parse, one call, print."""

from __future__ import annotations

import enum
import json
from typing import Annotated, Any, cast

import typer

from resmem_cli.cli import console, memory_report, options
from resmem_cli.cli.reading import NOTHING_SAID, Reading, reads
from resmem_cli.data.sources import STDIN
from resmem_cli.errors import UsageError

REPRESENTATIONS = ("auto", "features", "sensitivity", "model", "learned")


def _representations(incomplete: str) -> list[str]:
    return [name for name in (*REPRESENTATIONS, "column:") if name.startswith(incomplete)]


class EncoderName(enum.StrEnum):
    """The encoder of a learned representation."""

    AUTO = "auto"
    DIAGONAL = "diagonal"
    LINEAR = "linear"
    MLP = "mlp"
    PERIODIC = "periodic"


class ResidualsName(enum.StrEnum):
    """Which residuals are remembered."""

    AUTO = "auto"
    IN_SAMPLE = "in-sample"
    CROSS_FITTED = "cross-fitted"


class MetricName(enum.StrEnum):
    """The metric that settings are chosen by."""

    AUTO = "auto"
    RMSE = "rmse"
    MAE = "mae"
    LOG_LOSS = "log_loss"
    ACCURACY = "accuracy"


class EffortName(enum.StrEnum):
    """How much time is spent on encoders and on choosing."""

    QUICK = "quick"
    DEFAULT = "default"
    HIGH = "high"


class BandwidthKind(enum.StrEnum):
    """The unit of a bandwidth."""

    RELATIVE = "relative"
    ABSOLUTE = "absolute"


@reads
def fit_residual(
    inputs: options.Inputs,
    model: options.WrittenModel,
    neighbors: Annotated[
        str, typer.Option(metavar="K|auto", help="Number of nearest neighbours that correct a prediction.")
    ] = "auto",
    bandwidth: Annotated[
        str,
        typer.Option(metavar="H|auto", help="Kernel bandwidth: a neighbour at distance d has the weight exp(-d/H)."),
    ] = "auto",
    bandwidth_kind: Annotated[
        BandwidthKind,
        typer.Option(help="relative: H is a fraction of the distance to the k-th neighbour. absolute: a distance."),
    ] = BandwidthKind.RELATIVE,
    shrinkage: Annotated[
        str, typer.Option(metavar="G|auto", help="Factor of the correction; 0 is the base alone.")
    ] = "auto",
    temperature: Annotated[
        str,
        typer.Option(metavar="T|auto", help="Softmax temperature of the base's probabilities (classification only)."),
    ] = "auto",
    representation: Annotated[
        str,
        typer.Option(
            metavar="|".join(REPRESENTATIONS) + "|column:NAME",
            autocompletion=_representations,
            help="Space in which neighbours are searched; column:NAME is a list column, such as an embedding.",
        ),
    ] = "auto",
    encoder: Annotated[
        EncoderName,
        typer.Option(help="Encoder of a learned representation; periodic is mlp with periodic features."),
    ] = EncoderName.AUTO,
    encoder_steps: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help="Training steps of an encoder; by default set by --effort.")
    ] = None,
    residuals: Annotated[
        ResidualsName,
        typer.Option(help="Residuals of the fitted base (in-sample) or out-of-fold residuals (cross-fitted)."),
    ] = ResidualsName.AUTO,
    memories: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=16,
            help="Largest number of corrected models that are averaged; by default set by --effort.",
        ),
    ] = None,
    metric: Annotated[
        MetricName, typer.Option(help="Metric to optimise. auto: rmse for regression, log_loss for classification.")
    ] = MetricName.AUTO,
    effort: Annotated[
        EffortName,
        typer.Option(
            envvar="RESMEM_EFFORT",
            help="quick: no encoders, at most 25,000 rows; high: encoders trained longer.",
        ),
    ] = EffortName.DEFAULT,
    valid: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Labelled rows that the base was not trained on: they alone choose the settings, and are remembered.",
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            metavar="ROWS",
            min=1,
            help="Choose settings on a uniform sample of so many rows (large groups too rarely); others are streamed.",
        ),
    ] = None,
    group: options.Group = None,
    time: options.Time = None,
    folds: Annotated[
        int, typer.Option(min=0, max=50, help="Cross-validation folds that choose the settings; 0 if all are given.")
    ] = 5,
    max_cells: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Largest number of cells (distinct points) of a memory; the nearest are merged until it is reached.",
        ),
    ] = None,
    shard_cells: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Largest number of cells of a shard, 5,000,000 by default; larger memories are cut into shards.",
        ),
    ] = None,
    m: Annotated[int, typer.Option("--M", min=2, max=128, help="Links per point of the HNSW graph.")] = 16,
    ef_construction: Annotated[
        int, typer.Option(min=8, max=4096, help="Candidates considered while building the HNSW graph.")
    ] = 200,
    ef: Annotated[
        int | None,
        typer.Option(
            min=1, max=1_000_000, help="Candidates considered while searching; by default raised until --recall is met."
        ),
    ] = None,
    recall: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the true nearest neighbours that the search must find.")
    ] = 0.99,
    keep: options.Keep = 1,
    threads: options.Threads = 0,
    wait: options.Wait = False,
    reading: Reading = NOTHING_SAID,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print the held-out metric of every candidate.")
    ] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Memorise the residuals of labelled rows; replaces the memory that is there, which resmem undo brings back.

    Settings that are "auto" are chosen by cross-validation of the whole procedure, and so is which corrected models
    are averaged. A memory that does not help is switched off.
    """
    source = reading.input_of(inputs)
    k = options.number_or_auto(neighbors, "--neighbors")
    if k is not None and (k < 1 or k != int(k)):
        raise typer.BadParameter(f"{neighbors} is not a whole number of 1 or more", param_hint="'--neighbors'")
    t = options.number_or_auto(temperature, "--temperature")
    if t == 0:
        raise typer.BadParameter(f"{temperature} is not more than 0", param_hint="'--temperature'")

    from resmem_cli.model import spaces
    from resmem_cli.model.choosing.options import MemoryOptions
    from resmem_cli.model.memory.index import SHARD_CELLS, GraphOptions
    from resmem_cli.workflow.fit_residual import fit_residual as run

    kinds = ("auto", *(kind for kind in spaces.KINDS if kind != "column"))
    if representation not in kinds and not representation.startswith("column:"):
        raise typer.BadParameter(
            f"'{representation}' is none of {', '.join(kinds)}, column:NAME", param_hint="'--representation'"
        )
    chosen = MemoryOptions(
        n_neighbors=None if k is None else int(k),
        bandwidth=options.number_or_auto(bandwidth, "--bandwidth", infinite=True),
        is_relative=bandwidth_kind is BandwidthKind.RELATIVE,
        shrinkage=options.number_or_auto(shrinkage, "--shrinkage"),
        temperature=t,
        space=None if representation == "auto" else representation,
        encoder=None if encoder is EncoderName.AUTO else cast(Any, encoder.value),
        n_steps=encoder_steps,
        residuals=None if residuals is ResidualsName.AUTO else cast(Any, residuals.value),
        n_members=memories,
        objective=None if metric is MetricName.AUTO else metric.value,
        effort=effort.value,
        n_folds=folds,
        graph=GraphOptions(m, ef_construction, ef, recall, shard_cells or SHARD_CELLS),
        most_cells=max_cells,
        threads=threads,
    )
    if valid == STDIN and STDIN in inputs:
        raise UsageError("standard input ('-') is named twice", "name a file with --valid")
    with console.progress(quiet) as report:
        new = None if valid is None else reading.input_of([valid])
        fitted = run(
            source, model, chosen, report, valid=new, sample=sample, group=group, time=time, keep=keep, wait=wait
        )

    console.say(*source.note_lines, *(() if new is None else new.note_lines), quiet=quiet)
    if verbose and not quiet:
        memory_report.print_candidates(fitted)
    if not quiet:
        memory_report.describe(fitted, recall, str(model))
    if as_json:
        print(json.dumps(fitted.to_json()))
