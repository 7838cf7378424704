"""The mean of several corrected models: who shares it, and with what weight."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from resmem_cli.model.arrays import Floats
from resmem_cli.model.combination import combine, combined, mean_of_bases
from tests.model.examples import FEW

N = 100
EQUAL = np.ones(N)


def squared(predictions: Floats) -> Floats:
    """The loss where every target is 0."""
    return np.square(predictions).sum(axis=1)


def column(*values: float, n: int = N) -> Floats:
    """Predictions of one number that repeat these values."""
    return np.resize(np.array(values), n)[:, None]


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
    assert combine([column(1.0), column(-5.0)], squared, EQUAL, 2) == pytest.approx([5 / 6, 1 / 6])
    assert combine([column(1.0), column(-20.0)], squared, EQUAL, 2) == pytest.approx([1, 0])  # 8 picks are not enough


def test_picks_go_on_where_one_does_not_help():
    """As much of the second as of the first is worse than the first alone, a third of it is better, a fifth best."""
    first, second = column(1.0), column(-3.5)
    assert [squared(first + share * (second - first)).mean() for share in (0, 1 / 2, 1 / 3, 1 / 5)] == pytest.approx(
        [1, 1.5625, 0.25, 0.01]
    )
    assert combine([first, second], squared, EQUAL, 2) == pytest.approx([4 / 5, 1 / 5])


def test_one_alone_is_asked_for_and_the_best_is_it():
    assert combine([column(-2.0), column(1.0), column(-1.5)], squared, EQUAL, 1).tolist() == [0, 1, 0]


def test_a_further_member_joins_for_a_small_gain():
    """In a row of a hundred the second is right where the first is wrong, and elsewhere they are equal."""
    second = column(1.0)
    second[0] = -1.0
    assert np.count_nonzero(combine([column(1.0), second], squared, EQUAL, 2)) == 2


def test_none_joins_for_a_gain_that_is_rounding_or_next_to_it():
    rng = np.random.default_rng(0)
    for size in (1e-16, 1e-6):
        predictions = [column(1.0) + size * rng.normal(size=(N, 1)) for _ in range(5)]
        assert np.count_nonzero(combine(predictions, squared, EQUAL, 5)) == 1


def test_one_without_a_loss_is_not_picked():
    assert combine([column(np.nan), column(2.0), column(3.0)], squared, EQUAL, 2).tolist() == [0, 1, 0]


def test_as_many_are_picked_as_may_share_it():
    predictions = list(np.eye(12)[:, :, None])  # each wrong in a row of its own
    assert combine(predictions, squared, np.ones(12), 12) == pytest.approx(np.full(12, 1 / 12))


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


# What it costs


def test_a_model_that_gains_less_than_it_costs_is_left_out():
    """The mean of the two loses nothing, and one alone a little; the cost of the second is a share of the loss."""
    predictions = [column(1.0), column(1.0, 1.0, 1.0, 0.9)]
    assert combine(predictions, squared, EQUAL, 2).tolist() == [0, 1]
    assert combine(predictions, squared, EQUAL, 2, lambda used: 1 + 0.2 * (1 in used)).tolist() == [1, 0]
    opposite = [column(1.0), column(-1.0)]
    assert combine(opposite, squared, EQUAL, 2, lambda used: 1 + 0.2 * (1 in used)).tolist() == [0.5, 0.5]


# One beside them


def test_one_beside_those_that_are_counted_may_share_the_mean():
    """The errors of the first two cancel out."""
    predictions = [column(1.0, -1.0), column(-1.0, 1.0), column(0.5, 0.5)]
    assert combine(predictions, squared, EQUAL, 1).tolist() == [0, 0, 1]
    assert np.count_nonzero(combine(predictions, squared, EQUAL, 1, uncounted=1)) > 1
    assert combine([*predictions[:2], column(3.0)], squared, EQUAL, 2, uncounted=2).tolist() == [0.5, 0.5, 0]


@FEW
@given(predictions=candidates, most=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_beside_one_no_more_are_counted_than_asked(predictions, most, seed):
    weight = np.random.default_rng(seed).uniform(0.1, 3, 12)
    weights = combine(list(predictions), squared, weight, most, uncounted=len(predictions) - 1)
    assert weights.sum() == pytest.approx(1)
    assert np.count_nonzero(weights[:-1]) <= most


# The mean of bases


def test_the_base_is_the_weighted_mean_of_those_that_have_a_weight():
    first, second, third = np.random.default_rng(0).normal(size=(3, 5, 2))
    found = mean_of_bases({0: first, 2: third}, (0.25, 0.0, 0.75))
    np.testing.assert_allclose(found, 0.25 * first + 0.75 * third, rtol=1e-12)
    assert mean_of_bases({0: first, 1: second}, ()) is first
    assert mean_of_bases({1: second}, (0.0, 1.0)) is second


def test_the_mean_of_many_is_the_same_for_a_row_alone_and_among_others():
    predictions = list(np.random.default_rng(0).normal(size=(12, 50, 1)))
    weights = np.full(12, 1 / 12)
    together = combined(predictions, weights)
    alone = [combined([each[[i]] for each in predictions], weights)[0, 0] for i in range(50)]
    np.testing.assert_array_equal(alone, together[:, 0])
