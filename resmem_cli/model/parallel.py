"""Independent jobs side by side, one thread each."""

from __future__ import annotations

import contextvars
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from functools import partial
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
        with interrupts_held_back() if n_jobs > 1 else nullcontext():
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
    todo: queue.SimpleQueue[tuple[Future[Done], Item] | None] = queue.SimpleQueue()
    # Daemons, which a process that is told to end does not wait for: one may be in a library that never returns.
    workers = [threading.Thread(target=_work, args=(job, todo), daemon=True) for _ in range(threads)]
    running: deque[Future[Done]] = deque()
    # Limits hold for a thread of OpenMP's, and for the process in BLAS.
    with threadpoolctl.threadpool_limits(1):
        for worker in workers:
            worker.start()
        try:
            for item in _before_an_error(items, running):
                running.append(Future())
                todo.put((running[-1], item))
                if len(running) > threads:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        except Exception:
            _finish(workers, todo, running)
            raise
        except BaseException:  # a signal, or whoever takes the outcomes takes no more
            _cancel(workers, todo, running)
            raise
        _finish(workers, todo, running)


def heard(call: Callable[[], Done]) -> Done:
    """Return what a call into a library returns, made so that a signal meanwhile is heard and ends the wait for it.

    Python handles signals in its main thread, between two of its own steps: while a library computes there, none. So
    the call is made in another thread, which nobody waits for when the process ends; its limit of OpenMP's threads is
    that of the environment. In other threads than the main one the call is made at once.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    outcome: Future[Done] = Future()
    context = contextvars.copy_context()  # of NumPy's errors
    threading.Thread(target=lambda: context.run(_settle, outcome, call), daemon=True).start()
    return outcome.result()


def _work(job: Callable[[Item], Done], todo: queue.SimpleQueue[tuple[Future[Done], Item] | None]) -> None:
    threadpoolctl.threadpool_limits(1)
    while (each := todo.get()) is not None:
        outcome, item = each
        if outcome.set_running_or_notify_cancel():
            _settle(outcome, partial(job, item))
        del each, outcome, item  # which would be held until the next one comes


def _settle(outcome: Future[Done], call: Callable[[], Done]) -> None:
    try:
        outcome.set_result(call())
    except BaseException as error:  # noqa: BLE001 - it is raised where the outcome is wanted
        outcome.set_exception(error)


def _cancel(workers: Sequence[threading.Thread], todo: queue.SimpleQueue[Any], running: Iterable[Future[Any]]) -> None:
    for outcome in running:
        outcome.cancel()
    for _ in workers:
        todo.put(None)


def _finish(workers: Sequence[threading.Thread], todo: queue.SimpleQueue[Any], running: Iterable[Future[Any]]) -> None:
    _cancel(workers, todo, running)
    for worker in workers:
        worker.join()


def _before_an_error(items: Iterable[Item], running: Iterable[Future[Any]]) -> Iterator[Item]:
    """Yield the items; if one cannot be had, wait for what is running, whose errors come first."""
    try:
        yield from items
    except Exception:
        for future in running:
            future.result()
        raise


@contextmanager
def interrupts_held_back() -> Iterator[None]:
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
