"""Plans of quick bases, and the folds that they make."""

from __future__ import annotations

import numpy as np
import pytest

from resmem_cli.model.bases import ESTIMATORS, Problem
from resmem_cli.model.choosing.candidates import Candidate
from resmem_cli.model.choosing.fold import Fold, View, joined
from resmem_cli.model.choosing.fold import run as run_fold
from resmem_cli.model.choosing.folds import FoldSizes, growing_folds
from resmem_cli.model.choosing.plan import Plan
from resmem_cli.model.grouping import equal_rows
from resmem_cli.model.memory.index import GraphOptions
from resmem_cli.model.rows import LabelledRows
from resmem_cli.model.spaces.learning import Schedule
from tests.model.examples import quick_recipe

EVERY_BASE = pytest.mark.parametrize("name", ESTIMATORS)


CHEAP = ("features", "sensitivity")
LEARNED = ("learned:diagonal", "learned:linear", "learned:mlp")


SIZES = FoldSizes()
FEATURES = Candidate(0, "features")


def plan_of(
    name: str,
    problem: Problem,
    *,
    fixed=None,
    n_neighbors=8,
    learned=(),
    spaces=None,
    residuals=None,
    share_of_cells=None,
    temperatures=(1.0,),
) -> Plan:
    if spaces is None:
        represents = name not in ("constant", "parrot")
        spaces = (*CHEAP, *(("model",) if represents else ()), *learned)
    recipe = quick_recipe(name, problem, fixed)
    return Plan(
        recipe, spaces, residuals, n_neighbors, GraphOptions(), Schedule(2), share_of_cells, temperatures=temperatures
    )


def run(rows: LabelledRows, *plans: Plan, n_folds: int = 5, threads: int = 1, sizes: FoldSizes = SIZES) -> list[Fold]:
    """The first folds that the plans of several bases make."""
    return next(growing_folds(rows, plans, n_folds, threads=threads, report=lambda _: None, sizes=sizes))


def one_fold(rows: LabelledRows, plan: Plan, remembered: np.ndarray, asked: np.ndarray) -> Fold:
    queries = plan.recipe.queries(rows.take(asked))
    return joined(queries, equal_rows(queries.X), [run_fold(rows, plan, remembered, asked, 1)])


def arrays_of(fold: Fold) -> dict[str, np.ndarray]:
    """Everything a fold holds but the labels and weights of its held-out rows."""
    views = {
        f"{candidate} {key}": value for candidate, view in fold.views.items() for key, value in arrays_in(view).items()
    }
    return {**{f"predictions {base}": each for base, each in enumerate(fold.predictions)}, **views}


def arrays_in(view: View) -> dict[str, np.ndarray]:
    """The fields of a view, its residuals by temperature."""
    residuals = {f"residuals {temperature}": each for temperature, each in view.residuals.items()}
    return {name: value for name, value in vars(view).items() if name != "residuals"} | residuals


def assert_same(first: Fold, second: Fold) -> None:
    ours, theirs = arrays_of(first), arrays_of(second)
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        np.testing.assert_array_equal(value, theirs[key], err_msg=key)
