"""Tables whose types are not known before the last of them: kept aside until then, and written with one schema."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.ipc

from resmem_cli.data import promotion


class _Writer(Protocol):
    def write(self, table: pa.Table, source: str = "") -> None: ...

    def close(self) -> None: ...


class Spool:
    """Takes tables of the same columns, in order, and gives them to another writer with types that hold all values.

    The tables are kept in a file without a name, which is gone with this process.
    """

    def __init__(self, table_writer: _Writer, folder: Path | None) -> None:
        self._writer = table_writer
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it is closed with this
        self._parts: list[tuple[int, str]] = []  # where each begins, and its source
        self._stream: Any = None
        self._last: tuple[pa.Schema, str] | None = None
        self._schema: pa.Schema | None = None
        self._sources: dict[str, str] = {}  # of each column's type

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, table: pa.Table, source: str = "") -> None:
        if self._last is None or self._last[1] != source or not self._last[0].equals(table.schema):
            self._promote(table.schema, source)
            self._end()
            self._parts.append((self._file.tell(), source))
            self._stream = pyarrow.ipc.new_stream(self._file, table.schema)
            self._last = table.schema, source
        self._stream.write_table(table)

    def close(self) -> None:
        self._end()
        for start, source in self._parts:
            self._file.seek(start)
            stream = pyarrow.ipc.open_stream(self._file)
            if len(self._parts) == 1:  # which may have no rows: then the columns are still told
                self._writer.write(self._promoted(stream.schema.empty_table(), source), source)
            for batch in stream:
                self._writer.write(self._promoted(pa.Table.from_batches([batch]), source), source)
        self._writer.close()

    def _end(self) -> None:
        if self._stream is not None:
            self._stream.close()

    def _promote(self, schema: pa.Schema, source: str) -> None:
        if self._schema is None:
            self._schema, self._sources = schema, dict.fromkeys(schema.names, source)
            return
        common, name = promotion.common_schema(self._schema, schema)
        if common is None:
            before = self._schema.field(name).type, self._sources[name]
            raise promotion.other_type(name, before, (schema.field(name).type, source), hint=promotion.OR_TEXT)
        types = zip(common.names, common.types, self._schema.types, strict=True)
        self._sources |= {name: source for name, new, old in types if new != old}
        self._schema = common

    def _promoted(self, table: pa.Table, source: str) -> pa.Table:
        wanted = self._schema or table.schema
        for at, field in enumerate(wanted):
            column = table.column(at)
            try:
                table = table.set_column(at, field, promotion.cast(column, field.type))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                other = field.type, self._sources[field.name]
                raise promotion.other_type(field.name, (column.type, source), other, hint=promotion.OR_TEXT) from error
        return table
