"""From rows to arrays, by a stored schema: what the model room computes with."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from resmem_cli import spelling
from resmem_cli.data import kinds
from resmem_cli.data.dialect import PERCENT
from resmem_cli.data.kinds import Floats, Kind
from resmem_cli.data.rows import Rows, to_booleans, to_floats
from resmem_cli.data.schema import Column, Given, Label, Schema, Target, Task
from resmem_cli.errors import DataError

# The code of a class that training did not have.
NO_CLASS = -1.0
# A number that is not an integer may be written with more zeros: a decimal's 2.50 is the float 2.5.
_ZEROS_PATTERN = r"^(-?[0-9]+\.[0-9]*[1-9])0+$"


@dataclass
class Surprises:
    """How often values were missing, or categories unknown, per column; and of how many rows no number came out."""

    missing: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    not_finite: int = 0

    def add(self, other: Surprises) -> None:
        self.missing.update(other.missing)
        self.unknown.update(other.unknown)
        self.not_finite += other.not_finite


def encode(rows: Rows, schema: Schema) -> tuple[Floats, Surprises]:
    """Encode the features of rows.

    Returns:
        [n, d] 64-bit floats: numbers as they are, booleans as 0 and 1, categories as codes from 0, timestamps as
        their parts, vectors as their numbers; NaN where missing, or where a category is unknown and has no rest to
        fall into. After the features come the codes of levels, and what is given of a base's predictions.
        And what was missing or unknown.

    Raises:
        DataError: a column is missing, or a value is of the wrong kind; the message names file, row and column.
    """
    schema.require(rows, schema.read_columns)
    encoded = np.empty((len(rows), schema.width), dtype=np.float64)
    surprises = Surprises()
    at = 0
    for column in schema.columns:
        values = _encode_column(rows, column, schema, surprises)
        encoded[:, at : at + column.width] = values
        n_missing = int(np.isnan(values[:, 0]).sum()) - surprises.unknown[column.name] * (not column.has_rest)
        if n_missing:
            surprises.missing[column.name] = n_missing
        at += column.width
    for column in schema.columns:
        if column.levels:
            encoded[:, at] = _encode_levels(rows, column, surprises)
            at += 1
    if schema.given is not None:
        _encode_given(rows, schema, schema.given, encoded[:, at:])
    surprises.unknown = +surprises.unknown
    return encoded, surprises


def vector_length(rows: Rows, name: str) -> int:
    """Return how many numbers each of a column's vectors holds; DataError if that differs."""
    return kinds.vector_length(rows, name)


def encode_target(rows: Rows, schema: Schema) -> Floats:
    """Encode the target of labelled rows.

    Returns:
        [n] 64-bit floats: the number, or the position of the class in `schema.target.classes`; NaN where missing,
        `NO_CLASS` where training did not have the class.

    Raises:
        DataError: the column is missing, or a value that is to be a number is none.
    """
    target = schema.target
    schema.require(rows, [target.name])
    if target.task is Task.REGRESSION:
        return _numbers(rows, target.name, schema, kinds.LARGEST_LABEL)
    text = kinds.as_category(rows, target.name)
    if not any(isinstance(label, str) for label in target.classes):
        text = kinds.plain_labels(rows, target.name, text)
    codes = _codes(text, _label_texts(target), is_number=_is_fraction(rows, target.name))
    foreign = np.isnan(codes) & to_booleans(pc.is_valid(text))
    if foreign.any():
        odd = pc.filter(text, pa.array(foreign)).to_pylist()
        found = {each: _code_of(each, target) for each in set(odd)}
        codes[foreign] = [found[each] for each in odd]
    return codes


def unknown_class(rows: Rows, schema: Schema, position: int) -> DataError:
    """Return the error that the row at `position` has a class that training did not have."""
    name = schema.target.name
    return DataError(
        f"{rows.locate(position)}: the target '{name}' holds the class '{rows.column(name)[position].as_py()}', which "
        "is not in the training data",
        "remove such rows, or fit again with rows of this class",
    )


