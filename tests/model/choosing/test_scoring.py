"""The losses of many settings at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resmem_cli.model import metrics
from tests.model.choosing.grids import folds_for, grid_for, grid_losses, plan_for, setting_loss
from tests.model.examples import EVERY_TASK, make_rows, rows_of


@EVERY_TASK
@pytest.mark.parametrize("is_relative", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_whole_grid_at_once_is_every_setting_alone(n_classes, is_relative, weighted):
    X, y, problem = make_rows(90, n_classes)
    weight = np.random.default_rng(0).uniform(0.5, 2, 90) if weighted else None
    grid = replace(grid_for(n_classes), is_relative=is_relative)
    names = ("features", "sensitivity", "model", "learned:mlp")
    plans = [plan_for(problem, grid, names), plan_for(problem, grid, name="constant", residuals="cross-fitted")]
    fold = folds_for(rows_of(X, y, weight=weight), *plans, n_folds=3)[0]
    default, other = metrics.objectives(n_classes == 0)
    assert len(fold.views) == 5
    # In one part, and in several.
    for held, objective in ((1_000_000, default), (300, default), (300, other)):
        for candidate in fold.views:
            settings = grid.settings(candidate.space)
            expected = [
                np.average(setting_loss(fold, candidate, s, objective, most_held=held), weights=fold.weight)
                for s in settings
            ]
            found = grid_losses(fold, candidate, grid, objective, most_held=held)
            np.testing.assert_allclose(found, expected, rtol=1e-9)
