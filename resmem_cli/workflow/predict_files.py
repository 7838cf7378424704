"""predict for many files: each into a file of its own, and what is finished need not be made again."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from resmem_cli.data import places
from resmem_cli.data.places import Place
from resmem_cli.errors import UsageError
from resmem_cli.model.parallel import in_order
from resmem_cli.workflow import job_files, thread_limit
from resmem_cli.workflow.file_jobs import OF_ONE_FILE, FileWriter, Job, jobs_of, sources_of
from resmem_cli.workflow.finished import NEW, Finished
from resmem_cli.workflow.inputs import Input, Report, silent
from resmem_cli.workflow.job_progress import Progress
from resmem_cli.workflow.predict import PredictOptions, Writer
from resmem_cli.workflow.predicted import Failure, Predicted, Tally


@dataclass(frozen=True)
class FilesOptions:
    """Where many files are predicted to, and which of them.

    Attributes:
        directory: of the outputs.
        resume: whether outputs that were made of the same input, model and options stay as they are.
        keep_going: whether a file that cannot be predicted is left out, and the others are done.
    """

    directory: Place
    resume: bool = False
    keep_going: bool = False


def predict_files(
    source: Input, model: Place, options: PredictOptions, files: FilesOptions, report: Report = silent
) -> Predicted:
    """Predict every file of the input into a file of the same name in a directory; each appears whole or not at all.

    Below what all inputs have in common, their folders are kept.

    Raises:
        DataError, UsageError: as `predict`, of a file if it is not to `keep_going`; files that were finished stay.
        ModelError, OutputError: as `predict`.
    """
    plan = Plan.of(source, model, options, files)
    with thread_limit.limited(options.threads) as threads:
        writer = Writer.load(model, options, report)
        run = plan.begin(writer.model, report)
        # Many files are done side by side, each by one thread; of few, each has all threads.
        are_beside = len(run.todo) >= 2 * threads and writer.scorer.is_thread_safe
        own = FileWriter(source, writer, run.finished, options.format, 1 if are_beside else threads)

        def write(job: Job) -> tuple[Job, Tally | Failure]:
            try:
                return job, own.write(job, lambda n_rows: run.progress.add(job, n_rows))
            except OF_ONE_FILE as error:
                return job, job.failed(error)

        for job, outcome in in_order(write, run.todo, threads if are_beside else 1):
            run.take(job, outcome)
    return run.predicted()


@dataclass(frozen=True)
class Plan:
    """What is to be predicted, before anything is loaded.

    Attributes:
        source, options, files: as `predict_files` is given them.
        jobs: the files.
        failures: of words that name no file.
    """

    source: Input
    options: PredictOptions
    files: FilesOptions
    jobs: Sequence[Job]
    failures: Sequence[Failure]

    @classmethod
    def of(cls, source: Input, model: Place, options: PredictOptions, files: FilesOptions) -> Plan:
        """Return a plan.

        Raises:
            DataError, OutputError, UsageError: an input or the outputs are wrong, whatever is in the files.
        """
        if places.is_within(files.directory, model):
            raise UsageError(f"the outputs '{files.directory}' lie in the model directory", "name another --output-dir")
        sources, failures = sources_of(source, keep_going=files.keep_going)
        jobs = jobs_of(sources, files.directory, options.format)
        outputs = (job.output for job in jobs)
        job_files.refuse_unwritable(options.beside, source, model, outputs, files.directory)
        return cls(source, options, files, jobs, failures)

    def absolute(self) -> Plan:
        """Return the plan with paths that mean the same in any folder."""
        directory = places.absolute(self.files.directory)
        jobs = [replace(job, source=job.source.absolute(), output=places.absolute(job.output)) for job in self.jobs]
        return replace(self, jobs=jobs, files=replace(self.files, directory=directory))

    def begin(self, model: str, report: Report) -> Run:
        """Begin with what is to be done by a model, which is known by its name."""
        finished = Finished(self.files.directory, model, _options(self.source, self.options))
        again = finished.why_again if self.files.resume else lambda *_: NEW
        reasons = [again(job.path, job.output) for job in self.jobs]
        todo = [job for job, why in zip(self.jobs, reasons, strict=True) if why is not None]
        return Run(self, finished, todo, Counter(why for why in reasons if why is not None), Progress(todo, report))


@dataclass
class Run:
    """What is to be done, and what is done of it.

    Attributes:
        plan: what was to be predicted.
        finished: what was finished earlier, and takes what is finished now.
        todo: the files that are to be predicted.
        reasons: why, and how many.
        progress: is told of each.
    """

    plan: Plan
    finished: Finished
    todo: Sequence[Job]
    reasons: Counter[str]
    progress: Progress
    _tally: Tally = field(default_factory=Tally)
    _failures: dict[Place, Failure] = field(default_factory=dict)
    _started: float = field(default_factory=time.perf_counter)

    def take(self, job: Job, outcome: Tally | Failure) -> None:
        """Note that a file is done or, if that is no reason to stop, that it could not be.

        Raises:
            DataError, UsageError: it is one.
        """
        if isinstance(outcome, Tally):
            self._tally.merge(outcome)
            self.progress.finish(job)
        elif self.plan.files.keep_going:
            self._failures[job.output] = outcome
            self.progress.fail(job)
        else:
            error = outcome.error
            hint = "; ".join(filter(None, (error.hint, self.progress.standing())))
            raise type(error)(error.message, hint) from error

    def predicted(self) -> Predicted:
        """Return what was done."""
        of_files = [self._failures[job.output] for job in self.todo if job.output in self._failures]
        return Predicted(
            self._tally,
            time.perf_counter() - self._started,
            self.finished.model,
            n_files=self.progress.n_done,
            n_kept=len(self.plan.jobs) - len(self.todo),
            again=self.reasons - Counter({NEW: self.reasons[NEW]}),
            failures=(*self.plan.failures, *of_files),
        )


def _options(source: Input, options: PredictOptions) -> dict[str, Any]:
    """Return what an output depends on besides its input and the model."""
    said = {
        "format": options.format,
        "score": asdict(options.score),
        "input_format": source.format,
        "dialect": source.dialect.to_json(),
    }
    stored: dict[str, Any] = json.loads(json.dumps(said))  # as a marker has it: lists for tuples
    return stored
