"""Remembering more rows than can be held: batch by batch, of which only what a memory holds of them is kept.

A model has been fitted on a sample. What it makes of all other rows depends on each of them alone: a point in the space
of every member, and what the base leaves unexplained of it. The base has not seen most of these rows, or none, so that
their residuals are those that new rows have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from resmem_cli.errors import DataError, UsageError
from resmem_cli.model.arrays import Singles
from resmem_cli.model.residuals import Residuals, joined
from resmem_cli.model.resmem import Member, ResMem
from resmem_cli.store.rows import MemoryRows, category_codes
from resmem_cli.store.stored import StoredBase
from resmem_cli.workflow import labelled
from resmem_cli.workflow.inputs import Batches, Input, Report
from resmem_cli.workflow.known_rows import KnownRows
from resmem_cli.workflow.labelled import Labelled, Sampled


@dataclass(frozen=True)
class Streamed:
    """A model that remembers all rows, and what is kept of them; the sample comes first.

    Attributes:
        resmem, rows: the model, and the rows.
        n_seen: how many rows beside the sample trained the base and are remembered by their in-sample residuals.
        n_left_out: how many rows that the base knows are not remembered, because cross-fitted residuals were chosen.
        n_related: how many of these did not train it, as far as is known, but share a group with rows that did, or may
            be rows that it was told to forget.
    """

    resmem: ResMem
    rows: MemoryRows
    n_seen: int
    n_left_out: int
    n_related: int

    def notes(self, n_sampled: int, n_valid: int) -> tuple[str, ...]:
        """Return what to say of them: which rows decided, and which rows are remembered in which way."""
        n_others = len(self.rows.hashes) - n_sampled - n_valid
        chosen = f"settings were chosen on a sample of {n_sampled:,} rows"
        if n_valid:
            chosen = (
                f"settings were chosen on the {n_valid:,} rows of --valid, by a memory of a sample of {n_sampled:,}"
            )
        said = [f"{chosen}; of {n_others:,} others, {n_others - self.n_seen:,} did not train the base"]
        if self.n_left_out:
            who = " or may have (by their group, or because rows of it were forgotten)" if self.n_related else ""
            said.append(
                f"{self.n_left_out:,} rows that trained the base{who} are not in the sample and were left out, because "
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
    n_related: int = 0

    def add(self, batch: Labelled, known: KnownRows, base: StoredBase, members: Sequence[Member]) -> int:
        """Keep what the memories hold of a batch, and return of how many of its rows.

        Cross-fitted residuals of rows that the base knows would take a base that did not see them.
        """
        is_seen = known.have(batch)
        if any(member.residuals == "cross-fitted" for member in members):
            # Of a base that has forgotten rows it is not known any more which they were.
            are_new = known.are_new(batch) & (base.n_forgotten == 0)
            self.n_left_out += int((~are_new).sum())
            self.n_related += int((~are_new & ~is_seen).sum())
            batch, is_seen = batch.take(np.flatnonzero(are_new)), is_seen[are_new]
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
    sample: Sampled,
    *,
    base: StoredBase,
    known: KnownRows,
    resmem: ResMem,
    rows: MemoryRows,
    threads: int,
    report: Report,
) -> Streamed:
    """Return the model that remembers also the rows of an input that are not in the sample it was fitted on.

    Args:
        source: the rows, with those of the sample.
        sample: as `labelled.sampled` returned it.
        base: the bases.
        known: the rows that the bases know, which has met all rows.
        resmem: the model, which must not be used any more.
        rows: what is kept of the rows that it remembers.
        threads: how many may be used.
        report: is told what is being done.

    Raises:
        DataError: the rows cannot be read, or have changed since the sample was drawn.
    """
    members = resmem.members
    gathered = _Gathered([[] for _ in members], [[] for _ in members])
    n_rows = len(rows.hashes)
    for batch in labelled.others(source, base.schema, sample, base.problem.seed):
        n_rows += gathered.add(batch, known, base, members)
        report(f"memorising {n_rows:,} rows")
    if not gathered.rows:
        return Streamed(resmem, rows, 0, gathered.n_left_out, gathered.n_related)
    report(f"indexing {n_rows:,} rows")
    every = _joined([rows, *gathered.rows])
    kept: NDArray[np.bool_] = np.ones(len(rows.hashes), dtype=np.bool_)
    seed, changed = base.problem.seed, list[Member]()
    for member in members:
        points, residuals = np.concatenate(gathered.points.pop(0)), joined(gathered.residuals.pop(0))
        changed.append(member.with_residuals(kept, points, residuals, every.weight, seed=seed, threads=threads))
    resmem = replace(resmem, members=tuple(changed))
    return Streamed(resmem, every, gathered.n_seen, gathered.n_left_out, gathered.n_related)


@contextmanager
def hinting_at(sample: Sampled | None) -> Iterator[None]:
    """Add to the hint of what is wrong with the rows that there are more, if they are a sample.

    Raises:
        DataError: as what is done within it.
    """
    try:
        yield
    except DataError as error:
        if sample is None or sample.is_all:
            raise
        raise DataError(error.message, f"{error.hint}, or raise --sample") from error


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


def refuse_sample_of_pipe(sample: int | None, source: Input) -> None:
    """Refuse a sample of rows that can be read only once: the others could not be remembered.

    Raises:
        UsageError: there is to be one.
    """
    name = None if sample is None else source.read_once_only()
    if name is not None:
        raise UsageError(
            f"--sample reads the rows twice, and {name} can be read only once", "write them to a file, and name that"
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
