"""A row of totals at the end is found whether rows are held together or come in batches."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from resmem_cli.data import inference
from resmem_cli.data.dialect import Dialect
from resmem_cli.data.inference import Roles
from resmem_cli.data.rows import Rows
from resmem_cli.errors import DataError

BODY = [(str(i), str(i % 3 + 1), str(5 + i % 4)) for i in range(1, 12)]
SUMS = tuple(str(sum(int(row[i]) for row in BODY)) for i in range(3))
ENDS = {"sums": SUMS, "named": ("Total", "", "99"), "empty": ("", "", "99")}


def batches(rows: list[tuple[str, ...]], size: int, *, drop_totals: bool = False) -> Iterator[Rows]:
    for start in range(0, len(rows), size):
        columns = zip(*rows[start : start + size], strict=True)
        values = [[value or None for value in column] for column in columns]
        table = pa.table({name: pa.array(each, pa.string()) for name, each in zip("xzy", values, strict=True)})
        yield Rows(table, ((0, "a.csv", start + 1),), is_text=True, dialect=Dialect(drop_totals=drop_totals))


@pytest.mark.parametrize("size", [1, 4, 6, 100])
@pytest.mark.parametrize("end", list(ENDS))
def test_totals_are_refused_or_dropped_in_batches_of_any_size(end: str, size: int) -> None:
    rows = [*BODY, ENDS[end]]
    with pytest.raises(DataError, match=r"a.csv, row 12: the last row looks like totals \('y' is \d+, more than"):
        list(inference.without_totals(batches(rows, size), Roles("y")))
    kept = inference.without_totals(batches(rows, size, drop_totals=True), Roles("y"))
    assert [value for batch in kept for value in batch.table.column("x").to_pylist()] == [row[0] for row in BODY]


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize("last", [("9", "2", "99"), ("Total", "", "3"), ("9", "2", "")], ids=["large", "small", "none"])
def test_other_last_rows_stay(last: tuple[str, ...], size: int) -> None:
    kept = inference.without_totals(batches([*BODY, last], size), Roles("y"))
    assert sum(map(len, kept)) == 12


def test_no_rows_end_with_nothing() -> None:
    assert list(inference.without_totals(iter(()), Roles("y"))) == []
