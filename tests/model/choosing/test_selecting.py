"""The choice of settings: honest about what the memory gains, and refusing it where it gains nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from resmem_cli.errors import UsageError
from resmem_cli.model import kernel, metrics
from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases import ESTIMATORS, Problem
from resmem_cli.model.choosing import scoring, selecting, serving
from resmem_cli.model.choosing.candidates import Candidate, Choice
from resmem_cli.model.choosing.fold import Fold
from resmem_cli.model.choosing.folds import FoldSizes
from resmem_cli.model.choosing.grid import Grid
from resmem_cli.model.choosing.selecting import Selector, select
from resmem_cli.model.choosing.selection import Selection
from resmem_cli.model.combination import combine
from resmem_cli.model.kernel import Settings
from resmem_cli.model.metrics import row_loss
from resmem_cli.model.resmem import ResMem
from resmem_cli.model.rows import LabelledRows, has_enough_new
from resmem_cli.model.spaces.training import RESIDUAL_KINDS
from tests.model.choosing.grids import SMALL, folds_for, grid_for, grid_losses, plan_for, setting_loss
from tests.model.choosing.plans import FEATURES, SIZES
from tests.model.examples import (
    BINARY,
    EVERY_TASK,
    MULTICLASS,
    REGRESSION,
    make_rows,
    member_of,
    quick_base,
    rows_of,
    training_of,
)


def chosen_for(
    names: str,
    X: Floats,
    y: Floats,
    problem: Problem,
    grid: Grid,
    *,
    spaces=("features",),
    weight=None,
    n_seen=None,
    n_folds=5,
    n_steps=2,
    objective=None,
    most=1,
    residuals=None,
    sizes=SIZES,
) -> Selection:
    """Select with bases (their names separated by commas) that were fitted on the first `n_seen` rows, or on all."""
    n_seen = len(y) if n_seen is None else n_seen
    rows = rows_of(X, y, weight=weight, is_new=np.arange(len(y)) >= n_seen)
    seen = rows.take(np.arange(n_seen))
    plans = []
    for name in names.split(","):
        fixed = quick_base(name, seen.X, seen.y, problem, seen.weight) if has_enough_new(rows.is_new) else None
        plans.append(plan_for(problem, grid, spaces, name=name, fixed=fixed, residuals=residuals, n_steps=n_steps))
    objective = objective or ("rmse" if problem.is_regression else "log_loss")
    return select(rows, plans, grid, objective=objective, most_members=most, n_folds=n_folds, threads=1, sizes=sizes)[0]


def model_of(
    names: str, X: Floats, y: Floats, problem: Problem, choices: tuple[Choice, ...], *, n_steps: int = 2
) -> ResMem:
    """The model that a choice makes of the rows that it was chosen on."""
    trainings = [training_of(rows_of(X, y), problem, estimator=name, n_steps=n_steps) for name in names.split(",")]
    built = [
        member_of(trainings[choice.candidate.base], choice.candidate, choice.settings, weight=choice.weight)
        for choice in choices
    ]
    return ResMem(tuple(training.base for training in trainings), tuple(built))


def fresh_gain(names, train, fresh, problem, choices: tuple[Choice, ...], *, n_steps: int = 2) -> float:
    """What the chosen choices gain over the first base on rows that nothing has seen."""
    prediction = model_of(names, *train, problem, choices, n_steps=n_steps).predict(fresh[0])
    return float((row_loss(fresh[1], prediction.base) - row_loss(fresh[1], prediction.resmem)).mean())


def preferred(by_fold: Floats, settings: Sequence[Settings]) -> int:
    """Of settings within one standard error of the best, the best of those with the fewest neighbours; spelt out."""
    means = by_fold.mean(axis=0)
    best = int(np.argmin(means))
    close = []
    for i, column in enumerate(by_fold.T):
        worse = column - by_fold[:, best]
        if worse.mean() <= worse.std(ddof=1) / len(worse) ** 0.5 and worse.mean() <= 0.005 * means[best]:
            close.append(i)
    return min(close, key=lambda i: (settings[i].n_neighbors, means[i]))


def combination_on(
    done: list[Fold],
    some: list[int],
    grid: Grid,
    by_setting: dict[Candidate, Floats],
    objective: str,
    *,
    most: int = 1,
) -> tuple[list[Settings], Floats]:
    """Of some folds, the best settings of every candidate, and the shares of these and, last, of the base."""
    candidates = list(by_setting)
    settings = {candidate: grid.settings(candidate.space) for candidate in candidates}
    best = [
        settings[candidate][preferred(by_setting[candidate][some], settings[candidate])] for candidate in candidates
    ]
    labels, own = (np.concatenate([getattr(done[i], name) for i in some]) for name in ("y", "weight"))
    predictions = [
        np.concatenate([scoring.predictions(done[i], candidate, settings) for i in some])
        for candidate, settings in zip(candidates, best, strict=True)
    ]
    predictions.append(np.concatenate([done[i].predictions[0] for i in some]))

    def loss_of(p: Floats) -> Floats:
        return row_loss(labels, p, objective)

    def cost_factor(used: Sequence[int]) -> float:
        return 1 + 1e-4 * serving.microseconds([(candidates[i], best[i]) for i in used if i < len(best)])

    shares = combine(predictions, loss_of, own, most, cost_factor, uncounted=len(best))
    used = [int(i) for i in np.argsort(-shares, kind="stable") if shares[i] > 0]

    def penalised_loss() -> float:
        mean = sum(shares[i] * predictions[i] for i in used)
        return float(np.average(loss_of(mean), weights=own)) * cost_factor(used)

    for i in used:
        if i == len(best):
            continue
        every, losses = settings[candidates[i]], by_setting[candidates[i]][some]
        for fewer in [k for k in sorted(grid.neighbors, reverse=True) if k < best[i].n_neighbors]:
            before = penalised_loss(), best[i], predictions[i]
            with_fewer = [j for j, each in enumerate(every) if each.n_neighbors == fewer]
            best[i] = every[with_fewer[preferred(losses[:, with_fewer], [every[j] for j in with_fewer])]]
            predictions[i] = np.concatenate([scoring.predictions(done[j], candidates[i], best[i]) for j in some])
            if not penalised_loss() < before[0]:
                _, best[i], predictions[i] = before
                break
    return best, shares


def loss_of_others(
    done: list[Fold], i: int, grid: Grid, by_setting: dict[Candidate, Floats], objective: str, *, most: int = 1
) -> Floats:
    """The losses of a fold's rows by the combination that the other folds choose."""
    best, shares = combination_on(done, [j for j in range(5) if j != i], grid, by_setting, objective, most=most)
    each = [
        scoring.predictions(done[i], candidate, settings) for candidate, settings in zip(by_setting, best, strict=True)
    ]
    mean = sum(share * one for share, one in zip(shares, [*each, done[i].predictions[0]], strict=True))
    return row_loss(done[i].y, mean, objective)


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


