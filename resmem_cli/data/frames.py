"""Tables and columns that are in memory already: NumPy arrays, pandas, polars and anything else that speaks Arrow."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from resmem_cli.data.rows import Rows
from resmem_cli.errors import DataError


def is_frame(X: Any) -> bool:
    """Whether it has columns with names and types: a DataFrame of pandas or polars, a table or batch of Arrow."""
    if isinstance(X, (pa.Table, pa.RecordBatch)) or _is_pandas(X):
        return True
    return hasattr(X, "__arrow_c_stream__") and len(getattr(X, "shape", ())) == 2


def categorical_names(X: Any) -> list[str]:
    """Return the names of a DataFrame's columns that pandas has as categories, whatever the type of these."""
    if not _is_pandas(X):
        return []
    return [str(name) for name, kind in zip(X.columns, X.dtypes, strict=True) if kind.name == "category"]


def to_rows(X: Any, columns: Sequence[str] | None = None, more: Mapping[str, Any] | None = None) -> Rows:
    """Return rows of a frame, or of an [n, d] array whose columns get names.

    Args:
        X: the features.
        columns: names of the columns of an array, x0, x1, … if none are given.
        more: further columns by name: the target, weights, ids.

    Raises:
        DataError: a column has values of several types, or two columns have one name.
    """
    table = _table(X, columns)
    _refuse_repeated("X", table)
    for name, values in (more or {}).items():
        if name in table.column_names:
            raise DataError(f"X has a column '{name}', and another one is to have this name", "rename one of them")
        column = _column(name, values)
        if len(column) != table.num_rows:
            raise DataError(f"{name} has {len(column):,} values, and X has {table.num_rows:,} rows", "give one per row")
        table = table.append_column(name, column)
    return Rows(table, ((0, "X", 1),), is_text=False)


def free(name: str, taken: Sequence[str]) -> str:
    """Return a name that no column has."""
    while name in taken:
        name += "_"
    return name


def has_missing(values: Any) -> bool:
    """Whether one of [n] values is missing, in any of the ways that Python libraries say so."""
    return bool(_column("y", values).null_count)


def from_batch(batch: pa.RecordBatch | pa.Table) -> Rows:
    """Return the rows of a record batch or table of Arrow.

    Raises:
        DataError: it is something else, or two of its columns have one name.
    """
    if not isinstance(batch, pa.Table | pa.RecordBatch):
        raise DataError(
            f"a batch is a {type(batch).__name__}, and no record batch of Arrow", "give for example table.to_batches()"
        )
    table = batch if isinstance(batch, pa.Table) else pa.Table.from_batches([batch])
    _refuse_repeated("the batch", table)
    return Rows(table, ((0, "the batch", 1),), is_text=False)


def to_batches(table: pa.Table) -> list[pa.RecordBatch]:
    """Return the record batches of a table: one, also of no rows, or as few as its longest columns allow."""
    batches: list[pa.RecordBatch] = table.combine_chunks().to_batches()
    return batches or [pa.RecordBatch.from_pylist([], schema=table.schema)]


def _refuse_repeated(name: str, table: pa.Table) -> None:
    repeated = [column for column, times in Counter(table.column_names).items() if times > 1]
    if repeated:
        raise DataError(f"{name} names the column '{repeated[0]}' twice", "rename or remove one of them")


def _table(X: Any, columns: Sequence[str] | None) -> pa.Table:
    if isinstance(X, pa.Table):
        return X
    if isinstance(X, pa.RecordBatch):
        return pa.Table.from_batches([X])
    if _is_pandas(X):
        renamed = X.set_axis([str(name) for name in X.columns], axis=1)
        try:
            return pa.Table.from_pandas(renamed, preserve_index=False).replace_schema_metadata(None)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise DataError(
                f"a column of X has values of several types ({error})", "give every column one type"
            ) from error
    if hasattr(X, "__arrow_c_stream__"):
        return pa.table(X)
    values = np.asarray(X)
    if values.ndim != 2:
        raise DataError(f"X is a {type(X).__name__} and no table", "give an array of two dimensions, or a DataFrame")
    named = columns or [f"x{i}" for i in range(values.shape[1])]
    if len(named) != values.shape[1]:
        raise DataError(f"X has {values.shape[1]} columns, and the model {len(named)}", "give the model's columns")
    return pa.table({name: _column(name, np.ascontiguousarray(values[:, i])) for i, name in enumerate(named)})


def _column(name: str, values: Any) -> pa.ChunkedArray:
    if isinstance(values, pa.ChunkedArray):
        return values
    try:
        made = values if isinstance(values, pa.Array) else pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise DataError(f"{name} has values of several types ({error})", "give them one type") from error
    return made if isinstance(made, pa.ChunkedArray) else pa.chunked_array([made])


def _is_pandas(X: Any) -> bool:
    pandas = sys.modules.get("pandas")  # what is not loaded has made nothing
    return pandas is not None and isinstance(X, pandas.DataFrame)
