"""evaluate: the base and the whole side by side on labelled rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.kinds import Floats
from resmem_cli.data.places import Place
from resmem_cli.data.schema import Task
from resmem_cli.errors import ThresholdError
from resmem_cli.model import conformal
from resmem_cli.model.resmem import Prediction
from resmem_cli.store import reading, using
from resmem_cli.store.stored import StoredModel
from resmem_cli.workflow import measured, scores, thread_limit, thresholds
from resmem_cli.workflow.drawing import GROUP, TIME, Drawing
from resmem_cli.workflow.inputs import Batches, Input, Report, silent
from resmem_cli.workflow.scored_batches import Coverage, ScoredBatches, Watch
from resmem_cli.workflow.scores import Judged, Sample, Scored, counted
from resmem_cli.workflow.slices import Columns, Slices
from resmem_cli.workflow.thresholds import Limits, Threshold


@dataclass(frozen=True)
class Evaluation(Judged):
    """What the rows say.

    Attributes:
        every: all rows that were scored.
        unseen: those that were not seen in fitting, if some were.
        n_seen: how many of all the base or the memory was fitted on.
        n_forgotten: how many rows that trained the base were forgotten, which cannot be recognised.
        n_dropped: how many had no target, or no weight.
        n_unknown_class: how many had a class that training did not have, and are not scored.
        task: of the model.
        objective: the metric that the folds chose by, and that the verdict is about.
        uses_memory: whether the model corrects anything, or its shrinkage is 0.
        intervals: how well they hold in all rows, if asked for.
        slices: the gain by slices of the rows that are judged by, if asked for; None where these are too few.
        thresholds: what was to be reached, if anything was.
        notes: sentences on what the intervals do not know.
    """

    every: Sample
    unseen: Sample | None
    n_seen: int
    n_forgotten: int
    n_dropped: int
    n_unknown_class: int
    task: Task
    objective: str
    uses_memory: bool
    intervals: Coverage | None = None
    slices: Slices | None = None
    thresholds: tuple[Threshold, ...] = ()
    notes: tuple[str, ...] = ()

    def refuse_missed(self) -> None:
        """Refuse what does not reach the thresholds.

        Raises:
            ThresholdError: one is not reached, or there are too few unseen rows to judge by.
        """
        missed = [each for each in self.thresholds if not each.is_reached]
        if not missed:
            return
        if self.judged.are_enough:
            raise thresholds.missed(missed)
        lack, needed = self.judged.lack, self.judged.needed("such")
        if self.unseen is not None:
            seen = f"{self.n_seen:,} of the {counted(self.n_rows, 'row')} equal training rows"
            lack = f"{seen}, and of the others {lack}" if self.unseen.n_rows else seen
            needed = self.unseen.needed("other")
        options = " and ".join(each.option for each in missed)
        raise ThresholdError(
            f"{options} {'is' if len(missed) == 1 else 'are'} not reached: {lack}", f"evaluate on {needed}"
        )

    @property
    def shown(self) -> Sample:
        """The rows that figures are to be shown of: those of the verdict or, if these are too few, all."""
        return self.judged if self.judged.are_enough else self.every

    @property
    def verdict(self) -> str:
        """One sentence: whether the memory helps, by the rows that were not seen in fitting if these are enough."""
        if not self.uses_memory:
            return "The memory is off (its shrinkage is 0): predictions are exactly the base's."
        if not self.judged.are_enough:
            return self._without_judgement()
        subject = "The memory" if self.unseen is None else f"On the {self.unseen.n_rows:,} unseen rows the memory"
        judged, name = self.judged.metrics, self.objective
        compared = judged[name]
        (low, high), percent, interval = compared.ci95, compared.gain_percent, scores.interval(compared)
        but = scores.contradictions(judged, name)
        if self.n_forgotten and low > 0:
            return (
                f"{subject} improves {name} by {percent:.2f} % {interval}: valid only if none of these rows is among "
                f"the {self.n_forgotten:,} training rows of the base that were forgotten{but}."
            )
        if low > 0:
            return f"{subject} improves {name} by {percent:.2f} % {interval}: the gain is more than chance{but}."
        if high < 0:
            return f"{subject} makes {name} worse by {-percent:.2f} % {interval}: do not use it on rows like these."
        change = scores.change(compared)
        return f"{subject} changes {name} {change} {interval}: no evidence that it helps or harms{but}."

    def _without_judgement(self) -> str:
        changes = f"The memory changes {self.objective} {scores.change(self.metrics[self.objective])}"
        if self.unseen is None:
            return f"{changes}, but {self.every.lack}: evaluate on {self.every.needed('such')}."
        others = f", and of the others {self.unseen.lack}" if self.unseen.n_rows else ""
        return (
            f"{changes}, but {self.n_seen:,} of these rows equal training rows{others}: do not rely on it; evaluate on "
            "other rows."
        )

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints; numbers that are not known are null."""
        every, unseen = self.every, self.unseen
        return {
            "rows": every.n_rows,
            "different_rows": every.n_different,
            "seen_rows": self.n_seen,
            "forgotten_rows": self.n_forgotten,
            "dropped_rows": self.n_dropped,
            "unknown_class_rows": self.n_unknown_class,
            "groups": every.n_groups if every.unit == GROUP else None,
            "times": every.n_groups if every.unit == TIME else None,
            "task": self.task.value,
            "objective": self.objective,
            "uses_memory": self.uses_memory,
            "can_judge": self.judged.are_enough,
            "verdict": self.verdict,
            "metrics": scores.metrics_json(self.metrics),
            "unseen": None
            if unseen is None
            else {"rows": unseen.n_rows, "metrics": scores.metrics_json(unseen.metrics)},
            "interval": None if self.intervals is None else measured.known_values(asdict(self.intervals)),
            "by": None if self.slices is None else self.slices.to_json(),
            "thresholds": [each.to_json() for each in self.thresholds],
        }


