"""Tables in: every format gives the same rows, in batches of the asked size, and names what is wrong with it."""

from __future__ import annotations

import csv
import gzip
import io
import os
import threading
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resmem_cli.data import sources, tables
from resmem_cli.data.sources import Format
from resmem_cli.errors import DataError

TABLE = pa.table({"n": [1, 2, 3, 4, 5, 6, 7], "word": ["a", "b", "ü", "漢", "e f", "g", "7"]})
TEXTS = [{name: str(value) for name, value in row.items()} for row in TABLE.to_pylist()]
TEXT_NAMES = ("a.csv", "a.tsv", "a.tab", "a.csv.gz", "a.csv.zst", "a.tsv.gz")
TYPED_NAMES = ("a.parquet", "a.pq", "a.arrow", "a.feather", "a.ipc", "a.jsonl", "a.ndjson", "a.jsonl.gz", "a.jsonl.zst")

DAMAGED = "; check that the file is whole and of the format"
NOT_UTF8 = "is not UTF-8 text; convert it, for example with: iconv -f LATIN1 -t UTF-8 OLD > NEW"
EMPTY = "is empty; give a table with a header and at least one row"
NO_ROWS = "has a header but no rows; give a file with at least one row"


class Dribble(io.RawIOBase):
    """A pipe that never gives more than a few bytes at once."""

    def __init__(self, data: bytes, at_once: int) -> None:
        self._data = io.BytesIO(data)
        self._at_once = at_once

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        data = self._data.read(min(len(buffer), self._at_once))
        buffer[: len(data)] = data
        return len(data)


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


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst", "a.parquet", "a.arrow", "a.ipc", "a.jsonl"])
@pytest.mark.parametrize("at_once", [1, 1 << 20])
def test_standard_input_is_recognised_and_read_like_the_file(stdin, read, values, as_bytes, *, name, at_once):
    stdin(Dribble(as_bytes(name, TABLE), at_once))
    batches = read("-")
    is_text = name.startswith("a.csv")
    assert values(batches) == (TEXTS if is_text else TABLE.to_pylist())
    assert [batch.is_text for batch in batches] == [is_text]
    assert batches[0].locate(2) == "standard input, row 3"


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz", "a.jsonl.gz"])
def test_a_forced_format_of_standard_input_may_be_compressed(stdin, read, values, as_bytes, name):
    stdin(as_bytes(name, TABLE))
    forced = Format.TSV if "tsv" in name else Format.JSONL
    assert values(read("-", forced=forced)) == (TEXTS if forced.is_text else TABLE.to_pylist())


def test_standard_input_stays_open(stdin, read):
    stream = io.BytesIO(b"a\n1\n")
    stdin(stream)
    read("-")
    assert not stream.closed


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_a_named_pipe_is_recognised_and_read_like_the_file(tmp_path, read, values, as_bytes, name):
    path = tmp_path / "63"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(as_bytes(name, TABLE)))
    writer.start()
    found = values(read(str(path)))
    writer.join()
    assert found == (TEXTS if name.startswith("a.csv") else TABLE.to_pylist())


