"""One number of threads for everything that computes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import threadpoolctl

from resmem_cli.data import tables

# How long a thread of GNU OpenMP's spins before it sleeps. Without a limit boosting takes a hundred times as long where
# another program wants the cores; with none it takes seven times as long where none does (tests/bench/busy_machine.py).
_SPIN_COUNT, _SPINS = "GOMP_SPINCOUNT", "1000"
_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def cores() -> int:
    """Return how many cores this process may use; joblib also knows a container's limit on their time."""
    import joblib

    return int(joblib.cpu_count())


@contextmanager
def limited(threads: int) -> Iterator[int]:
    """Hold BLAS, OpenMP and Arrow to `threads` (0: every core), and give the number for the rest.

    Afterwards everything is as before. Where such blocks overlap, in several threads of a process, the last one that
    ends puts back what the first one found.
    """
    count = threads or cores()
    _process.enter(count)
    try:
        yield count
    finally:
        _process.leave()


class _Process:
    """The limits of this process, as the first block that is running found them."""

    def __init__(self) -> None:
        self._lock, self._n_blocks = threading.Lock(), 0
        self._variables: dict[str, str | None] = {}
        self._arrow = 0
        self._libraries: Any = None

    def enter(self, count: int) -> None:
        with self._lock:
            if self._n_blocks == 0:
                self._variables = {name: os.environ.get(name) for name in (*_VARIABLES, _SPIN_COUNT)}
                self._arrow = tables.n_threads()
            self._n_blocks += 1
            tables.use_threads(count)
            # What is loaded is limited directly; what is still to be loaded reads the environment then.
            os.environ.update(dict.fromkeys(_VARIABLES, str(count)))
            os.environ.setdefault(_SPIN_COUNT, _SPINS)
            limits = threadpoolctl.threadpool_limits(count)
            if self._n_blocks == 1:
                self._libraries = limits

    def leave(self) -> None:
        with self._lock:
            self._n_blocks -= 1
            if self._n_blocks:
                return
            self._libraries.restore_original_limits()
            tables.use_threads(self._arrow)
            for name, value in self._variables.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


_process = _Process()
