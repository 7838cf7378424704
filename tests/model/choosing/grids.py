"""A small grid, and the losses of its settings on the folds that a plan makes."""

from __future__ import annotations

from dataclasses import replace

from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases import Problem
from resmem_cli.model.choosing import scoring
from resmem_cli.model.choosing.candidates import Candidate
from resmem_cli.model.choosing.fold import Fold
from resmem_cli.model.choosing.folds import growing_folds
from resmem_cli.model.choosing.grid import Grid
from resmem_cli.model.choosing.plan import Plan
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memory.index import GraphOptions
from resmem_cli.model.metrics import row_loss
from resmem_cli.model.spaces.learning import Schedule
from tests.model.examples import quick_recipe

SMALL = Grid((1, 4, 16), (0.1, 0.5), (0.5, 1.0), (1.0, 2.0))


def grid_for(n_classes: int, grid: Grid = SMALL) -> Grid:
    return grid if n_classes else replace(grid, temperatures=(1.0,))


def plan_for(
    problem: Problem, grid: Grid, spaces=("features",), *, name="linear", fixed=None, residuals=None, n_steps=2
) -> Plan:
    recipe = quick_recipe(name, problem, fixed)
    return Plan(
        recipe,
        spaces,
        residuals,
        max(grid.neighbors),
        GraphOptions(),
        Schedule(n_steps),
        temperatures=(1.0, *grid.temperatures),
    )


def folds_for(rows, *plans: Plan, n_folds: int = 5) -> list[Fold]:
    return next(growing_folds(rows, plans, n_folds, threads=1, report=lambda _: None))


def grid_losses(fold: Fold, candidate: Candidate, grid: Grid, objective: str, **more) -> Floats:
    return scoring.losses(fold, candidate, grid.settings(candidate.space), objective, **more)


def setting_loss(fold: Fold, candidate: Candidate, settings: Settings, objective: str | None = None, **more) -> Floats:
    return row_loss(fold.y, scoring.predictions(fold, candidate, settings, **more), objective)
