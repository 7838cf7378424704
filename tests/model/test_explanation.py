"""Explanations: what neighbours add is what the prediction moved by, and distances are told by what is usual."""

from __future__ import annotations

import numpy as np
import pytest

from resmem_cli.model.arrays import Floats
from resmem_cli.model.choosing.candidates import Candidate
from resmem_cli.model.explanation import percentiles, usual_distances
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memory.cells import Cells
from resmem_cli.model.memory.index import ExactIndex, GraphOptions, HnswIndex
from resmem_cli.model.memory.memory import Memory
from resmem_cli.model.resmem import ResMem
from resmem_cli.model.scaling import Encoded
from tests.model.examples import TASKS, make_rows, member_of, rows_of, training_of


def model_of(n_classes: int, *candidates: Candidate, settings: Settings) -> tuple[ResMem, Floats]:
    """A model with a memory of each candidate, and rows that it has not seen."""
    X, y, problem = make_rows(200, n_classes)
    training = training_of(rows_of(X, y), problem, estimator="linear", n_steps=5)
    share = 1 / len(candidates)
    members = tuple(member_of(training, candidate, settings, weight=share) for candidate in candidates)
    return ResMem((training.base,), members), make_rows(30, n_classes, seed=5)[0]


@pytest.mark.parametrize("n_classes", TASKS)
@pytest.mark.parametrize("names", [("features",), ("learned:mlp",), ("features", "learned:linear")])
def test_what_the_neighbours_add_is_what_the_prediction_moved_by(n_classes: int, names: tuple[str, ...]) -> None:
    resmem, X = model_of(n_classes, *(Candidate(0, name) for name in names), settings=Settings(7, 0.4, shrinkage=0.3))
    found = resmem.explain(X, usual_distances(resmem.members[0].memory))
    expected = resmem.predict(X)
    np.testing.assert_array_equal(found.base, expected.base)
    np.testing.assert_array_equal(found.prediction, expected.resmem)
    added = sum(share.contributions.sum(axis=1) for share in found.shares)
    for share in found.shares:
        assert share.cells.shape == (30, 7)
        np.testing.assert_allclose(share.weights.sum(axis=1), 1)
        assert (np.diff(share.distances, axis=1) >= 0).all()
    if n_classes == 0:
        np.testing.assert_allclose(found.base + added, found.prediction, rtol=1e-9)
    else:
        np.testing.assert_allclose(added.sum(axis=1), 0, atol=1e-9)  # of probabilities, which go on summing to 1
        each = [found.base + len(names) * share.contributions.sum(axis=1) for share in found.shares]
        inside = np.all([(one > 0) & (one < 1) for one in each], axis=(0, 2))  # no memory's mean is clipped
        assert inside.any()
        np.testing.assert_allclose((found.base + 0.99 * added)[inside], found.prediction[inside], atol=1e-9)


@pytest.mark.parametrize("shrinkage", [0.0, 0.5])
@pytest.mark.parametrize("held", [4_000_000, 60])
def test_the_place_of_a_row_is_its_distance_and_how_its_neighbours_residuals_differ(
    shrinkage: float, held: int
) -> None:
    candidates = (Candidate(0, "features"), Candidate(0, "model"))
    resmem, X = model_of(0, *candidates, settings=Settings(7, 0.4, shrinkage=shrinkage))
    found = resmem.predict(X, with_place=True, most_held=held)  # of blocks within a batch
    base = resmem.bases[0]
    deviations = []
    for member in resmem.members:
        points, index = member.space.represent(Encoded(X), base, base.predict(X)).points, member.memory.index
        apart = np.linalg.norm(points[:, None, :] - index.points_at(np.arange(len(member.memory.counts))), axis=2)
        near = np.argsort(apart, axis=1, kind="stable")[:, :7]
        deviations.append(member.memory.residuals[near, 0].std(axis=1))  # of cells of one row each
        if len(deviations) == 1:
            np.testing.assert_allclose(found.distance, apart.min(axis=1), rtol=1e-5, atol=1e-5)
    assert all((member.memory.counts == 1).all() for member in resmem.members)
    np.testing.assert_allclose(found.neighbor_std, np.mean(deviations, axis=0), rtol=1e-6)
    plain = resmem.predict(X, most_held=held)
    np.testing.assert_array_equal(found.resmem, plain.resmem)
    assert plain.neighbor_std is plain.distance is None


def test_a_memory_that_is_switched_off_adds_nothing_and_still_tells_distances() -> None:
    resmem, X = model_of(0, Candidate(0, "features"), settings=Settings(3, 0.4, shrinkage=0.0))
    found = resmem.explain(X, usual_distances(resmem.members[0].memory))
    assert not found.shares[0].contributions.any()
    np.testing.assert_array_equal(found.prediction, found.base)
    np.testing.assert_array_equal(found.shares[0].distances[:, 0], resmem.predict(X, with_place=True).distance)


@pytest.mark.parametrize("n", [300, 3_000])
def test_usual_distances_are_those_of_cells_from_their_nearest_other(n: int) -> None:
    points = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    cells = Cells.group(points)
    index = ExactIndex(points) if n < 1_000 else HnswIndex.build(points, 4, GraphOptions(), 0, 1)
    usual = usual_distances(Memory(np.zeros((n, 1)), cells.counts, index))
    exact = np.sort(ExactIndex(points).search(points, 2)[0][:, 1])
    levels = np.linspace(0.05, 0.95, 7)
    np.testing.assert_allclose(np.quantile(usual, levels), np.quantile(exact, levels), rtol=0.15)


def test_how_much_a_cell_counts_does_not_make_it_nearer_to_another() -> None:
    points = np.array([[0.0], [1.0], [3.0]], np.float32)
    usual = usual_distances(Memory(np.zeros((3, 1)), np.array([98.0, 0.5, 0.0]), ExactIndex(points)))
    np.testing.assert_array_equal(usual, [1.0, 1.0, 2.0])


def test_one_cell_alone_has_no_other() -> None:
    assert not usual_distances(Memory(np.zeros((1, 1)), np.ones(1), ExactIndex(np.zeros((1, 2), np.float32)))).any()


def test_a_percentile_is_the_share_of_usual_distances_that_are_smaller() -> None:
    usual = np.array([0.0, 1.0, 1.0, 2.0])
    np.testing.assert_array_equal(percentiles(np.array([0.0, 0.5, 1.0, 5.0]), usual), [0, 25, 25, 100])
