"""remember and forget: a memory of other rows, without fitting anything again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resmem_cli import spelling
from resmem_cli.data.schema import Schema
from resmem_cli.errors import DataError, UsageError
from resmem_cli.model.resmem import ResMem
from resmem_cli.model.rows import LabelledRows
from resmem_cli.store import erasing, locking, reading, using, writing
from resmem_cli.store.reading import StoredModel
from resmem_cli.store.rows import MemoryRows, TrainedRows, category_codes
from resmem_cli.workflow import labelled, thread_limit
from resmem_cli.workflow.inputs import Batches, Input, Report, silent
from resmem_cli.workflow.labelled import Labelled


@dataclass(frozen=True)
class Changed:
    """What became of a memory.

    Attributes:
        n_rows: how many rows it holds now.
        n_added, n_removed: how many were new, and how many went, some of them for new ones of the same id.
        n_dropped: rows of the input that have no target, or no weight.
        n_unknown_class: rows of the input with a class that training did not have, which are left out.
        n_repeated: rows of the input whose id a later one has, which alone is kept.
        not_found: ids that were to be forgotten and were not remembered.
        n_trained: of the forgotten rows, how many trained the base, which still knows them.
        recall: per memory; None where the search is exact.
    """

    n_rows: int
    n_added: int
    n_removed: int
    n_dropped: int = 0
    n_unknown_class: int = 0
    n_repeated: int = 0
    not_found: tuple[str, ...] = ()
    n_trained: int = 0
    recall: tuple[float | None, ...] = ()


def remember(source: Input, model: Path, *, threads: int = 0, wait: bool = False, report: Report = silent) -> Changed:
    """Add labelled rows to the memories; where rows have ids, those replace remembered rows of the same id.

    Raises:
        DataError: the rows cannot be read, or do not fit the model's schema.
        ModelError: there is no memory, or one of an older resmem that does not know its rows' residuals.
        OutputError: the directory cannot be written, or another writer is at work.
    """
    with locking.alone(model, wait=wait), thread_limit.limited(threads) as count:
        report("loading the model")
        stored, remembered = reading.load_for_change(model)
        report("reading")
        given = labelled.read(source, stored.base.schema)
        report(f"memorising {len(given.y):,} more rows")
        with using.used(model):
            resmem, rows, changed = with_rows(stored, remembered, given, threads=count)
        report("writing")
        writing.replace_memory(model, resmem, rows)
    return changed


def with_rows(
    stored: StoredModel, remembered: MemoryRows, given: Labelled, *, threads: int = 1
) -> tuple[ResMem, MemoryRows, Changed]:
    """Return a model that also remembers some rows, and what is kept of all; the old model must not be used again."""
    new = _last_of_each_id(given)
    replaced_by = _replaced_by(remembered, new)
    kept = replaced_by < 0
    rows = _joined(remembered, kept, new, stored.base.schema)
    resmem = stored.resmem.remember(
        LabelledRows(new.X, new.y, new.weight, np.ones(len(new.y), dtype=np.bool_)),
        replaced_by,
        rows.weight,
        seed=stored.base.problem.seed,
        threads=threads,
    )
    return (
        resmem,
        rows,
        Changed(
            n_rows=len(rows.hashes),
            n_added=len(new.y),
            n_removed=int((~kept).sum()),
            n_dropped=given.n_dropped,
            n_unknown_class=given.n_foreign,
            n_repeated=len(given.y) - len(new.y),
            recall=_recall(resmem),
        ),
    )


def forget(
    model: Path,
    *,
    ids: Sequence[str] = (),
    rows: Input | None = None,
    where: Sequence[tuple[str, str]] = (),
    threads: int = 0,
    wait: bool = False,
    report: Report = silent,
) -> Changed:
    """Erase rows from the memories, and every trace of them from the model directory.

    Args:
        model: the directory.
        ids: of the rows, as the id column says them.
        rows: rows to erase instead, found again by their ids or, where rows have none, by what is in them.
        where: columns and their values: of `rows`, only those that have them all.
        threads: how many; 0 for every core.
        wait: until another writer is done, or refuse to.
        report: is told what is being done.

    Raises:
        DataError: the rows cannot be read, do not fit the model's schema, or none of them is remembered.
        ModelError: there is no memory, or one of an older resmem that does not know its rows' residuals.
        OutputError: the directory cannot be written, or another writer is at work.
        UsageError: there are ids where rows have none, or nothing else is remembered.
    """
    with locking.alone(model, wait=wait), thread_limit.limited(threads) as count:
        report("loading the model")
        stored, remembered = reading.load_for_change(model)
        writing.sweep(model)  # a writer that was killed may have left rows that are forgotten by now
        if ids and remembered.ids is None:
            raise UsageError(
                f"the rows of '{model}' have no ids",
                "give the rows as INPUT, or run fit-base with --id, and fit-residual, again",
            )
        trained = reading.trained_rows(model)
        if rows is not None:
            report("reading")
        matched = find(stored.base.schema, remembered, trained, ids=ids, rows=rows, where=where)
        report(f"memorising {int((~matched.remembered).sum()):,} rows")
        with using.used(model):
            resmem, left, changed = without_rows(stored, remembered, matched, threads=count)
        report("writing")
        erasing.forget_in_base(model, matched.trained, remembered.take(matched.remembered), left)
        writing.replace_memory(model, resmem, left)
    return changed


def without_rows(
    stored: StoredModel, remembered: MemoryRows, matched: Matched, *, threads: int = 1
) -> tuple[ResMem, MemoryRows, Changed]:
    """Return a model that does not remember some rows, and what is kept of the others.

    Raises:
        UsageError: nothing else is remembered.
    """
    gone = matched.remembered
    left = remembered.take(~gone)
    resmem = stored.resmem.forget(gone, left.weight, seed=stored.base.problem.seed, threads=threads)
    changed = Changed(
        n_rows=len(left.hashes),
        n_added=0,
        n_removed=int(gone.sum()),
        not_found=matched.not_found,
        n_trained=int(matched.trained.sum()),
        recall=_recall(resmem),
    )
    return resmem, left, changed


@dataclass(frozen=True)
class Matched:
    """Which rows to forget: [n] of those remembered, [m] of those that trained the bases; and ids that none has."""

    remembered: NDArray[np.bool_]
    trained: NDArray[np.bool_]
    not_found: tuple[str, ...]


def find(
    schema: Schema,
    remembered: MemoryRows,
    trained: TrainedRows,
    *,
    ids: Sequence[str],
    rows: Batches | None,
    where: Sequence[tuple[str, str]] = (),
) -> Matched:
    """Return which rows are to be forgotten: at least one, and not all that are remembered.

    Args:
        schema: of the model.
        remembered: what is kept of the remembered rows.
        trained: what is kept of the rows that trained the bases.
        ids: of the rows.
        rows: or the rows themselves.
        where: columns and their values: of `rows`, only those that have them all.

    Raises:
        DataError, UsageError: as `forget`.
    """
    if rows is None and not ids:
        raise UsageError("no rows to forget are given", "give --ids or INPUT")
    not_found: tuple[str, ...] = ()
    if rows is not None and remembered.ids is None:
        given = labelled.read(rows, schema, where)
        goes = np.isin(remembered.hashes, given.hashes)
        matched = Matched(goes, _equal_trained(trained, remembered, goes), ())
    else:
        own, ids = remembered.ids or [], ids if rows is None else labelled.read_ids(rows, schema, where)
        goes = _among(own, ids)
        # By the id: what was replaced since by a row of the same id is another row by what is in it.
        by_id = _equal_trained(trained, remembered, goes) if trained.ids is None else _among(trained.ids, ids)
        seen = set(map(spelling.canonical, [*own, *(trained.ids or [])]))
        not_found = tuple(dict.fromkeys(name for name in ids if spelling.canonical(name) not in seen))
        matched = Matched(goes, by_id, not_found)
    if not (matched.remembered.any() or matched.trained.any()):
        shown = (
            "none of these rows"
            if not not_found
            else "no row with the id " + ", ".join(f"'{n}'" for n in not_found[:5])
        )
        raise DataError(f"{shown} is remembered", "check the ids, the rows or --where")
    if matched.remembered.all():
        raise UsageError("this would forget every remembered row", "run fit-residual with other rows")
    return matched


def _equal_trained(trained: TrainedRows, remembered: MemoryRows, goes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return [m] which rows that trained the bases are equal to one that is forgotten, and to none that stays."""
    return np.isin(trained.hashes, np.setdiff1d(remembered.hashes[goes], remembered.hashes[~goes]))


