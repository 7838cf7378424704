"""diagnose: what `evaluate` measures and, from the same pass over the rows, what a report shows beside it."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.kinds import Floats
from resmem_cli.data.places import Place
from resmem_cli.model import explanation, reliability, slices
from resmem_cli.model.conformal import Calibration
from resmem_cli.model.reliability import Reliability
from resmem_cli.model.resmem import Prediction
from resmem_cli.model.slices import SliceGain
from resmem_cli.store import reading, using
from resmem_cli.store.rows import RowNames
from resmem_cli.store.stored import StoredModel
from resmem_cli.workflow import evaluate, thread_limit
from resmem_cli.workflow.evaluate import Evaluation, Measured
from resmem_cli.workflow.examples import Example, Extremes
from resmem_cli.workflow.input_drift import Counting, InputDrift
from resmem_cli.workflow.inputs import Batches, Input, Report, silent
from resmem_cli.workflow.labelled import Labelled
from resmem_cli.workflow.scored_batches import Coverage, held
from resmem_cli.workflow.slices import AUTO

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)  # of intervals that are checked
# Percentiles of the distances among remembered rows, between which rows are put together by their nearest one.
SUPPORT = (0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 99.0, 100.0)
_MOST_CLASSES = 20  # of which the gain is given one by one


@dataclass(frozen=True)
class NamedGain:
    """The gain in some of the rows, by what they have in common."""

    name: str
    of: SliceGain


@dataclass(frozen=True)
class Diagnosis:
    """What the rows say, closer.

    Attributes:
        evaluation: what `evaluate` says of them. What follows is about the rows of its verdict or, if these are too
            few, about all.
        stored: the model.
        n_rows: how many rows that is.
        by_distance: the gain by how far the nearest remembered row is, as a percentile of the distances among
            remembered rows, nearest first.
        by_class: the gain by the true class, the most frequent first; of classes only.
        base, resmem: how reliable the predictions are.
        coverages: how well intervals of several levels hold; empty without enough held-out rows.
        far: the share of rows that are farther from their nearest remembered row than 99 % of these are.
        drift: the features beside those of the training rows, of all labelled rows.
        examples: the rows that gain most, then those that lose most.
        fingerprint: SHA-256 of all labelled rows as they are encoded, in their order, whatever the file format.
    """

    evaluation: Evaluation
    stored: StoredModel
    n_rows: int
    by_distance: tuple[NamedGain, ...]
    by_class: tuple[NamedGain, ...]
    base: Reliability
    resmem: Reliability
    coverages: tuple[Coverage, ...]
    far: float
    drift: InputDrift
    examples: tuple[Example, ...]
    fingerprint: str


def diagnose(
    source: Input,
    model: Place,
    *,
    seed: int = 0,
    by: Sequence[str] = (AUTO,),
    threads: int = 0,
    report: Report = silent,
) -> Diagnosis:
    """Evaluate a model on labelled rows, and measure what explains the result; the arguments are those of `evaluate`.

    Raises:
        DataError, ModelError, UsageError: as `evaluate`.
    """
    with thread_limit.limited(threads) as count:
        report("loading the model")
        stored, names = reading.load_with_rows(model)
        seen = reading.seen_hashes(model, with_memory=True)
        with using.used(model):
            usual = explanation.usual_distances(stored.resmem.members[0].memory, threads=count)
        predict = evaluate.predictor(stored, model, threads=count, with_place=True)
        return of_rows(
            source, stored, names, seen, predict, usual=usual, seed=seed, by=by, threads=count, report=report
        )


def of_rows(
    source: Batches,
    stored: StoredModel,
    names: RowNames,
    seen: NDArray[np.uint64],
    predict: Callable[[Floats], Prediction],
    *,
    usual: Floats,
    seed: int,
    by: Sequence[str],
    threads: int,
    groups: str | None = None,
    report: Report = silent,
) -> Diagnosis:
    """Diagnose a model that is loaded; `names` are those of its remembered rows, else as `evaluate.of_rows`.

    `usual` is what `explanation.usual_distances` gives for the first member's memory.

    Raises:
        DataError, UsageError: as `evaluate`.
    """
    watch = _Watch(stored, usual)
    measured = evaluate.of_rows(
        source, stored, seen, predict, seed=seed, interval=None, by=by, groups=groups, watch=watch, report=report
    )
    report("explaining")
    return watch.diagnosis(measured, names, threads)


class _Watch:
    """What is kept of the rows beside what an evaluation keeps: a byte a row, and counts."""

    def __init__(self, stored: StoredModel, usual: Floats) -> None:
        self._stored, self._usual = stored, usual
        self._levels = _levels(stored.resmem.calibration)
        # [unseen or seen rows, level] how many targets the intervals hold, and the sum of their sizes.
        self._held, self._sizes = np.zeros((2, 2, len(self._levels)))
        self._n_rows = np.zeros(2)
        self._support: list[NDArray[np.int8]] = []
        self._counting = Counting(stored)
        self._extremes = [Extremes(stored.base.schema, stored.objective) for _ in range(2)]
        id_column = stored.base.schema.id_column
        self.columns = self._extremes[0].columns | ({id_column} if id_column is not None else set())

    def add(self, rows: Labelled, part: slice, prediction: Prediction, is_seen: NDArray[np.bool_]) -> None:
        y, seen = rows.y[part], is_seen.astype(np.int64)
        self._n_rows += np.bincount(seen, minlength=2)
        for i, level in enumerate(self._levels):
            inside, size = held(self._stored.resmem.interval(prediction, level), y)
            self._held[:, i] += np.bincount(seen, inside, 2)
            self._sizes[:, i] += np.bincount(seen, size, 2)
        percentiles = explanation.percentiles(np.asarray(prediction.distance), self._usual)
        self._support.append(np.searchsorted(SUPPORT[1:-1], percentiles, side="right").astype(np.int8))
        self._counting.add(rows, part)
        positions = np.arange(len(rows.y))[part]
        for which, extremes in enumerate(self._extremes):
            own = np.flatnonzero(seen == which)
            some = Prediction(prediction.base[own], prediction.resmem[own])
            extremes.add(rows, positions[own], y[own], some)

    def diagnosis(self, measured: Measured, names: RowNames, threads: int) -> Diagnosis:
        """Return what was measured, once all rows have passed."""
        evaluation, scored, which = measured
        is_of_all = bool(which.all())
        rows = scored if is_of_all else scored.take(which)
        support = np.concatenate(self._support)[which]
        shown = slice(0, 2 if is_of_all else 1)
        n_rows = self._n_rows[shown].sum()
        held, sizes = (each[shown].sum(axis=0) / n_rows for each in (self._held, self._sizes))

        def gains(codes: NDArray[np.int64], labels: Sequence[str]) -> tuple[NamedGain, ...]:
            used, codes = np.unique(codes, return_inverse=True)
            (found,) = slices.gains(
                rows.y,
                rows.first,
                rows.second,
                rows.weight,
                objective=evaluation.objective,
                slicings=[codes],
                groups=rows.independent,
            )
            return tuple(NamedGain(labels[i], gain) for i, gain in zip(used.tolist(), found, strict=True))

        classes = self._stored.base.schema.target.class_names
        by_class = gains(rows.y.astype(np.int64), classes) if classes else ()
        return Diagnosis(
            evaluation=evaluation,
            stored=self._stored,
            n_rows=len(rows.y),
            by_distance=gains(support.astype(np.int64), _bins()),
            by_class=tuple(sorted(by_class, key=lambda each: -each.of.n_rows)[:_MOST_CLASSES]),
            base=reliability.of(rows.y, rows.first, rows.weight),
            resmem=reliability.of(rows.y, rows.second, rows.weight),
            coverages=tuple(map(Coverage, self._levels, held.tolist(), sizes.tolist())),
            far=float(np.mean(support == len(SUPPORT) - 2)),
            drift=self._counting.drift(),
            examples=self._examples(names, threads, of_seen=is_of_all),
            fingerprint=hashlib.sha256(scored.hashes.astype("<u8").tobytes()).hexdigest(),
        )

    def _examples(self, names: RowNames, threads: int, *, of_seen: bool) -> tuple[Example, ...]:
        """Return the rows that changed most; of those that were seen, too, only if no verdict sets them aside."""
        if not self._stored.resmem.uses_memory:
            return ()
        unseen, seen = self._extremes
        # Where all rows are shown though some were seen, the others are too few; these may be all that there are.
        chosen = seen if of_seen and not self._n_rows[0] else unseen
        return tuple(chosen.explained(self._stored, names, self._usual, threads))


def _levels(calibration: Calibration | None) -> list[float]:
    """Return the levels that enough rows were held out for."""
    if calibration is None:
        return []
    return [level for level in LEVELS if math.isfinite(calibration.quantile(level))]


def _bins() -> list[str]:
    """Return what the bins of distances are called."""
    return [f"percentile {low:g} to {high:g}" for low, high in itertools.pairwise(SUPPORT)]
