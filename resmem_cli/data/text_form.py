"""Values of any Arrow type as text or JSON: exactly what they are, or a refusal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resmem_cli.errors import DataError

_OUT_OF_RANGE = "<value out of range"  # what Arrow writes for instants that no calendar has
_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
# A duration as text would be a number without its unit.
_WITHOUT_TEXT = (pa.types.is_duration, pa.types.is_interval, pa.types.is_union)
_INSTANTS = (pa.types.is_date, pa.types.is_time, pa.types.is_timestamp)


class NotTextError(Exception):
    """A value has no text, or a type has none."""


def not_text(name: str, arrow_type: pa.DataType) -> DataError:
    """Return the error for a column that a text format cannot hold."""
    return DataError(
        f"the column '{name}' of type {arrow_type} cannot be written as text",
        "leave it out with --keep, or write Parquet",
    )


def as_text(name: str, column: pa.ChunkedArray) -> pa.Array:
    """Return a column as text; a missing value, and NaN, is null. Lists of numbers are written as JSON: [1, 2.5].

    Raises:
        DataError: its type has no text, or a value.
    """
    try:
        return _text(_plain(_whole(column)))
    except (NotTextError, pa.ArrowException) as error:
        raise not_text(name, column.type) from error


def for_json(name: str, column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column as Python's JSON module takes them, but for decimals; NaN is None.

    Raises:
        DataError: its type cannot be written as JSON, or a value, as an infinite number.
    """
    try:
        values: list[Any] = _ready(_whole(column)).to_pylist()
    except _InfiniteError:
        raise DataError(
            f"the column '{name}' holds an infinite number, which JSON does not have",
            "leave it out with --keep, or write CSV or Parquet",
        ) from None
    except (NotTextError, pa.ArrowException, ValueError) as error:
        raise not_text(name, column.type) from error
    return values


class _InfiniteError(Exception):
    """A number is infinite."""


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # more than one chunk stays only past 2 GiB of text
        column = pa.concat_arrays(column.chunks)
    return column


def _plain(array: pa.Array) -> pa.Array:
    """Return an array without an encoding of its own."""
    if isinstance(array.type, pa.BaseExtensionType):
        if not pa.types.is_string(array.type.storage_type):  # its bytes or numbers mean something else
            raise NotTextError
        return array.storage
    if pa.types.is_dictionary(array.type):
        return _plain(pc.cast(array, array.type.value_type))
    if pa.types.is_run_end_encoded(array.type):
        return _plain(pc.run_end_decode(array))
    if pa.types.is_list_view(array.type) or pa.types.is_large_list_view(array.type):
        # Not by a cast, which breaks slices.
        return pa.ListArray.from_arrays(_offsets(array), array.flatten(), mask=array.is_null())
    return array


def _text(array: pa.Array) -> pa.Array:
    if any(is_one(array.type) for is_one in _WITHOUT_TEXT):
        raise NotTextError
    if _is_list(array.type):
        return _lists_as_text(array)
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    text = pc.cast(array, pa.string())
    if any(is_one(array.type) for is_one in _INSTANTS) and pc.any(pc.starts_with(text, _OUT_OF_RANGE)).as_py():
        raise NotTextError
    return text


def _lists_as_text(array: pa.Array) -> pa.Array:
    """Return lists of numbers as JSON: [1, 2.5]."""
    if not any(is_one(array.type.value_type) for is_one in _NUMBERS):
        raise NotTextError
    texts = pc.fill_null(pc.cast(array.flatten(), pa.string()), "null")
    lists = pa.ListArray.from_arrays(_offsets(array), texts, mask=array.is_null())
    return pc.binary_join_element_wise("[", pc.binary_join(lists, ", "), "]", "")


def _ready(array: pa.Array) -> pa.Array:
    """Return an array whose values are those of JSON, at every depth."""
    array = _plain(array)
    kind = array.type
    if any(is_one(kind) for is_one in (*_WITHOUT_TEXT, *_BYTES)):
        raise NotTextError
    if any(is_one(kind) for is_one in _INSTANTS):
        return _text(array)
    if pa.types.is_floating(kind):
        if pc.any(pc.is_inf(array)).as_py():
            raise _InfiniteError
        return pc.if_else(pc.is_nan(array), pa.scalar(None, kind), array)
    if pa.types.is_struct(kind):
        parts = [_ready(part) for part in array.flatten()]
        fields = [pa.field(field.name, part.type) for field, part in zip(kind, parts, strict=True)]
        return pa.StructArray.from_arrays(parts, fields=fields, mask=array.is_null())
    if pa.types.is_map(kind):
        parts = [_ready(part) for part in (array.keys, array.items)]
        if [part.type for part in parts] != [kind.key_type, kind.item_type]:
            raise NotTextError  # a map is put together again by Arrow only as it was
        return array
    if _is_list(kind):
        return pa.ListArray.from_arrays(_offsets(array), _ready(array.flatten()), mask=array.is_null())
    return array


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _offsets(array: pa.Array) -> pa.Array:
    """Return where each list begins in what `flatten` gives: without what missing lists hold."""
    lengths = np.asarray(pc.fill_null(pc.list_value_length(array), 0))
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
