"""What a model directory keeps of rows: of those that are remembered, and of those that trained the bases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data.kinds import Kind
from resmem_cli.data.schema import Schema
from resmem_cli.model.arrays import BYTE, FLOAT, HASH, WHOLE, Arrays, Floats, stored


@dataclass(frozen=True)
class MemoryRows:
    """What is kept of each memorised row beside its cells and residuals.

    Attributes:
        hashes: [n] of what is in it.
        ids: [n] if there is an id column.
        weight: [n] if there is a column of weights.
        codes: [n, columns] which categories it has, as `category_codes` gives them; None if there are no such columns,
            or in a memory of an older resmem.
    """

    hashes: NDArray[np.uint64]
    ids: Sequence[str] | None
    weight: NDArray[np.float64] | None = None
    codes: NDArray[Any] | None = None

    def take(self, which: NDArray[np.bool_]) -> MemoryRows:
        """Return some of these rows."""
        ids = None if self.ids is None else [self.ids[i] for i in np.flatnonzero(which).tolist()]
        weight, codes = (None if each is None else each[which] for each in (self.weight, self.codes))
        return MemoryRows(self.hashes[which], ids, weight, codes)

    def to_arrays(self) -> Arrays:
        weight = {} if self.weight is None else {"weight": self.weight}
        codes = {} if self.codes is None else {"codes": self.codes}
        return {"hashes": self.hashes, **weight, **codes, **_packed(self.ids)}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> MemoryRows:
        """Return what `to_arrays` was asked of; KeyError or ValueError if they are no such arrays."""
        hashes = stored(arrays, "hashes", HASH, None)
        weight = stored(arrays, "weight", FLOAT, len(hashes)) if "weight" in arrays else None
        if weight is not None and (weight < 0).any():
            raise ValueError("a row has a weight below 0")
        return cls(hashes, _ids_of(arrays, len(hashes)), weight, _codes_of(arrays, len(hashes)))


@dataclass(frozen=True)
class TrainedRows:
    """What is kept of each row that trained the bases, so that it is recognised and can be forgotten.

    Attributes:
        hashes: [n] of what is in it.
        ids: [n] if there is an id column; None also in a base of an older resmem.
        codes: [n, columns] which categories it has, as `MemoryRows`.
        groups: [n] hashes of the groups, 0 where there is none, if there is a column of groups.
        times: [n] when each is from, NaN where that is not known, if there is a column of times.
    """

    hashes: NDArray[np.uint64]
    ids: Sequence[str] | None = None
    codes: NDArray[Any] | None = None
    groups: NDArray[np.uint64] | None = None
    times: NDArray[np.float64] | None = None

    def to_arrays(self) -> Arrays:
        more = {"codes": self.codes, "groups": self.groups, "times": self.times}
        known = {name: values for name, values in more.items() if values is not None}
        return {"hashes": self.hashes, **known, **_packed(self.ids)}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> TrainedRows:
        """Return what `to_arrays` was asked of; KeyError or ValueError if they are no such arrays."""
        hashes = stored(arrays, "hashes", HASH, None)
        n = len(hashes)
        groups = stored(arrays, "groups", HASH, n) if "groups" in arrays else None
        times = stored(arrays, "times", FLOAT, n, finite=False) if "times" in arrays else None
        return cls(hashes, _ids_of(arrays, n), _codes_of(arrays, n), groups, times)

    def with_remembered(self, remembered: MemoryRows) -> TrainedRows:
        """Return these rows and those that a memory alone holds, of which neither group nor time is known."""
        rest = remembered.take(~np.isin(remembered.hashes, self.hashes))
        n = len(rest.hashes)
        return TrainedRows(
            np.concatenate([self.hashes, rest.hashes]),
            None if self.ids is None or rest.ids is None else [*self.ids, *rest.ids],
            None if self.codes is None or rest.codes is None else np.concatenate([self.codes, rest.codes]),
            None if self.groups is None else np.append(self.groups, np.zeros(n, np.uint64)),
            None if self.times is None else np.append(self.times, np.full(n, np.nan)),
        )

    def take(self, which: NDArray[np.bool_]) -> TrainedRows:
        """Return some of these rows."""
        ids = None if self.ids is None else [self.ids[i] for i in np.flatnonzero(which).tolist()]
        return TrainedRows(
            self.hashes[which],
            ids,
            None if self.codes is None else self.codes[which],
            None if self.groups is None else self.groups[which],
            None if self.times is None else self.times[which],
        )


def category_places(schema: Schema) -> list[tuple[int, int]]:
    """Return the encoded columns that hold categories, then those of levels, and how many of them have a text."""
    places = [
        (at, len(column.categories))
        for column, at in zip(schema.columns, schema.starts, strict=True)
        if column.kind is Kind.CATEGORY
    ]
    return [*places, *enumerate(schema.n_levels.values(), start=len(schema.n_categories))]


def category_codes(X: Floats, schema: Schema) -> NDArray[Any] | None:
    """Return [n, columns] which of its categories each row has in the columns that have such, and then which levels.

    They are counted from 1. It is 0 where none is known. None if there are no such columns.
    """
    places = category_places(schema)
    if not places:
        return None
    codes = np.column_stack([np.where(X[:, at] < n, X[:, at] + 1, 0) for at, n in places])
    return codes.astype(np.min_scalar_type(max(n for _, n in places)))


@dataclass(frozen=True)
class RowNames:
    """Which rows the cells of every memory stand for.

    Attributes:
        cells: per memory, [n] the cell of each row.
        ids: [n] what the id column said of each, or None if there is no such column.
    """

    cells: tuple[NDArray[np.int64], ...]
    ids: Sequence[str] | None

    @cached_property
    def _by_cell(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Per memory, the rows sorted by cell, and the cells in that order."""
        orders = [np.argsort(cells, kind="stable") for cells in self.cells]
        return [(order, cells[order]) for order, cells in zip(orders, self.cells, strict=True)]

    def names(self, memory: int, cell: int, most: int) -> list[str]:
        """Return the ids of the first rows of a cell, or their numbers from 1 where rows have none."""
        order, cells = self._by_cell[memory]
        start, stop = np.searchsorted(cells, [cell, cell + 1])
        rows = order[start : min(stop, start + most)].tolist()
        return [str(row + 1) if self.ids is None else self.ids[row] for row in rows]


