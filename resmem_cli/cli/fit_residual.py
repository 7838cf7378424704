"""`resmem fit-residual`: parse, one call, print."""

from __future__ import annotations

import enum
import json
import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resmem_cli.cli import console, options

if TYPE_CHECKING:
    from resmem_cli.workflow.fit_residual import FittedMemory


class RepresentationName(enum.StrEnum):
    """What it means for two rows to be near each other."""

    AUTO = "auto"
    FEATURES = "features"
    SENSITIVITY = "sensitivity"
    MODEL = "model"
    LEARNED = "learned"


class EncoderName(enum.StrEnum):
    """What a learned representation is computed by."""

    AUTO = "auto"
    DIAGONAL = "diagonal"
    LINEAR = "linear"
    MLP = "mlp"


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
        RepresentationName,
        typer.Option(
            help="Where distances are taken. features: the columns, on one scale. sensitivity: the same, each in "
            "proportion to how far it moves the base's prediction. model: what the base computes (a network's last "
            "hidden layer, groups of trees, a linear model's terms). learned: an encoder trained so that neighbours "
            "explain the residual."
        ),
    ] = RepresentationName.AUTO,
    encoder: Annotated[
        EncoderName,
        typer.Option(
            help="Of a learned representation: a scale per input and beside it nothing, a linear map, or a network."
        ),
    ] = EncoderName.AUTO,
    encoder_steps: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help="How long an encoder is trained; --effort says otherwise.")
    ] = None,
    effort: Annotated[
        EffortName,
        typer.Option(
            envvar="RESMEM_EFFORT",
            help="quick: no encoders. default: linear and mlp, 400 steps. high: every kind, 1,500 steps.",
        ),
    ] = EffortName.DEFAULT,
    folds: Annotated[
        int, typer.Option(min=0, max=50, help="How many folds choose the settings; 0 to choose nothing.")
    ] = 5,
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

    What is "auto" is chosen by folds of the whole procedure. A memory that does not help is switched off.
    """
    source = options.input_of(inputs, input_format, delimiter)
    k = options.number_or_auto(neighbors, "--neighbors")
    if k is not None and (k < 1 or k != int(k)):
        raise typer.BadParameter(f"{neighbors} is not a whole number of 1 or more", param_hint="'--neighbors'")
    t = options.number_or_auto(temperature, "--temperature")
    if t == 0:
        raise typer.BadParameter(f"{temperature} is not more than 0", param_hint="'--temperature'")

    from resmem_cli.model.memory import GraphOptions
    from resmem_cli.workflow.fit_residual import MemoryOptions
    from resmem_cli.workflow.fit_residual import fit_residual as run

    chosen = MemoryOptions(
        n_neighbors=None if k is None else int(k),
        bandwidth=options.number_or_auto(bandwidth, "--bandwidth", infinite=True),
        is_relative=bandwidth_kind is BandwidthKind.RELATIVE,
        shrinkage=options.number_or_auto(shrinkage, "--shrinkage"),
        temperature=t,
        representation=None if representation is RepresentationName.AUTO else representation.value,
        encoder=None if encoder is EncoderName.AUTO else encoder.value,
        n_steps=encoder_steps,
        effort=effort.value,
        n_folds=folds,
        graph=GraphOptions(m, ef_construction, ef, recall),
        threads=threads,
    )
    with console.progress(quiet) as report:
        fitted = run(source, model, chosen, report)

    if verbose and not quiet:
        _print_candidates(fitted)
    if not quiet:
        _describe(fitted, recall, str(model))
    if as_json:
        print(json.dumps(_as_json(fitted)))


def _describe(fitted: FittedMemory, asked_recall: float, model: str) -> None:
    selection, settings = fitted.selection, fitted.settings
    if fitted.n_dropped:
        console.say(f"note: {fitted.n_dropped:,} rows have no target (or no weight) and are left out", quiet=False)
    if selection is not None and not fitted.is_switched_off:
        _describe_folds(fitted)
    if settings.shrinkage == 0:
        why = " (--shrinkage 0)" if fitted.is_switched_off else ""
        console.say(f"the memory is off{why}: predictions are the base's", quiet=False)
    found = ", exact search" if fitted.recall is None else f", recall {fitted.recall:.3f} of its neighbours"
    if fitted.recall is not None and fitted.recall < asked_recall:
        found += f" (below the {asked_recall:g} asked for: raise --M or --ef-construction)"
    kind = "relative" if settings.is_relative else "absolute"
    console.say(
        f"memorised {fitted.n_rows:,} rows in {fitted.n_cells:,} cells: representation {fitted.representation}, "
        f"k {settings.n_neighbors}, bandwidth {settings.bandwidth:g} ({kind}), "
        f"shrinkage {settings.shrinkage:g}, temperature {settings.temperature:g}{found} -> {model}/memory.json",
        quiet=False,
    )


def _print_candidates(fitted: FittedMemory) -> None:
    """Print, best first, the best settings of every representation and the held-out loss they had."""
    selection = fitted.selection
    if selection is None:
        return
    loss = "rmse" if fitted.is_regression else "log_loss"
    header = ("representation", "k", "bandwidth", "kind", "shrinkage", "temperature", f"held-out {loss}")
    rows = [
        (
            candidate.representation,
            str(candidate.settings.n_neighbors),
            f"{candidate.settings.bandwidth:g}",
            "relative" if candidate.settings.is_relative else "absolute",
            f"{candidate.settings.shrinkage:g}",
            f"{candidate.settings.temperature:g}",
            console.number(math.sqrt(candidate.loss) if fitted.is_regression else candidate.loss),
        )
        for candidate in selection.candidates
    ]
    console.table(header, rows, stderr=True)


def _describe_folds(fitted: FittedMemory) -> None:
    selection = fitted.selection
    if selection is None:
        return
    figures = _figures(fitted)
    how = "the base fitted anew without them" if selection.refitted else "new to the base"
    console.say(
        f"{figures['metric']} of {selection.n_queries:,} held-out rows ({how}): "
        f"base {figures['base']:.5g}, with memory {figures['resmem']:.5g}, "
        f"gain {figures['gain_percent']:+.2f} % (standard error {figures['standard_error_percent']:.2f} %)",
        quiet=False,
    )
    if not selection.helps:
        forced = selection.forced and fitted.settings.shrinkage > 0
        console.say(
            "memory does not help here: the gain does not exceed its standard error"
            + ("; it is used because --shrinkage says so" if forced else ""),
            quiet=False,
        )


def _figures(fitted: FittedMemory) -> dict[str, Any]:
    """The folds' figures in the metric that people read: RMSE rather than squared error."""
    selection = fitted.selection
    if selection is None:
        return {}
    base, resmem, error = selection.base_loss, selection.resmem_loss, selection.standard_error
    if fitted.is_regression:
        # d sqrt(x) = dx / (2 sqrt(x)) carries the standard error over.
        base, resmem, error = math.sqrt(base), math.sqrt(resmem), error / (2 * math.sqrt(base)) if base else 0.0
    return {
        "metric": "rmse" if fitted.is_regression else "log_loss",
        "base": base,
        "resmem": resmem,
        "gain_percent": 100 * (base - resmem) / base if base else 0.0,
        "standard_error_percent": 100 * error / base if base else 0.0,
        "helps": selection.helps,
        "folds": selection.n_folds,
        "refitted": selection.refitted,
    }


def _as_json(fitted: FittedMemory) -> dict[str, Any]:
    settings = fitted.settings
    return {
        "rows": fitted.n_rows,
        "cells": fitted.n_cells,
        "representation": fitted.representation,
        "neighbors": settings.n_neighbors,
        "bandwidth": settings.bandwidth if math.isfinite(settings.bandwidth) else "inf",
        "bandwidth_kind": "relative" if settings.is_relative else "absolute",
        "shrinkage": settings.shrinkage,
        "temperature": settings.temperature,
        "recall": fitted.recall,
        "measured": _figures(fitted) or None,
    }
