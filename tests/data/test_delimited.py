"""CSV and TSV: what is written is read, in the ways that practice has, and what is wrong is named with its row."""

from __future__ import annotations

import csv
import datetime as dt
import io
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resmem_cli.data import delimited
from resmem_cli.data.dialect import forced
from resmem_cli.data.text_file import HowToRead
from resmem_cli.errors import DataError

NOT_UTF8 = (
    "is not UTF-8 text throughout; name its encoding with --encoding, or convert it, for example with: "
    "iconv -f LATIN1 -t UTF-8 OLD > NEW"
)
EMPTY = "is empty; give a table with a header and at least one row"
NO_ROWS = "has a header but no rows; give a file with at least one row"


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
    assert values(read(file("a.csv", "a;b\n1;2,5\n"), how=HowToRead(forced(delimiter=";")))) == [{"a": "1", "b": "2,5"}]


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


def test_projection_does_not_mistake_a_newline_in_a_value_for_an_open_quote(file, read, values):
    path = file("a.csv", 'text,n\n"x\ny",1\n')
    assert values(read(path, columns=frozenset({"text"}))) == [{"text": "x\ny"}]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b"", EMPTY, id="empty"),
        pytest.param(b"\n\r\n\n", EMPTY, id="blank lines only"),
        pytest.param(b"\xef\xbb\xbf", EMPTY, id="byte order mark only"),
        pytest.param(b"a,b\n", NO_ROWS, id="header only"),
        pytest.param(b"a,b", NO_ROWS, id="header without line end"),
        pytest.param(b"a,b\n\n\n", NO_ROWS, id="header and blank lines"),
        pytest.param("é,b\n".encode() + b"1,\xe9\n" * 30_000, NOT_UTF8, id="UTF-8, then Latin-1"),
        pytest.param(b"a,b,a\n1,2,3\n", "names the column 'a' twice; rename or remove one of them", id="duplicate"),
        pytest.param(b",b,\n1,2,3\n", "names the column '' twice; rename or remove one of them", id="two nameless"),
    ],
)
def test_text_that_is_no_table_is_refused_in_one_sentence(file, read, content, sentence):
    path = file("a.csv", content)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == f"{path} {sentence}"


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
        ('a,b\n1,2\n3,4"\n5\n7,8\n', "row 3 has 1 value where the header has 2 columns ('5')"),
    ],
)
@pytest.mark.parametrize("block", [256, 1 << 20])
def test_a_ragged_line_is_named_with_its_row(file, read, monkeypatch, *, content, sentence, block):
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", block)
    path = file("a.csv", content)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == (f"{path}, {sentence}; correct the line, or set the separator with --delimiter")


@pytest.mark.parametrize(
    ("content", "row"),
    [
        ('a,b\n1,2\n3,"4\n5,6\n', 2),
        ('a,b\n1,2\n3,4"\n"5,6\n7,8\n', 3),
        ('a,b\n1,"2\n3,4\n5,6', 1),
        ('a\nx\n"y\nz\n\n', 2),
    ],
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


def looks_like_rows(row):
    """Whether a value has both what separates values and what separates rows of TSV."""
    return any("\t" in value and ("\n" in value or "\r" in value) for value in row if value)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), width=st.integers(1, 3), kind=st.sampled_from([("a.csv", ","), ("a.tsv", "\t")]))
def test_any_text_survives_csv_and_is_what_pythons_csv_module_reads(write, read_back, tmp_path, *, data, width, kind):
    name, separator = kind
    text = st.text(st.characters(codec="utf-8") | st.sampled_from('",\t\n\r '), max_size=6)
    heads = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=6)
    header = data.draw(st.lists(heads, min_size=width, max_size=width, unique=True))
    rows = data.draw(st.lists(st.lists(st.none() | text, min_size=width, max_size=width), min_size=1, max_size=5))
    table = pa.table([pa.array(column, pa.string()) for column in zip(*rows, strict=True)], header)
    if name == "a.tsv" and any(map(looks_like_rows, [header, *rows])):
        return  # the writer may refuse it: test_quoting says when
    write(tmp_path / name, table)
    with open(tmp_path / name, newline="", encoding="utf-8") as stream:
        assert list(csv.reader(stream, delimiter=separator)) == [header, *([v or "" for v in row] for row in rows)]
    if "".join(header).strip():
        found = read_back(tmp_path / name)
        wanted = {name: [v or None for v in table.column(name).to_pylist()] for name in header}
        if len(header) > 1 and not header[-1] and not any(wanted[""]):  # what spreadsheets leave at the end
            del wanted[""]
        assert found.to_pydict() == wanted


