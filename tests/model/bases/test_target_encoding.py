"""Means of the target per category: what they are, and that no training row is told its own target."""

from __future__ import annotations

import numpy as np
import pytest

from resmem_cli.model.bases import Problem
from resmem_cli.model.bases.target_encoding import TargetEncoding
from resmem_cli.model.splitting import Related
from tests.model.examples import BINARY, MULTICLASS, REGRESSION

NAN = np.nan
N_LEVELS = 4


def problem(n_classes: int) -> Problem:
    return Problem((255,), n_classes, seed=0, levels={0: N_LEVELS})


def test_a_value_has_the_mean_of_its_rows_drawn_towards_the_mean_of_all() -> None:
    codes = np.array([[0.0], [0.0], [1.0], [NAN]])
    y, weight = np.array([1.0, 2.0, 9.0, 4.0]), np.array([1.0, 3.0, 1.0, 1.0])
    encoding = TargetEncoding.fit(codes, y, weight, problem(REGRESSION))
    overall = (1 + 6 + 9 + 4) / 6
    expected = [(7 + 5 * overall) / 9, (9 + 5 * overall) / 6, overall, overall]
    np.testing.assert_allclose(encoding.transform(np.array([[0.0], [1.0], [3.0], [NAN]]))[:, 0], expected)


@pytest.mark.parametrize(("n_classes", "n_outputs"), [(REGRESSION, 1), (BINARY, 1), (MULTICLASS, MULTICLASS)])
def test_classes_are_shares_of_the_second_of_two_or_of_each_of_several(n_classes: int, n_outputs: int) -> None:
    rng = np.random.default_rng(0)
    codes, y = rng.integers(0, N_LEVELS, (300, 1)).astype(float), rng.integers(0, n_classes or 2, 300).astype(float)
    encoded = TargetEncoding.fit(codes, y, None, problem(n_classes)).transform(codes)
    assert encoded.shape == (300, n_outputs)
    for column in range(n_outputs):
        of_class = column if n_outputs > 1 else 1
        plain = np.array([(y[codes[:, 0] == code] == of_class).mean() for code in range(N_LEVELS)])
        np.testing.assert_allclose(encoded[:, column], plain[codes[:, 0].astype(int)], atol=0.05)


def test_what_a_training_row_is_told_does_not_depend_on_its_own_target() -> None:
    """With levels of one or two rows the mean of all rows would tell the target; that of other folds cannot."""
    rng = np.random.default_rng(0)
    codes, y = rng.integers(0, 60, (120, 1)).astype(float), rng.normal(size=120)
    of = Problem((255,), REGRESSION, seed=0, levels={0: 60})
    related = Related(np.arange(120))
    told = TargetEncoding.cross_fitted(codes, y, None, of, related)
    for row in range(0, 120, 10):
        other = y.copy()
        other[row] += 1_000
        assert TargetEncoding.cross_fitted(codes, other, None, of, related)[row] == told[row]
    assert abs(np.corrcoef(told[:, 0], y)[0, 1]) < 0.25
    assert np.corrcoef(TargetEncoding.fit(codes, y, None, of).transform(codes)[:, 0], y)[0, 1] > 0.5


def test_no_row_of_a_group_is_told_a_target_of_its_group() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), 12)
    codes, y = groups[:, None] % N_LEVELS * 1.0, rng.normal(size=120)
    related = Related(groups, are_named=True)
    told = TargetEncoding.cross_fitted(codes, y, None, problem(REGRESSION), related)
    other = np.where(groups == 3, y + 1_000, y)
    again = TargetEncoding.cross_fitted(codes, other, None, problem(REGRESSION), related)
    assert (again[groups == 3] == told[groups == 3]).all()
    assert (again != told).any()


def test_rows_of_one_group_are_told_the_mean_of_all() -> None:
    y = np.arange(12.0)
    related = Related(np.zeros(12, dtype=np.int64), are_named=True)
    told = TargetEncoding.cross_fitted(np.zeros((12, 1)), y, None, problem(REGRESSION), related)
    np.testing.assert_allclose(told, y.mean())


def test_codes_beyond_the_known_levels_are_told_the_mean_of_all() -> None:
    encoding = TargetEncoding.fit(np.zeros((5, 1)), np.arange(5.0), None, problem(REGRESSION))
    assert encoding.transform(np.array([[99.0]]))[0, 0] == 2.0


def test_stored_means_are_those_that_were_learned_and_damaged_ones_are_refused() -> None:
    encoding = TargetEncoding.fit(np.zeros((5, 1)), np.arange(5.0), None, problem(REGRESSION))
    arrays = encoding.to_arrays()
    (means,) = TargetEncoding.restore(arrays, 1).means
    np.testing.assert_array_equal(means, encoding.means[0])
    with pytest.raises(KeyError):
        TargetEncoding.restore(arrays, 2)
    for damaged in (np.full((5, 1), NAN), np.zeros((0, 1)), np.zeros(5)):
        with pytest.raises(ValueError, match=r"target_means_0|outputs"):
            TargetEncoding.restore({"target_means_0": damaged}, 1)
