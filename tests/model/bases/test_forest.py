"""Forests: what they add up to is what scikit-learn adds up, to the last bit, however their leaves are found."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from scipy import special
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from resmem_cli.model.arrays import Arrays, Floats
from resmem_cli.model.bases import forest as forests
from resmem_cli.model.bases import leaf_tables
from resmem_cli.model.bases.boosting import Bag, Boosting
from resmem_cli.model.bases.forest import Forest
from resmem_cli.model.bases.protocol import Problem, expit
from resmem_cli.model.bases.sklearn_forest import forest_of
from tests.counts import times

N_FITTED, N_CATEGORIES = 400, 9
# Of a model: what it learns, and what it is asked for.
KINDS: Mapping[str, tuple[type, Mapping[str, Any]]] = {
    "regression": (HistGradientBoostingRegressor, {}),
    "absolute error": (HistGradientBoostingRegressor, {"loss": "absolute_error"}),
    "quantile": (HistGradientBoostingRegressor, {"loss": "quantile", "quantile": 0.8}),
    "poisson": (HistGradientBoostingRegressor, {"loss": "poisson"}),
    "gamma": (HistGradientBoostingRegressor, {"loss": "gamma"}),
    "one class": (HistGradientBoostingClassifier, {}),
    "binary": (HistGradientBoostingClassifier, {}),
    "multiclass": (HistGradientBoostingClassifier, {}),
}
N_CLASSES = {"one class": 1, "binary": 2, "multiclass": 5}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def rows(n: int, rng: np.random.Generator, *, as_training: bool) -> Floats:
    """Numbers with ties, gaps and infinities, one of two values, one that is constant, and two columns of categories.

    New rows have values and categories beyond those of training.
    """
    X = rng.normal(size=(n, 7))
    X[:, 1] = X[:, 1].round(1)
    X[:, 2] = rng.integers(0, 2, n)
    X[:, 3] = 5.0
    X[rng.random((n, 7)) < 0.15] = np.nan
    X[rng.random(n) < 0.03, 0] = np.inf
    X[rng.random(n) < 0.03, 0] = -np.inf
    X[:, 4] = rng.integers(0, N_CATEGORIES if as_training else N_CATEGORIES + 3, n) * 2 - 3
    X[:, 6] = rng.integers(0, 3, n) + (0.0 if as_training else rng.integers(0, 2, n) / 2)
    X[rng.random(n) < 0.1, 4] = np.nan
    return X


def fitted(kind: str, seed: int = 0, **params: Any) -> Any:
    """A model with whatever parameters come of the seed."""
    rng = np.random.default_rng(seed)
    X = rows(N_FITTED, rng, as_training=True)
    signal = np.nan_to_num(X[:, 0], posinf=2, neginf=-2) + np.nan_to_num(X[:, 4]) % 5 * X[:, 6] + np.isnan(X[:, 1])
    y = np.exp(signal / 3) + 0.1
    if kind in N_CLASSES:
        y = np.digitize(signal, np.quantile(signal, np.arange(1, N_CLASSES[kind]) / N_CLASSES[kind])) * 2.0
    model, of_kind = KINDS[kind]
    drawn = {
        "max_iter": int(rng.choice([1, 3, 40, 90])),
        "max_leaf_nodes": int(rng.choice([2, 5, 31, 32])),
        "min_samples_leaf": int(rng.choice([1, 5, 20])),
        "max_features": float(rng.choice([0.4, 1.0])),
        "max_bins": int(rng.choice([10, 255])),
        "categorical_features": [[4, 6], None][int(rng.random() < 0.2)],
    }
    unfitted = model(**{**of_kind, **drawn, "early_stopping": False, "random_state": seed, **params})
    with np.errstate(invalid="ignore"):  # midpoints of infinities
        return unfitted.fit(X, y)


def asked(seed: int, n: int) -> Floats:
    return rows(n, np.random.default_rng(seed + 1_000), as_training=False)


def walked(forest: Forest) -> Forest:
    """The same forest, which follows its nodes whatever it is asked."""
    other = copy.copy(forest)
    vars(other)["tables"] = None
    return other


def looked_up(forest: Forest) -> Forest:
    """The same forest, which looks its leaves up whatever it is asked."""
    other = copy.copy(forest)
    assert other.tables is not None
    return other


def walked_in_c(forest: Forest, X: Floats) -> Floats:
    """The sums of all trees, whose nodes scikit-learn follows."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(forests, "_PAIRS_WORTH_SKLEARN", 0)
        return walked(forest).totals(X, [forest.n_iterations])


def bits(array: Floats) -> Any:
    return np.ascontiguousarray(array).view(np.uint64)


