"""CSV and TSV out: text as it came, quoted only where it must be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resmem_cli.data.dialect import COMMA, PLAIN, UTF_8, Dialect
from resmem_cli.data.tab_quoting import TAB, TabQuotes
from resmem_cli.data.text_form import as_text
from resmem_cli.data.transcoding import Encoded
from resmem_cli.errors import DataError

_LINES_AT_ONCE = 32_768  # far below the 2 GiB that one Arrow text array holds


class Writer:
    """Quotes text only where it must be; the lines are made by Arrow, not by Python.

    Numbers have the decimal mark of a dialect, and the file its delimiter (but for TSV) and encoding.
    """

    def __init__(self, sink: Any, separator: str) -> None:
        self._sink = sink
        self._separator = separator
        self._is_tab = separator == TAB
        self._dialect: Callable[[], Dialect] = lambda: PLAIN
        self._has_header = self._has_comma = False

    def write_as(self, dialect: Callable[[], Dialect]) -> None:
        """Write in a dialect, which is asked for when the first table comes."""
        self._dialect = dialect

    def _begin(self, dialect: Dialect, n_columns: int) -> None:
        encoding = dialect.encoding or UTF_8
        self._has_comma = dialect.point == COMMA
        if encoding != UTF_8:
            self._sink = Encoded(self._sink, encoding)
        if not self._is_tab:
            # Commas cannot stand between values and before decimals, too.
            self._separator = dialect.delimiter or (";" if self._has_comma else self._separator)
        # A column alone would be taken for several if every value had a delimiter of other files in it.
        others = ",;|" if n_columns == 1 and not self._is_tab else ""
        self._special = f'["\r\n{self._separator}{others}]'

    def write(self, table: pa.Table, source: str = "") -> None:
        if not self._has_header:
            self._begin(self._dialect(), table.num_columns)
        columns = [self._text(name, table.column(name)) for name in table.column_names]
        if not self._has_header:  # only now: of what cannot be written no header is left on standard output
            names = self._quoted(pa.array(table.column_names, pa.string())).to_pylist()
            header = self._separator.join(names) or '""'
            if self._is_tab:
                self._refuse_unlike(pa.array([header]), len(names))
            self._sink.write((header + "\n").encode())
            self._has_header = True
        if len(columns) == 1:  # an empty line would be no row at all
            columns = [pc.if_else(pc.equal(columns[0], ""), '""', columns[0])]
        for start in range(0, table.num_rows, _LINES_AT_ONCE):
            parts = [column.slice(start, _LINES_AT_ONCE) for column in columns]
            lines = pc.binary_join_element_wise(*parts, self._separator)
            values = pa.array(lines.to_pylist()) if isinstance(lines, pa.ChunkedArray) else lines
            if self._is_tab:
                self._refuse_unlike(values, len(columns))
            self._sink.write(_joined(pc.binary_join_element_wise(values, "", "\n")))

    def close(self) -> None:
        return

    def _text(self, name: str, column: pa.ChunkedArray) -> pa.Array:
        text = as_text(name, column)
        if self._has_comma and pa.types.is_floating(column.type):
            text = pc.replace_substring(text, ".", COMMA)
        return pc.fill_null(self._quoted(text) if _may_need_quotes(column.type) else text, "")

    def _refuse_unlike(self, lines: pa.Array, n_columns: int) -> None:
        """Refuse a row of TSV that would be read as several."""
        quotes = TabQuotes(n_columns)
        for line in lines.filter(pc.match_substring_regex(lines, r"[\r\n]")).to_pylist():
            if quotes.changes(line.encode()):
                shown = " ".join(line.split())
                raise DataError(
                    f"a row with tabs and line breaks in its values cannot be told from several in TSV ('{shown:.60}')",
                    "write CSV or Parquet",
                )

    def _quoted(self, text: pa.Array) -> pa.Array:
        special = pc.match_substring_regex(text, self._special)
        if not pc.any(special).as_py():
            return text
        quoted = pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', "")
        return pc.if_else(special, quoted, text)


def _may_need_quotes(arrow_type: pa.DataType) -> bool:
    return not (pa.types.is_integer(arrow_type) or pa.types.is_floating(arrow_type) or pa.types.is_boolean(arrow_type))


def _joined(lines: pa.Array) -> memoryview:
    """The text of all elements one after the other: an Arrow text array already holds it so."""
    _, offsets, data = lines.buffers()
    ends = memoryview(offsets).cast("i")
    return memoryview(data)[ends[lines.offset] : ends[lines.offset + len(lines)]]
