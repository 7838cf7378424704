"""What goes into a model: its inputs are the columns of their names, or one matrix of all columns in order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.errors import DataError, UsageError
from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases.onnx.session import Session, reason
from resmem_cli.model.bases.table import Field, Table
from resmem_cli.model.parallel import heard

_TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
_MOST_LISTED = 8
_MOST_ROWS, _MOST_NUMBERS = 4_096, 2**19  # that go into the model at once


@dataclass(frozen=True)
class Feed:
    """How an input of the model's is filled.

    Attributes:
        name: the input's.
        dtype: of its elements.
        fields: the columns whose values it takes.
        shape: of one row's values.
    """

    name: str
    dtype: Any
    fields: tuple[Field, ...]
    shape: tuple[int, ...]

    def values(self, X: Floats) -> NDArray[Any]:
        """Return [n, *shape] of [n, d] encoded rows; missing numbers are NaN and missing text is empty.

        Raises:
            DataError: the input takes whole numbers or booleans, and a row has none.
        """
        if self.dtype is np.object_:
            texts = np.column_stack([field.texts(X) for field in self.fields])
            return np.where(texts.astype(np.bool_), texts, "").reshape(len(X), *self.shape)
        values = np.hstack([field.values(X) for field in self.fields])
        with np.errstate(over="ignore", invalid="ignore"):
            converted = values.astype(self.dtype)
        if not self.takes_fractions:
            wrong = np.argwhere(converted != values)
            if len(wrong):
                value = values[tuple(wrong[0])]
                name = [field.name for field in self.fields for _ in range(field.width)][wrong[0][1]]
                what = "is missing in a row" if np.isnan(value) else f"holds {value:g}"
                takes = np.dtype(self.dtype).name
                raise DataError(
                    f"the column '{name}' {what}, and the model's input '{self.name}' takes {takes}",
                    "correct the value",
                )
        return converted.reshape(len(X), *self.shape)

    @property
    def takes_fractions(self) -> bool:
        return bool(np.issubdtype(self.dtype, np.floating))


def fill(inputs: Sequence[Any], table: Table) -> tuple[tuple[Feed, ...], int]:
    """Return how every input is filled, and how many rows the model takes at once (0: any number)."""
    if not inputs:
        raise UsageError("the ONNX model has no input", "export it with the features as inputs")
    names = {field.name for field in table.fields}
    is_matrix = len(inputs) == 1 and inputs[0].name not in names
    feeds = tuple(_feed(each, table.fields if is_matrix else (table.field(each.name),)) for each in inputs)
    fixed = {each.shape[0] for each in inputs if each.shape and isinstance(each.shape[0], int)}
    if len(fixed) > 1:
        listed = " and ".join(str(size) for size in sorted(fixed))
        raise UsageError(
            f"the inputs of the ONNX model have the fixed batch sizes {listed}", "export it with one batch size"
        )
    return feeds, fixed.pop() if fixed else 0


def said_of(feeds: Sequence[Feed]) -> tuple[str, ...]:
    """Return what is to be said of a matrix, whose columns have no names: which they are taken for."""
    several = [feed for feed in feeds if len(feed.fields) > 1]
    names = [[f"'{field.name}'" for field in feed.fields] for feed in several]
    return tuple(
        f"the model's input '{feed.name}' has no column names: its columns are, in order, "
        + ", ".join(each if len(each) <= _MOST_LISTED else [*each[: _MOST_LISTED - 1], "…", each[-1]])
        for feed, each in zip(several, names, strict=True)
    )


def _feed(given: Any, fields: tuple[Field, ...]) -> Feed:
    if given.type not in _TYPES:
        raise UsageError(
            f"the model's input '{given.name}' has the unsupported type {given.type}", "export it with plain tensors"
        )
    dtype = _TYPES[given.type]
    for field in fields:
        _refuse_other_kind(given.name, dtype is np.object_, field)
    return Feed(given.name, dtype, fields, _row_shape(given, fields))


def _refuse_other_kind(name: str, takes_text: bool, field: Field) -> None:
    takes, holds = "text" if takes_text else "numbers", f"a {field.kind}"
    if takes_text and field.kind != "category":
        raise UsageError(
            f"the model's input '{name}' takes text, and the column '{field.name}' is {holds}",
            f"say --category '{field.name}' if it is categorical, or leave it out with --drop '{field.name}'",
        )
    if not takes_text and field.kind in ("category", "timestamp"):
        raise UsageError(
            f"the model's input '{name}' takes {takes}, and the column '{field.name}' is {holds}",
            f"leave it out with --drop '{field.name}', or give it as the numbers that the model was trained on",
        )


def _row_shape(given: Any, fields: Iterable[Field]) -> tuple[int, ...]:
    """Return the shape of one row in an input, an open dimension filled by as many numbers as there are."""
    width = sum(field.width for field in fields)
    if not given.shape:  # it says nothing
        return (width,)
    shape = list(given.shape[1:])
    is_open = [i for i, size in enumerate(shape) if not isinstance(size, int)]
    wanted = math.prod(size for size in shape if isinstance(size, int))
    if len(is_open) == 1 and wanted > 0 and width % wanted == 0:
        shape[is_open[0]] = width // wanted
        wanted = width
    elif is_open:
        raise UsageError(
            f"the model's input '{given.name}' has the open shape {given.shape}, and the columns make {width} numbers",
            "export it with only the number of rows left open",
        )
    if wanted != width:
        raise UsageError(
            f"the model's input '{given.name}' takes {wanted} numbers per row, and the columns make {width}",
            "name the columns that the model was trained on, in order, with --features",
        )
    return tuple(shape)


def run(session: Session, feeds: Sequence[Feed], n_at_once: int, names: Sequence[str], X: Floats) -> list[NDArray[Any]]:
    """Return the outputs of these names, each as [n, width]; width is 0 where an output is not one of every row."""
    done = batches(session, feeds, n_at_once, names, X)
    parts = [[_by_row(output, max(n, n_at_once))[:n] for output in outputs] for outputs, n in done]
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def batches(
    session: Session, feeds: Sequence[Feed], n_at_once: int, names: Sequence[str], X: Floats
) -> Iterator[tuple[list[Any], int]]:
    """Yield the outputs as they are, and of how many rows; the last batch is filled where a model takes no fewer."""
    running = session.running
    inputs = {feed.name: feed.values(X) for feed in feeds}
    width = sum(math.prod(feed.shape) for feed in feeds)
    size = n_at_once or max(1, min(_MOST_ROWS, _MOST_NUMBERS // width))
    for start in range(0, len(X), size):
        n = min(size, len(X) - start)
        rows = np.minimum(np.arange(start, start + (n_at_once or n)), len(X) - 1)
        try:
            given = {name: values[rows] for name, values in inputs.items()}
            outputs = heard(partial(running.run, list(names), given))
        except Exception as error:
            raise UsageError(
                f"the ONNX model fails on rows of these columns ({reason(error)})",
                "check that they are the columns that it was trained on",
            ) from error
        yield outputs, n


def _by_row(output: Any, n: int) -> NDArray[Any]:
    if isinstance(output, list):  # of maps from class to number
        is_of_rows = len(output) == n and all(isinstance(each, dict) for each in output)
        return np.array([list(each.values()) for each in output]) if is_of_rows else np.empty((n, 0))
    if output.ndim == 0 or len(output) != n:
        return np.empty((n, 0))
    return np.asarray(output).reshape(n, -1)
