"""One number of threads for everything that computes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import threadpoolctl


@contextmanager
def limited(threads: int) -> Iterator[int]:
    """Hold BLAS, OpenMP and Arrow to `threads` (0: every core), and give the number for the rest."""
    count = threads or len(os.sched_getaffinity(0))
    pa.set_cpu_count(count)
    with threadpoolctl.threadpool_limits(count):
        yield count
