"""predict for many files on a Dask cluster: the client, which says what is to be done next."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from resmem_cli.data import places
from resmem_cli.data.places import Place
from resmem_cli.errors import EngineError
from resmem_cli.store import reading
from resmem_cli.workflow.cluster import Workers, connected, refuse_pipes
from resmem_cli.workflow.file_jobs import Job
from resmem_cli.workflow.finished import Version
from resmem_cli.workflow.inputs import Input, Report, silent
from resmem_cli.workflow.predict import PredictOptions
from resmem_cli.workflow.predict_files import FilesOptions, Plan, Run
from resmem_cli.workflow.predict_tasks import Join, Outcome, Part, Task, Whole, Work, do, parts_of
from resmem_cli.workflow.predicted import Failure, Predicted, Tally, model_of

_RESUME = "what was finished stays: start it again, and run this again with --resume"
_SECONDS = 90  # in which files that other machines have written are to be seen here


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
    refuse_pipes(job.source for job in plan.jobs)
    identity = model_of(*reading.identity(model, base_only=options.score.base_only))
    report("starting the workers" if workers.scheduler is None else "reaching the scheduler")
    with connected(workers, after_loss=_RESUME) as cluster:
        if not cluster.is_local:
            plan, model = plan.absolute(), places.absolute(model)
        run = plan.begin(identity, report)
        work = Work.of(run, model, cluster.threads)
        queue = _Queue(run, workers.rows)
        for task, outcome in cluster.done(partial(do, work), queue.take):
            queue.take_back(task, outcome)
        if not cluster.is_local:
            queue.refuse_unseen()
    return run.predicted()


@dataclass
class _Cut:
    """A file that was cut, and what is still to be done of it."""

    parts: tuple[Part, ...]
    todo: set[Path]
    tally: Tally = field(default_factory=Tally)
    has_failed: bool = False


class _Queue:
    """What is to be done next, and what follows from what was done."""

    def __init__(self, run: Run, rows: int) -> None:
        """Take what is to be done, and into parts of how many rows files are cut."""
        self._run, self._rows = run, rows
        self._jobs, self._next = deque(run.todo), deque[Task]()
        self._cuts: dict[Place, _Cut] = {}
        self._written: dict[Place, Version] = {}

    def take(self) -> Task | None:
        """Return the next task; None if there is none now."""
        while self._next or self._jobs:
            if not self._next:
                self._next.extend(self._tasks(self._jobs.popleft()))
            task = self._next.popleft()
            if not (isinstance(task, Part) and self._cuts[task.job.output].has_failed):
                return task
        return None

    def take_back(self, task: Task, outcome: Outcome | EngineError) -> None:
        """Take what came of a task.

        Raises:
            DataError, UsageError, EngineError: it could not be done, and that is a reason to stop.
        """
        if isinstance(outcome, EngineError):
            outcome = Outcome(task.job.failed(outcome))
        self._run.plan.source.take_notes(outcome.notes)
        if isinstance(task, Part):
            self._take_part(task, outcome.done)
            return
        if outcome.version is not None:
            self._written[task.job.output] = outcome.version
        cut, done = self._cuts.get(task.job.output), outcome.done
        if cut is not None and isinstance(done, Tally):
            done.merge(cut.tally)
        self._run.take(task.job, done)

    def _tasks(self, job: Job) -> Iterator[Task]:
        """Yield the tasks of a file: itself, or the parts that are not finished."""
        is_resumed, finished = self._run.plan.files.resume, self._run.finished
        parts = parts_of(job, finished, self._rows)
        if not parts:
            yield Whole(job)
            return
        todo = [part for part in parts if not is_resumed or not part.is_finished(finished)]
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
        self._run.progress.add(part.job, outcome.n_rows)
        parts.tally.merge(outcome)
        parts.todo.remove(part.output)
        if not parts.todo and not parts.has_failed:
            self._next.appendleft(Join(parts.parts))

    def refuse_unseen(self) -> None:
        """Refuse outputs that are not seen here as the workers see them: then these write somewhere else.

        Raises:
            EngineError: one is not, and not after a while either: a network's file systems show others' files late.
        """
        end = time.monotonic() + _SECONDS
        for output, version in self._written.items():
            while not _is_seen(output, version):
                if time.monotonic() > end:
                    raise EngineError(
                        f"a worker has written '{output}', which this machine does not see",
                        "name a directory that all machines share",
                    )
                time.sleep(0.1)


def _is_seen(output: Place, version: Version) -> bool:
    try:
        return Version.of(output).looks_like(version)
    except OSError:
        return False
