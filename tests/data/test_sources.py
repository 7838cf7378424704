"""What words on a command line name: files, folders, globs, pipes and standard input."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resmem_cli.data.sources import Format, Source, format_of, resolve
from resmem_cli.errors import DataError, UsageError

ENDINGS = ".arrow, .csv, .feather, .ipc, .jsonl, .ndjson, .parquet, .pq, .tab, .tsv"


@pytest.mark.parametrize(
    ("name", "form", "compression"),
    [
        ("a.csv", Format.CSV, None),
        ("a.CSV", Format.CSV, None),
        ("a.csv.gz", Format.CSV, "gzip"),
        ("a.csv.GZ", Format.CSV, "gzip"),
        ("a.csv.zst", Format.CSV, "zstd"),
        ("a.tsv", Format.TSV, None),
        ("a.tab", Format.TSV, None),
        ("a.tsv.gz", Format.TSV, "gzip"),
        ("a.parquet", Format.PARQUET, None),
        ("a.pq", Format.PARQUET, None),
        ("a.arrow", Format.ARROW, None),
        ("a.feather", Format.ARROW, None),
        ("a.ipc", Format.ARROW, None),
        ("a.jsonl", Format.JSONL, None),
        ("a.ndjson", Format.JSONL, None),
        ("a.jsonl.gz", Format.JSONL, "gzip"),
        ("2024.01.parquet.csv", Format.CSV, None),
    ],
)
def test_the_name_of_a_file_tells_its_format_and_compression(name, form, compression):
    assert format_of(Path(name), hint="") == (form, compression)


@pytest.mark.parametrize("name", ["a", "a.txt", "a.gz", "a.csv.bz2", "csv", ".csv"])
def test_a_name_that_tells_no_format_is_refused_with_the_known_endings(name):
    with pytest.raises(UsageError) as caught:
        format_of(Path(name), hint="name it")
    assert str(caught.value) == (
        f"the format of '{name}' is not recognised by its name (known endings: {ENDINGS}); name it"
    )


@pytest.mark.parametrize(("name", "form"), [("a.parquet.gz", "parquet"), ("a.feather.zst", "arrow")])
def test_a_format_that_compresses_itself_is_not_compressed_again(name, form):
    sentence = (
        f"'{name}' is a {form} file that is compressed once more; decompress it: {form} files have a compression of "
        "their own"
    )
    with pytest.raises(UsageError, match=re.escape(sentence)):
        format_of(Path(name), hint="")


def test_text_formats_are_those_without_types():
    assert [form for form in Format if form.is_text] == [Format.CSV, Format.TSV]


def test_a_file_is_one_source_with_its_path_as_name(file):
    path = file("a.csv.gz", b"")
    assert resolve([path]) == [Source(Path(path), Format.CSV, "gzip")]
    assert resolve([path])[0].name == path


def test_a_forced_format_replaces_the_one_that_the_name_tells(file):
    path = file("export.txt.gz", b"")
    assert resolve([path], Format.TSV) == [Source(Path(path), Format.TSV, "gzip")]


def test_a_forced_format_does_not_take_a_second_compression_either(file):
    path = file("a.gz", b"")
    with pytest.raises(UsageError, match=re.escape(f"'{path}' is a parquet file that is compressed once more")):
        resolve([path], Format.PARQUET)


def test_an_unknown_ending_of_an_input_is_answered_with_the_option_to_use(file):
    path = file("a.txt", "a\n1\n")
    with pytest.raises(UsageError) as caught:
        resolve([path])
    assert caught.value.hint == "name the format with --input-format"


def test_words_are_resolved_in_their_order(file):
    paths = [file("b.csv", ""), file("a.csv", "")]
    assert [source.name for source in resolve([paths[0], "-", paths[1]])] == [paths[0], "standard input", paths[1]]


def test_standard_input_has_no_format_until_it_is_read():
    assert resolve(["-"]) == [Source(None, None)]
    assert resolve(["-"], Format.JSONL) == [Source(None, Format.JSONL)]


def test_standard_input_cannot_be_named_twice():
    with pytest.raises(UsageError) as caught:
        resolve(["-", "-"])
    assert str(caught.value) == "standard input ('-') is named twice; name it once"


def test_a_missing_file_is_named(tmp_path):
    path = str(tmp_path / "no.csv")
    with pytest.raises(DataError) as caught:
        resolve([path])
    assert str(caught.value) == f"there is no file '{path}'; check the path and the current directory"


def test_a_name_that_the_system_refuses_is_an_error_of_the_data():
    name = "x" * 300 + ".csv"
    with pytest.raises(DataError) as caught:
        resolve([name])
    assert str(caught.value) == (
        f"'{name}' cannot be searched for (File name too long); check the path and its permissions"
    )


def test_a_directory_stands_for_the_parquet_files_below_it_in_order(file, tmp_path):
    expected = [
        file(name, b"") for name in ("d/a.parquet", "d/b.pq", "d/day=1/part-0.parquet", "d/day=2/part-0.PARQUET")
    ]
    file("d/readme.txt", b"")
    file("d/c.csv", b"")
    (tmp_path / "d" / "folder.parquet").mkdir()
    assert [source.name for source in resolve([str(tmp_path / "d")])] == expected


@pytest.mark.parametrize(
    "aside", ["d/_temporary/0/part.parquet", "d/.hidden.parquet", "d/._a.parquet", "d/.ipynb_checkpoints/a.parquet"]
)
def test_files_that_writers_and_editors_keep_aside_are_no_part_of_a_directory(file, tmp_path, aside):
    kept = file("d/a.parquet", b"")
    file(aside, b"")
    assert [source.name for source in resolve([str(tmp_path / "d")])] == [kept]


def test_a_directory_below_a_hidden_one_is_read(file, tmp_path):
    kept = file(".cache/d/a.parquet", b"")
    assert [source.name for source in resolve([str(tmp_path / ".cache" / "d")])] == [kept]


def test_a_directory_without_parquet_is_refused(file, tmp_path):
    file("d/a.csv", "a\n1\n")
    with pytest.raises(DataError) as caught:
        resolve([str(tmp_path / "d")])
    assert str(caught.value) == (
        f"the directory '{tmp_path / 'd'}' contains no Parquet file; name the files themselves, or quote a glob"
    )


@pytest.mark.parametrize("pattern", ["*.csv", "?.csv", "[ab].csv", "**/*.csv"])
def test_a_glob_stands_for_its_matches_in_order(file, tmp_path, pattern):
    expected = [file("a.csv", ""), file("b.csv", "")]
    assert [source.name for source in resolve([str(tmp_path / pattern)])] == expected


def test_a_glob_that_matches_folders_stands_for_the_parquet_files_below_them(file, tmp_path):
    expected = [file("day=1/p.parquet", b""), file("day=2/p.parquet", b"")]
    assert [source.name for source in resolve([str(tmp_path / "day=*")])] == expected


def test_a_glob_that_matches_nothing_is_refused(tmp_path):
    pattern = str(tmp_path / "*.csv")
    with pytest.raises(DataError) as caught:
        resolve([pattern])
    assert str(caught.value) == f"no file matches '{pattern}'; check the pattern and the current directory"


def test_a_file_whose_name_looks_like_a_glob_is_a_file(file):
    path = file("a[1].csv", "")
    assert [source.name for source in resolve([path])] == [path]


def test_a_pipe_needs_no_ending(tmp_path):
    path = tmp_path / "63"
    os.mkfifo(path)
    assert resolve([str(path)]) == [Source(path, None)]


def test_nothing_that_does_not_exist_hides_behind_one_that_does(file, tmp_path):
    good = file("a.parquet", pa.table({"a": [1]}))
    with pytest.raises(DataError, match=re.escape(f"there is no file '{tmp_path / 'b.parquet'}'")):
        resolve([good, str(tmp_path / "b.parquet")])


def test_folders_that_name_columns_are_told_apart_from_others(tmp_path):
    for name in ("year=2026/month=11", "year=2026/a%2Fb=c%20d", "=x/plain"):
        (tmp_path / name).mkdir(parents=True)
        pq.write_table(pa.table({"x": [1]}), tmp_path / name / "a=b.parquet")
    found = [source.partitions.below for source in resolve([str(tmp_path)])]
    assert found == [{}, {"year": "2026", "a/b": "c d"}, {"year": "2026", "month": "11"}]


@pytest.mark.parametrize(
    ("word", "above", "below"),
    [
        ("year=2026", {"year": "2026"}, {"month": "11"}),
        ("year=2026/month=11/rows.parquet", {"year": "2026", "month": "11"}, {}),
        ("year=2026/*/rows.parquet", {"year": "2026"}, {"month": "11"}),
        ("*/month=11", {}, {"year": "2026", "month": "11"}),
        ("year=*", {}, {"year": "2026", "month": "11"}),
    ],
)
def test_folders_above_and_below_what_is_named_are_told_apart(tmp_path, monkeypatch, word, above, below):
    monkeypatch.chdir(tmp_path)
    Path("year=2026/month=11").mkdir(parents=True)
    pq.write_table(pa.table({"x": [1]}), "year=2026/month=11/rows.parquet")
    (source,) = resolve([word])
    assert (source.partitions.above, source.partitions.below) == (above, below)
    assert source.partitions.columns(["month"]) == {"month": "11", **below}