def mislabelled(n: int, seed: int, share: float) -> tuple[Floats, Floats, Problem]:
    X, y, problem = local(n, BINARY, seed)
    return X, np.where(np.random.default_rng(seed).random(n) < share, 1 - y, y), problem


# What is chosen


@EVERY_TASK
def test_the_choice_of_one_member_is_the_best_of_the_candidates_of_every_base_and_representation(n_classes):
    X, y, problem = make_rows(200, n_classes)
    names = ("features", "sensitivity", "model", "learned:linear")
    grid = grid_for(n_classes)
    chosen = chosen_for("boosting,linear", X, y, problem, grid, spaces=names)
    candidates = {(base, name) for base in (0, 1) for name in names}
    assert {score.candidate[:2] for score in chosen.scores} == candidates
    losses = [score.loss for score in chosen.scores]
    assert losses == sorted(losses)
    best = chosen.scores[0]
    assert chosen.helps
    assert chosen.choices == (Choice(best.candidate, best.settings, 1.0),)
    assert all(score.settings in grid.settings(score.candidate.space) for score in chosen.scores)


def test_the_chosen_loss_is_that_of_the_preferred_settings_over_all_folds():
    X, y, problem = make_rows(200, REGRESSION)
    grid = grid_for(REGRESSION)
    done = folds_for(rows_of(X, y), plan_for(problem, grid))
    losses = np.array([grid_losses(fold, FEATURES, grid, "rmse") for fold in done])
    chosen = chosen_for("linear", X, y, problem, grid)
    best = preferred(losses, grid.settings("features"))
    assert chosen.scores[0].loss == pytest.approx(losses.mean(axis=0)[best])
    assert chosen.scores[0].settings == grid.settings("features")[best]


@pytest.mark.parametrize("seed", [2, 1], ids=["folds_differ_more", "rows_differ_more"])
def test_the_gain_is_of_settings_chosen_on_the_other_folds_and_its_error_over_folds_or_rows(seed):
    X, y, problem = make_rows(200, REGRESSION, seed)
    weight = np.random.default_rng(0).uniform(0.2, 3, 200)
    grid = grid_for(REGRESSION)
    done = folds_for(rows_of(X, y, weight=weight), plan_for(problem, grid))
    by_setting = np.array([grid_losses(fold, FEATURES, grid, "rmse") for fold in done])
    after = [loss_of_others(done, i, grid, {FEATURES: by_setting}, "rmse") for i in range(5)]
    gains = [row_loss(fold.y, fold.predictions[0]) - loss for fold, loss in zip(done, after, strict=True)]
    own = np.concatenate([fold.weight for fold in done])
    gain = np.average(np.concatenate(gains), weights=own)
    over_folds = np.std([np.average(g, weights=f.weight) for g, f in zip(gains, done, strict=True)], ddof=1) / 5**0.5
    over_rows = np.sqrt(np.sum(np.square(own * (np.concatenate(gains) - gain)))) / own.sum()

    chosen = chosen_for("linear", X, y, problem, grid, weight=weight)

    assert chosen.gain == pytest.approx(gain)
    assert chosen.gain == pytest.approx(chosen.base_loss - chosen.resmem_loss)
    assert chosen.standard_error == pytest.approx(max(over_folds, over_rows))
    assert (over_folds > over_rows) == (seed == 2)
    assert (chosen.n_folds, chosen.n_queries, chosen.refitted, chosen.forced) == (5, 200, True, False)


def test_rows_of_equal_features_count_as_one_in_the_error_of_the_gain():
    X, y, problem = local(300, REGRESSION, 0)
    once = chosen_for("linear", X, y, problem, grid_for(REGRESSION))
    thrice = chosen_for("linear", np.vstack([X] * 3), np.concatenate([y] * 3), problem, grid_for(REGRESSION))
    assert (once.n_queries, thrice.n_queries) == (300, 900)
    assert thrice.standard_error == pytest.approx(once.standard_error, rel=0.15)


