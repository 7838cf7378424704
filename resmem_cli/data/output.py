"""Tables out: a file that appears whole or not at all, or standard output."""

from __future__ import annotations

import io
import json
import math
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet

from resmem_cli.data.sources import STDIN, Format, format_of
from resmem_cli.errors import DataError, OutputError

STDOUT = STDIN


class TableWriter(Protocol):
    """Takes tables of one schema, in order."""

    def write(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


def output_format(output: str, forced: Format | None) -> tuple[Format, str | None]:
    """Return the format and compression that an output has, from its name; CSV on standard output.

    Raises:
        UsageError: the name tells no format.
    """
    if output == STDOUT:
        return forced or Format.CSV, None
    compression = {".gz": "gzip", ".zst": "zstd"}.get(Path(output).suffix.lower())
    if forced is not None:
        return forced, compression
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
        sink: Any = pa.PythonFile(_LeftOpen(raw), mode="w")
        if compression:
            sink = pa.CompressedOutputStream(sink, compression)
        table_writer = _WRITERS[form](sink)
        yield table_writer
        table_writer.close()
        sink.close() if compression else sink.flush()


class _LeftOpen(io.RawIOBase):
    """Passes bytes on, but not the closing: Arrow closes what it is given, and standard output is not ours."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._stream.write(data)

    def flush(self) -> None:
        if not self._stream.closed:
            self._stream.flush()


@contextmanager
def _opened(output: str) -> Iterator[BinaryIO]:
    if output == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif _is_special(Path(output)):
        with _naming(output), open(output, "wb") as stream:
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
    final = path.resolve()
    with _naming(str(path)):
        if final.is_dir():
            raise IsADirectoryError(f"'{path}' is a directory")
        temporary = final.with_name(f".{final.name}.{secrets.token_hex(4)}.tmp")
        mode = stat.S_IMODE(final.stat().st_mode) if final.exists() else 0o666
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, final)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _naming(output: str) -> Iterator[None]:
    """Turn the system's errors about an output into one that names it."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"'{output}' cannot be written ({reason})", "free some space, or choose another place with --output"
        ) from error


class _Columnar:
    """Parquet and Arrow: the first table's schema holds for all."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self._writer: Any = None

    def open(self, schema: pa.Schema) -> Any:
        raise NotImplementedError

    def write(self, table: pa.Table) -> None:
        if self._writer is None:
            self._writer = self.open(table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _Parquet(_Columnar):
    def open(self, schema: pa.Schema) -> Any:
        return pyarrow.parquet.ParquetWriter(self._sink, schema, compression="zstd")


class _Arrow(_Columnar):
    def open(self, schema: pa.Schema) -> Any:
        return pyarrow.ipc.new_stream(self._sink, schema)


class _Delimited:
    """CSV: text is quoted only where it must be, and the lines are made by Arrow, not by Python."""

    def __init__(self, sink: Any, separator: str) -> None:
        self._sink = sink
        self._separator = separator
        self._special = f'["\r\n{separator}]'
        self._is_first = True

    def write(self, table: pa.Table) -> None:
        if self._is_first:
            names = self._quoted(pa.array(table.column_names, pa.string())).to_pylist()
            self._sink.write((self._separator.join(names) + "\n").encode())
            self._is_first = False
        columns = [self._text(name, table.column(name)) for name in table.column_names]
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
        try:
            text = pc.cast(column, pa.string())
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
            raise DataError(
                f"the column '{name}' of type {column.type} cannot be written as text",
                "leave it out with --keep, or write Parquet",
            ) from error
        return pc.fill_null(self._quoted(text) if _may_need_quotes(column.type) else text, "")

    def _quoted(self, text: pa.Array) -> pa.Array:
        special = pc.match_substring_regex(text, self._special)
        if not pc.any(special).as_py():
            return text
        quoted = pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', "")
        return pc.if_else(special, quoted, text)


class _JsonLines:
    def __init__(self, sink: Any) -> None:
        self._sink = sink

    def write(self, table: pa.Table) -> None:
        lines = (json.dumps(_finite(row), ensure_ascii=False, default=str) for row in table.to_pylist())
        self._sink.write("".join(f"{line}\n" for line in lines).encode())

    def close(self) -> None:
        return


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: a missing number is null."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


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