def test_several_files_a_glob_and_a_directory_are_read_one_after_the_other(file, read, values, tmp_path):
    first, second = TABLE.slice(0, 4), TABLE.slice(4)
    one, two = file("d/1.parquet", first), file("d/2.parquet", second)
    for words in ([one, two], [str(tmp_path / "d" / "*.parquet")], [str(tmp_path / "d")]):
        batches = read(*words)
        assert values(batches) == TABLE.to_pylist()
        assert [batch.locate(0) for batch in batches] == [f"{one}, row 1", f"{two}, row 1"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param("a,b\n1,2\n", [("1", "2")], id="plain"),
        pytest.param("a,b\n1,2", [("1", "2")], id="no line end at the end"),
        pytest.param("a,b\r\n1,2\r\n3,4\r\n", [("1", "2"), ("3", "4")], id="Windows lines"),
        pytest.param("a,b\r1,2\r3,4\r", [("1", "2"), ("3", "4")], id="old Mac lines"),
        pytest.param("\ufeffa,b\n1,2\n", [("1", "2")], id="byte order mark"),
        pytest.param("\ufeff\r\n\r\na,b\r\n1,2\r\n", [("1", "2")], id="byte order mark and blank lines"),
        pytest.param("\n\na,b\n\n1,2\n\n\n3,4\n\n", [("1", "2"), ("3", "4")], id="blank lines"),
        pytest.param('"a","b"\n"1","2"\n', [("1", "2")], id="all quoted"),
        pytest.param('a,b\n"1,5","x ""y"" z"\n', [("1,5", 'x "y" z')], id="commas and quotes in values"),
        pytest.param('a,b\n"1\n\n2","3\r\n4"\n5,6\n', [("1\n\n2", "3\r\n4"), ("5", "6")], id="newlines in values"),
        pytest.param('a,b\n1,"x\ny"\n\n\n', [("1", "x\ny")], id="newline in the last value"),
        pytest.param('a,b\n1,"x\ny"', [("1", "x\ny")], id="newline in the last value of a file without line end"),
        pytest.param('a,b\n1,5" tall\n3,4"\n', [("1", '5" tall'), ("3", '4"')], id="inches"),
        pytest.param("a,b\n 1 ,\t2\n", [(" 1 ", "\t2")], id="spaces are kept"),
        pytest.param('a,b\n,""\n,x\n', [(None, None), (None, "x")], id="empty is missing"),
        pytest.param("a,b\nNA,null\n", [("NA", "null")], id="words are kept"),
        pytest.param("a,b\n001,1.50\n", [("001", "1.50")], id="digits are kept"),
    ],
)
def test_csv_as_it_comes_in_practice_is_read(file, read, values, content, expected):
    assert [tuple(row.values()) for row in values(read(file("a.csv", content)))] == expected


@pytest.mark.parametrize("header", ['"x\ny","a,""b"""', '"x\ny","a,""b"""\r'])
def test_a_quoted_header_may_hold_newlines_commas_and_quotes(file, read, header):
    (batch,) = read(file("a.csv", f"{header}\n1,2\n"))
    assert batch.table.column_names == ["x\ny", 'a,"b"']


def test_a_stray_quote_in_the_header_belongs_to_the_name(file, read):
    (batch,) = read(file("a.csv", 'height 5",b\n1,2\n'))
    assert batch.table.column_names == ['height 5"', "b"]


def test_another_separator_can_be_named(file, read, values):
    assert values(read(file("a.csv", "a;b\n1;2,5\n"), delimiter=";")) == [{"a": "1", "b": "2,5"}]


@pytest.mark.parametrize("start", ["", "\ufeff", "\n\n\n\n\n\n\n\n", "\ufeff\r\n\r\n\r\n"])
@pytest.mark.parametrize("character", ["é", "漢", "🙂"])
def test_a_character_may_lie_across_the_end_of_what_is_read_for_the_header(file, read, values, start, character):
    for shift in range(1, len(character.encode())):
        before = (start + "a,b\n1,").encode()
        value = "x" * (65_536 - len(before) - shift) + character
        batches = read(file("a.csv", before + f"{value}\n".encode()))
        assert values(batches) == [{"a": "1", "b": value}]


def test_a_header_longer_than_one_read_is_whole(file, read):
    names = [f"column {i} 漢" for i in range(10_000)]
    (batch,) = read(file("a.csv", ",".join(names) + "\n" + ",".join("1" for _ in names) + "\n"))
    assert batch.table.column_names == names


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8"), max_size=8), min_size=2, max_size=2), min_size=1, max_size=5
    )
)
def test_what_pythons_csv_module_writes_is_read_back(file, read, values, rows):
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["a", "b"], *rows])
    found = [[value or "" for value in row.values()] for row in values(read(file("a.csv", text.getvalue())))]
    assert found == rows


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.arrow", "a.ipc", "a.jsonl"])
@pytest.mark.parametrize("batch_rows", [1, 2, 7, 10, 1000])
@pytest.mark.parametrize("block", [64, 1 << 20])
def test_batches_hold_exactly_the_asked_rows_whatever_the_blocks_of_the_file(
    file, read, values, monkeypatch, *, name, batch_rows, block
):
    monkeypatch.setattr(tables, "_CSV_BLOCK_BYTES", block)
    monkeypatch.setattr(tables, "_JSON_BLOCK_BYTES", block)
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
    (batch,) = read(path, columns=frozenset({"b", "c", "absent"}))
    assert batch.table.column_names == ["c", "b"]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.arrow", "a.jsonl"])
