"""How many hashes differ: exactly if they are few, nearly if they are many, in parts that merge."""

from __future__ import annotations

import numpy as np
import pytest

from resmem_cli.model.distinct import Distinct


def hashes(n, start=0):
    return np.arange(start, start + n, dtype=np.uint64)


@pytest.mark.parametrize("n", [0, 1, 29, 30, 4_095])
def test_few_are_counted_exactly_however_often_they_come(n):
    found = Distinct.of(np.repeat(hashes(n), 3))
    assert (found.count, found.is_exact) == (n, True)


@pytest.mark.parametrize("n", [4_096, 10_000, 300_000])
def test_of_many_the_number_is_estimated_from_a_few_thousand(n):
    found = Distinct.of(hashes(n))
    assert found.count == pytest.approx(n, rel=4 * 0.016)
    assert not found.is_exact
    assert len(found.smallest) == 4_096


def test_parts_that_share_hashes_merge_to_the_whole_in_any_order():
    parts = [Distinct.of(hashes(4_000, start)) for start in (0, 2_000, 9_000)]
    whole = Distinct.of(np.concatenate([hashes(6_000), hashes(4_000, 9_000)]))
    for first, second, third in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        found = parts[first].merged(parts[second].merged(parts[third]))
        np.testing.assert_array_equal(found.smallest, whole.smallest)
    nothing = Distinct.of(hashes(0))
    assert nothing.merged(parts[0]).count == parts[0].merged(nothing).count == 4_000
