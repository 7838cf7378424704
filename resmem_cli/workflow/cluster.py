"""A Dask cluster: worker processes of this machine, or a scheduler's wherever they are, and calls made on them."""

from __future__ import annotations

import logging
import math
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Any, TypeVar

from resmem_cli.data.sources import Source
from resmem_cli.errors import EngineError, UsageError
from resmem_cli.model.parallel import interrupts_held_back
from resmem_cli.version import __version__
from resmem_cli.workflow import thread_limit

Item = TypeVar("Item")
Done = TypeVar("Done")

_SECONDS = 20  # to reach a scheduler and one of its workers
_SECONDS_BETWEEN_COUNTS = 5
_PYTHON = "Python"
_SAME = ("resmem-cli", "distributed", "numpy", "pyarrow", "scikit-learn")


@dataclass(frozen=True)
class Workers:
    """Which processes are to work.

    Attributes:
        scheduler: the address of a scheduler, such as "tcp://10.0.0.1:8786"; None for processes of this machine.
        number: of these processes; 0 for one per core.
        threads: that each call may use; 0 for one, and on this machine for those that the processes leave idle.
        rows: from twice as many on, a Parquet file is cut into parts of about so many rows.
    """

    scheduler: str | None = None
    number: int = 0
    threads: int = 0
    rows: int = 500_000


class Cluster:
    """Worker processes that can be reached.

    Attributes:
        threads: how many a call may use.
        is_local: whether the processes are this machine's, and find relative paths as this process does.
    """

    def __init__(self, client: Any, threads: int, after_loss: str, *, is_local: bool) -> None:
        self._client, self._after_loss, self.threads, self.is_local = client, after_loss, threads, is_local
        self._most_running, self._counted = 0, -math.inf

    def done(
        self, call: Callable[[Item], Done], take: Callable[[], Item | None]
    ) -> Iterator[tuple[Item, Done | EngineError]]:
        """Make a call for each item, and yield the item with what it returned, as they come.

        A call may use the `threads` of the cluster. Only some items are on their way at once. What a worker that dies
        has had in hand, another one gets; of an item that has cost several workers their life there is an error in the
        place of what is returned.

        Args:
            call: is made on a worker: a function that it can import.
            take: returns the next item, and None if there is none now: what was yielded may bring others.

        Raises:
            EngineError: the scheduler has gone, or a worker that came later has another resmem.
            ResmemError: a call does.
        """
        running: dict[Any, Item] = {}
        finished = _library().as_completed()
        try:
            while True:
                while len(running) < self._at_once() and (item := take()) is not None:
                    with self._saying_that_it_has_gone(OSError, RuntimeError):
                        future = self._client.submit(_made, call, item, __version__, self.threads, pure=False)
                    running[future] = item
                    finished.add(future)
                if not running:
                    return
                with self._saying_that_it_has_gone():
                    future = next(finished)
                    outcome = _result(future, running[future])
                yield running.pop(future), outcome
        finally:
            for future in running:
                future.cancel()

    def _at_once(self) -> int:
        """Return how many calls may be on their way: workers may come and go, so they are counted now and then."""
        if time.monotonic() > self._counted + _SECONDS_BETWEEN_COUNTS:
            with self._saying_that_it_has_gone(OSError, AttributeError):  # a closed client lacks what it would ask with
                n_threads = sum(map(int, self._client.nthreads().values()))
            self._most_running, self._counted = max(1, n_threads), time.monotonic()
        return self._most_running

    @contextmanager
    def _saying_that_it_has_gone(self, *errors: type[Exception]) -> Iterator[None]:
        """Turn Dask's errors about a scheduler that is not there, and other `errors`, into a sentence.

        Raises:
            EngineError: the scheduler has gone.
        """
        from concurrent.futures import CancelledError

        from distributed.comm.core import CommClosedError

        gone: tuple[type[Exception], ...] = (CancelledError, CommClosedError, *errors)
        try:
            yield
        except gone as error:
            raise EngineError("the Dask scheduler has gone", self._after_loss) from error


