"""Quotes that are left open swallow no row without a word: in TSV every line is a row, in CSV it is said."""

from __future__ import annotations

import csv
import io
import random
import re

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from resmem_cli.data import delimited, sources, tables
from resmem_cli.errors import DataError

REMOVE = "close the quote or remove it, or give such a table as Parquet or JSON lines"
CLOSE = "close each quote at the end of its value, and write one within a quoted value twice"
WRITTEN_AS = [("a.tsv", "\t"), ("a.csv", ",")]


def lines(separator: str, n_rows: int = 300, **stray: str) -> str:
    """Rows of three values, some with something before or behind their first one."""
    rows = [[f"pipe{i}", str(i % 31), str(i % 7)] for i in range(n_rows)]
    for place, text in stray.items():
        kind, row, column = place.split("_")
        value = rows[int(row)][int(column)]
        rows[int(row)][int(column)] = text + value if kind == "before" else value + text
    return "".join(separator.join(row) + "\n" for row in [["part", "x", "y"], *rows])


def rows_of(text: str, separator: str) -> list[tuple[str, ...]]:
    return [tuple(line.split(separator)) for line in text.splitlines()[1:]]


STRAY = [
    pytest.param({"before_5_0": '"20 inch ', "before_90_0": '"20 inch '}, id="two that begin a value"),
    pytest.param({"before_5_0": '"20 inch ', "after_90_0": ' 20"'}, id="one begins and one ends a value"),
    pytest.param({"before_5_2": '"', "after_8_1": '"'}, id="in other columns"),
    pytest.param({"before_5_1": '"20 inch '}, id="one alone"),
    pytest.param({"before_299_1": '"20 inch '}, id="in the last row"),
    pytest.param({"before_0_0": '"', "before_1_0": '"', "before_2_0": '"'}, id="in three rows, one after the other"),
    pytest.param({"after_5_0": ' 20"', "before_6_0": '"', "before_6_1": '5"'}, id="within values"),
]


@pytest.mark.parametrize("stray", STRAY)
@pytest.mark.parametrize("block", [64, 1000, 4 << 20])
def test_in_tsv_every_line_is_a_row_and_a_stray_quote_a_character(file, read, values, monkeypatch, *, stray, block):
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", block)
    text = lines("\t", **stray)
    found = [tuple(row.values()) for row in values(read(file("a.tsv", text)))]
    assert found == rows_of(text, "\t")


@pytest.mark.parametrize(
    ("stray", "shown", "what", "hint"),
    [
        (
            {"before_5_0": '"20 inch ', "before_90_0": '"20 inch '},
            '"20 inch pipe5,5,5 pipe6,6,6',
            "closes a quote in the middle of a value 85 lines further down",
            CLOSE,
        ),
        (
            {"before_5_0": '"20 inch ', "after_90_0": ' 20"'},
            '"20 inch pipe5,5,5 pipe6,6,6',
            "opens a quote that holds 86 lines together, each of which is a row by itself",
            REMOVE,
        ),
        (
            {"before_5_2": '"', "after_8_1": '"'},
            '"5 pipe6,6,6',
            "opens a quote that holds 4 lines together, each of which is a row by itself",
            REMOVE,
        ),
        ({"before_5_0": '"20" '}, '"20" pipe5,5,5', "closes a quote in the middle of a value", CLOSE),
    ],
)
@pytest.mark.parametrize("block", [500, 4 << 20])
@pytest.mark.parametrize("columns", [None, frozenset({"y"})])
def test_in_csv_a_quote_that_swallows_rows_is_named_with_its_row(
    file, read, monkeypatch, *, stray, shown, what, hint, block, columns
):
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", block)
    path = file("a.csv", lines(",", **stray))
    with pytest.raises(DataError) as caught:
        read(path, columns=columns)
    assert caught.value.message.startswith(f"{path}, row 6 {what} ('{shown}")
    assert caught.value.hint == hint