def evaluate(
    source: Input,
    model: Place,
    *,
    seed: int = 0,
    interval: float | None = None,
    by: Sequence[str] = (),
    limits: Limits | None = None,
    threads: int = 0,
    report: Report = silent,
) -> Evaluation:
    """Compare base and memory on labelled rows; rows without a target or weight, or of an unknown class, are left out.

    Args:
        source: the rows.
        model: the directory.
        seed: of the bootstrap.
        interval: the level of prediction intervals, if their coverage is to be measured.
        by: columns, any of the input's, by whose values the gain is given, too; or `slices.AUTO`.
        limits: what is to be reached; whether it was, is said and no error.
        threads: how many may be used.
        report: is told what is being done.

    Raises:
        DataError: the input cannot be read, does not fit the model's schema, holds no class that training had, or
            cannot be sliced.
        ModelError: the model is missing, stale or damaged, or has no memory yet.
        UsageError: a limit does not fit the model.
    """
    with thread_limit.limited(threads) as count:
        report("loading the model")
        stored = reading.load(model)
        seen = reading.seen_hashes(model, with_memory=True)
        predict = predictor(stored, model, threads=count, with_place=interval is not None)
        return of_rows(
            source, stored, seen, predict, seed=seed, interval=interval, by=by, limits=limits, report=report
        ).evaluation


def predictor(stored: StoredModel, model: Place, *, threads: int, with_place: bool) -> Callable[[Floats], Prediction]:
    """Return what predicts [n, d] encoded rows by a model of a directory, with their places if these are wanted."""

    def predict(X: Floats) -> Prediction:
        with using.used(model):
            return stored.resmem.predict(X, threads=threads, with_place=with_place)

    return predict


class Measured(NamedTuple):
    """What was measured, and of what.

    Attributes:
        evaluation: what the rows say.
        scored: all rows that were scored.
        which: [n] those that the verdict is about or, if these are too few, all.
    """

    evaluation: Evaluation
    scored: Scored
    which: NDArray[np.bool_]


def of_rows(
    source: Batches,
    stored: StoredModel,
    seen: NDArray[np.uint64],
    predict: Callable[[Floats], Prediction],
    *,
    seed: int,
    interval: float | None,
    by: Sequence[str],
    groups: str | None = None,
    limits: Limits | None = None,
    watch: Watch | None = None,
    report: Report = silent,
) -> Measured:
    """Evaluate a model that is loaded.

    `seen` are hashes of the rows that were seen in fitting. `predict` returns the predictions of [n, d] encoded rows,
    with their places if there is an `interval`. `groups` is a column of groups, whatever the model was fitted with. The
    `watch` sees every batch. The other arguments are those of `evaluate`.

    Raises:
        DataError, UsageError: as `evaluate`.
    """
    limits = limits or Limits()
    refuse_wrong(stored, interval, limits)
    columns, drawing = Columns(by, stored.base.schema), Drawing(stored, groups=groups)
    batches = ScoredBatches(stored, seen, predict, drawing, interval=interval, watch=watch)
    parts: list[Scored] = []
    report("predicting")
    for batch, part in batches.of(source, columns.names):
        parts.append(part)
        if batch.rows is not None:
            columns.add(batch.rows)
        report(f"{batches.n_read:,} rows")
    report("comparing")
    scored = scores.joined(parts)
    every, unseen = scores.samples(scored, seed, drawing.word, batches.n_read)
    is_judged = np.ones(len(scored.y), dtype=np.bool_) if unseen is None else ~scored.is_seen
    is_sliced = by and (unseen is None or unseen.are_enough)
    evaluation = concluded(
        stored,
        every,
        unseen,
        limits,
        n_seen=int(scored.is_seen.sum()),
        n_dropped=batches.n_dropped,
        n_unknown_class=batches.foreign.n_rows,
        intervals=batches.held.coverage(interval),
        slices=columns.slices(scored, is_judged, stored.objective, drawing.word) if is_sliced else None,
        notes=(*drawing.notes, *scores.notes(scored)),
    )
    return Measured(evaluation, scored, is_judged if evaluation.judged.are_enough else np.ones_like(is_judged))


def refuse_wrong(stored: StoredModel, interval: float | None, limits: Limits) -> None:
    """Refuse what cannot be measured of a model.

    Raises:
        UsageError: a limit does not fit it, or it cannot make intervals of this level.
    """
    limits.refuse_wrong(stored.base.schema.target.task, stored.objective, stored.base.problem.n_outputs)
    if interval is not None:
        conformal.sufficient(stored.resmem.calibration, interval)


def concluded(
    stored: StoredModel,
    every: Sample,
    unseen: Sample | None,
    limits: Limits,
    *,
    n_seen: int,
    n_dropped: int,
    n_unknown_class: int,
    intervals: Coverage | None,
    notes: tuple[str, ...],
    slices: Slices | None = None,
) -> Evaluation:
    """Return the evaluation of a model by what was measured; the arguments are the attributes of `Evaluation`."""
    judged = every if unseen is None else unseen
    shown = judged if judged.are_enough else every
    return Evaluation(
        every=every,
        unseen=unseen,
        n_seen=n_seen,
        n_forgotten=stored.base.n_forgotten,
        n_dropped=n_dropped,
        n_unknown_class=n_unknown_class,
        task=stored.base.schema.target.task,
        objective=stored.objective,
        uses_memory=stored.resmem.uses_memory,
        thresholds=thresholds.judged(limits, shown.metrics, stored.objective, can_judge=judged.are_enough),
        intervals=intervals,
        slices=slices,
        notes=notes,
    )
