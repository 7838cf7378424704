"""The choice of settings: honest about what the memory gains, and refusing it where it gains nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resmem_cli.model import folds, kernel, selection
from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases import ESTIMATORS, Problem
from resmem_cli.model.folds import Plan, run_folds
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memory import GraphOptions
from resmem_cli.model.metrics import row_loss
from resmem_cli.model.resmem import memorise
from resmem_cli.model.selection import Grid, Selection, _grid_losses, _setting_loss, select
from resmem_cli.model.splitting import has_enough_new
from tests.model.examples import (
    BINARY,
    MULTICLASS,
    REGRESSION,
    TASKS,
    fit_representation,
    make_rows,
    quick_base,
    quick_recipe,
    rows_of,
)

EVERY_TASK = pytest.mark.parametrize("n_classes", TASKS, ids={0: "regression", 2: "binary", 4: "multiclass"}.get)
SMALL = Grid(("features",), (1, 4, 16), (0.1, 0.5), (0.5, 1.0), (1.0, 2.0))


def grid_for(n_classes: int, grid: Grid = SMALL) -> Grid:
    return grid if n_classes else replace(grid, temperatures=(1.0,))


def plan_for(problem: Problem, grid: Grid) -> Plan:
    return Plan(quick_recipe("linear", problem), grid.representations, max(grid.neighbors), GraphOptions(), n_steps=2)


def chosen_for(
    name: str, X: Floats, y: Floats, problem: Problem, grid: Grid, *, weight=None, n_seen=None, n_folds=5, n_steps=2
) -> Selection:
    """Select with a base that was fitted on the first `n_seen` rows (all of them, if that is not said)."""
    n_seen = len(y) if n_seen is None else n_seen
    rows = rows_of(X, y, weight=weight, is_new=np.arange(len(y)) >= n_seen)
    seen = rows.take(np.arange(n_seen))
    fixed = quick_base(name, seen.X, seen.y, problem, seen.weight) if has_enough_new(rows.is_new) else None
    recipe = quick_recipe(name, problem, fixed)
    return select(rows, recipe, grid, n_folds=n_folds, n_steps=n_steps, graph=GraphOptions(), threads=1)


def fresh_gain(name, train, fresh, problem, chosen: Selection, *, n_steps: int = 2) -> float:
    """What the chosen settings gain over the base on rows that nothing has seen."""
    X, y = train
    base = quick_base(name, X, y, problem)
    space = fit_representation(chosen.representation, base, X, y, problem, estimator=name, n_steps=n_steps)
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
    names = ("features", "sensitivity", "model", "learned:mlp")
    grid = replace(grid_for(n_classes), representations=names, is_relative=is_relative)
    rows = rows_of(X, y, weight=weight)
    fold = run_folds(rows, plan_for(problem, grid), 3, threads=1, report=lambda _: None)[0]
    for held in (1_000_000, 300):  # in one part, and in several
        monkeypatch.setattr(selection, "_HELD_RESIDUALS", held)
        for name in grid.representations:
            expected = [np.average(_setting_loss(fold, name, s), weights=fold.weight) for s in grid.settings(name)]
            np.testing.assert_allclose(_grid_losses(fold, name, grid), expected, rtol=1e-9)


def test_a_grid_is_every_combination_once():
    settings = SMALL.settings("features")
    assert len(settings) == len(set(settings)) == 3 * 2 * 2 * 2
    assert Settings(16, 0.1, True, 0.5, 2.0) in settings


def test_where_an_encoder_was_trained_distances_in_its_own_units_are_tried_as_well():
    grid = replace(SMALL, representations=("model", "learned:linear"), own_bandwidths=(0.7,))
    own = grid.settings("learned:linear")
    assert len(own) == len(set(own)) == 3 * 3 * 2 * 2
    assert set(own) > set(grid.settings("model")) == set(SMALL.settings("features"))
    assert {(s.bandwidth, s.is_relative) for s in own} == {(0.1, True), (0.5, True), (0.7, False)}
    assert grid.choices == [(name, s) for name in grid.representations for s in grid.settings(name)]
    assert replace(grid, own_bandwidths=()).settings("learned:linear") == grid.settings("model")


# What is chosen


@EVERY_TASK
def test_the_choice_is_the_best_of_the_candidates_of_every_representation(n_classes):
    X, y, problem = make_rows(200, n_classes)
    names = ("features", "sensitivity", "model", "learned:diagonal", "learned:linear", "learned:mlp")
    grid = replace(grid_for(n_classes), representations=names)
    chosen = chosen_for("linear", X, y, problem, grid)
    assert {candidate.representation for candidate in chosen.candidates} == set(names)
    losses = [candidate.loss for candidate in chosen.candidates]
    assert losses == sorted(losses)
    best = chosen.candidates[0]
    assert chosen.representation == best.representation
    if chosen.helps:
        assert chosen.settings == best.settings
    assert all(candidate.settings in grid.settings(candidate.representation) for candidate in chosen.candidates)


def test_the_chosen_loss_is_the_least_of_the_grid_over_all_folds():
    X, y, problem = make_rows(200, REGRESSION)
    grid = grid_for(REGRESSION)
    done = run_folds(rows_of(X, y), plan_for(problem, grid), 5, threads=1, report=lambda _: None)
    losses = np.mean([_grid_losses(fold, "features", grid) for fold in done], axis=0)
    chosen = chosen_for("linear", X, y, problem, grid)
    assert chosen.candidates[0].loss == pytest.approx(losses.min())
    assert chosen.candidates[0].settings == grid.settings("features")[int(losses.argmin())]


@pytest.mark.parametrize("seed", [0, 4], ids=["folds_differ_more", "rows_differ_more"])
def test_the_gain_is_of_settings_chosen_on_the_other_folds_and_its_error_over_folds_or_rows(seed):
    X, y, problem = make_rows(200, REGRESSION, seed)
    weight = np.random.default_rng(0).uniform(0.2, 3, 200)
    grid = grid_for(REGRESSION)
    done = run_folds(rows_of(X, y, weight=weight), plan_for(problem, grid), 5, threads=1, report=lambda _: None)
    by_setting = np.array([_grid_losses(fold, "features", grid) for fold in done])
    after = []
    for i, fold in enumerate(done):
        others = np.delete(by_setting, i, axis=0).mean(axis=0)
        after.append(_setting_loss(fold, "features", grid.settings("features")[int(others.argmin())]))
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
    space = fit_representation("features", base, X, y, problem)
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


@pytest.mark.parametrize("name", ["boosting", "linear"])
def test_a_base_overfitted_to_noise_is_not_helped_by_a_memory_though_a_temperature_would_help_it(name):
    """Nearly every seed's folds show a gain beyond its standard error, but a temperature alone makes it."""
    refused, would_be_credited = 0, 0
    for seed in range(8):
        X, y, problem = noise(300, BINARY, seed)
        chosen = chosen_for(name, X, y, problem, Grid(("features", "sensitivity")))
        refused += not chosen.helps
        would_be_credited += chosen.gain > chosen.standard_error
        assert (chosen.settings.shrinkage, chosen.settings.temperature) == (0, 1) or chosen.helps
    assert refused >= 6
    if name == "boosting":
        assert would_be_credited >= 6


