"""predict: stream rows through the model into a table with predictions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from resmem_cli.data import output, tables
from resmem_cli.data.dialect import Dialect
from resmem_cli.data.encoding import Surprises
from resmem_cli.data.places import Place, place
from resmem_cli.data.predictions import Scored
from resmem_cli.data.rows import Rows
from resmem_cli.data.sources import Format
from resmem_cli.model.arrays import row_blocks
from resmem_cli.model.parallel import in_order
from resmem_cli.store import reading
from resmem_cli.workflow import job_files, thread_limit
from resmem_cli.workflow.inputs import Input, Report, refuse_overwriting, silent
from resmem_cli.workflow.predicted import Predicted, Tally, model_of
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
        beside: files that the caller writes afterwards, by the options that name them: each is to be one of its own.
    """

    output: str = output.STDOUT
    format: Format | None = None
    score: ScoreOptions = field(default_factory=ScoreOptions)
    batch_rows: int | None = None
    threads: int = 0
    beside: Mapping[str, str] = field(default_factory=dict, compare=False)


def predict(source: Input, model: Place, options: PredictOptions, report: Report = silent) -> Predicted:
    """Predict every row of the input, in order; the output appears whole or not at all. Of no rows it has none.

    Raises:
        DataError: the input cannot be read, or does not fit the model's schema.
        ModelError: the model is missing, stale or damaged, or has no memory yet.
        OutputError: the output cannot be written.
        UsageError: a column of the output would be there twice, or two files would be written to one place.
    """
    output.output_format(options.output, options.format)  # a wrong one is told before anything is loaded
    refuse_overwriting(source, options.output, model, holds_input=options.score.keep == "all")
    written = [] if options.output == output.STDOUT else [place(options.output)]
    job_files.refuse_unwritable(options.beside, source, model, written)
    with thread_limit.limited(options.threads) as threads:
        writer = Writer.load(model, options, report)
        started, n_all, n_rows = time.perf_counter(), source.count_rows(), 0

        def told(n_more: int) -> None:
            nonlocal n_rows
            n_rows += n_more
            rate = n_rows / (time.perf_counter() - started)
            report(f"{n_rows:,} rows ({rate:,.0f} rows/s)", n_rows / n_all if n_all else None)

        report("predicting")
        tally = writer.write(source, options.output, options.format, threads, told)
    return Predicted(tally, time.perf_counter() - started, writer.model)


@dataclass(frozen=True)
class Writer:
    """A loaded model that writes the predictions of inputs.

    Attributes:
        scorer: the model, and what is written of its predictions.
        batch_rows: how many rows are in hand at once.
        model: by what it is known.
    """

    scorer: Scorer
    batch_rows: int
    model: str

    @classmethod
    def load(cls, model: Place, options: PredictOptions, report: Report) -> Writer:
        """Load a model; ModelError if that cannot be."""
        report("loading the model")
        if options.score.base_only:
            base = reading.load_base(model)
            return cls._of(Scorer.of_base(base, options.score, model), options, model_of(base.id, None))
        stored = reading.load(model)
        if options.score.with_support:
            report("measuring distances among remembered rows")
        scorer = Scorer.of(stored.base, stored.resmem, options.score, model)
        return cls._of(scorer, options, model_of(stored.base.id, stored.id))

    @classmethod
    def _of(cls, scorer: Scorer, options: PredictOptions, model: str) -> Writer:
        """Of very many classes or columns, no more rows are in hand than can be held."""
        at_once = options.batch_rows or tables.rows_at_once(BATCH_ROWS, scorer.base.schema.width)
        return cls(scorer, min(at_once, row_blocks(at_once, scorer.base.problem.n_outputs)[0].stop), model)

    def write(
        self,
        source: Input,
        target: str,
        form: Format | None,
        threads: int,
        told: Callable[[int], None],
        *,
        left_out: frozenset[str] = frozenset(),
        typed: bool | None = None,
    ) -> Tally:
        """Write the predictions of an input.

        Args:
            source: the input.
            target: the output.
            form: its format, where its name does not tell.
            threads: how many may be used.
            told: is given the number of rows of each batch when it is written.
            left_out: columns that the output's own folders hold, which are not written into it unless they are named.
            typed: whether values keep their types; None if the format is to say so.
        """
        if typed is None:
            typed = not output.output_format(target, form)[0].is_text
        layout = replace(self.scorer.layout(typed=typed), left_out=left_out)
        beside = threads if self.scorer.is_thread_safe else 1
        inner = 1 if beside > 1 else threads

        def score(batch: Rows) -> tuple[Any, Surprises, Scored, str]:
            return (*self.scorer.score(batch, layout, inner), batch.source)

        written: list[Dialect] = []  # of the input, and so of the output

        def noted(batches: Iterable[Rows]) -> Iterator[Rows]:
            for batch in batches:
                written.append(batch.written)
                yield self._with_columns(batch)

        batches = source.batches(
            self.batch_rows, layout.columns_to_read, self.scorer.base.schema, may_be_empty=True, folders=left_out
        )
        may_change = typed and self.scorer.options.keep != "none" and source.may_change()
        tally = Tally()
        with output.writer(target, form, may_change=may_change, dialect=lambda: written[0]) as table:
            for laid_out, odd, scored, name in in_order(score, noted(batches), beside):
                table.write(laid_out, name)
                tally.add(scored, odd)
                told(len(laid_out))
        return tally

    def _with_columns(self, batch: Rows) -> Rows:
        """Return a batch; one of JSON lines of which there are none gets the columns that the model reads."""
        if batch.table.column_names or len(batch):
            return batch
        nothing = pa.array([], pa.string())
        return Rows(pa.table(dict.fromkeys(self.scorer.base.schema.read_columns, nothing)), batch.origins, is_text=True)
