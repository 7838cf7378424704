"""What the folds do with every base, from what the user asks: which spaces and residuals they try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resmem_cli.errors import UsageError
from resmem_cli.model import cost, spaces
from resmem_cli.model.bases import Base, Problem
from resmem_cli.model.choosing.grid import grid
from resmem_cli.model.choosing.options import EFFORTS, MemoryOptions, schedule
from resmem_cli.model.memory.index import GraphOptions
from resmem_cli.model.network import MOST_PERIODIC
from resmem_cli.model.rows import LabelledRows, Recipe
from resmem_cli.model.scaling import Scaler
from resmem_cli.model.spaces import encoder, learned
from resmem_cli.model.spaces.learning import Schedule
from resmem_cli.model.spaces.training import RESIDUAL_KINDS, ResidualKind, Training

_LEAST_ROWS_TO_LEARN = 500
_ROWS_TO_LOOK_AT = 20_000


@dataclass(frozen=True)
class Plan:
    """What every fold does with one base.

    Attributes:
        recipe: how the base comes about.
        spaces: the names of those to search in.
        residuals: of which kind; None tries cross-fitted ones too, where encoders are trained and the base overfits.
        n_neighbors: the largest k that will be asked for.
        graph: how its graphs are built.
        schedule: of the training of encoders.
        share_of_cells: how many cells a memory may have for every row, or None for any number.
        tried: spaces and kinds of residuals that another fold has tried, which then are those to try.
        temperatures: those that will be asked for.
        n_largest: how many classes a residual holds beside the row's own; None if it holds all.
    """

    recipe: Recipe
    spaces: tuple[str, ...]
    residuals: ResidualKind | None
    n_neighbors: int
    graph: GraphOptions
    schedule: Schedule
    share_of_cells: float | None = None
    tried: tuple[tuple[str, ResidualKind], ...] = ()
    temperatures: tuple[float, ...] = (1.0,)
    n_largest: int | None = None

    @property
    def n_learned(self) -> int:
        """How many spaces are trained, which is most of what it costs."""
        return sum(spaces.kind_of(name).needs_training for name in self.spaces)

    @property
    def learns(self) -> bool:
        return self.n_learned > 0

    @property
    def takes_long(self) -> bool:
        """Whether its run takes as long as one that trains encoders."""
        return self.learns or self.recipe.kind.takes_long

    @property
    def is_open(self) -> bool:
        """Whether it is to be seen which kinds of residuals there are to try."""
        return self.residuals is None and self.learns and self.recipe.within.fixed is None

    def kinds(self, name: str, training: Training) -> tuple[ResidualKind, ...]:
        """Return the kinds of residuals to try: an encoder learns nothing from those of a base that overfits."""
        if self.residuals is not None:
            return (self.residuals,)
        if not self.is_open or not training.overfits:
            return ("in-sample",)
        return ("cross-fitted",) if spaces.kind_of(name).needs_training else RESIDUAL_KINDS


def plans(rows: LabelledRows, bases: Sequence[Base], recipes: Sequence[Recipe], options: MemoryOptions) -> list[Plan]:
    """Return what the folds do with each base."""
    if options.residuals == "cross-fitted" and recipes[0].within.fixed is not None:
        raise UsageError(
            "enough rows are new to the base, so it is not refitted: their residuals need no cross-fitting",
            "leave --residuals out",
        )
    neighbors = grid(rows, recipes[0].problem, options).neighbors
    kinds = _encoders(options, rows, recipes)
    return [
        Plan(
            recipe,
            _spaces(fitted, recipe, rows, options, kinds[i], n_bases=len(recipes)),
            options.residuals,
            max(neighbors),
            options.graph,
            schedule(options, len(rows.y), recipe.problem.n_outputs),
            None if options.most_cells is None else options.most_cells / len(rows.y),
            n_largest=options.n_largest(recipe.problem),
        )
        for i, (recipe, fitted) in enumerate(zip(recipes, bases, strict=True))
    ]


def _encoders(options: MemoryOptions, rows: LabelledRows, recipes: Sequence[Recipe]) -> list[tuple[encoder.Kind, ...]]:
    """Return per base the kinds of encoder that are trained on it."""
    problem = recipes[0].problem
    if options.encoder is not None:
        return [(options.encoder,)] * len(recipes)
    if options.n_largest(problem) is not None:
        return [()] * len(recipes)
    effort = EFFORTS[options.effort]
    if options.space == "learned":
        kinds = _without_periodic(effort.encoders or EFFORTS["default"].encoders, rows, problem)
        return [kinds] * len(recipes)
    kinds = _without_periodic(effort.encoders, rows, problem)
    are_constant = [recipe.kind.is_constant for recipe in recipes]
    others = [i for i, recipe in enumerate(recipes) if not (are_constant[i] or recipe.kind.takes_long)]
    others = [*others[:1], *others[-1:]]
    if not any(are_constant):
        return [kinds if i in (others or [0]) else () for i in range(len(recipes))]
    beside = (
        () if encoder.is_large(problem.n_outputs) else tuple(kind for kind in effort.beside_constant if kind in kinds)
    )
    return [kinds if constant else beside if i in others else () for i, constant in enumerate(are_constant)]


def _without_periodic(
    kinds: tuple[encoder.Kind, ...], rows: LabelledRows, problem: Problem
) -> tuple[encoder.Kind, ...]:
    """Leave out the periodic encoder where no column has such features, so that it would be `mlp`, or too many have."""
    if "periodic" in kinds and not 0 < _n_periodic(rows, problem) <= MOST_PERIODIC:
        return tuple(kind for kind in kinds if kind != "periodic")
    return kinds


def _n_periodic(rows: LabelledRows, problem: Problem) -> int:
    """Return how many numeric columns a periodic encoder would make periodic features of, by some of the rows."""
    if len(problem.n_categories) > cost.WIDE:  # which it reads as principal components, all of them numbers
        return len(problem.n_categories)
    step = -(-len(rows.y) // _ROWS_TO_LOOK_AT)
    scaler = Scaler.fit(rows.X[::step], problem.n_categories, "normal")
    return int(np.count_nonzero(~scaler.is_two_valued))


def _spaces(
    base: Base,
    recipe: Recipe,
    rows: LabelledRows,
    options: MemoryOptions,
    kinds: Sequence[encoder.Kind],
    *,
    n_bases: int,
) -> tuple[str, ...]:
    """Return the names of the spaces to choose from."""
    estimator, problem = recipe.spec.estimator, recipe.problem
    if options.encoder is not None and options.space not in (None, "learned"):
        raise UsageError(
            f"the representation {options.space} has no encoder", "leave --encoder out, or use --representation learned"
        )
    untrained = spaces.untrained_names(base, rows.X, problem)
    if options.space == "learned":
        return tuple(map(learned.name_of, kinds))
    if options.space is None:
        too_few = len(rows.y) < _LEAST_ROWS_TO_LEARN and options.encoder is None
        return untrained if too_few or options.shrinkage == 0 else untrained + tuple(map(learned.name_of, kinds))
    if options.space not in untrained:
        if recipe.kind.is_constant and n_bases > 1:  # it has no representation of its own
            return ("features",)
        raise UsageError(
            f"the base {estimator} has no representation '{options.space}'",
            f"choose from: {', '.join(untrained)}, learned",
        )
    return (options.space,)
