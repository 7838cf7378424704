"""Which rows belong together and when they are from, by the columns that say so: what splits of the rows obey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data import kinds
from resmem_cli.data.kinds import Floats, Kind
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Schema
from resmem_cli.errors import DataError

_MOST_OTHERS = 20  # columns beside the features that are looked at


class Numbered(NamedTuple):
    """Relations as a method takes them.

    Attributes:
        groups: [n] numbers of groups from 0, a missing one alone; None if there is no such column.
        times: [n] with -inf where missing; None if there is no such column.
        notes: sentences on what was found.
    """

    groups: NDArray[np.int64] | None
    times: Floats | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Relations:
    """What the columns of groups and times say of rows.

    Attributes:
        group_column, time_column: their names, None if there is no such column.
        groups: [n] 64-bit hashes of the groups as text, 0 where missing.
        times: [n] days since 1970 of instants, or numbers as they are; NaN where missing.
        time_kind: which of the two; None where all are missing.
        others: by name of other columns that may be groups, [n] hashes as `groups`.
    """

    group_column: str | None
    time_column: str | None
    groups: NDArray[np.uint64] | None = None
    times: Floats | None = None
    time_kind: Kind | None = None
    others: Mapping[str, NDArray[np.uint64]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Rows, schema: Schema, *, with_others: bool = False) -> Relations:
        """Read the columns of rows; if there is none of groups, `with_others` those that may be, too.

        Raises:
            DataError: one is missing, or holds what is no group or time.
        """
        Schema.require(rows, schema.relating)
        group_column, time_column = schema.group_column, schema.time_column
        groups = None if group_column is None else hashed_groups(rows, group_column)
        kind, times = (None, None) if time_column is None else _times(rows, time_column)
        others = _may_be_groups(rows, schema) if with_others and groups is None else []
        hashes = {name: hashed_groups(rows, name) for name in others}
        return cls(group_column, time_column, groups, times, kind, hashes)

    def take(self, positions: NDArray[np.int64]) -> Relations:
        return replace(
            self,
            groups=None if self.groups is None else self.groups[positions],
            times=None if self.times is None else self.times[positions],
            others={name: hashes[positions] for name, hashes in self.others.items()},
        )

    @classmethod
    def joined(cls, parts: Sequence[Relations]) -> Relations:
        """Return the relations of all rows, part after part.

        Raises:
            DataError: the times of some are numbers, and those of others dates.
        """
        time_kinds = {part.time_kind for part in parts} - {None}
        if len(time_kinds) > 1:
            raise DataError(
                f"the time '{parts[0].time_column}' is a number in some rows and a date in others",
                "give all times in one form",
            )
        shared = [name for name in parts[0].others if all(name in part.others for part in parts)]
        groups = [part.groups for part in parts if part.groups is not None]
        times = [part.times for part in parts if part.times is not None]
        return replace(
            parts[0],
            groups=np.concatenate(groups) if groups else None,
            times=np.concatenate(times) if times else None,
            time_kind=next(iter(time_kinds), None),
            others={name: np.concatenate([part.others[name] for part in parts]) for name in shared},
        )

    def numbered(self) -> Numbered:
        """Return groups as numbers, and times that can be compared.

        Raises:
            DataError: all rows are of one group or one time, or no time is known.
        """
        groups, times, notes = None, None, []
        if self.groups is not None:
            groups, is_missing = numbered_groups(self.groups), self.groups == 0
            if is_missing.all():
                raise DataError(f"no row has a group '{self.group_column}'", "name another column with --group")
            if groups.max() == 0:
                raise DataError(
                    f"all {len(groups):,} rows have the same group '{self.group_column}'",
                    "give rows of several groups, or leave --group out",
                )
            if is_missing.any():
                notes.append(
                    f"{is_missing.sum():,} rows have no value of '{self.group_column}': each counts as a group of its "
                    "own, so that rows that do belong together may be on both sides of a split"
                )
            elif groups.max() + 1 == len(groups):
                notes.append(f"every row has its own '{self.group_column}', so that --group changes nothing")
        if self.times is not None:
            known = ~np.isnan(self.times)
            if not known.any():
                raise DataError(f"no row has a time '{self.time_column}'", "name another column with --time")
            if (self.times[known] == self.times[known][0]).all():
                raise DataError(
                    f"all rows have the same time '{self.time_column}'",
                    "give rows of several times, or leave --time out",
                )
            times = np.where(known, self.times, -np.inf)
            if not known.all():
                notes.append(
                    f"{(~known).sum():,} rows have no time '{self.time_column}': they are taken as the earliest"
                )
        return Numbered(groups, times, tuple(notes))


def groups_if_known(rows: Rows, name: str | None) -> NDArray[np.uint64] | None:
    """Return the same of a column that may not be there; None if it is not."""
    return hashed_groups(rows, name) if name is not None and name in rows.table.column_names else None


def numbered_groups(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return [n] numbers of groups from 0; a missing one is alone."""
    _, groups = np.unique(hashes, return_inverse=True)
    is_missing = hashes == 0
    numbers: NDArray[np.int64] = np.unique(
        np.where(is_missing, groups.max(initial=-1) + 1 + np.cumsum(is_missing), groups), return_inverse=True
    )[1]
    return numbers


def _may_be_groups(rows: Rows, schema: Schema) -> list[str]:
    """Return columns that may be groups and that the encoded rows do not tell: no features, or of too many values."""
    pooled = {column.name for column in schema.columns if column.has_rest}
    known = {schema.target.name, schema.weight_column, *schema.read_columns} - pooled
    kinds_of = ((name, kinds.kind_of(rows.column(name).type)) for name in rows.table.column_names if name not in known)
    return [name for name, kind in kinds_of if kind in (Kind.CATEGORY, Kind.NUMBER, Kind.TIMESTAMP)][:_MOST_OTHERS]


def hashed_groups(rows: Rows, name: str) -> NDArray[np.uint64]:
    """Return [n] 64-bit hashes of the values of a column as text, 0 where missing.

    Raises:
        DataError: it holds vectors or the like.
    """
    import pandas as pd  # here, because only fitting needs it and it is slow to load

    text = kinds.canonical(kinds.as_category(rows, name)).to_pandas()
    hashes = np.asarray(pd.util.hash_array(text.to_numpy(dtype=object)), dtype=np.uint64)
    hashes[text.isna().to_numpy()] = 0
    return hashes


def _times_of_text(rows: Rows, name: str) -> tuple[Kind, Floats]:
    try:
        return Kind.NUMBER, kinds.as_number(rows, name)
    except DataError:
        try:
            return Kind.TIMESTAMP, kinds.as_timestamp(rows, name)
        except DataError as error:
            raise DataError(
                f"{error.message}, so that --time cannot use it",
                "write dates as 2023-01-31, use numbers, or name another column",
            ) from None


def _times(rows: Rows, name: str) -> tuple[Kind | None, Floats]:
    kind = kinds.kind_of(rows.column(name).type)
    if kind is Kind.CATEGORY:
        kind, values = _times_of_text(rows, name)
    elif kind is Kind.NUMBER:
        values = kinds.as_number(rows, name)
    else:
        values = kinds.as_timestamp(rows, name)
    return (None if np.isnan(values).all() else kind), values
