"""What `resmem fit-residual` prints of memories: in sentences, and as a table of candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resmem_cli.cli import console

if TYPE_CHECKING:
    from resmem_cli.model.choosing.selection import Selection
    from resmem_cli.model.kernel import Settings
    from resmem_cli.model.resmem import Member
    from resmem_cli.workflow.fit_residual import FittedMemory


def describe(fitted: FittedMemory, wanted_recall: float, model: str) -> None:
    """Print the held-out gain, and the memories that were built, on standard error."""
    selection = fitted.selection
    console.say_left_out(fitted.n_dropped, fitted.n_unknown_class, quiet=False)
    if fitted.n_repeated_ids:
        console.say(
            f"note: {fitted.n_repeated_ids:,} rows share their id with another row; all are remembered, and remember "
            "and forget replace or erase all rows of an id together",
            quiet=False,
        )
    if fitted.too_few_note is not None:
        console.say(f"note: {fitted.too_few_note}", quiet=False)
    if selection is not None and not fitted.is_switched_off:
        _describe_folds(selection, fitted)
    console.say(*(f"note: {note}" for note in fitted.notes), quiet=False)
    _warn_of_rows_that_trained_the_base(fitted)
    if fitted.is_kept:
        console.say(console.KEPT, quiet=False)
    if not fitted.uses_memory:
        why = " (--shrinkage 0)" if fitted.is_switched_off else ""
        console.say(f"the memory is off{why}: predictions are the base's", quiet=False)
    for member in fitted.members:
        console.say(_sentence(member, fitted, wanted_recall) + f" -> {model}/memory.json", quiet=False)
    if fitted.base_share:
        console.say(f"weight {100 * fitted.base_share:.3g} %: the base without memory", quiet=False)


def _warn_of_rows_that_trained_the_base(fitted: FittedMemory) -> None:
    if fitted.base_metrics is not None and fitted.looks_trained_on:
        on_remembered, on_valid = fitted.base_metrics
        console.say(
            f"note: the base's {fitted.objective} is {on_remembered:.4g} on the rows to remember and {on_valid:.4g} on "
            "the rows of --valid: it was probably trained on the former, so their residuals are too small; remember "
            "other rows",
            quiet=False,
        )
    elif not fitted.knows_training_rows and fitted.base_metrics is None and fitted.selection is not None:
        console.say(
            "note: the base's training rows are not known: if they are these, the gain is overestimated; remember "
            "rows that it was not trained on, or give some with --valid",
            quiet=False,
        )


def _sentence(member: Member, fitted: FittedMemory, wanted_recall: float) -> str:
    recall, settings = member.memory.recall, member.settings
    search = ", exact search" if recall is None else f", recall {recall:.3f}"
    search += f" in {member.memory.n_shards} shards" if member.memory.n_shards > 1 else ""
    if recall is not None and recall < wanted_recall:
        search += f" (below --recall {wanted_recall:g}: raise --M or --ef-construction)"
    weight = f"weight {100 * member.weight:.3g} %: " if member.weight < 1 else ""
    base = f"base {fitted.estimators[member.base]}, " if len(fitted.estimators) > 1 else ""
    crossed = ", cross-fitted residuals" if member.residuals == "cross-fitted" else ""
    return (
        f"{weight}memorised {fitted.n_rows:,} rows in {member.memory.n_cells:,} cells: {base}"
        f"representation {member.space.name}{crossed}, k {settings.n_neighbors}, "
        f"bandwidth {settings.bandwidth:g} ({_bandwidth_kind(settings)}), "
        f"shrinkage {settings.shrinkage:g}, temperature {settings.temperature:g}{search}"
    )


def print_candidates(fitted: FittedMemory) -> None:
    """Print every candidate with its best settings and their held-out metric, best first."""
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
    how = "base refitted without them" if selection.refitted else "new to the base"
    if not fitted.knows_training_rows and fitted.base_metrics is None:
        how = "assumed new to the base"
    if fitted.group_column is not None:
        how += f"; no group of '{fitted.group_column}' in both"
    if fitted.time_column is not None:
        how += f"; by earlier rows, '{fitted.time_column}'"
    *others, last = fitted.of_base
    of_base = f"mean of {', '.join(others)} and {last}" if others else last
    base = f"base ({of_base})" if len(fitted.estimators) > 1 else "base"
    console.say(
        f"{figures['metric']} on {selection.n_queries:,} held-out rows ({how}): "
        f"{base} {figures['base']:.5g}, with memory {figures['resmem']:.5g}, "
        f"gain {_percent(figures['gain_percent'], '+')} (standard error {_percent(figures['standard_error_percent'])})",
        quiet=False,
    )
    not_condensed = figures["resmem_not_condensed"]
    if not_condensed is not None:
        console.say(
            f"{figures['metric']} with --max-cells {figures['resmem']:.5g}, without it {not_condensed:.5g}", quiet=False
        )
    if not selection.helps:
        forced = selection.forced and fitted.uses_memory
        console.say(
            "the memory does not help: the gain does not exceed its standard error"
            + ("; it is used because --shrinkage is given" if forced else ""),
            quiet=False,
        )


def _percent(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.2f} %"
