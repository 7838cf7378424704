"""Files to read and streams to stand in for standard input and output."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.feather
import pyarrow.json
import pyarrow.parquet
import pytest

from resmem_cli.data import output, sources, tables
from resmem_cli.data.rows import Rows
from resmem_cli.data.sources import Format

FileMaker = Callable[[str, str | bytes | pa.Table], str]


def _csv_bytes(table: pa.Table, separator: str) -> bytes:
    lines = [table.column_names, *([_text(v) for v in row.values()] for row in table.to_pylist())]
    return "".join(separator.join(line) + "\n" for line in lines).encode()


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _arrow_bytes(table: pa.Table, *, is_stream: bool) -> bytes:
    sink = io.BytesIO()
    with (pa.ipc.new_stream if is_stream else pa.ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    return sink.getvalue()


def _parquet_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink, row_group_size=3)
    return sink.getvalue()


def _zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


def as_bytes(name: str, table: pa.Table) -> bytes:
    """The table in the format that the name tells, written by other code than ours."""
    if name.endswith(".gz"):
        return gzip.compress(as_bytes(name.removesuffix(".gz"), table))
    if name.endswith(".zst"):
        return _zstd(as_bytes(name.removesuffix(".zst"), table))
    kind = name.rpartition(".")[2]
    if kind in ("csv", "tsv", "tab"):
        return _csv_bytes(table, "," if kind == "csv" else "\t")
    if kind in ("parquet", "pq"):
        return _parquet_bytes(table)
    if kind in ("jsonl", "ndjson"):
        import json

        return "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()
    return _arrow_bytes(table, is_stream=kind == "ipc")


@pytest.fixture
def file(tmp_path: Path) -> FileMaker:
    """Write text, bytes or a table to a file, and return its path."""

    def make(name: str, content: str | bytes | pa.Table) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pa.Table):
            content = as_bytes(name, content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return make


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | bytes | io.RawIOBase], None]:
    """Put bytes, or a stream, in the place of standard input."""

    def put(content: str | bytes | io.RawIOBase) -> None:
        data = content.encode() if isinstance(content, str) else content
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data) if isinstance(data, bytes) else data))

    return put


def read(*words: str, forced: Format | None = None, **options: object) -> list[Rows]:
    """All batches of the inputs that the words name."""
    return list(tables.read(sources.resolve(words, forced), **options))


def values(batches: list[Rows]) -> list[dict[str, object]]:
    """The rows of all batches as dictionaries."""
    return [row for batch in batches for row in batch.table.to_pylist()]


def write(path: str | Path, *parts: pa.Table, forced: Format | None = None) -> None:
    """Write the parts to one output."""
    with output.writer(str(path), forced) as table:
        for part in parts:
            table.write(part)


def read_back(path: str | Path) -> pa.Table:
    """The whole of a file."""
    return pa.concat_tables(batch.table for batch in read(str(path)))


@pytest.fixture(name="read")
def read_fixture() -> Callable[..., list[Rows]]:
    return read


@pytest.fixture(name="values")
def values_fixture() -> Callable[[list[Rows]], list[dict[str, object]]]:
    return values


@pytest.fixture(name="as_bytes")
def as_bytes_fixture() -> Callable[[str, pa.Table], bytes]:
    return as_bytes


@pytest.fixture(name="write")
def write_fixture() -> Callable[..., None]:
    return write


@pytest.fixture(name="read_back")
def read_back_fixture() -> Callable[[str | Path], pa.Table]:
    return read_back
