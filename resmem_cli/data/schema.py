"""What a model expects of a table: its columns by name and kind, its target, its task."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resmem_cli import fields
from resmem_cli.data.dialect import PLAIN, Dialect
from resmem_cli.data.kinds import TIMESTAMP_PARTS, Kind
from resmem_cli.data.rows import Rows
from resmem_cli.errors import DataError, did_you_mean

Label = str | int | float | bool
_DECIMAL = re.compile(r"decimal(?:32|64|128|256)\(([0-9]{1,2}), (-?[0-9]{1,2})\)")
_SHORT_FLOATS = {"float": pa.float32(), "halffloat": pa.float16()}

_MOST_WIDTH = 10_000_000  # of the encoded matrix, in columns


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
        levels: for a category of many values, all that are told apart, the frequent ones among them; in the encoded
            matrix each has a code of its own in one more column, after those of all features. Sorted at first;
            one that is forgotten becomes the empty text.
    """

    name: str
    kind: Kind
    arrow_type: str
    categories: tuple[str, ...] = ()
    has_rest: bool = False
    length: int = 1
    levels: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many columns of the encoded matrix it takes, beside that of its levels."""
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
        given: where the base's predictions are columns too; in the encoded matrix they follow all else.
        group_column: rows of one value of it are on one side of every split; None if rows have no groups.
        time_column: later rows are judged by earlier ones, by the times in it; None if rows have no times.
        dialect: how the training file was written, by which later text files are read.
    """

    columns: tuple[Column, ...]
    target: Target
    id_column: str | None = None
    weight_column: str | None = None
    given: Given | None = None
    group_column: str | None = None
    time_column: str | None = None
    dialect: Dialect = PLAIN

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
        return len(self.n_categories) + len(self.n_levels) + (self.given.width if self.given else 0)

    @property
    def n_levels(self) -> dict[int, int]:
        """By the encoded column of each category of many values: how many levels it has.

        Their codes are in the encoded columns after those of the features, in this order.
        """
        pairs = zip(self.columns, self.starts, strict=True)
        return {at: len(column.levels) for column, at in pairs if column.levels}

    @property
    def starts(self) -> tuple[int, ...]:
        """The encoded column that each feature begins at."""
        return tuple(itertools.accumulate((column.width for column in self.columns), initial=0))[:-1]

    @property
    def encoded_columns(self) -> tuple[tuple[int, ...], ...]:
        """Per feature, its columns of the encoded matrix, the codes of its levels among them."""
        levels = dict(zip(self.n_levels, itertools.count(len(self.n_categories))))
        pairs = zip(self.columns, self.starts, strict=True)
        return tuple((*range(at, at + column.width), *([levels[at]] if at in levels else [])) for column, at in pairs)

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
        roles = (self.id_column, self.weight_column)
        return frozenset({*self.read_columns, self.target.name, *(name for name in roles if name is not None)})

    @property
    def relating(self) -> tuple[str, ...]:
        """The columns that say how rows may be split, which only fitting needs."""
        return tuple(name for name in (self.group_column, self.time_column) if name is not None)

    @staticmethod
    def require(rows: Rows, names: Sequence[str], option: str | None = None) -> None:
        """Refuse rows that lack any of `names`, and name every one that is missing.

        The model needs them, or an `option` names them.

        Raises:
            DataError: at least one is missing.
        """
        present = set(rows.table.column_names)
        missing = [name for name in names if name not in present]
        if missing:
            several = len(missing) > 1
            add = f"correct {option}" if option else f"add {'them' if several else 'it'}"
            names_there = ", ".join(rows.table.column_names[:20])
            there = f"the file has: {names_there}" if names_there else "the file has no columns"
            others = [name for name in rows.table.column_names if name not in names]
            raise DataError(
                f"{rows.source} lacks the column{'s' if several else ''} "
                + ", ".join(f"'{name}'" for name in missing)
                + f", which {f'{option} names' if option else 'the model needs'}",
                did_you_mean(missing, others, f"{add}; {there}"),
            )

    def to_json(self) -> dict[str, Any]:
        """Return the schema as JSON can hold it."""
        given = self.given
        return {
            "columns": [
                {
                    "name": column.name,
                    "kind": column.kind.value,
                    "arrow_type": column.arrow_type,
                    "categories": list(column.categories),
                    "has_rest": column.has_rest,
                    "length": column.length,
                    "levels": list(column.levels),
                }
                for column in self.columns
            ],
            "target": {
                "name": self.target.name,
                "task": self.target.task.value,
                "arrow_type": self.target.arrow_type,
                "classes": list(self.target.classes),
            },
            "id_column": self.id_column,
            "weight_column": self.weight_column,
            "group_column": self.group_column,
            "time_column": self.time_column,
            **({} if self.dialect == PLAIN else {"dialect": self.dialect.to_json()}),
            "given": None
            if given is None
            else {"columns": list(given.columns), "is_vector": given.is_vector, "width": given.width},
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Schema:
        """Rebuild a schema from what `to_json` returned.

        Raises:
            KeyError, TypeError, ValueError: the mapping is not one of ours.
        """
        columns = tuple(_column(each) for each in fields.groups(stored, "columns"))
        names = [column.name for column in columns]
        if not columns or len(set(names)) < len(names):
            raise ValueError("its columns are none, or one is there twice")
        if sum(column.width for column in columns) > _MOST_WIDTH:
            raise ValueError("its columns hold too many numbers")
        return cls(
            columns,
            _target(fields.group(stored, "target")),
            fields.maybe_text(stored, "id_column"),
            fields.maybe_text(stored, "weight_column"),
            None if stored.get("given") is None else _given(fields.group(stored, "given")),
            # Which formats before 6 did not have.
            fields.maybe_text({"group_column": None, **stored}, "group_column"),
            fields.maybe_text({"time_column": None, **stored}, "time_column"),
            # Which text without anything unusual does not have, nor do formats before 9.
            Dialect.from_json(fields.group(stored, "dialect")) if "dialect" in stored else PLAIN,
        )


_COLUMN_FIELDS = frozenset(field.name for field in dataclasses.fields(Column))


def _column(stored: fields.Fields) -> Column:
    stored = {"length": 1, "levels": [], **stored}  # which formats 1 and 8 did not have
    column = Column(
        fields.text(stored, "name"),
        Kind(fields.text(stored, "kind", tuple(Kind))),
        fields.text(stored, "arrow_type"),
        fields.texts(stored, "categories"),
        fields.flag(stored, "has_rest"),
        fields.whole(stored, "length", least=1, most=_MOST_WIDTH),
        fields.texts(stored, "levels"),
    )
    unknown = stored.keys() - _COLUMN_FIELDS
    if unknown:
        raise ValueError(f"the column '{column.name}' has fields that are not known: {sorted(unknown)}")
    if column.kind is not Kind.CATEGORY and (column.categories or column.has_rest or column.levels):
        raise ValueError(f"the column '{column.name}' is no category and has some")
    if column.levels and not column.has_rest:
        raise ValueError(f"the column '{column.name}' has more levels than categories, and no rest")
    if column.kind is Kind.CATEGORY and not (column.categories or column.has_rest):
        raise ValueError(f"the column '{column.name}' has no categories")
    if column.kind is not Kind.VECTOR and column.length != 1:
        raise ValueError(f"the column '{column.name}' is no vector and has the length {column.length}")
    return column


def _target(stored: fields.Fields) -> Target:
    task, classes = Task(fields.text(stored, "task", tuple(Task))), tuple(fields.items(stored, "classes"))
    kinds = {type(value) for value in classes}
    if len(kinds) > 1 or not kinds <= {str, int, float, bool} or (kinds == {float} and not all(map(isfinite, classes))):
        raise ValueError("its classes are not of one kind")
    most = 1 << (63 if kinds == {int} and min(classes) < 0 else 64)
    if kinds == {int} and not all(-(1 << 63) <= value < most for value in classes):
        raise ValueError("its classes are numbers of more than 64 bits")
    if kinds == {str}:
        fields.texts(stored, "classes")
    if len(set(classes)) < len(classes) or (task is Task.CLASSIFICATION) != (len(classes) > 0):
        raise ValueError("its classes are not those of its task")
    target = Target(fields.text(stored, "name"), task, fields.text(stored, "arrow_type"), classes)
    _ = target.class_names  # that they are values of this type is seen now rather than when the first is written
    return target


def _given(stored: fields.Fields) -> Given:
    columns, is_vector = fields.texts(stored, "columns"), fields.flag(stored, "is_vector")
    width = fields.whole(stored, "width", least=1, most=_MOST_WIDTH)
    if not columns or len(columns) != (1 if is_vector else width):
        raise ValueError("the columns of another model's predictions do not match")
    return Given(columns, is_vector, width)
