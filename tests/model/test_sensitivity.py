"""How far a feature moves what a base predicts: permuted, whatever the labels."""

from __future__ import annotations

import numpy as np
import pytest

from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases import ESTIMATORS, Problem
from resmem_cli.model.bases.sensitivity import sensitivity
from tests.model.examples import BINARY, MULTICLASS, REGRESSION, make_rows, quick_base


def numbers(X: Floats) -> Problem:
    """A problem of which every column is a number."""
    return Problem((0,) * X.shape[1], REGRESSION, seed=0)


class Known:
    """A base whose prediction is 3 times the second column less the fourth, whatever the labels."""

    reads_features = True

    def predict(self, X: Floats) -> Floats:
        return (3 * X[:, 1] - X[:, 3])[:, None]


def test_sensitivity_is_how_far_a_permuted_column_moves_the_prediction():
    X = np.random.default_rng(0).normal(size=(900, 4))
    found = sensitivity(Known(), X, numbers(X), np.random.default_rng(1))
    np.testing.assert_allclose(found, [0, 1, 0, 1 / 3], atol=0.05)
    assert (found[0], found[1], found[2]) == (0, 1, 0)
    X[:, 1] *= 0.01  # a column of little spread moves little
    np.testing.assert_allclose(
        sensitivity(Known(), X, numbers(X), np.random.default_rng(1)), [0, 0.03, 0, 1], atol=0.005
    )


@pytest.mark.parametrize("n_classes", [REGRESSION, BINARY, MULTICLASS])
@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != "constant"])
def test_of_every_base_the_column_that_matters_is_found(name, n_classes):
    X, _, of = make_rows(400, n_classes)
    value = X[:, 1]
    y = value if n_classes == 0 else np.digitize(value, np.linspace(-1, 1, n_classes - 1)).astype(float)
    found = sensitivity(quick_base(name, X, y, of), X, of, np.random.default_rng(0))
    assert found.argmax() == 1
    assert np.delete(found, 1).max() < 0.5


def test_the_levels_of_a_category_move_with_it():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 600, 900).astype(float)
    X = np.column_stack([np.minimum(codes, 254), rng.normal(size=900), codes])  # the levels last

    class OfLevels(Known):
        def predict(self, X: Floats) -> Floats:
            assert (np.minimum(X[:, 2], 254) == X[:, 0]).all()
            return X[:, 2:]

    of = Problem((255, 0), REGRESSION, seed=0, levels={0: 600})
    np.testing.assert_allclose(sensitivity(OfLevels(), X, of, rng), [1, 0])


def test_a_base_that_no_column_moves_is_as_sensitive_to_each():
    X, y, of = make_rows(50, REGRESSION)
    assert sensitivity(quick_base("constant", X, y, of), X, of, np.random.default_rng(0)).tolist() == [
        1,
        1,
        1,
        1,
    ]


def test_sensitivity_asks_no_more_rows_than_suffice_and_leaves_them_as_they_are():
    class Counting(Known):
        most = 0

        def predict(self, X: Floats) -> Floats:
            self.most = max(self.most, len(X))
            return super().predict(X)

    X = np.random.default_rng(0).normal(size=(5_000, 4))
    before, base = X.copy(), Counting()
    sensitivity(base, X, numbers(X), np.random.default_rng(0))
    assert base.most == 2_000
    np.testing.assert_array_equal(X, before)
