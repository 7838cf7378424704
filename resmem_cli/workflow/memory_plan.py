"""From what the user asks of a memory to what the folds try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from resmem_cli.errors import UsageError
from resmem_cli.model import encoder, metrics, representation
from resmem_cli.model.bases import Base, Problem
from resmem_cli.model.features import FeatureSpace
from resmem_cli.model.fitting import Place, Residuals
from resmem_cli.model.folds import Plan
from resmem_cli.model.memory import GraphOptions
from resmem_cli.model.representation import LEARNED
from resmem_cli.model.scoring import Grid
from resmem_cli.model.selection import Member
from resmem_cli.model.splitting import Recipe, Rows
from resmem_cli.store.reading import StoredBase


@dataclass(frozen=True)
class Effort:
    """What choosing may cost: which encoders are trained on the bases, how long, and how many memories are kept.

    With `at_ends`, and unless the user asks for encoders, they are trained on the first base and on the last, which
    leaves most to explain: those on bases between were no gain for the mean of several models on seven splits, and half
    of the time. The steps are those of `_ROWS_OF_STEPS` rows.
    """

    encoders: tuple[encoder.Kind, ...]
    n_steps: int
    most_memories: int
    at_ends: bool = False


EFFORTS: Mapping[str, Effort] = {
    "quick": Effort((), 1_000, 4),
    "default": Effort(("mlp", "periodic"), 1_000, 6, at_ends=True),
    "high": Effort(("linear", "mlp", "periodic"), 2_000, 6),
}
_LEAST_ROWS_TO_LEARN = 500
_MOST_WAVY = 100  # numbers: the waves of more, such as an image's, would be most of the work
_ROWS_TO_LOOK_AT = 20_000
# Of fewer rows an encoder has learned what there is in fewer steps, as the root of their share.
_ROWS_OF_STEPS, _LEAST_SHARE_OF_STEPS = 20_000, 0.25


@dataclass(frozen=True)
class MemoryOptions:
    """How to remember; None is chosen by the folds.

    Attributes:
        n_neighbors, bandwidth, shrinkage, temperature: the settings of `kernel.Settings`.
        is_relative: whether `bandwidth` is a fraction of the distance to the k-th neighbour.
        representation: "features", "sensitivity", "model", "column:NAME" or "learned".
        encoder: of a learned representation, one of `encoder.KINDS`.
        n_steps: how long an encoder is trained; None leaves it to `effort`.
        residuals: one of `fitting.RESIDUALS`; None tries cross-fitted ones where a base overfits.
        n_memories: how many corrected models may share the prediction; None leaves it to `effort`.
        objective: one of `metrics.objectives`; None is the task's default.
        effort: one of `EFFORTS`.
        n_folds: at least 2, or 0 to measure nothing, which every setting must then be given for.
        graph: how the search graphs are built.
        most_cells: how many cells a memory may have; None for any number.
    """

    n_neighbors: int | None = None
    bandwidth: float | None = None
    is_relative: bool = True
    shrinkage: float | None = None
    temperature: float | None = None
    representation: str | None = None
    encoder: encoder.Kind | None = None
    n_steps: int | None = None
    residuals: Residuals | None = None
    n_memories: int | None = None
    objective: str | None = None
    effort: str = "default"
    n_folds: int = 5
    graph: GraphOptions = field(default_factory=GraphOptions)
    most_cells: int | None = None
    threads: int = 0


def only_choice(plans: Sequence[Plan], grid: Grid) -> Member:
    """Return the one thing that is left to do where nothing is measured: on the first base, what the user fixed."""
    names = plans[0].representations
    if len(names) > 1 or len(grid.settings(names[0])) > 1:
        raise UsageError(
            "without folds nothing can be chosen",
            "give a number for each setting, --representation and, for a learned one, --encoder; or let --folds be 2 "
            "or more",
        )
    return Member(Place(0, names[0], plans[0].residuals or "in-sample"), grid.settings(names[0])[0])


def objective(base: StoredBase, options: MemoryOptions) -> str:
    """Return what the folds make best."""
    possible = metrics.objectives(base.problem.is_regression)
    if options.objective is None:
        return possible[0]
    if options.objective not in possible:
        task = "regression" if base.problem.is_regression else "classification"
        raise UsageError(
            f"a {task} cannot be judged by {options.objective}", f"choose --metric from: {', '.join(possible)}"
        )
    return options.objective


def n_steps(options: MemoryOptions, n_rows: int) -> int:
    """Return how long an encoder is trained."""
    share = min(1.0, max(_LEAST_SHARE_OF_STEPS, (n_rows / _ROWS_OF_STEPS) ** 0.5))
    return options.n_steps or round(EFFORTS[options.effort].n_steps * share)


def plans(rows: Rows, base: StoredBase, recipes: Sequence[Recipe], options: MemoryOptions) -> list[Plan]:
    """Return what the folds do with each base; with the first alone where its memory is switched off or alone asked."""
    if options.residuals == "cross-fitted" and recipes[0].within.fixed is not None:
        raise UsageError(
            "the base stays as it is, because enough rows are new to it: their residuals need no cross-fitting",
            "leave --residuals out",
        )
    neighbors = grid(rows, base, options).neighbors
    n_bases = 1 if options.shrinkage == 0 or options.n_folds == 0 else len(recipes)
    kinds = _encoders(options, rows, base.problem, n_bases)
    return [
        Plan(
            recipe,
            _representations(fitted, recipe, rows, options, kinds[i]),
            options.residuals,
            max(neighbors),
            options.graph,
            n_steps(options, len(rows.y)),
            None if options.most_cells is None else options.most_cells / len(rows.y),
        )
        for i, (recipe, fitted) in enumerate(list(zip(recipes, base.bases, strict=True))[:n_bases])
    ]


def _encoders(options: MemoryOptions, rows: Rows, problem: Problem, n_bases: int) -> list[tuple[encoder.Kind, ...]]:
    """Return per base the kinds of encoder that are trained on it."""
    if options.encoder is not None:
        return [(options.encoder,)] * n_bases
    effort = EFFORTS[options.effort]
    is_asked = options.representation == "learned"
    kinds = effort.encoders or (EFFORTS["default"].encoders if is_asked else ())
    if "periodic" in kinds and not 0 < _n_wavy(rows, problem) <= _MOST_WAVY:  # of none it would be the same as mlp
        kinds = tuple(kind for kind in kinds if kind != "periodic")
    has_some = [is_asked or not effort.at_ends or i in (0, n_bases - 1) for i in range(n_bases)]
    return [kinds if each else () for each in has_some]


def _n_wavy(rows: Rows, problem: Problem) -> int:
    """Return how many numbers a periodic encoder would make waves of, by some of the rows."""
    step = -(-len(rows.y) // _ROWS_TO_LOOK_AT)
    space = FeatureSpace.fit(rows.X[::step], problem.n_categories, "normal")
    return int(np.count_nonzero(~space.is_two_valued))


def _representations(
    base: Base, recipe: Recipe, rows: Rows, options: MemoryOptions, kinds: Sequence[encoder.Kind]
) -> tuple[str, ...]:
    """Return the names of the representations to choose from."""
    estimator, problem = recipe.spec.estimator, recipe.problem
    cheap = representation.cheap(base, rows.X, problem)
    if options.representation == "learned":
        return tuple(LEARNED + kind for kind in kinds)
    if options.representation is None:
        too_few = len(rows.y) < _LEAST_ROWS_TO_LEARN or options.shrinkage == 0
        return cheap if too_few else cheap + tuple(LEARNED + kind for kind in kinds)
    if options.representation not in cheap:
        raise UsageError(
            f"the base {estimator} has no representation '{options.representation}'",
            f"choose from: {', '.join(cheap)}, learned",
        )
    return (options.representation,)


def grid(rows: Rows, base: StoredBase, options: MemoryOptions) -> Grid:
    """Narrow the default grid to what the user fixed, and to as many neighbours as a fold has rows."""
    if options.n_neighbors is not None and options.n_neighbors > len(rows.y):
        raise UsageError(
            f"{options.n_neighbors} neighbours are asked of a memory of {len(rows.y)} rows",
            f"set --neighbors to at most {len(rows.y)}",
        )
    if options.n_neighbors is not None and options.most_cells is not None and options.n_neighbors > options.most_cells:
        raise UsageError(
            f"{options.n_neighbors} neighbours are asked of at most {options.most_cells} cells",
            "raise --max-cells, or lower --neighbors",
        )
    full = Grid(is_relative=options.is_relative)
    n_cells = min(len(rows.y), options.most_cells or len(rows.y))
    most = max(1, n_cells * (options.n_folds - 1) // max(options.n_folds, 1))
    full = replace(full, neighbors=tuple(k for k in full.neighbors if k <= most) or (1,))
    if base.problem.is_regression:
        full = replace(full, temperatures=(1.0,))
        if options.temperature not in (None, 1.0):
            raise UsageError("a regression has no temperature", "leave --temperature out")
    if not options.is_relative and options.bandwidth is None:
        raise UsageError("an absolute bandwidth cannot be chosen automatically", "give --bandwidth a number")
    if options.bandwidth is not None:
        full = replace(full, own_bandwidths=())
    fixed: Mapping[str, float | None] = {
        "neighbors": options.n_neighbors,
        "bandwidths": options.bandwidth,
        "shrinkages": options.shrinkage,
        "temperatures": options.temperature,
    }
    return replace(full, **{name: (value,) for name, value in fixed.items() if value is not None})  # type: ignore[arg-type]
