"""A memory: the cells of rows, what is remembered there, and how they change with rows."""

from __future__ import annotations

import numpy as np

from resmem_cli.model.memory.index import ExactIndex
from resmem_cli.model.memory.memory import Memory
from tests.model.memory.points import normal_points


def test_a_memory_of_fewer_cells_than_neighbours_gives_all_it_has():
    few = normal_points(3, 2)
    held = Memory(np.zeros((3, 1)), np.ones(3), ExactIndex(few))
    distances, cells = held.neighbors(few, 5, 1)
    assert distances.shape == (3, 3)
    assert [sorted(row) for row in cells.tolist()] == [[0, 1, 2]] * 3
