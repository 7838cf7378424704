"""--classes: a base that tells more classes apart than the labelled rows hold, as a language model does."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Run

Fails = Callable[..., None]
USAGE, DATA = 2, 3
N_CLASSES, N_SEEN = 300, 40
WORDS = [f"w{(7 * i) % N_CLASSES:03}" for i in range(N_CLASSES)]  # in no order of theirs


def rows(n: int, seed: int, *, as_words: bool) -> pa.Table:
    """Rows of 40 of 300 classes, with probabilities of all that are mostly right, and a vector that says the rest."""
    rng = np.random.default_rng(seed)
    token = rng.integers(0, N_SEEN, n)
    logits = rng.normal(size=(n, N_CLASSES))
    logits[np.arange(n), token] += 4
    given = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    hidden = np.eye(N_SEEN)[token] + 0.1 * rng.normal(size=(n, N_SEEN))
    target = pa.array([WORDS[each] for each in token]) if as_words else pa.array(token)
    return pa.table(
        {
            "token": target,
            "p": pa.array(list(given.astype(np.float32)), pa.list_(pa.float32())),
            "hidden": pa.array(list(hidden), pa.list_(pa.float64())),
        }
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, seed, n in (("train", 0, 400), ("valid", 1, 200), ("test", 2, 200)):
        pq.write_table(rows(n, seed, as_words=True), f"{name}.parquet")
        pq.write_table(rows(n, seed, as_words=False), f"{name}_index.parquet")
    Path("classes.txt").write_text("".join(f"{word}\n" for word in WORDS))
    return tmp_path


def fit(run: Run, suffix: str, classes: str, model: str = "m") -> None:
    words = ("--probabilities", "p", "--embedding", "hidden", "--features", "hidden", "--classes", classes)
    ended = run("fit-base", f"train{suffix}.parquet", "--target", "token", *words, "--model", model, "--quiet")
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.parametrize(("suffix", "classes"), [("", "classes.txt"), ("_index", "index")])
def test_a_memory_of_a_large_vocabulary_helps(files: Path, run: Run, suffix: str, classes: str) -> None:
    fit(run, suffix, classes)
    stored = json.loads(Path("m/base.json").read_text())["schema"]["target"]["classes"]
    assert stored == (WORDS if not suffix else list(range(N_CLASSES)))
    words = ("--valid", f"valid{suffix}.parquet", "--representation", "column:hidden", "--quiet")
    assert run("fit-residual", f"train{suffix}.parquet", "--model", "m", *words).code == 0
    found = json.loads(run("evaluate", f"test{suffix}.parquet", "--model", "m", "--json").out)
    assert found["metrics"]["log_loss"]["resmem"] < 0.5 * found["metrics"]["log_loss"]["base"]
    words = ("--keep", "token", "--probabilities", "--output", "out.parquet", "--quiet")
    assert run("predict", f"test{suffix}.parquet", "--model", "m", *words).code == 0
    out = pq.read_table("out.parquet")
    assert np.mean(np.array(out["prediction"].to_pylist()) == np.array(out["token"].to_pylist())) > 0.9
    assert len([name for name in out.column_names if name.startswith("probability_")]) == N_CLASSES
    assert out.schema.field("prediction").type == (pa.int64() if suffix else pa.string())


def test_words_and_positions_give_the_same_predictions(files: Path, run: Run) -> None:
    outputs = []
    for suffix, classes in (("", "classes.txt"), ("_index", "index")):
        fit(run, suffix, classes)
        words = ("--valid", f"valid{suffix}.parquet", "--representation", "column:hidden", "--quiet")
        assert run("fit-residual", f"train{suffix}.parquet", "--model", "m", *words).code == 0
        words = ("--keep", "none", "--output", "out.parquet", "--quiet")
        assert run("predict", f"test{suffix}.parquet", "--model", "m", *words).code == 0
        outputs.append(pq.read_table("out.parquet"))
    words_of_index = [WORDS[each] for each in outputs[1]["prediction"].to_pylist()]
    assert outputs[0]["prediction"].to_pylist() == words_of_index
    assert outputs[0]["probability"].equals(outputs[1]["probability"])


@pytest.mark.parametrize("name", ["c.csv", "c.csv.gz", "c.parquet", "c.jsonl"])
def test_classes_may_be_the_only_column_of_a_table(files: Path, run: Run, name: str) -> None:
    if name.endswith("gz"):
        Path(name).write_bytes(gzip.compress("".join(f"{word}\n" for word in ["word", *WORDS]).encode()))
    elif name.endswith("parquet"):
        pq.write_table(pa.table({"word": WORDS}), name)
    elif name.endswith("csv"):
        Path(name).write_text("".join(f"{word}\n" for word in ["word", *WORDS]))
    else:
        Path(name).write_text("".join(json.dumps({"word": word}) + "\n" for word in WORDS))
    fit(run, "", name)
    assert json.loads(Path("m/base.json").read_text())["schema"]["target"]["classes"] == WORDS


def test_a_label_that_is_no_class_is_named_with_its_row(files: Path, fails: Fails) -> None:
    table = pq.read_table("train.parquet")
    tokens = table["token"].to_pylist()
    tokens[17] = "unheard of"
    pq.write_table(table.set_column(0, "token", pa.array(tokens)), "odd.parquet")
    sentence = (
        "odd.parquet, row 18: the target 'token' holds the class 'unheard of', which --classes does not name; add it, "
        "or check that the 300 classes are those of the model"
    )
    words = ("--target", "token", "--probabilities", "p", "--classes", "classes.txt", "--model", "x")
    fails(DATA, sentence, "fit-base", "odd.parquet", *words)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a\nb\na\n", "'c.txt' holds the class 'a' twice, as class 1 and 3; remove one"),
        ("a\n\nb\n", "'c.txt', class 2 is empty; give every class a name"),
        ("", "'c.txt' holds 0 classes; give at least two"),
        ("a\n", "'c.txt' holds 1 class; give at least two"),
        (None, "'c.txt' cannot be read (No such file or directory); check --classes"),
    ],
)
def test_a_file_of_classes_that_is_none_is_refused(
    files: Path, fails: Fails, content: str | None, sentence: str
) -> None:
    if content is not None:
        Path("c.txt").write_text(content)
    words = ("--target", "token", "--probabilities", "p", "--classes", "c.txt", "--model", "x")
    fails(DATA, sentence, "fit-base", "train.parquet", *words)


def test_as_many_classes_are_needed_as_the_vectors_are_long(files: Path, run: Run, fails: Fails) -> None:
    Path("c.txt").write_text("".join(f"{word}\n" for word in [*WORDS, "more"]))
    words = ("--target", "token", "--probabilities", "p", "--model", "x", "--classes")
    ended = run("fit-base", "train.parquet", *words, "c.txt")
    assert ended.code == USAGE
    assert "the vectors of 'p' hold 300 numbers, and the target has 301 classes: w000, w007" in ended.err
    sentence = (
        "--classes index needs one column of vectors of one length in --probabilities; name the column of lists, or "
        "give --classes a file"
    )
    fails(
        USAGE,
        sentence,
        "fit-base",
        "train_index.parquet",
        *words[:2],
        "--probabilities",
        "p,hidden",
        *words[4:],
        "index",
    )
    sentence = "Invalid value for '--classes': it needs --probabilities or --logits; see resmem fit-base --help"
    fails(USAGE, sentence, "fit-base", "train.parquet", *words[:2], *words[4:], "c.txt")
