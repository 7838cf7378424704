"""What `resmem fit-residual` says of memories: in sentences, as a table of candidates, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resmem_cli.cli import console

if TYPE_CHECKING:
    from resmem_cli.model.kernel import Settings
    from resmem_cli.model.selection import Selection
    from resmem_cli.workflow.fit_residual import BuiltMemory, FittedMemory


def describe(fitted: FittedMemory, asked_recall: float, model: str) -> None:
    """Say what the folds measured, what was chosen and what was built, on standard error."""
    selection = fitted.selection
    console.say_left_out(fitted.n_dropped, fitted.n_unknown_class, quiet=False)
    if fitted.n_repeated_ids:
        console.say(
            f"note: {fitted.n_repeated_ids:,} rows have the same id as another one; all are remembered, and remember "
            "and forget will replace and erase all rows of an id together",
            quiet=False,
        )
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
    from resmem_cli.model.metrics import as_metric, error_of_metric

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
            console.number(as_metric(selection.objective, candidate.loss)),
            console.number(error_of_metric(selection.objective, candidate.loss, candidate.standard_error)),
        )
        for candidate in selection.candidates
    ]
    console.table(header, rows, n_left=3, stderr=True)


def _bandwidth_kind(settings: Settings) -> str:
    return "relative" if settings.is_relative else "absolute"


def _describe_folds(selection: Selection, fitted: FittedMemory) -> None:
    from resmem_cli.workflow import measured

    figures = measured.measured(vars(selection), selection.objective)
    how = "the base fitted anew without them" if selection.refitted else "new to the base"
    if not fitted.can_refit and fitted.own_losses is None:
        how = "taken as new to the base"
    which = f"base ({fitted.estimators[0]})" if len(fitted.estimators) > 1 else "base"
    console.say(
        f"{figures['metric']} of {selection.n_queries:,} held-out rows ({how}): "
        f"{which} {figures['base']:.5g}, with memory {figures['resmem']:.5g}, "
        f"gain {_percent(figures['gain_percent'], '+')} (standard error {_percent(figures['standard_error_percent'])})",
        quiet=False,
    )
    whole = figures["resmem_not_condensed"]
    if whole is not None:
        console.say(
            f"condensed by --max-cells: {figures['metric']} {figures['resmem']:.5g}, without {whole:.5g}", quiet=False
        )
    if not selection.helps:
        forced = selection.forced and fitted.uses_memory
        console.say(
            "memory does not help here: the gain does not exceed its standard error"
            + ("; it is used because --shrinkage says so" if forced else ""),
            quiet=False,
        )


def _percent(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.2f} %"


def as_json(fitted: FittedMemory) -> dict[str, Any]:
    """Return what `--json` prints."""
    from resmem_cli.workflow import measured

    selection = fitted.selection
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
                **measured.settings(vars(memory.settings)),
                "recall": memory.recall,
            }
            for memory in fitted.memories
        ],
        "measured": None if selection is None else measured.measured(vars(selection), selection.objective),
    }
