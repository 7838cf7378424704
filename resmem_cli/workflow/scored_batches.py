"""Labelled rows, batch by batch, with two predictions: what every evaluation looks at."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.kinds import Floats
from resmem_cli.model import metrics
from resmem_cli.model.arrays import is_in_sorted, row_blocks
from resmem_cli.model.resmem import Prediction
from resmem_cli.store.stored import StoredModel
from resmem_cli.workflow import labelled
from resmem_cli.workflow.drawing import Drawing
from resmem_cli.workflow.inputs import Batches, Foreign
from resmem_cli.workflow.labelled import Labelled
from resmem_cli.workflow.scores import Scored


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
class Held:
    """How many rows' truths intervals, or sets of classes, hold.

    Attributes:
        n_rows: how many rows have one.
        n_inside: how many of these hold the truth.
        size: the sum of their widths, or numbers of classes.
    """

    n_rows: int = 0
    n_inside: int = 0
    size: float = 0.0

    def merged(self, other: Held) -> Held:
        """Return what holds of the rows of both."""
        return Held(self.n_rows + other.n_rows, self.n_inside + other.n_inside, self.size + other.size)

    def coverage(self, level: float | None) -> Coverage | None:
        """Return the shares of intervals of a level; None if there are none."""
        if level is None or not self.n_rows:
            return None
        return Coverage(level, self.n_inside / self.n_rows, self.size / self.n_rows)


class Watch(Protocol):
    """Is shown every batch that is evaluated, so that more is measured in the same pass over the rows.

    Attributes:
        columns: of which the values are to be kept of every batch, if they are there.
    """

    columns: frozenset[str]

    def add(self, rows: Labelled, part: slice, prediction: Prediction, is_seen: NDArray[np.bool_]) -> None:
        """Take a `part` of a batch, its prediction, and [part] which of its rows were seen in fitting."""


class ScoredBatches:
    """Predicts labelled rows, and counts those that are left out.

    Attributes:
        n_read: how many rows there were so far.
        n_dropped: how many of them had no target, or no weight.
        foreign: those of classes that training did not have.
        held: how well intervals hold, if they are wanted.
    """

    def __init__(
        self,
        stored: StoredModel,
        seen: NDArray[np.uint64],
        predict: Callable[[Floats], Prediction],
        drawing: Drawing,
        *,
        interval: float | None = None,
        watch: Watch | None = None,
    ) -> None:
        """Take a model, the ascending hashes of rows that were seen in fitting, what predicts encoded rows, by what
        rows are drawn, the level of intervals if they are wanted, and who else looks at the rows.
        """
        self._stored, self._predict, self._drawing = stored, predict, drawing
        self._seen = np.unique(seen)  # sorted once, and not for every batch
        self._interval, self._watch = interval, watch
        self.n_read = self.n_dropped = 0
        self.foreign, self.held = Foreign(), Held()

    def of(
        self, source: Batches, also: Collection[str] = (), *, may_be_empty: bool = False
    ) -> Iterator[tuple[Labelled, Scored]]:
        """Yield the rows of every batch of which some count; the columns `also` are kept, if they are there.

        Raises:
            DataError: the input cannot be read, does not fit the schema, or has no row that counts, unless it
                `may_be_empty`.
        """
        watched = frozenset[str]() if self._watch is None else self._watch.columns
        columns = {*also, *self._drawing.columns, *watched}
        for batch in labelled.in_batches(
            source, self._stored.base.schema, also=columns, foreign=self.foreign, may_be_empty=may_be_empty
        ):
            self.n_dropped += batch.n_dropped
            self.n_read += len(batch.y) + batch.n_dropped + batch.n_foreign
            if len(batch.y):
                yield batch, self._scored(batch)

    def _scored(self, rows: Labelled) -> Scored:
        weight = np.ones(len(rows.y)) if rows.weight is None else rows.weight
        is_seen = is_in_sorted(rows.hashes, self._seen)
        groups = None if rows.rows is None else self._drawing.read(rows.rows)
        before, after = [], []
        for part in row_blocks(len(rows.y), self._stored.base.problem.n_outputs):
            prediction, y = self._predict(rows.X[part]), rows.y[part]
            before.append(metrics.reduced(y, prediction.base))
            after.append(metrics.reduced(y, prediction.resmem))
            if self._interval is not None:
                inside, size = held(self._stored.resmem.interval(prediction, self._interval), y)
                self.held = self.held.merged(Held(len(y), int(inside.sum()), float(size.sum())))
            if self._watch is not None:
                self._watch.add(rows, part, prediction, is_seen[part])
        return Scored(
            rows.y, metrics.joined(before), metrics.joined(after), weight, is_seen, rows.hashes, rows.keys, groups
        )


def held(ends: tuple[Floats, Floats] | NDArray[np.bool_], y: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """Return [n] whether each interval or set holds the truth, and [n] their widths or sizes."""
    if isinstance(ends, tuple):
        lower, upper = ends
        return (lower <= y) & (y <= upper), upper - lower
    return ends[np.arange(len(y)), y.astype(np.int64)], ends.sum(axis=1, dtype=np.float64)
