"""Tables out: what is written is read back, and a file appears whole or not at all."""

from __future__ import annotations

import csv
import datetime as dt
import gc
import io
import json
import os
import stat
import sys
import threading
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resmem_cli.data import output, sources, tables
from resmem_cli.data.sources import Format
from resmem_cli.errors import DataError, OutputError, UsageError

NAMES = [
    "a.csv",
    "a.tsv",
    "a.csv.gz",
    "a.csv.zst",
    "a.parquet",
    "a.arrow",
    "a.feather",
    "a.ipc",
    "a.jsonl",
    "a.jsonl.gz",
    "a.jsonl.zst",
]
TABLE = pa.table(
    {
        "id": ["001", "b,c", None, 'say "x"', "a\tb\nc\r\nd"],
        "n": [1, None, -3, 2**62, 0],
        "f": [0.1, 1e-300, None, -2.5, 1e20],
        "b": [True, None, False, True, True],
        "ünï": ["漢", "🙂", " ", "a'b", None],
    }
)
OLD = b"what was there before"


class PredictionError(Exception):
    """Something that goes wrong while rows are predicted."""


def write(path: str | Path, *parts: pa.Table, forced: Format | None = None) -> None:
    with output.writer(str(path), forced) as table:
        for part in parts:
            table.write(part)


def read_back(path: str | Path) -> pa.Table:
    return pa.concat_tables(batch.table for batch in tables.read(sources.resolve([str(path)])))


def as_text(table: pa.Table) -> list[dict[str, str | None]]:
    """What CSV keeps of a table: text, with the empty one missing."""
    columns = {
        name: [None if v is None else _written(v) for v in table.column(name).to_pylist()]
        for name in table.column_names
    }
    return pa.table(columns).to_pylist()


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def replace_stdout(monkeypatch: pytest.MonkeyPatch, stream: io.BytesIO) -> io.BytesIO:
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=stream))
    return stream


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 2, 5])
def test_what_is_written_in_parts_is_read_back_from_every_format(tmp_path, name, size):
    write(tmp_path / name, *(TABLE.slice(start, size) for start in range(0, len(TABLE), size)))
    found = read_back(tmp_path / name)
    if "csv" in name or "tsv" in name:
        assert found.select(["id", "n", "b", "ünï"]).to_pylist() == as_text(TABLE.select(["id", "n", "b", "ünï"]))
        assert [v and float(v) for v in found.column("f").to_pylist()] == TABLE.column("f").to_pylist()
    else:
        assert found.to_pylist() == TABLE.to_pylist()
        assert found.schema.types == TABLE.schema.types


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("a.feather", pyarrow.feather.read_table),
        ("a.arrow", lambda path: pa.ipc.open_file(str(path)).read_all()),
        ("a.parquet", pyarrow.parquet.read_table),
    ],
)
def test_other_readers_take_the_files(tmp_path, name, load):
    write(tmp_path / name, TABLE, TABLE)
    assert load(tmp_path / name).equals(pa.concat_tables([TABLE, TABLE]))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.integers(1, 3), st.sampled_from([("a.csv", ","), ("a.tsv", "\t")]))
def test_any_text_survives_csv_and_is_what_pythons_csv_module_reads(tmp_path, data, width, kind):
    name, separator = kind
    text = st.text(st.characters(codec="utf-8") | st.sampled_from('",\t\n\r '), max_size=6)
    heads = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=6)
    header = data.draw(st.lists(heads, min_size=width, max_size=width, unique=True))
    rows = data.draw(st.lists(st.lists(st.none() | text, min_size=width, max_size=width), min_size=1, max_size=5))
    table = pa.table([pa.array(column, pa.string()) for column in zip(*rows, strict=True)], header)
    write(tmp_path / name, table)
    with open(tmp_path / name, newline="", encoding="utf-8") as stream:
        assert list(csv.reader(stream, delimiter=separator)) == [header, *([v or "" for v in row] for row in rows)]
    if "".join(header).strip():
        found = read_back(tmp_path / name)
        assert found.column_names == header
        assert found.to_pydict() == {name: [v or None for v in table.column(name).to_pylist()] for name in header}