@pytest.mark.parametrize("name", ["floor\narea", "floor\r\narea", "\r"])
def test_a_first_name_of_two_lines_is_no_title_above_the_table(write, read_back, tmp_path, name):
    table = pa.table({name: ["7", "8"], "x": ["1", "2"], "y": ["3", "4"]})
    for ending in ("tsv", "csv"):
        write(tmp_path / f"a.{ending}", table)
        assert read_back(tmp_path / f"a.{ending}").to_pydict() == table.to_pydict()


def test_text_passes_from_csv_to_csv_unchanged(write, read_back, tmp_path):
    before = 'id,price,note,empty\n001,1.50,"a, b",\n+2,1e5,"say ""x""",\n 3 ,NA,"two\nlines",\n'
    (tmp_path / "in.csv").write_text(before)
    write(tmp_path / "out.csv", read_back(tmp_path / "in.csv"))
    assert (tmp_path / "out.csv").read_text() == before


def test_a_missing_value_in_the_only_column_is_a_row_all_the_same(write, read_back, tmp_path):
    write(tmp_path / "a.csv", pa.table({"x": ["a", None, "b", ""]}), pa.table({"x": pa.nulls(2, pa.string())}))
    assert (tmp_path / "a.csv").read_text() == 'x\na\n""\nb\n""\n""\n""\n'
    assert read_back(tmp_path / "a.csv").to_pydict() == {"x": ["a", None, "b", None, None, None]}


def test_only_text_that_needs_quotes_is_quoted(write, tmp_path):
    write(tmp_path / "a.csv", pa.table({"a b": ["x y", "x\ty", "x,y", "x;y", 'x"y', "'x'"], "n": range(6)}))
    assert (tmp_path / "a.csv").read_text() == 'a b,n\nx y,0\nx\ty,1\n"x,y",2\nx;y,3\n"x""y",4\n\'x\',5\n'


def test_a_column_alone_is_quoted_where_other_delimiters_would_make_it_several(write, read_back, tmp_path):
    table = pa.table({"a;b": ["x;y", "x|y", "x"]})
    write(tmp_path / "a.csv", table)
    assert (tmp_path / "a.csv").read_text() == '"a;b"\n"x;y"\n"x|y"\nx\n'
    assert read_back(tmp_path / "a.csv").to_pydict() == table.to_pydict()


@pytest.mark.parametrize(
    ("column", "written"),
    [
        (pa.array([1.0, 0.1, float("nan"), None]), ["1", "0.1", "", ""]),
        (pa.array([0.1, 16777216.0], pa.float32()), ["0.1", "16777216"]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array([Decimal("1.50")]), ["1.50"]),
        (pa.array([dt.date(2024, 2, 29)]), ["2024-02-29"]),
        (pa.array([dt.datetime(2024, 2, 29, 1, 2, 3)], pa.timestamp("s")), ["2024-02-29 01:02:03"]),
        (pa.array([dt.datetime(2024, 2, 29, 1)], pa.timestamp("s", "UTC")), ["2024-02-29 01:00:00Z"]),
        (pa.array(["a,b", None]).dictionary_encode(), ['"a,b"', ""]),
        (pa.array(["a,b"], pa.large_string()), ['"a,b"']),
        (pa.array(["a,b"], pa.string_view()), ['"a,b"']),
        (pa.nulls(1), [""]),
        (pa.array([[1, 2.5], None]), ['"[1, 2.5]"', ""]),
        (pa.array([[1, 2]], pa.list_(pa.int8(), 2)), ['"[1, 2]"']),
    ],
)
def test_csv_has_values_of_every_plain_type(write, tmp_path, column, written):
    write(tmp_path / "a.csv", pa.table({"x": column, "z": [0] * len(column)}))
    assert (tmp_path / "a.csv").read_text() == "x,z\n" + "".join(f"{value},0\n" for value in written)


@pytest.mark.parametrize("column", [pa.array([["a"]]), pa.array([{"a": 1}]), pa.array([b"\xff"])])
def test_a_column_that_is_no_text_is_refused_and_nothing_is_left(write, tmp_path, column):
    with pytest.raises(DataError) as caught:
        write(tmp_path / "a.csv", pa.table({"x": column}))
    assert str(caught.value) == (
        f"the column 'x' of type {column.type} cannot be written as text; leave it out with --keep, or write Parquet"
    )
    assert list(tmp_path.iterdir()) == []


def test_of_a_column_that_is_no_text_no_header_is_written(capfdbinary, write):
    with pytest.raises(DataError):
        write("-", pa.table({"a": [1], "x": [{"b": 1}]}))
    assert capfdbinary.readouterr() == (b"", b"")
