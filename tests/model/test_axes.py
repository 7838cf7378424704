"""Principal components: distances between many columns, nearly kept by few."""

from __future__ import annotations

import numpy as np
import pytest

from resmem_cli.model.axes import Axes

RNG = np.random.default_rng(0)
HIDDEN = RNG.normal(size=(300, 5))
POINTS = (HIDDEN @ RNG.normal(size=(5, 40)) + 7).astype(np.float32)


def distances(points):
    return np.linalg.norm(points[:, None].astype(float) - points[None], axis=2)


def test_as_many_axes_as_points_have_dimensions_keep_all_distances_but_for_one_factor():
    along = Axes.fit(POINTS, 5).along(POINTS)
    before, after = distances(POINTS), distances(along)
    off = ~np.eye(len(POINTS), dtype=bool)
    ratios = after[off] / before[off]
    assert ratios.max() / ratios.min() < 1.001


def test_the_axes_are_those_of_the_largest_variance():
    axes = Axes.fit(POINTS, 2)
    centered = POINTS.astype(float) - POINTS.mean(axis=0)
    expected = np.linalg.svd(centered, full_matrices=False)[2][:2]
    cosines = axes.directions.T @ expected.T / np.linalg.norm(axes.directions, axis=0)[:, None]
    np.testing.assert_allclose(np.abs(cosines), np.eye(2), atol=1e-3)


def test_the_mean_is_at_zero_and_the_mean_variance_is_one():
    along = Axes.fit(POINTS, 5).along(POINTS)
    np.testing.assert_allclose(along.mean(axis=0), 0, atol=1e-4)
    assert along.var(axis=0).mean() == pytest.approx(1, abs=1e-3)


def test_equal_points_stay_equal_wherever_they_stand():
    axes = Axes.fit(POINTS, 5)
    alone = np.concatenate([axes.along(POINTS[i : i + 1]) for i in range(50)])
    np.testing.assert_array_equal(alone, axes.along(POINTS)[:50])


def test_points_that_are_all_equal_lie_together():
    axes = Axes.fit(np.full((4, 6), 3.0), 2)
    np.testing.assert_array_equal(axes.along(np.full((2, 6), 3.0)), 0)


def test_there_are_no_more_axes_than_points_or_columns():
    assert Axes.fit(POINTS[:3], 5).n_axes == 3
    assert Axes.fit(POINTS[:, :2], 5).n_axes == 2


def test_what_is_stored_is_restored_and_what_does_not_fit_is_refused():
    axes = Axes.fit(POINTS, 5)
    restored = Axes.from_arrays(axes.to_arrays(), 40)
    assert restored is not None
    np.testing.assert_array_equal(restored.along(POINTS), axes.along(POINTS))
    assert Axes.from_arrays({}, 40) is None
    with pytest.raises(ValueError, match="axes holds 40x5"):
        Axes.from_arrays(axes.to_arrays(), 41)
    with pytest.raises(ValueError, match="middle holds 4"):
        Axes.from_arrays({**axes.to_arrays(), "middle": axes.middle[:4]}, 40)
    with pytest.raises(KeyError):
        Axes.from_arrays({"axes": axes.directions}, 40)