def test_a_file_with_none_of_the_asked_columns_still_has_its_rows(file, read, name):
    (batch,) = read(file(name, TABLE), columns=frozenset({"absent"}))
    assert len(batch) == len(TABLE)
    assert "absent" not in batch.table.column_names


def test_projection_does_not_mistake_a_newline_in_a_value_for_an_open_quote(file, read, values):
    path = file("a.csv", 'text,n\n"x\ny",1\n')
    assert values(read(path, columns=frozenset({"text"}))) == [{"text": "x\ny"}]


def test_reading_may_stop_early(file):
    batches = tables.read(sources.resolve([file("a.parquet", TABLE)]), batch_rows=2)
    assert len(next(batches)) == 2
    batches.close()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        pytest.param("a.csv", b"", EMPTY, id="empty"),
        pytest.param("a.csv", b"\n\r\n\n", EMPTY, id="blank lines only"),
        pytest.param("a.csv", b"\xef\xbb\xbf", EMPTY, id="byte order mark only"),
        pytest.param("a.csv.gz", b"", EMPTY, id="empty gzip"),
        pytest.param("a.csv.gz", gzip.compress(b""), EMPTY, id="gzip of nothing"),
        pytest.param("a.csv", b"a,b\n", NO_ROWS, id="header only"),
        pytest.param("a.csv", b"a,b", NO_ROWS, id="header without line end"),
        pytest.param("a.csv", b"a,b\n\n\n", NO_ROWS, id="header and blank lines"),
        pytest.param("a.csv", b"pr\xe9,b\n1,2\n", NOT_UTF8, id="Latin-1 header"),
        pytest.param("a.csv", b"a,\xe9\n1", NOT_UTF8, id="Latin-1 at the end of a short file"),
        pytest.param("a.csv", b"a,b\n1,\xe9t\xe9\n", NOT_UTF8, id="Latin-1 value"),
        pytest.param("a.csv", b"a,b\n" + b"1,2\n" * 30_000 + b"1,\xe9\n", NOT_UTF8, id="Latin-1 far down"),
        pytest.param("a.csv", "a,b\n1,2\n".encode("utf-16"), NOT_UTF8, id="UTF-16"),
        pytest.param("a.csv", "a,b\n1,2\n".encode("utf-16-le"), NOT_UTF8, id="UTF-16 without mark"),
        pytest.param("a.jsonl", b'{"a": "\xe9"}\n', NOT_UTF8, id="Latin-1 JSON"),
        pytest.param(
            "a.csv", b"a,b,a\n1,2,3\n", "names the column 'a' twice; rename or remove one of them", id="duplicate"
        ),
        pytest.param(
            "a.csv", b",b,\n1,2,3\n", "names the column '' twice; rename or remove one of them", id="two nameless"
        ),
        pytest.param("a.parquet", b"", f"cannot be read (Parquet file size is 0 bytes){DAMAGED}", id="empty Parquet"),
        pytest.param(
            "a.parquet",
            b"a,b\n1,2\n3,4\n",
            "cannot be read (Parquet magic bytes not found in footer. Either the file is corrupted or this is not a "
            f"parquet file.){DAMAGED}",
            id="CSV called Parquet",
        ),
        pytest.param("a.arrow", b"", "is empty; give a table with at least one row", id="empty Arrow"),
        pytest.param(
            "a.csv.gz",
            b"a,b\n1,2\n",
            f"cannot be read (zlib inflate failed: incorrect header check){DAMAGED}",
            id="CSV called gzip",
        ),
        pytest.param(
            "a.csv.zst",
            b"a,b\n1,2\n",
            f"cannot be read (ZSTD decompress failed: Unknown frame descriptor){DAMAGED}",
            id="CSV called zstd",
        ),
        pytest.param("a.jsonl", b"", "is empty; give at least one line of JSON", id="empty JSON"),
        pytest.param("a.jsonl", b"\n\n", "is empty; give at least one line of JSON", id="blank JSON"),
        pytest.param("a.jsonl", b"{}\n{}\n", NO_ROWS, id="JSON without a column"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_sentence(file, read, name, content, sentence):
    path = file(name, content)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == f"{path} {sentence}"


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.ipc", "a.csv.gz", "a.csv.zst", "a.jsonl.gz"])
@pytest.mark.parametrize("missing", [9, 20, 30])
def test_a_truncated_file_is_refused(file, read, as_bytes, name, missing):
    path = file(name, as_bytes(name, TABLE)[:-missing])
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path} cannot be read (")
    assert str(caught.value).endswith(DAMAGED)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a,b\n1,2\n3\n", "row 2 has 1 value where the header has 2 columns ('3')"),
        ("a,b\n1,2\n3,4,5\n", "row 2 has 3 values where the header has 2 columns ('3,4,5')"),
        ("a\n1\n3,4\n", "row 2 has 2 values where the header has 1 column ('3,4')"),
        ("\n\na,b\n\n1,2\n\n3,4,5\n", "row 2 has 3 values where the header has 2 columns ('3,4,5')"),
        ('a,b\n"x\ny",2\n3,"4\n5",6\n', "row 2 has 3 values where the header has 2 columns ('3,\"4 5\",6')"),
        ("a,b\n" + "1,2\n" * 12_345 + "3\n", "row 12,346 has 1 value where the header has 2 columns ('3')"),
        (f"a,b\n{'x' * 100}\n", f"row 1 has 1 value where the header has 2 columns ('{'x' * 59}…')"),
        ('a,b\n1,2\n3,4"\n"5,6\n7,8\n', "row 3 has 1 value where the header has 2 columns ('\"5,6 7,8')"),
    ],
)
@pytest.mark.parametrize("block", [256, 1 << 20])
def test_a_ragged_line_is_named_with_its_row(file, read, monkeypatch, *, content, sentence, block):
    monkeypatch.setattr(tables, "_CSV_BLOCK_BYTES", block)
    path = file("a.csv", content)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == (f"{path}, {sentence}; correct the line, or name the separator with --delimiter")


