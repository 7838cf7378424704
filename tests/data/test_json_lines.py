"""JSON lines: what one block says of a column holds for the next, and a line that does not fit is named."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resmem_cli.data import json_lines, sources, streams
from resmem_cli.errors import DataError


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b"", "is empty; give at least one line of JSON", id="empty"),
        pytest.param(b"\n\n", "is empty; give at least one line of JSON", id="blank lines"),
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
        "write one object per line, each column of one type"
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
        "write one object per line, each column of one type"
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


def test_json_dates_may_turn_into_other_text_in_a_later_block(file, read, values, monkeypatch):
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 25)
    words = ["2024-01-01", "2024-01-02", "never"]
    assert values(read(file("a.jsonl", "".join(f'{{"a": "{word}"}}\n' for word in words)))) == [
        {"a": word} for word in words
    ]


DATES = ["2024-07-01T10:00:00+02:00", "2024-07-01", "2024-07-01 10:00:00Z", "2024-07-01T10:00:00.123456789"]


@pytest.mark.parametrize("block", [60, 1 << 20])
@pytest.mark.parametrize("columns", [None, frozenset({"nested"})])
def test_strings_are_text_as_written_at_every_depth(file, read, values, monkeypatch, *, block, columns):
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", block)
    rows = [
        {"n": i, "day": date, "nested": {"b": i, "day": date, "a": [date], "deep": [{"k": 1.5, "at": date}]}}
        for i, date in enumerate(DATES)
    ]
    rows[1]["nested"] = None
    rows.append({"n": 4, "nested": {"a": [], "deep": None, "new": DATES[0]}})
    path = file("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    batches = read(path, columns=columns)
    every = {"b": None, "day": None, "a": None, "deep": None, "new": None}
    for row in rows:
        row["day"] = row.get("day")
        row["nested"] = row["nested"] and every | row["nested"]
    assert values(batches) == [{k: row[k] for k in columns or row} for row in rows]
    assert batches[0].table.column_names == (["n", "day", "nested"] if columns is None else ["nested"])


def exactly(values):
    """Values with their types, decimals as the whole numbers that they are."""
    return json.loads(json.dumps(values, default=int))


WHOLE = st.integers(-(10**76) + 1, 10**76 - 1) | st.integers(2**63 - 2, 2**64) | st.integers(-(2**63) - 2, 2**63)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=st.lists(st.none() | WHOLE, min_size=1, max_size=6),
    floats=st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=6, max_size=6),
    block=st.sampled_from([30, 1 << 20]),
)
def test_whole_numbers_keep_all_digits(file, read, values, write, tmp_path, *, numbers, floats, block):
    rows = [{"n": n, "f": f, "in": {"l": [n, n], "f": f}} for n, f in zip(numbers, floats, strict=False)]
    path = file("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_lines, "_BLOCK_BYTES", block)
        batches = read(path)
    assert exactly(values(batches)) == rows
    write(tmp_path / "out.jsonl", *(batch.table for batch in batches))
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == rows
    write(tmp_path / "out.csv", *(batch.table.select(["n"]) for batch in batches))
    assert (tmp_path / "out.csv").read_text().splitlines()[1:] == ['""' if n is None else str(n) for n in numbers]


@pytest.mark.parametrize("block", [30, 1 << 20])
@pytest.mark.parametrize(
    "rows",
    [
        [[None, None], [1.5, 2.0]],
        [[None, None, None], ["2024-01-01"]],
        [[None, None], [{"a": 1}]],
        [[None, None], None, []],
        [{"a": [None, None]}, {"a": [True]}],
        [[[None, None]], [[1]]],
        [[None, None, 2**63]],
    ],
)
def test_lists_may_begin_with_missing_elements(file, read, values, monkeypatch, *, rows, block):
    """Arrow alone makes arrays of them that are shorter than they say."""
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", block)
    batches = read(file("a.jsonl", "".join(json.dumps({"x": row}) + "\n" for row in rows)))
    for batch in batches:
        batch.table.validate(full=True)
    assert values(batches) == [{"x": row} for row in rows]


def test_fractions_and_large_floats_beside_long_numbers_stay_floats(file, read, values):
    # 12345678901234580000 is how JavaScript writes a float: the nearest float is another number, but is written so.
    rows = [{"a": 1e20, "b": 12345678901234567890, "c": 0.5}, {"a": 2.5, "b": 1, "c": 12345678901234580000}]
    batches = read(file("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert batches[0].table.schema.types == [pa.float64(), pa.uint64(), pa.float64()]
    assert values(batches) == [rows[0], rows[1] | {"c": 1.234567890123458e19}]


LOST = "9007199254740993"  # 2^53 + 1, which a float rounds


@pytest.mark.parametrize("block", [16, 1 << 20])
@pytest.mark.parametrize(
    ("rows", "row", "name", "digits"),
    [
        pytest.param(['{"a": 9007199254740992}', f'{{"a": {LOST}}}', '{"a": 0.5}'], 2, "a", LOST, id="before"),
        pytest.param(['{"a": 0.5}', "{}", f'{{"a": -{LOST}}}'], 3, "a", f"-{LOST}", id="after, negative"),
        pytest.param([f'{{"a": {LOST}}}', '{"a": 1e300}'], 1, "a", LOST, id="beside an exponent"),
        pytest.param(['{"a": 2.0}', f'{{"a": {LOST}}}'], 2, "a", LOST, id="beside a fraction of 0"),
        pytest.param(['{"a": NaN}', f'{{"a": {LOST}}}'], 2, "a", LOST, id="beside NaN"),
        pytest.param(["{}", '{"a": 1.5}', f'{{"a": 1{"8" * 30}}}'], 3, "a", f"1{'8' * 30}", id="more than 64 bits"),
        pytest.param([f'{{"\\u0061": {LOST}}}', '{"\\u0061": 0.5}'], 1, "a", LOST, id="a key with an escape"),
        pytest.param(['{"w": {"z": 1.5}}', f'{{"w": {{"z": {LOST}}}}}'], 2, "w.z", LOST, id="an object"),
        pytest.param([f'{{"w": [{{"z": {LOST}}}, {{"z": 1.5}}]}}'], 1, "w.z", LOST, id="a list of objects"),
        pytest.param(['{"w": [1, 2]}', f'{{"w": [1, {LOST}]}}', '{"w": [0.5]}'], 2, "w", LOST, id="a list"),
        pytest.param([f'{{"a": {"7" * 100}}}'], 1, "a", "7" * 80, id="more digits than any type has"),
    ],
)
def test_whole_numbers_that_lose_digits_as_floats_are_refused(
    file, read, monkeypatch, *, block, rows, row, name, digits
):
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", block)
    path = file("a.jsonl", "\n".join(rows) + "\n")
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path}, row {row}: column '{name}' holds {digits}, which would lose digits in this column of floats; "
        "write the numbers of this column as text, in quotes"
    )


@pytest.mark.parametrize("block", [16, 1 << 20])
def test_digits_that_are_lost_in_a_column_that_is_not_read_are_no_error(file, read, values, monkeypatch, block):
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", block)
    path = file("a.jsonl", f'{{"a": {LOST}, "b": 1}}\n{{"a": 0.5, "b": 2}}\n')
    assert values(read(path, columns=frozenset({"b"}))) == [{"b": 1}, {"b": 2}]


@pytest.mark.parametrize("block", [16, 1 << 20])
def test_a_fraction_of_another_key_of_the_same_name_costs_no_digits(file, read, values, monkeypatch, block):
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", block)
    rows = [{"z": 184467440737095516150, "w": {"z": 1.5}, "v": [{"z": 2.5}]}, {"z": 1, "w": {"z": 1e20}, "v": []}]
    batches = read(file("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert exactly(values(batches)) == rows


def test_a_number_that_only_arrow_takes_is_named_where_digits_may_be_lost(file, read):
    path = file("a.jsonl", f'{{"a": 0.5}}\n{{"a": Inf}}\n{{"a": {LOST}}}\n')
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.message.startswith(f"{path}, row 2 is not a line of JSON like those before it (")


@pytest.mark.parametrize("block", [8, 1 << 20])
@pytest.mark.parametrize("before", ["", '{"a": 1}\n', '\n \n{"a": "} null"}\n'])
@pytest.mark.parametrize(
    "line", ["null", " null", "\tnull  ", "null null", "null {}", "nullx", "{} null", '{"b": "\\""}null', "null\r"]
)
@pytest.mark.parametrize("after", ["", '\n{"a": 1}\n'])
def test_null_is_no_row(file, read, monkeypatch, *, block, before, line, after):
    """Arrow ends the process where null is the first value of a block."""
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", block)
    path = file("a.jsonl", before + line + after)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path}, row {before.count('{') + 1} is not a line of JSON like those before it (null is no object); "
        "write one object per line, each column of one type"
    )


@pytest.mark.parametrize("block", [1, 8, 1 << 20])
@pytest.mark.parametrize("start", ["", "\n", " \n\n \t"])
def test_null_behind_a_byte_order_mark_is_no_row(file, read, monkeypatch, *, block, start):
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", block)
    with pytest.raises(DataError, match="row 1 is not a line of JSON"):
        read(file("a.jsonl", f'{start}\ufeffnull\n{{"a": 1}}\n'))


def test_null_in_strings_and_as_a_value_is_no_line(file, read, values):
    rows = [{"a": "} null", "b": None}, {"a": "}null", "b": {"c": None}}, {"a": 'x\\"} null', "b": None}]
    read_rows = values(read(file("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))))
    assert [row["a"] for row in read_rows] == [row["a"] for row in rows]


def test_lines_without_keys_are_rows_without_columns(file, read):
    (batch,) = read(file("a.jsonl", "{}\n{}\n"))
    assert batch.table.column_names == []
    assert len(batch) > 0


def test_lines_without_keys_before_the_first_key_are_rows(file, read, values, monkeypatch):
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 8)
    assert values(read(file("a.jsonl", '{}\n{}\n{}\n{}\n{"a": 1}\n{}\n'))) == [
        *[{"a": None}] * 4,
        {"a": 1},
        {"a": None},
    ]


@pytest.mark.parametrize("block", [100, 1 << 20])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_nesting_has_a_greatest_depth(file, read, monkeypatch, *, block, opened, closed):
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", block)
    before = '{"i": 1}\n\n{"i": 2, "z": null}\n'
    for depth in (json_lines.MAX_DEPTH, 100_000):
        path = file("a.jsonl", before + f'{{"i": 3, "z": {opened * depth}1{closed * depth}}}\n')
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(caught.value) == (
            f"{path}, row 3 is nested more than 64 deep; write flat objects, or leave that column out"
        )
    depth = json_lines.MAX_DEPTH - 1
    (batch,) = read(file("a.jsonl", before + f'{{"i": 3, "z": {opened * depth}1{closed * depth}}}\n'))
    assert len(batch) == 3


def test_brackets_in_strings_and_beside_each_other_are_no_depth(file, read, values):
    rows = [{"a": "[" * 1000, "b": 'x"[{' * 100 + "\\"}, {"a": "[{" * 1000, "b": "\\"}]
    rows = [row | {"v": [[float(i)] for i in range(500)]} for row in rows]
    assert values(read(file("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))) == rows


def test_a_line_has_a_greatest_length(file, read, monkeypatch):
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 64)
    monkeypatch.setattr(json_lines, "MAX_ROW_BYTES", 1 << 10)
    monkeypatch.setattr(streams, "MAX_ROW_BYTES", 1 << 10)
    good = '{"a": "' + "x" * 900 + '"}\n'
    assert len(read(file("a.jsonl", good * 20))[0]) == 20
    path = file("a.jsonl", good * 2 + "\n" + '{"a": "' + "x" * 2000 + '"}\n' + good)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == f"{path}, row 3 is longer than 0 MB; write one object per line"


class _Endless:
    """A line that never ends."""

    def __init__(self) -> None:
        self.n_read = 0

    def read(self, n_bytes: int) -> bytes:
        self.n_read += n_bytes
        return b"x" * n_bytes


def test_of_a_line_without_end_no_more_is_held_than_is_allowed():
    raw = _Endless()
    with pytest.raises(DataError, match="row 1 is longer than 64 MB"):
        list(json_lines.read(sources.Source(Path("a.jsonl"), sources.Format.JSONL), raw, list))
    assert raw.n_read < 100 << 20


def test_a_byte_order_mark_and_blank_lines_are_passed_over(file, read, values):
    assert values(read(file("a.jsonl", '\ufeff\n\n{"a": 1}\n \n\n{"a": 2}\r\n\n'))) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("line", ['{"a": "\\ud800"}', '{"a": 1, "a": 2}', '{"s": {"a": 1, "a": 2}}', '[{"a": 1}]', "5"])
def test_what_is_json_but_no_row_is_named(file, read, line):
    path = file("a.jsonl", '{"b": 1}\n\n' + line + "\n")
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.message.startswith(f"{path}, row 2 is not a line of JSON like those before it (")


def test_numbers_that_json_does_not_have_are_read_as_python_writes_them(file, read):
    (batch,) = read(file("a.jsonl", '{"a": NaN}\n{"a": Infinity}\n{"a": -Infinity}\n'))
    assert str(batch.table["a"].to_pylist()) == "[nan, inf, -inf]"


def test_a_json_line_longer_than_a_block_is_read(file, read, values, monkeypatch):
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", 16)
    assert values(read(file("a.jsonl", f'{{"a": "{"x" * 500}"}}\n{{"a": "y"}}'))) == [{"a": "x" * 500}, {"a": "y"}]


def test_json_lines_are_valid_json_also_where_there_is_no_number(write, tmp_path):
    nan = float("nan")
    table = pa.table({"x": [nan, None, 1.5], "l": [[nan], [1.0, None], []], "s": [{"a": nan}, {"a": 1.0}, None]})
    write(tmp_path / "a.jsonl", table)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    found = [json.loads(line, parse_constant=refuse) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert found == [
        {"x": None, "l": [None], "s": {"a": None}},
        {"x": None, "l": [1.0, None], "s": {"a": 1.0}},
        {"x": 1.5, "l": [], "s": None},
    ]


@pytest.mark.parametrize("value", [float("inf"), [float("-inf")], {"a": [float("inf")]}])
def test_an_infinite_number_is_refused_as_json_and_nothing_is_left(write, tmp_path, value):
    with pytest.raises(DataError) as caught:
        write(tmp_path / "a.jsonl", pa.table({"x": pa.array([value])}))
    assert str(caught.value) == (
        "the column 'x' holds an infinite number, which JSON does not have; leave it out with --keep, or write CSV or "
        "Parquet"
    )
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize("block", [8, 1 << 20])
@pytest.mark.parametrize("before", ["", '{"a": 1}\n\n', ' \n{"a": "}{"}\r\n'])
@pytest.mark.parametrize("line", ['{"a": 2}{"a": 3}', '{"a": 2} \t{"a": 3}\r', '{}{"b": {"c": "x"}}', '{"b": "\\""}{}'])
@pytest.mark.parametrize("after", ["", "\n", '\n{"a": "x"}\n'])
def test_a_line_is_one_object(file, read, monkeypatch, *, block, before, line, after):
    """Arrow takes every object for a row, whatever lines there are: then rows are not named by their lines."""
    monkeypatch.setattr(json_lines, "_BLOCK_BYTES", block)
    path = file("a.jsonl", before + line + after)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path}, row {before.count(':') + 1} is not a line of JSON like those before it (it holds several objects); "
        "write one object per line, each column of one type"
    )


@pytest.mark.parametrize("first", ["", '{"z": 1}\n', '{"z": "{"}\n\n \n'])
@pytest.mark.parametrize(
    "rows",
    ['{\n"b": 2\n}\n{"b": 3}\n', '{"b": [1,\n2]}\n', '{"b":\n{"c": "}{"}}\n', '{"b": {"c": "{"}\n}\n{"b": {}}\n'],
)
def test_an_object_is_one_line(file, read, first, rows):
    """Arrow takes objects of several lines, but only where no block ends within one."""
    path = file("a.jsonl", first + rows)
    with pytest.raises(DataError) as caught:
        read(path)
    row = 2 if first else 1
    assert str(caught.value) == (
        f"{path}, row {row} is not a line of JSON like those before it (its object goes on in the next line); "
        "write one object per line, each column of one type"
    )


def test_objects_beside_each_other_in_strings_and_lists_are_no_rows(file, read, values):
    rows = [{"a": "}{", "b": [{"c": 1}, {"c": 2}]}, {"a": '"} {"', "b": []}, {"a": '\\"}\t{', "b": None}]
    lines = [json.dumps(row) for row in rows]
    assert values(read(file("a.jsonl", "\n \r\n\n".join(lines)))) == rows
