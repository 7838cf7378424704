"""Which whole numbers of JSON lose digits as floats, and where they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resmem_cli.data import kinds

Path = tuple[str, ...]  # the names of the keys that lead to a number, lists left out
Lost = dict[Path, tuple[int, str]]  # by path: the row of the first number that a float changes, and its digits

_KEPT_DIGITS = 15
_SPACE = re.compile(r"[ \t\r\n]*")
_ROWS_AT_ONCE = 1024


class _Whole(str):
    """The digits of a number that is written without a fraction and an exponent."""

    __slots__ = ()


def parts(column: pa.ChunkedArray, name: str) -> list[tuple[Path, pa.Array]]:
    """Return the parts of a column that are neither lists nor objects, with their paths."""
    return _parts(column.combine_chunks(), (name,))


def _parts(array: pa.Array, path: Path) -> list[tuple[Path, pa.Array]]:
    if pa.types.is_struct(array.type):
        fields = zip(array.type, array.flatten(), strict=True)
        return [found for field, part in fields for found in _parts(part, (*path, field.name))]
    return _parts(array.flatten(), path) if pa.types.is_list(array.type) else [(path, array)]


def float_paths(arrow_type: pa.DataType, path: Path) -> list[Path]:
    """Return the paths of the parts of a type that are floats."""
    if pa.types.is_struct(arrow_type):
        return [found for field in arrow_type for found in float_paths(field.type, (*path, field.name))]
    if pa.types.is_list(arrow_type):
        return float_paths(arrow_type.value_type, path)
    return [path] if pa.types.is_floating(arrow_type) else []


def is_large(array: pa.Array) -> bool:
    """Whether some numbers are so large that floats may lose digits of them."""
    return bool(pc.any(pc.greater_equal(pc.abs(pc.cast(array, pa.float64(), safe=False)), kinds.EXACT)).as_py())


def lost_as_floats(table: pa.Table, known: Lost) -> Lost:
    """Return where numbers that are whole by their type would lose digits as floats, but for paths that are known."""
    lost: Lost = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        for path, array in parts(column, name):
            is_whole = pa.types.is_integer(array.type) or pa.types.is_decimal(array.type)
            first = _first_lost(column, path) if is_whole and path not in known and is_large(array) else None
            if first is not None:
                lost[path] = first
    return lost


def _first_lost(column: pa.ChunkedArray, path: Path) -> tuple[int, str] | None:
    for start in range(0, len(column), _ROWS_AT_ONCE):
        for row, value in enumerate(column.slice(start, _ROWS_AT_ONCE).to_pylist(), start):
            for number in _numbers(value, path[1:]):
                if loses(digits := f"{number:d}" if isinstance(number, int) else f"{number:f}"):
                    return row, digits
    return None


def written(block: bytes, paths: set[Path]) -> tuple[set[Path], Lost]:
    """Return which paths have numbers with a fraction or an exponent, and where whole ones lose digits as floats.

    Raises:
        pa.ArrowInvalid: a number is no JSON, as Inf, which Arrow takes.
    """
    decoder = json.JSONDecoder(parse_int=_Whole)
    text, at, row = block.decode(), 0, 0
    floats: set[Path] = set()
    lost: Lost = {}
    while (at := _end_of_space(text, at)) < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise pa.ArrowInvalid(f"JSON parse error: {error.msg} in row {row}") from error
        for path in paths:
            for number in _numbers(value, path):
                if not isinstance(number, _Whole):
                    floats.add(path)
                elif path not in lost and loses(number):
                    lost[path] = row, str(number)
        row += 1
    return floats, lost


def _end_of_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _numbers(value: Any, path: Path) -> Iterator[Any]:
    """Yield what lies at the end of a path, through every list."""
    if isinstance(value, list):
        for each in value:
            yield from _numbers(each, path)
    elif path:
        if isinstance(value, dict):
            yield from _numbers(value.get(path[0]), path[1:])
    elif value is not None:
        yield value


def loses(digits: str) -> bool:
    """Whether the shortest text of the float that is nearest to a whole number is another number.

    What was a float when it was written, as all numbers of JavaScript, loses nothing.
    """
    return len(digits) > _KEPT_DIGITS and Decimal(digits) != Decimal(repr(float(digits)))
