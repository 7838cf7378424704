"""Rows of a file with the columns that the names of its folders hold."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from resmem_cli.data.partitions import MISSING, Values, is_same
from resmem_cli.data.rows import Rows
from resmem_cli.data.text_form import as_text
from resmem_cli.errors import DataError


def with_columns(rows: Rows, values: Values, wanted: Collection[str] | None) -> Rows:
    """Return rows of a file with the columns of its folders, as text.

    Args:
        rows: of the file.
        values: of the columns.
        wanted: which of the columns; None for all.

    Raises:
        DataError: the file has such a column itself, and another value in it.
    """
    table, own = rows.table, set[str]()
    for name, value in values.items():
        if name in rows.table.column_names:
            _refuse_other(rows, name, value)
        elif wanted is None or name in wanted:
            table = table.append_column(name, pa.repeat(pa.scalar(value, pa.string()), table.num_rows))
            own.add(name)
    return replace(rows, table=table, of_folders=frozenset(own))


def _refuse_other(rows: Rows, name: str, value: str | None) -> None:
    text = as_text(name, rows.table.column(name))
    for found in pc.unique(text).to_pylist():
        if not is_same(found, value):
            is_there = pc.is_null(text) if found is None else pc.equal(text, pa.scalar(found, text.type))
            row = pc.index(pc.fill_null(is_there, False), True).as_py()
            shown = "no value" if found is None else f"'{found}'"
            raise DataError(
                f"{rows.locate(row)}: the column '{name}' holds {shown}, and the folder's name says "
                f"'{value if value is not None else MISSING}'",
                "correct one of them, or remove the column from the file",
            )