def test_a_memory_does_not_help_where_only_copies_know_the_label():
    """Of noise, each row there twice: whoever holds one out while its copy is remembered finds a gain."""
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(400, 4)), rng.normal(size=400)
    chosen = chosen_for(
        "linear", np.vstack([X, X]), np.concatenate([y, y]), Problem((0,) * 4, 0, 0), grid_for(REGRESSION)
    )
    assert not chosen.helps
    assert chosen.gain < 0.05 * chosen.base_loss


@EVERY_TASK
def test_the_same_seed_chooses_the_same(n_classes):
    X, y, problem = make_rows(150, n_classes)
    first, second = (chosen_for("boosting", X, y, problem, grid_for(n_classes)) for _ in range(2))
    assert first == second


def test_scoring_a_part_of_very_many_rows_leaves_the_gain_to_all_of_them(monkeypatch):
    X, y, problem = local(600, REGRESSION, 0)
    shrinkages = tuple(np.arange(0.5, 1.5, 0.02).tolist())
    grid = replace(grid_for(REGRESSION), neighbors=(16,), bandwidths=(0.1, 0.2, 0.4), shrinkages=shrinkages)
    whole = chosen_for("linear", X, y, problem, grid)
    monkeypatch.setattr(scoring, "_MOST_SCORED", 40)
    part = chosen_for("linear", X, y, problem, grid)
    assert part.n_queries == whole.n_queries == 600
    assert part.scores[0].loss != whole.scores[0].loss
    assert part.gain == pytest.approx(whole.gain, rel=0.1)


# Honesty


@pytest.mark.parametrize(("name", "n_classes"), [("constant", 0), ("constant", 2), ("constant", 4), ("linear", 0)])
def test_where_there_is_nothing_to_remember_the_memory_is_refused_and_no_gain_is_claimed(name, n_classes):
    """On average; and what the best settings seem to gain without that care is a gain."""
    gains, naive, refused = [], [], 0
    for seed in range(8):
        X, y, problem = noise(200, n_classes, seed)
        chosen = chosen_for(name, X, y, problem, grid_for(n_classes, Grid()))
        gains.append(chosen.gain / chosen.base_loss)
        naive.append(1 - chosen.scores[0].loss / chosen.base_loss)
        refused += chosen.choices[0].settings.shrinkage == 0
        assert (chosen.choices[0].settings.shrinkage == 0) == (not chosen.helps)
    assert refused >= 6
    assert np.mean(gains) < 0.003
    assert np.mean(naive) > np.mean(gains)


def test_refused_the_memory_leaves_exactly_the_base():
    X, y, problem = noise(200, BINARY, 1)
    chosen = chosen_for("constant", X, y, problem, Grid())
    assert (chosen.choices[0].settings.shrinkage, chosen.choices[0].settings.temperature) == (0.0, 1.0)
    model = model_of("constant", X, y, problem, chosen.choices)
    np.testing.assert_array_equal(model.predict(X).resmem, quick_base("constant", X, y, problem).predict(X))


@pytest.mark.parametrize("n_classes", [REGRESSION, BINARY], ids=["regression", "binary"])
def test_a_rest_that_lies_near_itself_is_remembered_and_gains_on_fresh_rows_what_the_folds_said(n_classes):
    X, y, problem = local(800, n_classes, 0)
    chosen = chosen_for("linear", X, y, problem, grid_for(n_classes, Grid()))
    assert chosen.helps
    assert chosen.choices[0].settings.shrinkage > 0
    gain = fresh_gain("linear", (X, y), local(3_000, n_classes, 1)[:2], problem, chosen.choices)
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
        best = Choice(FEATURES, chosen.scores[0].settings)
        fresh = noise(1_000, n_classes, seed + 100)[:2]
        true.append(fresh_gain("boosting", (X, y), fresh, problem, (best,)))
    difference = np.subtract(said, true)
    assert difference.mean() < 2 * difference.std(ddof=1) / 6**0.5


@pytest.mark.parametrize("name", ["boosting", "linear"])
def test_a_base_overfitted_to_noise_is_not_helped_by_a_memory_though_a_temperature_would_help_it(name):
    """Nearly every seed's folds show a gain beyond its standard error, but a temperature alone makes it."""
    refused, would_be_credited = 0, 0
    for seed in range(8):
        X, y, problem = noise(300, BINARY, seed)
        chosen = chosen_for(name, X, y, problem, Grid(), spaces=("features", "sensitivity"))
        refused += not chosen.helps
        would_be_credited += chosen.gain > chosen.standard_error
        assert (chosen.choices[0].settings.shrinkage, chosen.choices[0].settings.temperature) == (0, 1) or chosen.helps
    assert refused >= 6
    if name == "boosting":
        assert would_be_credited >= 6


