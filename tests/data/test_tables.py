"""Tables in: every format gives the same rows, in batches of the asked size."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from resmem_cli.data import delimited, json_lines, sources, tables
from resmem_cli.errors import DataError

TABLE = pa.table({"n": [1, 2, 3, 4, 5, 6, 7], "word": ["a", "b", "ü", "漢", "e f", "g", "7"]})
TEXTS = [{name: str(value) for name, value in row.items()} for row in TABLE.to_pylist()]
TEXT_NAMES = ("a.csv", "a.tsv", "a.tab", "a.csv.gz", "a.csv.zst", "a.tsv.gz")
TYPED_NAMES = ("a.parquet", "a.pq", "a.arrow", "a.feather", "a.ipc", "a.jsonl", "a.ndjson", "a.jsonl.gz", "a.jsonl.zst")


@pytest.mark.parametrize("name", TEXT_NAMES)
def test_text_formats_give_every_value_as_it_was_written(file, read, values, name):
    batches = read(file(name, TABLE))
    assert values(batches) == TEXTS
    assert all(batch.is_text for batch in batches)


@pytest.mark.parametrize("name", TYPED_NAMES)
def test_typed_formats_give_the_types_of_the_file(file, read, values, name):
    batches = read(file(name, TABLE))
    assert values(batches) == TABLE.to_pylist()
    assert batches[0].table.schema.types == [pa.int64(), pa.string()]
    assert not any(batch.is_text for batch in batches)


def test_several_files_a_glob_and_a_directory_are_read_one_after_the_other(file, read, values, tmp_path):
    first, second = TABLE.slice(0, 4), TABLE.slice(4)
    one, two = file("d/1.parquet", first), file("d/2.parquet", second)
    for words in ([one, two], [str(tmp_path / "d" / "*.parquet")], [str(tmp_path / "d")]):
        batches = read(*words)
        assert values(batches) == TABLE.to_pylist()
        assert [batch.locate(0) for batch in batches] == [f"{one}, row 1", f"{two}, row 1"]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.arrow", "a.ipc", "a.jsonl"])
@pytest.mark.parametrize("batch_rows", [1, 2, 7, 10, 1000])
@pytest.mark.parametrize("block", [64, 1 << 20])
def test_batches_hold_exactly_the_asked_rows_whatever_the_blocks_of_the_file(
    file, read, values, monkeypatch, *, name, batch_rows, block
):
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", block)
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", block)
    table = pa.table({"i": range(50), "w": [f"w{i % 9}" for i in range(50)]})
    path = file(name, table)
    batches = read(path, batch_rows=batch_rows)
    full, rest = divmod(50, batch_rows)
    assert [len(batch) for batch in batches] == [batch_rows] * full + [rest] * (rest > 0)
    assert [int(row["i"]) for row in values(batches)] == list(range(50))
    assert batches[-1].locate(len(batches[-1]) - 1) == f"{path}, row 50"


@pytest.mark.parametrize("name", ["a.csv", "a.tsv.gz", "a.parquet", "a.arrow", "a.ipc", "a.jsonl"])
def test_only_the_asked_columns_are_read_in_the_order_of_the_file(file, read, name):
    path = file(name, pa.table({"c": [1, 2], "a": [3, 4], "b": [5, 6]}))
    (batch,) = read(path, columns=frozenset({"b", "c"}))
    assert batch.table.column_names == ["c", "b"]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.arrow", "a.jsonl"])
@pytest.mark.parametrize("asked", [{"n", "absent"}, {"absent"}])
def test_a_file_without_one_of_the_asked_columns_shows_all_that_it_has(file, read, name, asked):
    (batch,) = read(file(name, TABLE), columns=frozenset(asked))
    assert len(batch) == len(TABLE)
    assert batch.table.column_names == ["n", "word"]


def test_reading_may_stop_early(file):
    batches = tables.read(sources.resolve([file("a.parquet", TABLE)]), batch_rows=2)
    assert len(next(batches)) == 2
    batches.close()


def test_a_file_that_disappears_before_it_is_read_is_an_error_of_the_data(file):
    path = file("a.csv", "a\n1\n")
    found = sources.resolve([path])
    Path(path).unlink()
    with pytest.raises(DataError) as caught:
        list(tables.read(found))
    assert str(caught.value) == f"the file {path} is not there any more; see what removes it, and run again"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.arrow", "a.jsonl"])
def test_a_file_without_permission_is_refused(file, read, name):
    path = file(name, TABLE)
    Path(path).chmod(0)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == f"{path} may not be read; check its permissions"


def test_the_first_bad_file_of_several_is_named(file, read):
    good, bad, worse = file("a.csv", "a\n1\n"), file("b.csv", ""), file("c.csv", "")
    with pytest.raises(DataError) as caught:
        read(good, bad, worse)
    assert str(caught.value) == f"{bad} is empty; give a table with a header and at least one row"


@pytest.mark.parametrize(
    ("name", "count"), [("a.parquet", 7), ("a.csv", 8), ("a.jsonl", 7), ("a.csv.gz", None), ("a.arrow", None)]
)
def test_rows_are_counted_without_reading_them_where_that_can_be_done(file, *, name, count):
    # The lines of a text with its header, because it is enough to know about how many.
    assert tables.count_rows(sources.resolve([file(name, TABLE)])) == count
    both = sources.resolve([file(name, TABLE), file("more.parquet", TABLE)])
    assert tables.count_rows(both) == (None if count is None else count + 7)


def test_rows_of_a_long_text_are_estimated_by_its_first_lines(file):
    n_rows = 400_000
    path = file("a.csv", "n\n" + "".join(f"{i % 900_000 + 100_000}\n" for i in range(n_rows)))
    assert tables.count_rows(sources.resolve([path])) == pytest.approx(n_rows, rel=0.01)


def test_rows_of_what_is_no_file_or_damaged_are_not_counted(file):
    assert tables.count_rows(sources.resolve(["-"])) is None
    pipe = file("pipe", "")
    Path(pipe).unlink()
    os.mkfifo(pipe)
    assert tables.count_rows(sources.resolve([pipe], sources.Format.CSV)) is None  # nor is it opened
    assert tables.count_rows(sources.resolve([file("a.parquet", "nothing of Parquet")])) is None


EMPTY_PARTS = [
    ("a.csv", "n,word\n"),
    ("a.csv", "n,word"),
    *((f"a.{end}", TABLE.slice(0, 0)) for end in ("parquet", "arrow", "ipc")),
]


@pytest.mark.parametrize(("name", "content"), EMPTY_PARTS)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_part_without_rows_is_passed_over_if_another_has_some(file, read, values, *, name, content, at):
    words = [file("1.parquet", TABLE.slice(0, 4)), file("2.parquet", TABLE.slice(4))]
    words.insert(at, file(name, content))
    batches = read(*words)
    assert values(batches) == TABLE.to_pylist()
    assert [len(batch) for batch in batches] == [4, 3]
    wholes = tables.read_all(sources.resolve(words))
    assert [whole.table.to_pylist() for whole in wholes] == [TABLE.slice(0, 4).to_pylist(), TABLE.slice(4).to_pylist()]


@pytest.mark.parametrize(("name", "content"), EMPTY_PARTS)
@pytest.mark.parametrize(
    ("n_others", "whose"), [(0, "has a header but"), (1, "and 1 other input have"), (2, "and 2 other inputs have")]
)
@pytest.mark.parametrize("reader", [lambda found: list(tables.read(found)), tables.read_all])
def test_there_must_be_a_row_somewhere(file, *, name, content, n_others, whose, reader):
    path = file(name, content)
    others = [file(f"{i}.parquet", TABLE.slice(0, 0)) for i in range(n_others)]
    with pytest.raises(DataError) as caught:
        reader(sources.resolve([path, *others]))
    assert str(caught.value) == f"{path} {whose} no rows; give a file with at least one row"


def test_a_part_without_rows_may_lack_columns(file):
    words = [file("1.csv", "a\n"), file("2.csv", "a,b\n1,x\n")]
    (whole,) = tables.read_all(sources.resolve(words))
    assert whole.table.to_pylist() == [{"a": "1", "b": "x"}]
    assert whole.locate(0) == f"{words[1]}, row 1"


def test_read_all_joins_text_by_column_name_and_keeps_typed_files_apart(file):
    words = [
        file("1.csv", "a,b\n1,x\n"),
        file("2.parquet", pa.table({"a": [5], "b": ["z"]})),
        file("3.tsv", "b\ta\ny\t2\n"),
    ]
    text, typed = tables.read_all(sources.resolve(words))
    assert text.table.to_pydict() == {"a": ["1", "2"], "b": ["x", "y"]}
    assert [text.locate(0), text.locate(1)] == [f"{words[0]}, row 1", f"{words[2]}, row 1"]
    assert text.is_text
    assert typed.table.to_pydict() == {"a": [5], "b": ["z"]}
    assert not typed.is_text


def test_read_all_takes_parquet_from_standard_input_for_typed(stdin, as_bytes):
    stdin(as_bytes("a.parquet", TABLE))
    (whole,) = tables.read_all(sources.resolve(["-"]))
    assert not whole.is_text
    assert whole.table.equals(TABLE)


@pytest.mark.parametrize(("one", "two"), [("1.csv", "2.csv"), ("1.parquet", "2.parquet"), ("1.csv", "2.parquet")])
def test_read_all_refuses_files_of_different_columns(file, one, two):
    first = file(one, pa.table({"a": [1], "b": [2], "d": [0]}))
    second = file(two, pa.table({"a": [1], "c": [2], "d": [0]}))
    with pytest.raises(DataError) as caught:
        tables.read_all(sources.resolve([first, second]))
    assert str(caught.value) == (f"{second} and {first} differ in the columns 'b', 'c'; give files of the same columns")


def test_read_all_promotes_types_that_differ_between_the_batches_of_one_file(file, monkeypatch):
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 20)
    (whole,) = tables.read_all(sources.resolve([file("a.jsonl", '{"a": 1}\n{"a": 2}\n{"a": 2.5}\n')]))
    assert whole.table.to_pydict() == {"a": [1.0, 2.0, 2.5]}
