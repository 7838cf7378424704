"""An evaluation in parts: of some of the rows anywhere, in any order, and put together to what `evaluate` says of all.

The parts are of bounded size, whatever the number of rows, and can be sent between processes. Values and intervals are
those of all rows together, but for roc_auc (`model/sums_in_parts.py`), because how often a row counts in a resample
follows from the row alone (`model/resampling.py`). So does it of a row's number in its file: a part has to say of its
rows where they are from (`Rows.origins`), as whatever reads the file does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.kinds import Floats
from resmem_cli.model.resmem import Prediction
from resmem_cli.model.sums_in_parts import SumsInParts
from resmem_cli.store.stored import StoredModel
from resmem_cli.workflow import labelled
from resmem_cli.workflow.drawing import Drawing, Unit
from resmem_cli.workflow.evaluate import Evaluation, concluded, refuse_wrong
from resmem_cli.workflow.inputs import Batches, Foreign, Report, silent, unlabelled
from resmem_cli.workflow.scored_batches import Held, ScoredBatches
from resmem_cli.workflow.scores import Sample, Scored
from resmem_cli.workflow.thresholds import Limits


@dataclass(frozen=True)
class PartOptions:
    """What has to be the same in all parts of an evaluation.

    Attributes:
        n_resamples: of the bootstrap; what `resampling.n_resamples` says of the number of all rows gives the intervals
            of `evaluate`.
        seed: of the bootstrap.
        interval: the level of prediction intervals, if their coverage is to be measured.
        groups: a column of groups, whatever the model was fitted with.
    """

    n_resamples: int
    seed: int = 0
    interval: float | None = None
    groups: str | None = None


@dataclass(frozen=True)
class EvaluationPart:
    """What some rows add to an evaluation.

    Attributes:
        options: of all parts.
        unseen, seen: the sums over the rows that were not, and that were, seen in fitting; None if there are none.
        unit: what rows are drawn by, if a column tells; rows without that column are drawn alone.
        n_read: how many rows there were.
        n_dropped: how many of them had no target, or no weight.
        foreign: those of classes that training did not have.
        held: how well intervals hold, if that was asked for.
    """

    options: PartOptions
    unseen: SumsInParts | None
    seen: SumsInParts | None
    unit: Unit | None
    n_read: int
    n_dropped: int
    foreign: Foreign
    held: Held

    def merge(self, other: EvaluationPart) -> EvaluationPart:
        """Return the part of the rows of both, in whichever order."""
        if self.options != other.options:
            raise ValueError(f"parts of different evaluations: {self.options} and {other.options}")
        return EvaluationPart(
            self.options,
            _merged(self.unseen, other.unseen),
            _merged(self.seen, other.seen),
            self.unit if other.unit is None else min(filter(None, (self.unit, other.unit)), key=str),
            self.n_read + other.n_read,
            self.n_dropped + other.n_dropped,
            self.foreign.merged(other.foreign),
            self.held.merged(other.held),
        )

    def evaluation(self, stored: StoredModel, limits: Limits | None = None) -> Evaluation:
        """Return what all the rows say of the model, if this is the part of all.

        Raises:
            DataError: there is no row, or none has a target, weight and a class that training had.
            UsageError: a limit does not fit the model.
        """
        limits, drawing = limits or Limits(), Drawing(stored, groups=self.options.groups)
        refuse_wrong(stored, self.options.interval, limits)
        drawing.unit = self.unit
        both = _merged(self.unseen, self.seen)
        if both is None:
            raise unlabelled(self.n_read, stored.base.schema, self.foreign) if self.n_read else labelled.nowhere(0)
        every, unseen = (self._sample(rows, drawing.word) for rows in (both, self.unseen))
        return concluded(
            stored,
            every,
            None if self.seen is None else unseen,
            limits,
            n_seen=0 if self.seen is None else self.seen.n_rows,
            n_dropped=self.n_dropped,
            n_unknown_class=self.foreign.n_rows,
            intervals=self.held.coverage(self.options.interval),
            notes=(*drawing.notes, *both.notes, *self._estimated(both, drawing.word)),
        )

    def _estimated(self, rows: SumsInParts, unit: str) -> tuple[str, ...]:
        if self.unit is None or rows.units.is_exact:
            return ()
        return (f"the number of {unit}s, {rows.units.count:,}, is an estimate, right within about 3 %",)

    def _sample(self, rows: SumsInParts | None, unit: str) -> Sample:
        are_drawn_whole = self.unit is not None
        if rows is None:
            return Sample(0, 0, 0 if are_drawn_whole else None, unit, {})
        n_groups = rows.units.count if are_drawn_whole else None
        return Sample(rows.n_rows, rows.different.count, n_groups, unit, rows.compared())


def part_of(
    source: Batches,
    stored: StoredModel,
    seen: NDArray[np.uint64],
    predict: Callable[[Floats], Prediction],
    *,
    options: PartOptions,
    report: Report = silent,
) -> EvaluationPart:
    """Return what some rows add to the evaluation of a model that is loaded; there may be none.

    `seen` and `predict` are those of `evaluate.of_rows`.

    Raises:
        DataError: the rows cannot be read, or do not fit the model's schema.
        UsageError: the model cannot make intervals of this level.
    """
    refuse_wrong(stored, options.interval, Limits())
    drawing = Drawing(stored, groups=options.groups)
    batches = ScoredBatches(stored, seen, predict, drawing, interval=options.interval)
    sums: dict[bool, SumsInParts | None] = {False: None, True: None}
    for _, scored in batches.of(source, may_be_empty=True):
        for is_seen in np.unique(scored.is_seen).tolist():
            some = _sums(scored.take(scored.is_seen == is_seen), options)
            sums[is_seen] = _merged(sums[is_seen], some)
        report(f"{batches.n_read:,} rows")
    return EvaluationPart(
        options, sums[False], sums[True], drawing.unit, batches.n_read, batches.n_dropped, batches.foreign, batches.held
    )


def _sums(rows: Scored, options: PartOptions) -> SumsInParts:
    return SumsInParts.of(
        rows.y,
        rows.first,
        rows.second,
        rows.weight,
        hashes=rows.hashes,
        units=rows.units,
        seed=options.seed,
        n_resamples=options.n_resamples,
    )


def _merged(one: SumsInParts | None, other: SumsInParts | None) -> SumsInParts | None:
    if one is None or other is None:
        return one or other
    return one.merged(other)
