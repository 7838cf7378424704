"""What every base model must hold to, whichever it is and whatever the task; then what each does of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from resmem_cli.errors import UsageError
from resmem_cli.model.bases import ESTIMATORS, Problem, automatic
from resmem_cli.model.bases.boosting import Bag, Boosting
from resmem_cli.model.bases.linear import Linear
from resmem_cli.model.bases.mlp import Mlp
from resmem_cli.model.bases.protocol import softmax
from resmem_cli.model.metrics import row_loss
from resmem_cli.model.scaling import Scaler
from tests.model.examples import BINARY, INSTALLED, MULTICLASS, QUICK, REGRESSION, TASKS, make_rows, quick_base

TASK_NAMES = {REGRESSION: "regression", BINARY: "binary", MULTICLASS: "multiclass"}
EVERY_BASE = pytest.mark.parametrize("name", INSTALLED)
EVERY_BASE_WITH_REPRESENTATION = pytest.mark.parametrize("name", [name for name in INSTALLED if name != "constant"])
EVERY_TASK = pytest.mark.parametrize("n_classes", TASKS, ids=TASK_NAMES.get)
EVERY_CLASSIFICATION = pytest.mark.parametrize("n_classes", [BINARY, MULTICLASS], ids=TASK_NAMES.get)


def assert_predicts(base, X, problem):
    """Finite numbers, or probabilities of all classes; and a finite representation, if there is one."""
    predictions = base.predict(X)
    assert predictions.dtype == np.float64
    assert predictions.shape == (len(X), problem.n_outputs)
    assert np.isfinite(predictions).all()
    if not problem.is_regression:
        assert (predictions >= 0).all()
        np.testing.assert_allclose(predictions.sum(axis=1), 1)
    represented = base.represent(X)
    if represented is not None:
        assert represented.dtype == np.float32
        assert represented.ndim == 2
        assert len(represented) == len(X)
        assert np.isfinite(represented).all()


# The contract


@EVERY_TASK
@EVERY_BASE
def test_a_base_predicts_rows_it_saw_rows_it_did_not_and_missing_values(name, n_classes):
    X, y, problem = make_rows(120, n_classes)
    base = quick_base(name, X, y, problem)
    fresh = make_rows(30, n_classes, seed=1)[0]
    nothing = np.full((1, X.shape[1]), np.nan)
    far = np.array([[1e30, -1e30, 0, 1e300]])
    for rows in (X, fresh, nothing, far):
        assert_predicts(base, rows, problem)


@EVERY_TASK
@EVERY_BASE
def test_no_rows_have_no_predictions(name, n_classes):
    X, y, problem = make_rows(40, n_classes)
    assert quick_base(name, X, y, problem).predict(X[:0]).shape == (0, problem.n_outputs)


@EVERY_TASK
@EVERY_BASE
def test_a_base_learns(name, n_classes):
    X, y, problem = make_rows(600, n_classes)
    base = ESTIMATORS[name].fit(X[:500], y[:500], None, problem, {})
    ignorant = ESTIMATORS["constant"].fit(X[:500], y[:500], None, problem, {})
    loss, worst = (row_loss(y[500:], model.predict(X[500:])).mean() for model in (base, ignorant))
    assert loss == worst if name == "constant" else loss < 0.8 * worst


@EVERY_TASK
@EVERY_BASE
def test_the_same_rows_and_seed_give_the_same_base(name, n_classes):
    X, y, problem = make_rows(120, n_classes)
    first, second = (quick_base(name, X, y, problem) for _ in range(2))
    np.testing.assert_array_equal(first.predict(X), second.predict(X))


@EVERY_TASK
@EVERY_BASE
def test_a_restored_base_predicts_and_represents_the_same(name, n_classes):
    X, y, problem = make_rows(120, n_classes)
    base = quick_base(name, X, y, problem)
    restored = ESTIMATORS[name].restore(base.to_arrays(), base.estimator)
    np.testing.assert_array_equal(restored.predict(X), base.predict(X))
    if base.represent(X) is not None:
        np.testing.assert_array_equal(restored.represent(X), base.represent(X))


@EVERY_TASK
@EVERY_BASE_WITH_REPRESENTATION
def test_equal_rows_have_equal_representations_wherever_they_stand(name, n_classes):
    """A cell is made of rows that are equal to the last bit."""
    X, y, problem = make_rows(120, n_classes)
    base = quick_base(name, X, y, problem)
    many = base.represent(np.tile(X, (11, 1))).reshape(11, len(X), -1)
    np.testing.assert_array_equal(many, np.broadcast_to(many[0], many.shape))
    np.testing.assert_array_equal(base.represent(X[5:12]), many[0, 5:12])
    np.testing.assert_array_equal(base.represent(X[3:4]), many[0, 3:4])


@EVERY_TASK
@EVERY_BASE
def test_rows_of_weight_0_have_no_say(name, n_classes):
    """Every row comes again with another target: with weight it draws the predictions there, without it does not."""
    X, y, problem = make_rows(100, n_classes)
    X = np.concatenate([X, X])
    other = np.full(100, y.mean() + 9) if problem.is_regression else np.zeros(100)
    y = np.concatenate([y, other])
    weight = np.repeat([1.0, 0.0], 100)
    without, drawn = (quick_base(name, X, y, problem, w).predict(X)[:, 0].mean() for w in (weight, None))
    own = y[:100].mean() if problem.is_regression else (y[:100] == 0).mean()
    both = y.mean() if problem.is_regression else (y == 0).mean()
    assert abs(without - own) < 0.4 * abs(both - own)
    assert abs(drawn - both) < 0.4 * abs(both - own)


@EVERY_TASK
@pytest.mark.parametrize("name", ["linear", "constant"])
def test_a_row_of_weight_0_is_as_if_it_were_not_there(name, n_classes):
    X, y, problem = make_rows(100, n_classes)
    twice, weight = np.concatenate([X, X]), np.repeat([1.0, 0.0], 100)
    weighted = quick_base(name, twice, np.concatenate([y, np.roll(y, 1)]), problem, weight)
    np.testing.assert_allclose(weighted.predict(X), quick_base(name, X, y, problem).predict(X), atol=1e-3)


@EVERY_TASK
@pytest.mark.parametrize("name", ["linear", "constant"])
def test_a_row_of_weight_3_is_as_if_it_were_there_three_times(name, n_classes):
    X, y, problem = make_rows(100, n_classes)
    weighted = quick_base(name, X, y, problem, np.full(100, 3.0))
    repeated = quick_base(name, np.tile(X, (3, 1)), np.tile(y, 3), problem)
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), atol=1e-3)


@EVERY_BASE
def test_a_class_that_training_lacks_has_probability_0(name):
    X, y, problem = make_rows(120, MULTICLASS)
    kept = y != 1
    base = quick_base(name, X[kept], y[kept], problem)
    assert_predicts(base, X, problem)
    assert (base.predict(X)[:, 1] == 0).all()
    assert (base.predict(X)[:, [0, 2, 3]].mean(axis=0) > 0).all()


@EVERY_BASE
@pytest.mark.parametrize("code", [0, 2])
@pytest.mark.parametrize("n_rows", [1, 2, 40, 400])
def test_where_training_has_one_class_it_is_certain(name, code, n_rows):
    """In a fold it may be so: of two classes one has a single row, and that is held out."""
    X, _, _ = make_rows(n_rows, MULTICLASS)
    problem = Problem((0, 0, 3, 0), 3, 0)
    base = quick_base(name, X, np.full(n_rows, float(code)), problem)
    assert_predicts(base, X, problem)
    np.testing.assert_array_equal(base.predict(X), np.tile(np.eye(3)[code], (n_rows, 1)))


@pytest.mark.parametrize("name", [name for name in INSTALLED if name not in ("mlp", "network")])  # which only come near
@pytest.mark.parametrize("n_rows", [2, 400, 1_200])
def test_a_target_that_is_constant_is_predicted(name, n_rows):
    X, _, problem = make_rows(n_rows, REGRESSION)
    base = quick_base(name, X, np.full(n_rows, 7.5), problem)
    np.testing.assert_allclose(base.predict(X), 7.5, rtol=1e-6)


@EVERY_TASK
@EVERY_BASE
@pytest.mark.parametrize("n_rows", [2, 5, 20])
def test_few_rows_suffice(name, n_classes, n_rows):
    X, y, problem = make_rows(n_rows, n_classes)
    assert_predicts(ESTIMATORS[name].fit(X, y, None, problem, QUICK[name]), X, problem)


@EVERY_CLASSIFICATION
@EVERY_BASE
def test_a_class_of_one_row_is_no_obstacle(name, n_classes):
    X, y, problem = make_rows(1_050, n_classes)
    y[y == 1] = 0
    y[17] = 1
    base = ESTIMATORS[name].fit(X, y, None, problem, QUICK[name])
    assert_predicts(base, X, problem)


@EVERY_BASE
def test_a_constant_target_is_predicted(name):
    X, _, problem = make_rows(60, REGRESSION)
    base = quick_base(name, X, np.full(60, 0.1), problem)
    np.testing.assert_allclose(base.predict(X), 0.1, atol=1e-6)


@EVERY_TASK
@EVERY_BASE
@pytest.mark.parametrize("n_rows", [120, 1_050])
def test_constant_columns_and_columns_without_any_value_do_no_harm(name, n_classes, n_rows):
    """In a fold a column may be so whose few values are held out."""
    X, y, problem = make_rows(n_rows, n_classes)
    empty = np.column_stack([X, np.full(n_rows, 0.1), np.full(n_rows, np.nan), np.full(n_rows, np.nan)])
    wider = Problem((*problem.n_categories, 0, 0, 2), n_classes, problem.seed)
    base = ESTIMATORS[name].fit(empty, y, None, wider, QUICK[name])
    assert_predicts(base, empty, wider)
    assert_predicts(base, np.column_stack([X, np.full((n_rows, 3), 1.0)]), wider)


@EVERY_TASK
@EVERY_BASE
def test_the_defaults_given_as_parameters_change_nothing(name, n_classes):
    X, y, problem = make_rows(60, n_classes)
    defaults = ESTIMATORS[name].parameters(problem)
    base, said = (ESTIMATORS[name].fit(X, y, None, problem, params) for params in ({}, defaults))
    np.testing.assert_array_equal(base.predict(X), said.predict(X))
    assert not {"self", "random_state", "categorical_features"} & set(defaults)


@pytest.mark.parametrize(
    ("name", "n_classes", "params", "sentence"),
    [
        ("linear", REGRESSION, {"alpha": "x"}, "The 'alpha' parameter of Ridge must be"),
        ("linear", BINARY, {"C": -1.0}, "The 'C' parameter of LogisticRegression must be"),
        ("linear", BINARY, {"l1_ratio": 1.0}, "Solver lbfgs supports only 'l2' or None penalties"),
        ("linear", MULTICLASS, {"solver": "liblinear"}, "The 'liblinear' solver does not support multiclass"),
        ("mlp", REGRESSION, {"batch_size": -4}, "The 'batch_size' parameter of MLPRegressor must be"),
        ("mlp", REGRESSION, {"hidden_layer_sizes": (0,)}, "hidden_layer_sizes must be > 0"),
        ("mlp", BINARY, {"validation_fraction": 0.001}, "The test_size = 1 should be"),
        ("boosting", BINARY, {"learning_rate": 0.0}, "The 'learning_rate' parameter of HistGradientBoostingClassifier"),
        ("boosting", REGRESSION, {"loss": "gamma"}, "loss='gamma' requires strictly positive y"),
        ("boosting", REGRESSION, {"monotonic_cst": [1]}, "monotonic_cst has shape (1,)"),
    ],
)
def test_a_parameter_that_the_estimator_refuses_is_told_in_a_sentence(name, n_classes, params, sentence):
    X, y, problem = make_rows(60, n_classes)
    with pytest.raises(UsageError) as refused:
        ESTIMATORS[name].fit(X, y, None, problem, params)
    assert refused.value.message.startswith(sentence)
    assert refused.value.hint == "correct the --param"
    assert "\n" not in str(refused.value)


def test_poisson_multiplies_effects_and_is_never_negative():
    """Of a product of effects with few rows for every pair of them, sums of trees learn less than their logarithm's."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 8, size=(3_000, 4)).astype(np.float64)
    mean = np.exp(X.sum(axis=1) / 4)
    y, problem = rng.poisson(mean).astype(np.float64), Problem((0,) * 4, 0, 0)
    asked, known = np.arange(1_500), np.arange(1_500, 3_000)
    poisson, plain = (
        ESTIMATORS[name].fit(X[known], y[known], None, problem, {}).predict(X[asked])[:, 0]
        for name in ("poisson", "boosting")
    )
    assert poisson.min() > 0
    assert plain.min() < poisson.min()
    assert np.mean((poisson - mean[asked]) ** 2) < 0.8 * np.mean((plain - mean[asked]) ** 2)


