"""Parquet and Arrow (Feather): formats whose columns have types, read and written in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet

from resmem_cli.data.sources import Source
from resmem_cli.errors import DataError

_RANDOM_ACCESS_MAGIC = b"ARROW1"


def read_parquet(
    source: Source, stream: BinaryIO | None, batch_rows: int, choose: Callable[[Sequence[str]], list[str]]
) -> Iterator[pa.Table]:
    """Yield the rows of a Parquet file, of those columns that `choose` picks from the file's."""
    # A Parquet file is read from its end: a stream has to be held whole.
    whole = pa.BufferReader(stream.read()) if stream is not None else str(source.path)
    with pyarrow.parquet.ParquetFile(whole, pre_buffer=False) as file:
        chosen = choose(file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=batch_rows, columns=chosen):
            yield pa.Table.from_batches([batch])


def count_rows(path: Path) -> int:
    """Return what a Parquet file's end says of its rows."""
    return int(pyarrow.parquet.read_metadata(path).num_rows)


def read_arrow(
    source: Source, stream: BinaryIO | None, choose: Callable[[Sequence[str]], list[str]]
) -> Iterator[pa.Table]:
    """Yield the rows of an Arrow file in either of its layouts, of those columns that `choose` picks.

    Raises:
        DataError: there is not a single byte.
    """
    # Both layouts are accepted also as a stream, and the random-access one needs a seek.
    whole = pa.BufferReader(stream.read()) if stream is not None else pa.memory_map(str(source.path))
    with whole:
        if whole.size() == 0:
            raise DataError(f"{source.name} is empty", "give a table with at least one row")
        if whole.read(len(_RANDOM_ACCESS_MAGIC)) == _RANDOM_ACCESS_MAGIC:
            file = pyarrow.ipc.open_file(whole)
            batches = (file.get_batch(i) for i in range(file.num_record_batches))
        else:
            whole.seek(0)
            batches = iter(pyarrow.ipc.open_stream(whole))
        for batch in batches:
            table = pa.Table.from_batches([batch])
            chosen = table.select(choose(table.column_names))
            chosen.validate(full=True)  # what comes of a file is only pointed at: nobody has looked into it yet
            yield chosen


class _TypedWriter:
    """Writes tables with the types of the first one."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self._schema: Any = None
        self._writer: Any = None

    def open(self, schema: pa.Schema) -> Any:
        raise NotImplementedError

    def write(self, table: pa.Table) -> None:
        if self._writer is None:
            self._schema = table.schema
            self._writer = self.open(table.schema)
        self._writer.write_table(_cast(table, self._schema))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class ParquetWriter(_TypedWriter):
    def open(self, schema: pa.Schema) -> Any:
        return pyarrow.parquet.ParquetWriter(self._sink, schema, compression="zstd")


class ArrowWriter(_TypedWriter):
    """Writes the layout for random access (Feather), or the one that can be read as it comes from a pipe."""

    def __init__(self, sink: Any, *, is_stream: bool) -> None:
        super().__init__(sink)
        self._new = pyarrow.ipc.new_stream if is_stream else pyarrow.ipc.new_file

    def open(self, schema: pa.Schema) -> Any:
        return self._new(self._sink, schema)


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with the types of `schema`, where no value is changed by that."""
    for index, field in enumerate(schema):
        column = table.column(index)
        if column.type != field.type:
            try:
                table = table.set_column(index, field, pc.cast(column, field.type))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise DataError(
                    f"the column '{field.name}' changes its type from {field.type} to {column.type}",
                    "give it one type in all inputs, or write CSV",
                ) from error
    return table
