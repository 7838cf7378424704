"""Jobs side by side: the same outcomes in the same order, one thread each, and deaf to Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest
import threadpoolctl
from joblib.externals.loky import get_reusable_executor

from resmem_cli.model.parallel import _PARALLEL_FROM_ROWS, heard, in_order, side_by_side

MANY, FEW = _PARALLEL_FROM_ROWS, _PARALLEL_FROM_ROWS - 1


def added(a: int, b: int) -> tuple[int, int]:
    return os.getpid(), a + b


def described(_: int) -> tuple[set[int], bool]:
    """How many threads the libraries of this process may use, and whether Ctrl-C is held back from it."""
    threads = {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
    return threads, signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def failing(i: int) -> int:
    if i == 1:
        raise LookupError("job 1")
    return i


@pytest.fixture
def new_workers() -> None:
    """End the worker processes that an earlier test may have started in its own way: joblib would use them again."""
    get_reusable_executor().shutdown(wait=True)


@pytest.mark.parametrize("n_rows", [FEW, MANY], ids=["few_rows", "many_rows"])
@pytest.mark.parametrize("threads", [1, 2])
def test_outcomes_come_in_order_and_are_the_same_however_many_threads_there_are(n_rows, threads):
    done = list(side_by_side(added, [(i, 100) for i in range(7)], n_rows=n_rows, threads=threads))
    assert [outcome for _, outcome in done] == [100 + i for i in range(7)]
    is_here = {process == os.getpid() for process, _ in done}
    assert is_here == {not (n_rows == MANY and threads == 2)}


def test_a_single_job_needs_no_other_process():
    assert list(side_by_side(added, [(1, 2)], n_rows=MANY, threads=2)) == [(os.getpid(), 3)]


def test_no_jobs_have_no_outcomes():
    assert list(side_by_side(added, [], n_rows=FEW, threads=2)) == []


@pytest.mark.parametrize("threads", [1, 2])
def test_every_job_has_one_thread(threads, monkeypatch, new_workers):
    """Where there were two; the suite itself has one (tests/conftest.py)."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "2")  # for processes that start
    with threadpoolctl.threadpool_limits(2):
        before = {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
        assert before == {2}
        for found, _ in side_by_side(described, [(0,), (1,)], n_rows=MANY, threads=threads):
            assert found == {1}
        assert {pool["num_threads"] for pool in threadpoolctl.threadpool_info()} == before


def test_ctrl_c_reaches_this_process_and_not_its_workers(new_workers):
    assert [is_held for _, is_held in side_by_side(described, [(0,), (1,)], n_rows=MANY, threads=2)] == [True, True]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize("threads", [1, 2])
def test_a_jobs_error_is_raised_here(threads):
    with pytest.raises(LookupError, match="job 1"):
        list(side_by_side(failing, [(0,), (1,), (2,)], n_rows=MANY, threads=threads))


@pytest.mark.parametrize("threads", [1, 3])
def test_in_threads_the_outcomes_come_in_order_and_no_more_items_are_taken_than_are_worked_on(threads):
    taken = []

    def items():
        for i in range(20):
            taken.append(i)
            yield i

    for n_done, outcome in enumerate(in_order(lambda i: (time.sleep(0.002 * (i % 3)), i)[1], items(), threads)):
        assert outcome == n_done
        assert len(taken) <= n_done + 1 + threads


@pytest.mark.parametrize("threads", [1, 2])
def test_of_several_errors_the_first_in_order_is_raised(threads):
    def items():
        yield from range(3)
        raise OSError("of the items")

    def job(i):
        time.sleep(0.01)
        if i == 2:
            raise ValueError("of the job")
        return i

    found = []
    with pytest.raises(ValueError, match="of the job"):
        found.extend(in_order(job, items(), threads))
    assert found == ([0, 1] if threads == 1 else [0])
    with pytest.raises(OSError, match="of the items"):
        list(in_order(lambda i: i, items(), threads))


def test_who_stops_asking_leaves_nothing_running():
    done = []
    outcomes = in_order(done.append, iter(range(1_000)), 2)
    next(outcomes)
    outcomes.close()
    n_done = len(done)
    time.sleep(0.02)
    assert len(done) == n_done < 10


def test_in_threads_every_library_has_one_thread():
    def limits(_):
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]

    with threadpoolctl.threadpool_limits(2):
        assert {n for each in in_order(limits, range(6), 2) for n in each} == {1}
        assert set(limits(0)) == {2}


class _Signal(BaseException):
    """What a signal is made into."""


@pytest.fixture
def alarm():
    """Send this process a signal in a tenth of a second, which raises in its main thread."""

    def ring(*_):
        raise _Signal

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_call_is_heard_through_and_gives_or_raises_what_it_does():
    assert heard(lambda: (threading.current_thread() is threading.main_thread(), 7)) == (False, 7)
    with pytest.raises(LookupError, match="job 1"):
        heard(lambda: failing(1))


def test_in_another_thread_a_call_is_made_at_once():
    found = []
    thread = threading.Thread(target=lambda: found.append(heard(threading.current_thread) is thread))
    thread.start()
    thread.join()
    assert found == [True]


def test_what_numpy_is_told_of_errors_holds_within_a_call():
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        heard(lambda: np.float64(1e308) * 10)


def test_a_signal_ends_the_wait_for_a_call(alarm):
    """The call itself, deep in a library, is not ended: its thread is a daemon."""
    goes_on = threading.Event()
    started = time.monotonic()
    with pytest.raises(_Signal):
        heard(goes_on.wait)
    assert time.monotonic() - started < 5
    goes_on.set()


@pytest.mark.parametrize("threads", [2, 3])
def test_a_signal_ends_the_wait_for_jobs_in_threads(alarm, threads):
    goes_on = threading.Event()
    started = time.monotonic()
    with pytest.raises(_Signal):
        list(in_order(lambda _: goes_on.wait(20), range(9), threads))
    assert time.monotonic() - started < 5
    goes_on.set()