def test_a_gain_counts_only_beyond_that_of_a_temperature_chosen_as_honestly_and_the_error_of_that():
    """Of the base alone, on the other folds; the figures that are told stay those over the base as it is."""
    seen = set()
    for seed in (0, 1, 2, 9):
        X, y, problem = noise(200, BINARY, seed)
        grid = grid_for(BINARY)
        plan = replace(plan_for(problem, grid), recipe=quick_recipe("boosting", problem))
        done = run_folds(rows_of(X, y), plan, 5, threads=1, report=lambda _: None)
        by_setting = np.array([_grid_losses(fold, "features", grid) for fold in done])
        tempered = [
            [row_loss(fold.y, kernel.tempered(fold.predictions, t)) for t in grid.temperatures] for fold in done
        ]
        by_temperature = np.array([[loss.mean() for loss in losses] for losses in tempered])
        alone, after = [], []
        for i, fold in enumerate(done):
            alone.append(tempered[i][np.delete(by_temperature, i, axis=0).mean(axis=0).argmin()])
            best = np.delete(by_setting, i, axis=0).mean(axis=0).argmin()
            after.append(_setting_loss(fold, "features", grid.settings("features")[int(best)]))
        beyond = [a - b for a, b in zip(alone, after, strict=True)]
        over_folds = np.std([one.mean() for one in beyond], ddof=1) / 5**0.5
        standard_error = max(over_folds, np.concatenate(beyond).std() / 200**0.5)
        mean = np.concatenate(beyond).mean()

        chosen = chosen_for("boosting", X, y, problem, grid)

        before = np.concatenate([row_loss(fold.y, fold.predictions) for fold in done]).mean()
        assert chosen.gain == pytest.approx(before - np.concatenate(after).mean())
        assert chosen.helps == (chosen.gain > chosen.standard_error and mean > standard_error)
        seen.add((bool(chosen.gain > chosen.standard_error), int(mean > 0) + int(mean > standard_error)))
    assert {(True, 0), (True, 1)} <= seen  # worse than a temperature; better, but not surely


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


