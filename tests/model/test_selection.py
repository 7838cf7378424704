"""The choice of settings: honest about what the memory gains, and refusing it where it gains nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resmem_cli.model import folds, representation, selection
from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases import ESTIMATORS, BaseSpec, Problem
from resmem_cli.model.folds import Plan, Rows, run_folds
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memory import GraphOptions
from resmem_cli.model.metrics import row_loss
from resmem_cli.model.resmem import memorise
from resmem_cli.model.selection import Grid, Selection, _grid_losses, _setting_loss, select
from tests.model.examples import BINARY, MULTICLASS, QUICK, REGRESSION, TASKS, make_rows

EVERY_TASK = pytest.mark.parametrize("n_classes", TASKS, ids={0: "regression", 2: "binary", 4: "multiclass"}.get)
SMALL = Grid(("features",), (1, 4, 16), (0.1, 0.5), (0.5, 1.0), (1.0, 2.0))


def grid_for(n_classes: int, grid: Grid = SMALL) -> Grid:
    return grid if n_classes else replace(grid, temperatures=(1.0,))


def chosen_for(
    name: str, X: Floats, y: Floats, problem: Problem, grid: Grid, *, weight=None, n_seen=None, n_folds=5
) -> Selection:
    """Select with a base that was fitted on the first `n_seen` rows (all of them, if that is not said)."""
    n_seen = len(y) if n_seen is None else n_seen
    spec = BaseSpec(name, QUICK[name])
    own = None if weight is None else weight[:n_seen]
    base = ESTIMATORS[name].fit(X[:n_seen], y[:n_seen], own, problem, spec.params)
    rows = Rows(X, y, weight, np.arange(len(y)) >= n_seen)
    return select(rows, base, spec, problem, grid, n_folds=n_folds, graph=GraphOptions(), threads=1)


def fresh_gain(name, train, fresh, problem, chosen: Selection) -> float:
    """What the chosen settings gain over the base on rows that nothing has seen."""
    X, y = train
    base = ESTIMATORS[name].fit(X, y, None, problem, QUICK[name])
    space = representation.fit(chosen.representation, X, problem.n_categories)
    model = memorise(base, space, chosen.settings, (X, y, None), GraphOptions(), seed=0, threads=1).model
    prediction = model.predict(fresh[0])
    return float((row_loss(fresh[1], prediction.base) - row_loss(fresh[1], prediction.resmem)).mean())


def noise(n: int, n_classes: int, seed: int) -> tuple[Floats, Floats, Problem]:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n) if n_classes == 0 else rng.integers(0, n_classes, n).astype(np.float64)
    return rng.normal(size=(n, 3)), y, Problem((0, 0, 0), n_classes, seed)


def local(n: int, n_classes: int, seed: int) -> tuple[Floats, Floats, Problem]:
    """A target that a linear model half explains, its rest smooth in the columns."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, (n, 2))
    value = X[:, 0] + 1.5 * np.sin(3 * X[:, 1])
    noisy = value + rng.normal(size=n) * 0.3
    return X, noisy if n_classes == 0 else (noisy > 0).astype(np.float64), Problem((0, 0), n_classes, seed)


# The grid


