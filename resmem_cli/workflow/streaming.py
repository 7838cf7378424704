"""Remembering more rows than can be held: batch by batch, of which only what a memory holds of them is kept.

A model has been fitted on a sample. What it makes of all other rows depends on each of them alone: a point in the space
of every member, and what the base leaves unexplained of it. The base has not seen most of these rows, or none, so that
their residuals are those that new rows have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from resmem_cli.errors import UsageError
from resmem_cli.model.arrays import Singles
from resmem_cli.model.residuals import Residuals, joined
from resmem_cli.model.resmem import Member, ResMem
from resmem_cli.store.reading import StoredBase
from resmem_cli.store.rows import MemoryRows, TrainedRows, category_codes
from resmem_cli.workflow import labelled
from resmem_cli.workflow.inputs import Batches, Report
from resmem_cli.workflow.labelled import Labelled


@dataclass(frozen=True)
class Streamed:
    """A model that remembers all rows, and what is kept of them; the sample comes first.

    Attributes:
        resmem, rows: the model, and the rows.
        n_seen: how many rows beside the sample trained the base and are remembered by their in-sample residuals.
        n_left_out: how many rows that trained the base are not remembered, because cross-fitted residuals were chosen.
    """

    resmem: ResMem
    rows: MemoryRows
    n_seen: int
    n_left_out: int

    def notes(self, n_sampled: int) -> tuple[str, ...]:
        """Return what to say of them: which rows decided, and which rows are remembered in which way."""
        n_others = len(self.rows.hashes) - n_sampled
        said = [
            f"settings were chosen on a sample of {n_sampled:,} rows; of {n_others:,} others, "
            f"{n_others - self.n_seen:,} did not train the base"
        ]
        if self.n_left_out:
            said.append(
                f"{self.n_left_out:,} rows that trained the base are not in the sample and were left out, because "
                "cross-fitted residuals were chosen; fit-base --sample leaves more rows to remember"
            )
        return tuple(said)


@dataclass
class _Gathered:
    """What is kept of the rows of all batches.

    Attributes:
        points, residuals: per member, of every batch.
        rows: what is kept of the rows of every batch beside that.
    """

    points: list[list[Singles]]
    residuals: list[list[Residuals]]
    rows: list[MemoryRows] = field(default_factory=list)
    n_seen: int = 0
    n_left_out: int = 0

    def add(self, batch: Labelled, is_seen: NDArray[np.bool_], base: StoredBase, members: Sequence[Member]) -> int:
        """Keep what the memories hold of a batch, and return of how many of its rows.

        Cross-fitted residuals of rows that trained the base would take a base that did not see them.
        """
        if is_seen.any() and any(member.residuals == "cross-fitted" for member in members):
            self.n_left_out += int(is_seen.sum())
            batch, is_seen = batch.take(np.flatnonzero(~is_seen)), is_seen[~is_seen]
        if not len(batch):
            return 0
        self.n_seen += int(is_seen.sum())
        for i, member in enumerate(members):
            points, residuals = member.remembered(batch.as_new(), base.bases[member.base])
            self.points[i].append(points)
            self.residuals[i].append(residuals)
        self.rows.append(MemoryRows(batch.hashes, batch.ids, batch.weight, category_codes(batch.X, base.schema)))
        return len(batch)


def remember(
    source: Batches,
    limit: float,
    *,
    base: StoredBase,
    trained: TrainedRows,
    resmem: ResMem,
    rows: MemoryRows,
    threads: int,
    report: Report,
) -> Streamed:
    """Return the model that remembers also the rows of an input that are not in the sample it was fitted on.

    Args:
        source: the rows, with those of the sample.
        limit: of the sample, as `labelled.sampled` returned it.
        base: the bases.
        trained: what is known of the rows that trained the bases.
        resmem: the model, which must not be used any more.
        rows: what is kept of the rows that it remembers.
        threads: how many may be used.
        report: is told what is being done.

    Raises:
        DataError: the rows cannot be read.
    """
    members = resmem.members
    gathered = _Gathered([[] for _ in members], [[] for _ in members])
    n_rows = len(rows.hashes)
    for batch in labelled.others(source, base.schema, limit, base.problem.seed):
        is_seen = np.isin(batch.hashes, trained.hashes)
        n_rows += gathered.add(batch, is_seen, base, members)
        report(f"memorising {n_rows:,} rows")
    if not gathered.rows:
        return Streamed(resmem, rows, 0, gathered.n_left_out)
    report(f"indexing {n_rows:,} rows")
    every = _joined([rows, *gathered.rows])
    kept: NDArray[np.bool_] = np.ones(len(rows.hashes), dtype=np.bool_)
    seed, changed = base.problem.seed, list[Member]()
    for member in members:
        points, residuals = np.concatenate(gathered.points.pop(0)), joined(gathered.residuals.pop(0))
        changed.append(member.with_residuals(kept, points, residuals, every.weight, seed=seed, threads=threads))
    return Streamed(replace(resmem, members=tuple(changed)), every, gathered.n_seen, gathered.n_left_out)


def refuse_sample_in_time(sample: int | None, time_column: str | None) -> None:
    """Refuse a sample of rows that are judged by earlier ones: it would have rows of all times.

    Raises:
        UsageError: there is to be one.
    """
    if sample is not None and time_column is not None:
        raise UsageError(
            f"--sample draws rows of all times, and rows are judged by earlier ones of '{time_column}'",
            "leave --sample or --time out",
        )


def _joined(parts: list[MemoryRows]) -> MemoryRows:
    """Return what is kept of the rows of all parts, which have the same of each."""
    ids = [name for part in parts for name in part.ids or ()]
    weights = [part.weight for part in parts if part.weight is not None]
    codes = [part.codes for part in parts if part.codes is not None]
    return MemoryRows(
        np.concatenate([part.hashes for part in parts]),
        None if parts[0].ids is None else ids,
        np.concatenate(weights) if weights else None,
        np.concatenate(codes) if codes else None,
    )
