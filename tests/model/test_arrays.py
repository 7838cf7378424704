"""What the method asks of arrays."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from resmem_cli.model.arrays import is_in_sorted
from tests.model.examples import FEW

HASHES = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 5), max_size=20)


@FEW
@given(values=HASHES, others=HASHES)
def test_what_is_among_ascending_values_is_found_and_nothing_else(values: list[int], others: list[int]) -> None:
    ordered = np.sort(np.array(others, np.uint64))
    found = is_in_sorted(np.array(values, np.uint64), ordered)
    assert found.tolist() == [value in others for value in values]
