"""The type that holds the values of two others, so that no file and no block has to come first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resmem_cli.errors import DataError

_EXACT_DIGITS = 15  # of a decimal, which a 64-bit float keeps
_ONE_TYPE = "give it one type in all inputs"
OR_TEXT = f"{_ONE_TYPE}, or write CSV"
_DIGITS = {8: 3, 16: 5, 32: 10, 64: 20}  # of integers of so many bits, signed or not, as Arrow counts them
_MOST_DIGITS_OF_128, _MOST_DIGITS_OF_256 = 38, 76
_ANY_INTEGER = pa.decimal128(20, 0)  # signed and unsigned ones of 64 bits


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column without an encoding that most of Arrow's functions do not take: dictionaries and text views."""
    if pa.types.is_dictionary(column.type) and pa.types.is_string_view(column.type.value_type):
        # Arrow casts no dictionary of views, as polars has them.
        chunks = [pc.cast(chunk.dictionary, pa.string()).take(chunk.indices) for chunk in column.chunks]
        return pa.chunked_array(chunks, pa.string())
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    return pc.cast(column, pa.string()) if pa.types.is_string_view(column.type) else column


def common_type(one: pa.DataType, other: pa.DataType, *, exact: bool = True) -> pa.DataType | None:
    """Return the type that holds every value of both, or None if there is none.

    Unless it is to be `exact`, decimals of any length and floats are floats.
    """
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        fields = _common_fields(list(one), list(other), exact=exact)
        return None if fields is None else pa.struct(fields)
    if pa.types.is_list(one) and pa.types.is_list(other):
        inner = common_type(one.value_type, other.value_type, exact=exact)
        return None if inner is None else pa.list_(inner)
    simple, second = plain_type(one), plain_type(other)
    if (simple, second) != (one, other):
        return common_type(simple, second, exact=exact)
    return _with_days(one, other) or _promoted(one, other, exact=exact)