@pytest.mark.parametrize("columns", [None, frozenset({"x"})])
def test_in_csv_a_quote_that_is_never_closed_is_named_whatever_is_read(file, read, columns):
    path = file("a.csv", lines(",", before_5_1='"'))
    with pytest.raises(DataError) as caught:
        read(path, columns=columns)
    assert str(caught.value) == f"{path}, row 6 opens a quote that is never closed; close it, or remove it"


def test_rows_after_blank_lines_and_quoted_values_are_counted(file, read, monkeypatch):
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", 64)
    path = file("a.csv", 'a,b\n\n"x\ny","say ""z"""\n\n' + "1,2\n" * 50 + '"5"" x 7,8\n"9,10\n')
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.message.startswith(f"{path}, row 52 closes a quote in the middle of a value 1 line further ")


def noted(path: str, **options: object) -> tuple[list[str], int]:
    notes: list[str] = []
    return notes, sum(len(batch) for batch in tables.read(sources.resolve([path]), notes=notes, **options))


@pytest.mark.parametrize(
    ("content", "n_rows", "what"),
    [
        pytest.param('a,b\n1,2\n"x,3\ny",4\n', 2, "row 2: a quoted value spans 2 lines ('\"x,3 y\",4')", id="2 rows"),
        pytest.param(
            'a,b\n1,"' + "a line of text\n" * 30 + '"\n', 1, "row 1: a quoted value spans 31 lines (", id="31 lines"
        ),
    ],
)
@pytest.mark.parametrize("block", [8, 4 << 20])
def test_what_may_be_meant_is_told_with_its_row(file, monkeypatch, *, content, n_rows, what, block):
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", block)
    path = file("a.csv", content)
    notes, found = noted(path)
    assert found == n_rows
    (note,) = notes
    assert note.startswith(f"{path}, {what}")
    assert note.endswith("; if these are rows, a quote is not closed")
    whole: list[str] = []
    tables.read_all(sources.resolve([path]), notes=whole)
    assert whole == notes


def test_only_the_first_such_value_of_a_file_is_told(file):
    assert len(noted(file("a.csv", "a,b\n" + '1,"' + "a line of text\n" * 30 + '"\n' * 1 + '"x,3\ny",4\n'))[0]) == 1


@pytest.mark.parametrize(
    "content",
    [
        'a,b\n1,"two\nlines"\n2,"and, more\nof\r\nthem"\n',
        'id,address,x\n1,"Main St 5, Springfield\n\nUSA",5\n2,"say ""no""\nor not",7\n',
        'text\n"a\nb\nc\nd\ne\nf\ng"\n',
    ],
)
def test_text_of_several_lines_is_read_without_a_word(file, read, values, content):
    path = file("a.csv", content)
    assert [list(row.values()) for row in values(read(path))] == list(csv.reader(io.StringIO(content, newline="")))[1:]
    assert noted(path)[0] == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('"a,b\n1,2\n"3,4\n', "closes a quote in the middle of a value 2 lines further down ('\"a,b 1,2 \"3,4')"),
        ('"a,b\n1",2\n', "opens a quote that spans rows: a quoted value spans 2 lines ('\"a,b 1\",2')"),
        ('a,"b" c\n1,2\n', "closes a quote in the middle of a value ('\"b\" c')"),
    ],
)
def test_a_header_that_swallows_rows_is_refused(file, read, content, sentence):
    path = file("a.csv", content)
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.message == f"the header of {path} {sentence}"


@pytest.mark.parametrize("name", ['"20 inch', '20"', '"20" inch', '"'])
@pytest.mark.parametrize("last", ["1\t2\n", '"1\t2"\n', '"1\t"2\n'])
def test_a_stray_quote_in_the_header_of_tsv_belongs_to_the_name(file, read, values, name, last):
    batches = read(file("a.tsv", f"{name}\tb\n{last}"))
    assert batches[0].table.column_names == [name, "b"]
    assert [tuple(row.values()) for row in values(batches)] == [tuple(last.strip().split("\t"))]


