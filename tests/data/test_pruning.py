"""Row groups of Parquet in which no row can have a value that is asked for are not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resmem_cli.data import sources, tables
from resmem_cli.data.rows import Rows
from resmem_cli.errors import DataError


def read(path: str, **how: Any) -> list[Rows]:
    return list(tables.read(sources.resolve([path]), **how))


def values(batches: list[Rows]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.table.to_pylist()]


class TestRowGroups:
    """Three groups of three rows; the second one's data are damaged where it must not be read."""

    TABLE = pa.table(
        {
            "i": [1, 1, 2, 5, 5, 6, 2, 8, 9],
            "s": ["a", "b", "b", "m", "n", "o", "b", "y", "z"],
            "d": pa.array(["1.0", "x", "x", "7", "7", "7", "1", "8", "9"]),
        }
    )

    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        path = tmp_path / "groups.parquet"
        pq.write_table(self.TABLE, path, row_group_size=3)
        data = bytearray(path.read_bytes())
        group = pq.read_metadata(path).row_group(1)
        for at in range(group.num_columns):
            column = group.column(at)
            start = column.dictionary_page_offset or column.data_page_offset
            data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
        path.write_bytes(data)
        return str(path)

    @pytest.mark.parametrize("where", [("i", "2"), ("s", "b")])
    @pytest.mark.parametrize("batch_rows", [1, 4, 100])
    def test_those_that_cannot_match_are_not_read_and_rows_keep_their_numbers(
        self, path: str, where: tuple[str, str], batch_rows: int
    ) -> None:
        batches = read(path, where=[where], batch_rows=batch_rows)
        assert values(batches) == self.TABLE.take([0, 1, 2, 6, 7, 8]).to_pylist()
        rows = [batch.locate(i) for batch in batches for i in range(len(batch))]
        assert rows == [f"{path}, row {number}" for number in (1, 2, 3, 7, 8, 9)]

    @pytest.mark.parametrize("where", [("i", "5"), ("i", "5.0"), ("s", "n"), ("d", "1"), ("s", "1"), ("s", "")])
    def test_those_that_may_match_are_read(self, path: str, where: tuple[str, str]) -> None:
        """A text may stand for the value in another form, which the order of texts knows nothing of."""
        with pytest.raises(DataError, match="cannot be read"):
            read(path, where=[where])

    def test_without_statistics_everything_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "bare.parquet"
        pq.write_table(self.TABLE, path, row_group_size=3, write_statistics=False)
        assert len(values(read(str(path), where=[("i", "2")]))) == 9
