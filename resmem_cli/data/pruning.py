"""Which row groups of a Parquet file cannot hold a value, by the smallest and largest that their statistics tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from resmem_cli import spelling
from resmem_cli.data.kinds import is_text
from resmem_cli.data.promotion import plain_type

Where = Sequence[tuple[str, str]]  # columns and their values, written as text: rows that have them all are wanted

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")


def groups_that_may_match(file: Any, where: Where) -> list[int]:
    """Return the row groups of a `ParquetFile` in which there may be a row that has all these values, in order."""
    names = {*file.schema_arrow.names}
    paths = [file.metadata.schema.column(at).path for at in range(file.metadata.num_columns)]
    # A part of a struct may be called as a column is: then neither is told by statistics.
    leaves = {path: at for at, path in enumerate(paths) if path in names and paths.count(path) == 1}
    bounds = [
        (leaves[name], bound)
        for name, value in where
        if name in leaves and (bound := _comparable(file.schema_arrow.field(name).type, value)) is not None
    ]
    return [
        number
        for number in range(file.metadata.num_row_groups)
        if all(_may_hold(file.metadata.row_group(number).column(at).statistics, bound) for at, bound in bounds)
    ]


def _comparable(arrow_type: pa.DataType, value: str) -> int | str | None:
    """Return what a column's statistics can be compared with; None if what a value is like is not told by them."""
    kind = plain_type(arrow_type)
    if pa.types.is_integer(kind) and _INTEGER.fullmatch(value):
        return int(value)
    return value if is_text(kind) and value and not spelling.may_have_forms(value) else None


def _may_hold(statistics: Any, value: Any) -> bool:
    if statistics is None or not statistics.has_min_max:
        return True
    least, most = statistics.min, statistics.max
    return type(least) is not type(value) or bool(least <= value <= most)
