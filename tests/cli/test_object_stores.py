"""Commands whose inputs, outputs and models lie in an object store: the same results as with files, whatever fails."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import resmem_cli
from resmem_cli.data import object_stores
from resmem_cli.workflow.scoring import ScoreOptions
from tests.cli.conftest import PROGRAM, Run, snapshot, table, write_csv
from tests.s3_server import Bucket

UNEXPECTED, USAGE, DATA, MODEL, PARTIAL, INTERRUPTED, TERMINATED = 1, 2, 3, 4, 6, 130, 143
DENIED = (
    "access denied); check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials, or end the URI with "
    "?anonymous=true if the bucket is public"
)
FEW = (
    "--folds",
    0,
    "--neighbors",
    6,
    "--bandwidth",
    0.3,
    "--shrinkage",
    1,
    "--temperature",
    1,
    "--representation",
    "features",
)


@pytest.fixture
def stored(model: Callable[..., Path], bucket: Bucket) -> Bucket:
    """A bucket with a model and rows, which are here, too."""
    bucket.put("m", model())
    for split in ("train", "test", "new"):
        bucket.put(f"{split}.csv", Path(f"{split}.csv"))
    bucket.server.order()
    return bucket


@pytest.mark.parametrize("fail_every", [0, 10])
def test_the_whole_chain_gives_in_a_store_what_it_gives_with_files(
    stored: Bucket, run: Run, fail_every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    stored.server.order(fail_every=fail_every)

    def chain(where: Callable[[str], str], name: str) -> list[str]:
        said = []
        for words in (
            ("fit-base", where("train.csv"), "--target", "price", "--id", "id", "--estimator", "linear"),
            ("fit-residual", where("train.csv"), *FEW),
            ("predict", where("new.csv"), "--output", where(f"out/{name}.csv")),
            ("evaluate", where("test.csv")),
        ):
            ended = run(*words, "--model", name, "--quiet")
            assert (ended.code, ended.err) == (0, "")
            said.append(ended.out)
        return said

    Path("out").mkdir()
    assert chain(stored.uri, "there") == chain(str, "here")
    assert (stored.server.said()["failed"] > 0) == (fail_every > 0)
    stored.server.order()
    assert stored.get("out/there.csv") == Path("out/here.csv").read_bytes()
    assert snapshot(Path("there")) == snapshot(Path("here"))


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "new.csv"),
        ("predict", "new.csv", "--support", "--interval", 0.8),
        ("evaluate", "test.csv"),
        ("evaluate", "test.csv", "--by", "cut"),
        ("explain", "new.csv"),
        ("inspect",),
        ("verify",),
        ("history",),
        ("inspect", "--json"),
    ],
)
def test_a_command_that_reads_a_model_reads_it_from_a_store(
    stored: Bucket, run: Run, words: tuple[object, ...]
) -> None:
    here, there = run(*words, "--model", "m"), run(*words, "--model", stored.uri("m"))
    assert (there.code, there.out) == (here.code, here.out)
    assert re.sub(r" in .*", "", there.err) == re.sub(r" in .*", "", here.err)


def test_models_of_a_store_and_of_a_directory_are_compared(stored: Bucket, run: Run) -> None:
    ended = run("compare", stored.uri("m"), "m", "test.csv", "--json")
    said = json.loads(ended.out)
    assert (ended.code, said["a"], said["b"]) == (0, stored.uri("m"), "m")
    assert said["verdict"] == "The two models predict the same."


def test_a_model_of_a_store_is_distilled_into_a_directory(stored: Bucket, run: Run) -> None:
    for name, model in (("here", "m"), ("there", stored.uri("m"))):
        words = ("distill", "train.csv", "--model", model, "--student", name, "--estimator", "linear")
        assert run(*words, "--quiet").code == 0
    here, there = ({**snapshot(Path(name, "parts"))} for name in ("here", "there"))
    assert here == there
    stored.put("there", Path("there"))
    stored.server.order()
    said = json.loads(run("compare", stored.uri("there"), "here", "test.csv", "--json", "--quiet").out)
    assert said["verdict"] == "The two models predict the same."


def test_a_page_of_rows_and_a_model_in_a_store_is_written_there(stored: Bucket, run: Run) -> None:
    uri = stored.uri("pages/page.html")
    ended = run("report", stored.uri("test.csv"), "--model", stored.uri("m"), "--output", uri)
    assert ended.code == 0
    page = stored.get("pages/page.html").decode()
    assert f"resmem report {stored.uri('test.csv')} --model {stored.uri('m')} --output {uri}" in page


def test_results_for_programs_are_written_to_a_store(stored: Bucket, run: Run) -> None:
    model = ("--model", stored.uri("m"))
    assert run("evaluate", "test.csv", *model, "--output", stored.uri("e.json")).code == 0
    assert json.loads(stored.get("e.json"))["rows"] == 80
    Path("bad.csv").write_text("carat\nx\n")
    words = ("predict", "bad.csv", "new.csv", *model, "--output-dir", "out", "--keep-going")
    assert run(*words, "--failures", stored.uri("f.jsonl"), "--metrics", stored.uri("m.prom")).code == PARTIAL
    assert json.loads(stored.get("f.jsonl"))["input"] == "bad.csv"
    assert b'resmem_predict_files{state="failed"} 1\n' in stored.get("m.prom")


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow", "jsonl"])
def test_every_format_is_written_to_a_store_as_to_a_file(stored: Bucket, run: Run, form: str) -> None:
    for output in (f"out.{form}", stored.uri(f"out.{form}")):
        assert run("predict", stored.uri("new.csv"), "--model", "m", "--output", output).code == 0
    assert stored.get(f"out.{form}") == Path(f"out.{form}").read_bytes()


def _parts(bucket: Bucket, folder: Path) -> list[str]:
    """Write rows as three Parquet files in folders that hold a column, here and in the store; return their names."""
    names = []
    for i, cut in enumerate(("Ideal", "Very Good", "a%2Fb")):
        rows = table("diamonds", "new").slice(8 * i, 8).drop_columns(["cut"])
        path = folder / f"cut={cut}" / f"part {i}.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(rows, path)
        names.append(str(path.relative_to(folder)))
    bucket.put(folder.name, folder)
    bucket.server.order()
    return names


@pytest.mark.parametrize("fail_every", [0, 10])
def test_many_files_go_to_a_store_by_their_names_and_folders(
    stored: Bucket, run: Run, tmp_path: Path, fail_every: int
) -> None:
    names = _parts(stored, tmp_path / "in")
    stored.server.order(fail_every=fail_every)
    model = ("--model", stored.uri("m"))
    assert run("predict", "in", *model, "--output-dir", "out").code == 0
    ended = run("predict", stored.uri("in"), *model, "--output-dir", stored.uri("out"))
    assert (ended.code, ended.lines[-1].startswith("predicted 24 rows of 3 files in ")) == (0, True)
    stored.server.order()
    for name in names:
        assert stored.get(f"out/{name}") == Path("out", name).read_bytes()
    made = [name for name in stored.names() if name.startswith("out/")]
    assert made == sorted([f"out/.resmem/{name}.json" for name in names] + [f"out/{name}" for name in names])


def test_what_is_finished_in_a_store_stays_and_what_has_changed_is_made_again(
    stored: Bucket, run: Run, tmp_path: Path
) -> None:
    names = _parts(stored, tmp_path / "in")
    words = ("predict", stored.uri("in"), "--model", stored.uri("m"), "--output-dir", stored.uri("out"), "--resume")
    assert run(*words).code == 0
    stored.server.order()
    assert "; 3 files skipped, already up to date\n" in run(*words).err
    read = [request for request in stored.server.said()["requests"] if request.startswith("GET") and "/in/" in request]
    assert read == []  # to know an input nothing of it is read
    stored.put(f"in/{names[0]}", stored.get(f"in/{names[1]}"))
    stored.put(f"out/{names[1]}", b"something else")
    stored.delete(f"out/{names[2]}")
    ended = run(*words)
    assert "note: 2 outputs made again: another input 1, a changed output 1" in ended.lines
    assert ended.lines[-1].startswith("predicted 24 rows of 3 files in ")
    assert "made again: other options 3" in run(*words, "--prefix", "p_").err


@pytest.mark.parametrize("has_versions", [True, False])
def test_an_input_of_fsspec_is_predicted_again_unless_its_store_says_that_it_is_the_same(
    model: Callable[..., Path], run: Run, monkeypatch: pytest.MonkeyPatch, has_versions: bool
) -> None:
    model()
    memory = fsspec.filesystem("memory")
    memory.pipe("/in/new.csv", Path("new.csv").read_bytes())
    if not has_versions:
        monkeypatch.setattr(MemoryFileSystem, "modified", fsspec.AbstractFileSystem.modified)  # "created" is no tag
    words = ("predict", "memory://in/new.csv", "--model", "m", "--output-dir", "out", "--resume")
    try:
        assert run(*words).code == 0
        assert ("1 file skipped" in run(*words).err) == has_versions
        before = Path("out/new.csv").read_bytes()
        memory.pipe("/in/new.csv", Path("new.csv").read_bytes().replace(b"Ideal", b"Ideaz"))
        ended = run(*words)
        assert (ended.code, "skipped" in ended.err, Path("out/new.csv").read_bytes() == before) == (0, False, False)
    finally:
        memory.rm("/in", recursive=True)


def test_a_store_is_searched_once(stored: Bucket, run: Run) -> None:
    ended = run("predict", stored.uri("*w.csv"), "--model", "m", "--output", "out.parquet")
    listed = [request for request in stored.server.said()["requests"] if "max-keys=1000" in request]
    assert (ended.code, len(listed)) == (0, 1)


def test_the_environment_may_name_a_model_in_a_store(stored: Bucket, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESMEM_MODEL", stored.uri("m"))
    assert run("predict", "new.csv").out == run("predict", "new.csv", "--model", "m").out
    assert run("remember", "train.csv").code == USAGE


def test_an_object_that_cannot_be_predicted_is_left_out_and_told(stored: Bucket, run: Run) -> None:
    stored.put("in/bad.csv", b"carat\nx\n")
    stored.put("in/empty.csv", b"")
    stored.put("in/good.csv", Path("new.csv"))
    words = ("predict", stored.uri("in/*.csv"), stored.uri("in/none.csv"), "--model", "m", "--keep-going", "--json")
    ended = run(*words, "--output-dir", stored.uri("out"))
    assert ended.code == PARTIAL
    assert [each["input"] for each in json.loads(ended.out)["failures"]] == [
        stored.uri("in/none.csv"),
        stored.uri("in/bad.csv"),
        stored.uri("in/empty.csv"),
    ]
    assert [name for name in stored.names() if name.startswith("out/")] == ["out/.resmem/good.csv.json", "out/good.csv"]


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("s3://id:hidden@b/k.csv", "s3://b/k.csv"),
        ("s3://b/k.csv?X-Amz-Signature=hidden", "s3://b/k.csv"),
        ("memory://no/k.csv?token=hidden", "memory://no/k.csv"),
    ],
)
def test_credentials_of_an_input_that_is_left_out_are_told_nowhere(
    model: Callable[..., Path], run: Run, word: str, shown: str
) -> None:
    model()
    words = ("predict", "new.csv", word, "--model", "m", "--output-dir", "out", "--keep-going", "--json")
    ended = run(*words, "--failures", "f.jsonl")
    assert (ended.code, [each["input"] for each in json.loads(ended.out)["failures"]]) == (PARTIAL, [shown])
    assert json.loads(Path("f.jsonl").read_text())["input"] == shown
    assert "hidden" not in ended.out + ended.err + Path("f.jsonl").read_text()


def test_a_page_shows_no_query_of_an_address_of_the_web(model: Callable[..., Path], run: Run) -> None:
    model()
    fsspec.filesystem("memory").pipe("/b/test.csv?token=hidden", Path("test.csv").read_bytes())
    try:
        words = ("report", "memory://b/test.csv?token=hidden", "--input-format", "csv", "--model", "m")
        assert run(*words, "--output", "page.html").code == 0
    finally:
        fsspec.filesystem("memory").rm("/b", recursive=True)
    page = Path("page.html").read_text()
    assert ("resmem report memory://b/test.csv --model m" in page, "token" in page) == (True, False)


def test_inputs_of_two_stores_have_no_folder_in_common(stored: Bucket, run: Run) -> None:
    ended = run("predict", "new.csv", stored.uri("test.csv"), "--model", "m", "--output-dir", "out")
    assert (ended.code, ended.err) == (
        USAGE,
        "resmem: the inputs lie in several stores, or in one and on this machine; predict each by itself\n",
    )


@pytest.mark.parametrize("name", ["in a/é%20+#&.csv", "in/day=a%2Fb/new.csv", "what?.csv"])
def test_names_of_objects_are_taken_by_their_characters(stored: Bucket, run: Run, name: str) -> None:
    stored.put(name, Path("new.csv"))
    for source, output in ((stored.uri(name), stored.uri(f"out/{name}")), ("new.csv", "out.csv")):
        assert run("predict", source, "--model", "m", "--output", output).code == 0
    assert stored.get(f"out/{name}") == Path("out.csv").read_bytes()


def test_an_input_is_not_replaced_by_what_does_not_hold_it(stored: Bucket, run: Run) -> None:
    uri = stored.uri("new.csv")
    ended = run("predict", uri, "--model", "m", "--output", uri, "--keep", "none")
    assert (ended.code, ended.err) == (
        USAGE,
        f"resmem: the input '{uri}' would be replaced by the output; name another --output\n",
    )
    ended = run("predict", uri, "--model", stored.uri("m"), "--output", stored.uri("m/parts/x.csv"))
    assert (ended.code, ended.err) == (
        USAGE,
        f"resmem: the output '{stored.uri('m/parts/x.csv')}' lies in the model directory; name another --output\n",
    )
    ended = run("predict", uri, "--model", stored.uri("m"), "--output-dir", stored.uri("m"))
    assert (ended.code, ended.err) == (
        USAGE,
        f"resmem: the outputs '{stored.uri('m')}' lie in the model directory; name another --output-dir\n",
    )


@pytest.mark.parametrize(
    "way", ["s3a://{b}", "s3://{b}?region=us-east-1", "s3://{b}?endpoint_override={host}&scheme=http"]
)
def test_an_input_and_a_model_are_known_again_by_another_uri(stored: Bucket, run: Run, way: str) -> None:
    def other(name: str) -> str:
        start, mark, options = way.partition("?")
        return f"{start}/{name}{mark}{options}".format(b=stored.name, host=stored.server.url.removeprefix("http://"))

    before = stored.get("new.csv")
    ended = run("predict", stored.uri("new.csv"), "--model", "m", "--output-dir", other(""))
    sentence = (
        f"resmem: the input '{stored.uri('new.csv')}' would be replaced by its output; name another --output-dir\n"
    )
    assert (ended.code, ended.err) == (USAGE, sentence)
    ended = run("predict", stored.uri("new.csv"), "--model", "m", "--output", other("new.csv"), "--keep", "none")
    sentence = f"resmem: the input '{stored.uri('new.csv')}' would be replaced by the output; name another --output\n"
    assert (ended.code, ended.err) == (USAGE, sentence)
    ended = run("predict", "new.csv", "--model", stored.uri("m"), "--output", other("m/x.csv"))
    sentence = f"resmem: the output '{other('m/x.csv')}' lies in the model directory; name another --output\n"
    assert (ended.code, ended.err, stored.get("new.csv")) == (USAGE, sentence, before)
    words = ("predict", "new.csv", "--model", "m", "--metrics", other("x.csv"))
    ended = run(*words, "--output", stored.uri("x.csv"))
    assert ended.code == USAGE
    assert ended.err.startswith("resmem: --metrics and --output both write 's3")
    ended = run(*words[:-1], other("y/new.csv"), "--output-dir", stored.uri("y"))
    assert ended.code == USAGE
    assert ended.err.startswith("resmem: --metrics and --output-dir both write 's3")


@pytest.mark.parametrize(
    "words",
    [
        ("fit-base", "train.csv", "--target", "price"),
        ("fit-residual", "train.csv"),
        ("remember", "train.csv"),
        ("forget", "--ids", "d1"),
        ("undo",),
    ],
)
def test_a_command_that_writes_a_model_refuses_a_store_and_makes_nothing(
    bucket: Bucket, run: Run, words: tuple[str, ...], tmp_path: Path
) -> None:
    Path("train.csv").write_text("price,a\n1,2\n")
    ended = run(*words, "--model", bucket.uri("m"))
    assert (ended.code, ended.err) == (
        USAGE,
        f"resmem: a model cannot be written to an object store ('{bucket.uri('m')}'); write it to a directory of this "
        "machine, then copy parts/ first, base.json next and memory.json last\n",
    )
    assert (list(snapshot(tmp_path)), bucket.names()) == (["train.csv"], [])


def test_a_model_of_another_library_is_not_imported_from_a_store(bucket: Bucket, run: Run) -> None:
    ended = run("fit-base", "t.csv", "--target", "y", "--model", "m", "--import", bucket.uri("model.onnx"))
    assert (ended.code, ended.err) == (
        USAGE,
        f"resmem: --import does not read from an object store ('{bucket.uri('model.onnx')}'); copy the file to this "
        "machine first\n",
    )


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (
            ("s3://no-{b}/new.csv", "-m", "m"),
            DATA,
            "there is no bucket 'no-{b}' for 's3://no-{b}/new.csv'; check its name, and the endpoint of the store",
        ),
        (
            ("s3://{b}/no.csv", "-m", "m"),
            DATA,
            "there is no object 's3://{b}/no.csv', and none below it; check the URI",
        ),
        (
            ("new.csv", "-m", "s3://{b}/no"),
            MODEL,
            "there is no model 's3://{b}/no'; copy a model directory there: parts/ first, base.json next and "
            "memory.json last",
        ),
        (
            ("new.csv", "-m", "s3://no-{b}/m"),
            MODEL,
            "there is no bucket 'no-{b}' for 's3://no-{b}/m'; check its name, and the endpoint of the store",
        ),
        (
            ("new.csv", "-m", "m", "-o", "s3://no-{b}/o.csv"),
            UNEXPECTED,
            "there is no bucket 'no-{b}' for 's3://no-{b}/o.csv'; check its name, and the endpoint of the store",
        ),
        (
            ("new.csv", "-m", "m", "-o", "s3://{b}/o.txt"),
            USAGE,
            "the format of 's3://{b}/o.txt' is not recognised by its name (known endings: .arrow, .csv, .feather, "
            ".ipc, .jsonl, .ndjson, .parquet, .pq, .tab, .tsv); name the format with --output-format",
        ),
    ],
)
def test_what_is_not_there_is_told_with_the_exit_code_of_its_kind(
    stored: Bucket, run: Run, words: tuple[str, ...], code: int, sentence: str
) -> None:
    ended = run("predict", *(word.format(b=stored.name) for word in words))
    assert (ended.code, ended.err.splitlines()[-1]) == (code, f"resmem: {sentence.format(b=stored.name)}")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("s3://{b}/new.csv", "-m", "m"), (DATA, "'s3://{b}/new.csv' cannot be reached (")),
        (("new.csv", "-m", "s3://{b}/m"), (MODEL, "'s3://{b}/m/base.json' cannot be read (")),
        (("new.csv", "-m", "m", "-o", "s3://{b}/o.csv"), (UNEXPECTED, "'s3://{b}/o.csv' cannot be written (")),
    ],
)
def test_wrong_or_missing_credentials_are_told_without_them(
    stored: Bucket, run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: tuple[int, str]
) -> None:
    for secret in ("", "a-secret-that-is-wrong"):
        object_stores.filesystem.cache_clear()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, secret)
        ended = run("predict", *(word.format(b=stored.name) for word in words))
        assert (ended.code, ended.err) == (told[0], f"resmem: {told[1].format(b=stored.name)}{DENIED}\n")


def test_uris_of_files_are_paths(model: Callable[..., Path], run: Run, tmp_path: Path) -> None:
    model()
    (tmp_path / "a b").mkdir()
    Path("a b/new.csv").write_bytes(Path("new.csv").read_bytes())
    uri = f"file://{tmp_path}"
    words = ("predict", f"{uri}/a%20b/*.csv", "--model", f"{uri}/m")
    assert run(*words, "--output", f"{uri}/a%20b/out.parquet").code == 0
    assert run(*words, "--output-dir", f"{uri}/out").code == 0
    assert (pq.read_table("a b/out.parquet").num_rows, Path("out/new.csv").exists()) == (40, True)
    assert not Path("file:").exists()


def test_python_loads_a_model_from_a_store_changes_it_and_saves_it_here(stored: Bucket, run: Run) -> None:
    model = resmem_cli.load(stored.uri("m"))
    batch = table("diamonds", "new").to_batches()
    options = ScoreOptions(keep="none")
    assert list(model.score(batch, options)) == list(resmem_cli.load("m").score(batch, options))
    model.forget(ids=[table("diamonds", "train")["id"][0].as_py()])
    model.save("changed")
    assert json.loads(run("inspect", "--model", "changed", "--json").out)["memory"]["rows"] == 239
    with pytest.raises(resmem_cli.errors.UsageError, match=r"^a model cannot be written to an object store \("):
        model.save(stored.uri("m"))


@pytest.fixture
def large(stored: Bucket, tmp_path: Path) -> str:
    """Return the name of a file whose predictions are sent in several parts."""
    write_csv(table("diamonds", "new"), tmp_path / "large.csv")
    header, *lines = (tmp_path / "large.csv").read_text().splitlines(keepends=True)
    (tmp_path / "large.csv").write_text(header + "".join(lines) * 8_000)
    return "large.csv"


def _started(*words: str) -> subprocess.Popen[str]:
    assert PROGRAM is not None
    return subprocess.Popen([PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, INTERRUPTED, "resmem: interrupted\n"),
        (signal.SIGTERM, TERMINATED, "resmem: terminated\n"),
        (signal.SIGKILL, -signal.SIGKILL, ""),
    ],
)
def test_a_command_that_is_stopped_while_it_sends_its_output_leaves_a_whole_object(
    stored: Bucket, large: str, number: int, code: int, said: str
) -> None:
    """Usually the old one; on a busy machine the new one may be complete before the signal comes."""
    stored.put("out.csv", b"old")
    stored.server.order(seconds=2)
    process = _started("predict", large, "--model", "m", "--base-only", "--output", stored.uri("out.csv"))
    while not any("partNumber" in request for request in stored.server.said()["requests"]):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (code, "", said)
    time.sleep(2.5)  # for what may still be under way
    stored.server.order()
    found = stored.get("out.csv")
    assert found == b"old" or found.count(b"\n") == Path(large).read_bytes().count(b"\n")


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("new.csv", 0, "predicted 40 rows in "),
        ("none.csv", DATA, "resmem: there is no object 's3://{b}/none.csv', and none below it; check the URI\n"),
        ("test.parquet", DATA, "resmem: s3://{b}/test.parquet cannot be read ("),
    ],
)
def test_a_command_ends_with_its_code_and_no_word_of_a_library(
    stored: Bucket, source: str, code: int, said: str
) -> None:
    stored.put("test.parquet", b"PAR1 and then nothing that is Parquet")
    process = _started("predict", stored.uri(source), "--model", stored.uri("m"), "--output", stored.uri("out.csv"))
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err.count("\n")) == (code, "", 1)
    assert err.startswith(said.format(b=stored.name))


def test_a_command_that_is_stopped_while_it_reads_ends_at_once(stored: Bucket, large: str) -> None:
    stored.put("large.csv", Path(large))
    process = _started("predict", stored.uri("large.csv"), "--model", "m", "--output", "out.csv")
    while not any(request.startswith(f"GET /{stored.name}/large") for request in stored.server.said()["requests"]):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert (process.communicate(timeout=30), process.returncode) == (("", "resmem: interrupted\n"), INTERRUPTED)
    assert not list(Path().glob("*out.csv*"))
