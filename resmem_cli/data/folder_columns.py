"""Rows of a file with the columns that the names of its folders hold."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from resmem_cli.data.partitions import MISSING, Values, is_same
from resmem_cli.data.text_form import as_text
from resmem_cli.errors import DataError


def with_columns(
    table: pa.Table, values: Values, source: str, n_before: int, wanted: Collection[str] | None
) -> pa.Table:
    """Return rows of a file with the columns of its folders, as text.

    Args:
        table: the rows.
        values: of the columns.
        source: the file's name, for errors.
        n_before: how many of its rows were before these.
        wanted: which of the columns; None for all.

    Raises:
        DataError: the file has such a column itself, and another value in it.
    """
    for name, value in values.items():
        if name in table.column_names:
            _refuse_other(table.column(name), name, value, source, n_before)
        elif wanted is None or name in wanted:
            table = table.append_column(name, pa.repeat(pa.scalar(value, pa.string()), table.num_rows))
    return table


def _refuse_other(column: pa.ChunkedArray, name: str, value: str | None, source: str, n_before: int) -> None:
    text = as_text(name, column)
    for found in pc.unique(text).to_pylist():
        if not is_same(found, value):
            row = n_before + pc.index(text, pa.scalar(found, text.type)).as_py() if found is not None else n_before
            shown = "no value" if found is None else f"'{found}'"
            raise DataError(
                f"{source}, row {row + 1:,}: the column '{name}' holds {shown}, and the folder's name says "
                f"'{value if value is not None else MISSING}'",
                "correct one of them, or remove the column from the file",
            )
