"""One number of threads for everything that computes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import threadpoolctl

from resmem_cli.data import tables

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def cores() -> int:
    """Return how many cores this process may use; joblib also knows a container's limit on their time."""
    import joblib

    return int(joblib.cpu_count())


@contextmanager
def limited(threads: int) -> Iterator[int]:
    """Hold BLAS, OpenMP and Arrow to `threads` (0: every core), and give the number for the rest."""
    count = threads or cores()
    tables.use_threads(count)
    # What is loaded is limited directly; what is still to be loaded reads the environment then.
    os.environ.update(dict.fromkeys(_VARIABLES, str(count)))
    # A thread of OpenMP's that waits shall sleep and not spin: where another program wants the cores too, spinning made
    # boosting a hundred times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with threadpoolctl.threadpool_limits(count):
        yield count
