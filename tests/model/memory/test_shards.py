"""Several searches as one: built, searched and changed shard by shard, and found to be what a single one is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resmem_cli.model.memory import shards
from resmem_cli.model.memory.building import build_index, changed_index, shards_of
from resmem_cli.model.memory.cells import Cells
from resmem_cli.model.memory.index import ExactIndex, GraphOptions, HnswIndex
from resmem_cli.model.memory.memory import Memory
from resmem_cli.model.memory.shards import ShardedIndex
from tests.model.examples import FEW
from tests.model.memory.points import coarse_points, normal_points

K = 10


def cut(n: int, **more) -> GraphOptions:
    return GraphOptions(shard_cells=n, **more)


def kinds(index) -> list[tuple[type, int]]:
    return [(type(shard), shard.n_points) for shard in index.shards]


def memory_of(points, options: GraphOptions, *, most_cells: int | None = None, seed: int = 0) -> Memory:
    residuals = np.random.default_rng(3).normal(size=(len(points), 1))
    return Memory.build(
        points, residuals, None, n_neighbors=K, graph=options, most_cells=most_cells, seed=seed, threads=1
    )


def assert_same(found: Memory, expected: Memory, queries) -> None:
    """Both memories have the same cells, and find the same neighbours."""
    np.testing.assert_array_equal(found.counts, expected.counts)
    np.testing.assert_array_equal(found.residuals, expected.residuals)
    every = np.arange(found.n_cells)
    np.testing.assert_array_equal(found.index.points_at(every), expected.index.points_at(every))
    for ours, theirs in zip(found.neighbors(queries, K, 1), expected.neighbors(queries, K, 1), strict=True):
        np.testing.assert_array_equal(ours, theirs)


# Exact shards are one exact search


@FEW
@given(n=st.integers(1, 60), size=st.integers(1, 30), seed=st.integers(0, 1000), data=st.data())
def test_exact_shards_find_to_the_last_bit_what_one_exact_search_finds(n, size, seed, data):
    k = data.draw(st.integers(1, n))
    points, queries = normal_points(n, 3, seed), normal_points(9, 3, seed + 1)
    index = build_index(points, k, cut(size), 0, 1)
    for ours, theirs in zip(index.search(queries, k, 1), ExactIndex(points).search(queries, k), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@FEW
@given(points=coarse_points, size=st.integers(1, 7), data=st.data())
def test_of_equally_distant_points_in_several_shards_the_earlier_comes_first(points, size, data):
    points = Cells.group(points).points
    k = data.draw(st.integers(1, len(points)))
    distances, found = build_index(points, k, cut(size), 0, 1).search(points, k, 1)
    np.testing.assert_array_equal(distances, ExactIndex(points).search(points, k)[0])
    tied = np.diff(distances, axis=1) == 0
    assert (np.diff(found, axis=1)[tied] > 0).all()


def test_shards_are_cut_into_equal_parts_and_give_back_their_points():
    points = normal_points(1_001, 3)
    index = build_index(points, K, cut(300), 0, 1)
    assert kinds(index) == [(ExactIndex, 250), (ExactIndex, 250), (ExactIndex, 250), (ExactIndex, 251)]
    assert index.starts.tolist() == [0, 250, 500, 750]
    assert (index.recall, index.ef, index.n_columns) == (None, None, 3)
    some = np.array([1_000, 0, 749, 750, 249, 0])
    np.testing.assert_array_equal(index.points_at(some), points[some])
    assert index.points_at(some[:0]).shape == (0, 3)


def test_as_many_points_as_a_shard_may_have_are_not_cut():
    points = normal_points(300, 3)
    assert isinstance(build_index(points, K, cut(300), 0, 1), ExactIndex)
    assert isinstance(build_index(points, K, cut(299), 0, 1), ShardedIndex)


def test_very_many_shards_become_larger_ones(monkeypatch: pytest.MonkeyPatch):
    """Each has files of its own."""
    monkeypatch.setattr(shards, "MOST_SHARDS", 4)
    assert kinds(build_index(normal_points(10, 2), 2, cut(1), 0, 1)) == [
        (ExactIndex, 2),
        (ExactIndex, 3),
        (ExactIndex, 2),
        (ExactIndex, 3),
    ]


def test_shards_that_have_become_very_many_are_cut_anew(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shards, "MOST_SHARDS", 4)
    points = normal_points(100, 2)
    index = build_index(points[:40], 2, cut(10), 0, 1)
    assert [n for _, n in kinds(index)] == [10] * 4
    grown = changed_index(index, [10] * 4, points[:60], k=2, options=cut(10), seed=0, threads=1)
    assert [n for _, n in kinds(grown)] == [15] * 4
    np.testing.assert_array_equal(grown.points_at(np.arange(60)), points[:60])


# What each shard is asked for


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """How many queries were made of a shard, and for how many points each."""
    made, search = list[tuple[int, int]](), ExactIndex.search

    def told(self, queries, k, *more, **named):
        made.append((len(queries), k))
        return search(self, queries, k, *more, **named)

    monkeypatch.setattr(ExactIndex, "search", told)
    return made


def test_of_points_in_any_order_a_shard_is_asked_for_about_its_part_and_few_queries_again(asked):
    points, queries, k = normal_points(4_000, 4), normal_points(500, 4, 1), 32
    build_index(points, k, cut(500), 0, 1).search(queries, k, 1)
    assert asked[:8] == [(500, 10)] * 8
    assert sum(n for n, _ in asked[8:]) < 0.05 * 8 * 500
    assert {few for _, few in asked[8:]} == {k}


def test_of_points_in_order_only_the_shards_that_hold_the_nearest_are_asked_again(asked):
    points, k = np.arange(400, dtype=np.float32)[:, None] ** 1.01, 20  # no two are equally far apart
    expected = ExactIndex(points).search(points, k)
    asked.clear()
    for ours, theirs in zip(build_index(points, k, cut(50), 0, 1).search(points, k, 1), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert asked[:8] == [(400, 7)] * 8
    assert 400 <= sum(n for n, _ in asked[8:]) <= 2 * 400  # one or two of eight shards


# Graphs


def test_graphs_of_shards_find_nearly_all_true_neighbours():
    points, queries = normal_points(6_000, 8), normal_points(300, 8, 1)
    index = build_index(points, K, cut(2_000), 0, 1)
    assert kinds(index) == [(HnswIndex, 2_000)] * 3
    distances, found = index.search(queries, K, 1)
    _, expected = ExactIndex(points).search(queries, K)
    hits = [len(set(ours) & set(true)) for ours, true in zip(found.tolist(), expected.tolist(), strict=True)]
    assert np.mean(hits) / K >= 0.98
    assert index.recall >= 0.99
    assert (np.diff(distances, axis=1) >= 0).all()
    np.testing.assert_array_equal(index.points_at(np.arange(6_000)), points)


def test_graphs_of_shards_are_searched_less_widely_than_one_for_the_same_recall():
    points, poor = normal_points(6_000, 24), {"M": 8, "ef_construction": 40}
    one, several = (build_index(points, K, cut(size, **poor), 0, 1) for size in (6_000, 1_000))
    assert min(one.recall, several.recall) >= 0.99
    assert several.ef < one.ef
    assert {shard.ef for shard in several.shards} == {several.ef}


def test_a_width_that_the_user_chose_stays_and_the_recall_of_all_shards_is_told():
    index = build_index(normal_points(4_000, 24), K, cut(1_000, M=5, ef_construction=20, ef=12), 0, 1)
    assert index.ef == 12
    assert 0.3 < index.recall < 0.95


def test_shards_that_are_built_side_by_side_are_those_that_are_built_one_after_the_other():
    points, queries = normal_points(4_500, 6), normal_points(200, 6, 1)
    alone, together = (build_index(points, K, cut(1_500), 7, threads) for threads in (1, 3))
    assert (alone.ef, alone.recall) == (together.ef, together.recall)
    for threads in (1, 2):
        for ours, theirs in zip(alone.search(queries, K, 1), together.search(queries, K, threads), strict=True):
            np.testing.assert_array_equal(ours, theirs)


# Rows that come and go

NO_ROWS = (normal_points(0, 3), np.zeros((0, 1)), None)
SEVERAL = {"n_neighbors": K, "seed": 0, "threads": 1}


def rows_of(memory: Memory, kept, new=NO_ROWS):
    contents = memory.contents
    assert contents is not None
    points = memory.index.points_at(contents.cells[kept])
    return np.concatenate([points, new[0]]), np.concatenate([contents.residuals[kept], new[1]])


@FEW
@given(data=st.data(), size=st.integers(2, 9))
def test_a_memory_in_exact_shards_is_after_every_change_that_of_the_rows_left(data, size):
    """Rows are few points again and again, so that cells lose their first row, and not their last."""
    seed = data.draw(st.integers(0, 1_000))
    rng = np.random.default_rng(seed)

    def some(n: int):
        return rng.integers(0, 4, (n, 3)).astype(np.float32), rng.normal(size=(n, 1)), None

    memory = Memory.build(*some(40), graph=cut(size), clip_neighbors=True, **SEVERAL)
    for _ in range(4):
        kept = rng.random(len(memory.contents.cells)) < data.draw(st.sampled_from([0.2, 0.9, 1.0]))
        kept[-1] = True
        new = some(data.draw(st.integers(0, 15)))
        points, residuals = rows_of(memory, kept, new)
        memory = memory.changed(kept, *new, **SEVERAL)
        made = Memory.build(points, residuals, None, graph=cut(1_000), clip_neighbors=True, **SEVERAL)
        np.testing.assert_array_equal(memory.contents.cells, made.contents.cells)
        assert all(shard.n_points <= size for shard in shards_of(memory.index))
        np.testing.assert_array_equal(memory.residuals, made.residuals)
        queries, k = normal_points(9, 3, seed), min(K, made.n_cells)
        np.testing.assert_array_equal(memory.neighbors(queries, k, 1)[0], made.neighbors(queries, k, 1)[0])


def test_new_rows_fill_the_last_shard_before_they_begin_another():
    points = normal_points(1_000, 3)
    memory = memory_of(points[:550], cut(200))
    assert kinds(memory.index) == [(ExactIndex, 183), (ExactIndex, 183), (ExactIndex, 184)]
    before = memory.index.shards
    grown = memory.changed(np.ones(550, bool), points[550:], np.zeros((450, 1)), None, **SEVERAL)
    assert [n for _, n in kinds(grown.index)] == [183, 183, 200, 144, 145, 145]
    assert grown.index.shards[:2] == before[:2]
    np.testing.assert_array_equal(grown.index.points_at(np.arange(1_000)), points)


def test_only_shards_that_lose_cells_are_built_anew():
    memory = memory_of(normal_points(6_000, 3), cut(2_000))
    graphs = [shard.graph for shard in memory.index.shards]
    kept = np.ones(6_000, bool)
    kept[[2_500, 3_999]] = False
    points, _ = rows_of(memory, kept)
    left = memory.changed(kept, *NO_ROWS, **SEVERAL)
    assert kinds(left.index) == [(HnswIndex, 2_000), (HnswIndex, 1_998), (HnswIndex, 2_000)]
    assert [left.index.shards[i].graph is graphs[i] for i in range(3)] == [True, False, True]
    np.testing.assert_array_equal(left.index.points_at(np.arange(5_998)), points)
    queries = normal_points(300, 3, 1)
    found, expected = left.neighbors(queries, K, 1), ExactIndex(points).search(queries, K)
    assert (found[0] <= expected[0][:, -1:] * (1 + 1e-5)).mean() >= 0.99


def test_new_rows_are_added_to_the_graph_of_the_last_shard_alone():
    points = normal_points(4_000, 3)
    memory = memory_of(points[:3_000], cut(2_000))
    assert kinds(memory.index) == [(HnswIndex, 1_500)] * 2
    graphs = [shard.graph for shard in memory.index.shards]
    grown = memory.changed(np.ones(3_000, bool), points[3_000:3_400], np.zeros((400, 1)), None, **SEVERAL)
    assert kinds(grown.index) == [(HnswIndex, 1_500), (HnswIndex, 1_900)]
    assert [shard.graph for shard in grown.index.shards] == graphs
    assert grown.recall >= 0.99
    np.testing.assert_array_equal(grown.neighbors(points[:3_400], 1, 1)[1][:, 0], np.arange(3_400))
    more = grown.changed(np.ones(3_400, bool), points[3_400:], np.zeros((600, 1)), None, **SEVERAL)
    assert kinds(more.index) == [(HnswIndex, 1_500), (HnswIndex, 2_000), (ExactIndex, 500)]
    np.testing.assert_array_equal(more.neighbors(points, 1, 1)[1][:, 0], np.arange(4_000))


def test_one_graph_that_becomes_too_large_is_the_first_of_several_shards():
    points = normal_points(2_600, 3)
    memory = memory_of(points[:1_400], cut(1_500))
    assert isinstance(memory.index, HnswIndex)
    graph = memory.index.graph
    grown = memory.changed(np.ones(1_400, bool), points[1_400:], np.zeros((1_200, 1)), None, **SEVERAL)
    assert kinds(grown.index) == [(HnswIndex, 1_500), (HnswIndex, 1_100)]
    assert grown.index.shards[0].graph is graph
    np.testing.assert_array_equal(grown.neighbors(points, 1, 1)[1][:, 0], np.arange(2_600))


@pytest.mark.parametrize("most_cells_of_shard", [6_000, 4_500], ids=["alone", "one of several"])
def test_a_graph_that_would_more_than_double_is_built_anew(most_cells_of_shard: int):
    """What few points need is too little for many, and the recall that was measured on them would be false."""
    points = normal_points(5_000, 8)
    memory = memory_of(points[:1_000], cut(most_cells_of_shard))
    grown = memory.changed(np.ones(1_000, bool), points[1_000:], np.zeros((4_000, 1)), None, **SEVERAL)
    queries = normal_points(200, 8, 1)
    found, expected = grown.neighbors(queries, K, 1), ExactIndex(points).search(queries, K)
    truth = (found[0] <= expected[0][:, -1:] * (1 + 1e-5)).mean()
    assert grown.recall >= 0.99
    assert truth >= grown.recall - 0.01
    graph = shards_of(memory.index)[0].graph
    assert all(shard.graph is not graph for shard in shards_of(grown.index) if isinstance(shard, HnswIndex))


def test_small_neighbours_become_one_shard_and_empty_ones_go():
    points = normal_points(400, 3)
    memory = memory_of(points, cut(100))
    assert [n for _, n in kinds(memory.index)] == [100] * 4
    kept = np.ones(400, bool)
    kept[20:100], kept[120:300] = False, False  # 20, 20, 0, 100
    left = memory.changed(kept, *NO_ROWS, **SEVERAL)
    assert [n for _, n in kinds(left.index)] == [40, 100]
    assert left.index.shards[1] is memory.index.shards[3]
    np.testing.assert_array_equal(left.index.points_at(np.arange(140)), points[kept])
    np.testing.assert_array_equal(left.neighbors(points, K, 1)[1], ExactIndex(points[kept]).search(points, K)[1])


def test_shards_of_which_one_is_left_are_a_memory_as_if_it_had_never_been_cut():
    points = normal_points(400, 3)
    memory = memory_of(points, cut(200))
    kept = np.arange(400) >= 350
    assert isinstance(memory.changed(kept, *NO_ROWS, **SEVERAL).index, ExactIndex)


def test_graphs_that_are_left_are_searched_more_widely_where_each_is_asked_for_more():
    points, k, options = normal_points(4_000, 24), 24, cut(1_000, M=8, ef_construction=40)
    index = build_index(points, k, options, 0, 1)
    four = index.ef
    kept = changed_index(index, [1_000, 0, 0, 0], points[:1_000], k=k, options=options, seed=0, threads=1)
    assert isinstance(kept, HnswIndex)
    assert kept.ef > four
    assert kept.recall >= 0.99
    _, found = kept.search(points[1_000:], k, 1)
    _, true = ExactIndex(points[:1_000]).search(points[1_000:], k)
    hits = [len(set(ours) & set(exact)) for ours, exact in zip(found.tolist(), true.tolist(), strict=True)]
    assert np.mean(hits) / k >= 0.98


def test_a_condensed_memory_is_cut_after_it_is_condensed():
    points = normal_points(600, 3)
    one, several = (memory_of(points, options, most_cells=200) for options in (GraphOptions(), cut(90)))
    assert [n for _, n in kinds(several.index)] == [66, 67, 67]
    assert_same(several, one, points)
    kept = np.arange(600) % 7 > 0
    assert_same(
        several.changed(kept, *NO_ROWS, **SEVERAL), one.changed(kept, *NO_ROWS, **SEVERAL), normal_points(50, 3, 1)
    )


def test_a_search_that_is_none_of_a_memory_is_no_search_to_change():
    with pytest.raises(TypeError, match="object is no search of a memory"):
        changed_index(object(), [0], normal_points(2, 2), k=1, options=GraphOptions(), seed=0, threads=1)