def test_a_gain_counts_only_beyond_that_of_a_temperature_chosen_as_honestly_and_the_error_of_that():
    """Of the base alone, on the other folds; the figures that are told stay those over the base as it is."""
    seen = set()
    for seed, wrong in ((0, 1.0), (2, 1.0), (1, 0.3), (6, 0.3), (6, 0.4), (5, 0.3)):
        X, y, problem = noise(200, BINARY, seed) if wrong == 1 else mislabelled(200, seed, wrong)
        grid = grid_for(BINARY)
        done = folds_for(rows_of(X, y), plan_for(problem, grid, name="boosting"))
        by_setting = np.array([grid_losses(fold, FEATURES, grid, "log_loss") for fold in done])
        tempered = [
            [row_loss(fold.y, kernel.tempered(fold.predictions[0], t)) for t in grid.temperatures] for fold in done
        ]
        by_temperature = np.array([[loss.mean() for loss in losses] for losses in tempered])
        alone, after = [], []
        for i in range(5):
            alone.append(tempered[i][np.delete(by_temperature, i, axis=0).mean(axis=0).argmin()])
            after.append(loss_of_others(done, i, grid, {FEATURES: by_setting}, "log_loss"))
        beyond = [a - b for a, b in zip(alone, after, strict=True)]
        over_folds = np.std([one.mean() for one in beyond], ddof=1) / 5**0.5
        standard_error = max(over_folds, np.concatenate(beyond).std() / 200**0.5)
        mean = np.concatenate(beyond).mean()

        chosen = chosen_for("boosting", X, y, problem, grid)

        before = np.concatenate([row_loss(fold.y, fold.predictions[0]) for fold in done]).mean()
        assert chosen.gain == pytest.approx(before - np.concatenate(after).mean())
        assert chosen.helps == (chosen.gain > chosen.standard_error and mean > standard_error)
        both = ((chosen.gain, chosen.standard_error), (mean, standard_error))
        is_lost = any(gain <= -error for gain, error in both)
        is_won = all(gain >= 2 * error for gain, error in both)
        assert chosen.is_clear == (is_lost or is_won)
        seen.add((bool(chosen.gain > chosen.standard_error), int(mean > 0) + int(mean > standard_error)))
    assert {(True, 0), (True, 1), (True, 2)} <= seen  # worse than a temperature; better, but not surely; surely


# What the user fixed


def test_a_forced_shrinkage_stays_where_the_memory_does_not_help():
    X, y, problem = noise(200, REGRESSION, 0)
    chosen = chosen_for("constant", X, y, problem, replace(grid_for(REGRESSION), shrinkages=(1.0,)))
    assert chosen.forced
    assert not chosen.helps
    assert chosen.choices[0].settings.shrinkage == 1.0


def test_a_shrinkage_of_0_is_the_base_and_gains_nothing():
    X, y, problem = make_rows(150, BINARY)
    chosen = chosen_for("boosting", X, y, problem, replace(SMALL, shrinkages=(0.0,)))
    assert (chosen.gain, chosen.standard_error, chosen.helps, chosen.forced) == (0.0, 0.0, False, False)
    assert (chosen.choices[0].settings.shrinkage, chosen.choices[0].settings.temperature) == (0.0, 1.0)


def test_a_shrinkage_of_0_is_the_base_where_other_weights_of_several_bases_would_be_better():
    grid = replace(grid_for(REGRESSION), shrinkages=(0.0,))
    mean = known_to_the_base((0.5, 0.5))
    done = [replace(fold, base_weights=(1.0, 0.0)) for fold in mean]
    assert row_loss(done[0].y, mean[0].base).mean() < 0.1 * row_loss(done[0].y, done[0].base).mean()
    selection = Selector(done, grid, "rmse", 2).selection(refitted=True)
    assert (selection.gain, selection.helps, selection.base_share) == (0.0, False, 0.0)
    assert [(each.candidate.base, each.settings.shrinkage) for each in selection.choices] == [(0, 0.0)]


def test_a_fold_whose_only_row_is_an_outlier_is_judged_all_the_same():
    X, y, problem = local(1_200, REGRESSION, 0)
    done = folds_for(rows_of(X, y), plan_for(problem, SMALL, name="constant"))
    far = replace(done[0].take(np.array([0])), y=np.array([1e6]))
    selection = Selector([far, *done[1:]], grid_for(REGRESSION), "rmse", 1).selection(refitted=True)
    assert selection.n_queries >= 1
    assert np.isfinite(selection.gain)


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


def test_of_very_many_rows_one_split_chooses():
    X, y, problem = local(800, REGRESSION, 0)
    sizes = FoldSizes(most_folded=700, most_split=600)
    chosen = chosen_for("linear", X, y, problem, grid_for(REGRESSION), sizes=sizes)
    assert (chosen.n_folds, chosen.n_queries) == (5, 120)
    assert chosen.helps


def test_weights_say_which_rows_count():
    """The rest of half of the rows can be remembered, that of the other half is noise."""
    X, y, problem = local(600, REGRESSION, 0)
    y[300:] = np.random.default_rng(1).normal(size=300) * 3
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
    grid = grid_for(n_classes, Grid(neighbors=(8, 32)))
    spaces = ("features", "sensitivity", "learned:diagonal")
    chosen = chosen_for("linear", X, y, problem, grid, spaces=spaces, n_folds=3, n_steps=60)
    assert chosen.choices[0].candidate.space == "learned:diagonal"
    assert chosen.helps
    losses = {score.candidate.space: score.loss for score in chosen.scores}
    assert losses["learned:diagonal"] < 0.8 * min(losses["features"], losses["sensitivity"])
    fresh = one_of_many(1_000, n_classes, 1)[:2]
    assert fresh_gain("linear", (X, y), fresh, problem, chosen.choices, n_steps=60) > 0.95 * chosen.gain


def test_an_encoder_trained_on_noise_is_refused():
    """However well it fits the rows that it was trained on: others judge it."""
    refused = 0
    for seed in range(4):
        X, y, problem = noise(250, BINARY, seed)
        spaces = ("features", "learned:mlp")
        grid = Grid(neighbors=(4, 32))
        refused += not chosen_for("linear", X, y, problem, grid, spaces=spaces, n_folds=2, n_steps=30).helps
    assert refused >= 3


