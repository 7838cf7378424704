"""predict for many files: each into a file of its own, and what is finished need not be made again."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from resmem_cli.data import places
from resmem_cli.data.partitions import Partitions
from resmem_cli.data.places import Place
from resmem_cli.data.sources import Format, Source
from resmem_cli.errors import DataError, UsageError
from resmem_cli.model.parallel import in_order
from resmem_cli.workflow import thread_limit
from resmem_cli.workflow.finished import NEW, Content, Finished, make_folder
from resmem_cli.workflow.inputs import Input, Report, silent
from resmem_cli.workflow.predict import PredictOptions, Writer
from resmem_cli.workflow.predicted import Failure, Predicted, Tally

_OF_ONE_FILE = (DataError, UsageError)  # others hold for all files


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


@dataclass(frozen=True)
class _Job:
    """An input file and its output file, and the columns that the folders of both hold."""

    source: Place
    output: Place
    folders: frozenset[str] = frozenset()


def predict_files(
    source: Input, model: Place, options: PredictOptions, files: FilesOptions, report: Report = silent
) -> Predicted:
    """Predict every file of the input into a file of the same name in a directory; each appears whole or not at all.

    Below what all inputs have in common, their folders are kept.

    Raises:
        DataError, UsageError: as `predict`, of a file if it is not to `keep_going`; files that were finished stay.
        ModelError, OutputError: as `predict`.
    """
    if places.is_within(files.directory, model):
        raise UsageError(f"the outputs '{files.directory}' lie in the model directory", "name another --output-dir")
    sources, failures = _sources(source, keep_going=files.keep_going)
    jobs = _jobs(sources, files.directory, options.format)
    with thread_limit.limited(options.threads) as threads:
        writer = Writer.load(model, options, report)
        done_before = Finished(files.directory, writer.model, _options(source, options))
        reasons = [done_before.why_again(job.source, job.output) if files.resume else NEW for job in jobs]
        todo = [job for job, why in zip(jobs, reasons, strict=True) if why is not None]
        progress = _Progress(todo, report)
        # Many files are done side by side, each by one thread; of few, each has all threads.
        are_beside = len(todo) >= 2 * threads and writer.scorer.is_thread_safe
        inner = 1 if are_beside else threads
        run = _Run(source, writer, done_before, options.format, inner, files.keep_going, progress)
        started, tally = time.perf_counter(), Tally()
        for done in in_order(run.write, todo, threads if are_beside else 1):
            if isinstance(done, Failure):
                failures.append(done)
            else:
                tally.merge(done)
    return Predicted(
        tally,
        time.perf_counter() - started,
        writer.model,
        n_files=progress.n_done,
        n_kept=len(jobs) - len(todo),
        again=Counter(why for why in reasons if why not in (None, NEW)),
        failures=tuple(failures),
    )


@dataclass(frozen=True)
class _Run:
    """What all files of a run have in common."""

    source: Input
    writer: Writer
    finished: Finished
    form: Format | None
    threads: int
    keep_going: bool
    progress: _Progress

    def write(self, job: _Job) -> Tally | Failure:
        """Write the output of a file, and then what it was made of."""
        try:
            tally = self._write(job)
        except _OF_ONE_FILE as error:
            if not self.keep_going:
                hint = "; ".join(filter(None, (error.hint, self.progress.standing())))
                raise type(error)(error.message, hint) from error
            self.progress.fail(job)
            return Failure(str(job.source), str(job.output), error)
        self.progress.finish(job)
        return tally

    def _write(self, job: _Job) -> Tally:
        make_folder(job.output.parent)
        content = Content.if_readable(job.source)
        own = replace(self.source, words=(places.word(job.source),))
        tally = self.writer.write(
            own,
            places.word(job.output),
            self.form,
            self.threads,
            lambda n_rows: self.progress.add(job, n_rows),
            left_out=job.folders,
        )
        if content is not None:
            self.finished.add(content, job.output)
        return tally


class _Progress:
    """How far many files have come, told by the threads that write them."""

    def __init__(self, jobs: Sequence[_Job], report: Report) -> None:
        self._report = report
        self._sizes = {job: _size(job.source) for job in jobs}
        self._n_all, self._all_bytes = len(jobs), max(1, sum(self._sizes.values()))
        self._lock = threading.Lock()
        self._started = time.perf_counter()
        self._n_bytes = self._n_rows = self._n_failed = self.n_done = 0
        report(f"predicting {self._n_all:,} files")

    def add(self, job: _Job, n_rows: int) -> None:
        """Note rows of a file that are written."""
        with self._lock:
            self._n_rows += n_rows
            self._tell(job)

    def finish(self, job: _Job) -> None:
        with self._lock:
            self.n_done += 1
            self._n_bytes += self._sizes[job]
            self._tell(job)

    def fail(self, job: _Job) -> None:
        with self._lock:
            self._n_failed += 1
            self._n_bytes += self._sizes[job]
            self._tell(job)

    def standing(self) -> str:
        """Return a sentence on what is done, for whoever has to stop here."""
        with self._lock:
            return (
                f"{self.n_done:,} of {self._n_all:,} files are done, and stay: --resume does the others, "
                "--keep-going leaves out those that cannot be predicted"
            )

    def _tell(self, job: _Job) -> None:
        rate = self._n_rows / max(time.perf_counter() - self._started, 1e-9)
        failed = f", {self._n_failed:,} failed" if self._n_failed else ""
        self._report(
            f"{self.n_done:,} of {self._n_all:,} files{failed}, {self._n_rows:,} rows ({rate:,.0f} rows/s), "
            f"last '{job.source}'",
            self._n_bytes / self._all_bytes,
        )


def _size(path: Place) -> int:
    if not isinstance(path, Path):
        return path.size or 0  # as the listing said
    try:
        return path.stat().st_size
    except OSError:  # whoever reads it says what is wrong
        return 0


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


def _sources(source: Input, *, keep_going: bool) -> tuple[list[Source], list[Failure]]:
    """Return the files of an input, and what of it names none if that is no reason to stop."""
    failures: list[Failure] = []
    if not keep_going:
        return source.sources(), failures
    return source.sources(lambda name, error: failures.append(Failure(name, None, error))), failures


def _jobs(sources: Iterable[Source], directory: Place, form: Format | None) -> list[_Job]:
    """Return every input file with its output file."""
    paths = [source.path for source in sources]
    if None in paths:
        raise UsageError("standard input has no file name to use in --output-dir", "name files, or use --output")
    files = [path for path in paths if path is not None]
    if not files:
        return []
    common = places.in_common(files)
    while common and "=" in common[-1]:  # a column that the output's folders are to hold, too
        common = common[:-1]
    jobs = []
    for path in files:
        name = places.below(path, common)
        stem = name.with_suffix("") if name.suffix in (".gz", ".zst") else name
        output = directory / (name if form is None else stem.with_suffix("." + form.value))
        jobs.append(_Job(path, output, frozenset(Partitions.of(name, 0).below)))
    written = Counter(job.output for job in jobs)
    twice = [output for output, count in written.items() if count > 1]
    if twice:
        raise UsageError(f"two inputs would be written to '{twice[0]}'", "name each file once")
    own = {places.resolved(path) for path in files}
    over = [job.source for job in jobs if places.resolved(job.output) in own]
    if over:
        raise UsageError(f"the input '{over[0]}' would be replaced by its output", "name another --output-dir")
    return jobs
