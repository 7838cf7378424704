"""What it means for two rows to be near each other."""

from __future__ import annotations

import numpy as np
import pytest

from resmem_cli.errors import UsageError
from resmem_cli.model import representation
from resmem_cli.model.bases import ESTIMATORS
from resmem_cli.model.features import FeatureSpace
from tests.model.examples import BINARY, make_rows, quick_base

OF_THEIR_OWN = [name for name in ESTIMATORS if name != "constant"]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_base_has_the_features_and_some_have_a_representation_of_their_own(name):
    X, y, problem = make_rows(60, BINARY)
    base = quick_base(name, X, y, problem)
    expected = ("features", "model") if name in OF_THEIR_OWN else ("features",)
    assert representation.available(base, X) == expected


def test_features_are_the_normal_scores_whatever_the_base():
    X, y, problem = make_rows(60, BINARY)
    space = representation.fit("features", X, problem.n_categories)
    expected = FeatureSpace.fit(X, problem.n_categories, "normal").transform(X)
    for name in ESTIMATORS:
        np.testing.assert_array_equal(space.represent(X, quick_base(name, X, y, problem)), expected)


def test_no_column_of_the_features_outweighs_the_others():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=500) * 1e6, rng.lognormal(size=500), rng.random(500)])
    spreads = representation.fit("features", X, (0, 0, 0)).represent(X, None).std(axis=0)
    np.testing.assert_allclose(spreads, 1, atol=0.05)


@pytest.mark.parametrize("name", OF_THEIR_OWN)
def test_the_models_representation_is_what_the_base_computes(name):
    X, y, problem = make_rows(60, BINARY)
    base = quick_base(name, X, y, problem)
    space = representation.fit("model", X, problem.n_categories)
    np.testing.assert_array_equal(space.represent(X, base), base.represent(X))


def test_a_base_without_a_representation_of_its_own_says_what_to_choose():
    X, y, problem = make_rows(60, BINARY)
    with pytest.raises(UsageError) as refused:
        representation.fit("model", X, problem.n_categories).represent(X, quick_base("constant", X, y, problem))
    assert str(refused.value) == (
        "this base has no representation of its own; choose another --representation, for example features"
    )


@pytest.mark.parametrize("name", representation.NAMES)
def test_a_restored_representation_is_the_same(name):
    X, y, problem = make_rows(60, BINARY)
    base = quick_base("mlp", X, y, problem)
    space = representation.fit(name, X, problem.n_categories)
    restored = representation.restore(name, space.to_arrays())
    assert restored.name == space.name == name
    np.testing.assert_array_equal(restored.represent(X, base), space.represent(X, base))