class Ids(Sequence[str]):
    """Texts as one run of UTF-8 bytes and the place where each ends: arrays hold no text of varying length."""

    def __init__(self, data: bytes, ends: NDArray[np.int64]) -> None:
        self._data, self._ends = data, ends

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, position: Any) -> Any:
        """Return one text."""
        start = int(self._ends[position - 1]) if position else 0
        return self._data[start : int(self._ends[position])].decode()


def _ids_of(arrays: Arrays, n_rows: int) -> Ids | None:
    """Return the stored ids of rows, None if they have none; KeyError or ValueError if the arrays are none of ids."""
    if "id_ends" not in arrays:
        return None
    data, ends = stored(arrays, "id_bytes", BYTE, None), stored(arrays, "id_ends", WHOLE, n_rows)
    rises = bool((np.diff(ends, prepend=0) >= 0).all()) and (ends[-1] if n_rows else 0) == len(data)
    # Where one ends another text begins, and not the rest of a character.
    if not rises or (data[ends[ends < len(data)]] & 0xC0 == 0x80).any():
        raise ValueError("the ids of the rows do not end where their texts do")
    text = data.tobytes()
    text.decode()
    return Ids(text, ends)


def _codes_of(arrays: Arrays, n_rows: int) -> NDArray[Any] | None:
    if "codes" not in arrays:
        return None
    codes = arrays["codes"]
    if codes.dtype.kind != "u" or codes.ndim != 2 or len(codes) != n_rows:
        raise ValueError(f"codes holds {codes.shape} of {codes.dtype}, not those of the categories of {n_rows} rows")
    return codes


def _packed(ids: Sequence[str] | None) -> Arrays:
    if ids is None:
        return {}
    encoded = [text.encode() for text in ids]
    ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
    return {"id_bytes": np.frombuffer(b"".join(encoded), np.uint8), "id_ends": ends}