def test_text_passes_from_csv_to_csv_unchanged(tmp_path):
    before = 'id,price,note,empty\n001,1.50,"a, b",\n+2,1e5,"say ""x""",\n 3 ,NA,"two\nlines",\n'
    (tmp_path / "in.csv").write_text(before)
    write(tmp_path / "out.csv", read_back(tmp_path / "in.csv"))
    assert (tmp_path / "out.csv").read_text() == before


def test_a_missing_value_in_the_only_column_is_a_row_all_the_same(tmp_path):
    write(tmp_path / "a.csv", pa.table({"x": ["a", None, "b", ""]}), pa.table({"x": pa.nulls(2, pa.string())}))
    assert (tmp_path / "a.csv").read_text() == 'x\na\n""\nb\n""\n""\n""\n'
    assert read_back(tmp_path / "a.csv").to_pydict() == {"x": ["a", None, "b", None, None, None]}


def test_only_text_that_needs_quotes_is_quoted(tmp_path):
    write(tmp_path / "a.csv", pa.table({"a b": ["x y", "x\ty", "x,y", "x;y", 'x"y', "'x'"]}))
    assert (tmp_path / "a.csv").read_text() == 'a b\nx y\nx\ty\n"x,y"\nx;y\n"x""y"\n\'x\'\n'


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
    ],
)
def test_csv_has_values_of_every_plain_type(tmp_path, column, written):
    write(tmp_path / "a.csv", pa.table({"x": column, "z": [0] * len(column)}))
    assert (tmp_path / "a.csv").read_text() == "x,z\n" + "".join(f"{value},0\n" for value in written)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("a.csv", pa.array([[1.0]])),
        ("a.csv", pa.array([{"a": 1}])),
        ("a.csv", pa.array([b"\xff"])),
        ("a.jsonl", pa.array([b"x"])),
        ("a.jsonl", pa.array([b"x"], pa.binary(1))),
    ],
)
def test_a_column_that_is_no_text_is_refused_and_nothing_is_left(tmp_path, name, column):
    with pytest.raises(DataError) as caught:
        write(tmp_path / name, pa.table({"x": column}))
    assert str(caught.value) == (
        f"the column 'x' of type {column.type} cannot be written as text; leave it out with --keep, or write Parquet"
    )
    assert list(tmp_path.iterdir()) == []


def test_json_lines_are_valid_json_whatever_the_numbers(tmp_path):
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


@pytest.mark.parametrize("name", NAMES)
def test_later_parts_may_have_their_columns_in_another_order(tmp_path, name):
    write(tmp_path / name, pa.table({"a": ["1"], "b": ["x"]}), pa.table({"b": ["y"], "a": ["2"]}))
    assert read_back(tmp_path / name).to_pydict() == {"a": ["1", "2"], "b": ["x", "y"]}


