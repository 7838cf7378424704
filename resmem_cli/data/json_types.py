"""The types of JSON: text stays text, whole numbers keep their digits, and the rest is Arrow's choice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.json

from resmem_cli.data import json_digits, promotion
from resmem_cli.data.json_digits import Lost

_WHOLE_NUMBER = rb"(?<![.0-9])[0-9]{16,}+(?![.eE])"
_FLOAT = rb"[0-9](?:\.[0-9]|[eE])"
_INTEGER_TYPES = (pa.uint64(), pa.decimal128(38, 0), pa.decimal256(76, 0))
IsMeant = Callable[[pa.DataType], bool]


def inferred(block: bytes, known: pa.Schema | None) -> tuple[pa.Table, Lost]:
    """Return lines of JSON with types of their own where none are known, and where floats have lost digits.

    Raises:
        pa.ArrowInvalid: a line is no JSON, or not of the types that are known or that lines before it have.
    """
    table = _parsed(block, known)
    names = table.column_names
    if any(_leaves(field.type, pa.types.is_timestamp) for field in table.schema):
        # Text that looks like dates: Arrow is given its type.
        texts = only(table.schema, lambda each: pa.types.is_string(each) or pa.types.is_timestamp(each))
        as_text = [
            pa.field(each.name, _replaced(each.type, pa.types.is_timestamp, pa.string())) for each in texts or ()
        ]
        types, _ = promotion.common_schema(pa.schema(as_text), known or pa.schema([]))
        table = _parsed(block, types).select(names)
    return _with_all_digits(block, table)


def only(schema: pa.Schema | None, is_meant: IsMeant) -> pa.Schema | None:
    """Return the columns of these types, and of nested ones the parts of these types; None for none."""
    pruned = {} if schema is None else {field.name: _pruned(field.type, is_meant) for field in schema}
    kept = {name: found for name, found in pruned.items() if found is not None}
    return pa.schema(kept) if kept else None


def _with_all_digits(block: bytes, table: pa.Table) -> tuple[pa.Table, Lost]:
    """Read floats again that may have been whole numbers with more digits than a float keeps.

    Returns:
        The table, and where floats have lost digits.
    """
    lost: Lost = {}
    for at, field in enumerate(table.schema):
        floats = [part for part in json_digits.parts(table.column(at), field.name) if pa.types.is_float64(part[1].type)]
        chosen: list[pa.DataType] = [pa.float64()] * len(floats)
        for leaf, (path, array) in enumerate(floats):
            if not (json_digits.is_large(array) and _may_have(block, path[-1], _WHOLE_NUMBER)):
                continue
            has_float, lost_here = False, None
            if _may_have(block, path[-1], _FLOAT):
                with_float, lost_here = json_digits.written(block, {path})
                has_float = path in with_float
            for integer in () if has_float else _INTEGER_TYPES:
                types = [*chosen[:leaf], integer, *chosen[leaf + 1 :]]
                wanted = pa.schema([pa.field(field.name, _with_floats(field.type, iter(types)))])
                try:
                    column = _parsed(block, wanted).column(field.name)
                except (pa.ArrowInvalid, pa.ArrowTypeError):
                    continue  # there are even longer numbers
                table, chosen = table.set_column(at, field.name, column), types
                break
            else:
                lost |= json_digits.written(block, {path})[1] if lost_here is None else lost_here
    return table, lost


def _with_floats(arrow_type: pa.DataType, types: Iterator[pa.DataType]) -> pa.DataType:
    """Return a type with those given in the place of its floats, in their order."""
    if pa.types.is_struct(arrow_type):
        return pa.struct([pa.field(field.name, _with_floats(field.type, types)) for field in arrow_type])
    if pa.types.is_list(arrow_type):
        return pa.list_(_with_floats(arrow_type.value_type, types))
    return next(types) if pa.types.is_float64(arrow_type) else arrow_type


def _may_have(block: bytes, name: str, number: bytes) -> bool:
    """Whether a number of this name, anywhere, may be written so; keys with escapes may have any name."""
    if b"\\u" in block or b"\\/" in block:
        return True
    key = re.escape(json.dumps(name, ensure_ascii=False).encode())
    return re.search(key + rb'\s*:[^"{}]*?' + number, block) is not None


def _leaves(arrow_type: pa.DataType, is_meant: IsMeant) -> bool:
    """Whether a type is, or has a part, of those meant."""
    return _pruned(arrow_type, is_meant) is not None


def _pruned(arrow_type: pa.DataType, is_meant: IsMeant) -> pa.DataType | None:
    if pa.types.is_struct(arrow_type):
        parts = {field.name: _pruned(field.type, is_meant) for field in arrow_type}
        kept = [pa.field(name, found) for name, found in parts.items() if found is not None]
        return pa.struct(kept) if kept else None
    if pa.types.is_list(arrow_type):
        inner = _pruned(arrow_type.value_type, is_meant)
        return None if inner is None else pa.list_(inner)
    return arrow_type if is_meant(arrow_type) else None


def _replaced(arrow_type: pa.DataType, is_meant: IsMeant, new: pa.DataType) -> pa.DataType:
    """Return a type with another in the place of those meant."""
    if pa.types.is_struct(arrow_type):
        return pa.struct([pa.field(field.name, _replaced(field.type, is_meant, new)) for field in arrow_type])
    if pa.types.is_list(arrow_type):
        return pa.list_(_replaced(arrow_type.value_type, is_meant, new))
    return new if is_meant(arrow_type) else arrow_type


def _parsed(block: bytes, schema: pa.Schema | None) -> pa.Table:
    table = _read(block, schema)
    try:
        table.validate()
    except pa.ArrowInvalid:
        # Of a list whose first elements are null, Arrow loses some while it infers the type: so it is given the type.
        nested = [field for field in table.schema if pa.types.is_nested(field.type)]
        types = pa.schema([pa.field(each.name, _replaced(each.type, pa.types.is_null, pa.string())) for each in nested])
        known_schema, _ = promotion.common_schema(types, schema or pa.schema([]))
        return promotion.cast_table(_read(block, known_schema), table.schema)
    return table


def _read(block: bytes, schema: pa.Schema | None) -> pa.Table:
    return pyarrow.json.read_json(
        pa.BufferReader(block),
        read_options=pyarrow.json.ReadOptions(block_size=len(block) + 1, use_threads=False),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=schema),
    )