@pytest.mark.parametrize(
    ("content", "row"),
    [('a,b\n1,2\n3,"4\n5,6\n', 2), ('a,b\n1,"2\n3,4\n5,6', 1), ('a\nx\n"y\nz\n\n', 2)],
)
def test_a_quote_that_is_never_closed_does_not_swallow_the_rest_of_the_file(file, read, content, row):
    path = file("a.csv", content)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == f"{path}, row {row} opens a quote that is never closed; close it, or remove it"


@pytest.mark.parametrize("rows", [1, 50_000])
def test_a_quote_in_the_header_that_is_never_closed_is_named(file, read, rows):
    path = file("a.csv", 'a,"b\n' + "1,2\n" * rows)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == f"the header of {path} opens a quote that is never closed; close it, or remove it"


@pytest.mark.parametrize(
    ("lines", "row", "what"),
    [
        (['{"a": 1}', '{"a": "x"}'], 2, "JSON parse error: Column(/a) changed from number to string"),
        (['{"a": 1}', '{"a": {"b": 1}}'], 2, "JSON parse error: Column(/a) changed from number to object"),
        (['{"a": 1}', '{"a": 1, "a": 2}'], 2, "JSON parse error: Column(/a) was specified twice"),
        (['[{"a": 1}, {"a": 2}]'], 1, "JSON parse error: Column() changed from object to array"),
        (['{"a": 1}', '{"a":'], 2, "JSON parse error: Invalid value."),
    ],
)
def test_json_that_does_not_fit_is_named_with_its_row(file, read, lines, row, what):
    path = file("a.jsonl", "\n".join(lines) + "\n")
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path}, row {row} is not a line of JSON like those before it ({what}); "
        "write one object a line, each column of one type"
    )


