"""From rows to arrays, by a stored schema: what the model room computes with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from resmem_cli.data import kinds
from resmem_cli.data.kinds import Floats, Kind
from resmem_cli.data.rows import Rows, to_booleans, to_floats
from resmem_cli.data.schema import Column, Given, Schema, Task
from resmem_cli.errors import DataError


@dataclass
class Surprises:
    """How often values were missing, or categories unknown, per column."""

    missing: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    def add(self, other: Surprises) -> None:
        self.missing.update(other.missing)
        self.unknown.update(other.unknown)


def encode(rows: Rows, schema: Schema) -> tuple[Floats, Surprises]:
    """Encode the features of rows.

    Returns:
        [n, d] 64-bit floats: numbers as they are, booleans as 0 and 1, categories as codes from 0, timestamps as
        their parts, vectors as their numbers; NaN where missing, or where a category is unknown and has no rest to
        fall into. After the features comes what is given of a base's predictions. And what was missing or unknown.

    Raises:
        DataError: a column is missing, or a value is of the wrong kind; the message names file, row and column.
    """
    schema.require(rows, schema.read_columns)
    encoded = np.empty((len(rows), schema.width), dtype=np.float64)
    surprises = Surprises()
    at = 0
    for column in schema.columns:
        values = _encode_column(rows, column, surprises)
        encoded[:, at : at + column.width] = values
        n_missing = int(np.isnan(values[:, 0]).sum()) - surprises.unknown[column.name] * (not column.has_rest)
        if n_missing:
            surprises.missing[column.name] = n_missing
        at += column.width
    if schema.given is not None:
        encoded[:, at:] = _encode_given(rows, schema.given)
    surprises.unknown = +surprises.unknown
    return encoded, surprises


def vector_length(rows: Rows, name: str) -> int:
    """Return how many numbers each of a column's vectors holds; DataError if that differs."""
    return int(kinds.as_vector(rows, name).shape[1])


def encode_target(rows: Rows, schema: Schema) -> Floats:
    """Encode the target of labelled rows.

    Returns:
        [n] 64-bit floats: the number, or the position of the class in `schema.target.classes`; NaN where missing.

    Raises:
        DataError: the column is missing, or a value is no number, or a class that training did not have.
    """
    target = schema.target
    schema.require(rows, [target.name])
    if target.task is Task.REGRESSION:
        return kinds.as_number(rows, target.name)
    if isinstance(target.classes[0], str):
        text = kinds.as_category(rows, target.name)
        codes, is_given = _category_codes(text, target.classes), to_booleans(pc.is_valid(text))
    else:
        convert = kinds.as_boolean if isinstance(target.classes[0], bool) else kinds.as_number
        values = convert(rows, target.name) + 0.0  # -0.0 becomes 0.0
        known = pa.array([float(value) for value in target.classes])
        codes, is_given = to_floats(pc.index_in(pa.array(values), value_set=known)), ~np.isnan(values)
    foreign = np.flatnonzero(np.isnan(codes) & is_given)
    if len(foreign):
        raise DataError(
            f"{rows.locate(int(foreign[0]))}: the target '{target.name}' holds the class "
            f"'{rows.column(target.name)[int(foreign[0])].as_py()}', which training did not have",
            "remove such rows, or fit again with rows of this class",
        )
    return codes


def encode_weight(rows: Rows, schema: Schema) -> Floats | None:
    """Return [n] row weights, or None if the schema has none.

    Raises:
        DataError: a weight is missing or negative.
    """
    name = schema.weight_column
    if name is None:
        return None
    schema.require(rows, [name])
    weights = kinds.as_number(rows, name)
    wrong = np.flatnonzero(~(weights >= 0))
    if len(wrong):
        weight = "missing" if np.isnan(weights[wrong[0]]) else f"{weights[wrong[0]]:g}"
        raise DataError(f"{rows.locate(int(wrong[0]))}: the weight '{name}' is {weight}", "give weights of 0 or more")
    return weights


def hash_rows(encoded: Floats, target: Floats) -> NDArray[np.uint64]:
    """Return one 64-bit hash per labelled row: equal features and target, as encoded, give equal hashes."""
    import pandas as pd  # here, because only fitting and evaluating need it and it is slow to load

    whole = np.column_stack([encoded, target]) + 0.0  # -0.0 becomes 0.0
    whole[np.isnan(whole)] = np.nan  # one bit pattern for every NaN
    return np.asarray(pd.util.hash_pandas_object(pd.DataFrame(whole), index=False), dtype=np.uint64)


def as_ids(rows: Rows, schema: Schema) -> list[str]:
    """Return the ids of rows as text; a missing one is empty.

    Raises:
        DataError: the column is missing.
    """
    name = schema.id_column or ""
    schema.require(rows, [name])
    return [value or "" for value in kinds.as_category(rows, name).to_pylist()]


def has_value(rows: Rows, name: str, value: str) -> NDArray[np.bool_]:
    """Return [n] whether a column, written as text, is `value`; whole numbers with and without ".0" are one.

    Raises:
        DataError: the column is missing.
    """
    Schema.require(rows, [name])
    text = kinds.as_category(rows, name)
    own = pc.or_(pc.equal(text, value), pc.equal(kinds.other_spelling(text), value))
    return to_booleans(pc.fill_null(own, False))


def _encode_column(rows: Rows, column: Column, surprises: Surprises) -> Floats:
    if column.kind is Kind.NUMBER:
        return kinds.as_number(rows, column.name)[:, None]
    if column.kind is Kind.BOOLEAN:
        return kinds.as_boolean(rows, column.name)[:, None]
    if column.kind is Kind.TIMESTAMP:
        return kinds.timestamp_parts(kinds.as_timestamp(rows, column.name))
    if column.kind is Kind.VECTOR:
        return kinds.as_vector(rows, column.name, column.length)
    text = kinds.as_category(rows, column.name)
    codes = _category_codes(text, column.categories)
    unknown = np.isnan(codes) & to_booleans(pc.is_valid(text))
    surprises.unknown[column.name] = int(unknown.sum())
    if column.has_rest:
        codes[unknown] = len(column.categories)
    return codes[:, None]


def _encode_given(rows: Rows, given: Given) -> Floats:
    """Return [n, width] what another model has written; it may not be missing."""
    if given.is_vector:
        return kinds.as_vector(rows, given.columns[0], given.width)
    values = np.column_stack([kinds.as_number(rows, name) for name in given.columns])
    missing = np.argwhere(np.isnan(values))
    if len(missing):
        row, column = missing[0].tolist()
        raise DataError(
            f"{rows.locate(row)}: column '{given.columns[column]}' is empty, which holds the base's prediction",
            "write a prediction for every row, or remove the row",
        )
    return values


def _category_codes(text: pa.ChunkedArray, categories: Sequence[object]) -> Floats:
    """Return the position of each value among the categories, NaN where it is missing or unknown.

    A whole number that is unknown as it is written may be known with ".0", or without: so the same column is written
    by pandas and by Arrow, and by pandas itself where a value is missing and where none is.
    """
    known = pa.array(categories, text.type)
    codes = to_floats(pc.index_in(text, value_set=known))
    unknown = np.isnan(codes) & to_booleans(pc.is_valid(text))
    if unknown.any():
        codes[unknown] = to_floats(pc.index_in(text, value_set=kinds.other_spelling(known)))[unknown]
    return codes
