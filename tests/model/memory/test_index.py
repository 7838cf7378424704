"""The exact and the approximate search for the nearest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resmem_cli.errors import ModelError, UsageError
from resmem_cli.model.arrays import Singles
from resmem_cli.model.memory.building import build_index
from resmem_cli.model.memory.cells import Cells
from resmem_cli.model.memory.index import EXACT_BELOW, ExactIndex, GraphOptions, HnswIndex
from tests.model.examples import FEW
from tests.model.memory.points import by_brute_force, coarse_points, normal_points

# The exact search


@FEW
@given(n=st.integers(1, 40), p=st.integers(1, 6), seed=st.integers(0, 1000), data=st.data())
def test_the_exact_search_finds_what_brute_force_finds(n, p, seed, data):
    k = data.draw(st.integers(1, n))
    points, queries = normal_points(n, p, seed), normal_points(9, p, seed + 1)
    distances, found = ExactIndex(points).search(queries, k)
    expected_distances, expected = by_brute_force(points, queries, k)
    np.testing.assert_allclose(distances, expected_distances)
    np.testing.assert_array_equal(found, expected)


@FEW
@given(points=coarse_points, data=st.data())
def test_of_equally_distant_points_the_earlier_comes_first(points, data):
    points = Cells.group(points).points
    k = data.draw(st.integers(1, len(points)))
    distances, found = ExactIndex(points).search(points, k)
    np.testing.assert_allclose(distances, by_brute_force(points, points, k)[0])
    tied = np.diff(distances, axis=1) == 0
    assert (np.diff(found, axis=1)[tied] > 0).all()


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e5])
@pytest.mark.parametrize("spread", [1.0, 1e-3])
def test_a_stored_point_is_at_distance_0_of_itself_however_far_from_the_origin(offset, spread):
    points = normal_points(200, 3) * np.float32(spread)
    points = np.column_stack([np.full(200, offset), points]).astype(np.float32)
    distances, found = ExactIndex(points).search(points, 5)
    np.testing.assert_array_equal(found[:, 0], np.arange(200))
    assert (distances[:, 0] == 0).all()
    np.testing.assert_allclose(distances, by_brute_force(points, points, 5)[0])


def test_the_exact_search_gives_the_same_in_blocks_of_any_size():
    points, queries = normal_points(100, 4), normal_points(33, 4, 1)
    whole = ExactIndex(points).search(queries, 7)
    parts = ExactIndex(points).search(queries, 7, most_held=500)
    np.testing.assert_array_equal(whole[1], parts[1])
    np.testing.assert_allclose(whole[0], parts[0], rtol=1e-14)


def test_no_queries_have_no_neighbours():
    distances, found = ExactIndex(normal_points(10, 2)).search(normal_points(0, 2), 3)
    assert distances.shape == found.shape == (0, 3)


# The graph


@pytest.fixture(scope="module")
def points() -> Singles:
    return normal_points(2_000, 8)


@pytest.fixture(scope="module")
def graph(points) -> HnswIndex:
    return HnswIndex.build(points, 10, GraphOptions(), 3, 1)


def test_the_graph_finds_nearly_all_true_neighbours(points, graph):
    queries = normal_points(200, 8, 1)
    _, found = graph.search(queries, 10)
    _, expected = ExactIndex(points).search(queries, 10)
    hits = [len(set(f) & set(e)) for f, e in zip(found.tolist(), expected.tolist(), strict=True)]
    assert np.mean(hits) / 10 >= 0.98
    assert graph.recall >= 0.99


def test_the_graph_gives_true_distances_nearest_first(points, graph):
    queries = normal_points(50, 8, 2)
    distances, found = graph.search(queries, 10)
    true = np.linalg.norm(queries[:, None].astype(np.float64) - points[found], axis=2)
    np.testing.assert_allclose(distances, true, rtol=1e-5)
    assert (np.diff(distances, axis=1) >= 0).all()


def test_a_remembered_point_is_at_distance_0_of_itself_in_the_graph(points, graph):
    distances, found = graph.search(points, 3)
    np.testing.assert_array_equal(found[:, 0], np.arange(len(points)))
    assert (distances[:, 0] == 0).all()


def test_the_same_seed_and_one_thread_give_the_same_graph(points, graph):
    again = HnswIndex.build(points, 10, GraphOptions(), 3, 1)
    assert (again.ef, again.recall) == (graph.ef, graph.recall)
    queries = normal_points(300, 8, 5)
    for ours, theirs in zip(graph.search(queries, 10), again.search(queries, 10), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_any_number_of_threads_finds_the_same_in_one_graph(points, graph):
    queries = normal_points(300, 8, 6)
    for ours, theirs in zip(graph.search(queries, 10, 1), graph.search(queries, 10, 2), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_many_queries_get_their_own_neighbours_though_they_are_searched_in_another_order(points, graph):
    queries = np.random.default_rng(5).normal(size=(1_500, points.shape[1])).astype(np.float32)
    distances, nearest = graph.search(queries, 7)
    for start in range(0, 1_500, 300):  # few are searched as they come
        own = slice(start, start + 300)
        np.testing.assert_array_equal(graph.search(queries[own], 7)[0], distances[own])
        np.testing.assert_array_equal(graph.search(queries[own], 7)[1], nearest[own])
    huge = np.full_like(queries, 1e30)
    huge[1] = -1e30
    assert graph.search(huge, 3)[1].shape == (1_500, 3)


def test_a_saved_graph_finds_the_same(tmp_path, points, graph):
    graph.save(tmp_path / "graph.bin")
    loaded = HnswIndex.load(tmp_path / "graph.bin", 8, len(points), graph.ef, graph.recall)
    queries = normal_points(100, 8, 7)
    for ours, theirs in zip(graph.search(queries, 10), loaded.search(queries, 10), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_candidate_list_is_widened_until_recall_holds():
    hard, poor = normal_points(2_000, 24), {"M": 5, "ef_construction": 20}
    narrow = HnswIndex.build(hard, 10, GraphOptions(**poor, recall=0.0), 0, 1)
    wide = HnswIndex.build(hard, 10, GraphOptions(**poor, recall=0.99), 0, 1)
    assert narrow.recall < 0.99 <= wide.recall
    assert narrow.ef < wide.ef


def test_a_candidate_list_that_the_user_chose_stays_and_its_recall_is_told():
    hard = normal_points(2_000, 24)
    index = HnswIndex.build(hard, 10, GraphOptions(M=5, ef_construction=20, ef=16), 0, 1)
    assert index.ef == 16
    assert index.recall < 0.9


def test_more_neighbours_than_the_candidate_list_holds_lengthen_it():
    index = HnswIndex.build(normal_points(1_000, 4), 5, GraphOptions(ef=5), 0, 1)
    distances, found = index.search(normal_points(20, 4, 1), 700)
    assert distances.shape == (20, 700)
    assert all(len(set(row)) == 700 for row in found.tolist())


def test_more_neighbours_than_the_graph_connects_are_refused_in_a_sentence():
    index = HnswIndex.build(normal_points(3_000, 8), 5, GraphOptions(M=2, ef_construction=4, ef=5), 0, 1)
    with pytest.raises(ModelError) as refused:
        index.search(normal_points(20, 8, 1), 2_990)
    assert str(refused.value) == (
        "the search graph finds fewer than 2990 neighbours; run fit-residual again with a larger --M"
    )


def test_rows_that_come_sorted_into_groups_are_found_as_well_as_others():
    """Inserted in that order, these made a graph that misses one neighbour in forty."""
    rng = np.random.default_rng(0)
    groups = np.repeat(rng.normal(size=(50, 30)), 60, axis=0)
    sorted_points = (groups + 0.01 * rng.normal(size=groups.shape)).astype(np.float32)
    assert HnswIndex.build(sorted_points, 32, GraphOptions(ef=64), 0, 1).recall >= 0.99


# Which of them


@pytest.mark.parametrize(("n", "kind"), [(EXACT_BELOW - 1, ExactIndex), (EXACT_BELOW, HnswIndex)])
def test_few_cells_are_searched_exactly_and_many_through_a_graph(n, kind):
    assert isinstance(build_index(normal_points(n, 3), 2, GraphOptions(), 0, 1), kind)


def test_more_neighbours_than_cells_are_refused_in_a_sentence():
    with pytest.raises(UsageError) as refused:
        build_index(normal_points(7, 2), 8, GraphOptions(), 0, 1)
    assert str(refused.value) == (
        "8 neighbours are more than the 7 cells of the memory (rows with distinct representations); "
        "set --neighbors to at most 7"
    )


# A graph that grows


def test_a_graph_with_further_points_finds_as_well_as_one_of_all():
    whole = normal_points(3_000, 8)
    grown = HnswIndex.build(whole[:2_000], 10, GraphOptions(), 0, 1).extended(whole, 10, GraphOptions(), 1)
    queries = normal_points(200, 8, 1)
    _, found = grown.search(queries, 10)
    _, expected = ExactIndex(whole).search(queries, 10)
    hits = [len(set(f) & set(e)) for f, e in zip(found.tolist(), expected.tolist(), strict=True)]
    assert np.mean(hits) / 10 >= 0.98
    assert (found >= 2_000).any()
    np.testing.assert_array_equal(grown.points_at(np.arange(3_000)), whole)
    assert grown.recall >= 0.99


def test_a_graph_with_no_further_points_stays_as_it_is():
    whole = normal_points(1_200, 4)
    index = HnswIndex.build(whole, 5, GraphOptions(), 0, 1)
    same = index.extended(whole, 5, GraphOptions(), 1)
    assert (same.ef, same.recall) == (index.ef, index.recall)
