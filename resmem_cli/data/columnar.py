"""Parquet and Arrow (Feather): formats whose columns have types, read and written in batches."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from resmem_cli.data import promotion, streams
from resmem_cli.data.pruning import Where, groups_that_may_match
from resmem_cli.data.sources import Format, Source
from resmem_cli.errors import DataError

_RANDOM_ACCESS_MAGIC = b"ARROW1"


def read_parquet(
    source: Source,
    stream: BinaryIO | None,
    batch_rows: int,
    choose: Callable[[Sequence[str]], list[str]],
    *,
    where: Where = (),
    gaps: list[tuple[int, int]] | None = None,
) -> Generator[pa.Table]:
    """Yield the rows of a Parquet file, of those columns that `choose` picks from the file's.

    Row groups in which no row can have the values of `where` are left out, as are those that are not of the source. To
    `gaps` is added before which of the yielded rows, from 0, and how many rows each of them has.
    """
    with _parquet(source, stream) as file:
        chosen = choose(file.schema_arrow.names)
        first, end = source.row_groups or (0, file.num_row_groups)
        groups = [group for group in groups_that_may_match(file, where) if first <= group < end]
        if gaps is not None:
            gaps += _gaps([file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)], groups)
        # Of a store, what is needed of one row group comes in few large requests, and is held.
        for together in [[group] for group in groups] if source.is_remote else [groups]:
            for batch in file.iter_batches(batch_size=batch_rows, row_groups=together, columns=chosen):
                yield pa.Table.from_batches([batch])
        if file.metadata.num_rows == 0:
            yield file.schema_arrow.empty_table().select(chosen)


@contextmanager
def _parquet(source: Source, stream: BinaryIO | None) -> Iterator[pyarrow.parquet.ParquetFile]:
    # A Parquet file is read from its end: a stream has to be held in memory.
    if stream is not None:
        opened = pa.BufferReader(stream.read())
    else:
        opened = streams.at_random(source) if source.is_remote else pa.OSFile(str(source.path))
    with opened, pyarrow.parquet.ParquetFile(opened, pre_buffer=source.is_remote) as file:
        yield file


def _gaps(sizes: Sequence[int], groups: Sequence[int]) -> list[tuple[int, int]]:
    kept = set(groups)
    before = np.cumsum([0, *(size * (i in kept) for i, size in enumerate(sizes))]).tolist()
    return [(before[i], size) for i, size in enumerate(sizes) if i not in kept]


def schema_of(source: Source) -> pa.Schema:
    """Return the names and types of a Parquet or Arrow file, of which little is read."""
    if source.format is Format.PARQUET:
        with _parquet(source, None) as file:
            return file.schema_arrow
    with streams.at_random(source) as opened:
        if opened.read(len(_RANDOM_ACCESS_MAGIC)) == _RANDOM_ACCESS_MAGIC:
            return pyarrow.ipc.open_file(opened).schema
        opened.seek(0)
        return pyarrow.ipc.open_stream(opened).schema


def rows_of_groups(source: Source) -> list[int]:
    """Return what a Parquet file's end says of how many rows each row group has that is of the source."""
    with _parquet(source, None) as file:
        first, end = source.row_groups or (0, file.num_row_groups)
        return [file.metadata.row_group(group).num_rows for group in range(first, end)]


