"""Tables out: a file that appears whole or not at all, or standard output."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet

from resmem_cli.data.sources import STDIN, Format, compression_of, format_of
from resmem_cli.errors import DataError, OutputError

STDOUT = STDIN


class TableWriter(Protocol):
    """Takes tables of one schema, in order."""

    def write(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


def output_format(output: str, forced: Format | None) -> tuple[Format, str | None]:
    """Return the format and compression that an output has, from its name; CSV on standard output.

    Raises:
        UsageError: the name tells no format, or a compression that the format does not take.
    """
    if output == STDOUT:
        return forced or Format.CSV, None
    if forced is not None:
        return forced, compression_of(Path(output), forced)
    return format_of(Path(output), hint="name the format with --output-format")


@contextmanager
def writer(output: str, forced: Format | None = None) -> Iterator[TableWriter]:
    """Open an output for tables; on an error nothing is left, and a file that was there before stays as it was.

    Raises:
        OutputError: the file cannot be written.
        BrokenPipeError: the reader of standard output has gone.
    """
    form, compression = output_format(output, forced)
    with _opened(output) as raw:
        stream = _LeftOpen(raw)
        sink: Any = pa.PythonFile(stream, mode="w")
        try:
            if compression:
                sink = pa.CompressedOutputStream(sink, compression)
            # A reader at the other end of a pipe takes Arrow's stream; files are for random access (Feather).
            table_writer = _ArrowStream(sink) if form is Format.ARROW and output == STDOUT else _WRITERS[form](sink)
            yield table_writer
            table_writer.close()
            sink.close() if compression else sink.flush()
        except BaseException:
            stream.abandon()
            raise


class _LeftOpen(io.RawIOBase):
    """Passes bytes on, but not the closing: Arrow closes what it is given, and standard output is not ours."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._is_abandoned = False

    def abandon(self) -> None:
        """Pass nothing on any more: Arrow's writers end their file when they are deleted, also after an error."""
        self._is_abandoned = True

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return len(data) if self._is_abandoned else self._stream.write(data)

    def flush(self) -> None:
        if not self._is_abandoned and not self._stream.closed:
            self._stream.flush()


@contextmanager
def _opened(output: str) -> Iterator[BinaryIO]:
    if output == STDOUT:
        with _naming("standard output"):
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        return
    with _naming(f"'{output}'"):
        if _is_special(Path(output)):
            with open(output, "wb") as stream:
                yield stream
        else:
            with replacing(Path(output)) as stream:
                yield stream


