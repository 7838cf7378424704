"""fit-residual: read labelled rows, fit a memory of their residuals, and store it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.schema import Schema
from resmem_cli.errors import ModelError, UsageError
from resmem_cli.model import cost
from resmem_cli.model.choosing.options import MemoryOptions, objective
from resmem_cli.model.choosing.selection import LEAST_HELD_OUT, Selection
from resmem_cli.model.combination import in_base
from resmem_cli.model.fit import FittedResMem, fit_memory
from resmem_cli.model.resmem import Member, ResMem, use_memory
from resmem_cli.model.rows import LabelledRows
from resmem_cli.store import description, history, locking, reading, using, writing
from resmem_cli.store.history import Change
from resmem_cli.store.rows import MemoryRows, TrainedRows, category_codes
from resmem_cli.store.stored import StoredBase
from resmem_cli.workflow import belonging, labelled, measured, streaming, thread_limit
from resmem_cli.workflow.inputs import Input, Report, silent
from resmem_cli.workflow.known_rows import KnownRows
from resmem_cli.workflow.labelled import Labelled, Sampled
from resmem_cli.workflow.streaming import Streamed

# A base whose metric on the rows to remember is less than this share of that on others was trained on them.
_OVERFITTED = 0.5


@dataclass(frozen=True)
class FittedMemory:
    """What was chosen and built.

    Attributes:
        selection: what the folds measured; None if nothing was measured.
        members: the members of the model.
        estimators: of the bases, in the order that candidates and members count them by.
        objective: the metric that was chosen by.
        n_rows: how many rows are remembered.
        n_seen: how many of them trained the base.
        n_dropped: how many rows had no target or weight, and were left out.
        n_unknown_class: how many had a class that training did not have, and were left out.
        n_repeated_ids: how many rows share their id with another one.
        is_switched_off: whether the user, and not the folds, set the shrinkage to 0.
        knows_training_rows: whether it is known which rows the bases have seen.
        base_metrics: the base's metric on the rows to remember, and on further rows that it was not trained on;
            None if there are no further ones.
        too_few: how many distinct rows, or groups, could be held out, where they were too few to measure by.
        group_column, time_column: by which the rows were kept together and put in order, if they were.
        notes: sentences on what was found in the rows.
        is_kept: whether rows of the memory before, which this one does not have, are kept for undo.
        base_share: what the base without memory weighs in the prediction.
        base_weights: of each of the bases in the mean that is the base; without any, that is the first.
        is_of_sample: whether it was chosen on a sample, beside which there were other rows.
    """

    selection: Selection | None
    members: tuple[Member, ...]
    estimators: tuple[str, ...]
    objective: str
    n_rows: int
    n_seen: int
    n_dropped: int
    n_unknown_class: int
    n_repeated_ids: int
    is_switched_off: bool
    knows_training_rows: bool
    base_metrics: tuple[float, float] | None = None
    too_few: int | None = None
    group_column: str | None = None
    time_column: str | None = None
    notes: tuple[str, ...] = ()
    is_kept: bool = False
    base_share: float = 0.0
    base_weights: tuple[float, ...] = ()
    is_of_sample: bool = False

    def with_rest(self, rest: Streamed, drawn: Sampled, n_valid: int) -> FittedMemory:
        """Return this, of a sample and so many rows of `valid`, with what became of the rows that were in neither."""
        return replace(
            self,
            members=rest.resmem.members,
            n_rows=len(rest.rows.hashes),
            n_seen=self.n_seen + rest.n_seen,
            n_repeated_ids=labelled.n_repeated(rest.rows.ids),
            notes=(*self.notes, *rest.notes(self.n_rows - n_valid, n_valid), *drawn.notes),
            is_of_sample=True,
        )

    @property
    def too_few_note(self) -> str | None:
        """What to say of rows that were too few to measure by; None if they were enough, or it was not to be known."""
        if self.too_few is None or self.is_switched_off:
            return None
        raised = ", or raise --sample" if self.is_of_sample else ""
        if self.group_column is not None or self.time_column is not None:
            what = (
                f"groups of '{self.group_column}'" if self.group_column is not None else f"times '{self.time_column}'"
            )
            return (
                f"the rows that can be held out are fewer than {LEAST_HELD_OUT}, or of fewer {what} than there are "
                f"folds, so no gain is measured and the memory is off; give more rows, or lower --folds{raised}"
            )
        return (
            f"only {self.too_few:,} distinct row{'s' if self.too_few > 1 else ''} could be held out, too few to "
            f"measure a gain, so the memory is off; give at least {LEAST_HELD_OUT} labelled rows with distinct features"
            f"{raised}"
        )

    @property
    def looks_trained_on(self) -> bool:
        """Whether the base is so much better on the rows to remember that it was probably trained on them."""
        if self.base_metrics is None:
            return False
        own, other = self.base_metrics
        return (1 - own) < _OVERFITTED * (1 - other) if self.objective == "accuracy" else own < _OVERFITTED * other

    @property
    def of_base(self) -> tuple[str, ...]:
        """The estimators of the bases that have a weight in the base."""
        return tuple(self.estimators[i] for i in in_base(self.base_weights))

    @property
    def uses_memory(self) -> bool:
        return use_memory(self.members)

    def as_entry(self, before: NDArray[np.uint64] | None, rows: MemoryRows) -> Change:
        """Return what the history says of this fit: from the hashes of the rows before it, and from its own rows."""
        n_added, n_removed = history.difference(before, rows.hashes)
        found = self.measured
        measured = None
        if found is not None and found["rows"] is not None and self._n_effective(rows) >= history.LEAST_MEASURED:
            measured = {name: found[name] for name in ("metric", "base", "resmem", "rows")}
        return Change(history.FIT, n_added, n_removed, measured)

    def _n_effective(self, rows: MemoryRows) -> float:
        """Return how many rows of equal weights the held-out rows are worth."""
        held_out = None if self.selection is None else self.selection.held_out
        weight = rows.weight if held_out is None or rows.weight is None else rows.weight[held_out.rows]
        return history.n_effective(len(rows.hashes), weight)

    @property
    def measured(self) -> dict[str, Any] | None:
        """What the folds measured, as `measured.measured` gives it."""
        folds = description.folds_json(self.selection, self.group_column, self.time_column)
        return measured.measured(folds, self.objective) if folds else None

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "rows": self.n_rows,
            "bases": list(self.estimators),
            "uses_memory": self.uses_memory,
            "memories": [
                {
                    "base": self.estimators[member.base],
                    "weight": member.weight,
                    "cells": member.memory.n_cells,
                    "shards": member.memory.n_shards,
                    "representation": member.space.name,
                    "residuals": member.residuals,
                    **measured.settings(description.settings_json(member.settings)),
                    "recall": member.memory.recall,
                }
                for member in self.members
            ],
            "base_share": self.base_share,
            "measured": self.measured,
        }


def fit_residual(
    source: Input,
    model: Path,
    options: MemoryOptions,
    report: Report = silent,
    *,
    valid: Input | None = None,
    sample: int | None = None,
    group: str | None = None,
    time: str | None = None,
    keep: int = 1,
    wait: bool = False,
) -> FittedMemory:
    """Memorise the residuals of labelled rows under the stored bases; the memories that are there are replaced.

    Args:
        source: the rows.
        model: the directory.
        options: how to remember.
        report: is told what is being done.
        valid: further rows, which the bases were not trained on. Then the settings are chosen by these alone, of which
            a memory knows nothing that holds the others; the memory that is kept holds these too.
        sample: of more rows, a uniform sample of so many is held, on which settings are chosen and spaces fitted. Then
            the residuals of all others are memorised, batch by batch.
        group: the column whose rows of one value are kept together in every split, if `fit_base` was told none.
        time: the column by whose times later rows are judged by earlier ones, if `fit_base` was told none.
        keep: how many earlier memories undo can bring back afterwards.
        wait: until another writer is done, or refuse to.

    Raises:
        DataError: the rows cannot be read, or do not fit the model's schema.
        ModelError: there is no base.
        OutputError: the directory cannot be written, or another writer is at work.
        UsageError: the settings contradict each other, the task, the columns of the bases or the number of rows.
    """
    with locking.alone(model, wait=wait), thread_limit.limited(options.threads) as threads:
        report("loading the base")
        base = reading.load_base(model)
        using.refuse_unusable(model, base)
        objective(base.problem, options)  # a wrong one is told before anything is read
        base = replace(base, schema=_related_by(base.schema, group, time))
        report("reading")
        streaming.refuse_sample_in_time(sample, base.schema.time_column)
        streaming.refuse_sample_of_pipe(sample, source)
        trained = reading.trained_rows(model)
        known, drawn = KnownRows(trained), None
        if sample is None:
            labelled_rows = labelled.read(source, base.schema, with_relations=True)
        else:
            drawn = labelled.sampled(source, base.schema, sample, base.problem.seed, known.meet)
            labelled_rows = drawn.rows
        further = None if valid is None else labelled.read(valid, base.schema, with_relations=True)
        with streaming.hinting_at(drawn):
            resmem, rows, fitted = fit(labelled_rows, further, base, trained, options, threads=threads, report=report)
        if drawn is not None and not drawn.is_all:
            rest = streaming.remember(
                source,
                drawn,
                base=base,
                known=known,
                resmem=resmem,
                rows=rows,
                threads=threads,
                report=report,
            )
            resmem, rows = rest.resmem, rest.rows
            fitted = fitted.with_rest(rest, drawn, 0 if further is None else len(further))
        report("writing")
        folds = description.folds_json(fitted.selection, fitted.group_column, fitted.time_column)
        entry = fitted.as_entry(reading.remembered_hashes(model), rows)
        past = writing.past(model, rows, entry, keep=keep, with_present=keep > 0 and _can_be_kept(model))
        writing.save_memory(model, base.id, resmem, rows, objective=fitted.objective, folds=folds, past=past)
        is_kept = entry.n_removed > 0 and reading.n_kept(model) > 0
    return replace(fitted, is_kept=is_kept)


def _can_be_kept(model: Path) -> bool:
    """Whether there is a memory that undo could bring back.

    It could not bring back one that is stale or damaged; and in one of a very old resmem no rows could be forgotten.
    """
    try:
        reading.load_for_change(model)
    except ModelError:
        return False
    return True


def fit(
    labelled_rows: Labelled,
    valid: Labelled | None,
    base: StoredBase,
    trained: TrainedRows,
    options: MemoryOptions,
    *,
    threads: int = 1,
    report: Report = silent,
) -> tuple[ResMem, MemoryRows, FittedMemory]:
    """Fit a memory to labelled rows, and to those of `valid`, by which alone the settings are then chosen.

    Args:
        labelled_rows: the rows.
        valid: further rows.
        base: the bases.
        trained: what is known of the rows that trained the bases.
        options: how to remember.
        threads: how many may be used.
        report: is told what is being done.

    Returns:
        The model, what is kept of its rows, and what the user should know.

    Raises:
        UsageError: as `fit_residual`.
    """
    n_first = len(labelled_rows.y)
    is_valid = None
    if valid is not None:
        labelled_rows = labelled_rows.joined(valid)
        is_valid = np.arange(len(labelled_rows.y)) >= n_first
    known = KnownRows(trained)
    known.meet(labelled_rows)
    is_seen, is_new = known.have(labelled_rows), known.are_new(labelled_rows)
    if base.n_forgotten:  # which rows those were is not known any more: any but those of --valid may be one
        is_new &= False if is_valid is None else is_valid
    rows = LabelledRows(
        labelled_rows.X,
        labelled_rows.y,
        labelled_rows.weight,
        is_new,
        is_valid,
        groups=labelled_rows.related.groups,
        times=labelled_rows.related.times,
    )
    bases = list(zip(base.specs, base.bases, strict=True))
    fitted = fit_memory(rows, bases, base.problem, options, threads=threads, base_weights=base.weights, report=report)
    kept = MemoryRows(
        labelled_rows.hashes, labelled_rows.ids, labelled_rows.weight, category_codes(labelled_rows.X, base.schema)
    )
    return fitted.resmem, kept, _summary(fitted, base, labelled_rows, is_seen, options)


def _related_by(schema: Schema, group: str | None, time: str | None) -> Schema:
    """Return the schema with the columns of groups and times that are named now, where it has none."""
    for option, known, named in (("--group", schema.group_column, group), ("--time", schema.time_column, time)):
        if known is not None and named not in (None, known):
            raise UsageError(
                f"{option} is '{named}', and the base was fitted with {option} {known}",
                f"leave {option} out, or run fit-base with {option} {named}",
            )
        if named is not None and named in (schema.target.name, schema.weight_column):
            raise UsageError(f"{option} names '{named}', which has another role", f"name another column with {option}")
    return replace(
        schema,
        group_column=group if schema.group_column is None else schema.group_column,
        time_column=time if schema.time_column is None else schema.time_column,
    )


def _belonging(fitted: FittedResMem, base: StoredBase, labelled_rows: Labelled) -> tuple[str, ...]:
    """Return what is to be said where a gain may not hold on new rows."""
    held_out = None if fitted.selection is None else fitted.selection.held_out
    if held_out is None or not fitted.resmem.uses_memory or labelled_rows.relations is None:
        return ()
    return belonging.notes(labelled_rows, base.schema, fitted.resmem, held_out, base.problem.seed)


def _left_out(fitted: FittedResMem, base: StoredBase, options: MemoryOptions) -> tuple[str, ...]:
    """Return sentences on what was not done as of other tables, so that the command ends."""
    n_columns, n_largest = len(base.problem.n_categories), options.n_largest(base.problem)
    said, of_classes = [], []
    if n_largest is not None:
        of_classes.append(
            f"{base.problem.n_classes:,} classes are many: a residual holds the row's own class and the {n_largest} "
            "most probable others, and encoders and cross-fitted residuals are not tried; --representation learned or "
            "--residuals cross-fitted hold every class of every row, in as much memory as that takes"
        )
    if fitted.n_split is not None:
        said.append(f"settings were chosen on one split of {fitted.n_split:,} rows instead of folds of all")
    if n_columns > cost.WIDE:
        said.append(
            f"distances are taken between {cost.MOST_AXES} principal components of {n_columns:,} columns, and not "
            "between columns by their sensitivity"
        )
    return (*of_classes, *([", and ".join(said)] if said else []))


def _summary(
    fitted: FittedResMem, base: StoredBase, labelled_rows: Labelled, is_seen: NDArray[np.bool_], options: MemoryOptions
) -> FittedMemory:
    relations = labelled_rows.relations
    return FittedMemory(
        selection=fitted.selection,
        members=fitted.resmem.members,
        estimators=tuple(spec.estimator for spec in base.specs),
        objective=fitted.objective,
        n_rows=len(labelled_rows.y),
        n_seen=int(is_seen.sum()),
        n_dropped=labelled_rows.n_dropped,
        n_unknown_class=labelled_rows.n_foreign,
        n_repeated_ids=labelled_rows.n_repeated_ids,
        is_switched_off=options.shrinkage == 0,
        knows_training_rows=base.is_distilled or all(spec.can_refit for spec in base.specs),
        base_metrics=fitted.base_metrics,
        too_few=fitted.too_few,
        group_column=None if relations is None else relations.group_column,
        time_column=None if relations is None else relations.time_column,
        notes=(
            *labelled_rows.related.notes,
            *_left_out(fitted, base, options),
            *belonging.copies(labelled_rows.X, labelled_rows.y, base.problem, base.schema),
            *_belonging(fitted, base, labelled_rows),
        ),
        base_share=fitted.resmem.base_share,
        base_weights=base.weights,
    )