def read_arrow(
    source: Source, stream: BinaryIO | None, choose: Callable[[Sequence[str]], list[str]]
) -> Generator[pa.Table]:
    """Yield the rows of an Arrow file in either of its layouts, of those columns that `choose` picks.

    Raises:
        DataError: there is not a single byte.
    """
    # Both layouts are accepted also as a stream, and the random-access one needs a seek.
    opened = pa.BufferReader(stream.read()) if stream is not None else streams.at_random(source)
    with opened:
        if opened.size() == 0:
            raise DataError(f"{source.name} is empty", "give a table with at least one row")
        if opened.read(len(_RANDOM_ACCESS_MAGIC)) == _RANDOM_ACCESS_MAGIC:
            file = pyarrow.ipc.open_file(opened)
            schema, batches = file.schema, (file.get_batch(i) for i in range(file.num_record_batches))
        else:
            opened.seek(0)
            stream_reader = pyarrow.ipc.open_stream(opened)
            schema, batches = stream_reader.schema, iter(stream_reader)
        is_empty = True
        for batch in batches:
            is_empty = False
            table = pa.Table.from_batches([batch])
            chosen = table.select(choose(table.column_names))
            chosen.validate(full=True)  # what comes of a file is only pointed at: nobody has looked into it yet
            yield chosen
        if is_empty:
            yield schema.empty_table().select(choose(schema.names))


class _TypedWriter:
    """Writes tables with the types of the first one."""

    form: Format

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self._first: tuple[pa.Schema, str] | None = None
        self._writer: Any = None

    def open(self, sink: Any, schema: pa.Schema) -> Any:
        raise NotImplementedError

    def write(self, table: pa.Table, source: str = "") -> None:
        if self._first is None:
            self._first = table.schema, source
            self._require_writable(table.schema)
            self._writer = self.open(self._sink, table.schema)
        table = _cast(table, source, *self._first)
        try:
            self._writer.write_table(self._shared(table))
        except pa.ArrowException as error:
            raise DataError(
                f"the rows of {source or 'the table'} cannot be written as {self.form} ({error})",
                "leave columns out with --keep, or write another format",
            ) from error

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _shared(self, table: pa.Table) -> pa.Table:
        return table

    def _require_writable(self, schema: pa.Schema) -> None:
        """Refuse a column of a type that the format does not have."""
        for field in schema:
            try:
                self.open(io.BytesIO(), pa.schema([field])).close()
            except (pa.ArrowException, OSError) as error:
                raise DataError(
                    f"the column '{field.name}' of type {field.type} cannot be written as {self.form}",
                    "leave it out with --keep, or write another format",
                ) from error


class ParquetWriter(_TypedWriter):
    form = Format.PARQUET

    def open(self, sink: Any, schema: pa.Schema) -> Any:
        return pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd")


class ArrowWriter(_TypedWriter):
    """Writes the layout for random access (Feather), or the one that can be read as it comes from a pipe."""

    form = Format.ARROW

    def __init__(self, sink: Any, *, is_stream: bool) -> None:
        super().__init__(sink)
        self._new = pyarrow.ipc.new_stream if is_stream else pyarrow.ipc.new_file
        self._is_stream = is_stream
        self._dictionaries: dict[str, pa.Array] = {}

    def open(self, sink: Any, schema: pa.Schema) -> Any:
        return self._new(sink, schema, options=pyarrow.ipc.IpcWriteOptions(emit_dictionary_deltas=True))

    def _shared(self, table: pa.Table) -> pa.Table:
        """Give every table the dictionaries of those before it, and what is new: the file layout has one of each."""
        for at, field in enumerate(table.schema):
            if pa.types.is_dictionary(field.type) and not self._is_stream:
                before = self._dictionaries.get(field.name, pa.nulls(0, field.type))
                unified = pa.chunked_array([before, *table.column(at).chunks], field.type).unify_dictionaries()
                self._dictionaries[field.name] = unified.chunk(0)
                table = table.set_column(at, field, pa.chunked_array(unified.chunks[1:], field.type))
        return table


def _cast(table: pa.Table, source: str, schema: pa.Schema, first: str) -> pa.Table:
    """Return the table with the types of `schema`, where no value is changed by that."""
    for at, field in enumerate(schema):
        column = table.column(at)
        if column.type != field.type:
            try:
                table = table.set_column(at, field, promotion.cast(column, field.type))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                types = (field.type, first), (column.type, source)
                raise promotion.other_type(field.name, *types, hint=promotion.OR_TEXT) from error
    return table
