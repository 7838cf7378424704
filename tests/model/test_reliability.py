"""Predicted against true: bins, and the mean distance of the two."""

from __future__ import annotations

import numpy as np
import pytest

from resmem_cli.model import metrics, reliability


def test_numbers_are_in_bins_of_equally_many_rows() -> None:
    rng = np.random.default_rng(0)
    predicted, weight = rng.normal(size=2_000), rng.uniform(1, 2, 2_000)
    y = predicted + rng.normal(size=2_000)
    found = reliability.of(y, predicted[:, None], weight)
    assert found.n_rows.tolist() == [100] * 20
    order = np.argsort(predicted)
    for i, part in enumerate(np.split(order, 20)):
        assert found.predicted[i] == pytest.approx(np.average(predicted[part], weights=weight[part]))
        assert found.actual[i] == pytest.approx(np.average(y[part], weights=weight[part]))
    distance = [abs(a - b) for a, b in zip(found.predicted, found.actual, strict=True)]
    by_weight = [weight[part].sum() for part in np.split(order, 20)]
    assert found.error == pytest.approx(np.average(distance, weights=by_weight))


@pytest.mark.parametrize("values", [[3.0], [1.0, 2.0]])
def test_equal_predictions_are_in_one_bin(values: list[float]) -> None:
    predicted = np.repeat(values, 50)
    found = reliability.of(predicted + 1, predicted[:, None], np.ones(len(predicted)))
    assert found.predicted.tolist() == values
    assert found.error == pytest.approx(1)


def test_of_two_classes_the_probability_is_that_of_the_second() -> None:
    rng = np.random.default_rng(0)
    second = rng.uniform(size=100_000)
    y = (rng.uniform(size=len(second)) < second).astype(float)
    found = reliability.of(y, np.column_stack([1 - second, second]), np.ones(len(y)))
    assert len(found.predicted) == 10
    assert found.actual == pytest.approx(found.predicted, abs=0.02)
    assert found.error < 0.01


def test_of_more_classes_it_is_that_of_the_predicted_one_also_of_very_many() -> None:
    rng = np.random.default_rng(0)
    few = rng.dirichlet(np.full(5, 0.5), 4_000)
    y = rng.integers(0, 5, len(few)).astype(float)
    found = reliability.of(y, few, np.ones(len(y)))
    reduced = reliability.of(y, metrics.Reduced.of(y, few), np.ones(len(y)))
    assert reduced.predicted.tolist() == found.predicted.tolist()
    assert reduced.actual.tolist() == found.actual.tolist()
    top = few.max(axis=1)
    inside = (top >= 0.7) & (top < 0.8)
    at = np.flatnonzero((found.predicted >= 0.7) & (found.predicted < 0.8))[0]
    assert found.actual[at] == pytest.approx((few.argmax(axis=1) == y)[inside].mean())
    assert found.n_rows.sum() == len(y)
