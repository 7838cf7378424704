"""What `resmem fit-residual` says of memories: in sentences, as a table of candidates, and as JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from resmem_cli.cli import console

if TYPE_CHECKING:
    from resmem_cli.model.kernel import Settings
    from resmem_cli.model.selection import Selection
    from resmem_cli.workflow.fit_residual import BuiltMemory, FittedMemory


def describe(fitted: FittedMemory, asked_recall: float, model: str) -> None:
    """Say what the folds measured, what was chosen and what was built, on standard error."""
    selection = fitted.selection
    if fitted.n_dropped:
        console.say(f"note: {fitted.n_dropped:,} rows have no target (or no weight) and are left out", quiet=False)
    if fitted.too_few is not None and not fitted.is_switched_off:
        from resmem_cli.model.selection import LEAST_HELD_OUT

        console.say(
            f"note: only {console.count(fitted.too_few, 'row')} could be held out, which says nothing of a gain; give "
            f"at least {LEAST_HELD_OUT} labelled rows with different features, that are new to the base if they are "
            "given with --valid",
            quiet=False,
        )
    if selection is not None and not fitted.is_switched_off:
        _describe_folds(selection, fitted)
    _warn_of_rows_that_trained_the_base(fitted)
    if not fitted.uses_memory:
        why = " (--shrinkage 0)" if fitted.is_switched_off else ""
        console.say(f"the memory is off{why}: predictions are the base's", quiet=False)
    for memory in fitted.memories:
        console.say(_sentence(memory, fitted, asked_recall) + f" -> {model}/memory.json", quiet=False)


def _warn_of_rows_that_trained_the_base(fitted: FittedMemory) -> None:
    if fitted.own_losses is not None and fitted.looks_trained_on:
        own, other = fitted.own_losses
        console.say(
            f"note: the base's {fitted.objective} is {own:.4g} on the rows to remember and {other:.4g} on those of "
            "--valid: it was probably trained on the former, whose residuals then say little; remember other rows",
            quiet=False,
        )
    elif not fitted.can_refit and fitted.own_losses is None and fitted.selection is not None:
        console.say(
            "note: which rows trained the base is not known: if it was these, the gain is not to be believed; "
            "remember rows that are new to it, or give some with --valid",
            quiet=False,
        )


def _sentence(memory: BuiltMemory, fitted: FittedMemory, asked_recall: float) -> str:
    found = ", exact search" if memory.recall is None else f", recall {memory.recall:.3f} of its neighbours"
    if memory.recall is not None and memory.recall < asked_recall:
        found += f" (below the {asked_recall:g} asked for: raise --M or --ef-construction)"
    several = len(fitted.memories) > 1
    share = f"{100 * memory.weight:.3g} % of the prediction: " if several else ""
    whose = f"base {memory.estimator}, " if len(fitted.estimators) > 1 else ""
    crossed = ", cross-fitted residuals" if memory.residuals == "cross-fitted" else ""
    settings = memory.settings
    return (
        f"{share}memorised {fitted.n_rows:,} rows in {memory.n_cells:,} cells: {whose}"
        f"representation {memory.representation}{crossed}, k {settings.n_neighbors}, "
        f"bandwidth {settings.bandwidth:g} ({_bandwidth_kind(settings)}), "
        f"shrinkage {settings.shrinkage:g}, temperature {settings.temperature:g}{found}"
    )


def print_candidates(fitted: FittedMemory) -> None:
    """Print, best first, the best settings of every place and the held-out loss they had."""
    selection = fitted.selection
    if selection is None:
        return
    header = (
        "base",
        "representation",
        "residuals",
        "k",
        "bandwidth",
        "kind",
        "shrinkage",
        "temperature",
        f"held-out {selection.objective}",
        "± SE",
    )
    rows = [
        (
            fitted.estimators[candidate.place.base],
            candidate.place.representation,
            candidate.place.residuals,
            str(candidate.settings.n_neighbors),
            f"{candidate.settings.bandwidth:g}",
            _bandwidth_kind(candidate.settings),
            f"{candidate.settings.shrinkage:g}",
            f"{candidate.settings.temperature:g}",
            console.number(_metric(selection.objective, candidate.loss)),
            console.number(_error(selection.objective, candidate.loss, candidate.standard_error)),
        )
        for candidate in selection.candidates
    ]
    console.table(header, rows, n_left=3, stderr=True)


def _bandwidth_kind(settings: Settings) -> str:
    return "relative" if settings.is_relative else "absolute"


def _describe_folds(selection: Selection, fitted: FittedMemory) -> None:
    figures = _figures(selection)
    how = "the base fitted anew without them" if selection.refitted else "new to the base"
    if not fitted.can_refit and fitted.own_losses is None:
        how = "taken as new to the base"
    which = f"base ({fitted.estimators[0]})" if len(fitted.estimators) > 1 else "base"
    console.say(
        f"{figures['metric']} of {selection.n_queries:,} held-out rows ({how}): "
        f"{which} {figures['base']:.5g}, with memory {figures['resmem']:.5g}, "
        f"gain {figures['gain_percent']:+.2f} % (standard error {figures['standard_error_percent']:.2f} %)",
        quiet=False,
    )
    if selection.whole_loss is not None:
        whole, condensed = (
            _metric(selection.objective, each) for each in (selection.whole_loss, selection.resmem_loss)
        )
        console.say(f"condensed by --max-cells: {figures['metric']} {condensed:.5g}, without {whole:.5g}", quiet=False)
    if not selection.helps:
        forced = selection.forced and fitted.uses_memory
        console.say(
            "memory does not help here: the gain does not exceed its standard error"
            + ("; it is used because --shrinkage says so" if forced else ""),
            quiet=False,
        )


def _metric(objective: str, loss: float) -> float:
    """Return the metric that people read: RMSE rather than squared error, accuracy rather than errors."""
    if objective == "rmse":
        return math.sqrt(loss)
    return 1 - loss if objective == "accuracy" else loss


def _error(objective: str, loss: float, standard_error: float) -> float:
    """Return the standard error of the metric: d sqrt(x) = dx / (2 sqrt(x)) carries that of a squared error over."""
    if objective != "rmse":
        return standard_error
    return standard_error / (2 * math.sqrt(loss)) if loss else 0.0


def _figures(selection: Selection) -> dict[str, Any]:
    objective = selection.objective
    base, resmem = (_metric(objective, loss) for loss in (selection.base_loss, selection.resmem_loss))
    error = _error(objective, selection.base_loss, selection.standard_error)
    gain = resmem - base if objective == "accuracy" else base - resmem
    return {
        "metric": objective,
        "base": base,
        "resmem": resmem,
        "gain_percent": 100 * gain / base if base else 0.0,
        "standard_error_percent": 100 * error / base if base else 0.0,
        "resmem_not_condensed": None if selection.whole_loss is None else _metric(objective, selection.whole_loss),
        "helps": selection.helps,
        "folds": selection.n_folds,
        "refitted": selection.refitted,
    }


def as_json(fitted: FittedMemory) -> dict[str, Any]:
    """Return what `--json` prints."""
    return {
        "rows": fitted.n_rows,
        "bases": list(fitted.estimators),
        "uses_memory": fitted.uses_memory,
        "memories": [
            {
                "base": memory.estimator,
                "weight": memory.weight,
                "cells": memory.n_cells,
                "representation": memory.representation,
                "residuals": memory.residuals,
                "neighbors": memory.settings.n_neighbors,
                "bandwidth": memory.settings.bandwidth if math.isfinite(memory.settings.bandwidth) else "inf",
                "bandwidth_kind": _bandwidth_kind(memory.settings),
                "shrinkage": memory.settings.shrinkage,
                "temperature": memory.settings.temperature,
                "recall": memory.recall,
            }
            for memory in fitted.memories
        ],
        "measured": None if fitted.selection is None else _figures(fitted.selection),
    }