@EVERY_KIND
@pytest.mark.parametrize("seed", range(times(4, 10)))
def test_sums_and_predictions_are_those_of_scikit_learn_to_the_last_bit(kind: str, seed: int) -> None:
    model = fitted(kind, seed)
    bag = Bag.of(model)
    for n in (1, 2, 3, 7, 100, 255, 257, 700, 4_500):
        X = asked(seed, n)
        expected = model._raw_predict(X)
        for forest in (bag.forest, walked(bag.forest), looked_up(bag.forest)):
            raw = forest.totals(X, [forest.n_iterations])[-1].T
            np.testing.assert_array_equal(bits(raw), bits(expected))
        np.testing.assert_array_equal(bits(walked_in_c(bag.forest, X)[-1].T), bits(expected))
        found = bag.predictions(raw)
        predicted = model.predict_proba(X) if kind in N_CLASSES else model.predict(X)[:, None]
        np.testing.assert_array_equal(bits(found), bits(predicted))


@EVERY_KIND
def test_sums_up_to_any_iteration_are_those_of_scikit_learn(kind: str) -> None:
    model = fitted(kind, seed=3, max_iter=90)
    stages = list(model._staged_raw_predict(asked(3, 300)))
    for ends in ([1], [90], list(range(1, 91)), [1, 2, 63, 64, 65, 90]):
        for forest in (walked(forest_of(model)), looked_up(forest_of(model))):
            found = forest.totals(asked(3, 300), ends)
            expected = np.stack([stages[end - 1].T for end in ends])
            np.testing.assert_array_equal(bits(found), bits(expected))


@EVERY_KIND
def test_the_groups_that_represent_rows_are_differences_of_what_scikit_learn_gives_in_stages(kind: str) -> None:
    model = fitted(kind, seed=1, max_iter=40)
    X = asked(1, 300)
    n_classes = N_CLASSES.get(kind, 0)
    found = Boosting((Bag.of(model),), n_classes).represent(X)
    n_groups = min(16, 64 // max(n_classes, 1))
    ends = np.linspace(0, 40, n_groups + 1).round().astype(int)[1:]
    stages = list(model.staged_decision_function(X) if n_classes else model.staged_predict(X))
    totals = np.array([stages[end - 1] for end in ends]).reshape(n_groups, 300, -1)
    if kind in ("poisson", "gamma"):
        totals = np.log(np.maximum(totals, np.finfo(np.float64).tiny))
    expected = np.concatenate(list(np.diff(totals, axis=0, prepend=0)), axis=1)
    np.testing.assert_array_equal(found, expected.astype(np.float32))


@pytest.mark.parametrize(
    ("most_leaves", "is_looked_up"), [(31, True), (33, True), (64, True), (65, False), (200, False)]
)
def test_trees_of_any_size_are_followed_or_looked_up(most_leaves: int, *, is_looked_up: bool) -> None:
    model = fitted("regression", seed=5, max_leaf_nodes=most_leaves, min_samples_leaf=1, max_iter=5, max_features=1.0)
    forest = forest_of(model)
    assert max(tree[0].get_n_leaf_nodes() for tree in model._predictors) == most_leaves
    assert (forest.tables is not None) == is_looked_up
    X = asked(5, 1_000)
    np.testing.assert_array_equal(bits(forest.totals(X, [5])[0, 0]), bits(model.predict(X)))


def test_trees_of_one_leaf_ask_for_nothing() -> None:
    X = np.zeros((30, 2))
    model = HistGradientBoostingRegressor(max_iter=3).fit(X, np.arange(30.0))
    forest = forest_of(model)
    assert (forest.feature < 0).all()
    for each in (walked(forest), looked_up(forest)):
        np.testing.assert_array_equal(each.totals(X, [3])[0, 0], model.predict(X))


def test_many_columns_of_few_values_share_tables_and_too_many_columns_are_followed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(2_000, 3)), rng.integers(0, 2, (2_000, 40))])
    X[rng.random(X.shape) < 0.05] = np.nan
    y = np.nan_to_num(X) @ rng.normal(size=43)
    model = HistGradientBoostingRegressor(max_iter=60, max_features=0.3).fit(X, y)
    forest = forest_of(model)
    assert forest.tables is not None
    assert len(forest.tables.groups) < 15
    np.testing.assert_array_equal(forest.totals(X, [60])[0, 0], model.predict(X))
    monkeypatch.setattr(leaf_tables, "_MOST_TABLES", 3)
    other = forest_of(model)
    assert other.tables is None
    np.testing.assert_array_equal(other.totals(X, [60])[0, 0], model.predict(X))


