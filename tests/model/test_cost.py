"""What a table costs decides what is left out, and only where it is wide or the effort is quick."""

from __future__ import annotations

import pytest

from resmem_cli.model import cost
from resmem_cli.model.bases import ESTIMATORS
from resmem_cli.model.cost import WIDE, Size

PIXELS = Size(60_000, 784, 10)


def fits(size: Size, **learns: bool) -> list[tuple[float, bool]]:
    """The seconds that fits of some bases take, and whether encoders are trained on them."""
    return [(ESTIMATORS[name].seconds_to_fit(size), each) for name, each in learns.items()]


def usual_fits(size: Size) -> list[tuple[float, bool]]:
    return fits(size, boosting=True, poisson=False, linear=True)


@pytest.mark.parametrize("size", [Size(10_000_000, WIDE, 1), Size(200_000, 9, 10), Size(100, 1, 2)])
@pytest.mark.parametrize("effort", ["default", "high"])
def test_nothing_is_left_out_of_tables_that_are_not_wide(size, effort):
    assert cost.can_boost(size)
    assert cost.n_bags(size) == 3
    assert cost.n_axes(size.n_columns) is None
    assert cost.most_split(size, usual_fits(size), effort) is None
    assert cost.most_inner(size, ESTIMATORS["boosting"].seconds_to_fit(size), effort) == 100_000


def test_a_quick_choice_of_many_rows_is_made_on_one_split_and_of_few_on_folds():
    many, few = Size(79_000, 9, 1), Size(25_000, 9, 1)
    assert cost.most_split(many, usual_fits(many), "quick") == 25_000
    assert cost.most_split(few, usual_fits(few), "quick") is None


def test_trees_of_many_rows_columns_and_classes_are_left_out():
    assert not cost.can_boost(PIXELS)
    assert cost.can_boost(Size(60_000, 784, 2))
    assert cost.can_boost(Size(2_000, 784, 3))


def test_of_trees_that_take_long_there_is_one_bag():
    assert cost.n_bags(Size(1_000, 784, 1)) == 3
    assert cost.n_bags(Size(20_000, 2_000, 1)) == 1


@pytest.mark.parametrize(
    "seconds", [cost.boosting_seconds, cost.network_seconds, cost.linear_seconds, cost.discriminant_seconds]
)
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_more_rows_and_columns_cost_more(seconds, n_outputs):
    here = seconds(Size(10_000, 500, n_outputs))
    assert 0 < here < seconds(Size(20_000, 500, n_outputs))
    assert here < seconds(Size(10_000, 1_000, n_outputs))


def test_all_bags_are_counted_and_every_boosting_is_taken_for_one():
    size = Size(1_000, 784, 1)
    seconds = {name: kind.seconds_to_fit(size) for name, kind in ESTIMATORS.items()}
    assert seconds["network"] == seconds["mlp"] < seconds["boosting"]
    assert seconds["discriminant"] == cost.discriminant_seconds(size)
    assert seconds["boosting"] == seconds["xgboost"] == 3 * cost.boosting_seconds(size)


def test_a_constant_costs_nothing():
    assert ESTIMATORS["constant"].seconds_to_fit(PIXELS) == 0


def test_a_wide_table_is_folded_if_that_is_cheap_and_else_split_once_in_as_many_rows_as_end_in_time():
    few = Size(1_000, 784, 1)
    assert cost.most_split(few, fits(few, linear=False), "default") is None
    most, quick = (
        cost.most_split(PIXELS, fits(PIXELS, mlp=True, linear=True), effort) for effort in ("default", "quick")
    )
    assert most is not None
    assert quick is not None
    assert 4_000 <= quick < most <= 60_000


def test_bases_that_are_not_fitted_anew_cost_nothing():
    assert cost.most_split(PIXELS, [], "default") is None


def test_the_final_encoders_learn_from_as_many_rows_as_end_in_time():
    size = Size(100_000, 2_000, 10)
    assert 4_000 <= cost.most_inner(size, ESTIMATORS["mlp"].seconds_to_fit(size), "quick") < 100_000
    assert cost.most_inner(size, 0.0, "quick") == 100_000
