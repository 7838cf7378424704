"""fit-residual: choose how to remember by folds, and memorise the residuals of labelled rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from resmem_cli.data import encoding
from resmem_cli.errors import DataError, UsageError
from resmem_cli.model import memorising, metrics, selection
from resmem_cli.model.bases import Base
from resmem_cli.model.fitting import Fitting, Place, Represented, Residuals, represent
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memory import HnswIndex
from resmem_cli.model.neighbourhood import Neighbourhood
from resmem_cli.model.resmem import Remembered
from resmem_cli.model.selection import Member, Selection
from resmem_cli.model.splitting import Recipe, Rows, has_enough_new
from resmem_cli.store import locking, reading, using, writing
from resmem_cli.store.memories import MemoryPart, MemoryRows, category_codes
from resmem_cli.store.reading import StoredBase
from resmem_cli.workflow import labelled, memory_plan
from resmem_cli.workflow import threads as threading
from resmem_cli.workflow.inputs import Input, Report, silent
from resmem_cli.workflow.memory_plan import EFFORTS, MemoryOptions

# A base whose metric on the rows to remember is less than this share of that on others was trained on them.
_OVERFITTED = 0.5


@dataclass(frozen=True)
class BuiltMemory:
    """One of the memories: on which base, where, how it is used, and its share of the prediction.

    `recall` is None where the search is exact.
    """

    estimator: str
    representation: str
    residuals: Residuals
    settings: Settings
    weight: float
    n_cells: int
    recall: float | None


@dataclass(frozen=True)
class FittedMemory:
    """What was chosen and built; `selection` is None if nothing was measured.

    `estimators` names the bases, in the order that the selection counts them by; `is_switched_off` says that the user,
    and not the folds, set the shrinkage to 0. `n_dropped` rows have no target or weight and `n_unknown_class` a class
    that training did not have: these are left out. `n_repeated_ids` rows share their id with another one. `own_losses`
    are the first base's metric on the rows to remember and on the further rows that it was not trained on, if there
    are any. `too_few` says how many rows could be held out, where they were too few to measure by.
    """

    selection: Selection | None
    memories: tuple[BuiltMemory, ...]
    estimators: tuple[str, ...]
    objective: str
    n_rows: int
    n_seen: int
    n_dropped: int
    n_unknown_class: int
    n_repeated_ids: int
    is_switched_off: bool
    can_refit: bool
    own_losses: tuple[float, float] | None = None
    too_few: int | None = None

    @property
    def looks_trained_on(self) -> bool:
        """Whether the base is so much better on the rows to remember that it was probably trained on them."""
        if self.own_losses is None:
            return False
        own, other = self.own_losses
        return (1 - own) < _OVERFITTED * (1 - other) if self.objective == "accuracy" else own < _OVERFITTED * other

    @property
    def uses_memory(self) -> bool:
        return any(memory.settings.shrinkage > 0 for memory in self.memories)


def fit_residual(
    source: Input,
    model: Path,
    options: MemoryOptions,
    report: Report = silent,
    *,
    valid: Input | None = None,
    wait: bool = False,
) -> FittedMemory:
    """Memorise the residuals of labelled rows under the stored bases; earlier memories are replaced.

    Args:
        source: the rows.
        model: the directory.
        options: how to remember.
        report: is told what is being done.
        valid: further rows, which the bases were not trained on. Then the settings are chosen by these alone, of which
            a memory knows nothing that holds the others; the memory that is kept holds these too.
        wait: until another writer is done, or refuse to.

    Raises:
        DataError: the rows cannot be read, or do not fit the model's schema.
        ModelError: there is no base.
        OutputError: the directory cannot be written, or another writer is at work.
        UsageError: the settings contradict each other, the task or the number of rows.
    """
    with locking.alone(model, wait=wait), threading.limited(options.threads) as threads:
        report("loading the base")
        base = reading.load_base(model)
        using.refuse_unusable(model, base)
        objective = memory_plan.objective(base, options)
        report("reading")
        known = labelled.read(source, base.schema)
        n_first = len(known.y)
        if valid is not None:
            known = known.joined(labelled.read(valid, base.schema))
        hashes = encoding.hash_rows(known.X, known.y)
        is_new = ~np.isin(hashes, reading.seen_hashes(model, with_memory=False))
        is_valid = None if valid is None else np.arange(len(hashes)) >= n_first
        if base.n_forgotten:  # which rows those were is not known any more: any but those of --valid may be one
            is_new &= False if is_valid is None else is_valid
        rows = Rows(known.X, known.y, known.weight, is_new, is_valid)
        recipes = _recipes(base, rows)
        report("planning what to try")
        too_few = _too_few(rows, recipes[0], options)
        chosen, members, trained = _choose(
            rows, base, recipes, options, too_few=too_few, threads=threads, report=report
        )
        fittings = [
            Fitting(
                rows,
                fitted,
                recipe.within,
                memory_plan.n_steps(options, len(rows.y)),
                threads,
                report,
                starts={place[1:]: state for place, state in trained.items() if place.base == i},
            )
            for i, (fitted, recipe) in enumerate(zip(base.bases, recipes, strict=True))
        ]
        report("representing the rows")
        represented = represent(fittings, [member.place for member in members], threads)
        report(f"memorising {len(rows.y):,} rows")
        built = [
            MemoryPart(_memorised(fittings, member, found, options), member.weight, member.place.residuals)
            for member, found in zip(members, represented, strict=True)
        ]
        report("writing")
        memory_rows = MemoryRows(hashes, known.ids, known.weight, category_codes(known.X, base.schema))
        writing.save_memory(
            model,
            base.id,
            built,
            memory_rows,
            objective=objective,
            folds=_folds_json(chosen),
            calibration=None if chosen is None else chosen.calibration,
        )
    estimators = tuple(spec.estimator for spec in base.specs)
    return FittedMemory(
        selection=chosen,
        memories=tuple(_described(part, estimators) for part in built),
        estimators=estimators,
        objective=objective,
        n_rows=len(rows.y),
        n_seen=int((~is_new).sum()),
        n_dropped=known.n_dropped,
        n_unknown_class=known.n_foreign,
        n_repeated_ids=known.n_repeated_ids,
        is_switched_off=options.shrinkage == 0,
        can_refit=all(spec.can_refit for spec in base.specs),
        own_losses=None if valid is None else _own_losses(base.bases[0], rows, n_first, objective),
        too_few=too_few,
    )


def _memorised(fittings: Sequence[Fitting], member: Member, found: Represented, options: MemoryOptions) -> Remembered:
    clip = options.n_neighbors is None
    fitting = fittings[member.place.base]
    return memorising.memorise(
        fitting,
        member.place,
        member.settings,
        options.graph,
        represented=found,
        clip_neighbors=clip,
        most_cells=options.most_cells,
    )


def _described(part: MemoryPart, estimators: Sequence[str]) -> BuiltMemory:
    corrected, index = part.remembered.corrected, part.remembered.corrected.memory.index
    return BuiltMemory(
        estimator=estimators[corrected.base],
        representation=corrected.representation.name,
        residuals=part.residuals,
        settings=corrected.settings,
        weight=part.weight,
        n_cells=len(part.remembered.cells.points),
        recall=index.recall if isinstance(index, HnswIndex) else None,
    )


def _own_losses(base: Base, rows: Rows, n_first: int, objective: str) -> tuple[float, float]:
    losses = metrics.row_loss(rows.y, base.predict(rows.X), objective)
    weight = np.ones(len(losses)) if rows.weight is None else rows.weight
    halves = (slice(0, n_first), slice(n_first, None))
    own, other = (float(np.average(losses[half], weights=weight[half])) for half in halves)
    return metrics.as_metric(objective, own), metrics.as_metric(objective, other)


def _too_few(rows: Rows, recipe: Recipe, options: MemoryOptions) -> int | None:
    """Return how many rows can be held out, if that says nothing of a gain; None if it does or nobody asks."""
    if options.n_folds == 0:
        return None
    held_out = recipe.honest(rows)
    n_different = int(recipe.problem.groups(held_out.X).max(initial=-1)) + 1
    return len(held_out.y) if len(held_out.y) < selection.LEAST_HELD_OUT or n_different < options.n_folds else None


def _choose(
    rows: Rows,
    base: StoredBase,
    recipes: Sequence[Recipe],
    options: MemoryOptions,
    *,
    too_few: int | None,
    threads: int,
    report: Report,
) -> tuple[Selection | None, tuple[Member, ...], Mapping[Place, Neighbourhood]]:
    plans, grid = memory_plan.plans(rows, base, recipes, options), memory_plan.grid(rows, base, options)
    if options.n_folds == 0:
        return None, (memory_plan.only_choice(plans, grid),), {}
    if options.n_folds == 1:
        raise UsageError("one fold leaves no other rows to fit on", "let --folds be 2 or more, or 0 to choose nothing")
    if too_few is not None:
        if grid.is_forced:
            raise UsageError(
                f"{too_few:,} held-out rows are too few to choose settings by",
                f"give at least {selection.LEAST_HELD_OUT}, or every setting and --folds 0",
            )
        return None, (selection.nothing(grid, [Place(0, name) for name in plans[0].representations]),), {}
    if len(rows.y) < 2 * options.n_folds:
        raise DataError(
            f"{len(rows.y)} rows are too few for {options.n_folds} folds", "give more rows, or lower --folds"
        )
    chosen, trained = selection.select(
        rows,
        plans,
        grid,
        objective=memory_plan.objective(base, options),
        most_members=options.n_memories or EFFORTS[options.effort].most_memories,
        n_folds=options.n_folds,
        threads=threads,
        report=report,
    )
    return chosen, chosen.members, trained


def _recipes(base: StoredBase, rows: Rows) -> list[Recipe]:
    """Where enough rows are new to the bases they stay, and are asked about those; otherwise every fold fits anew.

    A base from elsewhere stays always, and where rows were given to decide by every base does.

    Raises:
        UsageError: none of those rows is new to the base.
    """
    came = not all(spec.can_refit for spec in base.specs)
    if rows.is_valid is not None and not (rows.is_new & rows.is_valid).any():
        raise UsageError(
            "the base was trained on every row of --valid", "give labelled rows that the base was not trained on"
        )
    to_remember = rows.is_new if rows.is_valid is None else rows.is_new[~rows.is_valid]
    has_new = came or has_enough_new(to_remember)
    stays = has_new or rows.is_valid is not None
    pairs = zip(base.specs, base.bases, strict=True)
    return [Recipe(spec, base.problem, fitted if stays else None, not has_new) for spec, fitted in pairs]


def _folds_json(chosen: Selection | None) -> dict[str, Any]:
    if chosen is None:
        return {}
    named = asdict(replace(chosen, calibration=None))  # which has a file of its own
    del named["calibration"]
    for group in ("members", "candidates"):
        named[group] = [each | {"place": each["place"]._asdict()} for each in named[group]]
    return named