def _is_special(path: Path) -> bool:
    """Whether this is a device or a pipe, which is written to and never replaced."""
    return path.exists() and not stat.S_ISREG(path.stat().st_mode) and not path.is_dir()


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path` that takes its place, synced to disk, when the block ends without an error.

    Raises:
        OutputError: the folder is missing or not writable, or the disk is full.
    """
    with _naming(f"'{path}'"):
        final = Path(os.path.realpath(path))
        if final.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        temporary = final.with_name(f".{final.name}.{secrets.token_hex(4)}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                if final.exists():
                    os.fchmod(descriptor, stat.S_IMODE(final.stat().st_mode))
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, final)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _naming(output: str) -> Iterator[None]:
    """Turn the system's errors about an output into one that names it (with quotes, if it is a path)."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        first = {errno.ENOSPC: "free some space", errno.ENOENT: "make the folder first"}.get(error.errno or 0)
        raise OutputError(
            f"{output} cannot be written ({reason})", f"{first or 'check the path'}, or choose another with --output"
        ) from error


class _Columnar:
    """Parquet and Arrow: the first table's schema holds for all."""

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
        self._writer.write_table(_cast(_ordered(table, self._schema.names), self._schema))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _Parquet(_Columnar):
    def open(self, schema: pa.Schema) -> Any:
        return pyarrow.parquet.ParquetWriter(self._sink, schema, compression="zstd")


class _Arrow(_Columnar):
    def open(self, schema: pa.Schema) -> Any:
        return pyarrow.ipc.new_file(self._sink, schema)


class _ArrowStream(_Columnar):
    def open(self, schema: pa.Schema) -> Any:
        return pyarrow.ipc.new_stream(self._sink, schema)


def _ordered(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return the table with its columns in the order of the first table's."""
    odd = sorted(set(table.column_names) ^ set(names))
    if odd:
        raise DataError(
            f"the inputs differ in the column{'s' * (len(odd) > 1)} " + ", ".join(f"'{name}'" for name in odd),
            "give files of the same columns, or predict them one by one",
        )
    return table if table.column_names == list(names) else table.select(list(names))


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with the types of the first one, where no value is changed by that."""
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


class _Delimited:
    """CSV: text is quoted only where it must be, and the lines are made by Arrow, not by Python."""

    def __init__(self, sink: Any, separator: str) -> None:
        self._sink = sink
        self._separator = separator
        self._special = f'["\r\n{separator}]'
        self._names: list[str] = []

    def write(self, table: pa.Table) -> None:
        if not self._names:
            self._names = table.column_names
            names = self._quoted(pa.array(self._names, pa.string())).to_pylist()
            self._sink.write(((self._separator.join(names) or '""') + "\n").encode())
        table = _ordered(table, self._names)
        columns = [self._text(name, table.column(name)) for name in self._names]
        if len(columns) == 1:  # an empty line would be no row at all
            columns = [pc.if_else(pc.equal(columns[0], ""), '""', columns[0])]
        for start in range(0, table.num_rows, 32_768):  # far below the 2 GiB that one Arrow text array holds
            parts = [column.slice(start, 32_768) for column in columns]
            lines = pc.binary_join_element_wise(*parts, self._separator)
            whole = pa.array(lines.to_pylist()) if isinstance(lines, pa.ChunkedArray) else lines
            self._sink.write(_joined(pc.binary_join_element_wise(whole, "", "\n")))

    def close(self) -> None:
        return

    def _text(self, name: str, column: pa.ChunkedArray) -> pa.Array:
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # more than one chunk stays only past 2 GiB of text
            column = pa.concat_arrays(column.chunks)
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        try:
            text = pc.cast(column, pa.string())
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
            raise _not_text(name, column.type) from error
        return pc.fill_null(self._quoted(text) if _may_need_quotes(column.type) else text, "")

    def _quoted(self, text: pa.Array) -> pa.Array:
        special = pc.match_substring_regex(text, self._special)
        if not pc.any(special).as_py():
            return text
        quoted = pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', "")
        return pc.if_else(special, quoted, text)


_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)


class _JsonLines:
    def __init__(self, sink: Any) -> None:
        self._sink = sink

    def write(self, table: pa.Table) -> None:
        for field in table.schema:
            if any(is_bytes(field.type) for is_bytes in _BYTES):
                raise _not_text(field.name, field.type)
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


def _not_text(name: str, arrow_type: pa.DataType) -> DataError:
    return DataError(
        f"the column '{name}' of type {arrow_type} cannot be written as text",
        "leave it out with --keep, or write Parquet",
    )


def _may_need_quotes(arrow_type: pa.DataType) -> bool:
    return not (pa.types.is_integer(arrow_type) or pa.types.is_floating(arrow_type) or pa.types.is_boolean(arrow_type))


def _joined(lines: pa.Array) -> memoryview:
    """The text of all elements one after the other: an Arrow text array already holds it so."""
    _, offsets, data = lines.buffers()
    ends = memoryview(offsets).cast("i")
    return memoryview(data)[ends[lines.offset] : ends[lines.offset + len(lines)]]


_WRITERS: dict[Format, Callable[[Any], TableWriter]] = {
    Format.CSV: lambda sink: _Delimited(sink, ","),
    Format.TSV: lambda sink: _Delimited(sink, "\t"),
    Format.PARQUET: _Parquet,
    Format.ARROW: _Arrow,
    Format.JSONL: _JsonLines,
}
