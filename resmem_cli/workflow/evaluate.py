"""evaluate: the base and the whole side by side on labelled rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.kinds import Floats
from resmem_cli.data.schema import Task
from resmem_cli.model import conformal, metrics
from resmem_cli.model.metrics import Comparison
from resmem_cli.model.resmem import ResMem
from resmem_cli.store import reading, using
from resmem_cli.workflow import labelled, measured, thread_limit
from resmem_cli.workflow.inputs import Input, Report, silent
from resmem_cli.workflow.labelled import Labelled

# With a larger share of rows that were seen in fitting, a gain says nothing of new rows.
_MOST_SEEN = 0.1


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
class Evaluation:
    """What the rows say.

    Attributes:
        n_rows: how many were scored.
        n_seen: how many of them the base or the memory was fitted on.
        n_forgotten: how many rows that trained the base were forgotten, which cannot be recognised.
        n_dropped: how many had no target, or no weight.
        n_unknown_class: how many had a class that training did not have, and are not scored.
        task: of the model.
        objective: the metric that the folds chose by, and that the verdict is about.
        uses_memory: whether the model corrects anything, or its shrinkage is 0.
        metrics: by name.
        intervals: how well they hold, if asked for.
    """

    n_rows: int
    n_seen: int
    n_forgotten: int
    n_dropped: int
    n_unknown_class: int
    task: Task
    objective: str
    uses_memory: bool
    metrics: dict[str, Comparison]
    intervals: Coverage | None = None

    @property
    def verdict(self) -> str:
        """One sentence: whether the memory helps."""
        name = self.objective
        low, high = self.metrics[name].ci95
        percent = self.metrics[name].gain_percent
        interval = f"(95 % interval {low:+.2f} to {high:+.2f} %)"
        if not self.uses_memory:
            return "The memory is off (its shrinkage is 0): predictions are exactly the base's."
        if self.n_seen > _MOST_SEEN * self.n_rows:
            return (
                f"The memory changes {name} by {percent:+.2f} % {interval}, but {self.n_seen:,} of these rows equal "
                "training rows: do not rely on it; evaluate on other rows."
            )
        if self.n_forgotten and low > 0:
            return (
                f"The memory improves {name} by {percent:.2f} % {interval}: valid only if none of these rows is among "
                f"the {self.n_forgotten:,} training rows of the base that were forgotten."
            )
        if low > 0:
            return f"The memory improves {name} by {percent:.2f} % {interval}: the gain is more than chance."
        if high < 0:
            return f"The memory makes {name} worse by {-percent:.2f} % {interval}: do not use it on rows like these."
        return f"The memory changes {name} by {percent:+.2f} % {interval}: no evidence that it helps or harms."

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints; numbers that are not known are null."""
        return {
            "rows": self.n_rows,
            "seen_rows": self.n_seen,
            "forgotten_rows": self.n_forgotten,
            "dropped_rows": self.n_dropped,
            "unknown_class_rows": self.n_unknown_class,
            "task": self.task.value,
            "objective": self.objective,
            "uses_memory": self.uses_memory,
            "verdict": self.verdict,
            "metrics": {
                name: {key: _known(value) for key, value in asdict(comparison).items()}
                for name, comparison in self.metrics.items()
            },
            "interval": None if self.intervals is None else {k: _known(v) for k, v in asdict(self.intervals).items()},
        }


def evaluate(
    source: Input,
    model: Path,
    *,
    seed: int = 0,
    interval: float | None = None,
    threads: int = 0,
    report: Report = silent,
) -> Evaluation:
    """Compare base and memory on labelled rows; rows without a target or weight, or of an unknown class, are left out.

    Raises:
        DataError: the input cannot be read, does not fit the model's schema, or holds no class that training had.
        ModelError: the model is missing, stale or damaged, or has no memory yet.
    """
    with thread_limit.limited(threads) as count:
        report("loading the model")
        stored = reading.load(model)
        base, resmem = stored.base, stored.resmem
        if interval is not None:
            conformal.sufficient(resmem.calibration, interval)
        scores = _Scores(reading.seen_hashes(model, with_memory=True), interval)
        report("predicting")
        for rows in labelled.in_batches(source, base.schema):
            with using.used(model):
                scores.add(rows, resmem, threads=count)
            report(f"{scores.n_rows:,} rows")
        report("comparing")
        y, before, after, weight = scores.joined()
        compared = metrics.compare(y, before, after, weight, seed)
    return Evaluation(
        n_rows=len(y),
        n_seen=scores.n_seen,
        n_forgotten=base.n_forgotten,
        n_dropped=scores.n_dropped,
        n_unknown_class=scores.n_foreign,
        task=base.schema.target.task,
        objective=stored.objective,
        uses_memory=resmem.uses_memory,
        metrics=compared,
        intervals=scores.coverage,
    )


class _Scores:
    """What is kept of the labelled rows that were predicted, batch by batch."""

    def __init__(self, seen: NDArray[np.uint64], interval: float | None) -> None:
        """Take the hashes of rows that were seen in fitting, and the coverage of intervals, if they are wanted."""
        self._seen, self._interval = seen, interval
        self._parts: list[tuple[Floats, Floats, Floats, Floats]] = []
        self._held: list[tuple[NDArray[np.bool_], Floats]] = []
        self.n_rows = self.n_seen = self.n_dropped = self.n_foreign = 0

    def add(self, rows: Labelled, resmem: ResMem, *, threads: int) -> None:
        """Predict a batch, which may have no rows."""
        self.n_dropped += rows.n_dropped
        self.n_foreign += rows.n_foreign
        if len(rows.y) == 0:
            return
        prediction = resmem.predict(rows.X, threads=threads, with_place=self._interval is not None)
        weight = np.ones(len(rows.y)) if rows.weight is None else rows.weight
        self._parts.append((rows.y, prediction.base, prediction.resmem, weight))
        if self._interval is not None:
            self._held.append(_held(resmem.interval(prediction, self._interval), rows.y))
        self.n_rows += len(rows.y)
        self.n_seen += int(np.isin(rows.hashes, self._seen).sum())

    def joined(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Return [n] targets, [n, outputs] predictions without and with the memory, and [n] weights."""
        y, base, resmem, weight = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        return y, base, resmem, weight

    @property
    def coverage(self) -> Coverage | None:
        """How well intervals hold, if they are wanted."""
        if self._interval is None:
            return None
        inside, size = (np.concatenate(column) for column in zip(*self._held, strict=True))
        return Coverage(self._interval, float(inside.mean()), float(size.mean()))


def _held(ends: tuple[Floats, Floats] | NDArray[np.bool_], y: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """Return [n] whether each interval or set holds the truth, and [n] their widths or sizes."""
    if isinstance(ends, tuple):
        lower, upper = ends
        return (lower <= y) & (y <= upper), upper - lower
    return ends[np.arange(len(y)), y.astype(np.int64)], ends.sum(axis=1, dtype=np.float64)


def _known(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_known(item) for item in value]
    return measured.known(value)