def encode_weight(rows: Rows, schema: Schema) -> Floats | None:
    """Return [n] row weights, or None if the schema has none.

    Raises:
        DataError: a weight is missing or negative.
    """
    name = schema.weight_column
    if name is None:
        return None
    schema.require(rows, [name])
    weights = _numbers(rows, name, schema, kinds.LARGEST_LABEL)
    wrong = np.flatnonzero(~(weights >= 0))
    if len(wrong):
        weight = "missing" if np.isnan(weights[wrong[0]]) else f"{weights[wrong[0]]:g}"
        raise DataError(f"{rows.locate(int(wrong[0]))}: the weight '{name}' is {weight}", "give weights of 0 or more")
    return weights


def hash_rows(encoded: Floats, target: Floats) -> NDArray[np.uint64]:
    """Return one 64-bit hash per labelled row: equal features and target, as encoded, give equal hashes."""
    import pandas as pd  # here, because only fitting and evaluating need it and it is slow to load

    matrix = np.column_stack([encoded, target])
    matrix += 0.0  # -0.0 becomes 0.0; in place, because given probabilities of many classes are large
    matrix[np.isnan(matrix)] = np.nan  # one bit pattern for every NaN
    return np.asarray(pd.util.hash_pandas_object(pd.DataFrame(matrix), index=False), dtype=np.uint64)


def as_ids(rows: Rows, schema: Schema) -> list[str]:
    """Return the ids of rows as text; a missing one is empty.

    Raises:
        DataError: the column is missing.
    """
    name = schema.id_column or ""
    schema.require(rows, [name])
    return [value or "" for value in kinds.as_category(rows, name).to_pylist()]


def has_value(rows: Rows, name: str, value: str) -> NDArray[np.bool_]:
    """Return [n] whether a column, written as text, is `value`, whatever the type of the column.

    Raises:
        DataError: the column is missing.
    """
    Schema.require(rows, [name], "--where")
    return ~np.isnan(_codes(kinds.as_category(rows, name), (value,), is_number=_is_fraction(rows, name)))


def _numbers(rows: Rows, name: str, schema: Schema, largest: float = kinds.LARGEST) -> Floats:
    """Return a column of numbers in the unit that it had in training."""
    if schema.dialect.unit_of(name) == PERCENT and not rows.is_text:
        rows = kinds.in_percent(rows, name)
    return kinds.as_number(rows, name, largest=largest)


def _encode_column(rows: Rows, column: Column, schema: Schema, surprises: Surprises) -> Floats:
    if column.kind is Kind.NUMBER:
        return _numbers(rows, column.name, schema)[:, None]
    if column.kind is Kind.BOOLEAN:
        return kinds.as_boolean(rows, column.name)[:, None]
    if column.kind is Kind.TIMESTAMP:
        return kinds.timestamp_parts(kinds.as_timestamp(rows, column.name))
    if column.kind is Kind.VECTOR:
        return kinds.as_vector(rows, column.name, column.length)
    text = kinds.as_category(rows, column.name)
    codes = _codes(text, column.categories, is_number=_is_fraction(rows, column.name))
    unknown = np.isnan(codes) & to_booleans(pc.is_valid(text))
    surprises.unknown[column.name] = int(unknown.sum())
    if column.has_rest:
        codes[unknown] = len(column.categories)
    return codes[:, None]


def _encode_levels(rows: Rows, column: Column, surprises: Surprises) -> Floats:
    """Return [n] which of its levels each row has, NaN where that is none of them; only such values are unknown."""
    text = kinds.as_category(rows, column.name)
    codes = _codes(text, column.levels, is_number=_is_fraction(rows, column.name))
    surprises.unknown[column.name] = int((np.isnan(codes) & to_booleans(pc.is_valid(text))).sum())
    return codes


