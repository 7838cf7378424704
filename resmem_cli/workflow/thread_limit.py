"""One number of threads for everything that computes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import threadpoolctl

from resmem_cli.data import tables

# How long a thread of GNU OpenMP's spins before it sleeps. Without a limit boosting takes a hundred times as long where
# another program wants the cores; with none it takes seven times as long where none does (tests/bench/busy_machine.py).
_SPINS = "1000"
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
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
    with threadpoolctl.threadpool_limits(count):
        yield count
