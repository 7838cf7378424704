"""The mean of several corrected models: who shares it, and with what weight."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from resmem_cli.model.arrays import Floats
from resmem_cli.model.combination import combine, combined
from tests.model.examples import FEW

N = 100
EQUAL = np.ones(N)


def squared(predictions: Floats) -> Floats:
    """The loss where every target is 0."""
    return np.square(predictions).sum(axis=1)


def column(*values: float, n: int = N) -> Floats:
    """Predictions of one number that repeat these values."""
    return np.resize(np.array(values), n)[:, None]


def shared(share: float) -> list[Floats]:
    """A model that is wrong by 1 everywhere, and a worse one: in a share of the rows their mean is right.

    In the others it is wrong by 2, so that it loses 3 more.
    """
    n_mended = round(share * N)
    return [column(1.0), np.where(np.arange(N) < n_mended, -1.0, 3.0)[:, None]]


# Who shares it


candidates = st.integers(1, 5).flatmap(
    lambda m: hnp.arrays(np.float64, (m, 12, 2), elements=st.floats(-10, 10, width=32))
)


@FEW
@given(predictions=candidates, most=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_weights_sum_to_1_are_shared_by_no_more_than_asked_and_lose_no_more_than_the_best_alone(
    predictions, most, seed
):
    weight = np.random.default_rng(seed).uniform(0.1, 3, 12)
    weights = combine(list(predictions), squared, weight, most)
    assert weights.shape == (len(predictions),)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)
    assert 1 <= np.count_nonzero(weights) <= most
    alone = [np.average(squared(each), weights=weight) for each in predictions]
    together = np.average(squared(combined(predictions, weights)), weights=weight)
    assert together <= min(alone) * (1 + 1e-12)
    assert weights[int(np.argmin(alone))] > 0


def test_one_strong_candidate_alone_is_kept():
    """The others are right nowhere, and on the same side."""
    assert combine([column(3.0, 2.0), column(0.1, -0.1), column(1.0, 2.0)], squared, EQUAL, 3).tolist() == [0, 1, 0]


def test_what_is_predicted_twice_is_not_counted_twice():
    assert combine([column(1.0, -2.0)] * 3, squared, EQUAL, 3).tolist() == [1, 0, 0]


def test_two_that_err_to_opposite_sides_share_it():
    assert combine([column(1.0), column(5.0), column(-1.0)], squared, EQUAL, 3).tolist() == [0.5, 0, 0.5]


def test_one_that_was_picked_may_be_picked_again_which_makes_the_weights():
    assert combine([column(1.0), column(-2.0)], squared, EQUAL, 2) == pytest.approx([2 / 3, 1 / 3])
    assert combine([column(1.0), column(-4.0)], squared, EQUAL, 2) == pytest.approx(
        [1, 0]
    )  # one more would be too much


def test_one_alone_is_asked_for_and_the_best_is_it():
    assert combine([column(-2.0), column(1.0), column(-1.5)], squared, EQUAL, 1).tolist() == [0, 1, 0]


@pytest.mark.parametrize(("share", "joins"), [(0.78, False), (0.79, False), (0.8, True), (0.9, True)])
def test_a_further_member_joins_only_if_the_gain_exceeds_its_standard_error(share, joins):
    """Of a share p the gain is 4p - 3 and its standard error 4 sqrt(p (1 - p) / n): from 0.75 on there is a gain."""
    gain, error = 4 * share - 3, 4 * np.sqrt(share * (1 - share) / N)
    assert gain > 0
    assert (gain > error) == joins
    weights = combine(shared(share), squared, EQUAL, 2)
    assert np.count_nonzero(weights) == (2 if joins else 1)
    assert weights[0] > 0


def test_the_standard_error_is_that_of_weighted_rows():
    """If few rows have most of the weight, a gain of few rows is no proof."""
    predictions = shared(0.9)
    heavy = np.ones(N)
    heavy[0] = 1e4
    assert np.count_nonzero(combine(predictions, squared, EQUAL, 2)) == 2
    gained = np.average(squared(predictions[0]) - squared(sum(predictions) / 2), weights=heavy)
    assert gained > 0.9
    assert np.count_nonzero(combine(predictions, squared, np.roll(heavy, -1), 2)) == 1


def test_weights_say_which_rows_count():
    predictions = [column(1.0, 3.0), column(3.0, 1.0)]
    for weight, expected in ((column(9.0, 1.0), [1, 0]), (column(1.0, 9.0), [0, 1])):
        assert combine(predictions, squared, weight[:, 0], 2).tolist() == expected


def test_a_row_of_weight_2_counts_as_the_row_twice():
    rng = np.random.default_rng(0)
    times = np.arange(N) % 2 + 1
    predictions = [rng.normal(size=(N, 1)) for _ in range(3)]
    again = [np.repeat(each, times, axis=0) for each in predictions]
    found = combine(predictions, squared, times.astype(float), 3)
    np.testing.assert_array_equal(found, combine(again, squared, np.ones(times.sum()), 3))
    assert np.count_nonzero(found) > 1


# The mean


def test_the_mean_is_weighted():
    found = combined([column(1.0, 2.0), column(5.0, -2.0)], np.array([0.75, 0.25]))
    np.testing.assert_allclose(found, column(2.0, 1.0))


def test_who_has_no_weight_is_not_looked_at():
    found = combined([column(np.nan), column(2.0), np.zeros((0, 1))], np.array([0.0, 1.0, 0.0]))
    np.testing.assert_array_equal(found, column(2.0))