def test_where_fewer_folds_are_run_their_rows_are_judged_in_as_many_groups():
    X, y, problem = local(300, REGRESSION, 0)
    spaces, sizes = ("features", "learned:diagonal"), FoldSizes(enough_to_learn=50)
    chosen = chosen_for("linear", X, y, problem, grid_for(REGRESSION), spaces=spaces, sizes=sizes)
    assert (chosen.n_folds, chosen.n_queries, chosen.refitted) == (5, 60, True)
    assert chosen.standard_error > 0


@pytest.mark.parametrize(("rest", "n_queries"), [(3.0, 100), (0.2, 300)], ids=["clear", "unclear"])
def test_more_rows_are_asked_where_the_gain_is_within_two_standard_errors(rest, n_queries):
    """What a line leaves of 500 rows: a step that is seen at once, or one that is drowned in noise."""
    sizes = FoldSizes(enough_to_learn=100)
    rng = np.random.default_rng(1)
    X = rng.normal(size=(500, 2))
    y = rest * np.sign(X[:, 0] * X[:, 1]) + rng.normal(size=500)
    spaces = ("features", "learned:diagonal")
    chosen = chosen_for("linear", X, y, Problem((0, 0), 0, 0), grid_for(REGRESSION), spaces=spaces, sizes=sizes)
    assert chosen.n_queries == n_queries
    assert chosen.is_clear == (n_queries == 100)
    forced = replace(grid_for(REGRESSION), shrinkages=(1.0,))
    forcibly = chosen_for("linear", X, y, Problem((0, 0), 0, 0), forced, spaces=spaces, sizes=sizes)
    assert forcibly.n_queries == 100


def test_nothing_to_gain_is_clear():
    X, _, problem = local(200, REGRESSION, 0)
    spaces, sizes = ("features", "learned:mlp"), FoldSizes(enough_to_learn=40)
    chosen = chosen_for("constant", X, np.ones(200), problem, grid_for(REGRESSION), spaces=spaces, sizes=sizes)
    assert (chosen.gain, chosen.standard_error, chosen.n_queries) == (0, 0, 40)


# Several bases and several members


def test_the_winner_can_be_on_the_second_base_and_its_gain_is_that_over_the_first():
    X, y, problem = local(600, REGRESSION, 0)
    chosen = chosen_for("constant,linear", X, y, problem, grid_for(REGRESSION))
    assert chosen.helps
    assert [choice.candidate for choice in chosen.choices] == [Candidate(1, "features")]
    assert chosen.base_loss == pytest.approx(chosen_for("constant", X, y, problem, grid_for(REGRESSION)).base_loss)
    assert chosen.resmem_loss < chosen_for("constant", X, y, problem, grid_for(REGRESSION)).resmem_loss
    fresh = local(2_000, REGRESSION, 1)[:2]
    gain = fresh_gain("constant,linear", (X, y), fresh, problem, chosen.choices)
    assert chosen.gain == pytest.approx(gain, rel=0.1)


@pytest.mark.parametrize("n_classes", [REGRESSION, MULTICLASS], ids=["regression", "classification"])
def test_refused_the_memories_of_several_bases_leave_exactly_the_first(n_classes):
    X, y, problem = noise(200, n_classes, 0)
    chosen = chosen_for(
        "constant,linear", X, y, problem, grid_for(n_classes), spaces=("sensitivity", "features"), most=3
    )
    assert not chosen.helps
    assert [(choice.candidate, choice.weight) for choice in chosen.choices] == [(FEATURES, 1.0)]
    assert (chosen.choices[0].settings.shrinkage, chosen.choices[0].settings.temperature) == (0.0, 1.0)
    model = model_of("constant,linear", X, y, problem, chosen.choices)
    assert not model.uses_memory
    np.testing.assert_array_equal(model.predict(X).resmem, quick_base("constant", X, y, problem).predict(X))


def test_on_noise_no_gain_is_claimed_though_there_is_more_to_choose_from():
    """Four candidates on two bases, and their mean."""
    gains, refused = [], 0
    for seed in range(8):
        X, y, problem = noise(200, REGRESSION, seed)
        spaces = ("features", "sensitivity")
        chosen = chosen_for("constant,linear", X, y, problem, grid_for(REGRESSION), spaces=spaces, most=4)
        gains.append(chosen.gain / chosen.base_loss)
        refused += not chosen.helps
    assert refused >= 6
    assert np.mean(gains) < 0.003


@EVERY_TASK
@pytest.mark.parametrize("is_default", [True, False], ids=["default_objective", "other_objective"])
def test_the_gain_is_of_a_combination_that_was_chosen_on_the_other_folds(n_classes, is_default):
    X, y, problem = make_rows(200, n_classes)
    weight = np.random.default_rng(0).uniform(0.2, 3, 200)
    grid, spaces, objective = (
        grid_for(n_classes, replace(SMALL, neighbors=(4, 16), bandwidths=(0.5,))),
        ("features", "model"),
        metrics.objectives(n_classes == 0)[not is_default],
    )
    rows = rows_of(X, y, weight=weight)
    done = folds_for(rows, *(plan_for(problem, grid, spaces, name=name) for name in ("linear", "boosting")))
    candidates = list(done[0].views)
    by_setting = {
        candidate: np.array([grid_losses(fold, candidate, grid, objective) for fold in done])
        for candidate in candidates
    }

    before, after = [], []
    for i, fold in enumerate(done):
        after.append(loss_of_others(done, i, grid, by_setting, objective, most=3))
        before.append(row_loss(fold.y, fold.predictions[0], objective))
    own = np.concatenate([fold.weight for fold in done])

    chosen = chosen_for(
        "linear,boosting", X, y, problem, grid, spaces=spaces, weight=weight, objective=objective, most=3
    )

    assert chosen.objective == objective
    assert chosen.base_loss == pytest.approx(np.average(np.concatenate(before), weights=own))
    assert chosen.resmem_loss == pytest.approx(np.average(np.concatenate(after), weights=own))
    assert chosen.gain == pytest.approx(chosen.base_loss - chosen.resmem_loss)
    best, shares = combination_on(done, [*range(5)], grid, by_setting, objective, most=3)
    expected = [Choice(*each) for each in zip(candidates, best, shares.tolist(), strict=False) if each[-1] > 0]
    if chosen.helps:
        assert chosen.choices == tuple(sorted(expected, key=lambda choice: -choice.weight))
        assert chosen.base_share == shares[-1]
    if is_default and n_classes != MULTICLASS:
        assert chosen.helps


