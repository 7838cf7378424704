"""The files of a job: which output each input is written to, and how one is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from resmem_cli.data import places
from resmem_cli.data.partitions import Partitions
from resmem_cli.data.places import Place
from resmem_cli.data.replacement import is_special
from resmem_cli.data.sources import Format, Source
from resmem_cli.errors import DataError, ResmemError, UsageError
from resmem_cli.workflow.finished import Content, Finished, make_folder
from resmem_cli.workflow.inputs import Input
from resmem_cli.workflow.predict import Writer
from resmem_cli.workflow.predicted import Failure, Tally

OF_ONE_FILE = (DataError, UsageError)  # other errors hold for all files


@dataclass(frozen=True)
class Job:
    """An input file and its output file, and the columns that the folders of both hold."""

    source: Source
    output: Place
    folders: frozenset[str] = frozenset()

    @property
    def path(self) -> Place:
        """Of the input file."""
        return _place(self.source)

    def failed(self, error: ResmemError) -> Failure:
        """Return that it failed."""
        return Failure(str(self.path), str(self.output), error)


def _place(source: Source) -> Place:
    if source.path is None:
        raise ValueError("standard input is no job")
    return source.path


@dataclass(frozen=True)
class FileWriter:
    """Writes the outputs of files, and what each was made of.

    Attributes:
        source: all files of the run, with how they are to be read.
        writer: the loaded model.
        finished: takes what an output was made of.
        form: of the outputs, where their names do not tell.
        threads: how many may be used for a file.
    """

    source: Input
    writer: Writer
    finished: Finished
    form: Format | None
    threads: int

    def write(self, job: Job, told: Callable[[int], None]) -> Tally:
        """Write the output of a file and then, if that can be told, what it was made of.

        `told` is given the number of rows of each batch when it is written.

        Raises:
            DataError, UsageError: of this file.
            ModelError, OutputError: as `predict`.
        """
        make_folder(job.output.parent)
        content = Content.if_readable(job.path)
        own = self.source.only(job.source)
        tally = self.writer.write(own, places.word(job.output), self.form, self.threads, told, left_out=job.folders)
        if content is not None:
            self.finished.add(content, job.output)
        return tally


def sources_of(source: Input, *, keep_going: bool) -> tuple[list[Source], list[Failure]]:
    """Return the files of an input, and what of it names none if that is no reason to stop."""
    failures: list[Failure] = []
    if not keep_going:
        return source.sources(), failures
    return source.sources(lambda name, error: failures.append(Failure(name, None, error))), failures


def jobs_of(sources: Iterable[Source], directory: Place, form: Format | None) -> list[Job]:
    """Return every input file with its output file: of the same name below what all inputs have in common.

    Raises:
        UsageError: one has no name, two would be written to one file, or one to an input.
    """
    files = [*sources]
    if any(source.path is None for source in files):
        raise UsageError("standard input has no file name to use in --output-dir", "name files, or use --output")
    if not files:
        return []
    common = places.in_common([_place(source) for source in files])
    while common and "=" in common[-1]:  # a column that the output's folders are to hold, too
        common = common[:-1]
    jobs = []
    for source in files:
        name = places.below(_place(source), common)
        stem = name.with_suffix("") if name.suffix in (".gz", ".zst") else name
        output = directory / (name if form is None else stem.with_suffix("." + form.value))
        jobs.append(Job(source, output, frozenset(Partitions.of(name, 0).below)))
    finals = [places.resolved(job.output) for job in jobs]
    written = Counter(finals)
    twice = [
        job.output for job, final in zip(jobs, finals, strict=True) if written[final] > 1 and not is_special(final)
    ]
    if twice:
        hint = "name each file once" if twice.count(twice[0]) > 1 else "remove the link that leads from it to another"
        raise UsageError(f"two inputs would be written to '{twice[0]}'", hint)
    own = {places.resolved(job.path) for job in jobs}
    over = [job.path for job, final in zip(jobs, finals, strict=True) if final in own]
    if over:
        raise UsageError(f"the input '{over[0]}' would be replaced by its output", "name another --output-dir")
    return jobs