@pytest.mark.parametrize("name", ["a.csv", "a.tsv.gz", "a.parquet", "a.arrow"])
def test_later_parts_with_other_columns_are_refused_not_shifted(tmp_path, name):
    with pytest.raises(DataError) as caught:
        write(tmp_path / name, pa.table({"a": ["1"], "b": ["x"]}), pa.table({"b": ["y"], "c": ["2"]}))
    assert str(caught.value) == (
        "the inputs differ in the columns 'a', 'c'; give files of the same columns, or predict them one by one"
    )
    gc.collect(1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_later_parts_take_the_types_of_the_first_where_that_changes_nothing(tmp_path, name):
    write(tmp_path / name, pa.table({"a": [0.5]}), pa.table({"a": [1]}), pa.table({"a": pa.nulls(1)}))
    assert read_back(tmp_path / name).to_pydict() == {"a": [0.5, 1.0, None]}
    with pytest.raises(DataError) as caught:
        write(tmp_path / name, pa.table({"a": [1]}), pa.table({"a": [0.5]}))
    assert str(caught.value) == (
        "the column 'a' changes its type from int64 to double; give it one type in all inputs, or write CSV"
    )
    assert read_back(tmp_path / name).num_rows == 3


@pytest.mark.parametrize(
    ("name", "forced", "expected"),
    [
        ("a.csv", None, (Format.CSV, None)),
        ("a.tsv.gz", None, (Format.TSV, "gzip")),
        ("a.txt", Format.JSONL, (Format.JSONL, None)),
        ("a.csv", Format.PARQUET, (Format.PARQUET, None)),
        ("a.zst", Format.CSV, (Format.CSV, "zstd")),
        ("-", None, (Format.CSV, None)),
        ("-", Format.ARROW, (Format.ARROW, None)),
    ],
)
def test_the_format_is_the_forced_one_or_that_of_the_name_or_csv_on_standard_output(name, forced, expected):
    assert output.output_format(name, forced) == expected


@pytest.mark.parametrize(
    ("name", "forced"), [("a.parquet.gz", None), ("a.gz", Format.PARQUET), ("a.zst", Format.ARROW)]
)
def test_parquet_and_arrow_are_not_compressed_again(name, forced):
    with pytest.raises(UsageError, match=f"^'{name}' is a (parquet|arrow) file compressed a second time; "):
        output.output_format(name, forced)


def test_a_name_that_tells_no_format_is_answered_with_the_option_to_use(tmp_path):
    with pytest.raises(UsageError) as caught:
        write(tmp_path / "a.txt", TABLE)
    assert caught.value.hint == "name the format with --output-format"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("old", [None, OLD])
@pytest.mark.parametrize("parts", [0, 1, 3])
def test_an_error_on_the_way_leaves_nothing_and_keeps_the_old_file(tmp_path, capfd, *, name, old, parts):
    path = tmp_path / name
    if old:
        path.write_bytes(old)

    def fail() -> None:
        with output.writer(str(path)) as table:
            for _ in range(parts):
                table.write(TABLE)
            raise PredictionError

    with pytest.raises(PredictionError):
        fail()
    gc.collect(1)  # Arrow's writers finish when they are deleted, and would complain that they cannot
    assert [(left.name, left.read_bytes()) for left in tmp_path.iterdir()] == ([(name, OLD)] if old else [])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interruption_leaves_nothing_either(tmp_path, interruption):
    def stop() -> None:
        with output.writer(str(tmp_path / "a.parquet")) as table:
            table.write(TABLE)
            raise interruption

    with pytest.raises(interruption):
        stop()
    gc.collect(1)
    assert list(tmp_path.iterdir()) == []


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(OLD)
    with output.writer(str(path)) as table:
        table.write(TABLE)
        assert path.read_bytes() == OLD
    assert path.read_bytes().startswith(b"id,n,")
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_may_be_read_and_replaced_in_one_go(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x\n" + "1\n" * 10)
    with output.writer(str(path)) as table:
        for batch in tables.read(sources.resolve([str(path)]), batch_rows=3):
            table.write(batch.table)
    assert path.read_text() == "x\n" + "1\n" * 10


@pytest.mark.parametrize("mode", [0o600, 0o666, 0o640, 0o444])
def test_a_replaced_file_keeps_its_mode_whatever_the_mask(tmp_path, mode):
    path = tmp_path / "a.csv"
    path.write_bytes(OLD)
    path.chmod(mode)
    before = os.umask(0o077)
    try:
        write(path, TABLE)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_new_file_has_the_mode_that_the_mask_leaves(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write(tmp_path / "a.csv", TABLE)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == mode


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_stays_and_its_target_is_replaced(tmp_path, is_there):
    (tmp_path / "data").mkdir()
    target, link = tmp_path / "data" / "real.csv", tmp_path / "a.csv"
    if is_there:
        target.write_bytes(OLD)
    link.symlink_to(target)
    write(link, TABLE)
    assert link.is_symlink()
    assert target.read_bytes().startswith(b"id,n,")
    assert list((tmp_path / "data").iterdir()) == [target]


@pytest.mark.parametrize(
    ("place", "reason", "hint"),
    [
        ("no/a.csv", "No such file or directory", "make the folder first"),
        ("file/a.csv", "Not a directory", "check the path"),
        ("folder.csv", "Is a directory", "check the path"),
        ("x" * 300 + ".csv", "File name too long", "check the path"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_named(tmp_path, place, reason, hint):
    (tmp_path / "file").write_bytes(OLD)
    (tmp_path / "folder.csv").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError) as caught:
        write(tmp_path / place, TABLE)
    assert str(caught.value) == (
        f"'{tmp_path / place}' cannot be written ({reason}); {hint}, or choose another with --output"
    )
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError) as caught:
        write(tmp_path / "a.csv", TABLE)
    assert str(caught.value) == (
        f"'{tmp_path / 'a.csv'}' cannot be written (Permission denied); check the path, or choose another with --output"
    )


def test_no_permission_is_named_for_root_too(tmp_path, monkeypatch):
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OutputError, match=r"cannot be written \(Permission denied\); check the path"):
        write(tmp_path / "a.csv", TABLE)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device to try it on")
@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("n_rows", [1, 200_000])
def test_a_full_disk_is_named(capfd, form, n_rows):
    with pytest.raises(OutputError) as caught:
        write("/dev/full", pa.table({"x": range(n_rows)}), forced=form)
    assert str(caught.value) == (
        "'/dev/full' cannot be written (No space left on device); free some space, or choose another with --output"
    )
    gc.collect(1)
    assert capfd.readouterr() == ("", "")


def test_a_disk_that_is_full_only_when_it_is_synced_leaves_the_old_file(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.parquet"
    path.write_bytes(OLD)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write(path, TABLE)
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("form", Format)
def test_a_device_is_written_to_and_stays_a_device(form):
    write("/dev/null", TABLE, forced=form)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_named_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
    reader.start()
    write(path, pa.table({"x": [1]}))
    reader.join()
    assert found == [b"x\n1\n"]
    assert stat.S_ISFIFO(path.stat().st_mode)


@pytest.mark.parametrize("form", [None, *Format])
def test_standard_output_has_any_format_csv_by_default_and_stays_open(monkeypatch, tmp_path, form):
    stdout = replace_stdout(monkeypatch, io.BytesIO())
    write("-", TABLE, forced=form)
    assert not stdout.closed
    path = tmp_path / f"a.{form or 'csv'}"
    path.write_bytes(stdout.getvalue())
    assert read_back(path).num_rows == len(TABLE)
    if form is None:
        assert stdout.getvalue().startswith(b"id,n,f,b,")


def test_arrow_on_standard_output_is_a_stream_that_can_be_read_as_it_comes(monkeypatch):
    stdout = replace_stdout(monkeypatch, io.BytesIO())
    write("-", TABLE, TABLE, forced=Format.ARROW)
    stdout.seek(0)
    assert pa.ipc.open_stream(stdout).read_all().equals(pa.concat_tables([TABLE, TABLE]))


@pytest.mark.parametrize("form", Format)
def test_after_an_error_nothing_more_is_sent_to_standard_output(monkeypatch, form):
    stdout = replace_stdout(monkeypatch, io.BytesIO())

    def fail() -> None:
        with output.writer("-", form) as table:
            table.write(TABLE)
            sent.append(stdout.getvalue())
            raise PredictionError

    sent: list[bytes] = []
    with pytest.raises(PredictionError):
        fail()
    gc.collect(1)
    assert stdout.getvalue() == sent[0]


class Failing(io.BytesIO):
    """A stream that takes nothing."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self._error = error

    def write(self, _: object) -> int:
        raise self._error


@pytest.mark.parametrize("form", Format)
def test_a_reader_that_has_gone_is_no_error_of_the_output(monkeypatch, form):
    replace_stdout(monkeypatch, Failing(BrokenPipeError(32, "Broken pipe")))
    with pytest.raises(BrokenPipeError):
        write("-", TABLE, forced=form)


@pytest.mark.parametrize("form", Format)
def test_standard_output_on_a_full_disk_is_named(monkeypatch, form):
    replace_stdout(monkeypatch, Failing(OSError(28, "No space left on device")))
    with pytest.raises(OutputError) as caught:
        write("-", TABLE, forced=form)
    assert str(caught.value) == (
        "standard output cannot be written (No space left on device); free some space, or choose another with --output"
    )


def test_replacing_gives_any_bytes_a_file_that_appears_whole(tmp_path):
    path = tmp_path / "base.json"
    with output.replacing(path) as stream:
        stream.write(b"{}")
        assert not path.exists()
    assert path.read_bytes() == b"{}"
    assert list(tmp_path.iterdir()) == [path]
