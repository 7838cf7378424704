"""A uniform sample in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from resmem_cli.data.sampling import FOR_BASE, FOR_MEMORY, Lots, draw
from resmem_cli.errors import UsageError


@dataclass(frozen=True)
class Numbers:
    """Rows that are numbers, and their groups."""

    rows: np.ndarray
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions):
        return Numbers(self.rows[positions], None if self.groups is None else self.groups[positions])


def batches(n: int, size: int, groups=None):
    rows = np.arange(n)
    for start in range(0, n, size):
        part = slice(start, start + size)
        yield Numbers(rows[part], None if groups is None else groups[part])


def drawn(n: int, size: int, *, batch: int = 7, seed: int = 0, groups=None, purpose: int = FOR_BASE) -> list[int]:
    sample = draw(batches(n, batch, groups), size, Lots(seed, purpose), lambda rows: rows.groups)
    assert sample.n_rows == n
    rows = [row for part in sample.parts for row in part.rows.tolist()]
    assert len(sample) == len(rows)
    return rows


def test_exactly_as_many_rows_are_drawn_as_are_wanted_and_they_stay_in_order():
    rows = drawn(1_000, 100)
    assert len(rows) == len(set(rows)) == 100
    assert rows == sorted(rows)


def test_the_sample_depends_on_the_seed_and_not_on_the_batches():
    assert drawn(1_000, 100) == drawn(1_000, 100, batch=1_000) == drawn(1_000, 100, batch=1)
    assert drawn(1_000, 100) != drawn(1_000, 100, seed=1)


def test_samples_for_other_purposes_are_independent():
    one, other = drawn(10_000, 1_000), drawn(10_000, 1_000, purpose=FOR_MEMORY)
    assert 60 < len(set(one) & set(other)) < 140


def test_all_rows_are_drawn_if_there_are_no_more_than_are_wanted():
    assert drawn(50, 50) == drawn(50, 60) == list(range(50))


def test_every_row_is_drawn_as_often_as_any_other():
    counts = np.zeros(20)
    for seed in range(2_000):
        counts[drawn(20, 5, seed=seed)] += 1
    assert np.abs(counts / 2_000 - 0.25).max() < 0.04


def test_the_rows_that_are_not_drawn_are_those_of_numbers_from_the_limit_on():
    sample = draw(batches(1_000, 7), 100, Lots(3, FOR_MEMORY))
    chosen = {row for part in sample.parts for row in part.rows.tolist()}
    lots, others = Lots(3, FOR_MEMORY), []
    for batch in batches(1_000, 13):
        others += batch.rows[lots.of(len(batch), None) >= sample.limit].tolist()
    assert sorted([*chosen, *others]) == list(range(1_000))


def test_groups_are_drawn_whole_and_rows_without_one_alone():
    groups = np.random.default_rng(0).integers(0, 100, 2_000).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    rows = drawn(2_000, 400, groups=groups)
    inside = np.zeros(2_000, bool)
    inside[rows] = True
    assert 340 < len(rows) <= 400
    for group in set(groups.tolist()) - {0}:
        assert len(set(inside[groups == group].tolist())) == 1
    assert len(set(inside[groups == 0].tolist())) == 2


def test_every_group_is_drawn_as_often_as_any_other():
    groups = (np.arange(40) // 2 + 1).astype(np.uint64)
    counts = np.zeros(20)
    for seed in range(2_000):
        counts[np.unique(np.array(drawn(40, 10, seed=seed, groups=groups)) // 2)] += 1
    assert np.abs(counts / 2_000 - 0.25).max() < 0.04


def test_a_group_that_does_not_fit_is_a_wrong_use():
    with pytest.raises(UsageError) as refused:
        drawn(100, 50, groups=np.ones(100, np.uint64))
    assert str(refused.value) == ("a group of more than 50 rows was drawn first; raise --sample, or leave --group out")


def test_no_more_than_twice_the_sample_and_a_batch_are_held():
    held = []

    class Counted(Numbers):
        def take(self, positions):
            held.append(len(positions))
            return super().take(positions)

    draw((Counted(batch.rows) for batch in batches(100_000, 100)), 500, Lots(0, FOR_BASE))
    assert sum(held) < 20_000


def test_the_largest_group_is_counted_in_batches_of_any_size():
    groups = np.random.default_rng(1).integers(0, 30, 2_000).astype(np.uint64)  # of which 0 is none
    largest = int(np.bincount(groups.astype(np.int64))[1:].max())
    for size in (1, 7, 2_000):
        sample = draw(batches(2_000, size, groups), 1_000, Lots(0, FOR_BASE), lambda rows: rows.groups)
        assert sample.largest_group == largest
    assert draw(batches(9, 4), 5, Lots(0, FOR_BASE)).largest_group == 0