@contextmanager
def connected(workers: Workers, *, after_loss: str = "start it again, and run this again") -> Iterator[Cluster]:
    """Reach the workers, which know this resmem; processes that are started for that end with the block.

    `after_loss` says what to do if the scheduler goes meanwhile.

    Raises:
        EngineError: Dask is not installed, there is no such scheduler, it has no workers, or they have another resmem.
    """
    distributed = _library()
    for name in [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters of it is raised
    if workers.scheduler is not None:
        with _client_of(distributed, workers.scheduler) as client:
            _refuse_other_versions(client, workers.scheduler)
            yield Cluster(client, workers.threads or 1, after_loss, is_local=False)
        return
    cores = thread_limit.cores()
    number = workers.number or cores
    with interrupts_held_back(), _saying_that_they_start_not(), _large_pages():
        started = distributed.LocalCluster(
            n_workers=number,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",  # any port: the usual one may be taken
            silence_logs=logging.CRITICAL,
            memory_limit=0,  # a worker that waits for memory to become free would wait for ever: its model stays
        )
    with started, distributed.Client(started) as client:
        yield Cluster(client, workers.threads or max(1, cores // number), after_loss, is_local=True)


@contextmanager
def _large_pages() -> Iterator[None]:
    """Let processes that Dask starts ask for memory in large pages, where the system's library of C knows that.

    Dask tells their allocator to give back what is not used at once, so that every batch gets other pages: of two
    workers the processor took 1.33 times as long. glibc, of version 2.35 or later, reads this when a process starts;
    what the user has set in its place, in the environment or in Dask's configuration, stays.
    """
    import dask

    of_processes, name = "distributed.nanny.pre-spawn-environ", "GLIBC_TUNABLES"
    is_said = name in (dask.config.get(of_processes, None) or {})
    with dask.config.set({} if is_said else {f"{of_processes}.{name}": "glibc.malloc.hugetlb=1"}):
        yield


@contextmanager
def _saying_that_they_start_not() -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise EngineError(
            f"the worker processes cannot be started ({error})", "run it again, with fewer --workers if RAM is short"
        ) from error


def _library() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise EngineError(
            "Dask is not installed, which --engine dask needs", "install it: pip install 'resmem-cli[dask]'"
        ) from error
    return distributed


@contextmanager
def _client_of(distributed: Any, address: str) -> Iterator[Any]:
    try:
        client = distributed.Client(address, timeout=_SECONDS)
    except (OSError, ValueError) as error:  # time-outs are errors of the system
        raise EngineError(
            f"no Dask scheduler answers at '{address}'", "check that it runs: dask scheduler; and name its address"
        ) from error
    except TypeError as error:  # tls:// without certificates
        raise EngineError(
            f"the scheduler at '{address}' cannot be reached ({error})", "name the certificates in Dask's configuration"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_SECONDS)
        except TimeoutError as error:
            raise EngineError(
                f"the Dask scheduler at '{address}' has no workers", f"start some: dask worker {address}"
            ) from error
        yield client


def _refuse_other_versions(client: Any, address: str) -> None:
    """Refuse workers whose libraries differ from ours: they could not load what we send, or would predict otherwise.

    Raises:
        EngineError: some do.
    """
    for name, version in _own_versions().items():
        ask = (platform.python_version,) if name == _PYTHON else (metadata.version, name)
        for worker, theirs in client.run(*ask, on_error="return").items():
            there = "none" if isinstance(theirs, Exception) else str(theirs)
            if (_minor(there) if name == _PYTHON else there) != version:
                raise EngineError(
                    f"the worker {worker} of '{address}' has {name} {there}, and this is {name} {version}",
                    "give the workers the environment of this machine",
                )


def _own_versions() -> dict[str, str]:
    return {_PYTHON: _minor(platform.python_version())} | {name: metadata.version(name) for name in _SAME}


def _minor(version: str) -> str:
    return version.rpartition(".")[0]


def refuse_pipes(found: Iterable[Source]) -> None:
    """Refuse standard input and pipes, which are this process's alone.

    Raises:
        UsageError: one of the sources is one.
    """
    pipe = next((each.name for each in found if each.is_stream), None)
    if pipe is not None:
        raise UsageError(f"the workers of --engine dask cannot read {pipe}: it can be read only here", "name files")


def _made(call: Callable[[Item], Done], item: Item, version: str, threads: int) -> Done:
    """Make a call, on a worker.

    Raises:
        EngineError: it has another resmem: it may have come after the others were asked.
    """
    if version != __version__:
        raise EngineError(
            f"a worker has resmem {__version__}, and is to work for resmem {version}",
            "give the workers the environment of the machine that runs the command",
        )
    with thread_limit.limited(threads):
        return call(item)


def _result(future: Any, item: object) -> Any:
    """Return what a call returned, or the error that it cost several workers their life.

    Raises:
        ResmemError: the call does.
    """
    from distributed.scheduler import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        return EngineError(
            f"{item} cost {error.allowed_failures + 1} workers their life, at last {error.last_worker.address}",
            "give each worker more memory: start fewer of them, or with a larger limit",
        )