def test_members_share_the_prediction_largest_share_first_and_are_no_more_than_asked():
    X, y, problem = make_rows(300, REGRESSION)
    numbers = []
    for most in (1, 2, 4):
        spaces = ("features", "sensitivity", "model")
        chosen = chosen_for("boosting,linear", X, y, problem, grid_for(REGRESSION), spaces=spaces, most=most)
        weights = [choice.weight for choice in chosen.choices]
        assert sum(weights) + chosen.base_share == pytest.approx(1)
        assert weights == sorted(weights, reverse=True)
        assert len({choice.candidate for choice in chosen.choices}) == len(weights) <= most
        numbers.append(len(weights))
    assert numbers[0] == 1 < numbers[1]


def test_the_mean_of_two_members_gains_on_fresh_rows_what_the_folds_said_and_more_than_the_best_alone():
    X, y, problem = make_rows(800, REGRESSION, seed=3)
    fresh = make_rows(3_000, REGRESSION, seed=4)[:2]
    names, spaces = "linear,mlp", ("features", "sensitivity", "model")
    one, two = (chosen_for(names, X, y, problem, grid_for(REGRESSION), spaces=spaces, most=most) for most in (1, 2))
    assert len(two.choices) == 2
    alone, both = (fresh_gain(names, (X, y), fresh, problem, each.choices) for each in (one, two))
    assert both > alone > 0
    assert two.gain == pytest.approx(both, rel=0.15)


def test_forced_to_be_used_every_member_has_the_shrinkage_that_was_asked_for():
    X, y, problem = noise(200, REGRESSION, 0)
    grid = replace(grid_for(REGRESSION), shrinkages=(1.0,))
    chosen = chosen_for("constant,linear", X, y, problem, grid, most=2)
    assert chosen.forced
    assert not chosen.helps
    assert {choice.settings.shrinkage for choice in chosen.choices} == {1.0}


@pytest.mark.parametrize("objective", ["rmse", "mae", "log_loss", "accuracy"])
def test_every_figure_is_of_the_objective(objective):
    X, y, problem = make_rows(200, REGRESSION if objective in ("rmse", "mae") else MULTICLASS)
    grid = grid_for(problem.n_classes)
    chosen = chosen_for("linear", X, y, problem, grid, objective=objective)
    done = folds_for(rows_of(X, y), plan_for(problem, grid))
    before = np.concatenate([row_loss(fold.y, fold.predictions[0], objective) for fold in done])
    assert chosen.base_loss == pytest.approx(before.mean())
    best = chosen.scores[0]
    losses = np.concatenate([setting_loss(fold, FEATURES, best.settings, objective) for fold in done])
    assert best.loss == pytest.approx(losses.mean())
    assert best.standard_error >= 0.999 * losses.std() / 200**0.5
    by_setting = np.array([grid_losses(fold, FEATURES, grid, objective) for fold in done])
    assert best.settings == grid.settings("features")[preferred(by_setting, grid.settings("features"))]


def test_the_objective_decides_what_is_chosen():
    """Of a target with rare, very large values the settings that are best by the mean are not by the absolute error."""
    X, y, problem = local(600, REGRESSION, 0)
    y = y + 30 * (np.random.default_rng(1).random(600) < 0.03)
    by_square, by_absolute = (
        chosen_for("linear", X, y, problem, Grid(temperatures=(1.0,)), objective=objective)
        for objective in ("rmse", "mae")
    )
    assert by_square.scores[0].settings != by_absolute.scores[0].settings


def test_a_held_out_row_of_weight_2_chooses_as_the_row_twice():
    """The best, and what it gains; of standard errors only that over folds is the same."""
    X, y, problem = make_rows(150, REGRESSION)
    times = np.arange(150) % 3 + 1
    grid = grid_for(REGRESSION)
    plans = [plan_for(problem, grid, ("features", "sensitivity"), name=name) for name in ("linear", "boosting")]
    done = folds_for(rows_of(X, y), *plans)
    weights = np.split(times.astype(float), np.cumsum([len(fold.y) for fold in done])[:-1])
    weighted = [replace(fold, weight=weight) for fold, weight in zip(done, weights, strict=True)]
    repeated = [
        fold.take(np.repeat(np.arange(len(fold.y)), weight.astype(int)))
        for fold, weight in zip(done, weights, strict=True)
    ]
    one, other = (Selector(some, grid, "mae", 1).selection(refitted=True) for some in (weighted, repeated))
    assert one.choices == other.choices
    assert (one.n_queries, other.n_queries) == (150, times.sum())
    for name in ("base_loss", "resmem_loss", "gain"):
        assert getattr(one, name) == pytest.approx(getattr(other, name))
    assert [each.loss for each in one.scores] == pytest.approx([each.loss for each in other.scores])


