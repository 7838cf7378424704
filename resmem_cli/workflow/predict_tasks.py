"""What the workers of a cluster do in predict: a file, a part of one, or the joining of its parts.

A worker loads the model once, writes an output as a command without a cluster would, and then its marker. Parts of a
large file are kept beside the markers until all are there.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from resmem_cli.data import output, places, tables
from resmem_cli.data.places import Place
from resmem_cli.data.sources import Format, Source
from resmem_cli.errors import DataError
from resmem_cli.workflow import cutting
from resmem_cli.workflow.file_jobs import OF_ONE_FILE, FileWriter, Job
from resmem_cli.workflow.finished import FOLDER, Content, Finished, Version, make_folder
from resmem_cli.workflow.inputs import Input, silent
from resmem_cli.workflow.loaded_once import LoadedOnce, one_at_a_time, refuse_other_model
from resmem_cli.workflow.predict import PredictOptions, Writer
from resmem_cli.workflow.predict_files import Run
from resmem_cli.workflow.predicted import Failure, Tally

_PARTS = "parts"  # the folder of parts, beside the markers


@dataclass(frozen=True)
class Work:
    """What a worker has to know of a run, whatever the file."""

    source: Input
    model: Place
    options: PredictOptions
    finished: Finished
    threads: int

    @classmethod
    def of(cls, run: Run, model: Place, threads: int) -> Work:
        source = replace(run.plan.source, words=(), notes=[])  # a worker is given files, not words that may be many
        return cls(source, model, run.plan.options, run.finished, threads)


@dataclass(frozen=True)
class Whole:
    """A file, to be predicted by one call."""

    job: Job

    def __str__(self) -> str:
        return f"'{self.job.path}'"

    def done(self, work: Work, writer: Writer, source: Input) -> Tally:
        own = FileWriter(source, writer, work.finished, work.options.format, work.threads)
        return own.write(self.job, lambda _: None)


@dataclass(frozen=True)
class Part:
    """Some row groups of a file, to be predicted into a file of their own.

    Attributes:
        job: the whole.
        row_groups: from the first to before the last.
        version: of the input when it was cut.
        folder: of all parts of the file.
    """

    job: Job
    row_groups: tuple[int, int]
    version: Version
    folder: Path

    def __str__(self) -> str:
        first, end = self.row_groups
        return f"'{self.job.path}' (row groups {first:,} to {end - 1:,})"

    @property
    def output(self) -> Path:
        return self.folder / f"{self.row_groups[0]:06}.arrow"

    def finished(self, finished: Finished) -> Finished:
        """Return what knows which parts were finished: by the same model, options and cut."""
        return replace(
            finished, directory=self.folder, options={**finished.options, "row_groups": list(self.row_groups)}
        )

    def is_finished(self, finished: Finished) -> bool:
        """Whether it is there, and was made of the input as it is."""
        return self.finished(finished).why_again(self.job.path, self.output) is None

    def done(self, work: Work, writer: Writer, source: Input) -> Tally:
        make_folder(self.folder)
        is_text = output.output_format(places.word(self.job.output), work.options.format)[0].is_text
        own = source.only(replace(self.job.source, row_groups=self.row_groups))
        tally = writer.write(
            own,
            str(self.output),
            Format.ARROW,
            work.threads,
            lambda _: None,
            left_out=self.job.folders,
            typed=not is_text,
        )
        _refuse_other_version(self)
        self.finished(work.finished).add(Content(self.version, None), self.output)
        return tally


@dataclass(frozen=True)
class Join:
    """The parts of a file, to be joined."""

    parts: tuple[Part, ...]

    def __str__(self) -> str:
        return f"'{self.job.path}' (joining its parts)"

    @property
    def job(self) -> Job:
        return self.parts[0].job

    def done(self, work: Work, _writer: Writer, _source: Input) -> Tally:
        lost = next((part for part in self.parts if not part.is_finished(work.finished)), None)
        if lost is None:
            self._write(work)
        elif work.finished.why_again(self.job.path, self.job.output) is not None:  # it was not done, and then cut short
            raise DataError(f"{lost} was changed or removed before it was joined", "run again with --resume")
        folder = self.parts[0].folder
        shutil.rmtree(folder, ignore_errors=True)  # some file systems hold what was read a moment ago
        with suppress(OSError):  # other files have parts there
            folder.parent.rmdir()
            folder.parent.parent.rmdir()
        return Tally()

    def _write(self, work: Work) -> None:
        make_folder(self.job.output.parent)
        content = Content.if_readable(self.job.path)
        found = [Source(part.output, Format.ARROW) for part in self.parts]
        with output.writer(places.word(self.job.output), work.options.format) as table:
            for rows in tables.read(found, may_be_empty=True):
                table.write(rows.table, self.job.source.name)
            _refuse_other_version(self.parts[0])
        if content is not None:
            work.finished.add(content, self.job.output)


Task = Whole | Part | Join


def _refuse_other_version(part: Part) -> None:
    """Refuse a file that is not what was cut any more: its parts may be of different files.

    Raises:
        DataError: it was changed or removed.
    """
    try:
        is_same = Version.of(part.job.path).looks_like(part.version)
    except OSError:
        is_same = False
    if not is_same:
        raise DataError(f"'{part.job.path}' was changed while it was predicted", "run again with --resume")


@dataclass(frozen=True)
class Outcome:
    """What came of a task.

    Attributes:
        done: what was written, or why it could not be.
        version: of a file's output on a disk, as the worker sees it; None of a part, and of what was not written.
        notes: on what looked odd.
    """

    done: Tally | Failure
    version: Version | None = None
    notes: tuple[str, ...] = ()


def do(work: Work, task: Task) -> Outcome:
    """Do a task on a worker.

    Raises:
        EngineError, ModelError, OutputError: which hold for all files.
    """
    writer = _models.get((work.model, work.finished.model, work.options), partial(_loaded, work))
    source = replace(work.source, notes=[])
    try:
        with one_at_a_time(is_needed=not writer.scorer.is_thread_safe):
            done = task.done(work, writer, source)
    except OF_ONE_FILE as error:
        return Outcome(task.job.failed(error), notes=tuple(source.notes))
    written = task.job.output
    version = Version.of(written) if isinstance(written, Path) and not isinstance(task, Part) else None
    return Outcome(done, version, tuple(source.notes))


_models = LoadedOnce[Writer]()


def _loaded(work: Work) -> Writer:
    writer = Writer.load(work.model, work.options, silent)
    refuse_other_model(work.model, writer.model, work.finished.model)
    return writer


def parts_of(job: Job, finished: Finished, rows: int) -> tuple[Part, ...]:
    """Return the parts of about so many rows that a large file is cut into; none of another one.

    Where outputs lie in an object store, none is cut: parts would have to be sent there and back.
    """
    directory = finished.directory
    if not isinstance(directory, Path) or not isinstance(job.output, Path):
        return ()
    try:
        version = Version.of(job.path)  # before it is cut: one that is replaced meanwhile is found to be another
    except OSError:  # whoever reads it says what is wrong with it
        return ()
    cut = cutting.cut(job.source, rows)
    if len(cut) == 1:
        return ()
    ranges = [part.row_groups for part in cut if part.row_groups is not None]
    # Another command may be at work with another model or other options.
    made_of = json.dumps([finished.model, finished.options, asdict(version), ranges])
    name = hashlib.sha256(made_of.encode()).hexdigest()[:16]
    folder = directory / FOLDER / _PARTS / job.output.relative_to(directory) / name
    return tuple(Part(job, each, version, folder) for each in ranges)
