"""JSON lines: one object a line, read in blocks that Arrow gives types to, and written by Python.

Text stays text, also where it looks like a date: JSON has no type for those. Whole numbers keep all their digits.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from resmem_cli.data import json_digits, json_types, promotion
from resmem_cli.data.json_digits import Lost
from resmem_cli.data.sources import Source
from resmem_cli.data.streams import MAX_ROW_BYTES, refuse_no_text, whole_lines
from resmem_cli.data.text_form import for_json
from resmem_cli.errors import DataError

MAX_DEPTH = 64
_BLOCK_BYTES = 8 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}\n"))
_BLANK = rb" \t\r\xef\xbb\xbf"  # Arrow passes over a byte order mark at the beginning of any block
_NULL = rb"[" + _BLANK + rb"]*+null"
_NULL_FIRST = re.compile(_NULL)
_NULL_BELOW = re.compile(rb"\n" + _NULL)  # a pattern that begins with one byte is searched for fast
_NULL_BESIDE = re.compile(rb"}" + _NULL)
_OBJECT_BESIDE = re.compile(rb"}[" + _BLANK + rb"]*+{")
_FILLED = re.compile(rb"^[" + _BLANK + rb"]*+[^\n" + _BLANK + rb"]", re.MULTILINE)
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?')


def read(
    source: Source, raw: Any, choose: Callable[[Sequence[str]], list[str]], *, may_be_empty: bool = False
) -> Iterator[pa.Table]:
    """Yield the rows of JSON lines, of those columns that `choose` picks.

    Where nothing is there, and that may be, there is one table without columns.

    A key that a line lacks is missing there; a column that a block has never heard of is in the blocks after it.

    Raises:
        DataError: there is no line, or one that is no JSON, is not one object, is nested more than 64 deep, is longer
            than 64 MB, or changes the type of a column.
        UnicodeError: it is not UTF-8.
    """
    rows, n_bare, schema, is_first = 0, 0, None, True
    lost: Lost = {}
    for lines, _ in whole_lines(raw, _BLOCK_BYTES, ends=(b"\n",)):
        if is_first:
            refuse_no_text(source, lines)
        block = lines.removeprefix(_BYTE_ORDER_MARK) if is_first else lines
        is_first = False
        if not block.strip():
            continue
        _refuse_long_and_deep(source, block, rows)
        codecs.utf_8_decode(block)  # Arrow would take other bytes as they are
        _refuse_null(source, block, rows)
        _refuse_several(source, block, rows)
        table, schema, lost_here = _typed(source, block, rows, schema)
        _refuse_parts(source, block, rows, table.num_rows)
        lost_here |= json_digits.lost_as_floats(table, lost | lost_here)
        lost = {path: (rows + row, digits) for path, (row, digits) in lost_here.items()} | lost
        rows += table.num_rows
        if not schema.names:
            n_bare = rows
            continue
        chosen = pa.schema([schema.field(name) for name in choose(schema.names)])
        _refuse_lost(source, chosen, lost)
        if n_bare:
            yield promotion.cast_table(_bare(n_bare), chosen)
            n_bare = 0
        # A number may be whole in one block and not in another: it is the float that it would be in one block.
        yield promotion.cast_table(table, chosen, safe=False)
    if schema is None and not may_be_empty:
        raise DataError(f"{source.name} is empty", "give at least one line of JSON")
    if schema is None:
        yield pa.table({})
    if n_bare:
        yield _bare(1)  # Arrow cuts and joins no tables without columns: one row says that there are some


def _bare(n_rows: int) -> pa.Table:
    """Return rows without columns."""
    return pa.table({"": pa.nulls(n_rows)}).select([])


def _refuse_null(source: Source, block: bytes, rows_before: int) -> None:
    """Refuse lines that are null instead of an object: Arrow takes them, and ends the process if one is the first."""
    if b"null" not in block or not (
        _NULL_FIRST.match(block) or _NULL_BELOW.search(block) or _NULL_BESIDE.search(block)
    ):
        return
    before, is_there = _first(block.split(b"\n"), _has_null)
    if is_there:
        raise _no_row(source, rows_before + before, "null is no object")


def _has_null(line: bytes) -> bool:
    """Whether null is a value of its own in a line."""
    return bool(
        _NULL_FIRST.match(line) or (_NULL_BESIDE.search(line) and _NULL_BESIDE.search(_STRING.sub(b'""', line)))
    )


def _refuse_several(source: Source, block: bytes, rows_before: int) -> None:
    """Refuse lines of several objects, which Arrow takes: every row is a line, and is named by its number."""
    if _OBJECT_BESIDE.search(block) is None:
        return
    before, is_there = _first(block.split(b"\n"), _has_several)
    if is_there:
        raise _no_row(source, rows_before + before, "it holds several objects")


def _has_several(line: bytes) -> bool:
    return bool(_OBJECT_BESIDE.search(line) and _OBJECT_BESIDE.search(_STRING.sub(b'""', line)))


def _refuse_parts(source: Source, block: bytes, rows_before: int, n_rows: int) -> None:
    """Refuse objects of several lines: Arrow takes them, but not where a block ends within one."""
    n_lines = block.count(b"\n") + (not block.endswith(b"\n"))
    if n_lines == n_rows or len(_FILLED.findall(block)) == n_rows:
        return
    before, is_there = _first(block.split(b"\n"), lambda line: _balance(line)[-1] > 0)
    if is_there:
        raise _no_row(source, rows_before + before, "its object goes on in the next line")


def _refuse_lost(source: Source, schema: pa.Schema, lost: Lost) -> None:
    """Refuse whole numbers that lose digits in a column of floats."""
    floats = [path for field in schema for path in json_digits.float_paths(field.type, (field.name,))]
    found = [(*lost[path], path) for path in floats if path in lost]
    if found:
        row, digits, path = min(found)
        raise DataError(
            f"{source.name}, row {row + 1:,}: column '{'.'.join(path)}' holds {digits:.80}, which would lose digits "
            "in this column of floats",
            "write the numbers of this column as text, in quotes",
        )


def _refuse_long_and_deep(source: Source, block: bytes, rows_before: int) -> None:
    """Refuse lines that would take Arrow's parser too much memory, or more of the stack than there is."""
    if len(block) > MAX_ROW_BYTES:
        before, longest = _first(block.split(b"\n"), lambda line: len(line) > MAX_ROW_BYTES)
        if longest:
            raise DataError(
                f"{source.name}, row {rows_before + before + 1:,} is longer than {MAX_ROW_BYTES >> 20} MB",
                "write one object per line",
            )
    brackets = block.translate(None, _NOT_BRACKETS)
    if max(map(len, brackets.split(b"\n"))) <= MAX_DEPTH:  # that many brackets cannot lie deeper
        return
    before, deep = _first(block.split(b"\n"), lambda line: _depth(line) > MAX_DEPTH)
    if deep:
        raise DataError(
            f"{source.name}, row {rows_before + before + 1:,} is nested more than {MAX_DEPTH} deep",
            "write flat objects, or leave that column out",
        )