# Residuals


def test_of_a_base_that_repeats_its_labels_only_cross_fitted_residuals_are_worth_remembering(parrot):
    X, y, problem = local(400, REGRESSION, 0)
    grid = grid_for(REGRESSION)
    in_sample, cross_fitted = (chosen_for(parrot, X, y, problem, grid, residuals=kind) for kind in RESIDUAL_KINDS)
    assert (in_sample.gain, in_sample.helps) == (0.0, False)
    assert cross_fitted.helps
    assert cross_fitted.choices[0].candidate == Candidate(0, "features", "cross-fitted")
    assert cross_fitted.gain > 0.5 * cross_fitted.base_loss


def test_cross_fitted_residuals_are_found_where_they_help_and_both_kinds_are_candidates(parrot):
    X, y, problem = local(400, REGRESSION, 0)
    chosen = chosen_for(parrot, X, y, problem, grid_for(REGRESSION), spaces=("features", "learned:diagonal"), most=2)
    assert {score.candidate for score in chosen.scores} == {
        Candidate(0, "features"),
        Candidate(0, "features", "cross-fitted"),
        Candidate(0, "learned:diagonal", "cross-fitted"),
    }
    assert chosen.helps
    assert {choice.candidate.residuals for choice in chosen.choices} == {"cross-fitted"}


# Outliers


def outlying(n_queries: int, n_wild: int) -> Fold:
    """A fold whose base is wrong by 1 everywhere, and by 1,000 in a few rows."""
    y = np.zeros(n_queries)
    predictions = np.ones((n_queries, 1))
    predictions[:n_wild] = 1_000.0
    return Fold(y, np.ones(n_queries), np.arange(n_queries), (predictions,), {}, {})


def folds_of(*groups: Fold, objective: str) -> list[Fold]:
    return Selector(groups, SMALL, objective, 1)._folds


def test_the_thousandth_of_rows_that_a_base_gets_most_wrong_does_not_choose_by_the_rmse():
    found = folds_of(outlying(1_000, 2), outlying(1_000, 0), objective="rmse")
    assert [len(fold.y) for fold in found] == [998, 1_000]
    assert all((fold.predictions[0] == 1.0).all() for fold in found)


def test_of_fewer_than_a_thousand_rows_all_choose():
    found = folds_of(outlying(400, 1), outlying(400, 0), objective="rmse")
    assert [len(fold.y) for fold in found] == [400, 400]


def test_every_row_chooses_by_absolute_errors():
    assert [len(fold.y) for fold in folds_of(outlying(2_000, 2), objective="mae")] == [2_000]


@pytest.mark.parametrize("objective", ["log_loss", "accuracy"])
def test_every_row_of_a_classification_chooses(objective):
    """Its losses are bounded, and a base that is sure and wrong is what a temperature mends."""
    fold = Fold(np.zeros(2_000), np.ones(2_000), np.arange(2_000), (np.tile([0.5, 0.5], (2_000, 1)),), {}, {})
    fold.predictions[0][0] = [1e-9, 1 - 1e-9]
    assert len(folds_of(fold, objective=objective)[0].y) == 2_000


# Fewer neighbours


def test_fewer_neighbours_are_used_where_the_folds_cannot_tell_the_difference() -> None:
    n_neighbors = np.array([4, 8, 8, 64])
    clearly = np.array([[2.0, 1.5, 1.6, 1.0]] * 3) + np.array([[0.0], [1.0], [5.0]])  # folds differ, settings do not
    assert selecting._frugal(clearly, n_neighbors) == 3
    nearly = clearly + np.array([[-1.02, 0, 0, 0], [-0.98, 0, 0, 0], [-1.0, 0, 0, 0]])  # 0 ± .012 worse than the best
    assert selecting._frugal(nearly, n_neighbors) == 0
    unsure = clearly + np.array([[-1.9, 0, 0, 0], [0.1, 0, 0, 0], [-1.0, 0, 0, 0]])  # .07 ± .58 worse, of 3
    assert selecting._frugal(unsure, n_neighbors) == 3
    two = np.array([[3.0, 1.1, 1.05, 1.0], [3.0, 0.9, 1.0, 1.0], [3.0, 1.003, 0.955, 1.0]])
    assert selecting._frugal(two, n_neighbors) == 1  # of as many neighbours, the better


def test_one_fold_says_nothing_of_its_error_and_the_best_is_used() -> None:
    assert selecting._frugal(np.array([[1.0001, 1.0]]), np.array([4, 128])) == 1


def test_held_out_rows_that_are_all_equal_claim_no_gain():
    """They are one group, of which nothing is known of others, however much they gain."""
    X, y, problem = make_rows(60, REGRESSION)
    X[40:], X[40:, 0] = X[40], 2.0
    y = np.where(X[:, 0] > 0, 5.0, -5.0)  # those near them know it
    rows = LabelledRows(X, y, None, np.ones(60, dtype=bool), np.arange(60) >= 40)
    plan = plan_for(problem, SMALL, name="constant", fixed=quick_base("constant", X, y, problem))
    (fold,) = folds_for(rows, plan, n_folds=1)
    assert len(np.unique(fold.group)) == 1
    chosen = Selector([fold], SMALL, "rmse", 1).selection(refitted=False)
    assert not chosen.helps
    assert chosen.standard_error == abs(chosen.gain) > 0


