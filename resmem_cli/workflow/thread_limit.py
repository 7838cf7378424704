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
_SPINS = "1000"
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
    with _lock:
        _entered.append(_Before())
        tables.use_threads(count)
        # What is loaded is limited directly; what is still to be loaded reads the environment then.
        os.environ.update(dict.fromkeys(_VARIABLES, str(count)))
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
        limits = threadpoolctl.threadpool_limits(count)
    try:
        yield count
    finally:
        with _lock:
            _left.append(limits)
            if len(_left) == len(_entered):
                for each in reversed(_left):
                    each.restore_original_limits()
                _entered[0].put_back()
                _entered.clear()
                _left.clear()


class _Before:
    """What is changed for a whole process."""

    def __init__(self) -> None:
        self._variables = {name: os.environ.get(name) for name in (*_VARIABLES, "GOMP_SPINCOUNT")}
        self._arrow = tables.n_threads()

    def put_back(self) -> None:
        for name, value in self._variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        tables.use_threads(self._arrow)


_lock = threading.Lock()
_entered: list[_Before] = []
_left: list[Any] = []
