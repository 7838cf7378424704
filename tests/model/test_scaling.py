"""Encoded rows as dense numbers of one scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import ndtri
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from resmem_cli.model.arrays import Floats, Singles
from resmem_cli.model.scaling import Scaler
from tests.model.examples import FEW, make_rows

BOTH_SCALINGS = pytest.mark.parametrize("scaling", ["standard", "normal"])
scalings = st.sampled_from(["standard", "normal"])

# Sentinels and the ends of what a double can hold are among them: data have such numbers.
odd_numbers = st.one_of(
    st.just(np.nan),
    st.sampled_from([0.0, -0.0, 1e-320, -999.0, 1e17, 1.7e308, -1.7e308]),
    st.floats(allow_nan=False, allow_infinity=False),
)


def columns_of(elements: st.SearchStrategy[float]) -> st.SearchStrategy[Floats]:
    return hnp.arrays(np.float64, st.tuples(st.integers(1, 20), st.just(2)), elements=elements)


def scaled(training: Floats, values: list[float], scaling: str) -> list[float]:
    space = Scaler.fit(np.array(training)[:, None], (0,), scaling)
    return space.transform(np.array(values)[:, None])[:, 0].tolist()


@FEW
@given(X=columns_of(odd_numbers), fresh=columns_of(odd_numbers), scaling=scalings)
def test_features_are_finite_single_precision_whatever_the_numbers(X, fresh, scaling):
    space = Scaler.fit(X, (0, 0), scaling)
    for rows in (X, fresh):
        features = space.transform(rows)
        assert features.dtype == np.float32
        assert features.shape == (len(rows), space.n_outputs)
        assert (np.abs(features) <= (4 if scaling == "normal" else 1e9)).all()


@FEW
@given(X=columns_of(odd_numbers), fresh=columns_of(odd_numbers), scaling=scalings)
def test_a_larger_number_never_gets_a_smaller_value(X, fresh, scaling):
    space = Scaler.fit(X, (0, 0), scaling)
    ascending = np.sort(np.concatenate([X, fresh]), axis=0)
    features = space.transform(ascending)
    for i in range(2):
        known = features[~np.isnan(ascending[:, i]), i]
        assert (np.diff(known) >= -1e-6 * np.abs(known[1:])).all()


def test_the_standard_scale_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    X, fresh = rng.normal([3, -1e6, 0], [1, 1e3, 1e-4], (200, 3)), rng.normal(size=(50, 3)) * 10
    space = Scaler.fit(X, (0, 0, 0), "standard")
    reference = StandardScaler().fit(X)
    for rows in (X, fresh):
        np.testing.assert_allclose(space.transform(rows), reference.transform(rows), rtol=1e-5, atol=1e-5)


def test_the_normal_scale_is_that_of_scikit_learn_between_its_edges():
    rng = np.random.default_rng(0)
    X = np.exp(rng.normal(size=(2_000, 2)))
    reference = QuantileTransformer(n_quantiles=1001, output_distribution="normal", subsample=None).fit_transform(X)
    features = Scaler.fit(X, (0, 0), "normal").transform(X)
    # Scikit-learn goes to 5.2 at the outermost rows, where ours end at 3.1.
    np.testing.assert_allclose(features, np.clip(reference, ndtri(1e-3), ndtri(1 - 1e-3)), atol=0.1)
    inner = np.abs(reference) < 2.8
    np.testing.assert_allclose(features[inner], reference[inner], atol=0.01)


def test_the_normal_score_is_the_normal_quantile_of_the_rank():
    values = np.random.default_rng(0).lognormal(size=1_001)
    expected = ndtri(np.clip(np.argsort(np.argsort(values)) / 1_000, 1e-3, 1 - 1e-3))
    np.testing.assert_allclose(scaled(values, values, "normal"), expected, atol=1e-6)


def test_a_value_that_many_rows_have_gets_the_middle_of_their_scores():
    training = [-1.0] * 300 + [0.0] * 400 + [5.0] * 300
    below, middle, above = scaled(training, [-1.0, 0.0, 5.0], "normal")
    assert middle == pytest.approx(0, abs=1e-6)
    assert below == pytest.approx(-above)
    assert below == pytest.approx((ndtri(1e-3) + ndtri(0.3)) / 2, abs=0.01)


def test_beyond_the_training_rows_a_standard_value_goes_on_and_a_normal_score_stays_at_its_end():
    training = np.linspace(0, 1, 11)
    end, beyond = scaled(training, [1.0, 2.0], "standard")
    assert beyond - end == pytest.approx(1 / np.std(training))
    end, beyond = scaled(training, [1.0, 2.0], "normal")
    assert beyond == end


@BOTH_SCALINGS
def test_an_outlier_is_far_but_does_not_push_the_others_together_in_normal_scores(scaling):
    training = np.append(np.linspace(0, 1, 100), 1e6)
    low, high, outlier = scaled(training, [0.0, 1.0, 1e6], scaling)
    assert outlier > high
    assert (high - low > 3) == (scaling == "normal")


@BOTH_SCALINGS
@pytest.mark.parametrize("value", [0.0, 0.1, 123456.789, -1e17, 1e300])
@pytest.mark.parametrize("n", [1, 3, 1_000])
def test_a_constant_column_is_0(value, n, scaling):
    """The mean of three times 0.1 is not 0.1, so that its rows have a spread by rounding."""
    assert set(scaled(np.full(n, value), [value, value], scaling)) == {0.0}


def test_a_constant_column_stays_0_on_the_standard_scale_when_a_new_value_comes():
    assert scaled([0.1] * 3, [0.2, -1e9], "standard") == [0.0, 0.0]


@BOTH_SCALINGS
def test_a_missing_number_is_the_middle_and_is_indicated(scaling):
    X = np.array([[1.0, 5.0], [np.nan, 6.0], [3.0, 7.0], [4.0, 8.0]])
    space = Scaler.fit(X, (0, 0), scaling)
    features = space.transform(X)
    assert features.shape == (4, 3)
    assert features[1, 0] == 0
    assert features[:, 2].tolist() == [0, 1, 0, 0]
    # What is known is scaled as if the missing were not there.
    np.testing.assert_allclose(features[[0, 2, 3], 0], scaled([1.0, 3, 4], [1.0, 3, 4], scaling))


@BOTH_SCALINGS
def test_a_number_missing_only_at_prediction_is_the_middle_without_a_column_of_its_own(scaling):
    space = Scaler.fit(np.array([[1.0], [2.0], [4.0]]), (0,), scaling)
    assert space.transform(np.array([[np.nan]])).tolist() == [[0.0]]


@BOTH_SCALINGS
def test_a_column_missing_in_every_training_row_says_only_that_it_is_missing(scaling):
    space = Scaler.fit(np.full((3, 1), np.nan), (0,), scaling)
    assert space.transform(np.array([[np.nan], [7.0]])).tolist() == [[0.0, 1.0], [0.0, 0.0]]


@BOTH_SCALINGS
def test_a_category_has_one_column_per_code_and_an_unknown_one_is_0_in_all(scaling):
    X = np.array([[0.0, 1.0], [2.0, 0.0], [np.nan, 1.0]])
    space = Scaler.fit(X, (3, 2), scaling)
    assert space.transform(X).tolist() == [[1, 0, 0, 0, 1], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]]


def test_numbers_come_first_then_indicators_then_categories():
    X = np.array([[1.0, 0.0, np.nan], [0.0, 2.0, 4.0], [1.0, 4.0, 6.0]])
    features = Scaler.fit(X, (2, 0, 0), "standard").transform(X)
    root = np.sqrt(1.5)
    np.testing.assert_allclose(features, [[-root, 0, 1, 0, 1], [0, -1, 0, 1, 0], [root, 1, 0, 0, 1]], rtol=1e-6)


@BOTH_SCALINGS
def test_a_space_restored_from_its_arrays_gives_the_same_features(scaling):
    X, _, problem = make_rows(80, 0)
    space = Scaler.fit(X, problem.n_categories, scaling)
    restored = Scaler.from_arrays(space.to_arrays())
    assert restored.n_categories == space.n_categories
    np.testing.assert_array_equal(restored.transform(X), space.transform(X))


@BOTH_SCALINGS
def test_a_row_has_the_same_features_in_any_batch(scaling):
    X, _, problem = make_rows(80, 0)
    space = Scaler.fit(X, problem.n_categories, scaling)
    parts: list[Singles] = [space.transform(X[start : start + 7]) for start in range(0, 80, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), space.transform(X))
    assert space.transform(X[:0]).shape == (0, space.n_outputs)


def test_a_number_is_few_valued_by_its_values_in_the_training_rows() -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 8, 500), rng.normal(size=500), rng.integers(0, 30, 500), np.full(500, np.nan)])
    X[:5, 0] = np.nan
    space = Scaler.fit(X.astype(np.float64), (0, 0, 0, 0), "normal")
    assert space.is_few_valued.tolist() == [True, False, False, False]


@pytest.mark.parametrize("n", [200, 500, 5_000])
def test_a_number_is_two_valued_if_hardly_a_row_has_a_third(n: int) -> None:
    rng = np.random.default_rng(0)
    two, three = rng.integers(0, 2, n), rng.integers(0, 3, n)
    columns = [np.full(n, 3), two, three, rng.normal(size=n), two, two, np.zeros(n), rng.permutation(n) < n // 20]
    X = np.column_stack(columns).astype(np.float64)
    X[: n // 4, 4] = np.nan
    X[0, 5] = 999
    X[:2, 6] = -1, 1
    X[: n // 20, 1] = 0.5  # a twentieth: a third value
    found = Scaler.fit(X, (0,) * 8, "normal").is_two_valued
    assert found.tolist() == [True, False, False, False, True, True, True, True]


# Weights


@pytest.mark.parametrize("scaling", ["standard", "normal"])
def test_equal_weights_change_nothing_in_whatever_unit(scaling):
    X = np.random.default_rng(0).lognormal(size=(500, 2))
    X[::7, 1] = np.nan
    plain = Scaler.fit(X, (0, 0), scaling).transform(X)
    for unit in (1e-6, 1.0, 1e6):
        weighted = Scaler.fit(X, (0, 0), scaling, np.full(500, unit)).transform(X)
        np.testing.assert_allclose(weighted, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scaling", ["standard", "normal"])
def test_a_row_of_weight_0_says_nothing_and_one_of_weight_3_as_much_as_three(scaling):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2_000, 1))
    weight = rng.integers(0, 4, 2_000) * 1.0
    X[np.flatnonzero(weight == 0)[:3], 0] = [1e9, -1e9, np.nan]
    weighted = Scaler.fit(X, (0,), scaling, weight)
    repeated = Scaler.fit(np.repeat(X, weight.astype(int), axis=0), (0,), scaling)
    assert not weighted.indicated.any()
    probe = np.linspace(-2.5, 2.5, 41)[:, None]
    np.testing.assert_allclose(weighted.transform(probe), repeated.transform(probe), atol=0.02)


# Many columns


def wide_rows(n: int, n_columns: int) -> Floats:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3)) @ rng.normal(size=(3, n_columns))
    X[rng.random(X.shape) < 0.01] = np.nan
    return X


def test_principal_components_stand_for_more_columns_than_distances_are_taken_of():
    X = wide_rows(120, 201)
    scaler = Scaler.fit(X, (0,) * 201, "normal")
    reduced = scaler.reduced(X)
    assert scaler.transform(X).shape[1] > 201  # missing values have columns of their own
    assert reduced.transform(X).shape == (120, reduced.n_outputs)
    assert reduced.n_outputs == 64
    assert reduced.is_two_valued.tolist() == reduced.is_few_valued.tolist() == [False] * 64
    assert not reduced.equals(scaler)


def test_two_hundred_columns_stand_for_themselves():
    X = wide_rows(20, 200)
    scaler = Scaler.fit(X, (0,) * 200, "normal")
    assert scaler.reduced(X) is scaler


def test_principal_components_are_stored():
    X = wide_rows(120, 201)
    reduced = Scaler.fit(X, (0,) * 201, "normal").reduced(X)
    restored = Scaler.from_arrays(reduced.to_arrays())
    np.testing.assert_array_equal(restored.transform(X), reduced.transform(X))
    assert restored.equals(reduced)
    assert sum(array.nbytes for array in reduced.to_arrays().values()) < 400_000