def _among(ids: Sequence[str], wanted: Sequence[str]) -> NDArray[np.bool_]:
    """Return [n] which of the ids are wanted, whatever the types of the columns that they come from."""
    forms = set(map(spelling.canonical, wanted))
    return np.array([spelling.canonical(name) in forms for name in ids], dtype=bool)


def _last_of_each_id(new: Labelled) -> Labelled:
    """Return the rows without those whose id a later one has, too; rows without an id all stay."""
    if new.ids is None:
        return new
    forms = list(map(spelling.canonical, new.ids))
    last = {form: i for i, form in enumerate(forms) if form}
    stays = np.array([not form or last[form] == i for i, form in enumerate(forms)], dtype=bool)
    return new.take(np.flatnonzero(stays))


def _replaced_by(remembered: MemoryRows, new: Labelled) -> NDArray[np.int64]:
    """Return for every remembered row which of the new ones replaces it, because it has the same id; -1 if none."""
    if remembered.ids is None or new.ids is None:
        return np.full(len(remembered.hashes), -1)
    places = {spelling.canonical(name): i for i, name in enumerate(new.ids) if name}
    return np.array([places.get(spelling.canonical(name), -1) for name in remembered.ids], dtype=np.int64)


def _joined(remembered: MemoryRows, kept: NDArray[np.bool_], new: Labelled, schema: Schema) -> MemoryRows:
    """Return what is kept of the remembered rows that stay, and of the new ones after them."""
    stays = remembered.take(kept)
    ids = None if stays.ids is None else [*stays.ids, *(new.ids or [""] * len(new.y))]
    codes, added = stays.codes, category_codes(new.X, schema)
    if codes is not None and added is not None:
        codes = np.concatenate([codes, added])
    weight = None
    if stays.weight is not None or new.weight is not None:
        every = (np.ones(len(stays.hashes)) if stays.weight is None else stays.weight, new.weight)
        weight = np.concatenate([every[0], np.ones(len(new.y)) if every[1] is None else every[1]])
    return MemoryRows(np.concatenate([stays.hashes, new.hashes]), ids, weight, codes)


def _recall(resmem: ResMem) -> tuple[float | None, ...]:
    return tuple(member.memory.recall for member in resmem.members)
