"""A comparison that is put together from sums claims no more than they hold."""

from __future__ import annotations

import numpy as np
import pytest

from resmem_cli.model.sums_in_parts import SumsInParts


def parts_of(spread: float, n: int = 1_500) -> SumsInParts:
    """Two halves of rows of two classes, with probabilities within a spread from 0.5, of which the second tell more."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n).astype(float)
    noise = rng.random((n, 2))
    base, resmem = (0.5 + spread * (0.85 * noise[:, i] + gain * y) for i, gain in enumerate((0.1, 0.15)))
    keys = np.arange(n, dtype=np.uint64)

    def part(some: slice) -> SumsInParts:
        both = (np.column_stack([1 - each, each])[some] for each in (base, resmem))
        return SumsInParts.of(
            y[some], *both, np.ones(n)[some], hashes=keys[some], units=keys[some], seed=0, n_resamples=1_000
        )

    return part(slice(0, n // 2)).merged(part(slice(n // 2, None)))


def test_an_area_whose_few_bins_hold_most_rows_has_a_value_and_no_interval():
    found = parts_of(0.03)
    compared = found.compared()
    assert np.isfinite(compared["roc_auc"].gain)
    assert np.isnan(compared["roc_auc"].ci95).all()
    assert np.isfinite(compared["log_loss"].ci95).all()
    assert "roc_auc has no interval: the probabilities lie too close together for the bins of resamples" in found.notes


def test_an_area_whose_bins_tell_rows_apart_has_an_interval_that_holds_its_gain():
    found = parts_of(0.45)
    low, high = found.compared()["roc_auc"].ci95
    assert low < found.compared()["roc_auc"].gain < high
    assert [note for note in found.notes if "interval" in note] == []


@pytest.mark.parametrize("name", ["log_loss", "accuracy"])
def test_a_metric_without_bins_keeps_its_interval_however_close_the_probabilities(name: str):
    low, high = parts_of(0.03).compared()[name].ci95
    assert low <= parts_of(0.03).compared()[name].gain <= high