TEXT = st.text(st.sampled_from('a"\t\n\r, '), max_size=6)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.lists(TEXT, min_size=3, max_size=3), min_size=1, max_size=6), block=st.sampled_from([16, 4096]))
def test_what_other_programs_quote_in_tsv_is_read_back_where_it_is_not_rows(
    file, read, values, monkeypatch, *, rows, block
):
    """What Python's module quotes (as pandas and Excel do), if no value has both a tab and a line end."""
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", block)
    rows = [[v.replace("\t", " ") if "\n" in v or "\r" in v else v for v in row] for row in rows]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter="\t").writerows([["a", "b", "c"], *rows])
    found = [[value or "" for value in row.values()] for row in values(read(file("a.tsv", text.getvalue())))]
    assert found == rows


BARE = st.text(st.sampled_from('a" ,'), min_size=1, max_size=5)
QUOTED_SOMEHOW = re.compile(r'(^|\t)"(.*")?(\t|$)')  # from a value that begins with a quote to one that ends with one


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.lists(BARE, min_size=2, max_size=3), min_size=1, max_size=6), block=st.sampled_from([16, 4096]))
def test_what_is_not_quoted_in_tsv_is_read_as_it_is(file, read, values, monkeypatch, *, rows, block):
    """Values with tabs between them, as programs write that know no quotes; none is or looks quoted."""
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", block)
    rows = [[*row, "x"][:3] for row in rows]
    assume(not any(QUOTED_SOMEHOW.search("\t".join(row)) for row in rows))
    content = "a\tb\tc\n" + "".join("\t".join(row) + "\n" for row in rows)
    assert [list(row.values()) for row in values(read(file("a.tsv", content)))] == rows


@pytest.mark.parametrize(("name", "separator"), WRITTEN_AS)
def test_tables_of_quoted_values_are_read_whatever_the_blocks(file, read, values, monkeypatch, *, name, separator):
    rng = random.Random(3)  # noqa: S311 - no secret
    words = ["x", 'say "x"', f"a{separator}b", "two\nlines", '5"', "", '"', "ü"]
    rows = [[rng.choice(words) for _ in range(4)] for _ in range(400)]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([["a", "b", "c", "d"], *rows])
    path = file(name, text.getvalue())
    for block in (32, 333, 4 << 20):
        monkeypatch.setattr(delimited, "_BLOCK_BYTES", block)
        assert [[value or "" for value in row.values()] for row in values(read(path))] == rows


def test_rows_of_tsv_that_would_be_read_as_several_are_not_written(write, read_back, tmp_path):
    write(tmp_path / "a.tsv", pa.table({"a": ["x\ty\nz\nw"], "b": ["1"]}))
    assert read_back(tmp_path / "a.tsv").to_pydict() == {"a": ["x\ty\nz\nw"], "b": ["1"]}
    with pytest.raises(DataError) as caught:
        write(tmp_path / "b.tsv", pa.table({"a": ["x"], "b": ["y\nz\tw"]}))
    assert str(caught.value) == (
        "a row with tabs and line breaks in its values cannot be told from several in TSV ('x \"y z w\"'); "
        "write CSV or Parquet"
    )


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"x" * 3_000, ""),
        (b'"' + b"x\n" * 1_500, "a quote is not closed, or "),
        (b'"' + b"x" * 3000 + b'"', ""),
    ],
)
def test_a_row_has_a_greatest_length(file, read, monkeypatch, content, hint):
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", 64)
    monkeypatch.setattr(delimited, "MAX_ROW_BYTES", 1 << 10)
    path = file("a.csv", b"a,b\n" + b"1,2\n" * 20_000 + content + b",5\n6,7\n")
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.message == f"{path}, row 20,001 is longer than 0 MB"
    assert caught.value.hint == f"{hint}the file is not a text table: correct it, or give such rows as Parquet"
