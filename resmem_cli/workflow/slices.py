"""The gain by slices of the rows: by columns that a user names, or by all features in search of what stands out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.kinds import Kind
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Schema
from resmem_cli.data.slicing import ColumnValues, Slicing
from resmem_cli.errors import DataError, UsageError
from resmem_cli.model import slices
from resmem_cli.model.slices import Finding, SliceGain
from resmem_cli.workflow import measured
from resmem_cli.workflow.scores import Scored

AUTO = "auto"


@dataclass(frozen=True)
class Slice:
    """One slice of the rows.

    Attributes:
        column: its name.
        bins: what the column's slices are: "value", "quantile", "day", "week", "month", "quarter" or "year".
        value: that the rows have in common, or from where to where theirs are.
        of: the figures.
    """

    column: str
    bins: str
    value: str
    of: SliceGain


@dataclass(frozen=True)
class Slices:
    """The gain by slices.

    Attributes:
        metric: that it is about.
        n_rows: how many rows were looked at.
        columns: which were looked at.
        left_out: features that were not, having one value in these rows, or nearly as many as there are rows.
        n_judged: how many slices had enough rows (or groups) for an interval, and a share in the correction.
        unit: what has to be enough: "row", "group" or "time".
        is_auto: whether the columns are all features that differ in these rows.
        slices: of each column, the most harmful contribution first.
    """

    metric: str
    n_rows: int
    columns: tuple[str, ...]
    left_out: tuple[str, ...]
    n_judged: int
    unit: str
    is_auto: bool
    slices: tuple[Slice, ...]

    @property
    def least_rows(self) -> int:
        """How many rows, or groups, a slice needs for an interval."""
        return slices.LEAST_ROWS

    @property
    def standing_out(self) -> list[Slice]:
        """The slices that are harmed, or that differ from the other rows, the most harmful contribution first."""
        found = [each for each in self.slices if each.of.finding is not None]
        return sorted(found, key=lambda each: (each.of.finding is not Finding.HARMS, each.of.contribution))

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints; numbers that are not known are null."""
        return {
            "metric": self.metric,
            "rows": self.n_rows,
            "columns": list(self.columns),
            "left_out_columns": list(self.left_out),
            "judged_slices": self.n_judged,
            "least_rows": self.least_rows,
            "unit": self.unit,
            "level": slices.LEVEL,
            "correction": "bonferroni",
            "slices": [
                {
                    "column": each.column,
                    "bins": each.bins,
                    "value": each.value,
                    "rows": each.of.n_rows,
                    "base": measured.known(each.of.base),
                    "resmem": measured.known(each.of.resmem),
                    "gain": measured.known(each.of.gain),
                    "gain_percent": measured.known(each.of.gain_percent),
                    "interval": measured.known_values(each.of.interval),
                    "contribution": measured.known(each.of.contribution),
                    "rest_gain_percent": measured.known(each.of.rest_percent),
                    "finding": each.of.finding,
                }
                for each in self.slices
            ],
        }


class Columns:
    """The columns to slice by, whose values are gathered batch by batch."""

    def __init__(self, by: Sequence[str], schema: Schema) -> None:
        """Take names of columns, or `AUTO` alone for every feature.

        Raises:
            UsageError: it is not alone, or no column is named.
        """
        if by and not any(map(str.strip, by)):
            raise UsageError("--by names no column", f"name one, or give {AUTO}")
        self._is_auto = AUTO in by
        if self._is_auto and set(by) != {AUTO}:
            raise UsageError("--by auto cannot be combined with columns", "give auto or columns")
        kinds = {column.name: column.kind for column in schema.columns}
        features = [name for name, kind in kinds.items() if kind is not Kind.VECTOR]
        self.names = tuple(features if self._is_auto else dict.fromkeys(by))
        self._values = [ColumnValues(name, kinds.get(name)) for name in self.names]

    def add(self, rows: Rows) -> None:
        """Take the values of a batch.

        Raises:
            DataError: a column is not there, or makes no slices.
        """
        Schema.require(rows, self.names, "--by")
        for values in list(self._values):
            with self._left_out_if_refused(values):
                values.add(rows)

    def slices(self, scored: Scored, which: NDArray[np.bool_], objective: str, unit: str) -> Slices:
        """Return the gain by slices of the rows that `which` says; `unit` is what one of their groups is called.

        Raises:
            DataError: a column makes no slices.
        """
        slicings: list[Slicing] = []
        for values in list(self._values):
            with self._left_out_if_refused(values):
                slicings.append(values.slicing(which))
        if self._is_auto:  # a column that is constant in these rows has nothing to tell
            slicings = [slicing for slicing in slicings if len(slicing.names) > 1]
        rows = scored if which.all() else scored.take(which)
        codes = [slicing.codes for slicing in slicings]
        gains = slices.gains(
            rows.y,
            rows.first,
            rows.second,
            rows.weight,
            objective=objective,
            slicings=codes,
            groups=rows.independent,
        )
        found = [
            Slice(slicing.column, slicing.bins, name, gain)
            for slicing, of_column in zip(slicings, gains, strict=True)
            for name, gain in sorted(zip(slicing.names, of_column, strict=True), key=lambda pair: pair[1].contribution)
        ]
        n_judged = sum(each.of.is_judged for each in found)
        columns = tuple(slicing.column for slicing in slicings)
        left_out = tuple(name for name in self.names if name not in columns)
        unit = "row" if rows.groups is None else unit
        return Slices(objective, len(rows.y), columns, left_out, n_judged, unit, self._is_auto, tuple(found))

    @contextmanager
    def _left_out_if_refused(self, values: ColumnValues) -> Iterator[None]:
        """Where all features are looked at, leave one out that makes no slices; one that was named is an error."""
        try:
            yield
        except DataError:
            if not self._is_auto:
                raise
            self._values.remove(values)
