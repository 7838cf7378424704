"""How far a job over many files has come."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from resmem_cli.data import places
from resmem_cli.workflow.file_jobs import Job
from resmem_cli.workflow.inputs import Report


class Progress:
    """How far many files have come, told by those who write them, from any thread.

    Attributes:
        n_done: how many files are finished.
    """

    def __init__(self, jobs: Sequence[Job], report: Report) -> None:
        self._report = report
        self._sizes = {job.output: places.size(job.path) for job in jobs}
        self._n_all, self._all_bytes = len(jobs), max(1, sum(self._sizes.values()))
        self._lock = threading.Lock()
        self._started = time.perf_counter()
        self._n_bytes = self._n_rows = self._n_failed = self.n_done = 0
        report(f"predicting {self._n_all:,} files")

    def add(self, job: Job, n_rows: int) -> None:
        """Note rows of a file that are written."""
        with self._lock:
            self._n_rows += n_rows
            self._tell(job)

    def finish(self, job: Job) -> None:
        with self._lock:
            self.n_done += 1
            self._n_bytes += self._sizes[job.output]
            self._tell(job)

    def fail(self, job: Job) -> None:
        with self._lock:
            self._n_failed += 1
            self._n_bytes += self._sizes[job.output]
            self._tell(job)

    def standing(self) -> str:
        """Return a sentence on what is done, for whoever has to stop here."""
        with self._lock:
            return (
                f"{self.n_done:,} of {self._n_all:,} files are done, and stay: --resume does the others, "
                "--keep-going leaves out those that cannot be predicted"
            )

    def _tell(self, job: Job) -> None:
        rate = self._n_rows / max(time.perf_counter() - self._started, 1e-9)
        failed = f", {self._n_failed:,} failed" if self._n_failed else ""
        self._report(
            f"{self.n_done:,} of {self._n_all:,} files{failed}, {self._n_rows:,} rows ({rate:,.0f} rows/s), "
            f"last '{job.path}'",
            self._n_bytes / self._all_bytes,
        )