@EVERY_TASK
@pytest.mark.parametrize("is_relative", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_whole_grid_at_once_is_every_setting_alone(n_classes, is_relative, weighted, monkeypatch):
    X, y, problem = make_rows(150, n_classes)
    weight = np.random.default_rng(0).uniform(0.5, 2, 150) if weighted else None
    grid = replace(grid_for(n_classes), representations=("features", "model"), is_relative=is_relative)
    plan = Plan(BaseSpec("linear"), problem, None, grid.representations, 16, GraphOptions())
    rows = Rows(X, y, weight, np.zeros(150, dtype=bool))
    fold = run_folds(rows, plan, 3, threads=1, report=lambda _: None)[0]
    for held in (1_000_000, 300):  # in one part, and in several
        monkeypatch.setattr(selection, "_HELD_RESIDUALS", held)
        for name in grid.representations:
            expected = [np.average(_setting_loss(fold, name, s), weights=fold.weight) for s in grid.settings]
            np.testing.assert_allclose(_grid_losses(fold, name, grid), expected, rtol=1e-9)


def test_a_grid_is_every_combination_once():
    settings = SMALL.settings
    assert len(settings) == len(set(settings)) == 3 * 2 * 2 * 2
    assert Settings(16, 0.1, True, 0.5, 2.0) in settings


# What is chosen


@EVERY_TASK
def test_the_choice_is_the_best_of_the_candidates_of_every_representation(n_classes):
    X, y, problem = make_rows(200, n_classes)
    grid = replace(grid_for(n_classes), representations=("features", "model"))
    chosen = chosen_for("linear", X, y, problem, grid)
    assert {candidate.representation for candidate in chosen.candidates} == {"features", "model"}
    losses = [candidate.loss for candidate in chosen.candidates]
    assert losses == sorted(losses)
    best = chosen.candidates[0]
    assert chosen.representation == best.representation
    if chosen.helps:
        assert chosen.settings == best.settings
    assert best.settings in grid.settings


def test_the_chosen_loss_is_the_least_of_the_grid_over_all_folds():
    X, y, problem = make_rows(200, REGRESSION)
    grid = grid_for(REGRESSION)
    plan = Plan(BaseSpec("linear"), problem, None, grid.representations, 16, GraphOptions())
    rows = Rows(X, y, None, np.zeros(200, dtype=bool))
    done = run_folds(rows, plan, 5, threads=1, report=lambda _: None)
    losses = np.mean([_grid_losses(fold, "features", grid) for fold in done], axis=0)
    chosen = chosen_for("linear", X, y, problem, grid)
    assert chosen.candidates[0].loss == pytest.approx(losses.min())
    assert chosen.candidates[0].settings == grid.settings[int(losses.argmin())]


@pytest.mark.parametrize("seed", [0, 4], ids=["folds_differ_more", "rows_differ_more"])
def test_the_gain_is_of_settings_chosen_on_the_other_folds_and_its_error_over_folds_or_rows(seed):
    X, y, problem = make_rows(200, REGRESSION, seed)
    weight = np.random.default_rng(0).uniform(0.2, 3, 200)
    grid = grid_for(REGRESSION)
    plan = Plan(BaseSpec("linear"), problem, None, grid.representations, 16, GraphOptions())
    done = run_folds(Rows(X, y, weight, np.zeros(200, dtype=bool)), plan, 5, threads=1, report=lambda _: None)
    by_setting = np.array([_grid_losses(fold, "features", grid) for fold in done])
    after = []
    for i, fold in enumerate(done):
        others = np.delete(by_setting, i, axis=0).mean(axis=0)
        after.append(_setting_loss(fold, "features", grid.settings[int(others.argmin())]))
    gains = [row_loss(fold.y, fold.predictions) - loss for fold, loss in zip(done, after, strict=True)]
    own = np.concatenate([fold.weight for fold in done])
    gain = np.average(np.concatenate(gains), weights=own)
    over_folds = np.std([np.average(g, weights=f.weight) for g, f in zip(gains, done, strict=True)], ddof=1) / 5**0.5
    over_rows = np.sqrt(np.sum(np.square(own * (np.concatenate(gains) - gain)))) / own.sum()

    chosen = chosen_for("linear", X, y, problem, grid, weight=weight)

    assert chosen.gain == pytest.approx(gain)
    assert chosen.gain == pytest.approx(chosen.base_loss - chosen.resmem_loss)
    assert chosen.standard_error == pytest.approx(max(over_folds, over_rows))
    assert (over_folds > over_rows) == (seed == 0)
    assert (chosen.n_folds, chosen.n_queries, chosen.refitted, chosen.forced) == (5, 200, True, False)


@EVERY_TASK
def test_the_same_seed_chooses_the_same(n_classes):
    X, y, problem = make_rows(150, n_classes)
    first, second = (chosen_for("boosting", X, y, problem, grid_for(n_classes)) for _ in range(2))
    assert first == second


def test_scoring_a_part_of_very_many_rows_leaves_the_gain_to_all_of_them(monkeypatch):
    X, y, problem = local(600, REGRESSION, 0)
    whole = chosen_for("linear", X, y, problem, grid_for(REGRESSION))
    monkeypatch.setattr(selection, "_MOST_SCORED", 200)
    part = chosen_for("linear", X, y, problem, grid_for(REGRESSION))
    assert part.n_queries == whole.n_queries == 600
    assert part.candidates[0].loss != whole.candidates[0].loss
    assert part.gain == pytest.approx(whole.gain, rel=0.1)


# Honesty


@pytest.mark.parametrize(("name", "n_classes"), [("constant", 0), ("constant", 2), ("constant", 4), ("linear", 0)])
def test_where_there_is_nothing_to_remember_the_memory_is_refused_and_no_gain_is_claimed(name, n_classes):
    """On average; and what the best settings seem to gain without that care is a gain."""
    gains, naive, refused = [], [], 0
    for seed in range(8):
        X, y, problem = noise(200, n_classes, seed)
        chosen = chosen_for(name, X, y, problem, grid_for(n_classes, Grid(("features",))))
        gains.append(chosen.gain / chosen.base_loss)
        naive.append(1 - chosen.candidates[0].loss / chosen.base_loss)
        refused += chosen.settings.shrinkage == 0
        assert (chosen.settings.shrinkage == 0) == (not chosen.helps)
    assert refused >= 6
    assert np.mean(gains) < 0.003
    assert np.mean(naive) > np.mean(gains)


def test_refused_the_memory_leaves_exactly_the_base():
    X, y, problem = noise(200, BINARY, 1)
    chosen = chosen_for("constant", X, y, problem, Grid(("features",)))
    assert (chosen.settings.shrinkage, chosen.settings.temperature) == (0.0, 1.0)
    base = ESTIMATORS["constant"].fit(X, y, None, problem, {})
    space = representation.fit("features", X, problem.n_categories)
    model = memorise(base, space, chosen.settings, (X, y, None), GraphOptions(), seed=0, threads=1).model
    np.testing.assert_array_equal(model.predict(X).resmem, base.predict(X))


@pytest.mark.parametrize("n_classes", [REGRESSION, BINARY], ids=["regression", "binary"])
def test_a_rest_that_lies_near_itself_is_remembered_and_gains_on_fresh_rows_what_the_folds_said(n_classes):
    X, y, problem = local(800, n_classes, 0)
    chosen = chosen_for("linear", X, y, problem, grid_for(n_classes, Grid(("features",))))
    assert chosen.helps
    assert chosen.settings.shrinkage > 0
    gain = fresh_gain("linear", (X, y), local(3_000, n_classes, 1)[:2], problem, chosen)
    assert gain > 0.25 * chosen.base_loss
    assert chosen.gain == pytest.approx(gain, rel=0.15)


@pytest.mark.parametrize("n_classes", [BINARY, MULTICLASS], ids=["binary", "multiclass"])
def test_the_gain_that_the_folds_say_is_not_more_than_that_on_fresh_rows(n_classes):
    """Of an overfitted base on noise, where a higher temperature is a gain, too."""
    said, true = [], []
    for seed in range(6):
        X, y, problem = noise(150, n_classes, seed)
        chosen = chosen_for("boosting", X, y, problem, grid_for(n_classes))
        said.append(chosen.gain)
        settings = chosen.candidates[0].settings
        fresh = noise(1_000, n_classes, seed + 100)[:2]
        true.append(fresh_gain("boosting", (X, y), fresh, problem, replace(chosen, settings=settings)))
    difference = np.subtract(said, true)
    assert difference.mean() < 2 * difference.std(ddof=1) / 6**0.5


# What the user fixed


def test_a_forced_shrinkage_stays_where_the_memory_does_not_help():
    X, y, problem = noise(200, REGRESSION, 0)
    chosen = chosen_for("constant", X, y, problem, replace(grid_for(REGRESSION), shrinkages=(1.0,)))
    assert chosen.forced
    assert not chosen.helps
    assert chosen.settings.shrinkage == 1.0


def test_a_shrinkage_of_0_is_the_base_and_gains_nothing():
    X, y, problem = make_rows(150, BINARY)
    chosen = chosen_for("boosting", X, y, problem, replace(SMALL, shrinkages=(0.0,)))
    assert (chosen.gain, chosen.standard_error, chosen.helps, chosen.forced) == (0.0, 0.0, False, False)
    assert (chosen.settings.shrinkage, chosen.settings.temperature) == (0.0, 1.0)


def test_no_more_neighbours_are_chosen_than_there_are_cells_unless_the_user_chose_them():
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(20, 2)), 15, axis=0)
    y = np.repeat(rng.normal(size=20), 15) + rng.normal(size=300)
    problem = Problem((0, 0), 0, 0)
    many = Grid(("features",), (32,), (1.0,), (1.0,), (1.0,))
    assert chosen_for("constant", X, y, problem, replace(many, neighbors=(32, 64))).settings.n_neighbors == 20
    assert chosen_for("constant", X, y, problem, many).settings.n_neighbors == 32


