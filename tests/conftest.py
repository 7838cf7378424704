"""What holds for the whole suite: one thread per process, since the suite itself runs in one process per core."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# Before anything loads OpenMP or BLAS, which read it once. pytest-xdist's workers and every command that a test starts
# inherit it: two programs with a thread per core slow each other down by far more than half.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# Without a deadline: an example that took long on a busy machine is no failure.
settings.register_profile("here", deadline=None)
settings.load_profile("here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long; the rest stays in its order."""
    items.sort(key=lambda item: item.get_closest_marker("first") is None)
