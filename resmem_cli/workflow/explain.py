"""explain: which remembered rows moved a prediction, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from resmem_cli.data import encoding
from resmem_cli.data.kinds import Floats
from resmem_cli.data.places import Place
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Schema
from resmem_cli.errors import DataError
from resmem_cli.model import explanation
from resmem_cli.model.explanation import Explanation
from resmem_cli.store import reading, using
from resmem_cli.store.rows import RowNames
from resmem_cli.store.stored import StoredModel
from resmem_cli.workflow import thread_limit
from resmem_cli.workflow.inputs import Input, Report, silent

ROWS_AT_ONCE = 1_024
_MOST_NAMED = 5  # rows of one cell
_ROUNDING = 1e-12  # relative: less than this is no adjustment


@dataclass(frozen=True)
class Neighbor:
    """A remembered cell and what it adds.

    Attributes:
        memory: the position of the memory among the model's.
        rows: the ids of some of the cell's rows, or their numbers among those that were memorised, from 1.
        count: how many rows, or how much weight, it stands for.
        distance, weight: the weights of a memory's neighbours sum to 1.
        residual, contribution: what is remembered there, and what it adds to the prediction.
    """

    memory: int
    rows: tuple[str, ...]
    count: float
    distance: float
    weight: float
    residual: float
    contribution: float


@dataclass(frozen=True)
class Explained:
    """One row: prediction = base + correction + adjustment. Of classes, the probabilities of the predicted class.

    Attributes:
        row: its number in the input, from 1; `id` what its id column says.
        label: the predicted class, or None of a regression.
        base, prediction: without and with the memories.
        correction: the sum of what all neighbours add.
        adjustment: what other bases than the first, temperatures and the bounds of probabilities add.
        percentile: how far the nearest cell is: the percentage of cells that are nearer to their own nearest other.
        neighbors: those that add most, by size; `n_others` more add `others` together.
    """

    row: int
    id: str | None
    label: str | None
    base: float
    prediction: float
    correction: float
    adjustment: float
    percentile: float
    neighbors: tuple[Neighbor, ...]
    n_others: int
    others: float


def explain(
    source: Input,
    model: Place,
    *,
    rows: Sequence[int] | None = None,
    top: int = 10,
    threads: int = 0,
    report: Report = silent,
) -> Iterator[Explained]:
    """Yield why each row is predicted as it is.

    Args:
        source: the rows.
        model: the directory.
        rows: the numbers of those to explain, from 1, ascending; None for all.
        top: how many neighbours to list for each.
        threads: how many; 0 for every core.
        report: is told how many rows are done.

    Raises:
        DataError: the input cannot be read, does not fit the model's schema, or has not as many rows.
        ModelError: the model is missing, stale or damaged, or has no memory yet.
    """
    with thread_limit.limited(threads) as count:
        report("loading the model")
        stored, names = reading.load_with_rows(model)
        schema = stored.base.schema
        report("measuring distances among remembered rows")
        with using.used(model):
            usual = explanation.usual_distances(stored.resmem.members[0].memory, threads=count)
        report("explaining")
        n_before, wanted = 0, None if rows is None else np.asarray(rows) - 1
        columns = frozenset({*schema.read_columns, *([] if schema.id_column is None else [schema.id_column])})
        for batch in source.batches(ROWS_AT_ONCE, columns, schema):
            positions = np.arange(len(batch))
            if wanted is not None:
                positions = wanted[(wanted >= n_before) & (wanted < n_before + len(batch))] - n_before
            if len(positions):
                part, numbers = batch.take(positions), (n_before + positions + 1).tolist()
                with using.used(model):
                    explained = explain_rows(part, stored, names, usual, numbers=numbers, top=top, threads=count)
                yield from explained
            n_before += len(batch)
            report(f"explaining: {n_before:,} rows read")
            if wanted is not None and n_before > wanted[-1]:
                return
        if wanted is not None and wanted[-1] >= n_before:
            raise DataError(f"there is no row {wanted[-1] + 1:,}: the input has {n_before:,}", "correct --rows")


def explain_rows(
    rows: Rows,
    stored: StoredModel,
    names: RowNames,
    usual: Floats,
    *,
    numbers: Sequence[int],
    top: int,
    threads: int,
) -> list[Explained]:
    """Return why each of a few rows is predicted as it is.

    Args:
        rows: so few that all their neighbours can be held.
        stored: the model.
        names: of the remembered rows.
        usual: what `explanation.usual_distances` gives for the first member's memory.
        numbers: of the rows in their input.
        top: how many neighbours to list for each.
        threads: how many.
    """
    X, _ = encoding.encode(rows, stored.base.schema)
    return explain_encoded(
        X, ids_of(rows, stored.base.schema), stored, names, usual, numbers=numbers, top=top, threads=threads
    )


def explain_encoded(
    X: Floats,
    ids: Sequence[str] | None,
    stored: StoredModel,
    names: RowNames,
    usual: Floats,
    *,
    numbers: Sequence[int],
    top: int,
    threads: int,
) -> list[Explained]:
    """Return why each of [n, d] encoded rows, which may have [n] ids, is predicted as it is; else as `explain_rows`."""
    done = stored.resmem.explain(X, usual, threads=threads)
    telling = _Telling(stored.base.schema, names, [member.memory.counts for member in stored.resmem.members], top)
    return list(telling.of(ids, numbers, done))


def ids_of(rows: Rows, schema: Schema) -> list[str] | None:
    """Return the ids of rows as text; None if the model or the rows have none."""
    has_ids = schema.id_column is not None and schema.id_column in rows.table.column_names
    return encoding.as_ids(rows, schema) if has_ids else None


@dataclass(frozen=True)
class _Telling:
    """What rows are told by: the schema, the rows and the counts of each memory's cells, how many to list."""

    schema: Schema
    rows: RowNames
    counts: Sequence[Floats]
    top: int

    def of(self, ids: Sequence[str] | None, numbers: Sequence[int], done: Explanation) -> Iterator[Explained]:
        """Yield what was computed of some rows, which have these ids and numbers in the input."""
        places = [(memory, j) for memory, share in enumerate(done.shares) for j in range(share.cells.shape[1])]
        for i, number in enumerate(numbers):
            output = int(done.prediction[i].argmax())  # the number itself, or the predicted class
            added = np.concatenate([share.of(i, output)[1] for share in done.shares])
            order, correction = np.argsort(-np.abs(added), kind="stable"), float(added.sum())
            base, prediction = float(done.base[i, output]), float(done.prediction[i, output])
            adjustment = prediction - base - correction
            if abs(adjustment) <= _ROUNDING * max(abs(base), abs(prediction)):
                adjustment = 0.0
            yield Explained(
                row=number,
                id=None if ids is None else ids[i],
                label=self.schema.target.class_names[output] if self.schema.target.classes else None,
                base=base,
                prediction=prediction,
                correction=correction,
                adjustment=adjustment,
                percentile=float(done.percentiles[i]),
                neighbors=tuple(self._neighbor(done, i, output, *places[at]) for at in order[: self.top]),
                n_others=len(order[self.top :]),
                others=float(added[order[self.top :]].sum()),
            )

    def _neighbor(self, done: Explanation, i: int, output: int, memory: int, j: int) -> Neighbor:
        """Return the j-th neighbour of a row in one memory."""
        share = done.shares[memory]
        residuals, contributions = share.of(i, output)
        cell = int(share.cells[i, j])
        return Neighbor(
            memory,
            tuple(self.rows.names(memory, cell, _MOST_NAMED)),
            float(self.counts[memory][cell]),
            float(share.distances[i, j]),
            float(share.weights[i, j]),
            float(residuals[j]),
            float(contributions[j]),
        )
