"""Independent jobs side by side, one thread each."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from multiprocessing import resource_tracker
from typing import Any, TypeVar

import threadpoolctl

Done = TypeVar("Done")
Item = TypeVar("Item")

_PARALLEL_FROM_ROWS = 4_000  # below, starting worker processes costs more than it saves


def side_by_side(
    job: Callable[..., Done], arguments: Sequence[tuple[Any, ...]], *, n_rows: int, threads: int, is_long: bool = False
) -> Iterator[Done]:
    """Yield the outcome of each job, in order.

    Side by side is faster than one after the other with all threads, and the outcome does not depend on how many
    there are, because each has one. Of few rows a job is too short for that, unless it is long nevertheless.
    """
    n_jobs = min(threads, len(arguments)) if is_long or n_rows >= _PARALLEL_FROM_ROWS else 1
    import joblib

    backend = {"backend": "loky", "inner_max_num_threads": 1} if n_jobs > 1 else {"backend": "sequential"}
    with joblib.parallel_config(**backend, n_jobs=n_jobs):
        with _interrupts_held_back() if n_jobs > 1 else nullcontext():
            running = joblib.Parallel(return_as="generator")(joblib.delayed(_alone)(job, *each) for each in arguments)
        yield from running


def in_order(job: Callable[[Item], Done], items: Iterable[Item], threads: int) -> Iterator[Done]:
    """Yield the outcome of each item, in order, with up to `threads` jobs at a time in threads of this process.

    For jobs that spend their time in libraries that let other threads run meanwhile: the parts of them that do not are
    then done beside those that do. As many items as threads are held, and one more. An error of an earlier item is
    raised before one of a later item, or of `items` themselves.
    """
    if threads == 1:
        yield from map(job, items)
        return
    # Limits hold for a thread of OpenMP's, and for the process in BLAS.
    with threadpoolctl.threadpool_limits(1), ThreadPoolExecutor(threads, initializer=_one_thread) as pool:
        running: deque[Future[Done]] = deque()
        try:
            for item in _before_an_error(items, running):
                running.append(pool.submit(job, item))
                if len(running) > threads:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _before_an_error(items: Iterable[Item], running: Iterable[Future[Any]]) -> Iterator[Item]:
    """Yield the items; if one cannot be had, wait for what is running, whose errors come first."""
    try:
        yield from items
    except Exception:
        for future in running:
            future.result()
        raise


def _one_thread() -> None:
    threadpoolctl.threadpool_limits(1)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Start worker processes that never hear of Ctrl-C: it is this process that ends them then, without tracebacks."""
    resource_tracker.ensure_running()  # which would let the signal through when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _alone(job: Callable[..., Done], *arguments: Any) -> Done:
    import sklearn.ensemble  # noqa: F401 - before the limit, which holds for what is loaded

    with threadpoolctl.threadpool_limits(1):
        return job(*arguments)
