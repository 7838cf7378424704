"""fit-residual: choose how to remember by folds, and memorise the residuals of labelled rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from resmem_cli.data import encoding
from resmem_cli.data.kinds import Floats
from resmem_cli.data.schema import Schema
from resmem_cli.errors import DataError, UsageError
from resmem_cli.model import representation, resmem, selection
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memory import GraphOptions, HnswIndex
from resmem_cli.model.representation import LEARNED, Fitting
from resmem_cli.model.selection import Grid, Selection
from resmem_cli.model.splitting import Recipe, Rows, has_enough_new
from resmem_cli.store import reading, writing
from resmem_cli.store.reading import StoredBase
from resmem_cli.store.writing import MemoryRows
from resmem_cli.workflow import threads as threading
from resmem_cli.workflow.inputs import Input, Report, labels, silent, unlabelled

# What each effort trains.
_ENCODERS: Mapping[str, tuple[str, ...]] = {
    "quick": (),
    "default": ("linear", "mlp"),
    "high": ("diagonal", "linear", "mlp"),
}
_STEPS: Mapping[str, int] = {"quick": 400, "default": 400, "high": 1_500}
_LEAST_ROWS_TO_LEARN = 500


@dataclass(frozen=True)
class MemoryOptions:
    """How to remember; None is chosen by the folds.

    Attributes:
        n_neighbors, bandwidth, shrinkage, temperature: the settings of `kernel.Settings`.
        is_relative: whether `bandwidth` is a fraction of the distance to the k-th neighbour.
        representation: "features", "sensitivity", "model" or "learned".
        encoder: of a learned representation, one of `encoder.KINDS`.
        n_steps: how long an encoder is trained; None leaves it to `effort`.
        effort: "quick" trains no encoder, "high" trains every kind, and longer.
        n_folds: at least 2, or 0 to measure nothing, which every setting must then be given for.
        graph: how the search graph is built.
    """

    n_neighbors: int | None = None
    bandwidth: float | None = None
    is_relative: bool = True
    shrinkage: float | None = None
    temperature: float | None = None
    representation: str | None = None
    encoder: str | None = None
    n_steps: int | None = None
    effort: str = "default"
    n_folds: int = 5
    graph: GraphOptions = field(default_factory=GraphOptions)
    threads: int = 0


@dataclass(frozen=True)
class FittedMemory:
    """What was chosen and built; `selection` is None if nothing was measured.

    `is_switched_off` says that the user, and not the folds, set the shrinkage to 0.
    """

    selection: Selection | None
    representation: str
    settings: Settings
    n_rows: int
    n_seen: int
    n_dropped: int
    n_cells: int
    recall: float | None
    is_regression: bool
    is_switched_off: bool


def fit_residual(source: Input, model: Path, options: MemoryOptions, report: Report = silent) -> FittedMemory:
    """Memorise the residuals of labelled rows under the stored base; an earlier memory is replaced.

    Raises:
        DataError: the rows cannot be read, or do not fit the model's schema.
        ModelError: there is no base.
        UsageError: the settings contradict each other or the number of rows.
    """
    with threading.limited(options.threads) as threads:
        base = reading.load_base(model)
        report("reading")
        labelled = _labelled(source, base.schema)
        X, y, weight = labelled.X, labelled.y, labelled.weight
        hashes = encoding.hash_rows(X, y)
        is_new = ~np.isin(hashes, reading.seen_hashes(model, with_memory=False))
        rows = Rows(X, y, weight, is_new)
        chosen, name, settings = _choose(rows, base, options, threads, report)
        fitting = Fitting(rows, base.base, _recipe(base, rows), _n_steps(options), threads, report)
        space = fitting.fit(name)
        report(f"memorising {len(y):,} rows")
        remembered = resmem.memorise(
            base.base,
            space,
            settings,
            (X, y, weight),
            options.graph,
            seed=base.problem.seed,
            threads=threads,
            clip_neighbors=options.n_neighbors is None,
            report=report,
        )
        report("writing")
        writing.save_memory(model, base.id, remembered, MemoryRows(hashes, labelled.ids), _folds_json(chosen))
    index = remembered.model.memory.index
    return FittedMemory(
        selection=chosen,
        representation=name,
        settings=remembered.model.settings,
        n_rows=len(y),
        n_seen=int((~is_new).sum()),
        n_dropped=labelled.n_dropped,
        n_cells=len(remembered.cells.points),
        recall=index.recall if isinstance(index, HnswIndex) else None,
        is_regression=base.problem.is_regression,
        is_switched_off=options.shrinkage == 0,
    )


@dataclass(frozen=True)
class _Labelled:
    """The encoded rows that can be remembered: those with a target, and with weight if there are weights."""

    X: Floats
    y: Floats
    weight: Floats | None
    ids: list[str] | None
    n_dropped: int


def _labelled(source: Input, schema: Schema) -> _Labelled:
    encoded, targets, weights = [], [], []
    ids: list[str] = []
    n_rows = 0
    for batch in source.batches(columns=schema.needed):
        y, weight, keep = labels(batch, schema)
        encoded.append(encoding.encode(batch, schema)[0][keep])
        targets.append(y[keep])
        weights += [] if weight is None else [weight[keep]]
        if schema.id_column is not None:
            ids += [name for name, kept in zip(encoding.as_ids(batch, schema), keep, strict=True) if kept]
        n_rows += len(batch)
    y = np.concatenate(targets)
    if len(y) == 0:
        raise unlabelled(n_rows, schema)
    joined = np.concatenate(weights) if weights else None
    named = ids if schema.id_column is not None else None
    return _Labelled(np.concatenate(encoded), y, joined, named, n_rows - len(y))


def _choose(
    rows: Rows, base: StoredBase, options: MemoryOptions, threads: int, report: Report
) -> tuple[Selection | None, str, Settings]:
    n_rows = len(rows.y)
    if options.n_neighbors is not None and options.n_neighbors > n_rows:
        raise UsageError(
            f"{options.n_neighbors} neighbours are asked of a memory of {n_rows} rows",
            f"set --neighbors to at most {n_rows}",
        )
    grid = _grid(rows, base, options)
    if options.n_folds == 0:
        if len(grid.choices) > 1:
            raise UsageError(
                "without folds nothing can be chosen",
                "give a number for each setting, --representation and, for a learned one, --encoder; "
                "or let --folds be 2 or more",
            )
        return None, *grid.choices[0]
    if options.n_folds == 1:
        raise UsageError("one fold leaves no other rows to fit on", "let --folds be 2 or more, or 0 to choose nothing")
    if n_rows < 2 * options.n_folds:
        raise DataError(f"{n_rows} rows are too few for {options.n_folds} folds", "give more rows, or lower --folds")
    chosen = selection.select(
        rows,
        _recipe(base, rows),
        grid,
        n_folds=options.n_folds,
        n_steps=_n_steps(options),
        graph=options.graph,
        threads=threads,
        report=report,
    )
    return chosen, chosen.representation, chosen.settings


def _recipe(base: StoredBase, rows: Rows) -> Recipe:
    """Where enough rows are new to the base it stays, and they are asked; otherwise every fold fits it anew."""
    return Recipe(base.spec, base.problem, base.base if has_enough_new(rows.is_new) else None)


def _n_steps(options: MemoryOptions) -> int:
    return options.n_steps or _STEPS[options.effort]


def _representations(base: StoredBase, rows: Rows, options: MemoryOptions) -> tuple[str, ...]:
    """Return the names of the representations to choose from."""
    names = representation.available(base.base, rows.X)
    kinds = (options.encoder,) if options.encoder else _ENCODERS[options.effort]
    if options.representation == "learned" and not kinds:
        kinds = _ENCODERS["default"]
    too_few = len(rows.y) < _LEAST_ROWS_TO_LEARN and options.representation != "learned"
    learned = () if too_few else tuple(LEARNED + kind for kind in kinds)
    if options.representation == "learned":
        return learned
    cheap = tuple(name for name in names if not name.startswith(LEARNED))
    if options.representation is None:
        return cheap + learned
    if options.representation not in cheap:
        raise UsageError(
            f"the base {base.spec.estimator} has no representation '{options.representation}'",
            f"choose from: {', '.join(cheap)}, learned",
        )
    return (options.representation,)


def _grid(rows: Rows, base: StoredBase, options: MemoryOptions) -> Grid:
    """Narrow the default grid to what the user fixed, and to as many neighbours as a fold has rows."""
    grid = Grid(_representations(base, rows, options), is_relative=options.is_relative)
    most = max(1, len(rows.y) * (options.n_folds - 1) // max(options.n_folds, 1))
    grid = replace(grid, neighbors=tuple(k for k in grid.neighbors if k <= most) or (1,))
    if base.problem.is_regression:
        grid = replace(grid, temperatures=(1.0,))
        if options.temperature not in (None, 1.0):
            raise UsageError("a regression has no temperature", "leave --temperature out")
    if not options.is_relative and options.bandwidth is None:
        raise UsageError("an absolute bandwidth cannot be chosen automatically", "give --bandwidth a number")
    if options.bandwidth is not None:
        grid = replace(grid, own_bandwidths=())
    fixed: Mapping[str, float | None] = {
        "neighbors": options.n_neighbors,
        "bandwidths": options.bandwidth,
        "shrinkages": options.shrinkage,
        "temperatures": options.temperature,
    }
    return replace(grid, **{name: (value,) for name, value in fixed.items() if value is not None})  # type: ignore[arg-type]


def _folds_json(chosen: Selection | None) -> dict[str, Any]:
    return {} if chosen is None else asdict(chosen) | {"helps": chosen.helps}
