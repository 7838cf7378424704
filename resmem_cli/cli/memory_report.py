"""What `resmem fit-residual` says of memories: in sentences, and as a table of candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resmem_cli.cli import console

if TYPE_CHECKING:
    from resmem_cli.model.choosing.selection import Selection
    from resmem_cli.model.kernel import Settings
    from resmem_cli.model.resmem import Member
    from resmem_cli.workflow.fit_residual import FittedMemory


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
        from resmem_cli.model.choosing.selection import LEAST_HELD_OUT

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
    for member in fitted.members:
        console.say(_sentence(member, fitted, asked_recall) + f" -> {model}/memory.json", quiet=False)


def _warn_of_rows_that_trained_the_base(fitted: FittedMemory) -> None:
    if fitted.base_metrics is not None and fitted.looks_trained_on:
        own, other = fitted.base_metrics
        console.say(
            f"note: the base's {fitted.objective} is {own:.4g} on the rows to remember and {other:.4g} on those of "
            "--valid: it was probably trained on the former, whose residuals then say little; remember other rows",
            quiet=False,
        )
    elif not fitted.can_refit and fitted.base_metrics is None and fitted.selection is not None:
        console.say(
            "note: which rows trained the base is not known: if it was these, the gain is not to be believed; "
            "remember rows that are new to it, or give some with --valid",
            quiet=False,
        )


def _sentence(member: Member, fitted: FittedMemory, asked_recall: float) -> str:
    recall = member.memory.recall
    found = ", exact search" if recall is None else f", recall {recall:.3f} of its neighbours"
    if recall is not None and recall < asked_recall:
        found += f" (below the {asked_recall:g} asked for: raise --M or --ef-construction)"
    several = len(fitted.members) > 1
    share = f"{100 * member.weight:.3g} % of the prediction: " if several else ""
    whose = f"base {fitted.estimators[member.base]}, " if len(fitted.estimators) > 1 else ""
    crossed = ", cross-fitted residuals" if member.residuals == "cross-fitted" else ""
    settings = member.settings
    return (
        f"{share}memorised {fitted.n_rows:,} rows in {member.memory.n_cells:,} cells: {whose}"
        f"representation {member.space.name}{crossed}, k {settings.n_neighbors}, "
        f"bandwidth {settings.bandwidth:g} ({_bandwidth_kind(settings)}), "
        f"shrinkage {settings.shrinkage:g}, temperature {settings.temperature:g}{found}"
    )


def print_candidates(fitted: FittedMemory) -> None:
    """Print, best first, the best settings of every candidate and the held-out loss they had."""
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
            fitted.estimators[score.candidate.base],
            score.candidate.space,
            score.candidate.residuals,
            str(score.settings.n_neighbors),
            f"{score.settings.bandwidth:g}",
            _bandwidth_kind(score.settings),
            f"{score.settings.shrinkage:g}",
            f"{score.settings.temperature:g}",
            console.number(as_metric(selection.objective, score.loss)),
            console.number(error_of_metric(selection.objective, score.loss, score.standard_error)),
        )
        for score in selection.scores
    ]
    console.table(header, rows, n_left=3, stderr=True)


def _bandwidth_kind(settings: Settings) -> str:
    return "relative" if settings.is_relative else "absolute"


def _describe_folds(selection: Selection, fitted: FittedMemory) -> None:
    figures = fitted.measured
    if figures is None:
        return
    how = "the base fitted anew without them" if selection.refitted else "new to the base"
    if not fitted.can_refit and fitted.base_metrics is None:
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
