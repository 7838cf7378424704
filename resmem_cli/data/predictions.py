"""The table that `predict` writes: the kept columns of the input, then the predictions."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from resmem_cli.data import json_digits, kinds
from resmem_cli.data.kinds import Floats, Kind
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Column, Schema, Task
from resmem_cli.errors import DataError, UsageError, did_you_mean

_WHOLE = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True)
class Layout:
    """Which columns are passed on and which are added.

    Attributes:
        schema: of the model.
        keep: "all", "none", "id", or names of columns.
        prefix: put before the name of every added column.
        with_probabilities: whether every class gets a column.
        base_only: whether there is no memory, and so no `prediction_base` beside the prediction.
        with_support: whether a column says how far each row is from what is remembered.
        with_interval: whether there is an interval, of classes a set, about each prediction.
        left_out: columns of folders that are not passed on unless they are named: the output's folders hold them.
        typed: whether the output has types, so that text which the model knows to be numbers becomes numbers.
    """

    schema: Schema
    keep: str | Sequence[str]
    prefix: str
    with_probabilities: bool
    base_only: bool
    typed: bool
    with_support: bool = False
    with_interval: bool = False
    left_out: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.keep == "id" and self.schema.id_column is None:
            raise UsageError("the model has no id column to keep", "name columns with --keep, or fit with --id")
        if self.with_probabilities and self.schema.target.task is Task.REGRESSION:
            raise UsageError("a regression has no probabilities", "leave --probabilities out")

    @property
    def columns_to_read(self) -> frozenset[str] | None:
        """The columns that the features and the output need; None for every column."""
        if self.keep == "all":
            return None
        return frozenset({*self.schema.read_columns, *self._named()})

    def kept(self, present: Sequence[str]) -> list[str]:
        """Return the columns to pass on, of those that are present."""
        return list(present) if self.keep == "all" else self._named()

    def added(self) -> list[str]:
        """Return the names of the columns that are added, in order."""
        names = ["prediction"] if self.base_only else ["prediction", "prediction_base"]
        if self.schema.target.task is Task.CLASSIFICATION:
            names.append("probability")
            if self.with_probabilities:
                names += [f"probability_{name}" for name in self.schema.target.class_names]
        if self.with_interval:
            names += ["lower", "upper"] if self.schema.target.task is Task.REGRESSION else ["prediction_set"]
        if self.with_support:
            names.append("distance_percentile")
        return [self.prefix + name for name in names]

    def _named(self) -> list[str]:
        if self.keep == "none":
            return []
        if self.keep == "id":
            return [self.schema.id_column or ""]
        return list(self.keep)


@dataclass(frozen=True)
class Scored:
    """What a batch is predicted as.

    Attributes:
        base, resmem: [n, outputs] without and with the memory.
        interval: the [n] lower and upper ends, or [n, classes] which classes are in the set, if asked for.
        support: [n] percentiles, if asked for.
    """

    base: Floats
    resmem: Floats
    interval: tuple[Floats, Floats] | NDArray[np.bool_] | None = None
    support: Floats | None = None


def lay_out(rows: Rows, layout: Layout, scored: Scored) -> pa.Table:
    """Return the output table of a batch.

    Raises:
        DataError: a column to keep is missing.
        UsageError: an added column has a name that is there already.
    """
    present = rows.table.column_names
    # A column of the file itself stays, also where a folder says the same.
    kept = layout.kept([name for name in present if name not in layout.left_out & rows.of_folders])
    there, passed_on = set(present), set(kept)
    missing = [name for name in kept if name not in there]
    if missing:
        raise DataError(
            f"{rows.source} has no column " + ", ".join(f"'{name}'" for name in missing) + " to keep",
            did_you_mean(missing, present, "its columns are: " + ", ".join(present[:20])),
        )
    added = layout.added()
    clash = [name for name in added if name in passed_on]
    if clash:
        raise UsageError(
            f"{rows.source} has a column '{clash[0]}' already",
            "put something before the new names with --prefix, or leave the old one out with --keep",
        )
    are_text = {*present} if rows.is_text else rows.of_folders
    known = {each.name: each for each in layout.schema.columns if layout.typed and each.name in are_text}
    columns = {name: _typed(rows, name, known.get(name)) for name in kept}
    values = _predictions(layout, scored.base, scored.resmem)
    if isinstance(scored.interval, tuple):
        values += [pa.array(end) for end in scored.interval]
    elif scored.interval is not None:
        names = np.array(layout.schema.target.class_names, dtype=object)
        sets = [json.dumps(names[inside].tolist(), ensure_ascii=False) for inside in scored.interval]
        values.append(pa.array(sets, pa.string()))
    if scored.support is not None:
        values.append(pa.array(scored.support))
    return pa.table(columns | dict(zip(added, values, strict=True)))


def _predictions(layout: Layout, base: Floats, resmem: Floats) -> list[pa.Array]:
    target = layout.schema.target
    if target.task is Task.REGRESSION:
        return [pa.array(values[:, 0]) for values in ([resmem] if layout.base_only else [resmem, base])]
    classes = target.labels
    winners = resmem.argmax(axis=1)  # of equally probable classes the first
    columns = [classes.take(pa.array(winners))]
    if not layout.base_only:
        columns.append(classes.take(pa.array(base.argmax(axis=1))))
    columns.append(pa.array(resmem[np.arange(len(resmem)), winners]))
    if layout.with_probabilities:
        columns += [pa.array(np.ascontiguousarray(resmem[:, c])) for c in range(resmem.shape[1])]
    return columns


def _typed(rows: Rows, name: str, column: Column | None) -> pa.ChunkedArray | pa.Array:
    """Give a text column the type of its kind; a column that the model does not know stays text."""
    if column is None or column.kind is Kind.CATEGORY:
        return rows.table.column(name)
    if column.kind is Kind.NUMBER:
        return pa.array(_numbers(rows, name), from_pandas=True)
    if column.kind is Kind.BOOLEAN:
        return pa.array(kinds.as_boolean(rows, name), from_pandas=True).cast(pa.bool_())
    if column.kind is Kind.VECTOR:
        return pa.FixedSizeListArray.from_arrays(kinds.as_vector(rows, name).ravel(), column.length)
    return kinds.as_instant(rows, name)


def _numbers(rows: Rows, name: str) -> Floats:
    """Return a text column as numbers.

    Raises:
        DataError: a whole number would lose digits, as long keys do.
    """
    values = kinds.as_number(rows, name)
    large = np.flatnonzero(np.abs(values) >= kinds.EXACT)
    if len(large):
        text = kinds.plain_numbers(rows, name, kinds.known_text(rows, name)).take(pa.array(large)).to_pylist()
        for row, digits in zip(large.tolist(), text, strict=True):
            if _WHOLE.fullmatch(digits) and json_digits.loses(digits):
                raise DataError(
                    f"{rows.locate(row)}: column '{name}' holds {digits:.80}, which would lose digits as a number of a "
                    "typed format",
                    "write CSV, or leave the column out with --keep",
                )
    return values