@pytest.mark.parametrize("weight", [None, np.repeat([1.0, 0.0], 100)], ids=["unweighted", "weighted"])
def test_poisson_of_nothing_but_zeros_is_zero(weight):
    X, y, problem = make_rows(200, REGRESSION)
    y = np.zeros(200) if weight is None else np.repeat([0.0, 1.0], 100)
    np.testing.assert_array_equal(ESTIMATORS["poisson"].fit(X, y, weight, problem, {}).predict(X), 0)


def test_poisson_that_goes_far_beyond_the_targets_is_plain_boosting():
    """A few counts that are ten thousand times the rest, which the first trees' steps overshoot."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(9_000, 3))
    y = rng.poisson(2, 9_000).astype(np.float64)
    X[:60, 0], y[:60] = 5, rng.poisson(20_000, 60)
    problem = Problem((0,) * 3, 0, 0)
    poisson, plain = (ESTIMATORS[name].fit(X, y, None, problem, {}) for name in ("poisson", "boosting"))
    np.testing.assert_array_equal(poisson.predict(X), plain.predict(X))
    assert np.isfinite(poisson.represent(X)).all()


@pytest.mark.parametrize("n_positive", [1, 5, 15, 33])
def test_poisson_of_hardly_anything_but_zeros_is_fitted(n_positive):
    rng = np.random.default_rng(n_positive)
    X, y = rng.normal(size=(3_000, 3)), np.zeros(3_000)
    y[rng.permutation(3_000)[:n_positive]] = 4.0
    predictions = ESTIMATORS["poisson"].fit(X, y, None, Problem((0,) * 3, 0, 0), {}).predict(X)
    assert np.isfinite(predictions).all()
    assert predictions.max() <= 12


def test_poisson_keeps_the_bags_that_can_be_stopped_and_stay_near(monkeypatch):
    """Of three, one is held out no count at all, and one goes far beyond the targets."""
    X, _, problem = make_rows(1_000, REGRESSION)
    tenths = [held for _, held in problem.stopping_splits(X, X[:, 0], 3)]
    y = np.where(np.arange(1_000) % 7 == 0, 2.0, 0.0)
    y[tenths[1]] = 0
    both = ESTIMATORS["poisson"].fit(X, y, None, problem, {"max_iter": 5})
    assert [bag.is_logarithmic for bag in both.bags] == [True] * 2
    far, near = (replace(bag, forest=replace(bag.forest)) for bag in both.bags)
    monkeypatch.setitem(vars(far), "predictions", lambda raw: np.full((len(raw), 1), 7.0))
    monkeypatch.setattr(Boosting, "fit", classmethod(lambda cls, *rows: cls((far, near), 0)))
    kept = ESTIMATORS["poisson"].fit(X, y, None, problem, {"max_iter": 5})
    assert kept.bags == (near,)
    monkeypatch.setitem(vars(near), "predictions", lambda raw: np.full((len(raw), 1), np.nan))
    assert ESTIMATORS["poisson"].fit(X, y, None, problem, {}).largest == np.inf


def test_poisson_of_few_rows_asks_for_no_count_in_every_tenth():
    X, _, problem = make_rows(300, REGRESSION)
    y = np.where(np.arange(300) == 5, 1.0, 0.0)
    assert {bag.is_logarithmic for bag in ESTIMATORS["poisson"].fit(X, y, None, problem, {}).bags} == {True}


def test_every_bag_of_poisson_stays_within_the_targets():
    X, y, problem = make_rows(1_200, REGRESSION)
    fit = (X, np.exp(y), None, problem, {"max_iter": 30})
    base = replace(ESTIMATORS["poisson"].fit(*fit), largest=1.0)
    models = ESTIMATORS["poisson"].fit_estimators(*fit)
    assert [model.loss for model in models] == ["poisson"] * len(base.bags)
    expected = np.mean([np.minimum(model.predict(X), 1.0) for model in models], axis=0)
    np.testing.assert_allclose(base.predict(X)[:, 0], expected, rtol=1e-12)


def test_poisson_predicts_nothing_beyond_the_targets_and_is_represented_by_logarithms():
    X, y, problem = make_rows(2_000, REGRESSION)
    y = np.exp(y)
    base = ESTIMATORS["poisson"].fit(X, y, None, problem, {})
    models = ESTIMATORS["poisson"].fit_estimators(X, y, None, problem, {})
    assert [model.loss for model in models] == ["poisson"] * len(base.bags)
    assert base.predict(X * 3).max() <= y.max()
    restored = ESTIMATORS["poisson"].restore(base.to_arrays(), base.estimator)
    np.testing.assert_array_equal(restored.predict(X * 3), base.predict(X * 3))
    summed = np.exp(base.represent(X).sum(axis=1, dtype=np.float64))
    of_bags = np.exp(np.mean([np.log(model.predict(X)) for model in models], axis=0))
    np.testing.assert_allclose(summed, of_bags, rtol=1e-4)


def test_poisson_has_one_of_two_losses():
    problem = make_rows(10, REGRESSION)[2]
    ours, plain = (ESTIMATORS[name].parameters(problem) for name in ("poisson", "boosting"))
    assert set(plain) - set(ours) == {"quantile"}
    assert ours["loss"] == "poisson"


def test_by_the_gamma_deviance_trees_are_those_of_scikit_learn_and_never_negative():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = np.exp(X[:, 0]) * rng.gamma(4, 1 / 4, 400)
    fit = (X, y, None, Problem((0,) * 3, 0, 0), {"loss": "gamma", "max_iter": 20})
    base, models = ESTIMATORS["poisson"].fit(*fit), ESTIMATORS["poisson"].fit_estimators(*fit)
    assert {model.loss for model in models} == {"gamma"}
    assert {bag.is_logarithmic for bag in base.bags} == {True}
    mean = np.mean([model.predict(X) for model in models], axis=0)
    np.testing.assert_allclose(base.predict(X)[:, 0], mean, rtol=0.05)
    assert (base.predict(X) >= 0).all()
    by_poisson = ESTIMATORS["poisson"].fit(X, y, None, Problem((0,) * 3, 0, 0), {"max_iter": 20})
    assert np.abs(by_poisson.predict(X) - base.predict(X)).max() > 1e-3


@pytest.mark.parametrize("loss", ["squared_error", "log_loss", 3, None])
def test_poisson_refuses_another_loss(loss):
    X, y, problem = make_rows(60, REGRESSION)
    with pytest.raises(UsageError, match=r"loss is .*, not poisson or gamma") as refused:
        ESTIMATORS["poisson"].fit(X, np.abs(y), None, problem, {"loss": loss})
    assert refused.value.hint == "correct the --param"


def test_the_gamma_deviance_gives_way_to_poissons_where_its_predictions_fall_to_nothing():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    y = np.exp(3 * X[:, 0])  # over eight orders of magnitude
    problem, params = Problem((0,) * 3, 0, 0), {"bags": 1}
    assert ESTIMATORS["boosting"].fit(X, y, None, problem, {**params, "loss": "gamma"}).predict(X).min() < 1e-9
    by_gamma, by_poisson = (
        ESTIMATORS["poisson"].fit(X, y, None, problem, {**params, "loss": loss}).predict(X)
        for loss in ("gamma", "poisson")
    )
    np.testing.assert_array_equal(by_gamma, by_poisson)


def test_the_gamma_deviance_of_negative_numbers_is_left_aside_as_the_poisson_loss_is():
    X, y, problem = make_rows(60, REGRESSION)
    plain = ESTIMATORS["boosting"].fit(X, y - 9, None, problem, {})
    by_gamma = ESTIMATORS["poisson"].fit(X, y - 9, None, problem, {"loss": "gamma"})
    np.testing.assert_array_equal(by_gamma.predict(X), plain.predict(X))


def test_auto_fits_poisson_where_no_number_is_negative():
    for n_classes, values, expected in (
        (0, [0.0, 3.0], ("boosting", "poisson", "network", "linear", "constant")),
        (0, [-1.0, 3.0], ("boosting", "network", "linear", "constant")),
        (2, [0.0, 1.0], ("boosting", "network", "linear", "constant")),
        (11, [0.0, 10.0], ("linear", "constant")),
    ):
        problem, y = Problem((0,), n_classes, 0), np.tile(values, 150)
        assert automatic(problem, y, is_there=lambda _: False) == expected
        without = tuple(name for name in expected if name != "network")  # of fewer than 300 rows
        assert automatic(problem, y[1:], is_there=lambda _: False) == without


def test_auto_fits_catboost_where_it_is_installed_and_boosts_at_all():
    for n_columns, n_classes, expected in (
        (1, 0, ("boosting", "catboost", "network", "linear", "constant")),
        (1, 3, ("boosting", "catboost", "network", "linear", "constant")),
        (1, 11, ("linear", "constant")),
        (784, 0, ("boosting", "mlp", "linear", "constant")),
    ):
        problem, y = Problem((0,) * n_columns, n_classes, 0), np.tile([-1.0, 3.0], 150)
        assert automatic(problem, y, is_there=lambda package: package == "catboost") == expected


def test_auto_fits_a_network_to_many_columns_and_trees_only_if_they_end():
    for n_rows, n_classes, expected in (
        (1_000, 0, ("boosting", "mlp", "linear", "constant")),
        (60_000, 10, ("mlp", "linear", "constant")),
        (60_000, 11, ("linear", "constant")),
    ):
        assert automatic(Problem((0,) * 784, n_classes, 0), np.zeros(n_rows)) == expected


def test_the_linear_model_of_many_columns_is_held_back():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 250))
    y = X[:, 0] + rng.normal(size=600)
    wide, free = (
        ESTIMATORS["linear"].fit(X[:300], y[:300], None, Problem((0,) * 250, 0, 0), params)
        for params in ({}, {"alpha": 1.0})
    )
    errors = [np.mean((base.predict(X[300:])[:, 0] - y[300:]) ** 2) for base in (wide, free)]
    assert errors[0] < 0.8 * errors[1]


def test_a_bounded_line_stays_within_the_numbers_that_it_was_fitted_to():
    X, y, problem = make_rows(200, REGRESSION)
    y[7], weight = 1e6, np.where(np.arange(200) == 7, 0.0, 1.0)
    plain, bounded = (ESTIMATORS["linear"].fit(X, y, weight, problem, {"bounded": each}) for each in (False, True))
    far = np.vstack([X, [[50.0, 0, 1, 0], [-50.0, 0, 1, 0]]])
    ends = y[weight > 0].min(), y[weight > 0].max()
    assert plain.predict(far)[-2:, 0].max() > ends[1]
    np.testing.assert_array_equal(bounded.predict(far), np.clip(plain.predict(far), *ends))
    restored = ESTIMATORS["linear"].restore(bounded.to_arrays(), None)
    np.testing.assert_array_equal(restored.predict(far), bounded.predict(far))
    with pytest.raises(UsageError, match="bounded is 1, not true or false; correct the --param"):
        ESTIMATORS["linear"].fit(X, y, None, problem, {"bounded": 1})


def test_softmax_neither_overflows_nor_loses_its_sum():
    logits = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]])
    np.testing.assert_allclose(softmax(logits), [[1, 0, 0], [1 / 3] * 3])


# Boosting


@EVERY_TASK
def test_boosting_of_many_rows_stops_by_rows_it_holds_out(n_classes):
    X, y, problem = make_rows(1_100, n_classes)
    params = {"learning_rate": 0.5, "max_leaf_nodes": 8, "n_iter_no_change": 3}
    base, models = (fit(X, y, None, problem, params) for fit in (Boosting.fit, Boosting.fit_estimators))
    assert models[0].do_early_stopping_
    assert base.bags[0].n_iterations == models[0].n_iter_ < models[0].max_iter == 500
    assert_predicts(base, X, problem)


@pytest.mark.parametrize("n_rows", [60, 1_100])
@pytest.mark.parametrize(("asked", "stops"), [(True, True), (False, False), ("auto", None)])
def test_boosting_stops_early_as_the_user_asks(n_rows, asked, stops):
    X, y, problem = make_rows(n_rows, REGRESSION)
    models = Boosting.fit_estimators(X, y, None, problem, {"early_stopping": asked, "max_iter": 3})
    assert models[0].do_early_stopping_ == (n_rows >= 1_000 if stops is None else stops)


def test_boosting_with_too_few_rows_to_hold_any_out_does_not_stop_early():
    X, y, problem = make_rows(9, REGRESSION)
    base = Boosting.fit(X, y, None, problem, {"early_stopping": True, "max_iter": 3})
    assert base.bags[0].n_iterations == 3


def test_boosting_with_weights_stops_by_weighted_rows():
    X, y, problem = make_rows(1_100, REGRESSION)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    assert_predicts(Boosting.fit(X, y, weight, problem, {"max_iter": 5}), X, problem)


def test_boosting_of_many_rare_classes_has_rows_to_stop_by():
    X, _, _ = make_rows(1_200, REGRESSION)
    y = np.arange(1_200) // 6 * 1.0
    problem = Problem((0, 0, 3, 0), 200, 0)
    assert_predicts(Boosting.fit(X, y, None, problem, {"max_iter": 2, "max_leaf_nodes": 4}), X, problem)


@pytest.mark.parametrize("counts", [(1_000,), (900, 99, 1), (6,) * 200, (1,) * 50 + (950,)])
def test_a_tenth_of_the_rows_is_held_out_of_every_class_its_share_and_never_a_whole_class(counts):
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.float64)
    X = np.arange(len(y) * 1.0)[:, None]
    held = np.zeros(len(y), dtype=bool)
    held[Problem((0,), len(counts), 0).stopping_splits(X, y)[0][1]] = True
    n_single = sum(count == 1 for count in counts)
    assert held.sum() == (len(y) - n_single) // 10
    of_class = np.bincount(y[held].astype(int), minlength=len(counts))
    assert (np.abs(of_class - np.array(counts) / 10) <= 1).all()
    assert (of_class < counts).all()


@EVERY_TASK
def test_rows_of_equal_features_are_all_held_out_to_stop_by_or_none_is(n_classes):
    X, y, problem = make_rows(400, n_classes)
    held = np.zeros(1_200, dtype=bool)
    held[problem.stopping_splits(np.vstack([X, X, X]), np.concatenate([y, y, y[::-1]]))[0][1]] = True
    np.testing.assert_array_equal(held[:400], held[400:800])
    np.testing.assert_array_equal(held[:400], held[800:])
    assert held.sum() == 120


@EVERY_TASK
def test_a_network_is_not_stopped_by_copies_of_the_rows_that_it_is_fitted_to(n_classes):
    """Of noise it learns nothing that held-out rows confirm, and stops early; by copies it would go on to the end."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    y = rng.normal(size=300) if n_classes == REGRESSION else rng.integers(0, n_classes, 300) * 1.0
    problem = Problem((0,) * 4, n_classes, 0)
    once, twice = (
        ESTIMATORS["mlp"].fit(np.vstack([X] * n), np.concatenate([y] * n), None, problem, {}) for n in (1, 2)
    )
    losses = [row_loss(y, each.predict(X)).mean() for each in (once, twice)]
    assert losses[1] > 0.8 * losses[0]