@pytest.mark.parametrize("bad", [3, 5, 20, 49, 50])
@pytest.mark.parametrize("ends_in_newline", [True, False])
def test_json_that_changes_its_type_in_a_later_block_is_named_with_its_row(
    file, read, monkeypatch, bad, ends_in_newline
):
    monkeypatch.setattr(tables, "_JSON_BLOCK_BYTES", 40)
    lines = [f'{{"a": {i}}}' for i in range(1, 51)]
    lines[bad - 1] = '{"a": "x"}'
    path = file("a.jsonl", "\n".join(lines) + "\n" * ends_in_newline)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path}, row {bad} is not a line of JSON like those before it "
        "(JSON parse error: Column(/a) changed from number to string); "
        "write one object a line, each column of one type"
    )


def test_json_numbers_and_missing_values_may_change_between_blocks(file, read, monkeypatch):
    monkeypatch.setattr(tables, "_JSON_BLOCK_BYTES", 20)
    lines = ['{"a": null}', '{"a": 1}', '{"a": 2.5}', '{"a": null}', '{"b": true}']
    (batch,) = read(file("a.jsonl", "\n".join(lines) + "\n"))
    assert batch.table.to_pydict() == {"a": [None, 1.0, 2.5, None, None], "b": [None] * 4 + [True]}


def test_json_text_that_looks_like_dates_in_one_block_stays_text(file, read, values, monkeypatch):
    monkeypatch.setattr(tables, "_JSON_BLOCK_BYTES", 25)
    words = ["2024-01-01 once", "2024-01-01", "2024-01-02", "never"]
    assert values(read(file("a.jsonl", "".join(f'{{"a": "{word}"}}\n' for word in words)))) == [
        {"a": word} for word in words
    ]


def test_json_dates_that_turn_into_other_text_in_a_later_block_are_refused(file, read, monkeypatch):
    monkeypatch.setattr(tables, "_JSON_BLOCK_BYTES", 25)
    path = file("a.jsonl", '{"a": "2024-01-01"}\n{"a": "2024-01-02"}\n{"a": "never"}\n')
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path} is not a line of JSON like those before it (")


def test_a_json_line_longer_than_a_block_is_read(file, read, values, monkeypatch):
    monkeypatch.setattr(tables, "_JSON_BLOCK_BYTES", 16)
    assert values(read(file("a.jsonl", f'{{"a": "{"x" * 500}"}}\n{{"a": "y"}}'))) == [{"a": "x" * 500}, {"a": "y"}]


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
    assert str(caught.value) == f"{path} {NO_ROWS}"


def test_a_file_that_disappears_before_it_is_read_is_an_error_of_the_data(file):
    path = file("a.csv", "a\n1\n")
    found = sources.resolve([path])
    Path(path).unlink()
    with pytest.raises(DataError) as caught:
        list(tables.read(found))
    assert str(caught.value).startswith(f"{path} cannot be read (")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.arrow", "a.jsonl"])
def test_a_file_without_permission_is_refused(file, read, name):
    path = file(name, TABLE)
    Path(path).chmod(0)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == f"{path} may not be read; check its permissions"


def test_the_first_bad_file_of_several_is_named(file, read):
    good, bad = file("a.csv", "a\n1\n"), file("b.csv", "a\n")
    with pytest.raises(DataError) as caught:
        read(good, bad)
    assert str(caught.value) == f"{bad} {NO_ROWS}"


def test_empty_standard_input_is_named(stdin, read):
    stdin(b"")
    with pytest.raises(DataError) as caught:
        read("-")
    assert str(caught.value) == f"standard input {EMPTY}"


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
    monkeypatch.setattr(tables, "_JSON_BLOCK_BYTES", 20)
    (whole,) = tables.read_all(sources.resolve([file("a.jsonl", '{"a": 1}\n{"a": 2}\n{"a": 2.5}\n')]))
    assert whole.table.to_pydict() == {"a": [1.0, 2.0, 2.5]}
