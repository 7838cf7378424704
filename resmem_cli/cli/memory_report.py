"""What `resmem fit-residual` says of a memory: in sentences, as a table of candidates, and as JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from resmem_cli.cli import console

if TYPE_CHECKING:
    from resmem_cli.model.selection import Selection
    from resmem_cli.workflow.fit_residual import FittedMemory


def describe(fitted: FittedMemory, asked_recall: float, model: str) -> None:
    """Say what the folds measured, what was chosen and what was built, on standard error."""
    selection, settings = fitted.selection, fitted.settings
    if fitted.n_dropped:
        console.say(f"note: {fitted.n_dropped:,} rows have no target (or no weight) and are left out", quiet=False)
    if selection is not None and not fitted.is_switched_off:
        _describe_folds(selection, fitted)
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


def print_candidates(fitted: FittedMemory) -> None:
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


def _describe_folds(selection: Selection, fitted: FittedMemory) -> None:
    figures = _figures(selection, fitted.is_regression)
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


def _figures(selection: Selection, is_regression: bool) -> dict[str, Any]:
    """The folds' figures in the metric that people read: RMSE rather than squared error."""
    base, resmem, error = selection.base_loss, selection.resmem_loss, selection.standard_error
    if is_regression:
        # d sqrt(x) = dx / (2 sqrt(x)) carries the standard error over.
        base, resmem, error = math.sqrt(base), math.sqrt(resmem), error / (2 * math.sqrt(base)) if base else 0.0
    return {
        "metric": "rmse" if is_regression else "log_loss",
        "base": base,
        "resmem": resmem,
        "gain_percent": 100 * (base - resmem) / base if base else 0.0,
        "standard_error_percent": 100 * error / base if base else 0.0,
        "helps": selection.helps,
        "folds": selection.n_folds,
        "refitted": selection.refitted,
    }


def as_json(fitted: FittedMemory) -> dict[str, Any]:
    """Return what `--json` prints."""
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
        "measured": None if fitted.selection is None else _figures(fitted.selection, fitted.is_regression),
    }
