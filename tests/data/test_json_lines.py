"""JSON lines: what one block says of a column holds for the next, and a line that does not fit is named."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from resmem_cli.data import json_lines
from resmem_cli.errors import DataError


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b"", "is empty; give at least one line of JSON", id="empty"),
        pytest.param(b"\n\n", "is empty; give at least one line of JSON", id="blank lines"),
        pytest.param(b"{}\n{}\n", "has a header but no rows; give a file with at least one row", id="no column"),
        pytest.param(
            b'{"a": "\xe9"}\n',
            "is not UTF-8 text; convert it, for example with: iconv -f LATIN1 -t UTF-8 OLD > NEW",
            id="Latin-1",
        ),
    ],
)
def test_what_holds_no_lines_of_json_is_refused_in_one_sentence(file, read, content, sentence):
    path = file("a.jsonl", content)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == f"{path} {sentence}"


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
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 40)
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
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 20)
    lines = ['{"a": null}', '{"a": 1}', '{"a": 2.5}', '{"a": null}', '{"b": true}']
    (batch,) = read(file("a.jsonl", "\n".join(lines) + "\n"))
    assert batch.table.to_pydict() == {"a": [None, 1.0, 2.5, None, None], "b": [None] * 4 + [True]}


def test_a_key_that_later_lines_lack_is_missing_there_whatever_the_batches(file, read, monkeypatch):
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 20)
    lines = ['{"a": 1, "b": "x"}', '{"b": "y"}', "{}", "{}", "{}", '{"a": 2}', "{}"]
    batches = read(file("a.jsonl", "\n".join(lines)), batch_rows=1)
    assert [batch.table.to_pylist() for batch in batches] == [
        [{"a": 1, "b": "x"}],
        [{"a": None, "b": "y"}],
        *[[{"a": None, "b": None}]] * 3,
        [{"a": 2, "b": None}],
        [{"a": None, "b": None}],
    ]
    assert {batch.table.schema.field("a").type for batch in batches} == {pa.int64()}


def test_json_text_that_looks_like_dates_in_one_block_stays_text(file, read, values, monkeypatch):
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 25)
    words = ["2024-01-01 once", "2024-01-01", "2024-01-02", "never"]
    assert values(read(file("a.jsonl", "".join(f'{{"a": "{word}"}}\n' for word in words)))) == [
        {"a": word} for word in words
    ]


def test_json_dates_that_turn_into_other_text_in_a_later_block_are_refused(file, read, monkeypatch):
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 25)
    path = file("a.jsonl", '{"a": "2024-01-01"}\n{"a": "2024-01-02"}\n{"a": "never"}\n')
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path} is not a line of JSON like those before it (")


def test_a_json_line_longer_than_a_block_is_read(file, read, values, monkeypatch):
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 16)
    assert values(read(file("a.jsonl", f'{{"a": "{"x" * 500}"}}\n{{"a": "y"}}'))) == [{"a": "x" * 500}, {"a": "y"}]


def test_json_lines_are_valid_json_whatever_the_numbers(write, tmp_path):
    nan, infinity = float("nan"), float("inf")
    table = pa.table(
        {"x": [nan, infinity, 1.5], "l": [[nan], [1.0, None], []], "s": [{"a": -infinity}, {"a": 1.0}, None]}
    )
    write(tmp_path / "a.jsonl", table)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    found = [json.loads(line, parse_constant=refuse) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert found == [
        {"x": None, "l": [None], "s": {"a": None}},
        {"x": None, "l": [1.0, None], "s": {"a": 1.0}},
        {"x": 1.5, "l": [], "s": None},
    ]


@pytest.mark.parametrize(
    "column", [pa.array([b"x"]), pa.array([b"x"], pa.binary(1)), pa.array([b"x"], pa.large_binary())]
)
def test_bytes_are_refused_and_nothing_is_left(write, tmp_path, column):
    with pytest.raises(DataError) as caught:
        write(tmp_path / "a.jsonl", pa.table({"x": column}))
    assert str(caught.value) == (
        f"the column 'x' of type {column.type} cannot be written as text; leave it out with --keep, or write Parquet"
    )
    assert list(tmp_path.iterdir()) == []
