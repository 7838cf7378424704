"""What the rows of an evaluation are drawn by: by groups or times, where a column tells them, or one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.relations import groups_if_known
from resmem_cli.data.rows import Rows
from resmem_cli.store.stored import StoredModel

GROUP, TIME = "group", "time"


@dataclass(frozen=True)
class Unit:
    """Rows that are not independent of each other.

    Attributes:
        word: `GROUP` or `TIME`.
        column: rows with the same value in it are of one unit.
    """

    word: str
    column: str


class Drawing:
    """By which column rows are drawn, and its values: the first of the models' groups and times that the rows have."""

    def __init__(self, *models: StoredModel, groups: str | None = None) -> None:
        """Take models, and a column of groups that is looked at first."""
        named = [Unit(GROUP, groups)] if groups else []
        for word in (GROUP, TIME):
            columns = [_column(model, word) for model in models]
            named += [Unit(word, column) for column in columns if column is not None]
        self._units = named
        self.unit: Unit | None = None

    @property
    def columns(self) -> frozenset[str]:
        """Those that may tell."""
        return frozenset(unit.column for unit in self._units)

    @property
    def word(self) -> str:
        """What one of the units is called; where there are none it does not matter."""
        return GROUP if self.unit is None else self.unit.word

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence, if there are groups and the rows do not tell them."""
        groups = [unit.column for unit in self._units if unit.word == GROUP]
        if not groups or self.unit in [Unit(GROUP, column) for column in groups]:
            return ()
        return (
            f"the rows have no '{groups[0]}', the groups that the model was fitted with: intervals may be too narrow",
        )

    def read(self, rows: Rows) -> NDArray[np.uint64] | None:
        """Return [n] hashes of the units of a batch, 0 where missing; None if it does not tell them."""
        if self.unit is None:
            there = set(rows.table.column_names)
            self.unit = next((unit for unit in self._units if unit.column in there), None)
        return groups_if_known(rows, None if self.unit is None else self.unit.column)


def _column(model: StoredModel, word: str) -> str | None:
    """Return the column that a model was fitted with: its bases, or else its memory alone."""
    schema = model.base.schema
    of_bases = schema.group_column if word == GROUP else schema.time_column
    of_memory: str | None = model.folds.get(f"{word}_column")
    return of_bases or of_memory
