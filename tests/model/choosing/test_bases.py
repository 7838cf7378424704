"""The comparison of bases: which settings, in which order, and what each weighs in their mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resmem_cli.model import parallel
from resmem_cli.model.bases import ESTIMATORS, TARGET_ENCODING, BaseSpec, Problem
from resmem_cli.model.bases.boosting import Boosting
from resmem_cli.model.bases.poisson import Poisson
from resmem_cli.model.bases.protocol import WithVariants
from resmem_cli.model.choosing import bases
from resmem_cli.model.choosing.bases import compare, fitted
from resmem_cli.model.combination import combined
from resmem_cli.model.metrics import row_loss
from resmem_cli.model.rows import LabelledRows, Recipe
from resmem_cli.workflow.base_recipes import recipes_of, variants_of
from tests.model.examples import EVERY_TASK, INSTALLED, REGRESSION, make_rows, quick_recipe, rows_of

SMALL = {"max_leaf_nodes": 3, "max_iter": 15}
LARGE = {"max_leaf_nodes": 63, "max_iter": 150, "min_samples_leaf": 2}


def recipe_of(problem: Problem, **params: object) -> Recipe:
    return Recipe(BaseSpec("boosting", {"bags": 1, "early_stopping": False, **params}), problem)


def rows_with(noise: float, n: int = 600) -> tuple[LabelledRows, Problem]:
    """A line and a wave of a product, which takes many leaves, under noise."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (n, 3))
    y = X[:, 0] + np.sin(5 * X[:, 1] * X[:, 2]) + noise * rng.normal(size=n)
    return rows_of(X, y), Problem((0, 0, 0), REGRESSION, 0)


# Settings


@pytest.mark.parametrize(("noise", "expected"), [(5.0, SMALL), (0.0, LARGE)])
def test_small_trees_are_chosen_for_noise_and_large_ones_for_rows_that_say_much(noise, expected):
    rows, problem = rows_with(noise)
    found = compare([recipe_of(problem)], [[SMALL, LARGE]], rows)
    assert found.recipes == (recipe_of(problem, **expected),)
    assert found.weights == (1.0,)
    assert found.mean_loss == pytest.approx(found.losses[0])


def test_what_the_user_gives_stays():
    rows, problem = rows_with(5.0)
    (found,) = compare([recipe_of(problem, max_iter=7)], [[{}, SMALL, LARGE]], rows).recipes
    assert found.spec.params["max_iter"] == 7


@pytest.mark.parametrize("given", ["max_leaf_nodes", "min_samples_leaf"])
def test_no_setting_is_compared_that_the_user_gives(given):
    rows, problem = rows_with(0.0)
    for each in variants_of(recipe_of(problem, **{given: 9}), rows.y, ()):
        assert given not in each
    assert variants_of(recipe_of(problem), rows.y, ())[0] == {}
    assert len(variants_of(recipe_of(problem), rows.y, ())) > 1
    assert variants_of(quick_recipe("linear", problem), rows.y, ()) == [{}]


def test_bases_say_which_settings_suit_how_many_rows():
    _, problem = rows_with(0.0)
    few, many, positive = np.zeros(999), np.linspace(-1, 1, 1_000), np.linspace(1, 2, 1_000)
    for base in (Boosting, Poisson):
        assert issubclass(base, WithVariants)
        of_few = base.variants(problem, few)
        assert {(each["max_leaf_nodes"], each.get("max_features")) for each in of_few} == {(8, None), (8, 0.3)}
    assert [each["max_leaf_nodes"] for each in Boosting.variants(problem, many)] == [8, 63]
    assert {each["loss"] for each in Poisson.variants(problem, positive)} == {"gamma"}
    assert Poisson.variants(problem, positive - 1) == ()
    assert Boosting.variants(replace(problem, n_classes=3), many) == ()
    assert Boosting.variants(Problem((0,) * 1_000, REGRESSION, 0), many) == ()
    assert len(Boosting.variants(replace(problem, n_classes=2), many)) == 2


# Order and weights


