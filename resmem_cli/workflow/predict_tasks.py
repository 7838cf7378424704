"""What the workers of a cluster do in predict: a file, a part of one, or the joining of its parts.

A worker loads the model once, writes an output as a command without a cluster would, and then its marker. Parts of a
large file are kept beside the markers until all are there.
"""

from __future__ import annotations

import itertools
import shutil
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resmem_cli.data import columnar, output, tables
from resmem_cli.data.sources import Format, Source
from resmem_cli.errors import DataError, EngineError
from resmem_cli.version import __version__
from resmem_cli.workflow import thread_limit
from resmem_cli.workflow.cluster import refuse_other_version
from resmem_cli.workflow.file_jobs import OF_ONE_FILE, FileWriter, Job
from resmem_cli.workflow.finished import FOLDER, Content, Finished, Version, make_folder
from resmem_cli.workflow.inputs import Input, silent
from resmem_cli.workflow.predict import PredictOptions, Writer
from resmem_cli.workflow.predict_files import Run
from resmem_cli.workflow.predicted import Failure, Tally

_PARTS = "parts"  # the folder of parts, beside the markers
_LEAST_CUT_BYTES = 1 << 20  # smaller files are not looked into


@dataclass(frozen=True)
class Work:
    """What a worker has to know of a run, whatever the file."""

    source: Input
    model: Path
    options: PredictOptions
    finished: Finished
    threads: int
    version: str = __version__

    @classmethod
    def of(cls, run: Run, model: Path, threads: int) -> Work:
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
        is_text = output.output_format(str(self.job.output), work.options.format)[0].is_text
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
        with output.writer(str(self.job.output), work.options.format) as table:
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
        writer = _models.writer(work)
        source = replace(work.source, notes=[])
        try:
            outcome: Tally | Failure = task.done(work, writer, source)
        except OF_ONE_FILE as error:
            outcome = task.job.failed(error)
    return outcome, tuple(source.notes)


class _Models:
    """The model that this process has loaded, for all calls that need the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: tuple[Any, Writer] | None = None

    def writer(self, work: Work) -> Writer:
        """Return the loaded model.

        Raises:
            EngineError: here lies another model than the one that the command was given.
            ModelError: as `Writer.load`.
        """
        key = work.model, work.finished.model, work.options
        with self._lock:
            if self._held is None or self._held[0] != key:
                self._held = None  # two would take twice the memory
                writer = Writer.load(work.model, work.options, silent)
                if writer.model != work.finished.model:
                    raise EngineError(
                        f"a worker finds another model in '{work.model}' than this command does",
                        "let no other command change it meanwhile, and let all machines see the same directory",
                    )
                self._held = key, writer
            return self._held[1]


_models = _Models()


def cut(job: Job, directory: Path, rows: int) -> tuple[Part, ...]:
    """Return the parts of a large Parquet file; none of another one."""
    try:
        version = Version.of(job.path)
        if job.source.format is not Format.PARQUET or version.size < _LEAST_CUT_BYTES:
            return ()
        sizes = columnar.rows_of_groups(job.source)
    except (OSError, ValueError):  # whoever reads it says what is wrong with it
        return ()
    if sum(sizes) < 2 * rows:
        return ()
    ends, n_rows = [0], 0
    for group, size in enumerate(sizes):
        n_rows += size
        if n_rows >= rows:
            ends.append(group + 1)
            n_rows = 0
    ends[-1] = len(sizes) if n_rows and len(ends) > 1 else ends[-1]  # few rows at the end belong to the part before
    folder = directory / FOLDER / _PARTS / job.output.relative_to(directory)
    parts = tuple(Part(job, (first, end), version, folder) for first, end in itertools.pairwise(ends))
    return parts if len(parts) > 1 else ()
