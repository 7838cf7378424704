"""Fitting a memory to labelled rows, from the bases to a model that predicts.

1. bases      Rows that a base has not seen are its queries; where there are too few, folds fit it anew.
2. choice     Folds run everything that follows on a part of the rows, and choose bases, spaces and settings by the
              loss of the held-out rows; the memory is switched off if its gain does not exceed its standard error.
3. spaces     The chosen spaces are fitted to all rows: φ.
4. residuals  What each base leaves unexplained of every row: r = y - f_T(x).
5. memory     Rows of equal points are one cell, which remembers their mean residual; a search finds the nearest.
6. sum        A prediction is the weighted mean of the members' f_T(x) + γ g(x), and its interval follows from the
              errors of the held-out rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from resmem_cli.errors import DataError, UsageError
from resmem_cli.model import bases as base_models
from resmem_cli.model import cost, metrics
from resmem_cli.model.arrays import Floats, row_blocks
from resmem_cli.model.bases import Base, BaseSpec, Problem
from resmem_cli.model.choosing.candidates import Candidate, Choice
from resmem_cli.model.choosing.folds import FoldSizes
from resmem_cli.model.choosing.grid import grid
from resmem_cli.model.choosing.options import EFFORTS, MemoryOptions, objective, schedule
from resmem_cli.model.choosing.plan import Plan, plans
from resmem_cli.model.choosing.selecting import Combination, only_combination, select, switched_off
from resmem_cli.model.choosing.selection import LEAST_HELD_OUT, Selection
from resmem_cli.model.kernel import row_residuals
from resmem_cli.model.memory.memory import Memory
from resmem_cli.model.residuals import NOT_NEEDED, Residuals
from resmem_cli.model.resmem import Member, ResMem, predict_base
from resmem_cli.model.rows import LabelledRows, Recipe, has_enough_new
from resmem_cli.model.scaling import Encoded
from resmem_cli.model.spaces import Space
from resmem_cli.model.spaces.fitting import fit_spaces
from resmem_cli.model.spaces.training import Training, silent


@dataclass(frozen=True)
class FittedResMem:
    """A fitted model, and what the folds measured.

    Attributes:
        resmem: the model.
        objective: the metric that was chosen by.
        selection: what the folds chose and measured; None if nothing was measured.
        too_few: how many distinct rows, or groups, could be held out, where they were too few to measure by; or None.
        n_split: how many rows made the one split that the settings were chosen by, where folds would take too long.
        base_metrics: the base's metric on the rows to remember and on those given with `--valid`; None if there
            are no such rows.
    """

    resmem: ResMem
    objective: str
    selection: Selection | None
    too_few: int | None
    n_split: int | None
    base_metrics: tuple[float, float] | None


def fit_memory(
    rows: LabelledRows,
    bases: Sequence[tuple[BaseSpec, Base]],
    problem: Problem,
    options: MemoryOptions,
    *,
    threads: int = 1,
    base_weights: tuple[float, ...] = (),
    report: Callable[[str], None] = silent,
    sizes: FoldSizes | None = None,
) -> FittedResMem:
    """Choose how to remember, and memorise the residuals of labelled rows under fitted bases.

    Args:
        rows: the rows, with whether each is new to the bases.
        bases: how each came about, and the fitted base.
        problem: what they have learned.
        options: what is not left to the folds.
        threads: how many may be used.
        base_weights: of each base in the mean that is the one to beat; without any, that is the first.
        report: is told what is being done.
        sizes: how many rows the folds have; None leaves it to what they cost.

    Raises:
        DataError: there are too few rows for the folds.
        UsageError: the options contradict each other, the task or the number of rows.
    """
    metric = objective(problem, options)
    models, recipes = tuple(base for _, base in bases), _recipes(bases, problem, rows)
    report("choosing candidates")
    too_few = _too_few(rows, recipes[0], options)
    planned = plans(rows, models, recipes, options)
    sizes = sizes or _sizes(rows, planned, options)
    selection, combination, trained = _choose(
        rows,
        planned,
        options,
        base_weights=base_weights,
        too_few=too_few,
        threads=threads,
        report=report,
        sizes=sizes,
    )
    trainings = [
        Training(
            rows,
            base,
            recipe.within,
            schedule(options, len(rows.y), problem.n_outputs),
            threads,
            report,
            starts={key[1:]: space for key, space in trained.items() if key.base == i},
            most_rows_in_folds=_most_rows_in_folds(recipe, len(rows.y), options.effort),
        )
        for i, (base, recipe) in enumerate(zip(models, recipes, strict=True))
    ]
    members = _members(combination.choices, trainings, options)
    calibration = None if selection is None else selection.calibration
    return FittedResMem(
        ResMem(models, members, calibration, base_weights, combination.base_share),
        metric,
        selection,
        too_few,
        None if selection is None else sizes.n_split(len(rows.y)),
        _base_metrics(lambda X: predict_base(models, base_weights, X), rows, problem.n_outputs, metric),
    )


def build_member(training: Training, choice: Choice, space: Space, options: MemoryOptions) -> Member:
    """Build the memory of the rows and the base that a space is fitted to.

    Raises:
        UsageError: the user asks for more neighbours than there are cells.
    """
    candidate, settings, rows = choice.candidate, choice.settings, training.rows
    n_largest, encoded = options.n_largest(training.problem), Encoded(rows.X)
    if n_largest is None:
        predictions = training.predictions(candidate.residuals)
        position = space.represent(encoded, training.base, predictions)
        residuals: Residuals = row_residuals(rows.y, predictions, settings.temperature, position.trend)
    else:
        position = space.represent(encoded, training.base, NOT_NEEDED)
        residuals = training.sparse([settings.temperature], n_largest)[settings.temperature]
    training.report(f"indexing {len(rows.y):,} rows in the space {space.name}")
    memory = Memory.build(
        position.points,
        residuals,
        rows.weight,
        n_neighbors=settings.n_neighbors,
        graph=options.graph,
        most_cells=options.most_cells,
        clip_neighbors=options.n_neighbors is None,
        seed=training.problem.seed,
        threads=training.threads,
    )
    settings = replace(settings, n_neighbors=min(settings.n_neighbors, memory.n_cells))
    return Member(candidate.base, space, memory, settings, choice.weight, candidate.residuals)


def _recipes(bases: Sequence[tuple[BaseSpec, Base]], problem: Problem, rows: LabelledRows) -> list[Recipe]:
    """Return how each base of a part of the rows comes about.

    Where enough rows are new to the bases they stay as they are, and those rows are the queries; otherwise every fold
    fits them anew. If one of the bases cannot be refitted, or rows were given to decide by, all stay.

    Raises:
        UsageError: none of those rows is new to the base.
    """
    cannot_refit = not all(spec.can_refit for spec, _ in bases)
    if rows.is_valid is not None and not (rows.is_new & rows.is_valid).any():
        related = " or of its group, or on later rows" if rows.groups is not None or rows.times is not None else ""
        raise UsageError(
            f"the base was trained on every row of --valid{related}",
            "give labelled rows that the base was not trained on",
        )
    to_remember = rows.is_new if rows.is_valid is None else rows.is_new[~rows.is_valid]
    has_new = cannot_refit or has_enough_new(to_remember)
    stays = has_new or rows.is_valid is not None
    return [Recipe(spec, problem, base if stays else None, not has_new) for spec, base in bases]


def _too_few(rows: LabelledRows, recipe: Recipe, options: MemoryOptions) -> int | None:
    """Return how many rows that do not depend on each other can be held out, if too few to measure a gain; or None."""
    if options.n_folds == 0:
        return None
    held_out = recipe.queries(rows)
    if rows.is_valid is None and (rows.groups is not None or rows.times is not None):
        found = rows.splits(recipe.problem, options.n_folds, np.random.default_rng(recipe.problem.seed))
        positions = [held for _, held in found]
        held_out = recipe.queries(rows.take(np.concatenate(positions) if positions else np.empty(0, dtype=np.int64)))
    n_different = int(held_out.related(recipe.problem).dependent.max(initial=-1)) + 1
    is_enough = len(held_out.y) >= LEAST_HELD_OUT and n_different >= options.n_folds
    return None if is_enough else min(len(held_out.y), n_different)


def _sizes(rows: LabelledRows, planned: Sequence[Plan], options: MemoryOptions) -> FoldSizes:
    """Return how many rows the folds have: fewer than usual of a wide table, or where the choice is to be quick."""
    usual = FoldSizes()
    size = base_models.size_of(planned[0].recipe.problem, len(rows.y))
    anew = [each for each in planned if each.recipe.within.fixed is None]
    fits = [(each.recipe.kind.seconds_to_fit(size), each.learns) for each in anew]
    n_split = cost.most_split(size, fits, options.effort)
    if n_split is None or n_split >= usual.most_split:
        return usual
    return replace(usual, most_folded=min(usual.most_folded, n_split - 1), most_split=n_split)


def _choose(
    rows: LabelledRows,
    planned: Sequence[Plan],
    options: MemoryOptions,
    *,
    base_weights: tuple[float, ...],
    too_few: int | None,
    threads: int,
    report: Callable[[str], None],
    sizes: FoldSizes,
) -> tuple[Selection | None, Combination, Mapping[Candidate, Space]]:
    """Return what the folds measured, what to build, and spaces that the folds have trained."""
    problem = planned[0].recipe.problem
    settings = grid(rows, problem, options)
    if options.n_folds == 0:
        return None, only_combination(planned, settings, base_weights), {}
    if options.n_folds == 1:
        raise UsageError("--folds 1 leaves no training rows", "set --folds to 2 or more, or to 0 to give every setting")
    if too_few is not None:
        if settings.is_forced:
            raise UsageError(
                f"{too_few:,} held-out rows are too few to choose settings by",
                f"give at least {LEAST_HELD_OUT}, or every setting and --folds 0",
            )
        return None, Combination((switched_off(settings, [Candidate(0, name) for name in planned[0].spaces]),)), {}
    if len(rows.y) < 2 * options.n_folds:
        raise DataError(
            f"{len(rows.y)} rows are too few for {options.n_folds} folds", "give more rows, or lower --folds"
        )
    selection, trained = select(
        rows,
        planned,
        settings,
        objective=objective(problem, options),
        most_members=options.n_members or EFFORTS[options.effort].most_members,
        n_folds=options.n_folds,
        threads=threads,
        base_weights=base_weights,
        report=report,
        sizes=sizes,
    )
    return selection, Combination(selection.choices, selection.base_share), trained


def _most_rows_in_folds(recipe: Recipe, n_rows: int, effort: str) -> int:
    """Return how many of the rows make the folds that encoders learn from, whose bases may be fitted anew."""
    size = base_models.size_of(recipe.problem, n_rows)
    seconds = recipe.kind.seconds_to_fit(size) if recipe.within.fixed is None else 0.0
    return cost.most_inner(size, seconds, effort)


def _members(choices: Sequence[Choice], trainings: Sequence[Training], options: MemoryOptions) -> tuple[Member, ...]:
    """Fit the chosen spaces to all rows, and build the memories in them; the trainings are those of every base."""
    rows, threads, report = trainings[0].rows, trainings[0].threads, trainings[0].report
    report("computing representations")
    candidates = [choice.candidate for choice in choices]
    spaces = fit_spaces([(each.space, trainings[each.base], each.residuals) for each in candidates], threads)
    report(f"memorising {len(rows.y):,} rows")
    return tuple(
        build_member(trainings[choice.candidate.base], choice, space, options)
        for choice, space in zip(choices, spaces, strict=True)
    )


def _base_metrics(
    predict: Callable[[Floats], Floats], rows: LabelledRows, n_outputs: int, metric: str
) -> tuple[float, float] | None:
    if rows.is_valid is None:
        return None
    parts = row_blocks(len(rows.y), n_outputs)
    losses = np.concatenate([metrics.row_loss(rows.y[part], predict(rows.X[part]), metric) for part in parts])
    weight: Floats = np.ones(len(losses)) if rows.weight is None else rows.weight
    remembered, valid = (
        metrics.as_metric(metric, float(np.average(losses[part], weights=weight[part])))
        for part in (~rows.is_valid, rows.is_valid)
    )
    return remembered, valid
