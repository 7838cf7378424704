"""A table that remembers which file and row each of its rows came from, so that errors can say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rows:
    """A table and the origin of its rows.

    Attributes:
        table: the columns as read; from CSV every column is text.
        origins: (position in `table`, source name, number of that row in its source, from 1), ascending.
        is_text: whether the values are text that has not been given types yet.
        kept: where some rows were left out, the position that each kept row had before.
    """

    table: pa.Table
    origins: tuple[tuple[int, str, int], ...]
    is_text: bool
    kept: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def locate(self, position: int) -> str:
        """Return "train.csv, row 17" for the row at `position`."""
        if self.kept is not None:
            position = int(self.kept[position])
        start, name, first = max(origin for origin in self.origins if origin[0] <= position)
        return f"{name}, row {first + position - start:,}"

    @property
    def source(self) -> str:
        """The name of the first source, for errors about the whole."""
        return self.origins[0][1]

    def column(self, name: str) -> pa.ChunkedArray:
        return self.table.column(name)

    def take(self, positions: NDArray[np.int64]) -> Rows:
        """Return the rows at `positions`, which still know where they came from."""
        kept = positions if self.kept is None else self.kept[positions]
        return replace(self, table=self.table.take(pa.array(positions)), kept=kept)


def concatenate(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all parts, their types promoted to what holds every part's values."""
    starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    origins = tuple(
        (int(start) + offset, name, first)
        for start, part in zip(starts, parts, strict=False)
        for offset, name, first in part.origins
    )
    table = pa.concat_tables([part.table for part in parts], promote_options="permissive")
    return Rows(table, origins, is_text=all(part.is_text for part in parts))
