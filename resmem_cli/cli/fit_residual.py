"""`resmem fit-residual`: parse, one call, print."""

from __future__ import annotations

import enum
import json
from typing import Annotated, Any, cast

import typer

from resmem_cli.cli import console, memory_report, options

_REPRESENTATIONS = ("auto", "features", "sensitivity", "model", "learned")


def _representations(incomplete: str) -> list[str]:
    return [name for name in (*_REPRESENTATIONS, "column:") if name.startswith(incomplete)]


class EncoderName(enum.StrEnum):
    """What a learned representation is computed by."""

    AUTO = "auto"
    DIAGONAL = "diagonal"
    LINEAR = "linear"
    MLP = "mlp"
    PERIODIC = "periodic"


class ResidualsName(enum.StrEnum):
    """Whose residuals are remembered."""

    AUTO = "auto"
    IN_SAMPLE = "in-sample"
    CROSS_FITTED = "cross-fitted"


class MetricName(enum.StrEnum):
    """What the folds make best."""

    AUTO = "auto"
    RMSE = "rmse"
    MAE = "mae"
    LOG_LOSS = "log_loss"
    ACCURACY = "accuracy"


class EffortName(enum.StrEnum):
    """How much time choosing may take."""

    QUICK = "quick"
    DEFAULT = "default"
    HIGH = "high"


class BandwidthKind(enum.StrEnum):
    """What a bandwidth is a number of."""

    RELATIVE = "relative"
    ABSOLUTE = "absolute"


Setting = Annotated[str, typer.Option(metavar="X|auto")]


def fit_residual(
    inputs: options.Inputs,
    model: options.Model,
    neighbors: Annotated[
        str, typer.Option(metavar="K|auto", help="How many neighbours correct a prediction.")
    ] = "auto",
    bandwidth: Annotated[
        str, typer.Option(metavar="H|auto", help="How fast a neighbour's weight falls with its distance d: exp(-d/H).")
    ] = "auto",
    bandwidth_kind: Annotated[
        BandwidthKind,
        typer.Option(help="Whether H is a fraction of the distance to the last neighbour, or a distance."),
    ] = BandwidthKind.RELATIVE,
    shrinkage: Annotated[
        str, typer.Option(metavar="G|auto", help="How much of the correction is added; 0 is the base alone.")
    ] = "auto",
    temperature: Annotated[
        str, typer.Option(metavar="T|auto", help="Temperature of the base's probabilities (classes only).")
    ] = "auto",
    representation: Annotated[
        str,
        typer.Option(
            metavar="|".join(_REPRESENTATIONS) + "|column:NAME",
            autocompletion=_representations,
            help="Where distances are taken. features: the columns, on one scale. sensitivity: the same, each in "
            "proportion to how far it moves the base's prediction. model: what the base computes (a network's last "
            "hidden layer, groups of trees, a linear model's terms). learned: an encoder trained so that neighbours "
            "explain the residual. column:NAME: a column of lists of numbers, such as an embedding.",
        ),
    ] = "auto",
    encoder: Annotated[
        EncoderName,
        typer.Option(
            help="Of a learned representation: a scale per input (diagonal), a linear map beside it (linear), a "
            "network (mlp), or one that also reads waves of numbers (periodic), which those of two values have not. "
            "auto: as --effort says; periodic only where 1 to 100 numbers have waves."
        ),
    ] = EncoderName.AUTO,
    encoder_steps: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help="How long an encoder is trained; --effort says otherwise.")
    ] = None,
    residuals: Annotated[
        ResidualsName,
        typer.Option(
            help="Of the base as it is (in-sample), or of bases that were fitted without the row (cross-fitted), which "
            "leave something to remember where a base fits its own rows perfectly. auto: the latter are tried where "
            "it does."
        ),
    ] = ResidualsName.AUTO,
    memories: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=16,
            help="How many corrected models may share the prediction; --effort says otherwise.",
        ),
    ] = None,
    metric: Annotated[
        MetricName, typer.Option(help="What the folds make best. auto: rmse of numbers, log_loss of classes.")
    ] = MetricName.AUTO,
    effort: Annotated[
        EffortName,
        typer.Option(
            envvar="RESMEM_EFFORT",
            help="quick: no encoders, at most four memories. default: mlp and periodic encoders on the first base and "
            "on the last, trained for 1,000 steps (fewer below 20,000 rows), at most six memories. high: linear, mlp "
            "and periodic encoders on every base, 2,000 steps, six memories.",
        ),
    ] = EffortName.DEFAULT,
    valid: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Further labelled rows, which the base was not trained on: the settings are chosen by these alone, "
            "and by a memory that holds none of them; then they are remembered too. For a base from elsewhere, whose "
            "training rows are not known, and for rows that are held out in whole groups or in time.",
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=0, max=50, help="How many folds choose the settings; 0 to choose nothing.")
    ] = 5,
    max_cells: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many cells (rows of distinct representation) a memory may have: the nearest are merged until no "
            "more are left, and it is said what that costs.",
        ),
    ] = None,
    m: Annotated[int, typer.Option("--M", min=2, max=128, help="Links per point of the search graph.")] = 16,
    ef_construction: Annotated[
        int, typer.Option(min=8, max=4096, help="Candidates considered while building the graph.")
    ] = 200,
    ef: Annotated[
        int | None,
        typer.Option(min=1, max=1_000_000, help="Candidates considered while searching; raised until --recall holds."),
    ] = None,
    recall: Annotated[
        float, typer.Option(min=0, max=1, help="The share of true neighbours that the search must find.")
    ] = 0.99,
    threads: options.Threads = 0,
    wait: options.Wait = False,
    input_format: options.InputFormat = None,
    delimiter: options.Delimiter = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print what the folds said of every representation.")
    ] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Memorise the residuals of labelled rows; replaces the memory that is there.

    What is "auto" is chosen by folds of the whole procedure: also which of several bases, and the mean of which
    corrected models. A memory that does not help is switched off.
    """
    source = options.input_of(inputs, input_format, delimiter)
    k = options.number_or_auto(neighbors, "--neighbors")
    if k is not None and (k < 1 or k != int(k)):
        raise typer.BadParameter(f"{neighbors} is not a whole number of 1 or more", param_hint="'--neighbors'")
    if representation not in _REPRESENTATIONS and not representation.startswith("column:"):
        raise typer.BadParameter(
            f"'{representation}' is none of {', '.join(_REPRESENTATIONS)}, column:NAME", param_hint="'--representation'"
        )
    t = options.number_or_auto(temperature, "--temperature")
    if t == 0:
        raise typer.BadParameter(f"{temperature} is not more than 0", param_hint="'--temperature'")

    from resmem_cli.model.choosing.options import MemoryOptions
    from resmem_cli.model.memory.index import GraphOptions
    from resmem_cli.workflow.fit_residual import fit_residual as run

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
        graph=GraphOptions(m, ef_construction, ef, recall),
        most_cells=max_cells,
        threads=threads,
    )
    with console.progress(quiet) as report:
        new = None if valid is None else options.input_of([valid], input_format, delimiter)
        fitted = run(source, model, chosen, report, valid=new, wait=wait)

    console.say(*source.told, *(() if new is None else new.told), quiet=quiet)
    if verbose and not quiet:
        memory_report.print_candidates(fitted)
    if not quiet:
        memory_report.describe(fitted, recall, str(model))
    if as_json:
        print(json.dumps(fitted.to_json()))
