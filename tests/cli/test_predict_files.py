"""`predict --output-dir`: every input file into a file of the same name."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from resmem_cli.data import sources, tables
from resmem_cli.workflow.inputs import Input
from resmem_cli.workflow.predict import PredictOptions
from resmem_cli.workflow.predict_files import FilesOptions, predict_files
from tests.cli.conftest import Run, table, write_csv

Fails = Callable[..., None]
UNEXPECTED, USAGE, DATA, MODEL, PARTIAL = 1, 2, 3, 4, 6


def read(path: str) -> list[pa.Table]:
    """The tables of a file, one without rows too."""
    return [rows.table for rows in tables.read(sources.resolve([path]), may_be_empty=True)]


def write_as(rows: pa.Table, path: str) -> None:
    """Write a table without rows."""
    if path.endswith("parquet"):
        pq.write_table(rows, path)
    elif path.endswith("arrow"):
        pyarrow.feather.write_feather(rows, path)
    else:
        Path(path).write_text("\t".join(rows.column_names) + "\n" if path.endswith("tsv") else "")


@pytest.fixture
def inputs(model: Callable[..., Path], tmp_path: Path) -> list[str]:
    """Five files of eight rows, one of them in a folder of its own."""
    model()
    new = table("diamonds", "new")
    names = ["in/a.csv", "in/b.csv", "in/c.csv", "in/d.csv", "in/deep/a.csv"]
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for i, name in enumerate(names):
        write_csv(new.slice(8 * i, 8), tmp_path / name)
    return names


@pytest.mark.parametrize("threads", [1, 2])
def test_the_files_together_hold_what_one_output_holds(inputs: list[str], run: Run, threads: int) -> None:
    words = ("predict", *inputs, "--model", "m", "--threads", threads)
    whole = run(*words, "--quiet").out.splitlines()
    ended = run(*words, "--output-dir", "out")
    assert "predicted 40 rows of 5 files in" in ended.err
    assert ended.out == ""
    parts = [(Path("out") / name.removeprefix("in/")).read_text().splitlines() for name in inputs]
    assert [line for part in parts for line in part[1:]] == whole[1:]
    assert {part[0] for part in parts} == {whole[0]}


def test_another_format_is_another_ending(inputs: list[str], run: Run) -> None:
    assert run("predict", "in/*.csv", "--model", "m", "--output-dir", "out", "--output-format", "parquet").code == 0
    assert visible() == ["a.parquet", "b.parquet", "c.parquet", "d.parquet"]
    assert pq.read_table("out/a.parquet").num_rows == 8


RESUMED = ("predict", "in/*.csv", "--model", "m", "--output-dir", "out", "--resume")


def visible(folder: str = "out") -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir() if not path.name.startswith("."))


def changed(run: Run, *words: object) -> tuple[set[str], str]:
    """Run the job once more; return which outputs it made again, and what it said."""
    before = {path.name: path.stat().st_mtime_ns for path in Path("out").iterdir() if path.is_file()}
    ended = run(*RESUMED, *words)
    assert ended.code == 0
    after = {path.name: path.stat().st_mtime_ns for path in Path("out").iterdir() if path.is_file()}
    return {name for name, modified in after.items() if modified != before.get(name)}, ended.err


def test_what_was_made_of_the_same_is_kept_and_counted(inputs: list[str], run: Run) -> None:
    assert "predicted 32 rows of 4 files" in run(*RESUMED).err
    Path("out/b.csv").unlink()
    names, said = changed(run)
    assert names == {"b.csv"}
    assert said.endswith("; 3 files skipped, already up to date\n")
    later = time.time() + 10
    os.utime("in/c.csv", (later, later))  # nothing but its time
    os.utime("m/memory.json", (later, later))
    Path("out/a.csv").chmod(0o600)
    shutil.copytree("out", "moved")
    Path("out").rename("gone")
    Path("moved").rename("out")
    assert changed(run)[0] == set()


def test_an_input_that_is_replaced_by_an_older_file_is_predicted_again(inputs: list[str], run: Run) -> None:
    run(*RESUMED)
    old = Path("old.csv")
    old.write_bytes(Path("in/c.csv").read_bytes().replace(b"1", b"2"))
    os.utime(old, (1, 1))
    assert old.stat().st_size == Path("in/c.csv").stat().st_size
    os.replace(old, "in/c.csv")
    names, said = changed(run)
    assert names == {"c.csv"}
    assert "note: 1 output made again: another input 1\n" in said
    # In place, of the same size, and with the time it had.
    found = Path("in/a.csv").stat()
    Path("in/a.csv").write_bytes(Path("in/a.csv").read_bytes().replace(b"1", b"3"))
    os.utime("in/a.csv", ns=(found.st_atime_ns, found.st_mtime_ns))
    assert changed(run)[0] == {"a.csv"}


def test_other_options_another_model_and_outputs_that_were_changed_are_made_again(
    inputs: list[str], run: Run, model: Callable[..., Path]
) -> None:
    run(*RESUMED)
    every = {"a.csv", "b.csv", "c.csv", "d.csv"}
    names, said = changed(run, "--keep", "none")
    assert names == every
    assert "4 outputs made again: other options 4" in said
    assert changed(run, "--keep", "none", "--threads", 2, "--batch-rows", 3)[0] == set()  # which change nothing
    with open("out/d.csv", "a") as stream:
        stream.write("by hand\n")
    names, said = changed(run, "--keep", "none")
    assert names == {"d.csv"}
    assert "a changed output 1" in said
    shutil.copytree("m", "copied")
    words = [word if word != "m" else "copied" for word in RESUMED]
    assert "predicted 0 rows of 0 files" in run(*words, "--keep", "none").err  # a copy is the same model
    assert run("forget", "--ids", "d00003", "--model", "m", "--quiet").code == 0
    names, said = changed(run, "--keep", "none")
    assert names == every
    assert "another model 4" in said


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b"\xff", b'{"format": 1, "output": {"size": 1}}'])
def test_an_output_whose_marker_is_damaged_or_missing_is_made_again(inputs: list[str], run: Run, damage: bytes) -> None:
    run(*RESUMED)
    Path("out/.resmem/a.csv.json").write_bytes(damage)
    Path("out/.resmem/b.csv.json").unlink()
    assert changed(run)[0] == {"a.csv", "b.csv"}
    assert changed(run)[0] == set()


def test_a_night_with_bad_files_and_the_next_one(inputs: list[str], run: Run) -> None:
    """A hundred files, five of them bad: 95 outputs, 5 named. The next night 3 more: 8 files are done."""
    header, *lines = Path("in/a.csv").read_text().splitlines(keepends=True)
    for path in Path("in").glob("*.csv"):
        path.unlink()
    for i in range(100):
        Path(f"in/{i:03}.csv").write_text(header + "".join(lines[: 1 + i % 8]))
    bad = {
        "in/007.csv": "id,carat\nd1,2\n",
        "in/013.csv": "",
        "in/050.csv": header + lines[0].replace(",", ",x", 2),
        "in/051.csv": header + "1,2\n",
        "in/099.csv": header.replace("carat", "cut") + lines[0],
    }
    for name, content in bad.items():
        Path(name).write_text(content)
    words = (*RESUMED, "--keep-going", "--failures", "failed.jsonl")
    ended = run(*words, "--json", "--metrics", "job.prom")
    assert ended.code == PARTIAL
    assert len(visible()) == 95
    failed = [json.loads(line) for line in Path("failed.jsonl").read_text().splitlines()]
    assert [each["input"] for each in failed] == sorted(bad)
    assert [each["output"] for each in failed] == [name.replace("in/", "out/") for name in sorted(bad)]
    assert failed[1]["error"] == "in/013.csv is empty"
    assert failed[1]["hint"] == "give a table with a header and at least one row"
    assert ended.err.endswith(
        "resmem: 5 of 100 files could not be predicted; 'failed.jsonl' lists them; correct them and run again with "
        "--resume\n"
    )
    assert "failed: in/013.csv is empty; give a table with a header and at least one row\n" in ended.err
    said = json.loads(ended.out)
    assert (said["files"], said["skipped_files"], said["failed_files"]) == (95, 0, 5)
    assert said["failures"] == failed
    assert 'resmem_predict_files{state="failed"} 5\n' in Path("job.prom").read_text()
    for name in bad:
        Path(name).write_text(header + lines[0])
    for i in range(100, 103):
        Path(f"in/{i}.csv").write_text(header + lines[0])
    ended = run(*words)
    assert ended.code == 0
    assert "predicted 8 rows of 8 files" in ended.err
    assert ended.err.endswith("; 95 files skipped, already up to date\n")
    assert len(visible()) == 103
    assert Path("failed.jsonl").read_text() == ""


def test_without_keep_going_the_sentence_says_how_many_are_done(inputs: list[str], run: Run) -> None:
    Path("in/c.csv").write_text("id,carat\nd1,2\n")
    ended = run(*RESUMED, "--threads", 1)
    assert ended.code == DATA
    assert ended.err.endswith(
        "; 2 of 4 files are done, and stay: --resume does the others, --keep-going leaves out those that cannot be "
        "predicted\n"
    )


def test_a_word_that_names_no_file_is_a_failure_too(inputs: list[str], run: Run) -> None:
    words = ("predict", "in/a.csv", "in/none.csv", "in/x.docx", "--model", "m", "--output-dir", "out", "--keep-going")
    Path("in/x.docx").write_text("a")
    ended = run(*words)
    assert ended.code == PARTIAL
    assert visible() == ["a.csv"]
    assert "failed: there is no file 'in/none.csv'; check the path and the current directory\n" in ended.err
    assert "failed: the format of 'in/x.docx' is not recognised" in ended.err
    assert "2 of 3 files could not be predicted; --failures FILE lists them" in ended.err


def test_a_file_of_no_format_or_a_folder_among_those_of_a_glob_is_a_failure_of_its_own(
    inputs: list[str], run: Run
) -> None:
    Path("in/notes.docx").write_text("a")
    ended = run("predict", "in/*", "--model", "m", "--output-dir", "out", "--keep-going", "--failures", "f.jsonl")
    assert ended.code == PARTIAL
    assert visible() == ["a.csv", "b.csv", "c.csv", "d.csv"]
    failed = [json.loads(line) for line in Path("f.jsonl").read_text().splitlines()]
    assert [(each["input"], each["output"]) for each in failed] == [("in/deep", None), ("in/notes.docx", None)]
    assert failed[0]["error"] == "the directory 'in/deep' contains no Parquet file"


def test_what_holds_for_all_files_stops_at_once(inputs: list[str], run: Run) -> None:
    ended = run("predict", "in/*.csv", "--model", "absent", "--output-dir", "out", "--keep-going")
    assert ended.code == MODEL
    Path("out").write_text("in the way")
    ended = run(*RESUMED, "--keep-going")
    assert ended.code == UNEXPECTED
    assert (
        ended.err
        == "resmem: 'out' cannot be written (File exists); check the path, or choose another with --output-dir\n"
    )
    assert Path("out").read_text() == "in the way"


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet", "arrow"])
def test_no_rows_in_are_no_rows_out(inputs: list[str], run: Run, ending: str) -> None:
    words = ("--model", "m", "--quiet")
    full = run("predict", "in/a.csv", *words, "--output", f"full.{ending}")
    assert full.code == 0
    header = Path("in/a.csv").read_text().splitlines(keepends=True)[0]
    Path("in/b.csv").write_text(header)
    assert run("predict", "in/b.csv", *words, "--output", f"none.{ending}").code == 0
    if ending != "jsonl":  # in which no line names a column
        (none,), (some,) = (read(f"{name}.{ending}") for name in ("none", "full"))
        assert none.num_rows == 0
        assert none.column_names == some.column_names
    if ending in ("parquet", "arrow"):
        assert none.schema.field("prediction").type == pa.float64()
    assert run(*RESUMED).code == 0
    assert visible() == ["a.csv", "b.csv", "c.csv", "d.csv"]
    assert Path("out/b.csv").read_text().rstrip() == header.rstrip() + ",prediction,prediction_base"


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "arrow", "tsv"])
def test_typed_inputs_without_rows_are_predicted_too(inputs: list[str], run: Run, ending: str) -> None:
    rows = table("diamonds", "new").slice(0, 0)
    write_as(rows, f"none.{ending}")
    extra = ("--support",) if ending == "parquet" else ()
    ended = run("predict", f"none.{ending}", "--model", "m", "--output", "out.csv", *extra)
    assert ended.code == 0
    assert "predicted 0 rows" in ended.err
    lines = Path("out.csv").read_text().splitlines()
    assert len(lines) == 1
    assert "carat" in lines[0]
    assert "prediction" in lines[0]


def test_a_model_of_classes_predicts_no_rows_too(run: Run, tmp_path: Path) -> None:
    Path("t.csv").write_text("a,y\n" + "".join(f"{i},{'uv'[i % 2]}\n" for i in range(60)))
    Path("none.csv").write_text("a\n")
    assert run("fit-base", "t.csv", "--target", "y", "--model", "c", "--estimator", "linear", "--quiet").code == 0
    words = ("--representation", "features", "--effort", "quick", "--quiet")
    assert run("fit-residual", "t.csv", "--model", "c", *words).code == 0
    words = ("--interval", "0.5", "--probabilities", "--output", "out.parquet")
    assert run("predict", "none.csv", "--model", "c", *words).code == 0
    (found,) = read("out.parquet")
    assert (found.num_rows, found.schema.field("prediction").type) == (0, pa.string())
    assert found.schema.field("prediction_set").type == pa.string()


def test_inputs_of_which_one_has_rows_are_written_as_before(inputs: list[str], run: Run) -> None:
    header = Path("in/a.csv").read_text().splitlines(keepends=True)[0]
    Path("in/b.csv").write_text(header)
    found = run("predict", "in/b.csv", "in/a.csv", "in/b.csv", "--model", "m", "--quiet").out
    assert found == run("predict", "in/a.csv", "--model", "m", "--quiet").out


def test_a_file_without_a_header_stays_an_error_and_fitting_wants_rows(inputs: list[str], fails: Fails) -> None:
    Path("in/b.csv").write_text("")
    sentence = "in/b.csv is empty; give a table with a header and at least one row"
    fails(DATA, sentence, "predict", "in/b.csv", "--model", "m")
    Path("in/b.csv").write_text("id,carat,price\n")
    sentence = "in/b.csv has a header but no rows; give a file with at least one row"
    fails(DATA, sentence, "fit-base", "in/b.csv", "--target", "price", "--model", "x")
    fails(DATA, sentence, "evaluate", "in/b.csv", "--model", "m")


def test_options_of_jobs_need_a_directory_of_outputs(inputs: list[str], fails: Fails) -> None:
    words = ("predict", "in/a.csv", "--model", "m")
    for option, needed, value in (
        ("--keep-going", "--output-dir", ()),
        ("--failures", "--keep-going", ("x.jsonl",)),
        ("--json", "--output or --output-dir", ()),
    ):
        sentence = f"Invalid value for '{option}': it needs {needed}; see resmem predict --help"
        fails(USAGE, sentence, *words, option, *value)


def test_a_monitor_is_told_distances_and_widths(inputs: list[str], run: Run) -> None:
    fit = ("--folds", 2, "--neighbors", 6, "--bandwidth", 0.4, "--shrinkage", 0.8, "--representation", "features")
    assert run("fit-residual", "train.csv", "--model", "m", *fit, "--quiet").code == 0
    words = ("predict", "in/*.csv", "--model", "m", "--support", "--interval", "0.9")
    said = json.loads(run(*words, "--output", "whole.csv", "--json", "--quiet").out)
    (whole,) = read("whole.csv")
    assert said["rows"] == whole.num_rows == 32
    assert (said["missing_values"], said["unknown_categories"], said["not_finite"]) == ({}, {}, 0)
    widths = np.subtract(*(whole[name].to_numpy().astype(float) for name in ("upper", "lower")))
    distances = whole["distance_percentile"].to_numpy().astype(float)
    for found, values in ((said["interval_width"], widths), (said["distance_percentile"], distances)):
        assert found["mean"] == pytest.approx(values.mean())
        for level in (50, 90, 99):
            wanted = np.percentile(values, level, method="inverted_cdf")
            assert found[f"p{level}"] == pytest.approx(wanted, rel=0.0101)
    by_file = json.loads(run(*words, "--output-dir", "out", "--json", "--threads", 2).out)
    for name in ("rows", "interval_width", "distance_percentile", "model"):
        assert by_file[name] == pytest.approx(said[name]) if name != "model" else by_file[name] == said[name]
    plain = json.loads(run(*words[:4], "--output", "x.csv", "--json").out)
    assert plain["interval_width"] is plain["distance_percentile"] is None


def test_json_is_whole_however_long_it_is(inputs: list[str], run: Run) -> None:
    name = "a" * 210
    for i in range(30):
        Path(f"in/{name}{i}.csv").write_text("id,carat\nd1,2\n")
    ended = run("predict", "in/*.csv", "--model", "m", "--output-dir", "out", "--keep-going", "--json", "--quiet")
    failed = json.loads(ended.out)["failures"]
    assert sorted(each["input"] for each in failed) == sorted(f"in/{name}{i}.csv" for i in range(30))


def test_metrics_are_in_prometheus_text_format(inputs: list[str], run: Run) -> None:
    row = Path("in/a.csv").read_text().splitlines()
    Path("in/a.csv").write_text("\n".join([row[0], *(line.replace("Ideal", 'a "new"') for line in row[1:]), ""]))
    run("predict", "in/a.csv", "--model", "m", "--output", "x.csv", "--metrics", "job.prom", "--quiet")
    lines = Path("job.prom").read_text().splitlines()
    assert "resmem_predict_rows 8" in lines
    pattern = re.compile(r'resmem_predict_[a-z_]+(\{[a-z]+="([^"\\]|\\.)*"\})? [0-9.e+-]+')
    for line in lines:
        assert pattern.fullmatch(line) or re.fullmatch(r"# (HELP|TYPE) resmem_predict_[a-z_]+ .+", line), line
    declared = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len({*declared}) == len(declared)
    assert {re.split(r"[{ ]", line)[0] for line in lines if not line.startswith("#")} == {*declared}


def test_a_file_that_is_wrong_leaves_those_before_it(inputs: list[str], run: Run) -> None:
    Path("in/c.csv").write_text("id,carat\nd1,2\n")
    ended = run("predict", "in/*.csv", "--model", "m", "--output-dir", "out", "--threads", 1)
    assert ended.err.startswith("resmem: in/c.csv lacks the columns 'cut'")
    assert visible() == ["a.csv", "b.csv"]


def test_nothing_of_the_users_is_replaced(inputs: list[str], fails: Fails) -> None:
    sentence = "the input 'in/a.csv' would be replaced by its output; name another --output-dir"
    fails(USAGE, sentence, "predict", "in/a.csv", "--model", "m", "--output-dir", "in")
    words = ("--model", "m", "--output-dir", "out")
    fails(
        USAGE, "two inputs would be written to 'out/a.csv'; name each file once", "predict", *["in/a.csv"] * 2, *words
    )
    fails(
        USAGE,
        "standard input has no file name to use in --output-dir; name files, or use --output",
        "predict",
        "-",
        *words,
    )
    said = "Invalid value for '--output-dir': --output and --output-dir exclude each other; see resmem predict --help"
    fails(USAGE, said, "predict", "in/a.csv", *words, "--output", "x.csv")
    said = "Invalid value for '--resume': it needs --output-dir; see resmem predict --help"
    fails(USAGE, said, "predict", "in/a.csv", "--model", "m", "--resume")


@pytest.mark.parametrize("name", ["o.csv", "./o.csv", "sub/../o.csv", "link.csv", "{cwd}/o.csv", "file://{cwd}/o.csv"])
def test_two_options_do_not_write_one_file(inputs: list[str], fails: Fails, tmp_path: Path, name: str) -> None:
    Path("sub").mkdir()
    Path("link.csv").symlink_to("o.csv")
    other = name.format(cwd=tmp_path)
    shown = {"./o.csv": "o.csv"}.get(other, other.removeprefix("file://"))
    words = ("predict", "in/a.csv", "--model", "absent", "--metrics", other)
    fails(USAGE, f"--metrics and --output both write '{shown}'; name another --metrics", *words, "--output", "o.csv")
    words = (*words, "--output-dir", "out", "--keep-going", "--failures", "o.csv")
    fails(USAGE, f"--metrics and --failures both write '{shown}'; name another --metrics", *words)


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("option", ["--metrics", "--failures"])
def test_no_option_writes_what_a_directory_of_outputs_gets(
    inputs: list[str], fails: Fails, option: str, *, is_there: bool
) -> None:
    if is_there:
        Path("out/.resmem/deep").mkdir(parents=True)
        Path("out/a.csv").symlink_to("../elsewhere")
    words = ("predict", *inputs, "in/none.csv", "--model", "absent", "--output-dir", "out", "--keep-going", option)
    names = [
        "out",
        "out/b.csv",
        "out/deep",
        "out/deep/a.csv",
        "out/.resmem",
        "out/.resmem/deep/a.csv.json",
        "out/./a.csv",
    ]
    for name in [*names, *["elsewhere"] * is_there]:
        shown = name.replace("/./", "/")
        fails(USAGE, f"{option} and --output-dir both write '{shown}'; name another {option}", *words, name)


def test_two_outputs_are_not_written_through_a_link_to_one(inputs: list[str], fails: Fails) -> None:
    Path("out").mkdir()
    Path("out/a.csv").symlink_to("b.csv")
    sentence = "two inputs would be written to 'out/a.csv'; remove the link that leads from it to another"
    fails(USAGE, sentence, "predict", "in/a.csv", "in/b.csv", "--model", "m", "--output-dir", "out")


@pytest.mark.parametrize("option", ["--metrics", "--failures"])
@pytest.mark.parametrize("named", ["in/*", "in/x.docx"])
def test_an_input_is_not_replaced_though_it_cannot_be_read(
    inputs: list[str], fails: Fails, option: str, named: str
) -> None:
    Path("in/x.docx").write_text("a")
    words = ("predict", "in/deep/a.csv", named, "--model", "m", "--output-dir", "out", "--keep-going", option)
    for name in ("in/deep/a.csv", "in/x.docx"):
        fails(USAGE, f"the input '{name}' would be replaced by the output; name another {option}", *words, name)


def test_devices_may_be_named_twice(inputs: list[str], run: Run) -> None:
    words = ("predict", "in/a.csv", "--model", "m", "--quiet")
    assert run(*words, "--output", "/dev/null", "--metrics", "/dev/null").code == 0
    words = (*words, "in/x.csv", "--output-dir", "out", "--keep-going")
    assert run(*words, "--failures", "/dev/null", "--metrics", "/dev/null").code == PARTIAL
    Path("out/a.csv").unlink()
    Path("out/a.csv").symlink_to("/dev/null")
    Path("out/b.csv").symlink_to("/dev/null")
    assert run(*words, "in/b.csv", "--failures", "/dev/null", "--metrics", "/dev/null").code == PARTIAL


@pytest.mark.parametrize("shell_gives", ["| cat", "> all.txt; cat all.txt"])
def test_what_two_options_write_to_standard_output_is_all_there(
    inputs: list[str], shell: Callable[[str], subprocess.CompletedProcess[str]], shell_gives: str
) -> None:
    line = "resmem predict in/a.csv --model m --quiet --output /dev/stdout --metrics /dev/stdout"
    done = shell(f"{line} {shell_gives}")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[:1] == [Path("in/a.csv").read_text().splitlines()[0] + ",prediction,prediction_base"]
    assert lines[9].startswith("# HELP resmem_predict_rows ")
    done = shell(f"{line.replace('/dev/stdout', 'o.csv', 1)} > o.csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "resmem: --metrics and --output both write '/dev/stdout'; name another --metrics\n"


def test_figures_may_go_to_standard_output_if_nothing_else_does(inputs: list[str], run: Run) -> None:
    words = ("predict", "in/a.csv", "--model", "m", "--quiet")
    for where in (("--output", "o.csv"), ("--output-dir", "out")):
        ended = run(*words, *where, "--metrics", "-")
        assert (ended.code, ended.err) == (0, "")
        assert "resmem_predict_rows 8" in ended.out.splitlines()
    Path("in/c.csv").write_text("id,carat\nd1,2\n")
    words = ("predict", "in/a.csv", "in/c.csv", "--model", "m", "--output-dir", "out", "--keep-going", "--quiet")
    ended = run(*words, "--failures", "-")
    assert ended.code == PARTIAL
    assert [json.loads(line)["input"] for line in ended.out.splitlines()] == ["in/c.csv"]
    assert ended.lines[-1] == (
        "resmem: 1 of 2 files could not be predicted; standard output lists them; correct them and run again with "
        "--resume"
    )
    assert not Path("-").exists()


def test_two_options_do_not_write_to_standard_output(inputs: list[str], fails: Fails) -> None:
    words = ("predict", "in/a.csv", "--model", "absent", "--metrics", "-")
    both = "both write to standard output; name a file with"
    fails(USAGE, f"--output and --metrics {both} --metrics", *words)
    fails(USAGE, f"--json and --metrics {both} --metrics", *words, "--output", "o.csv", "--json")
    words = (*words, "--output-dir", "out", "--keep-going", "--failures")
    fails(USAGE, f"--failures and --metrics {both} --metrics", *words, "-")
    fails(USAGE, f"--json and --metrics {both} --metrics", *words, "f.jsonl", "--json")


def test_who_does_not_read_the_failures_still_gets_the_code(
    inputs: list[str], shell: Callable[[str], subprocess.CompletedProcess[str]]
) -> None:
    Path("in/c.csv").write_text("id,carat\nd1,2\n")
    line = "resmem predict in/*.csv --model m --quiet --output-dir out --keep-going --failures -"
    done = shell(f"({line}; echo $? >&2) | true")
    assert done.stderr.splitlines()[-1] == str(PARTIAL)


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "in/a.csv", "--model", "m", "--output-dir", "-"),
        ("fit-base", "in/a.csv", "--target", "price", "--model", "-"),
        ("fit-residual", "in/a.csv", "-m", "-"),
        ("distill", "in/a.csv", "--model", "m", "--student", "-"),
        ("remember", "in/a.csv", "--model", "-"),
        ("undo", "--model", "-"),
    ],
)
def test_a_directory_is_no_stream(inputs: list[str], fails: Fails, words: tuple[str, ...]) -> None:
    said = "'-' is standard output, and a directory is needed; name one, such as ./- if it has that name"
    fails(USAGE, said, *words)


def test_a_directory_of_parquet_keeps_its_folders(inputs: list[str], run: Run) -> None:
    new = table("diamonds", "new")
    for name, start in (("day=1", 0), ("day=2", 8)):
        (Path("days") / name).mkdir(parents=True)
        pq.write_table(pa.table(new.slice(start, 8)), Path("days") / name / "part.parquet")
    assert run("predict", "days", "--model", "m", "--output-dir", "out").code == 0
    assert [pq.read_table(Path("out") / name / "part.parquet").num_rows for name in ("day=1", "day=2")] == [8, 8]


def test_a_log_says_files_rows_the_rate_and_what_is_left_of_the_bytes(inputs: list[str], tmp_path: Path) -> None:
    said: list[tuple[str, float | None]] = []
    Path("in/c.csv").write_text("id,carat\nd1,2\n")
    files = FilesOptions(Path("out"), keep_going=True)
    predict_files(
        Input(("in/*.csv",)),
        Path("m"),
        PredictOptions(threads=1),
        files,
        lambda what, /, share=None: said.append((what, share)),
    )
    what, share = said[-1]
    assert re.fullmatch(r"3 of 4 files, 1 failed, 24 rows \([\d,]+ rows/s\), last 'in/d\.csv'", what)
    assert share == 1
    shares = [each for _, each in said if each is not None]
    assert shares == sorted(shares)
    assert len({*shares}) == 5  # none of four files, and after each