def _with_days(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return a type of instants without a zone that holds the days of the other type, too: as their midnights."""
    for first, second in ((one, other), (other, one)):
        if pa.types.is_date(first) and pa.types.is_timestamp(second) and second.tz is None:
            return second
    return None


def _promoted(one: pa.DataType, other: pa.DataType, *, exact: bool) -> pa.DataType | None:
    for first, second in ((one, other), (other, one)):
        if pa.types.is_uint64(first) and pa.types.is_signed_integer(second):
            return _ANY_INTEGER  # Arrow's answer has no room for the largest
        if pa.types.is_decimal(first) and pa.types.is_floating(second):
            return None if exact and first.precision > _EXACT_DIGITS else pa.float64()
        if pa.types.is_decimal(first) and pa.types.is_integer(second):
            return _decimal(max(first.precision - first.scale, _DIGITS[second.bit_width]) + first.scale, first.scale)
        if pa.types.is_binary(first) or pa.types.is_large_binary(first):
            return None  # bytes are no text
    try:
        both = [pa.schema({"": each}) for each in (one, other)]
        return pa.unify_schemas(both, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return None


def _decimal(precision: int, scale: int) -> pa.DataType | None:
    if precision <= _MOST_DIGITS_OF_128:
        return pa.decimal128(precision, scale)
    return pa.decimal256(precision, scale) if precision <= _MOST_DIGITS_OF_256 else None


def plain_type(arrow_type: pa.DataType) -> pa.DataType:
    """Return the type that `plain` gives a column of this one."""
    if pa.types.is_dictionary(arrow_type):
        return plain_type(arrow_type.value_type)
    return pa.string() if pa.types.is_string_view(arrow_type) else arrow_type


def _common_fields(fields: Sequence[pa.Field], others: Sequence[pa.Field], *, exact: bool) -> list[pa.Field] | None:
    """Return the fields of both by name, those that only the others have at the end."""
    types = {field.name: field.type for field in fields}
    for other in others:
        common = common_type(types.get(other.name, pa.null()), other.type, exact=exact)
        if common is None:
            return None
        types[other.name] = common
    return [pa.field(name, common) for name, common in types.items()]


def common_schema(one: pa.Schema, other: pa.Schema, *, exact: bool = True) -> tuple[pa.Schema | None, str]:
    """Return the schema that holds the columns of both, or None and the column that has no common type."""
    if one.equals(other):
        return one, ""
    types = dict(zip(one.names, one.types, strict=True))
    for name, arrow_type in zip(other.names, other.types, strict=True):
        common = common_type(types.get(name, arrow_type), arrow_type, exact=exact)
        if common is None:
            return None, name
        types[name] = common
    return pa.schema(list(types.items())), ""


def cast(column: pa.ChunkedArray, wanted: pa.DataType, *, safe: bool = True) -> pa.ChunkedArray:
    """Return a column in a type that holds its values.

    Raises:
        pa.ArrowInvalid, pa.ArrowNotImplementedError: it does not.
    """
    if column.type == wanted:
        return column
    if pa.types.is_struct(wanted) or (pa.types.is_list(wanted) and pa.types.is_list(column.type)):
        return pa.chunked_array([_nested(chunk, wanted, safe=safe) for chunk in column.chunks], wanted)
    return _simple(plain(column), wanted, safe=safe)


def _simple(column: Any, wanted: pa.DataType, *, safe: bool) -> Any:
    """Return values that are not nested in another type."""
    if pa.types.is_decimal(column.type) and pa.types.is_floating(wanted):
        column = pc.cast(column, pa.string())  # Arrow's own way from decimals to floats is off by a last bit in many
    return pc.cast(column, wanted, safe=safe)


def _nested(array: pa.Array, wanted: pa.DataType, *, safe: bool) -> pa.Array:
    """Return nested values in another type; a field is found by its name, and may be new."""
    if pa.types.is_struct(array.type) and pa.types.is_struct(wanted):
        parts = dict(zip((field.name for field in array.type), array.flatten(), strict=True))
        new = [
            _nested(parts[field.name], field.type, safe=safe)
            if field.name in parts
            else pa.nulls(len(array), field.type)
            for field in wanted
        ]
        return pa.StructArray.from_arrays(new, fields=list(wanted), mask=array.is_null())
    if pa.types.is_list(array.type) and pa.types.is_list(wanted):
        lengths = pc.fill_null(array.value_lengths(), 0)
        offsets = pa.array(np.concatenate([[0], np.cumsum(np.asarray(lengths))]), pa.int32())
        values = _nested(array.flatten(), wanted.value_type, safe=safe)
        return pa.ListArray.from_arrays(offsets, values, wanted, mask=array.is_null())
    return pa.nulls(len(array)) if pa.types.is_null(wanted) else _simple(array, wanted, safe=safe)


def cast_table(table: pa.Table, schema: pa.Schema, *, safe: bool = True) -> pa.Table:
    """Return a table with the columns of a schema, in its order; what it lacks is missing in every row.

    Raises:
        pa.ArrowInvalid, pa.ArrowNotImplementedError: as `cast`.
    """
    if table.schema.equals(schema):
        return table
    found = dict(zip(table.column_names, table.columns, strict=True))
    columns = [
        cast(found[name], arrow_type, safe=safe)
        if name in found
        else pa.chunked_array([pa.nulls(table.num_rows, arrow_type)])
        for name, arrow_type in zip(schema.names, schema.types, strict=True)
    ]
    return pa.table(columns, schema=schema)


def concatenated(tables: Sequence[pa.Table], sources: Sequence[str]) -> pa.Table:
    """Return the rows of tables from these sources, their types promoted to what holds the values of all.

    Raises:
        DataError: there is no such type for a column.
    """
    if len(tables) == 1:
        return tables[0]  # which may have rows without columns: Arrow would lose them
    schema = tables[0].schema
    for table, source in zip(tables[1:], sources[1:], strict=True):
        common, name = common_schema(schema, table.schema, exact=False)
        if common is None:
            raise other_type(name, (schema.field(name).type, sources[0]), (table.schema.field(name).type, source))
        schema = common
    done = []
    for table, source in zip(tables, sources, strict=True):
        try:
            done.append(cast_table(table, schema))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(
                f"the columns of {source} do not fit those of the other inputs ({error})", _ONE_TYPE
            ) from error
    return pa.concat_tables(done)


def other_type(
    name: str, one: tuple[pa.DataType, str], other: tuple[pa.DataType, str], *, hint: str = _ONE_TYPE
) -> DataError:
    """Return the error for a column that has types in two sources which nothing holds both of."""
    (first, source), (second, another) = one, other
    if source == another:
        where = f" in {source}" if source else ""
        return DataError(f"the column '{name}' changes its type from {first} to {second}{where}", hint)
    return DataError(f"the column '{name}' is {first} in {source} and {second} in {another}", hint)
