"""The correction: weights of neighbours, the mean of their residuals, and its sum with the base."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resmem_cli.model import kernel
from resmem_cli.model.arrays import Floats
from resmem_cli.model.kernel import Corrections, Settings
from tests.model.examples import FEW, corrected_by_loops, one_hot

BOTH_WAYS = pytest.mark.parametrize("is_relative", [True, False], ids=["relative", "absolute"])
seeds = st.integers(0, 2**32 - 1)


def simplex(rng: np.random.Generator, *shape: int) -> Floats:
    """Random probabilities over the last axis."""
    values = rng.random(shape) + 1e-3
    return values / values.sum(axis=-1, keepdims=True)


def example(seed: int, n: int = 6, k: int = 5) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    return np.sort(rng.random((n, k)) * 5, axis=1), rng.integers(1, 9, (n, k)).astype(np.float64)


@FEW
@given(
    seed=seeds,
    k=st.integers(1, 7),
    n_outputs=st.integers(1, 4),
    bandwidth=st.floats(0.2, 10),
    shrinkage=st.floats(0, 1.5),
    temperature=st.floats(0.5, 5),
    is_relative=st.booleans(),
)
def test_the_correction_is_that_of_the_formulas(seed, k, n_outputs, **settings):
    rng = np.random.default_rng(seed)
    distances, counts = example(seed, k=k)
    base = rng.normal(size=(6, 1)) if n_outputs == 1 else simplex(rng, 6, n_outputs)
    targets = rng.normal(size=(6, k, 1)) if n_outputs == 1 else np.eye(n_outputs)[rng.integers(0, n_outputs, (6, k))]
    residuals = targets - simplex(rng, 6, k, n_outputs)
    weights = kernel.weights(distances, counts, settings["bandwidth"], is_relative=settings["is_relative"])
    found = kernel.corrected(
        kernel.tempered(base, settings["temperature"]), kernel.correction(weights, residuals), settings["shrinkage"]
    )
    expected = [
        corrected_by_loops(*(part[i].tolist() for part in (distances, counts, residuals, base)), **settings)
        for i in range(6)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@FEW
@given(seed=seeds, bandwidth=st.one_of(st.floats(0, 1e300), st.just(np.inf)), is_relative=st.booleans())
def test_weights_are_never_negative_and_sum_to_one(seed, bandwidth, is_relative):
    weights = kernel.weights(*example(seed), bandwidth, is_relative=is_relative)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1)


@FEW
@given(seed=seeds, bandwidth=st.floats(0.01, 10), is_relative=st.booleans())
def test_a_nearer_cell_of_equal_count_weighs_at_least_as_much(seed, bandwidth, is_relative):
    distances, _ = example(seed)
    weights = kernel.weights(distances, np.ones_like(distances), bandwidth, is_relative=is_relative)
    assert (np.diff(weights, axis=1) <= 0).all()


@BOTH_WAYS
@pytest.mark.parametrize("bandwidth", [0.0, 1e-320, 1e-9])
def test_as_the_bandwidth_goes_to_0_only_the_nearest_weigh_and_ties_share_by_count(bandwidth, is_relative):
    distances = np.array([[1.0, 2, 3, 3], [0, 0, 1, 2], [5, 5, 5, 6]])
    counts = np.array([[2.0, 3, 4, 5], [1, 3, 7, 7], [1, 1, 2, 9]])
    weights = kernel.weights(distances, counts, bandwidth, is_relative=is_relative)
    np.testing.assert_allclose(weights, [[1, 0, 0, 0], [0.25, 0.75, 0, 0], [0.25, 0.25, 0.5, 0]])


@BOTH_WAYS
def test_an_infinite_bandwidth_weighs_by_count_alone(is_relative):
    distances, counts = example(1)
    weights = kernel.weights(distances, counts, np.inf, is_relative=is_relative)
    np.testing.assert_allclose(weights, counts / counts.sum(axis=1, keepdims=True))


@BOTH_WAYS
@pytest.mark.parametrize("bandwidth", [0.0, 0.5, np.inf])
@pytest.mark.parametrize("distance", [0.0, 3.0])
def test_equally_distant_cells_weigh_by_count_whatever_the_bandwidth(distance, bandwidth, is_relative):
    counts = np.array([[1.0, 2, 5]])
    weights = kernel.weights(np.full((1, 3), distance), counts, bandwidth, is_relative=is_relative)
    np.testing.assert_allclose(weights, counts / 8)


@BOTH_WAYS
@pytest.mark.parametrize("bandwidth", [0.0, 0.5, np.inf])
@pytest.mark.parametrize("distance", [0.0, 1e-30, 7.0, 1e30])
def test_a_single_neighbour_has_all_the_weight(distance, bandwidth, is_relative):
    weights = kernel.weights(np.array([[distance]]), np.array([[4.0]]), bandwidth, is_relative=is_relative)
    assert weights.tolist() == [[1.0]]


def test_far_queries_do_not_lose_their_weights_to_underflow():
    distances = np.array([[1e5, 1e5 + 1, 1e5 + 2]])
    weights = kernel.weights(distances, np.ones((1, 3)), 1.0, is_relative=False)
    np.testing.assert_allclose(weights[0], np.exp([0, -1, -2]) / np.exp([0, -1, -2]).sum())


def test_weights_do_not_change_when_every_relative_distance_is_scaled():
    distances, counts = example(2)
    np.testing.assert_allclose(
        kernel.weights(distances, counts, 0.3, is_relative=True),
        kernel.weights(distances * 1e6, counts, 0.3, is_relative=True),
    )


def test_the_correction_is_the_weighted_mean_of_residuals():
    weights, residuals = np.array([[0.25, 0.75]]), np.array([[[1.0, -1.0], [-3.0, 5.0]]])
    assert kernel.correction(weights, residuals).tolist() == [[-2.0, 3.5]]


def test_temperature_1_leaves_probabilities_as_they_are():
    probabilities = np.array([[0.0, 0.3, 0.7], [1.0, 0.0, 0.0]])
    assert kernel.tempered(probabilities, 1.0) is probabilities


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_numbers_have_no_temperature(temperature):
    numbers = np.array([[-3.0], [7.0]])
    assert kernel.tempered(numbers, temperature) is numbers


def test_a_large_temperature_makes_classes_equally_probable_and_a_small_one_leaves_the_likeliest():
    probabilities = np.array([[0.0, 0.3, 0.7], [0.2, 0.5, 0.3]])
    np.testing.assert_allclose(kernel.tempered(probabilities, 1e9), np.full((2, 3), 1 / 3), atol=1e-6)
    np.testing.assert_allclose(kernel.tempered(probabilities, 1e-3), [[0, 0, 1], [0, 1, 0]], atol=1e-12)


@FEW
@given(seed=seeds, temperature=st.floats(0.05, 100))
def test_tempering_keeps_the_order_of_classes_and_their_sum(seed, temperature):
    probabilities = simplex(np.random.default_rng(seed), 5, 4)
    tempered = kernel.tempered(probabilities, temperature)
    np.testing.assert_allclose(tempered.sum(axis=1), 1)
    assert (tempered.argmax(axis=1) == probabilities.argmax(axis=1)).all()


@FEW
@given(seed=seeds, n_classes=st.integers(2, 6), shrinkage=st.floats(0, 3))
def test_corrected_probabilities_are_probabilities(seed, n_classes, shrinkage):
    rng = np.random.default_rng(seed)
    corrected = kernel.corrected(simplex(rng, 8, n_classes), rng.uniform(-2, 2, (8, n_classes)), shrinkage)
    assert (corrected >= 0).all()
    np.testing.assert_allclose(corrected.sum(axis=1), 1)


def test_where_correction_leaves_no_class_the_base_stands():
    base = np.array([[0.25, 0.75]])
    np.testing.assert_allclose(kernel.corrected(base, np.array([[-1.0, -1.0]]), 1.0), base, rtol=1e-15)


@FEW
@given(seed=seeds, n_classes=st.integers(2, 6), shrinkage=st.floats(0, 3))
def test_no_correction_takes_more_than_99_percent_of_a_class_from_the_base(seed, n_classes, shrinkage):
    """So that neighbours without a class never say that it cannot be."""
    rng = np.random.default_rng(seed)
    base = simplex(rng, 8, n_classes)
    corrected = kernel.corrected(base, rng.uniform(-2, 2, (8, n_classes)), shrinkage)
    assert (corrected >= 0.01 * base).all()


@pytest.mark.parametrize("base", [np.array([[-2.0], [5e9]]), np.array([[0.2, 0.8], [1.0, 0.0], [0.1, 0.9]])])
def test_without_shrinkage_the_base_stands(base):
    np.testing.assert_array_equal(kernel.corrected(base, np.ones_like(base), 0.0), base)


@pytest.mark.parametrize("n_outputs", [1, 2, 5])
def test_base_and_residual_sum_to_the_target(n_outputs):
    rng = np.random.default_rng(0)
    y = rng.normal(size=9) if n_outputs == 1 else rng.integers(0, n_outputs, 9).astype(np.float64)
    base = rng.normal(size=(9, 1)) if n_outputs == 1 else simplex(rng, 9, n_outputs)
    before = base.copy()
    np.testing.assert_allclose(kernel.residuals(y, base) + base, one_hot(y, n_outputs), atol=1e-15)
    np.testing.assert_array_equal(base, before)


# All of it at once


SETTINGS = [
    Settings(k, h, is_relative, shrinkage, temperature)
    for k, h, is_relative, shrinkage, temperature in itertools.product(
        (1, 3, 5, 9), (0.0, 0.3), (True, False), (0.0, 0.7), (1.0, 2.5)
    )
]


def corrections_of(n_outputs: int, *, has_trend: bool, asked: list[float] | None = None) -> Corrections:
    """Of 6 rows and 5 neighbours; the residuals depend on the temperature, and what it was is noted in `asked`."""
    rng = np.random.default_rng(n_outputs)
    distances, counts = example(n_outputs)
    base = rng.normal(size=(6, 1)) if n_outputs == 1 else simplex(rng, 6, n_outputs)
    residuals, trend = rng.normal(size=(6, 5, n_outputs)), rng.normal(size=(6, n_outputs)) if has_trend else None

    def at(temperature: float) -> Floats:
        if asked is not None:
            asked.append(temperature)
        return residuals / temperature

    return Corrections(base, distances, counts, at, trend)


def by_hand(of: Corrections, settings: Settings) -> tuple[Floats, Floats, Floats, Floats]:
    """The weights, residuals, correction and predictions of some settings, one function after the other."""
    k = settings.n_neighbors
    own = kernel.weights(of.distances[:, :k], of.counts[:, :k], settings.bandwidth, is_relative=settings.is_relative)
    residuals = of._residuals_at(settings.temperature)[:, :k]
    correction = kernel.correction(own, residuals, of.trend)
    tempered = kernel.tempered(of.base, settings.temperature)
    return own, residuals, correction, kernel.corrected(tempered, correction, settings.shrinkage)


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("has_trend", [False, True])
def test_corrections_are_weights_correction_and_sum_one_after_the_other(n_outputs, has_trend):
    for settings in SETTINGS:
        of = corrections_of(n_outputs, has_trend=has_trend)
        weights, residuals, correction, predictions = by_hand(of, settings)
        np.testing.assert_array_equal(of.predictions(settings), predictions)
        np.testing.assert_array_equal(of.correction(settings), correction)
        np.testing.assert_array_equal(of.weights(settings), weights)
        np.testing.assert_array_equal(of.residuals(settings), residuals)


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("has_trend", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_corrections_are_the_same_whatever_was_asked_before(n_outputs, has_trend, seed):
    of = corrections_of(n_outputs, has_trend=has_trend)
    rng = np.random.default_rng(seed)
    given = [of.base.copy(), of.distances.copy(), of.counts.copy()]
    for i in rng.integers(0, len(SETTINGS), 200):
        alone = corrections_of(n_outputs, has_trend=has_trend)
        asked = ("predictions", "correction", "weights", "residuals")[rng.integers(4)]
        found, expected = (getattr(each, asked)(SETTINGS[i]) for each in (of, alone))
        np.testing.assert_array_equal(found, expected, err_msg=f"{asked} of {SETTINGS[i]}")
    for before, after in zip(given, (of.base, of.distances, of.counts), strict=True):
        np.testing.assert_array_equal(before, after)


def test_what_settings_that_follow_each_other_share_is_computed_once():
    asked: list[float] = []
    of = corrections_of(3, has_trend=False, asked=asked)
    for settings in sorted(SETTINGS, key=lambda each: each.temperature):
        of.predictions(settings)
    assert asked == [1.0, 2.5]


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("has_trend", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_what_is_remembered_of_a_row_and_its_trend_and_tempered_prediction_are_its_target(
    n_outputs, has_trend, temperature
):
    rng = np.random.default_rng(0)
    y = rng.normal(size=9) if n_outputs == 1 else rng.integers(0, n_outputs, 9).astype(np.float64)
    base = rng.normal(size=(9, 1)) if n_outputs == 1 else simplex(rng, 9, n_outputs)
    trend = rng.normal(size=(9, n_outputs)) if has_trend else None
    remembered = kernel.row_residuals(y, base, temperature, trend)
    summed = remembered + kernel.tempered(base, temperature) + (0.0 if trend is None else trend)
    np.testing.assert_allclose(summed, one_hot(y, n_outputs), atol=1e-12)
