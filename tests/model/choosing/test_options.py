"""How long, and how densely, encoders are trained."""

from __future__ import annotations

import pytest

from resmem_cli.model.choosing.options import MemoryOptions, schedule
from resmem_cli.model.spaces.learning import Schedule


@pytest.mark.parametrize(
    ("n_rows", "n_outputs", "expected"),
    [
        *((20_000, 1, 500), (30_000, 1, 612), (1_000_000, 10, 750), (20_000, 11, 1_000)),
        *((5_000, 1, 250), (5_000, 18, 500), (100, 1, 125)),
    ],
)
def test_steps_grow_as_the_root_of_the_rows_within_bounds_and_many_classes_need_twice_as_many(
    n_rows, n_outputs, expected
):
    assert schedule(MemoryOptions(), n_rows, n_outputs) == Schedule(expected)
    assert schedule(MemoryOptions(n_steps=7), n_rows, n_outputs) == Schedule(7)


def test_more_effort_trains_twice_as_long_with_twice_as_many_memories_in_a_step():
    assert schedule(MemoryOptions(effort="high"), 20_000, 1) == Schedule(1_000, density=2)
    assert schedule(MemoryOptions(effort="high", n_steps=7), 20_000, 1) == Schedule(7, density=2)
