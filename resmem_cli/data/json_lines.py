"""JSON lines: one object a line, read in blocks that Arrow gives types to, and written by Python."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.json

from resmem_cli.data.delimited import not_text
from resmem_cli.data.sources import Source
from resmem_cli.errors import DataError

_BLOCK_BYTES = 8 << 20
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)


def read(source: Source, raw: Any, choose: Callable[[Sequence[str]], list[str]]) -> Iterator[pa.Table]:
    """Yield the rows of JSON lines, of those columns that `choose` picks.

    A key that a line lacks is missing there; a column that a block has never heard of is in the blocks after it.

    Raises:
        DataError: there is no line, or one that is no JSON or changes the type of a column.
        UnicodeError: it is not UTF-8.
    """
    rows, schema = 0, None
    for block in _blocks(raw):
        table, schema = _typed(source, block, rows, schema)
        rows += table.num_rows
        for field in schema:
            if field.name not in table.column_names:
                table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        if schema.names:
            yield table.select(choose(schema.names))
    if schema is None:
        raise DataError(f"{source.name} is empty", "give at least one line of JSON")


def _blocks(raw: Any) -> Iterator[bytes]:
    """Yield whole lines together, up to the size of a block or that of the longest line."""
    rest = b""
    while chunk := raw.read(_BLOCK_BYTES):
        block, newline, tail = (rest + chunk).rpartition(b"\n")
        rest = tail if newline else rest + chunk
        if newline and block.strip():
            yield block
    if rest.strip():
        yield rest


def _typed(source: Source, block: bytes, rows_before: int, schema: pa.Schema | None) -> tuple[pa.Table, pa.Schema]:
    """Return a block of lines as a table, and the schema that it and the blocks before it share."""
    codecs.utf_8_decode(block)  # Arrow would take other bytes as they are
    # The types so far are given only where a block does not fit them: so that text which looks like dates in one
    # block stays text, and the first line that breaks them is named.
    known = None if schema is None else pa.schema([field for field in schema if not pa.types.is_null(field.type)])
    what = ""
    for types in (None, known):
        try:
            table = _parsed(block, types)
            return table, pa.unify_schemas([schema or table.schema, table.schema], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            what = str(error)
    reason, _, row = what.rpartition(" in row ")
    where = f", row {rows_before + int(row) + 1:,}" if row.isdigit() else ""
    raise DataError(
        f"{source.name}{where} is not a line of JSON like those before it ({reason or what})",
        "write one object a line, each column of one type",
    )


def _parsed(block: bytes, schema: pa.Schema | None) -> pa.Table:
    return pyarrow.json.read_json(
        pa.BufferReader(block),
        read_options=pyarrow.json.ReadOptions(block_size=len(block) + 1, use_threads=False),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=schema),
    )


class Writer:
    """Writes rows as they are: a missing value is null."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink

    def write(self, table: pa.Table) -> None:
        for field in table.schema:
            if any(is_bytes(field.type) for is_bytes in _BYTES):
                raise not_text(field.name, field.type)
        lines = (json.dumps(_finite(row), ensure_ascii=False, default=str) for row in table.to_pylist())
        self._sink.write("".join(f"{line}\n" for line in lines).encode())

    def close(self) -> None:
        return


def _finite(value: Any) -> Any:
    """JSON has neither NaN nor infinity: such a number is null."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
