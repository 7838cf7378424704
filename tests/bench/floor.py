"""What a model cannot do without: its bases, its encoders' matrix products, its searches; and where its time goes.

Nothing here reads or writes files: rows are encoded, scaled and represented beforehand, so that the floor is what the
libraries need alone, in batches of as many rows and in as many threads as `resmem predict` uses.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from resmem_cli.data import encoding
from resmem_cli.model.arrays import Floats, Singles
from resmem_cli.model.bases.protocol import predict_and_represent
from resmem_cli.model.memory.index import HnswIndex
from resmem_cli.model.parallel import in_order
from resmem_cli.model.resmem import Member, ResMem
from resmem_cli.model.scaling import Encoded
from resmem_cli.model.spaces.learned import Learned, encoder_inputs
from resmem_cli.store import reading
from resmem_cli.workflow import thread_limit
from resmem_cli.workflow.inputs import Input

_BATCH = 32_768
_BLOCK = 256  # rows that an encoder's products are made of at once


def encoded(model: Path, source: Path, n_rows: int) -> tuple[ResMem, Floats]:
    """Return the model, and the first rows of a file as it encodes them."""
    stored = reading.load(model)
    batches = Input((str(source),)).batches(65_536, stored.base.schema.needed)
    parts, n = [], 0
    for batch in batches:
        parts.append(encoding.encode(batch, stored.base.schema)[0])
        n += len(parts[-1])
        if n >= n_rows:
            break
    return stored.resmem, np.concatenate(parts)[:n_rows]


def rate(model: Path, source: Path, n_rows: int, threads: int) -> float:
    """Return the rows per second of a model's unavoidable parts, the better of two runs."""
    with thread_limit.limited(threads):
        resmem, X = encoded(model, source, n_rows)
        batches = [_prepared(resmem, X[start : start + _BATCH]) for start in range(0, len(X), _BATCH)]
        is_safe = all(base.is_thread_safe for base in resmem.bases)
        seconds = []
        for _ in range(2):
            began = time.perf_counter()
            for _done in in_order(lambda jobs: [job() for job in jobs], batches, threads if is_safe else 1):
                pass
            seconds.append(time.perf_counter() - began)
    return len(X) / min(seconds)


def parts(
    model: Path, source: Path, n_rows: int, *, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Return the microseconds per row, of one thread and by a clock, that each part of predicting takes."""
    with thread_limit.limited(1):
        resmem, X = encoded(model, source, n_rows)
        took = dict.fromkeys(("bases", "spaces", "search", "kernel"), 0.0)

        def timed(what: str, job: Callable[[], Any]) -> Any:
            began = clock()
            done = job()
            took[what] += 1e6 * (clock() - began) / len(X)
            return done

        for start in range(0, len(X), 2_048):
            block = X[start : start + 2_048]
            of_bases = timed("bases", lambda block=block: resmem.ask_bases(block))
            rows = Encoded(block, {id(resmem.bases[i]): points for i, points in of_bases.represented.items()})
            for member in resmem.members:
                base, predicted = resmem.bases[member.base], of_bases.predictions[member.base]
                place = timed("spaces", lambda m=member, b=base, p=predicted, rows=rows: m.space.represent(rows, b, p))
                k = member.settings.n_neighbors
                timed("search", lambda m=member, place=place, k=k: m.memory.neighbors(place.points, k, 1))
                near = member.neighbors(rows, base, predicted, 1)
                timed("kernel", lambda m=member, near=near: m.predictions(near))
    return took


def _prepared(resmem: ResMem, X: Floats) -> list[Callable[[], Any]]:
    """Return the jobs that a batch cannot do without."""
    jobs: list[Callable[[], Any]] = []
    of_bases = resmem.ask_bases(X)
    for i in of_bases.predictions:
        base = resmem.bases[i]
        is_represented = i in of_bases.represented
        jobs.append(partial(predict_and_represent, base, X) if is_represented else partial(base.predict, X))
    for member in resmem.members:
        jobs += _of_member(member, resmem, X, of_bases.predictions[member.base])
    return jobs


def _of_member(member: Member, resmem: ResMem, X: Floats, predictions: Floats) -> list[Callable[[], Any]]:
    jobs: list[Callable[[], Any]] = []
    base, space, index, k = resmem.bases[member.base], member.space, member.memory.index, member.settings.n_neighbors
    if isinstance(space, Learned):
        inputs, encoder = encoder_inputs(space.scaler, space.target_scale, X, predictions), space.trained.encoder
        jobs.append(lambda: [encoder.forward(inputs[i : i + _BLOCK]) for i in range(0, len(inputs), _BLOCK)])
    points = np.ascontiguousarray(space.represent(Encoded(X), base, predictions).points)
    if isinstance(index, HnswIndex):
        index.graph.set_ef(max(index.ef, k))
        jobs.append(lambda: index.graph.knn_query(points, k=k, num_threads=1))
    else:
        jobs.append(lambda: _exact(index, points, k))
    return jobs


def _exact(index: Any, points: Singles, k: int) -> Any:
    return index.search(points, min(k, len(index.points)), 1)
