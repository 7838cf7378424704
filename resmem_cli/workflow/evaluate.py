"""evaluate: the base and the whole side by side on labelled rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.kinds import Floats
from resmem_cli.data.places import Place
from resmem_cli.data.schema import Task
from resmem_cli.errors import ThresholdError
from resmem_cli.model import conformal, metrics
from resmem_cli.model.arrays import row_blocks
from resmem_cli.model.resmem import Prediction, ResMem
from resmem_cli.store import reading, using
from resmem_cli.store.reading import StoredModel
from resmem_cli.workflow import labelled, measured, scores, thread_limit, thresholds
from resmem_cli.workflow.drawing import GROUP, TIME, Drawing
from resmem_cli.workflow.inputs import Batches, Input, Report, silent
from resmem_cli.workflow.labelled import Labelled
from resmem_cli.workflow.scores import Judged, Sample, Scored, counted
from resmem_cli.workflow.slices import Columns, Slices
from resmem_cli.workflow.thresholds import Limits, Threshold


@dataclass(frozen=True)
class Coverage:
    """How well intervals, or sets of classes, hold.

    Attributes:
        level: what they promise.
        coverage: the share of rows whose truth they hold.
        size: their mean width, or the mean number of classes in a set.
    """

    level: float
    coverage: float
    size: float


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

        def predict(X: Floats) -> Prediction:
            with using.used(model):
                return stored.resmem.predict(X, threads=count, with_place=interval is not None)

        return of_rows(
            source, stored, seen, predict, seed=seed, interval=interval, by=by, limits=limits, report=report
        ).evaluation


class Watch(Protocol):
    """Is shown every batch that is evaluated, so that more is measured in the same pass over the rows.

    Attributes:
        columns: of which the values are to be kept of every batch, if they are there.
    """

    columns: frozenset[str]

    def add(self, rows: Labelled, part: slice, prediction: Prediction, is_seen: NDArray[np.bool_]) -> None:
        """Take a `part` of a batch, its prediction, and [part] which of its rows were seen in fitting."""


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
    base, resmem, limits = stored.base, stored.resmem, limits or Limits()
    limits.refuse_wrong(base.schema.target.task, stored.objective, base.problem.n_outputs)
    if interval is not None:
        conformal.sufficient(resmem.calibration, interval)
    columns, drawing = Columns(by, base.schema), Drawing(stored, groups=groups)
    rows = _Rows(seen, interval, drawing, base.problem.n_outputs, watch)
    report("predicting")
    watched = frozenset[str]() if watch is None else watch.columns
    for batch in labelled.in_batches(source, base.schema, also={*columns.names, *drawing.columns, *watched}):
        rows.add(batch, resmem, predict)
        if batch.rows is not None:
            columns.add(batch.rows)
        report(f"{rows.n_rows:,} rows")
    report("comparing")
    scored = scores.joined(rows.parts)
    every, unseen = scores.samples(scored, seed, drawing.word)
    which = np.ones(len(scored.y), dtype=np.bool_) if unseen is None else ~scored.is_seen
    judged = every if unseen is None else unseen
    is_sliced = by and (unseen is None or unseen.are_enough)
    measured_on = judged if judged.are_enough else every
    evaluation = Evaluation(
        every=every,
        unseen=unseen,
        n_seen=int(scored.is_seen.sum()),
        n_forgotten=base.n_forgotten,
        n_dropped=rows.n_dropped,
        n_unknown_class=rows.n_foreign,
        task=base.schema.target.task,
        objective=stored.objective,
        uses_memory=resmem.uses_memory,
        intervals=rows.coverage,
        slices=columns.slices(scored, which, stored.objective, drawing.word) if is_sliced else None,
        thresholds=thresholds.judged(limits, measured_on.metrics, stored.objective, can_judge=judged.are_enough),
        notes=(*drawing.notes, *scores.notes(scored)),
    )
    shown = which if judged.are_enough else np.ones(len(scored.y), dtype=np.bool_)
    return Measured(evaluation, scored, shown)


class _Rows:
    """What is kept of the labelled rows that were predicted, batch by batch."""

    def __init__(
        self,
        seen: NDArray[np.uint64],
        interval: float | None,
        drawing: Drawing,
        n_outputs: int,
        watch: Watch | None,
    ) -> None:
        """Take the hashes of rows that were seen in fitting, the coverage of intervals if they are wanted, by what
        rows are drawn, how many outputs a prediction has, and who else looks at them.
        """
        self._seen, self._interval, self._drawing, self._n_outputs = seen, interval, drawing, n_outputs
        self._watch = watch
        self._held: list[tuple[NDArray[np.bool_], Floats]] = []
        self.parts: list[Scored] = []
        self.n_rows = self.n_dropped = self.n_foreign = 0

    def add(self, rows: Labelled, resmem: ResMem, predict: Callable[[Floats], Prediction]) -> None:
        """Predict a batch, which may have no rows."""
        self.n_dropped += rows.n_dropped
        self.n_foreign += rows.n_foreign
        if len(rows.y) == 0:
            return
        weight = np.ones(len(rows.y)) if rows.weight is None else rows.weight
        is_seen = np.isin(rows.hashes, self._seen)
        groups = None if rows.rows is None else self._drawing.read(rows.rows)
        before, after = [], []
        for part in row_blocks(len(rows.y), self._n_outputs):
            prediction, y = predict(rows.X[part]), rows.y[part]
            before.append(metrics.reduced(y, prediction.base))
            after.append(metrics.reduced(y, prediction.resmem))
            if self._interval is not None:
                self._held.append(held(resmem.interval(prediction, self._interval), y))
            if self._watch is not None:
                self._watch.add(rows, part, prediction, is_seen[part])
        scored = Scored(rows.y, metrics.joined(before), metrics.joined(after), weight, is_seen, rows.hashes, groups)
        self.parts.append(scored)
        self.n_rows += len(rows.y)

    @property
    def coverage(self) -> Coverage | None:
        """How well intervals hold, if they are wanted."""
        if self._interval is None:
            return None
        inside, size = (np.concatenate(column) for column in zip(*self._held, strict=True))
        return Coverage(self._interval, float(inside.mean()), float(size.mean()))


def held(ends: tuple[Floats, Floats] | NDArray[np.bool_], y: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """Return [n] whether each interval or set holds the truth, and [n] their widths or sizes."""
    if isinstance(ends, tuple):
        lower, upper = ends
        return (lower <= y) & (y <= upper), upper - lower
    return ends[np.arange(len(y)), y.astype(np.int64)], ends.sum(axis=1, dtype=np.float64)