def test_tables_are_no_larger_than_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    forest = forest_of(fitted("multiclass", max_iter=40))
    assert forest.tables is not None
    monkeypatch.setattr(leaf_tables, "_MOST_BYTES", forest.tables.n_bytes // 2)
    assert forest_of(fitted("multiclass", max_iter=40)).tables is None


@pytest.mark.parametrize("n_keys", [1, 2, 3, 4, 7, 8, 9, 255, 256, 1_000])
def test_many_values_are_ranked_as_few_are(n_keys: int) -> None:
    rng = np.random.default_rng(n_keys)
    keys = np.unique(np.append(rng.normal(size=n_keys - 1), np.inf))
    values = np.concatenate([rng.normal(size=3_000), keys, [np.nan, np.inf, -np.inf, 0.0, -0.0]])
    codes = leaf_tables.Column(0, keys, is_category=False).codes(values[:, None])
    np.testing.assert_array_equal(codes, np.searchsorted(keys, values))
    assert codes[-5] == len(keys)


@pytest.mark.parametrize("n_bits", [32, 64])
def test_every_bit_leads_elsewhere_in_the_sequence(n_bits: int) -> None:
    sequence = leaf_tables._SEQUENCES[n_bits]
    places = {((sequence << i) % (1 << n_bits)) >> (n_bits - n_bits.bit_length() + 1) for i in range(n_bits)}
    assert places == set(range(n_bits))


def test_probabilities_of_two_classes_are_those_of_scipy_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    largest = np.log(np.finfo(np.float64).max)
    around = [np.nextafter(largest, 0), largest, np.nextafter(largest, 1e9), 710.0, 745.2, 1e300, np.inf, 0.0]
    logits = np.concatenate([*(rng.normal(size=20_000) * scale for scale in (1, 30, 800)), around, np.negative(around)])
    np.testing.assert_array_equal(bits(expit(logits)), bits(special.expit(logits)))


def test_several_threads_may_ask_one_forest() -> None:
    forest = forest_of(fitted("multiclass", max_iter=40))
    X = [asked(seed, 600) for seed in range(16)]
    alone = [walked(forest).totals(each, [40]) for each in X]
    with ThreadPoolExecutor(4) as pool:
        for found, expected in zip(pool.map(lambda each: forest.totals(each, [40]), X), alone, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_rows_are_left_as_they_are_and_no_rows_have_no_sums() -> None:
    forest = forest_of(fitted("regression", categorical_features=[4, 6]))
    X = asked(0, 600)
    before = X.copy()
    for each in (walked(forest), looked_up(forest)):
        each.totals(X, [1])
        np.testing.assert_array_equal(X, before)
        assert each.totals(X[:0], [1]).shape == (1, 1, 0)
    with pytest.raises(ValueError, match="rows of 6 columns for trees of 7"):
        forest.totals(X[:, 1:], [1])


def test_a_pickled_forest_has_no_tables_and_adds_up_the_same() -> None:
    forest = forest_of(fitted("multiclass", max_iter=40))
    size = len(pickle.dumps(forest))
    X = asked(0, 600)
    expected = forest.totals(X, [40])
    assert "tables" in vars(forest)
    assert len(pickle.dumps(forest)) == size
    again = pickle.loads(pickle.dumps(forest))  # noqa: S301 - ours
    np.testing.assert_array_equal(again.totals(X, [40]), expected)


# What is stored


@EVERY_KIND
def test_a_stored_boosting_comes_back(kind: str) -> None:
    bags = tuple(Bag.of(fitted(kind, seed, categorical_features=[4, 6])) for seed in range(3))
    n_classes = 9 if kind in N_CLASSES else 0  # of which training had some
    base = Boosting(bags, n_classes)
    again = Boosting.restore(base.to_arrays(), None)
    X = asked(0, 300)
    np.testing.assert_array_equal(again.predict(X), base.predict(X))
    np.testing.assert_array_equal(again.represent(X), base.represent(X))
    assert again.belongs(Problem((0,) * 7, n_classes, 0), 7)
    assert not again.belongs(Problem((0,) * 7, n_classes, 0), 8)
    assert all(np.array_equal(array, base.to_arrays()[name]) for name, array in again.to_arrays().items())


def _set(name: str, at: Any, value: Any) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        array = arrays[name].copy()
        array[at] = value
        arrays[name] = array

    return change


def _with(name: str, make: Callable[[Any], Any]) -> Callable[[Arrays], None]:
    return lambda arrays: arrays.update({name: make(arrays[name])})


def _two_trees_as_one(arrays: Arrays) -> None:
    """Together they have as many leaves as they need, but the first ends before the last node."""
    n_nodes = arrays["n_nodes"]
    arrays["n_nodes"] = np.array([n_nodes[0] + 2, n_nodes[1] - 2, *n_nodes[2:]])


@pytest.mark.parametrize(
    "damage",
    [
        _set("n_nodes", 0, 0),
        _set("n_nodes", 0, -1),
        _set("n_nodes", 0, 1 << 62),
        _with("n_nodes", lambda array: array[:-1]),
        _with("n_nodes", lambda array: array[:0]),
        _with("n_nodes", lambda array: array + 0.0),
        _two_trees_as_one,
        _set("feature", 0, 7),
        _set("feature", 0, -2),
        _set("feature", 0, -1),
        _set("feature", -1, 0),
        _set("feature", 0, 2**31 - 1),
        _with("feature", lambda array: array.astype(np.int64)),
        _with("feature", lambda array: np.roll(array, 1)),
        _set("number", -1, np.nan),
        _set("number", -1, np.inf),
        _with("number", lambda array: array[:-1]),
        _with("missing_left", lambda array: array[1:]),
        _with("missing_left", lambda array: array.astype(np.uint8) * 7),
        _with("left_sets", lambda array: array[1:]),
        _with("left_sets", lambda array: array[:, :4]),
        _set("n_categories", 4, 0),
        _set("n_categories", 0, 3),
        _set("n_categories", 4, 257),
        _set("n_categories", 4, -1),
        _set("n_categories", 4, 1 << 62),
        _with("n_categories", lambda array: array[:0]),
        _set("categories", 0, np.nan),
        _with("categories", lambda array: array[::-1]),
        _with("categories", lambda array: array[:-1]),
        _with("baseline", lambda array: np.append(array, 0.0)),
        _with("baseline", lambda array: array[:0]),
        _set("baseline", 0, np.inf),
        lambda arrays: arrays.pop("baseline") and None,
    ],
)
def test_arrays_that_are_no_trees_are_refused(damage: Callable[[Arrays], None]) -> None:
    model = fitted("regression", seed=2, max_iter=5, max_leaf_nodes=8, categorical_features=[4, 6], max_features=1.0)
    arrays = dict(forest_of(model).to_arrays())
    Forest.restore(arrays)
    damage(arrays)
    with pytest.raises((ValueError, KeyError)):
        Forest.restore(arrays)


def _none(arrays: Arrays) -> None:
    for name in [name for name in arrays if name.endswith("_0")]:
        del arrays[name]
    arrays["n_bags"] = np.array([0])


def _eleven(arrays: Arrays) -> None:
    for name in [name for name in arrays if name.endswith("_0")]:
        arrays.update({f"{name[:-1]}{i}": arrays[name] for i in range(11)})
    arrays["n_bags"] = np.array([11])


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (_set("is_present_0", [0, 2, 4], False), "other outputs than there are classes"),
        (_with("is_present_0", lambda array: array & False), "its trees know none of the classes"),
        (_with("is_present_0", lambda array: array[:-1]), "is_present holds"),
        (_set("n_classes", 0, 0), "is_present holds"),
        (_set("n_classes", 0, -1), "is_present holds"),
        (_set("n_bags", 0, 0), "it holds more boosting models than it says"),
        (_none, "it holds 0 boosting models"),
        (_eleven, "it holds 11 boosting models"),
        (_with("is_logarithmic_0", lambda array: array * 1.0), "is_logarithmic holds"),
    ],
)
def test_bags_that_do_not_fit_their_target_are_refused(damage: Callable[[Arrays], Any], why: str) -> None:
    arrays = dict(Boosting((Bag.of(fitted("multiclass", seed=2)),), 9).to_arrays())
    damage(arrays)
    with pytest.raises(ValueError, match=why):
        Boosting.restore(arrays, None)


def test_bags_of_other_columns_are_refused() -> None:
    first = Bag.of(fitted("regression"))
    other = Bag.of(HistGradientBoostingRegressor(max_iter=2).fit(np.arange(60.0).reshape(30, 2), np.arange(30)))
    with pytest.raises(ValueError, match="its boosting models read different columns"):
        Boosting.restore(Boosting((first, other), 0).to_arrays(), None)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda model: model._bin_mapper.bin_thresholds_.__setitem__(0, np.arange(4.0)), "it encodes"),
        (lambda model: model._preprocessor.named_transformers_["encoder"].categories_.pop(), "zip"),
        (lambda model: model._predictors[0][0].nodes["is_categorical"].fill(0), "for a number of a category"),
        (lambda model: model._predictors[0][0].nodes["left"].__setitem__(0, 2), "in another order"),
    ],
)
def test_estimators_that_are_not_as_scikit_learn_makes_them_are_refused(damage: Callable[[Any], Any], why: str) -> None:
    model = fitted("regression", seed=2, max_iter=3, max_leaf_nodes=8, categorical_features=[4, 6], max_features=1.0)
    forest_of(model)
    damage(model)
    with pytest.raises(ValueError, match=why):
        forest_of(model)
