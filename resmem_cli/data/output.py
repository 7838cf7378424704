"""Tables out: any supported format, as a file that appears whole or not at all, or on standard output."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

from resmem_cli.data import columnar, delimited_writing, json_lines
from resmem_cli.data.dialect import Dialect
from resmem_cli.data.places import Place, place
from resmem_cli.data.replacement import naming, replacing
from resmem_cli.data.sources import STDIN, Format, compression_of, format_of
from resmem_cli.data.spooling import Spool
from resmem_cli.data.text_file import SEPARATORS
from resmem_cli.errors import DataError

STDOUT = STDIN


class TableWriter(Protocol):
    """Takes tables, in order."""

    def write(self, table: pa.Table, source: str = "") -> None:
        """Take a table; `source` is what it was made from, for errors."""

    def close(self) -> None: ...


def output_format(output: str, forced: Format | None) -> tuple[Format, str | None]:
    """Return the format and compression that an output has, from its name; CSV on standard output and on devices.

    Raises:
        UsageError: the name tells no format, or a compression that the format does not take.
    """
    if output == STDOUT:
        return forced or Format.CSV, None
    if forced is not None:
        return forced, compression_of(place(output), forced)
    if _is_device(place(output)):
        return Format.CSV, None
    return format_of(place(output), hint="name the format with --output-format")


def _is_device(path: Place) -> bool:
    """Whether this is a device such as /dev/null, or a pipe such as bash gives for >(command), without an ending."""
    if not isinstance(path, Path):
        return False
    return not path.suffix and (path.is_char_device() or path.is_fifo() or Path("/dev") in path.absolute().parents)


def from_records(records: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return a table of records of the same fields."""
    return pa.Table.from_pylist(list(records))


@contextmanager
def writer(
    output: str,
    forced: Format | None = None,
    *,
    may_change: bool = False,
    dialect: Callable[[], Dialect] | None = None,
) -> Iterator[TableWriter]:
    """Open an output for tables; on an error nothing is left, and a file that was there before stays as it was.

    Where a column `may_change` its type from table to table, what has types is written when all tables are known. Text
    is written in a `dialect`, which is asked for when the first table comes.

    Raises:
        DataError: a table has other columns than the first one, or a column that the format cannot hold.
        OutputError: the file cannot be written.
        BrokenPipeError: the reader of standard output has gone.
    """
    form, compression = output_format(output, forced)
    with opened(output) as raw:
        stream = _LeftOpen(raw)
        sink: Any = pa.PythonFile(stream, mode="w")
        try:
            if compression:
                sink = pa.CompressedOutputStream(sink, compression)
            with _writer(form, sink, output, dialect, may_change=may_change) as table_writer:
                yield table_writer
                table_writer.close()
            sink.close() if compression else sink.flush()
        except BaseException:
            stream.abandon()
            raise


@contextmanager
def opened(output: str, *, option: str = "--output") -> Iterator[BinaryIO]:
    """Open an output for bytes; on an error no file is left, and one that was there before stays as it was.

    Raises:
        OutputError: it cannot be written.
        BrokenPipeError: the reader of standard output has gone.
    """
    if output == STDOUT:
        with naming("standard output", option=option):
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        return
    with made_whole(place(output), option=option) as stream:
        yield stream


@contextmanager
def made_whole(target: Place, *, option: str = "", synced: bool = True) -> Iterator[BinaryIO]:
    """Open a file, or an object of a store, that appears complete when the block ends without an error, or not at all.

    The arguments are those of `replacing`.

    Raises:
        OutputError: it cannot be written.
        UsageError: the store is one that cannot be written to.
    """
    if isinstance(target, Path):
        with replacing(target, option=option, synced=synced) as stream:
            yield stream
        return
    from resmem_cli.data.uploading import uploading

    with uploading(target, option=option) as stream:
        yield stream


# How each format is written: by a sink of bytes, and whether that is a stream, of which nothing can be written again.
WRITERS: dict[Format, Callable[[Any, bool], TableWriter]] = {
    Format.CSV: lambda sink, _: delimited_writing.Writer(sink, SEPARATORS[Format.CSV]),
    Format.TSV: lambda sink, _: delimited_writing.Writer(sink, SEPARATORS[Format.TSV]),
    Format.JSONL: lambda sink, _: json_lines.Writer(sink),
    Format.PARQUET: lambda sink, _: columnar.ParquetWriter(sink),
    Format.ARROW: lambda sink, is_stream: columnar.ArrowWriter(sink, is_stream=is_stream),
}


@contextmanager
def _writer(
    form: Format, sink: Any, output: str, dialect: Callable[[], Dialect] | None, *, may_change: bool
) -> Iterator[TableWriter]:
    made = WRITERS[form](sink, output == STDOUT)
    if dialect is not None and isinstance(made, delimited_writing.Writer):
        made.write_as(dialect)
    if form is Format.JSONL:  # every line names its own columns
        yield made
    elif may_change and not form.is_text:
        with Spool(made, None if output == STDOUT else _folder_of(place(output))) as spool:
            yield _Uniform(spool)
    else:
        yield _Uniform(made)


def _folder_of(target: Place) -> Path | None:
    """Return the folder that has room for an output: of an object of a store, that of the system's temporary files."""
    return Path(os.path.realpath(target)).parent if isinstance(target, Path) else None


class _Uniform:
    """Gives every table the order of columns that the first one has."""

    def __init__(self, table_writer: TableWriter) -> None:
        self._writer = table_writer
        self._first: tuple[list[str], str] | None = None

    def write(self, table: pa.Table, source: str = "") -> None:
        if self._first is None:
            self._first = table.column_names, source
        names, first = self._first
        odd = sorted(set(table.column_names) ^ set(names))
        if odd:
            which = f"{first} and {source}" if first != source else "the inputs"
            raise DataError(
                f"{which} differ in the column{'s' * (len(odd) > 1)} " + ", ".join(f"'{name}'" for name in odd),
                "give files of the same columns, or predict them one by one",
            )
        self._writer.write(table if table.column_names == names else table.select(names), source)

    def close(self) -> None:
        self._writer.close()


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
