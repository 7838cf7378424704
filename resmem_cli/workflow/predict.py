"""predict: stream rows through the model into a table with predictions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resmem_cli.data import encoding, output, predictions
from resmem_cli.data.encoding import Surprises
from resmem_cli.data.predictions import Layout
from resmem_cli.data.rows import Rows
from resmem_cli.data.sources import Format
from resmem_cli.model.parallel import in_order
from resmem_cli.model.resmem import Prediction
from resmem_cli.store import reading
from resmem_cli.workflow import threads as threading
from resmem_cli.workflow.inputs import Input, Report, silent


@dataclass(frozen=True)
class PredictOptions:
    """What to write, and where.

    Attributes:
        output: a file, or "-" for standard output.
        format: of the output, where its name does not tell.
        keep: "all", "none", "id", or the names of the input's columns to pass on.
        prefix: put before every column that is added.
        with_probabilities: whether every class gets a column.
        base_only: whether to predict with the base alone.
        batch_rows: how many rows each thread has in hand.
    """

    output: str = output.STDOUT
    format: Format | None = None
    keep: str | Sequence[str] = "all"
    prefix: str = ""
    with_probabilities: bool = False
    base_only: bool = False
    batch_rows: int = 32_768
    threads: int = 0


@dataclass(frozen=True)
class Predicted:
    """How many rows were written, in how many seconds, and what was missing or unknown in them."""

    n_rows: int
    seconds: float
    surprises: Surprises


def predict(source: Input, model: Path, options: PredictOptions, report: Report = silent) -> Predicted:
    """Predict every row of the input, in order; the output appears whole or not at all.

    Raises:
        DataError: the input cannot be read, or does not fit the model's schema.
        ModelError: the model is missing, stale or damaged, or has no memory yet.
        OutputError: the output cannot be written.
        UsageError: a column of the output would be there twice.
    """
    form, _ = output.output_format(options.output, options.format)
    with threading.limited(options.threads) as threads:
        base, resmem = (reading.load_base(model), None) if options.base_only else reading.load(model)[:2]
        schema = base.schema
        layout = Layout(
            schema, options.keep, options.prefix, options.with_probabilities, options.base_only, typed=not form.is_text
        )

        def score(batch: Rows) -> tuple[Any, Surprises]:
            X, odd = encoding.encode(batch, schema)
            if resmem is None:
                base_only = base.bases[0].predict(X)
                prediction = Prediction(base_only, base_only)
            else:
                prediction = resmem.predict(X)
            return predictions.lay_out(batch, layout, prediction.base, prediction.resmem), odd

        surprises, n_rows, started = Surprises(), 0, time.perf_counter()
        with output.writer(options.output, options.format) as table:
            for scored, odd in in_order(score, source.batches(options.batch_rows, layout.columns_to_read), threads):
                table.write(scored)
                surprises.add(odd)
                n_rows += len(scored)
                report(f"{n_rows:,} rows")
    return Predicted(n_rows, time.perf_counter() - started, surprises)