def _first(lines: Sequence[bytes], is_meant: Callable[[bytes], bool]) -> tuple[int, bool]:
    """Return how many lines that are not blank lie before the first that is meant, and whether there is one."""
    before = 0
    for line in lines:
        if is_meant(line):
            return before, True
        before += bool(line.strip())
    return before, False


def _depth(line: bytes) -> int:
    """Return how deep the brackets of a line are nested, without those in its strings."""
    return int(_balance(line).max())


def _balance(line: bytes) -> NDArray[np.int64]:
    """Return how many brackets are open at the beginning and behind every byte of a line without its strings."""
    brackets = np.frombuffer(_STRING.sub(b"", line), np.uint8)
    opened = np.isin(brackets, np.frombuffer(b"[{", np.uint8))
    closed = np.isin(brackets, np.frombuffer(b"]}", np.uint8))
    return np.concatenate([[0], np.cumsum(opened.astype(np.int64) - closed)])


def _typed(
    source: Source, block: bytes, rows_before: int, schema: pa.Schema | None
) -> tuple[pa.Table, pa.Schema, Lost]:
    """Return a block of lines as a table, the schema that it and the blocks before it share, and what floats lost."""
    # All types so far are given only where a block does not fit them, so that the first line that breaks them is named.
    what = ""
    for types in (
        json_types.only(schema, pa.types.is_string),
        json_types.only(schema, lambda each: not pa.types.is_null(each)),
    ):
        try:
            table, lost = json_types.inferred(block, types)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            what = str(error)
            continue
        common, column = promotion.common_schema(schema or table.schema, table.schema, exact=False)
        if common is not None:
            return table, common, lost
        what = f"the column '{column}' changes its type"
    reason, _, row = what.rpartition(" in row ")
    raise _no_row(source, rows_before + int(row) if row.isdigit() else None, reason or what)


def _no_row(source: Source, row: int | None, what: str) -> DataError:
    where = "" if row is None else f", row {row + 1:,}"
    return DataError(
        f"{source.name}{where} is not a line of JSON like those before it ({what})",
        "write one object per line, each column of one type",
    )


class Writer:
    """Writes rows as they are: a missing value is null, and so is NaN."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink

    def write(self, table: pa.Table, source: str = "") -> None:
        names = table.column_names
        columns = [for_json(name, table.column(name)) for name in names]
        # Of a table without columns only the number of rows is left.
        rows = zip(*columns, strict=True) if columns else ((),) * table.num_rows
        lines = (json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, default=_digits) for row in rows)
        self._sink.write("".join(f"{line}\n" for line in lines).encode())

    def close(self) -> None:
        return


def _digits(value: Decimal) -> int | str:
    """Return a decimal with all its digits: a number if it is whole by its type, otherwise text."""
    return int(value) if int(value.as_tuple().exponent) >= 0 else str(value)
