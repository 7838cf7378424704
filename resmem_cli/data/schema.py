"""What a model expects of a table: its columns by name and kind, its target, its task."""

from __future__ import annotations

import enum
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resmem_cli.data.kinds import TIMESTAMP_PARTS, Kind
from resmem_cli.data.rows import Rows
from resmem_cli.errors import DataError, did_you_mean

Label = str | int | float | bool
_DECIMAL = re.compile(r"decimal(?:32|64|128|256)\(([0-9]+), (-?[0-9]+)\)")
_SHORT_FLOATS = {"float": pa.float32(), "halffloat": pa.float16()}


class Task(enum.StrEnum):
    """What is predicted: a number, or one class of several."""

    REGRESSION = "regression"
    CLASSIFICATION = "classification"


@dataclass(frozen=True)
class Column:
    """One feature column.

    Attributes:
        name: as in the file.
        kind: what its values mean.
        arrow_type: the type it had in training, for the record.
        categories: for a category, the values that have a code of their own, in the order of the codes.
        has_rest: for a category, whether one more code stands for all other values together.
        length: for a vector, how many numbers it holds.
    """

    name: str
    kind: Kind
    arrow_type: str
    categories: tuple[str, ...] = ()
    has_rest: bool = False
    length: int = 1

    @property
    def width(self) -> int:
        """How many columns of the encoded matrix it takes."""
        return len(TIMESTAMP_PARTS) if self.kind is Kind.TIMESTAMP else self.length


@dataclass(frozen=True)
class Given:
    """What another model has written of every row: one column of numbers per output, or one of vectors of them."""

    columns: tuple[str, ...]
    is_vector: bool
    width: int


@dataclass(frozen=True)
class Target:
    """The predicted column; `classes` (sorted, as values that JSON can hold) is empty for regression."""

    name: str
    task: Task
    arrow_type: str
    classes: tuple[Label, ...] = ()

    @cached_property
    def labels(self) -> pa.Array:
        """The classes in the type that they are written in."""
        if any(isinstance(value, int) and value >= 2**63 for value in self.classes):
            return pa.array(self.classes, pa.uint64())
        labels = pa.array(self.classes)
        if pa.types.is_floating(labels.type) and self.arrow_type in _SHORT_FLOATS:
            return pc.cast(labels, _SHORT_FLOATS[self.arrow_type])
        decimal = _DECIMAL.fullmatch(self.arrow_type)
        if decimal is None or not pa.types.is_string(labels.type):
            return labels
        precision, scale = map(int, decimal.groups())
        wide = pa.decimal128 if precision <= 38 else pa.decimal256
        return pc.cast(labels, wide(precision, scale))

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The classes as text, as they are written and as they appear in column names and messages."""
        return tuple(pc.cast(self.labels, pa.string()).to_pylist())


@dataclass(frozen=True)
class Schema:
    """Everything that has to be known to read rows for a model.

    Attributes:
        columns: the features.
        target: what is predicted.
        id_column, weight_column: columns with other roles, if there are any.
        given: where the base's predictions are columns too; in the encoded matrix they follow the features.
    """

    columns: tuple[Column, ...]
    target: Target
    id_column: str | None = None
    weight_column: str | None = None
    given: Given | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def n_categories(self) -> tuple[int, ...]:
        """Per column of the encoded matrix: how many codes it can hold; 0 for a number."""
        return tuple(
            len(column.categories) + column.has_rest if column.kind is Kind.CATEGORY else 0
            for column in self.columns
            for _ in range(column.width)
        )

    @property
    def width(self) -> int:
        """How many columns the encoded matrix has."""
        return len(self.n_categories) + (self.given.width if self.given else 0)

    @property
    def starts(self) -> tuple[int, ...]:
        """The encoded column that each feature begins at."""
        return tuple(itertools.accumulate((column.width for column in self.columns), initial=0))[:-1]

    @property
    def vectors(self) -> dict[str, tuple[int, int]]:
        """By name of each column of vectors: the encoded column it begins at, and the one after its last."""
        pairs = zip(self.columns, self.starts, strict=True)
        return {column.name: (at, at + column.width) for column, at in pairs if column.kind is Kind.VECTOR}

    @property
    def read_columns(self) -> tuple[str, ...]:
        """The columns that a prediction is made from."""
        return (*self.names, *(self.given.columns if self.given else ()))

    @property
    def needed(self) -> frozenset[str]:
        """The columns that a labelled row is read from."""
        return frozenset({*self.read_columns, self.target.name, *filter(None, (self.id_column, self.weight_column))})

    @staticmethod
    def require(rows: Rows, names: Sequence[str]) -> None:
        """Refuse rows that lack any of `names`, and name every one that is missing.

        Raises:
            DataError: at least one is missing.
        """
        present = set(rows.table.column_names)
        missing = [name for name in names if name not in present]
        if missing:
            several = len(missing) > 1
            others = [name for name in rows.table.column_names if name not in names]
            raise DataError(
                f"{rows.source} lacks the column{'s' if several else ''} "
                + ", ".join(f"'{name}'" for name in missing)
                + ", which the model needs",
                did_you_mean(
                    missing,
                    others,
                    f"add {'them' if several else 'it'}; the file has: " + ", ".join(rows.table.column_names[:20]),
                ),
            )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Schema:
        """Rebuild a schema from what `to_json` returned.

        Raises:
            KeyError, TypeError, ValueError: the mapping is not one of ours.
        """
        columns = tuple(
            replace(Column(**column), kind=Kind(column["kind"]), categories=tuple(column["categories"]))
            for column in stored["columns"]
        )
        target, given = stored["target"], stored.get("given")
        return cls(
            columns,
            replace(Target(**target), task=Task(target["task"]), classes=tuple(target["classes"])),
            stored["id_column"],
            stored["weight_column"],
            None if given is None else Given(tuple(given["columns"]), given["is_vector"], given["width"]),
        )
