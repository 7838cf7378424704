"""Tables out: what is written is read back, and an output that fails leaves nothing."""

from __future__ import annotations

import gc
import io
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

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
def test_what_is_written_in_parts_is_read_back_from_every_format(write, read_back, tmp_path, name, size):
    write(tmp_path / name, *(TABLE.slice(start, size) for start in range(0, len(TABLE), size)))
    found = read_back(tmp_path / name)
    if "csv" in name or "tsv" in name:
        assert found.select(["id", "n", "b", "ünï"]).to_pylist() == as_text(TABLE.select(["id", "n", "b", "ünï"]))
        assert [v and float(v) for v in found.column("f").to_pylist()] == TABLE.column("f").to_pylist()
    else:
        assert found.to_pylist() == TABLE.to_pylist()
        assert found.schema.types == TABLE.schema.types


@pytest.mark.parametrize("name", NAMES)
def test_later_parts_may_have_their_columns_in_another_order(write, read_back, tmp_path, name):
    write(tmp_path / name, pa.table({"a": ["1"], "b": ["x"]}), pa.table({"b": ["y"], "a": ["2"]}))
    assert read_back(tmp_path / name).to_pydict() == {"a": ["1", "2"], "b": ["x", "y"]}


@pytest.mark.parametrize("name", ["a.csv", "a.tsv.gz", "a.parquet", "a.arrow"])
def test_later_parts_with_other_columns_are_refused_not_shifted(write, tmp_path, name):
    with pytest.raises(DataError) as caught:
        write(tmp_path / name, pa.table({"a": ["1"], "b": ["x"]}), pa.table({"b": ["y"], "c": ["2"]}))
    assert str(caught.value) == (
        "the inputs differ in the columns 'a', 'c'; give files of the same columns, or predict them one by one"
    )
    gc.collect(1)
    assert list(tmp_path.iterdir()) == []


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
    with pytest.raises(UsageError, match=f"^'{name}' is a (parquet|arrow) file that is compressed once more; "):
        output.output_format(name, forced)


def test_a_name_that_tells_no_format_is_answered_with_the_option_to_use(write, tmp_path):
    with pytest.raises(UsageError) as caught:
        write(tmp_path / "a.txt", TABLE)
    assert caught.value.hint == "name the format with --output-format"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("old", [None, OLD])
@pytest.mark.parametrize("parts", [0, 1, 3])
def test_an_error_on_the_way_leaves_nothing_and_keeps_the_old_file(write, tmp_path, capfd, *, name, old, parts):
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


def test_a_file_may_be_read_and_replaced_in_one_go(write, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x\n" + "1\n" * 10)
    with output.writer(str(path)) as table:
        for batch in tables.read(sources.resolve([str(path)]), batch_rows=3):
            table.write(batch.table)
    assert path.read_text() == "x\n" + "1\n" * 10


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device to try it on")
@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("n_rows", [1, 200_000])
def test_a_full_disk_is_named(write, capfd, form, n_rows):
    with pytest.raises(OutputError) as caught:
        write("/dev/full", pa.table({"x": range(n_rows)}), forced=form)
    assert str(caught.value) == (
        "'/dev/full' cannot be written (No space left on device); free some space, or choose another with --output"
    )
    gc.collect(1)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("form", Format)
def test_a_device_is_written_to_and_stays_a_device(write, form):
    write("/dev/null", TABLE, forced=form)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.parametrize("form", [None, *Format])
def test_standard_output_has_any_format_csv_by_default_and_stays_open(write, read_back, monkeypatch, tmp_path, form):
    stdout = replace_stdout(monkeypatch, io.BytesIO())
    write("-", TABLE, forced=form)
    assert not stdout.closed
    path = tmp_path / f"a.{form or 'csv'}"
    path.write_bytes(stdout.getvalue())
    assert read_back(path).num_rows == len(TABLE)
    if form is None:
        assert stdout.getvalue().startswith(b"id,n,f,b,")


def test_arrow_on_standard_output_is_a_stream_that_can_be_read_as_it_comes(write, monkeypatch):
    stdout = replace_stdout(monkeypatch, io.BytesIO())
    write("-", TABLE, TABLE, forced=Format.ARROW)
    stdout.seek(0)
    assert pa.ipc.open_stream(stdout).read_all().equals(pa.concat_tables([TABLE, TABLE]))


@pytest.mark.parametrize("form", Format)
def test_after_an_error_nothing_more_is_sent_to_standard_output(write, monkeypatch, form):
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
def test_a_reader_that_has_gone_is_no_error_of_the_output(write, monkeypatch, form):
    replace_stdout(monkeypatch, Failing(BrokenPipeError(32, "Broken pipe")))
    with pytest.raises(BrokenPipeError):
        write("-", TABLE, forced=form)


@pytest.mark.parametrize("form", Format)
def test_standard_output_on_a_full_disk_is_named(write, monkeypatch, form):
    replace_stdout(monkeypatch, Failing(OSError(28, "No space left on device")))
    with pytest.raises(OutputError) as caught:
        write("-", TABLE, forced=form)
    assert str(caught.value) == (
        "standard output cannot be written (No space left on device); free some space, or choose another with --output"
    )


def test_a_place_that_cannot_be_written_to_is_answered_with_the_option_to_use(write, tmp_path):
    with pytest.raises(OutputError) as caught:
        write(tmp_path / "no" / "a.csv", TABLE)
    assert str(caught.value) == (
        f"'{tmp_path / 'no' / 'a.csv'}' cannot be written (No such file or directory); "
        "create the directory first, or choose another with --output"
    )
