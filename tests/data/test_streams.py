"""Streams: standard input and pipes are recognised by what they begin with, and nothing of them is lost."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import threading
import zipfile

import pyarrow as pa
import pytest

from resmem_cli.data.sources import Format
from resmem_cli.errors import DataError

TABLE = pa.table({"n": [1, 2, 3, 4, 5, 6, 7], "word": ["a", "b", "ü", "漢", "e f", "g", "7"]})
TEXTS = [{name: str(value) for name, value in row.items()} for row in TABLE.to_pylist()]
EMPTY = "is empty; give a table with a header and at least one row"
DAMAGED = "; check that the file is complete and of this format"


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


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst", "a.parquet", "a.arrow", "a.ipc", "a.jsonl"])
@pytest.mark.parametrize("at_once", [1, 1 << 20])
def test_standard_input_is_recognised_and_read_like_the_file(stdin, read, values, as_bytes, *, name, at_once):
    stdin(Dribble(as_bytes(name, TABLE), at_once))
    batches = read("-")
    is_text = name.startswith("a.csv")
    assert values(batches) == (TEXTS if is_text else TABLE.to_pylist())
    assert [batch.is_text for batch in batches] == [is_text]
    assert batches[0].locate(2) == "standard input, row 3"


@pytest.mark.parametrize("start", ["", " ", "\n\n", "\ufeff"])
@pytest.mark.parametrize("line", ['{"a": 1}', '{ "a": 1}', '{   "a": 1}', '{\t"a":1}', '{}\n{"a": 1}'])
def test_json_lines_of_standard_input_are_recognised_however_they_are_spaced(stdin, read, values, *, start, line):
    stdin(f"{start}{line}\n")
    assert values(read("-"))[-1:] == [{"a": 1}]


@pytest.mark.parametrize("start", ["", "\ufeff", " "])
@pytest.mark.parametrize("text", ['[{"a": 1}]', '[ {"a": 1}]', '[\n  {"a": 1}\n]'])
def test_a_list_of_json_on_standard_input_is_refused_as_such(stdin, read, start, text):
    stdin(start + text)
    with pytest.raises(DataError, match="standard input, row 1 is not a line of JSON like those before it") as caught:
        read("-")
    assert caught.value.hint == "write one object per line, each column of one type"


@pytest.mark.parametrize("header", ["{a,b", "[a,b", "[,{", '"{a",b'])
def test_a_header_may_begin_with_brackets(stdin, read, header):
    stdin(f"{header}\n1,2\n")
    assert len(read("-")[0].table.column_names) == 2


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


def test_empty_standard_input_is_named(stdin, read):
    stdin(b"")
    with pytest.raises(DataError) as caught:
        read("-")
    assert str(caught.value) == f"standard input {EMPTY}"


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_a_named_pipe_is_recognised_and_read_like_the_file(tmp_path, read, values, as_bytes, name):
    path = tmp_path / "63"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(as_bytes(name, TABLE)))
    writer.start()
    found = values(read(str(path)))
    writer.join()
    assert found == (TEXTS if name.startswith("a.csv") else TABLE.to_pylist())


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
    ("name", "content", "sentence"),
    [
        pytest.param("a.csv.gz", b"", EMPTY, id="empty gzip"),
        pytest.param("a.csv.gz", gzip.compress(b""), EMPTY, id="gzip of nothing"),
        pytest.param(
            "a.csv.gz",
            b"a,b\n1,2\n",
            f"cannot be read (zlib inflate failed: incorrect header check){DAMAGED}",
            id="gzip",
        ),
        pytest.param(
            "a.csv.zst",
            b"a,b\n1,2\n",
            f"cannot be read (ZSTD decompress failed: Unknown frame descriptor){DAMAGED}",
            id="zstd",
        ),
    ],
)
def test_what_is_not_compressed_as_its_name_says_is_refused_in_one_sentence(file, read, name, content, sentence):
    path = file(name, content)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == f"{path} {sentence}"


def no_text(kind: str, as_bytes) -> bytes:
    """A table as the files that have a name for text, but are none."""
    text = as_bytes("a.csv", TABLE)
    if kind == "workbook":
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w") as archive:
            archive.writestr("[Content_Types].xml", text)
        return sink.getvalue()
    make = {"bzip2": bz2.compress, "xz": lzma.compress, "gzip": gzip.compress}.get(kind)
    return as_bytes({"zstd": "a.csv.zst"}.get(kind, f"a.{kind}"), TABLE) if make is None else make(text)


GIVE_ENDING = "; give its name the ending {}, or decompress it"


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("gzip", "compressed by gzip, and no text" + GIVE_ENDING.format(".gz")),
        ("zstd", "compressed by zstd, and no text" + GIVE_ENDING.format(".zst")),
        ("bzip2", "compressed by bzip2, and no text; decompress it"),
        ("xz", "compressed by xz, and no text; decompress it"),
        ("workbook", "a ZIP archive or a workbook, and no text; take the table out of it, or save it as CSV"),
        ("parquet", "a Parquet file, and no text; name the format with --input-format parquet"),
        ("arrow", "an Arrow file, and no text; name the format with --input-format arrow"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.csv.gz"])
def test_what_is_no_text_though_its_name_says_so_is_told_from_text(file, read, as_bytes, *, kind, sentence, name):
    """In cp1252 nearly all bytes are characters: what was refused was the encoding, or a row of nonsense."""
    data = no_text(kind, as_bytes)
    path = file(name, gzip.compress(data) if name.endswith(".gz") else data)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == f"{path} is {sentence}"


@pytest.mark.parametrize("header", ["PAR1,PAR2", "ARROW1,x", "BZh91,x", "PK,x"])
def test_a_header_that_begins_as_such_files_do_is_text(file, read, header):
    assert read(file("a.csv", f"{header}\n1,2\n"))[0].table.column_names == header.split(",")
