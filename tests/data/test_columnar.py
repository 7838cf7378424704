"""Parquet and Arrow: other programs read what is written, and one file has one schema."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from resmem_cli.errors import DataError

DAMAGED = "; check that the file is complete and of this format"
TABLE = pa.table({"n": [1, None, 3], "f": [0.1, None, -2.5], "b": [True, None, False], "ünï": ["漢", "🙂", None]})


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("a.feather", pyarrow.feather.read_table),
        ("a.arrow", lambda path: pa.ipc.open_file(str(path)).read_all()),
        ("a.parquet", pyarrow.parquet.read_table),
    ],
)
def test_other_readers_take_the_files(write, tmp_path, name, load):
    write(tmp_path / name, TABLE, TABLE)
    assert load(tmp_path / name).equals(pa.concat_tables([TABLE, TABLE]))


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_later_parts_take_the_types_of_the_first_where_that_changes_nothing(write, read_back, tmp_path, name):
    write(tmp_path / name, pa.table({"a": [0.5]}), pa.table({"a": [1]}), pa.table({"a": pa.nulls(1)}))
    assert read_back(tmp_path / name).to_pydict() == {"a": [0.5, 1.0, None]}
    with pytest.raises(DataError) as caught:
        write(tmp_path / name, pa.table({"a": [1]}), pa.table({"a": [0.5]}))
    assert str(caught.value) == (
        "the column 'a' changes its type from int64 to double; give it one type in all inputs, or write CSV"
    )
    assert read_back(tmp_path / name).num_rows == 3


def test_a_duplicate_column_of_parquet_and_arrow_is_refused(file, read):
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    for name in ("a.parquet", "a.arrow"):
        path = file(name, table)
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(caught.value) == f"{path} names the column 'a' twice; rename or remove one of them"


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_a_typed_file_without_rows_is_refused(file, read, name):
    path = file(name, TABLE.slice(0, 0))
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == f"{path} has a header but no rows; give a file with at least one row"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.parquet", b"", f"cannot be read (Parquet file size is 0 bytes){DAMAGED}"),
        (
            "a.parquet",
            b"a,b\n1,2\n3,4\n",
            "cannot be read (Parquet magic bytes not found in footer. Either the file is corrupted or this is not a "
            f"parquet file.){DAMAGED}",
        ),
        ("a.arrow", b"", "is empty; give a table with at least one row"),
    ],
)
def test_what_is_no_such_file_is_refused_in_one_sentence(file, read, name, content, sentence):
    path = file(name, content)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == f"{path} {sentence}"