@EVERY_TASK
def test_boosting_takes_categories_as_such(n_classes):
    """Three codes whose effect is not in their order, one split apart."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 3, (300, 1)).astype(np.float64)
    X[rng.random(300) < 0.1] = np.nan
    y = np.where(X[:, 0] == 1, 1.0, 0.0)
    problem = Problem((3,), n_classes, 0)
    params = {"max_leaf_nodes": 2, "max_iter": 60}
    base, models = (fit(X, y, None, problem, params) for fit in (Boosting.fit, Boosting.fit_estimators))
    assert models[0].is_categorical_.tolist() == [True]
    likely = base.predict(np.array([[0.0], [1.0], [2.0], [np.nan]]))[:, 0 if n_classes == 0 else 1]
    np.testing.assert_allclose(likely, [0, 1, 0, 0], atol=0.05)


@EVERY_TASK
def test_the_groups_of_trees_that_represent_a_row_sum_to_its_prediction(n_classes):
    X, y, problem = make_rows(200, n_classes)
    base, models = (fit(X, y, None, problem, {"max_iter": 33}) for fit in (Boosting.fit, Boosting.fit_estimators))
    represented = base.represent(X).astype(np.float64)
    n_columns = {REGRESSION: 1, BINARY: 1, MULTICLASS: 4}[n_classes]
    assert represented.shape == (200, 16 * n_columns)
    summed = represented.reshape(200, 16, n_columns).sum(axis=1)
    expected = base.predict(X) if n_classes == 0 else models[0].decision_function(X).reshape(200, -1)
    np.testing.assert_allclose(summed, expected, atol=1e-4)


@pytest.mark.parametrize(("n_iterations", "n_groups"), [(1, 1), (7, 7), (16, 16), (100, 16)])
def test_a_few_trees_are_as_many_groups(n_iterations, n_groups):
    X, y, problem = make_rows(60, REGRESSION)
    base = Boosting.fit(X, y, None, problem, {"max_iter": n_iterations})
    assert base.represent(X).shape == (60, n_groups)


def test_boosting_in_one_bag_predicts_as_scikit_learn_does():
    X, y, problem = make_rows(300, REGRESSION)
    base = Boosting.fit(X, y, None, problem, {"max_iter": 20, "bags": 1})
    reference = HistGradientBoostingRegressor(
        max_iter=20, max_features=0.5, categorical_features=[2], random_state=problem.seed, early_stopping=False
    ).fit(X, y)
    np.testing.assert_array_equal(base.predict(X)[:, 0], reference.predict(X))


@EVERY_TASK
def test_every_bag_is_stopped_by_rows_of_its_own(n_classes, monkeypatch):
    X, y, problem = make_rows(1_200, n_classes)
    weight = np.random.default_rng(0).uniform(0.5, 2, 1_200)
    found = []

    class Recorded(Boosting.sklearn_class(problem)):
        def fit(self, X, y, sample_weight=None, **validation):
            found.append((len(y), *validation.values(), sample_weight))
            return super().fit(X, y, sample_weight, **validation)

    monkeypatch.setattr(Boosting, "sklearn_class", classmethod(lambda cls, problem: Recorded))
    models = Boosting.fit_estimators(X, y, weight, problem, {"max_iter": 5})
    base = Boosting(tuple(map(Bag.of, models)), n_classes)
    held = np.zeros((3, 1_200), dtype=bool)
    for rows, (_, stopped_by) in zip(held, problem.stopping_splits(X, y, 3), strict=True):
        rows[stopped_by] = True
    assert max(np.sum(held, axis=0)) == 1
    for (n_fitted, X_val, y_val, weight_val, weight_fitted), rows in zip(found, held, strict=True):
        assert n_fitted == 1_200 - rows.sum()
        np.testing.assert_array_equal(X_val, X[rows])
        np.testing.assert_array_equal(y_val, y[rows])
        np.testing.assert_array_equal(weight_val, weight[rows])
        np.testing.assert_array_equal(weight_fitted, weight[~rows])
    asked = "predict" if n_classes == 0 else "predict_proba"
    expected = np.mean([getattr(model, asked)(X) for model in models], axis=0)
    np.testing.assert_allclose(base.predict(X), expected.reshape(1_200, -1), rtol=1e-12)


@pytest.mark.parametrize("n_classes", [REGRESSION, BINARY, 10, 11])
def test_more_classes_have_one_bag_and_small_steps(n_classes):
    own = Boosting.parameters(Problem((0,), n_classes, 0))
    assert (own["bags"], own["learning_rate"]) == ((1, 0.05) if n_classes == 11 else (3, 0.1))


@EVERY_TASK
def test_ten_bags_predict_a_row_alone_as_among_others(n_classes):
    X, y, problem = make_rows(120, n_classes)
    base = Boosting.fit(X, y, None, problem, {"max_iter": 5, "early_stopping": True, "bags": 10})
    alone = np.concatenate([base.predict(X[i : i + 1]) for i in range(120)])
    np.testing.assert_array_equal(alone, base.predict(X))


def test_bags_that_would_be_the_same_are_one():
    X, y, problem = make_rows(300, BINARY)
    assert len(Boosting.fit(X, y, None, problem, {"max_iter": 5}).bags) == 1
    assert len(Boosting.fit(X, y, None, problem, {"max_iter": 5, "max_features": 0.5}).bags) == 3
    assert len(Boosting.fit(X, y, None, problem, {"max_iter": 5, "early_stopping": True, "bags": 2}).bags) == 2


@pytest.mark.parametrize("bags", [0, 11, 2.0, True, "many"])
def test_bags_are_a_whole_number(bags):
    X, y, problem = make_rows(50, BINARY)
    with pytest.raises(UsageError, match=f"bags is {bags!r}, not a whole number of 1 to 10; correct the --param"):
        Boosting.fit(X, y, None, problem, {"bags": bags})


# Linear


@EVERY_TASK
@pytest.mark.parametrize("weighted", [False, True])
def test_linear_predicts_as_scikit_learns_own_pipeline(n_classes, weighted):
    X, y, problem = make_rows(200, n_classes)
    X[:, 3] = np.exp(X[:, 0])
    weight = np.random.default_rng(1).uniform(0.2, 3, 200) if weighted else None
    numbers = StandardScaler().fit(X[:, [0, 1, 3]], sample_weight=weight).transform(X[:, [0, 1, 3]])
    scaled = np.hstack([numbers, OneHotEncoder(sparse_output=False).fit_transform(X[:, [2]])])
    model = Ridge() if n_classes == 0 else LogisticRegression(max_iter=300)
    reference = model.fit(scaled, y, sample_weight=weight)
    expected = reference.predict(scaled)[:, None] if n_classes == 0 else reference.predict_proba(scaled)
    found = Linear.fit(X, y, weight, problem, {}).predict(X)
    np.testing.assert_allclose(found, expected, atol=1e-3 if n_classes else 1e-5)


def test_linear_without_intercept_goes_through_the_middle():
    X, y, _ = make_rows(100, REGRESSION)
    base = Linear.fit(X[:, :2], y, None, Problem((0, 0), 0, 0), {"fit_intercept": False})
    np.testing.assert_allclose(base.predict(X[:, :2].mean(axis=0, keepdims=True)), 0, atol=1e-5)


def test_the_linear_representation_is_the_terms_of_the_sum():
    X, y, problem = make_rows(100, REGRESSION)
    base = Linear.fit(X, y, None, problem, {})
    signs = np.sign(base.coefficients[:, 0])
    terms = (base.represent(X) * signs).sum(axis=1) + base.intercepts
    np.testing.assert_allclose(terms, base.predict(X)[:, 0], atol=1e-5)


# Network


@EVERY_TASK
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_the_network_predicts_as_scikit_learns(n_classes, activation):
    X, y, problem = make_rows(250, n_classes)
    y = y * 1e3 + 5e5 if n_classes == 0 else y
    params = {"hidden_layer_sizes": (12, 7), "activation": activation, "max_iter": 12, "early_stopping": False}
    base = Mlp.fit(X, y, None, problem, params | {"n_iter_no_change": 99})
    features = Scaler.fit(X, problem.n_categories, "normal").transform(X)
    kind = MLPRegressor if n_classes == 0 else MLPClassifier
    network = kind(**params, n_iter_no_change=99, alpha=1e-4, learning_rate_init=1e-3, random_state=problem.seed)
    with pytest.warns(match="Maximum iterations"):
        network.fit(features, (y - y.mean()) / y.std() if n_classes == 0 else y)
    if n_classes == 0:
        expected = network.predict(features)[:, None] * y.std() + y.mean()
        np.testing.assert_allclose(base.predict(X), expected, atol=1e-5 * y.std())
    else:
        np.testing.assert_allclose(base.predict(X), network.predict_proba(features), atol=1e-5)


@EVERY_TASK
def test_the_network_stops_early_and_represents_by_its_last_hidden_layer(n_classes):
    X, y, problem = make_rows(1_100, n_classes)
    base = Mlp.fit(X, y, None, problem, {"hidden_layer_sizes": (16, 5), "max_iter": 30, "n_iter_no_change": 2})
    assert base.represent(X).shape == (1_100, 5)
    assert_predicts(base, X, problem)


def test_a_network_without_hidden_layers_is_represented_by_its_features():
    X, y, problem = make_rows(50, REGRESSION)
    base = Mlp.fit(X, y, None, problem, {"hidden_layer_sizes": (), "max_iter": 5})
    np.testing.assert_array_equal(base.represent(X), base.scaler.transform(X))


def test_saturated_logistic_units_do_not_overflow():
    X, y, problem = make_rows(50, REGRESSION)
    base = Mlp.fit(X, y, None, problem, {"hidden_layer_sizes": (4,), "activation": "logistic", "max_iter": 5})
    base.weights[0][:] = -1e4
    assert_predicts(base, X, problem)


def test_the_network_takes_no_loss_that_a_standardised_target_does_not_fit():
    assert "loss" not in Mlp.parameters(make_rows(2, REGRESSION)[2])


# Constant


def test_the_constant_is_the_weighted_mean_or_the_weighted_frequencies():
    X, weight = np.zeros((3, 1)), np.array([1.0, 1.0, 2.0])
    number = ESTIMATORS["constant"].fit(X, np.array([1.0, 2.0, 5.0]), weight, Problem((0,), 0, 0), {})
    assert number.predict(X).tolist() == [[3.25]] * 3
    classes = ESTIMATORS["constant"].fit(X, np.array([0.0, 2.0, 2.0]), weight, Problem((0,), 3, 0), {})
    assert classes.predict(X[:1]).tolist() == [[0.25, 0.0, 0.75]]
