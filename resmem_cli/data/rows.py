"""A table that remembers which file and row each of its rows came from, so that errors can say it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.abc import MetaPathFinder

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from resmem_cli.data.dialect import PLAIN, Dialect
from resmem_cli.data.promotion import concatenated
from resmem_cli.data.promotion import plain as plain  # noqa: PLC0414 - so that others may take it from here


@dataclass(frozen=True)
class Rows:
    """A table and the origin of its rows.

    Attributes:
        table: the columns as read; from CSV every column is text.
        origins: (position in `table`, source name, number of that row in its source, from 1), ascending.
        is_text: whether the values are text that has not been given types yet.
        kept: where some rows were left out, the position that each kept row had before.
        dialect: how text is written; of values with types, whether numbers of a column in percent may lack the sign.
        of_folders: the columns that the names of folders hold, which are text in any format.
    """

    table: pa.Table
    origins: tuple[tuple[int, str, int], ...]
    is_text: bool
    kept: NDArray[np.int64] | None = None
    dialect: Dialect = PLAIN
    of_folders: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def locate(self, position: int) -> str:
        """Return "train.csv, row 17" for the row at `position`."""
        if self.kept is not None:
            position = int(self.kept[position])
        start, name, first = max(origin for origin in self.origins if origin[0] <= position)
        return f"{name}, row {first + position - start:,}"

    @property
    def numbers(self) -> NDArray[np.int64]:
        """[n] the number of each row in its source, from 1."""
        positions = np.arange(len(self)) if self.kept is None else self.kept
        starts, firsts = (np.array([origin[i] for origin in self.origins], dtype=np.int64) for i in (0, 2))
        part = np.searchsorted(starts, positions, side="right") - 1
        numbers: NDArray[np.int64] = firsts[part] + positions - starts[part]
        return numbers

    @property
    def source(self) -> str:
        """The name of the first source, for errors about the whole."""
        return self.origins[0][1]

    @property
    def written(self) -> Dialect:
        """How the values are written; values with types are written plainly."""
        return self.dialect if self.is_text else PLAIN

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column; the words that stand for missing values in this text are missing."""
        column = self.table.column(name)
        if not self.written.na:
            return column
        words = pc.is_in(pc.utf8_trim_whitespace(column), value_set=pa.array(self.written.na, column.type))
        return pc.if_else(words, pa.scalar(None, column.type), column)

    def take(self, positions: NDArray[np.int64]) -> Rows:
        """Return the rows at `positions`, which still know where they came from."""
        kept = positions if self.kept is None else self.kept[positions]
        return replace(self, table=self.table.take(pa.array(positions)), kept=kept)


def concatenate(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all parts, their types promoted to what holds every part's values.

    Raises:
        DataError: there is no such type for a column.
    """
    origins: list[tuple[int, str, int]] = []
    kept: list[NDArray[np.int64]] = []
    start = 0
    for part in parts:
        positions = np.arange(len(part)) if part.kept is None else part.kept
        n_before = int(positions.max()) + 1 if len(positions) else 0
        origins += [(start + offset, name, first) for offset, name, first in part.origins if offset < n_before]
        kept.append(start + positions)
        start += n_before
    is_whole = all(part.kept is None for part in parts)
    return Rows(
        concatenated([part.table for part in parts], [part.source for part in parts]),
        tuple(origins) or parts[0].origins,
        is_text=all(part.is_text for part in parts),
        kept=None if is_whole else np.concatenate(kept),
        dialect=parts[0].dialect,
        of_folders=parts[0].of_folders,
    )


class _NoPandas(MetaPathFinder):
    """Lets no import find pandas."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def leave_pandas_out() -> None:
    """Have Arrow believe that there is no pandas, in a process that has not loaded it and is all ours.

    Arrow loads it, which takes longer than to predict a few rows, to know pandas' own kinds of missing values in what
    it is given: ours never are.
    """
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.scalar(0.0)
    finally:
        sys.meta_path.remove(finder)


def to_floats(column: pa.ChunkedArray | pa.Array) -> NDArray[np.float64]:
    """Return a column of numbers or booleans as [n] 64-bit floats of our own, missing values as NaN."""
    # Not by `to_numpy`, which needs pandas for columns of several chunks.
    values = pc.fill_null(pc.cast(column, pa.float64(), safe=False), float("nan"))
    chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    return np.concatenate([np.from_dlpack(chunk) for chunk in chunks]) if chunks else np.empty(0)


def to_booleans(column: pa.ChunkedArray | pa.Array) -> NDArray[np.bool_]:
    """Return a column of booleans without missing values as [n] booleans."""
    booleans: NDArray[np.bool_] = to_floats(column) != 0
    return booleans