# Which rows


def test_where_enough_rows_are_new_the_base_stays_and_they_are_the_queries():
    X, y, problem = local(500, REGRESSION, 0)
    chosen = chosen_for("linear", X, y, problem, grid_for(REGRESSION), n_seen=250)
    assert not chosen.refitted
    assert chosen.n_queries == 250
    base = ESTIMATORS["linear"].fit(X[:250], y[:250], None, problem, {})
    assert chosen.base_loss == pytest.approx(row_loss(y[250:], base.predict(X[250:])).mean())


def test_where_few_rows_are_new_every_fold_fits_the_base_anew_and_all_rows_are_queries():
    X, y, problem = local(500, REGRESSION, 0)
    chosen = chosen_for("linear", X, y, problem, grid_for(REGRESSION), n_seen=400)
    assert chosen.refitted
    assert chosen.n_queries == 500


def test_of_very_many_rows_one_split_chooses(monkeypatch):
    monkeypatch.setattr(folds, "MOST_FOLDED_ROWS", 700)
    monkeypatch.setattr(folds, "MOST_SPLIT_ROWS", 600)
    X, y, problem = local(800, REGRESSION, 0)
    chosen = chosen_for("linear", X, y, problem, grid_for(REGRESSION))
    assert (chosen.n_folds, chosen.n_queries) == (5, 120)
    assert chosen.helps


def test_weights_say_which_rows_count():
    """The rest of half of the rows can be remembered, that of the other half is noise."""
    X, y, problem = local(600, REGRESSION, 0)
    y[300:] = np.random.default_rng(0).normal(size=300) * 3
    X[300:] += 100
    by_half = [
        chosen_for("constant", X, y, problem, grid_for(REGRESSION), weight=np.repeat(w, 300))
        for w in ([1.0, 1e-6], [1e-6, 1.0])
    ]
    assert by_half[0].helps
    assert not by_half[1].helps