@EVERY_TASK
def test_bases_come_by_their_held_out_loss_and_their_mean_is_no_worse_than_the_best(n_classes):
    X, y, problem = make_rows(200, n_classes)
    weight = np.random.default_rng(0).uniform(0.2, 3, 200)
    recipes = [quick_recipe(name, problem) for name in ("constant", "linear", "boosting")]
    found = compare(recipes, [[{}]] * 3, rows_of(X, y, weight=weight))
    assert {recipe.spec.estimator for recipe in found.recipes} == {"constant", "linear", "boosting"}
    assert found.recipes[-1].spec.estimator == "constant"
    assert list(found.losses) == sorted(found.losses)
    assert sum(found.weights) == pytest.approx(1)
    assert found.weights[0] > 0
    assert found.mean_loss is not None
    assert found.mean_loss <= found.losses[0]


@pytest.mark.parametrize(("n_rows", "n_held_out"), [(200, 200), (3_000, 1_200), (20_000, 4_000)])
def test_all_of_few_rows_are_held_out_in_turn_and_a_fifth_or_two_of_more(n_rows, n_held_out):
    X, y, problem = make_rows(n_rows, REGRESSION)
    rows = rows_of(X, y)
    recipes = [quick_recipe(name, problem) for name in ("constant", "linear")]
    found = compare(recipes, [[{}], [{}]], rows)
    assert found.n_held_out == n_held_out
    rng = np.random.default_rng(problem.seed)
    bases.drawn(rows.related(problem).groups, 50_000, rng)
    splits = rows.single_splits(problem, rng)[: 2 if n_rows < 20_000 else 1]
    if n_rows < 3_000:
        splits = list(rows.splits(problem, 3, rng))
        assert len(splits) == 3
    predicted, truth = [], []
    for training, held_out in splits:
        fitted = [recipe.base_for(rows.take(training)) for recipe in found.recipes]
        predicted.append([base.predict(rows.X[held_out]) for base in fitted])
        truth.append(rows.y[held_out])
    each, y = [np.concatenate(of_base) for of_base in zip(*predicted, strict=True)], np.concatenate(truth)
    # The thousandth with the largest errors of the line does not count: a constant's are where targets are large.
    assert found.recipes[0].spec.estimator == "linear"
    errors = row_loss(y, each[0])
    usual = errors <= np.sort(errors)[-1 - len(y) // 1_000]
    assert np.count_nonzero(~usual) == len(y) // 1_000
    each, y = [one[usual] for one in each], y[usual]
    np.testing.assert_allclose(found.losses, [row_loss(y, one).mean() for one in each])
    assert found.mean_loss == pytest.approx(row_loss(y, combined(each, np.array(found.weights))).mean())


def test_the_number_of_threads_changes_nothing():
    X, y, problem = make_rows(200, REGRESSION)
    recipes = [quick_recipe(name, problem) for name in ("linear", "boosting")]
    one, two = (compare(recipes, [[{}], [{}]], rows_of(X, y), threads=threads) for threads in (1, 2))
    assert one == two


# Nothing to compare


def test_one_base_without_other_settings_is_not_measured():
    X, y, problem = make_rows(200, REGRESSION)
    found = compare([quick_recipe("linear", problem)], [[{}]], rows_of(X, y))
    assert (found.losses, found.weights, found.mean_loss, found.n_held_out) == ((), (), None, 0)
    assert found.recipes == (quick_recipe("linear", problem),)


@pytest.mark.parametrize("why", ["few", "one group"])
def test_rows_that_cannot_be_held_out_leave_the_order_and_the_first_settings(why):
    X, y, problem = make_rows(49 if why == "few" else 60, REGRESSION)
    rows = rows_of(X, y)
    if why == "one group":
        rows = replace(rows, groups=np.zeros(60, dtype=np.int64))
    recipes = [quick_recipe(name, problem) for name in ("constant", "boosting")]
    found = compare(recipes, [[{}], [{}, {"max_leaf_nodes": 3}]], rows)
    assert (found.recipes, found.weights) == (tuple(recipes), ())


def test_groups_are_on_one_side(monkeypatch):
    X, y, problem = make_rows(200, REGRESSION)
    rows = replace(rows_of(X, y), groups=np.arange(200) // 10)
    seen = []
    predictions = bases._predictions
    monkeypatch.setattr(bases, "_predictions", lambda *job: seen.append(job[2]) or predictions(*job))
    compare([quick_recipe(name, problem) for name in ("constant", "linear")], [[{}], [{}]], rows)
    assert len(seen) == 6
    for training, held_out in seen:
        assert not set(rows.groups[training]) & set(rows.groups[held_out])


def test_settings_of_tables_with_levels_are_compared_with_and_without_target_encoding() -> None:
    _, y, problem = make_rows(200, REGRESSION)
    problem = replace(problem, levels={2: 3})
    settings = variants_of(quick_recipe("linear", problem), y, ["linear"])
    assert settings == [{}, {TARGET_ENCODING: True}]
    told = Recipe(BaseSpec("linear", {TARGET_ENCODING: False}), problem)
    assert variants_of(told, y, ["linear"]) == [{}]
    of_trees = variants_of(Recipe(BaseSpec("boosting"), problem), y, ["auto"])
    assert [each.get(TARGET_ENCODING, False) for each in of_trees] == [False] + [True] * (len(of_trees) - 1)
    assert variants_of(Recipe(BaseSpec("constant"), problem), y, ["constant"]) == [{}]


@pytest.mark.skipif("catboost" not in INSTALLED, reason="catboost is not installed")
def test_of_how_many_models_catboost_is_the_mean_is_said_once_by_the_number_of_all_rows():
    problem = Problem((0, 0), REGRESSION, 0)

    def params(n_rows, **own):
        (recipe,) = recipes_of(("catboost",), own, problem, np.zeros(n_rows))
        return recipe.spec.params

    assert params(20_000) == {"bags": 3}
    assert params(20_001) == {}
    assert params(100, bags=1) == {"bags": 1}
    X = np.random.default_rng(0).normal(size=(60, 2))
    base = ESTIMATORS["catboost"].fit(X, X[:, 0], None, problem, {"n_estimators": 3})
    assert base.further == ()  # as an older resmem has fitted it, which has not said how many


def test_what_is_measured_of_a_line_that_is_not_the_first_is_that_of_the_bounded_one_which_is_stored():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 2))
    y = np.where(X[:, 0] > 0, 1.0, 0.0) + 0.01 * rng.normal(size=300)
    problem = Problem((0, 0), REGRESSION, 0)
    recipes = [recipe_of(problem, **SMALL), Recipe(BaseSpec("linear"), problem)]
    found = compare(recipes, [[{}], [{}]], rows_of(X, y))
    assert [recipe.spec.params.get("bounded") for recipe in found.recipes] == [None, True]
    unbounded = Recipe(BaseSpec("linear", {"bounded": False}), problem)
    plain = compare([recipes[0], unbounded], [[{}], [{}]], rows_of(X, y))
    assert found.losses[0] == plain.losses[0]
    assert found.losses[1] < plain.losses[1]


# All rows


@pytest.mark.parametrize("most_rows", [bases._MOST_ROWS, 100])
def test_bases_are_fitted_to_all_rows_side_by_side_as_each_alone(monkeypatch, most_rows):
    monkeypatch.setattr(parallel, "_PARALLEL_FROM_ROWS", 100)
    monkeypatch.setattr(bases, "_MOST_ROWS", most_rows)
    rows, problem = rows_with(0.1)
    recipes = [quick_recipe(name, problem) for name in ("boosting", "linear", "network")]
    alone = [recipe.base_for(rows).predict(rows.X) for recipe in recipes]
    for threads in (1, 2):
        said: list[str] = []
        found = fitted(recipes, rows, threads=threads, report=said.append)
        assert said == [f"fitting {name} on 600 rows" for name in ("boosting", "linear", "network")]
        for base, predictions in zip(found, alone, strict=True):
            np.testing.assert_array_equal(base.predict(rows.X), predictions)


def test_a_single_base_has_all_threads(monkeypatch):
    monkeypatch.setattr(bases, "side_by_side", lambda *_, **__: pytest.fail("a worker has one thread"))
    rows, problem = rows_with(0.1)
    assert len(fitted([quick_recipe("linear", problem)], rows, threads=2)) == 1