def test_settings_without_a_finite_loss_are_never_chosen():
    losses = np.array([[np.nan, 3.0, np.inf, 2.0], [1.0, 3.0, np.inf, 2.0]])
    assert selecting._frugal(losses, np.array([1, 2, 3, 4])) == 3
    assert selecting._frugal(np.full((2, 3), np.nan), np.array([1, 2, 3])) == 0


# The base among what is chosen from


def known_to_the_base(base_weights: tuple[float, ...] = ()) -> list[Fold]:
    """Folds whose base, or mean of bases, errs by next to nothing, so that every correction is one for the worse."""
    X, y, problem = make_rows(200, REGRESSION)
    grid = grid_for(REGRESSION)
    rng = np.random.default_rng(0)
    done = folds_for(rows_of(X, y), *(plan_for(problem, grid, name=name) for name in ("linear", "constant")))
    weighed = [replace(fold, base_weights=base_weights) for fold in done]
    return [replace(fold, y=fold.base[:, 0] + 1e-3 * rng.normal(size=len(fold.y))) for fold in weighed]


@pytest.mark.parametrize("base_weights", [(), (0.5, 0.5)], ids=["first", "mean"])
def test_where_every_corrected_model_is_worse_the_base_has_all_and_the_memory_is_off(base_weights):
    selector = Selector(known_to_the_base(base_weights), grid_for(REGRESSION), "rmse", 4)
    chosen = selector._chosen(range(5))
    assert (chosen.choices, chosen.base_share) == ((), 1.0)
    selection = selector.selection(refitted=True)
    assert not selection.helps
    assert selection.is_clear
    assert (selection.gain, selection.base_share) == (0.0, 0.0)
    assert [(choice.settings.shrinkage, choice.weight) for choice in selection.choices] == [(0.0, 1.0)]
    assert selection.resmem_loss == selection.base_loss < 1e-5


def test_the_base_to_beat_is_the_mean_of_the_bases():
    X, y, problem = make_rows(200, REGRESSION)
    grid, weights = grid_for(REGRESSION), (0.5, 0.5)
    done = folds_for(rows_of(X, y), *(plan_for(problem, grid, name=name) for name in ("linear", "constant")))
    chosen = Selector([replace(fold, base_weights=weights) for fold in done], grid, "mae", 1).selection(refitted=True)
    means = [0.5 * fold.predictions[0] + 0.5 * fold.predictions[1] for fold in done]
    losses = np.concatenate([np.abs(fold.y - mean[:, 0]) for fold, mean in zip(done, means, strict=True)])
    assert chosen.base_loss == pytest.approx(losses.mean())
    held_out = chosen.held_out
    assert held_out is not None
    expected = np.concatenate([fold.y - mean[:, 0] for fold, mean in zip(done, means, strict=True)])
    np.testing.assert_allclose(held_out.residuals[:, 0], expected, rtol=1e-12)


def test_forced_to_be_used_the_memory_leaves_the_base_no_share_even_where_every_correction_is_worse():
    grid = replace(grid_for(REGRESSION), shrinkages=(1.0,))
    selection = Selector(known_to_the_base(), grid, "rmse", 2).selection(refitted=True)
    assert selection.base_share == 0
    assert {choice.settings.shrinkage for choice in selection.choices} == {1.0}
    assert not selection.helps
    assert selection.is_clear


def test_next_to_nothing_to_gain_is_clear():
    """A memory that gains a thousandth of the loss, give or take a thousandth, is not worth further folds."""
    rng = np.random.default_rng(0)
    done = folds_for(rows_of(*make_rows(400, REGRESSION)[:2]), plan_for(make_rows(1, 0)[2], SMALL, name="constant"))
    known = [replace(fold, y=1.0 + rng.normal(size=len(fold.y)), rows=None) for fold in done]
    tiny = replace(grid_for(REGRESSION), shrinkages=(1e-4, 2e-4))
    selection = Selector(known, tiny, "mae", 1).selection(refitted=True)
    assert abs(selection.gain) < 0.001 * selection.base_loss
    assert not selection.helps
    assert selection.is_clear


def test_where_nothing_is_measured_the_settings_are_put_on_every_base_that_weighs_something():
    problem = make_rows(10, REGRESSION)[2]
    one = replace(grid_for(REGRESSION), neighbors=(4,), bandwidths=(0.5,), shrinkages=(1.0,))
    plans = [plan_for(problem, one, name=name) for name in ("linear", "constant", "boosting")]
    found = selecting.only_combination(plans, one, (0.75, 0.0, 0.25))
    assert [(choice.candidate.base, choice.weight) for choice in found.choices] == [(0, 0.75), (2, 0.25)]
    assert {choice.settings for choice in found.choices} == set(one.settings("features"))
    assert found.base_share == 0
    own = [replace(plan, spaces=(space,)) for plan, space in zip(plans, ("model", "features", "model"), strict=True)]
    choices = selecting.only_combination(own, one, (0.5, 0.5)).choices
    assert [choice.candidate.space for choice in choices] == ["model", "features"]
    (alone,) = selecting.only_combination(plans, one, ()).choices
    assert (alone.candidate.base, alone.weight) == (0, 1.0)
    with pytest.raises(UsageError, match="--folds 0 chooses no settings"):
        selecting.only_combination(plans, grid_for(REGRESSION), ())