# Encoders


def one_of_many(n: int, n_classes: int, seed: int) -> tuple[Floats, Floats, Problem]:
    """Of eight columns one says what a linear base leaves, so that neighbours in all eight are no neighbours."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, (n, 8))
    value = np.sin(4 * X[:, 3]) + rng.normal(size=n) * 0.1
    return X, value if n_classes == 0 else (value > 0).astype(np.float64), Problem((0,) * 8, n_classes, seed)


@pytest.mark.parametrize("n_classes", [REGRESSION, BINARY], ids=["regression", "binary"])
def test_a_learned_space_is_chosen_where_it_is_better_and_gains_on_fresh_rows_no_less_than_the_folds_said(n_classes):
    X, y, problem = one_of_many(600, n_classes, 0)
    grid = grid_for(n_classes, Grid(("features", "sensitivity", "learned:diagonal"), neighbors=(8, 32)))
    chosen = chosen_for("linear", X, y, problem, grid, n_folds=3, n_steps=60)
    assert chosen.representation == "learned:diagonal"
    assert chosen.helps
    losses = {candidate.representation: candidate.loss for candidate in chosen.candidates}
    assert losses["learned:diagonal"] < 0.8 * min(losses["features"], losses["sensitivity"])
    fresh = one_of_many(1_000, n_classes, 1)[:2]
    assert fresh_gain("linear", (X, y), fresh, problem, chosen, n_steps=60) > 0.95 * chosen.gain


def test_an_encoder_trained_on_noise_is_refused():
    """However well it fits the rows that it was trained on: others judge it."""
    refused = 0
    for seed in range(4):
        X, y, problem = noise(250, BINARY, seed)
        grid = Grid(("features", "learned:mlp"), neighbors=(4, 32))
        refused += not chosen_for("linear", X, y, problem, grid, n_folds=2, n_steps=30).helps
    assert refused >= 3


def test_where_fewer_folds_are_run_their_rows_are_judged_in_as_many_groups(monkeypatch):
    monkeypatch.setattr(folds, "_ROWS_TO_ASK", 50)
    X, y, problem = local(300, REGRESSION, 0)
    grid = replace(grid_for(REGRESSION), representations=("features", "learned:diagonal"))
    chosen = chosen_for("linear", X, y, problem, grid)
    assert (chosen.n_folds, chosen.n_queries, chosen.refitted) == (5, 60, True)
    assert chosen.standard_error > 0


def outlying(n_queries: int, n_wild: int) -> folds.Fold:
    """A fold whose base is wrong by 1 everywhere, and by 1,000 in a few rows."""
    y = np.zeros(n_queries)
    predictions = np.ones((n_queries, 1))
    predictions[:n_wild] = 1_000.0
    return folds.Fold(y, np.ones(n_queries), predictions, {})


def test_the_thousandth_of_rows_that_a_regression_gets_most_wrong_does_not_choose():
    groups = [outlying(1_000, 2), outlying(1_000, 0)]
    judged = selection._without_outliers(groups)
    assert [len(fold.y) for fold in judged] == [998, 1_000]
    assert all((fold.predictions == 1.0).all() for fold in judged)


def test_of_fewer_than_a_thousand_rows_all_choose():
    judged = selection._without_outliers([outlying(400, 1), outlying(400, 0)])
    assert [len(fold.y) for fold in judged] == [400, 400]


def test_every_row_of_a_classification_chooses():
    """Its losses are bounded, and a base that is sure and wrong is what a temperature mends."""
    fold = folds.Fold(np.zeros(2_000), np.ones(2_000), np.tile([0.5, 0.5], (2_000, 1)), {})
    fold.predictions[0] = [1e-9, 1 - 1e-9]
    assert len(selection._without_outliers([fold])[0].y) == 2_000
