"""predict: stream rows through the model into a table with predictions."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from resmem_cli.data import output, tables
from resmem_cli.data.dialect import Dialect
from resmem_cli.data.encoding import Surprises
from resmem_cli.data.rows import Rows
from resmem_cli.data.sources import Format, Source
from resmem_cli.errors import UsageError
from resmem_cli.model.arrays import row_blocks
from resmem_cli.model.parallel import in_order
from resmem_cli.store import manifest, reading
from resmem_cli.workflow import thread_limit
from resmem_cli.workflow.inputs import Input, Report, refuse_overwriting, silent
from resmem_cli.workflow.scoring import ScoreOptions, Scorer

BATCH_ROWS = 32_768


@dataclass(frozen=True)
class PredictOptions:
    """Where to write, and what.

    Attributes:
        output: a file, or "-" for standard output.
        format: of the output, where its name does not tell.
        score: what is written of the predictions.
        batch_rows: how many rows each thread has in hand; None for `BATCH_ROWS`, or fewer of many columns.
        threads: how many may be used; 0 for one per core.
    """

    output: str = output.STDOUT
    format: Format | None = None
    score: ScoreOptions = field(default_factory=ScoreOptions)
    batch_rows: int | None = None
    threads: int = 0


@dataclass(frozen=True)
class Predicted:
    """How many rows and files were written, in how many seconds, and what was missing or unknown in the rows.

    `n_kept` files were there already.
    """

    n_rows: int
    seconds: float
    surprises: Surprises
    n_files: int = 1
    n_kept: int = 0


def predict(source: Input, model: Path, options: PredictOptions, report: Report = silent) -> Predicted:
    """Predict every row of the input, in order; the output appears whole or not at all.

    Raises:
        DataError: the input cannot be read, or does not fit the model's schema.
        ModelError: the model is missing, stale or damaged, or has no memory yet.
        OutputError: the output cannot be written.
        UsageError: a column of the output would be there twice.
    """
    output.output_format(options.output, options.format)  # a wrong one is told before anything is loaded
    refuse_overwriting(source, options.output, model, holds_input=options.score.keep == "all")
    with thread_limit.limited(options.threads) as threads:
        writer = _Writer.load(model, options, report)
        started = time.perf_counter()
        n_rows, surprises = writer.write(source, options.output, options.format, threads, report)
    return Predicted(n_rows, time.perf_counter() - started, surprises)


def predict_each(
    source: Input, model: Path, directory: Path, options: PredictOptions, report: Report = silent, *, resume: bool
) -> Predicted:
    """Predict every file of the input into a file of the same name in a directory; each appears whole or not at all.

    Below what all inputs have in common, their folders are kept. With `resume`, an output that is newer than its input
    and the model stays as it is.

    Raises:
        DataError, ModelError, OutputError, UsageError: as `predict`; files that were finished before stay.
    """
    pairs = _pairs(source.sources(), directory, options.format)
    with thread_limit.limited(options.threads) as threads:
        writer = _Writer.load(model, options, report)
        started = time.perf_counter()
        todo = [pair for pair in pairs if not (resume and _is_newer(pair[1], pair[0], model))]
        # Many files are done side by side, each by one thread; of few, each has all threads.
        are_beside = len(todo) >= 2 * threads and writer.scorer.is_thread_safe
        inner = 1 if are_beside else threads

        def write(pair: tuple[Path, Path]) -> tuple[int, Surprises]:
            pair[1].parent.mkdir(parents=True, exist_ok=True)
            own = replace(source, words=(str(pair[0]),))
            return writer.write(own, str(pair[1]), options.format, inner, silent)

        report(f"predicting {len(todo):,} files")
        surprises, n_rows = Surprises(), 0
        for i, (rows, odd) in enumerate(in_order(write, todo, threads if are_beside else 1), start=1):
            n_rows += rows
            surprises.add(odd)
            report(f"{i:,} of {len(todo):,} files, {n_rows:,} rows", i / len(todo))
    return Predicted(n_rows, time.perf_counter() - started, surprises, len(todo), len(pairs) - len(todo))


@dataclass(frozen=True)
class _Writer:
    """A loaded model that writes the predictions of inputs."""

    scorer: Scorer
    batch_rows: int

    @classmethod
    def load(cls, model: Path, options: PredictOptions, report: Report) -> _Writer:
        report("loading the model")
        if options.score.base_only:
            return cls._of(Scorer.of_base(reading.load_base(model), options.score, model), options)
        stored = reading.load(model)
        if options.score.with_support:
            report("measuring distances among remembered rows")
        return cls._of(Scorer.of(stored.base, stored.resmem, options.score, model), options)

    @classmethod
    def _of(cls, scorer: Scorer, options: PredictOptions) -> _Writer:
        """Of very many classes or columns, no more rows are in hand than can be held."""
        at_once = options.batch_rows or tables.rows_at_once(BATCH_ROWS, scorer.base.schema.width)
        return cls(scorer, min(at_once, row_blocks(at_once, scorer.base.problem.n_outputs)[0].stop))

    def write(
        self, source: Input, target: str, form: Format | None, threads: int, report: Report
    ) -> tuple[int, Surprises]:
        """Write the predictions of an input, and return how many rows it had and what was odd in them."""
        typed = not output.output_format(target, form)[0].is_text
        layout = self.scorer.layout(typed=typed)
        beside = threads if self.scorer.is_thread_safe else 1
        inner = 1 if beside > 1 else threads

        def score(batch: Rows) -> tuple[Any, Surprises, str]:
            return (*self.scorer.score(batch, layout, inner), batch.source)

        written: list[Dialect] = []  # of the input, and so of the output

        def noted(batches: Iterable[Rows]) -> Iterator[Rows]:
            for batch in batches:
                written.append(batch.written)
                yield batch

        report("predicting")
        surprises, n_rows, n_all, started = Surprises(), 0, source.count_rows(), time.perf_counter()
        batches = source.batches(self.batch_rows, layout.columns_to_read, self.scorer.base.schema)
        may_change = typed and self.scorer.options.keep != "none" and source.may_change()
        with output.writer(target, form, may_change=may_change, dialect=lambda: written[0]) as table:
            for scored, odd, name in in_order(score, noted(batches), beside):
                table.write(scored, name)
                surprises.add(odd)
                n_rows += len(scored)
                rate = n_rows / (time.perf_counter() - started)
                report(f"{n_rows:,} rows ({rate:,.0f} rows/s)", n_rows / n_all if n_all else None)
        return n_rows, surprises


def _pairs(sources: Sequence[Source], directory: Path, form: Format | None) -> list[tuple[Path, Path]]:
    """Return every input file with its output file."""
    paths = [source.path for source in sources]
    if None in paths:
        raise UsageError("standard input has no file name to use in --output-dir", "name files, or use --output")
    files = [path for path in paths if path is not None]
    common = Path(os.path.commonpath([path.absolute().parent for path in files]))
    pairs = []
    for path in files:
        name = path.absolute().relative_to(common)
        stem = name.with_suffix("") if name.suffix in (".gz", ".zst") else name
        pairs.append((path, directory / (name if form is None else stem.with_suffix("." + form.value))))
    written = Counter(output for _, output in pairs)
    twice = [output for output, count in written.items() if count > 1]
    if twice:
        raise UsageError(f"two inputs would be written to '{twice[0]}'", "name each file once")
    own = {path.resolve() for path in files}
    over = [path for _, path in pairs if path.resolve() in own]
    if over:
        raise UsageError(f"the input '{over[0]}' would be replaced by its output", "name another --output-dir")
    return pairs


def _is_newer(written: Path, source: Path, model: Path) -> bool:
    """Whether an output is there and newer than what it is made of."""
    if not written.exists():
        return False
    made_of = [source, *(model / name for name in (manifest.BASE, manifest.MEMORY) if (model / name).exists())]
    return all(written.stat().st_mtime >= path.stat().st_mtime for path in made_of)
