"""remember and forget: a memory of other rows, without fitting anything again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli import spelling
from resmem_cli.data.schema import Schema
from resmem_cli.errors import DataError, ModelError, UsageError
from resmem_cli.model.resmem import ResMem
from resmem_cli.store import erasing, generations, history, locking, reading, using, writing
from resmem_cli.store.history import Change
from resmem_cli.store.rows import MemoryRows, TrainedRows, category_codes
from resmem_cli.store.stored import StoredModel
from resmem_cli.workflow import drift, labelled, thread_limit
from resmem_cli.workflow.drift import Drift
from resmem_cli.workflow.inputs import Batches, Input, Report, silent
from resmem_cli.workflow.labelled import Labelled


@dataclass(frozen=True)
class Guard:
    """Which rows are too unlikely to be remembered.

    Attributes:
        most: how large a residual may be, in the target's units; None for the default of `drift.refuse_beyond_reason`.
        force: whether any may be.
    """

    most: float | None = None
    force: bool = False


@dataclass(frozen=True)
class Changed:
    """What became of a memory.

    Attributes:
        n_rows: how many rows it holds now.
        n_added, n_removed: how many were new, and how many went, some of them for new ones of the same id.
        n_dropped: rows of the input that have no target, or no weight.
        n_unknown_class: rows of the input with a class that training did not have, which are left out.
        n_repeated: rows of the input whose id a later one has, which alone is kept.
        n_equal: of the new rows, how many equal a remembered one that stays: they count twice now.
        is_bounded: whether there was a bound for the residuals of new rows, or none was wanted.
        is_kept: whether rows that were replaced are kept for undo.
        not_found: ids that were to be forgotten and were not remembered.
        n_trained: of the forgotten rows, how many trained the base, which still knows them.
        n_kept, n_lost: how many earlier memories the rows were erased from that undo can bring back, and how many it
            cannot any more, because nothing else was in them, they were damaged or are equal to another one now.
        recall: per memory; None where the search is exact.
        drift: what the model made of the new rows before it remembered them.
    """

    n_rows: int
    n_added: int
    n_removed: int
    n_dropped: int = 0
    n_unknown_class: int = 0
    n_repeated: int = 0
    n_equal: int = 0
    is_kept: bool = False
    is_bounded: bool = True
    not_found: tuple[str, ...] = ()
    n_trained: int = 0
    n_kept: int = 0
    n_lost: int = 0
    recall: tuple[float | None, ...] = ()
    drift: Drift | None = None

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        counts = ("n_rows", "n_added", "n_removed", "n_dropped", "n_unknown_class", "n_repeated", "n_equal")
        return {
            **{name.removeprefix("n_"): getattr(self, name) for name in counts},
            "not_found": list(self.not_found),
            "n_trained": self.n_trained,
            "n_kept": self.n_kept,
            "n_lost": self.n_lost,
            "recall": list(self.recall),
            "measured": None if self.drift is None else self.drift.to_json(),
        }


def remember(
    source: Input,
    model: Path,
    *,
    guard: Guard = Guard(),
    keep: int = 1,
    threads: int = 0,
    wait: bool = False,
    report: Report = silent,
) -> Changed:
    """Add labelled rows to the memories; where rows have ids, those replace remembered rows of the same id.

    Args:
        source: the rows.
        model: the directory.
        guard: which rows are refused.
        keep: how many earlier memories undo can bring back afterwards.
        threads: how many; 0 for every core.
        wait: until another writer is done, or refuse to.
        report: is told what is being done.

    Raises:
        DataError: the rows cannot be read, do not fit the model's schema, or have residuals that cannot be right.
        ModelError: there is no memory, or one of an older resmem that does not know its rows' residuals.
        OutputError: the directory cannot be written, or another writer is at work.
        UsageError: a bound for residuals is given for classes.
    """
    with locking.alone(model, wait=wait), thread_limit.limited(threads) as count:
        report("loading the model")
        stored, remembered = reading.load_for_change(model)
        drift.refuse_bound_of_classes(stored, guard.most)
        report("reading")
        given = labelled.read(source, stored.base.schema)
        report(f"memorising {len(given.y):,} more rows")
        with using.used(model):
            trained = reading.trained_rows(model)
            resmem, rows, changed = with_rows(stored, remembered, trained, given, guard=guard, threads=count)
        report("writing")
        writing.replace_memory(model, resmem, rows, as_entry(changed), keep=keep)
        is_kept = changed.n_removed > 0 and reading.n_kept(model) > 0
    return replace(changed, is_kept=is_kept)


def with_rows(
    stored: StoredModel,
    remembered: MemoryRows,
    trained: TrainedRows,
    given: Labelled,
    *,
    guard: Guard = Guard(),
    threads: int = 1,
) -> tuple[ResMem, MemoryRows, Changed]:
    """Return a model that also remembers some rows, and what is kept of all; the old model must not be used again.

    Raises:
        DataError: rows have residuals that cannot be right; the old model is as it was.
    """
    new = _last_of_each_id(given)
    is_bounded = guard.force or drift.refuse_beyond_reason(stored, new, guard.most)
    before = drift.measure(stored, np.union1d(remembered.hashes, trained.hashes), new, threads)
    replaced_by = _replaced_by(remembered, new)
    kept = replaced_by < 0
    rows = _joined(remembered, kept, new, stored.base.schema)
    resmem = stored.resmem.remember(
        new.as_new(), replaced_by, rows.weight, seed=stored.base.problem.seed, threads=threads
    )
    changed = Changed(
        n_rows=len(rows.hashes),
        n_added=len(new.y),
        n_removed=int((~kept).sum()),
        n_dropped=given.n_dropped,
        n_unknown_class=given.n_foreign,
        n_repeated=len(given.y) - len(new.y),
        n_equal=int(np.isin(new.hashes, remembered.hashes[kept]).sum()),
        is_bounded=is_bounded,
        recall=_recall(resmem),
        drift=before,
    )
    return resmem, rows, changed


def as_entry(changed: Changed) -> Change:
    """Return what the history says of rows that were remembered or forgotten."""
    if changed.drift is None:
        return Change(history.FORGET, 0, changed.n_removed)
    return Change(history.REMEMBER, changed.n_added, changed.n_removed, changed.drift.to_history())


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
        generations.settle(model)  # a writer that was killed may have left rows that are forgotten by now
        if ids and remembered.ids is None:
            raise UsageError(
                f"the rows of '{model}' have no ids",
                "give the rows as INPUT, or run fit-base with --id, and fit-residual, again",
            )
        trained = reading.trained_rows(model)
        earlier = [_kept(model, back) for back in range(1, reading.n_kept(model) + 1)]
        known = [remembered, *(kept[1] for kept in earlier if kept is not None)]
        if rows is not None:
            report("reading")
        matched = find(stored.base.schema, known, trained, ids=ids, rows=rows, where=where)
        if not matched.are_any:  # what was measured may have been measured on a row that is in no memory any more
            raise not_remembered(matched, was_measured=writing.drop_measured(model))
        report(f"memorising {int((~matched.remembered[0]).sum()):,} rows")
        with using.used(model):
            resmem, left, changed = without_rows(stored, remembered, matched, threads=count)
            others = _without_rows(earlier, matched, threads=count)
        report("writing")
        pairs = list(zip(known, matched.remembered, strict=True))
        gone, stays = [each.take(goes) for each, goes in pairs], [each.take(~goes) for each, goes in pairs]
        erasing.forget_in_base(model, matched.trained, gone, stays)
        writing.replace_every(model, [(resmem, left), *others], as_entry(changed))
        n_left = reading.n_kept(model)
    n_changed = sum(bool(goes.any() and not goes.all()) for goes in matched.remembered[1:])
    return replace(changed, n_kept=min(n_changed, n_left), n_lost=len(earlier) - n_left)


def _kept(model: Path, back: int) -> tuple[StoredModel, MemoryRows] | None:
    """Return a memory that undo could bring back; None if it is damaged, and undo could not."""
    try:
        return reading.load_for_change(model, back)
    except ModelError:
        return None


def _without_rows(
    earlier: Sequence[tuple[StoredModel, MemoryRows] | None], matched: Matched, *, threads: int
) -> list[tuple[ResMem, MemoryRows] | None]:
    """Return earlier memories that do not have the forgotten rows either; None for those of which nothing is left."""
    left = list[tuple[ResMem, MemoryRows] | None]()
    goes = iter(matched.remembered[1:])  # of those that could be read
    for kept in earlier:
        gone = None if kept is None else next(goes)
        if kept is None or gone is None or gone.all():
            left.append(None)
        else:
            rows = kept[1].take(~gone)
            seed = kept[0].base.problem.seed
            left.append((kept[0].resmem.forget(gone, rows.weight, seed=seed, threads=threads), rows))
    return left


def without_rows(
    stored: StoredModel, remembered: MemoryRows, matched: Matched, *, threads: int = 1
) -> tuple[ResMem, MemoryRows, Changed]:
    """Return a model that does not remember some rows, and what is kept of the others.

    Raises:
        UsageError: nothing else is remembered.
    """
    gone = matched.remembered[0]
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
    """Which rows to forget.

    Attributes:
        remembered: [n] of those of every memory: the present one, then those that undo can bring back.
        trained: [m] of those that trained the bases.
        not_found: ids that none has.
    """

    remembered: tuple[NDArray[np.bool_], ...]
    trained: NDArray[np.bool_]
    not_found: tuple[str, ...]

    @property
    def are_any(self) -> bool:
        """Whether there is anything to forget."""
        return any(which.any() for which in (*self.remembered, self.trained))


def find(
    schema: Schema,
    memories: Sequence[MemoryRows],
    trained: TrainedRows,
    *,
    ids: Sequence[str],
    rows: Batches | None,
    where: Sequence[tuple[str, str]] = (),
) -> Matched:
    """Return which rows are to be forgotten, which are not all that are remembered.

    Args:
        schema: of the model.
        memories: what is kept of the remembered rows, and of those of the memories that undo can bring back.
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
    if rows is not None and memories[0].ids is None:
        given = labelled.read(rows, schema, where)
        goes = tuple(np.isin(known.hashes, given.hashes) for known in memories)
        of_trained = _equal_trained(trained, memories, goes)
    else:
        ids = ids if rows is None else labelled.read_ids(rows, schema, where)
        goes = tuple(_among(known.ids or [], ids) for known in memories)
        # By the id: what was replaced since by a row of the same id is another row by what is in it.
        of_trained = _equal_trained(trained, memories, goes) if trained.ids is None else _among(trained.ids, ids)
        every = [trained.ids or [], *(known.ids or [] for known in memories)]
        seen = {spelling.canonical(name) for known in every for name in known}
        not_found = tuple(dict.fromkeys(name for name in ids if spelling.canonical(name) not in seen))
    if goes[0].all():
        raise UsageError("this would forget every remembered row", "run fit-residual with other rows and --keep 0")
    return Matched(goes, of_trained, not_found)


def not_remembered(matched: Matched, *, was_measured: bool) -> DataError:
    """Return what is to be raised where there is nothing to forget but, if there was that, what was measured before."""
    shown = "none of these rows"
    if matched.not_found:
        shown = "no row with the id " + ", ".join(f"'{name}'" for name in matched.not_found[:5])
    erased = ", so only what was measured before was erased from the history" if was_measured else ""
    return DataError(f"{shown} is remembered{erased}", "check the ids, the rows or --where")


def _equal_trained(
    trained: TrainedRows, memories: Sequence[MemoryRows], goes: Sequence[NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """Return [m] which rows that trained the bases are equal to one that is forgotten, and to none that stays."""
    gone, stays = (
        np.concatenate([known.hashes[which ^ left] for known, which in zip(memories, goes, strict=True)])
        for left in (False, True)
    )
    return np.isin(trained.hashes, np.setdiff1d(gone, stays))


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
