"""What a model expects of a table: its columns by name and kind, its target, its task."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from resmem_cli.data.kinds import TIMESTAMP_PARTS, Kind
from resmem_cli.data.rows import Rows
from resmem_cli.errors import DataError


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
    """

    name: str
    kind: Kind
    arrow_type: str
    categories: tuple[str, ...] = ()
    has_rest: bool = False

    @property
    def width(self) -> int:
        """How many columns of the encoded matrix it takes."""
        return len(TIMESTAMP_PARTS) if self.kind is Kind.TIMESTAMP else 1


@dataclass(frozen=True)
class Target:
    """The predicted column; `classes` (sorted, in the file's own type) is empty for regression."""

    name: str
    task: Task
    arrow_type: str
    classes: tuple[str | int | float | bool, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes as text, as they appear in column names and messages."""
        return tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in self.classes)


@dataclass(frozen=True)
class Schema:
    """Everything that has to be known to read rows for a model."""

    columns: tuple[Column, ...]
    target: Target
    id_column: str | None = None
    weight_column: str | None = None

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
    def needed(self) -> frozenset[str]:
        """The columns that a labelled row is read from."""
        return frozenset({*self.names, self.target.name, *filter(None, (self.id_column, self.weight_column))})

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
            raise DataError(
                f"{rows.source} lacks the column{'s' if several else ''} "
                + ", ".join(f"'{name}'" for name in missing)
                + ", which the model needs",
                f"add {'them' if several else 'it'}; the file has: " + ", ".join(rows.table.column_names[:20]),
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
        target = stored["target"]
        return cls(
            columns,
            replace(Target(**target), task=Task(target["task"]), classes=tuple(target["classes"])),
            stored["id_column"],
            stored["weight_column"],
        )
