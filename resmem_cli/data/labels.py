"""The classes of a target: a label that is read is the label that is written, in every format.

Labels of typed columns keep their values: integers of 64 bits, decimals and single-precision floats to the last digit.
Those of text files are numbers, or true and false, only where each is written as that value is; otherwise they are
text: "01", "1.0". Two labels that write one value, such as "1" beside "1.0", are one class.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from resmem_cli import spelling
from resmem_cli.data import kinds
from resmem_cli.data.kinds import Kind
from resmem_cli.data.rows import Rows, to_booleans
from resmem_cli.data.schema import Label
from resmem_cli.errors import DataError

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)
_LEAST, _MOST, _MOST_UNSIGNED = -(2**63), 2**63 - 1, 2**64 - 1
_MOST_NAMED = 5


@dataclass(frozen=True)
class Labels:
    """What was learned of a target's classes.

    Attributes:
        classes: sorted, as the values that are written again.
        arrow_type: of these.
        column: [n] the class of every row as text.
        keep: [n] which rows are of a class that other rows have too.
        notes: on labels that are one class, and on rows that are not kept.
    """

    classes: tuple[Label, ...]
    arrow_type: str
    column: pa.ChunkedArray
    keep: NDArray[np.bool_]
    notes: tuple[str, ...]


def as_written(parts: Sequence[Rows], name: str, typed: pa.DataType) -> pa.ChunkedArray:
    """Return [n] the labels of all parts as text, as they are written there.

    Args:
        parts: as read.
        name: of the target.
        typed: what the column was read as: spaces, and words for "missing", are no part of a number.
    """
    chunks: list[pa.Array] = []
    for part in parts:
        text = kinds.as_category(part, name)
        if part.is_text and _is_value(typed):
            text = kinds.plain_labels(part, name, kinds.without_missing_words(kinds.trimmed(text)))
        chunks += text.chunks
    return pa.chunked_array(chunks, pa.string())


def learn(name: str, text: pa.ChunkedArray, typed: pa.DataType, *, from_text: bool) -> Labels:
    """Learn the classes of a target.

    Args:
        name: of the target.
        text: [n] its labels as they are written, none missing.
        typed: what the column was read as.
        from_text: whether some of it came from a file without types.

    Raises:
        DataError: fewer than two classes have more than one row, or most rows are alone in theirs.
    """
    text, notes = one_form(text, f"the target '{name}'", "class")
    counts = {item["values"]: item["counts"] for item in pc.value_counts(text).to_pylist()}
    alone = [label for label, count in counts.items() if count == 1]
    if len(counts) - len(alone) < 2 or 2 * len(alone) > len(text):
        raise _too_few(name, alone or list(counts))
    keep = np.ones(len(text), dtype=np.bool_)
    if alone:
        keep = ~to_booleans(pc.is_in(text, value_set=pa.array(alone, pa.string())))
        notes.append(_left_out(name, alone))
    labels = [label for label, count in counts.items() if count > 1]
    classes, arrow_type = _of_text(labels, typed) if from_text else _of_types(labels, typed)
    return Labels(classes, arrow_type, text, keep, tuple(notes))


def declared(name: str, text: pa.ChunkedArray, typed: pa.DataType, classes: Sequence[str], rows: Rows) -> Labels:
    """Return classes that were named beforehand, in their order.

    Args:
        name: of the target.
        text: [n] its labels as they are written, none missing.
        typed: what the column was read as.
        classes: all of them, none twice.
        rows: [n] which hold the labels, for errors.

    Raises:
        DataError: a label is none of the classes.
    """
    forms = {spelling.canonical(each): each for each in classes}  # another writing of the same value is the same class
    known = {*classes}
    labels = {
        label: label if label in known else forms.get(spelling.canonical(label))
        for label in pc.unique(text).to_pylist()
    }
    foreign = next((label for label, found in labels.items() if found is None), None)
    if foreign is not None:
        position = pc.index(text, pa.scalar(foreign, text.type)).as_py()
        raise DataError(
            f"{rows.locate(position)}: the target '{name}' holds the class '{foreign}', which --classes does not name",
            f"add it, or check that the {len(classes):,} classes are those of the model",
        )
    column = pa.chunked_array([pa.array([labels[label] for label in text.to_pylist()], pa.string())])
    everything = np.ones(len(text), dtype=np.bool_)
    ordered = sorted(classes, key=_as_decimal)
    if _is_value(typed) and not pa.types.is_boolean(typed) and _fit_64_bits(ordered):
        arrow_type = "int64" if int(ordered[-1]) <= _MOST else "uint64"
        return Labels(tuple(map(int, classes)), arrow_type, column, everything, ())
    return Labels(tuple(classes), "string", column, everything, ())


def _as_decimal(label: str) -> Decimal:
    return Decimal(label) if _INTEGER.fullmatch(label) else Decimal(0)


def one_form(text: pa.ChunkedArray, whose: str, what: str) -> tuple[pa.ChunkedArray, list[str]]:
    """Return texts of which those that write one value are written as most of them are, and notes that say so."""
    if kinds.canonical(unique := pc.unique(text)).equals(unique):  # what is not odd is its own form
        return text, []
    counts = {item["values"]: item["counts"] for item in pc.value_counts(text.drop_null()).to_pylist()}
    instead, notes = dict[str, str](), []
    for group in spelling.shared(counts).values():
        first, *others = sorted(group, key=lambda each: (-counts[each], len(each), each))
        instead |= dict.fromkeys(others, first)
        listed = ", ".join(f"'{each}'" for each in others[:_MOST_NAMED])
        notes.append(f"{whose} writes '{first}' also as {listed}: taken as one {what}, '{first}'")
    if not instead:
        return text, []
    which = to_booleans(pc.is_in(text, value_set=pa.array(instead, pa.string())))
    return kinds.with_forms(text, which, [instead[each] for each in text.filter(pa.array(which)).to_pylist()]), notes


def _is_value(typed: pa.DataType) -> bool:
    return kinds.kind_of(typed) in (Kind.NUMBER, Kind.BOOLEAN)


def _of_types(labels: list[str], typed: pa.DataType) -> tuple[tuple[Label, ...], str]:
    """Return the classes of a column with a type, sorted by value."""
    if not _is_value(typed):
        return tuple(sorted(labels)), str(typed)
    if pa.types.is_boolean(typed):
        return tuple(sorted(label == "true" for label in labels)), str(typed)
    labels.sort(key=Decimal)
    if pa.types.is_floating(typed):
        single = {"float": np.float32, "halffloat": np.float16}.get(str(typed), np.float64)
        return tuple(np.array(labels, single).astype(np.float64).tolist()), str(typed)
    fits = _fit_64_bits(labels)
    return (tuple(map(int, labels)) if fits else tuple(labels)), str(typed)


def _of_text(labels: list[str], typed: pa.DataType) -> tuple[tuple[Label, ...], str]:
    """Return classes that were written as text, sorted by value if they are numbers."""
    if pa.types.is_boolean(typed) and set(labels) == {"true", "false"}:
        return (False, True), "bool"
    if not _is_value(typed) or pa.types.is_boolean(typed):
        return tuple(sorted(labels)), "string"
    labels.sort(key=lambda label: (Decimal(label), label))
    if _fit_64_bits(labels):
        return tuple(map(int, labels)), "int64" if int(labels[-1]) <= _MOST else "uint64"
    floats = [float(label) for label in labels]
    if labels == [repr(value) for value in floats] == pc.cast(pa.array(floats), pa.string()).to_pylist():
        return tuple(floats), "double"
    return tuple(labels), "string"


def _fit_64_bits(labels: Sequence[str]) -> bool:
    """Whether all of these numbers, the largest last, are written as integers of one type of 64 bits are."""
    if not all(_INTEGER.fullmatch(label) and label != "-0" for label in labels):
        return False
    least, most = int(labels[0]), int(labels[-1])
    return least >= _LEAST and most <= (_MOST if least < 0 else _MOST_UNSIGNED)


def _too_few(name: str, alone: Sequence[str]) -> DataError:
    more = f" (and {len(alone) - 1:,} more such classes)" if len(alone) > 1 else ""
    return DataError(
        f"the target '{name}' has the class '{alone[0]}' in one row only{more}",
        "add rows of it, or remove it; a number is predicted with --task regression",
    )


def _left_out(name: str, alone: Sequence[str]) -> str:
    if len(alone) == 1:
        return f"the target '{name}' has the class '{alone[0]}' in one row only, which is left out"
    listed = ", ".join(f"'{label}'" for label in alone[:_MOST_NAMED]) + (", …" if len(alone) > _MOST_NAMED else "")
    return f"the target '{name}' has {len(alone):,} classes in one row only ({listed}); these rows are left out"
