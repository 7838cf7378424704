"""What the workers of a cluster do in predict: a file, a part of one, or the joining of its parts.

A worker loads the model once, writes an output as a command without a cluster would, and then its marker. Parts of a
large file are kept beside the markers until all are there.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from resmem_cli.data import output, places, tables
from resmem_cli.data.places import Place
from resmem_cli.data.sources import Format, Source
from resmem_cli.errors import DataError
from resmem_cli.version import __version__
from resmem_cli.workflow import cutting, thread_limit
from resmem_cli.workflow.cluster import refuse_other_version
from resmem_cli.workflow.file_jobs import OF_ONE_FILE, FileWriter, Job
from resmem_cli.workflow.finished import FOLDER, Content, Finished, Version, make_folder
from resmem_cli.workflow.inputs import Input, silent
from resmem_cli.workflow.loaded_once import LoadedOnce, refuse_other_model
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
    version: str = __version__

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
        _refuse_other_version(self.job, self.version)
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
        make_folder(self.job.output.parent)
        content = Content.if_readable(self.job.path)
        found = [Source(part.output, Format.ARROW) for part in self.parts]
        with output.writer(places.word(self.job.output), work.options.format) as table:
            for rows in tables.read(found, may_be_empty=True):
                table.write(rows.table, self.job.source.name)
        _refuse_other_version(self.job, self.parts[0].version)
        if content is not None:
            work.finished.add(content, self.job.output)
        folder = self.parts[0].folder
        shutil.rmtree(folder)
        with suppress(OSError):  # other files have parts there
            folder.parent.rmdir()
        return Tally()


Task = Whole | Part | Join


def _refuse_other_version(job: Job, version: Version) -> None:
    """Refuse a file that is not what was cut any more: its parts may be of different files."""
    if Version.of(job.path) != version:
        raise DataError(f"'{job.path}' was changed while it was predicted", "run again with --resume")


def do(work: Work, task: Task) -> tuple[Tally | Failure, tuple[str, ...]]:
    """Do a task on a worker; return what was written, or why not, and the notes on what looked odd.

    Raises:
        EngineError, ModelError, OutputError: which hold for all files.
    """
    refuse_other_version(work.version)
    with thread_limit.limited(work.threads):
        writer = _models.get((work.model, work.finished.model, work.options), partial(_loaded, work))
        source = replace(work.source, notes=[])
        try:
            outcome: Tally | Failure = task.done(work, writer, source)
        except OF_ONE_FILE as error:
            outcome = task.job.failed(error)
    return outcome, tuple(source.notes)


_models = LoadedOnce[Writer]()


def _loaded(work: Work) -> Writer:
    writer = Writer.load(work.model, work.options, silent)
    refuse_other_model(work.model, writer.model, work.finished.model)
    return writer


def parts_of(job: Job, directory: Place, rows: int) -> tuple[Part, ...]:
    """Return the parts of about so many rows that a large file is cut into; none of another one.

    Where outputs lie in an object store, none is cut: parts would have to be sent there and back.
    """
    if not isinstance(directory, Path) or not isinstance(job.output, Path):
        return ()
    cut = cutting.cut(job.source, rows)
    if len(cut) == 1:
        return ()
    folder = directory / FOLDER / _PARTS / job.output.relative_to(directory)
    version = Version.of(job.path)
    return tuple(Part(job, part.row_groups, version, folder) for part in cut if part.row_groups is not None)
