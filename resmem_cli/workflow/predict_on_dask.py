"""predict for many files on a Dask cluster: the client, which says what is to be done next."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from resmem_cli.data import places
from resmem_cli.data.places import Place
from resmem_cli.errors import EngineError
from resmem_cli.store import reading
from resmem_cli.workflow.cluster import Workers, connected
from resmem_cli.workflow.file_jobs import Job
from resmem_cli.workflow.inputs import Input, Report, silent
from resmem_cli.workflow.predict import PredictOptions
from resmem_cli.workflow.predict_files import FilesOptions, Plan, Run
from resmem_cli.workflow.predict_tasks import Join, Part, Task, Whole, Work, do, parts_of
from resmem_cli.workflow.predicted import Failure, Predicted, Tally, model_of

_SECONDS = 10  # in which a file that another machine has written is to be seen here


def predict_files(
    source: Input,
    model: Place,
    options: PredictOptions,
    files: FilesOptions,
    workers: Workers,
    *,
    report: Report = silent,
) -> Predicted:
    """Predict as `predict_files.predict_files` does, by the workers of a cluster; the outputs are the same.

    Raises:
        DataError, UsageError, ModelError, OutputError: as there.
        EngineError: the workers cannot be reached, have another resmem, or do not see the same files.
    """
    plan = Plan.of(source, model, options, files)
    identity = model_of(*reading.identity(model, base_only=options.score.base_only))
    report("starting the workers" if workers.scheduler is None else "reaching the scheduler")
    with connected(workers) as cluster:
        if not cluster.is_local:
            plan, model = plan.absolute(), places.absolute(model)
        run = plan.begin(identity, report)
        work = Work.of(run, model, cluster.threads)
        queue = _Queue(run, workers.rows, is_seen=cluster.is_local)
        for task, outcome in cluster.done(partial(do, work), queue.take):
            queue.take_back(task, outcome)
    return run.predicted()


@dataclass
class _Cut:
    """A file that was cut, and what is still to be done of it."""

    parts: tuple[Part, ...]
    todo: set[Path]
    has_failed: bool = False


class _Queue:
    """What is to be done next, and what follows from what was done."""

    def __init__(self, run: Run, rows: int, *, is_seen: bool) -> None:
        """Take what is to be done, into parts of how many rows files are cut, and if outputs are known to be seen."""
        self._run, self._rows = run, rows
        self._jobs, self._next = deque(run.todo), deque[Task]()
        self._cuts: dict[Place, _Cut] = {}
        self._is_seen = is_seen

    def take(self) -> Task | None:
        """Return the next task; None if there is none now."""
        while self._next or self._jobs:
            if not self._next:
                self._next.extend(self._tasks(self._jobs.popleft()))
            task = self._next.popleft()
            if not (isinstance(task, Part) and self._cuts[task.job.output].has_failed):
                return task
        return None

    def take_back(self, task: Task, outcome: tuple[Tally | Failure, Iterable[str]] | EngineError) -> None:
        """Take what came of a task.

        Raises:
            DataError, UsageError, EngineError: it could not be done, and that is a reason to stop.
        """
        if isinstance(outcome, EngineError):
            outcome = task.job.failed(outcome), ()
        done, notes = outcome
        known = self._run.plan.source.notes
        known.extend(note for note in notes if note not in known)
        if isinstance(task, Part):
            self._take_part(task, done)
        else:
            self._see(task, done)
            self._run.take(task.job, done)

    def _tasks(self, job: Job) -> Iterator[Task]:
        """Yield the tasks of a file: itself, or the parts that are not finished."""
        parts = parts_of(job, self._run.plan.files.directory, self._rows)
        if not parts:
            yield Whole(job)
            return
        is_resumed, finished = self._run.plan.files.resume, self._run.finished
        todo = [
            part
            for part in parts
            if not is_resumed or part.finished(finished).why_again(job.path, part.output) is not None
        ]
        self._cuts[job.output] = _Cut(parts, {part.output for part in todo})
        if todo:
            yield from todo
        else:
            yield Join(parts)

    def _take_part(self, part: Part, outcome: Tally | Failure) -> None:
        parts = self._cuts[part.job.output]
        if isinstance(outcome, Failure):
            if not parts.has_failed:
                parts.has_failed = True
                self._run.take(part.job, outcome)
            return
        self._run.add(part.job, outcome)
        parts.todo.remove(part.output)
        if not parts.todo and not parts.has_failed:
            self._next.appendleft(Join(parts.parts))

    def _see(self, task: Task, outcome: Tally | Failure) -> None:
        """Refuse an output that is not seen here: then the workers write somewhere else."""
        if self._is_seen or isinstance(outcome, Failure):
            return
        end = time.monotonic() + _SECONDS
        while not places.exists(task.job.output):
            if time.monotonic() > end:
                raise EngineError(
                    f"a worker has written '{task.job.output}', which this machine does not see",
                    "name a directory that all machines share",
                )
            time.sleep(0.1)
        self._is_seen = True