def _encode_given(rows: Rows, schema: Schema, given: Given, out: Floats) -> None:
    """Fill [n, width] with what another model has written; it may not be missing."""
    if given.is_vector:
        kinds.as_vector(rows, given.columns[0], given.width, out)
        return
    values = np.column_stack([_numbers(rows, name, schema, kinds.LARGEST_LABEL) for name in given.columns])
    missing = np.argwhere(np.isnan(values))
    if len(missing):
        row, column = missing[0].tolist()
        raise DataError(
            f"{rows.locate(row)}: column '{given.columns[column]}' holds the base's prediction and is empty",
            "give a prediction for every row, or remove the row",
        )
    out[:] = values


def _is_fraction(rows: Rows, name: str) -> bool:
    """Whether a column's type holds numbers that need not be whole."""
    arrow_type = rows.column(name).type
    return bool(pa.types.is_floating(arrow_type) or pa.types.is_decimal(arrow_type))


def _codes(text: pa.ChunkedArray, known: tuple[str, ...], *, is_number: bool) -> Floats:
    """Return [n] the position of each value among those that are known, NaN where it is missing or unknown.

    A value that is unknown as it is written may be known in another writing of the same value: pandas writes 1 as
    "1.0" where a value is missing beside it, SQL as "1.00", and a day may be its midnight.
    """
    codes = to_floats(pc.index_in(text, value_set=pa.array(known, pa.string())))
    unknown = np.isnan(codes) & to_booleans(pc.is_valid(text))
    if unknown.any():
        found = pc.dictionary_encode(pc.filter(text, pa.array(unknown))).combine_chunks()
        forms, positions = _forms(known, is_number)
        at = to_floats(pc.index_in(_form(found.dictionary, is_number), value_set=forms))
        known_forms = ~np.isnan(at)
        at[known_forms] = positions[at[known_forms].astype(np.int64)]
        codes[unknown] = at[to_floats(found.indices).astype(np.int64)]
    return codes


@functools.lru_cache(maxsize=4096)
def _forms(known: tuple[str, ...], is_number: bool) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the canonical forms of values, without those that two of them share, and the position of each."""
    forms = _form(pa.array(known, pa.string()), is_number)
    counts = Counter(forms.to_pylist())
    single = np.array([counts[form] == 1 for form in forms.to_pylist()], dtype=np.bool_)
    return forms.filter(pa.array(single)), np.flatnonzero(single)


def _form(text: pa.Array, is_number: bool) -> pa.Array:
    text = kinds.canonical(text)
    return pc.replace_substring_regex(text, _ZEROS_PATTERN, r"\1") if is_number else text


@functools.lru_cache(maxsize=64)
def _label_texts(target: Target) -> tuple[str, ...]:
    return tuple(kinds.as_text(target.labels).to_pylist())


def _code_of(text: str, target: Target) -> float:
    """Return the code of a label that is not among the classes as it is written, such as " 1", "+1", or 1 for true.

    NaN if it is a word for "missing" among numbers, or among true and false.
    """
    bare, classes = text.strip(), target.classes
    codes = _codes(pa.chunked_array([[bare]]), _label_texts(target), is_number=False)
    if not np.isnan(codes[0]):
        return float(codes[0])
    if all(_is_truth(each) for each in classes):
        truths = [str(each).lower() for each in classes]
        wanted = {"1": "true", "0": "false"}.get(spelling.canonical(bare), "")
        return float(truths.index(wanted)) if wanted in truths else _missing_or_none(bare)
    if not all(_as_number(each) is not None for each in classes):
        return NO_CLASS
    number = _as_number(bare)
    if number is None or np.isnan(number):
        return _missing_or_none(bare)
    is_exact = not isinstance(classes[0], str) and abs(number) < kinds.EXACT
    return float(classes.index(number)) if is_exact and number in classes else NO_CLASS


def _missing_or_none(bare: str) -> float:
    return float("nan") if bare in ("", *kinds.MISSING_WORDS) else NO_CLASS


def _is_truth(label: Label) -> bool:
    return str(label).lower() in ("true", "false")


def _as_number(label: Label) -> float | None:
    try:
        return float(label)
    except ValueError:
        return None
