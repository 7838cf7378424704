"""evaluate on a Dask cluster: workers make parts of the evaluation, which are put together here, in order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data import places
from resmem_cli.data.places import Place
from resmem_cli.data.sources import Source
from resmem_cli.errors import EngineError, UsageError
from resmem_cli.model import resampling
from resmem_cli.store import reading
from resmem_cli.store.stored import StoredModel
from resmem_cli.workflow import evaluation_parts
from resmem_cli.workflow.cluster import Workers, connected, refuse_pipes
from resmem_cli.workflow.cutting import cut
from resmem_cli.workflow.evaluate import Evaluation, predictor, refuse_wrong
from resmem_cli.workflow.evaluation_parts import EvaluationPart, PartOptions
from resmem_cli.workflow.inputs import Input, Report, silent
from resmem_cli.workflow.loaded_once import LoadedOnce, one_at_a_time, refuse_other_model
from resmem_cli.workflow.predicted import model_of
from resmem_cli.workflow.thresholds import Limits

# A call reads small files together, so many or of so many bytes: what it returns would be larger than one of them.
_MOST_FILES, _LEAST_BYTES = 100, 8 << 20
_MOST_WAITING = 100  # parts of some megabytes that are held because one before them is not done yet


def evaluate(
    source: Input,
    model: Place,
    workers: Workers,
    *,
    seed: int = 0,
    interval: float | None = None,
    limits: Limits | None = None,
    report: Report = silent,
) -> Evaluation:
    """Evaluate as `evaluate.evaluate` does, by the workers of a cluster; all but roc_auc, which is binned, is the same.

    The memory that this takes here does not grow with the rows. The arguments are those of `evaluate.evaluate`, which
    can also tell the gain by slices.

    Raises:
        DataError, ModelError, UsageError: as there; or the input is standard input.
        EngineError: the workers cannot be reached, have another resmem, or do not see the same files.
    """
    report("loading the model")
    stored = reading.load(model)
    refuse_wrong(stored, interval, limits or Limits())
    found = source.sources()
    refuse_pipes(found)
    if source.dialect.over(stored.base.schema.dialect).drop_totals:
        raise UsageError(
            "--drop-totals looks at the end of the whole input, which no worker reads", "leave out --engine dask"
        )
    n_rows = source.count_rows()
    options = PartOptions(resampling.n_resamples(n_rows or 0), seed, interval)
    report("starting the workers" if workers.scheduler is None else "reaching the scheduler")
    with connected(workers) as cluster:
        if not cluster.is_local:
            found = [each.absolute() for each in found]
            model = places.absolute(model)
        own = replace(source, words=(), found=None, notes=[])
        work = _Work(own, model, model_of(stored.base.id, stored.id), options, cluster.threads)
        calls = enumerate(_calls(found, workers.rows))
        whole = _InOrder()

        def take() -> _Call | None:
            return None if whole.n_waiting >= _MOST_WAITING else next((_Call(*each) for each in calls), None)

        for call, outcome in cluster.done(partial(_part, work), take):
            if isinstance(outcome, EngineError):
                raise outcome
            part, notes = outcome
            source.take_notes(notes)
            whole.add(call.number, part)
            report(f"{whole.n_read:,} rows", whole.n_read / n_rows if n_rows else None)
    return whole.part.evaluation(stored, limits)


@dataclass(frozen=True)
class _Work:
    """What a worker has to know, whatever the files."""

    source: Input
    model: Place
    identity: str
    options: PartOptions
    threads: int


@dataclass(frozen=True)
class _Call:
    """Some files, or a part of one, to be evaluated by one call."""

    number: int
    sources: tuple[Source, ...]

    def __str__(self) -> str:
        others = f" and {len(self.sources) - 1:,} other files" if len(self.sources) > 1 else ""
        return f"'{self.sources[0].name}'{others}"


def _calls(found: list[Source], rows: int) -> Iterator[tuple[Source, ...]]:
    """Yield what each call is to read, in order: a part of a large file, or some small files."""
    small, n_bytes = list[Source](), 0
    for part in itertools.chain.from_iterable(cut(source, rows) for source in found):
        size = _LEAST_BYTES if part.path is None or part.row_groups is not None else places.size(part.path)
        if small and (len(small) == _MOST_FILES or n_bytes + size > _LEAST_BYTES):
            yield tuple(small)
            small, n_bytes = [], 0
        small.append(part)
        n_bytes += size
    if small:
        yield tuple(small)


def _part(work: _Work, call: _Call) -> tuple[EvaluationPart, tuple[str, ...]]:
    """Evaluate on a worker what a call reads; return it with the notes on what looked odd."""
    stored, seen = _models.get((work.model, work.identity), partial(_loaded, work))
    predict = predictor(stored, work.model, threads=work.threads, with_place=work.options.interval is not None)
    source = replace(work.source, found=call.sources, notes=[])
    with one_at_a_time(is_needed=not stored.base.is_thread_safe):
        part = evaluation_parts.part_of(source, stored, seen, predict, options=work.options)
    return part, tuple(source.notes)


def _loaded(work: _Work) -> tuple[StoredModel, NDArray[np.uint64]]:
    stored = reading.load(work.model)
    refuse_other_model(work.model, model_of(stored.base.id, stored.id), work.identity)
    return stored, reading.seen_hashes(work.model, with_memory=True)


_models = LoadedOnce[tuple[StoredModel, NDArray[np.uint64]]]()


class _InOrder:
    """Parts that come in any order, put together in that of the input: the last digits of sums depend on it."""

    def __init__(self) -> None:
        self._waiting: dict[int, EvaluationPart] = {}
        self._next = 0
        self._part: EvaluationPart | None = None

    def add(self, number: int, part: EvaluationPart) -> None:
        self._waiting[number] = part
        while (following := self._waiting.pop(self._next, None)) is not None:
            self._part = following if self._part is None else self._part.merge(following)
            self._next += 1

    @property
    def n_waiting(self) -> int:
        """How many parts are held."""
        return len(self._waiting)

    @property
    def part(self) -> EvaluationPart:
        """All of them."""
        if self._part is None:
            raise ValueError("there is no part")
        return self._part

    @property
    def n_read(self) -> int:
        """How many rows were read so far."""
        return sum(part.n_read for part in (self._part, *self._waiting.values()) if part is not None)
