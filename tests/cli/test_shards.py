"""`--shard-cells`: a memory in shards says, predicts, remembers, forgets and takes back what one in a piece does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from resmem_cli.cli.main import ExitCode
from resmem_cli.store import manifest
from tests.cli.conftest import Run
from tests.cli.test_change import SETTINGS, rows_of, write

FEATURES = ("--representation", "features")
Fit = Callable[..., Path]


@pytest.fixture
def fit(run: Run, model: Callable[..., Path]) -> Fit:
    """Memorise a file in a directory of the given name."""
    model()

    def fitted(name: str, memorised: str, *words: object) -> Path:
        base = ("--target", "price", "--estimator", "linear", "--id", "id", "--model", name, "--quiet")
        assert run("fit-base", "train.csv", *base, "--threads", 1).code == 0
        own = (*SETTINGS, *FEATURES, *words)
        ended = run("fit-residual", memorised, "--model", name, "--threads", 1, *own)
        assert ended.code == 0, ended.err
        return Path(name)

    return fitted


@pytest.fixture
def predictions(run: Run) -> Callable[[Path], list[dict[str, str]]]:
    def predicted(name: Path) -> list[dict[str, str]]:
        assert run("predict", "test.csv", "--model", name, "--output", "p.csv", "--quiet").code == 0
        return rows_of("p.csv")

    return predicted


def shards(name: Path) -> dict[str, int]:
    folder = name / "parts" / manifest.read(name / "memory.json")["id"]
    return {path.name: path.stat().st_ino for path in folder.glob("shard_*")}


def cells(name: Path) -> list[int]:
    (memory,) = manifest.read(name / "memory.json")["memories"]
    return [shard["cells"] for shard in memory["search"]["shards"]]


def test_a_memory_in_exact_shards_predicts_and_explains_as_one_in_a_piece(run: Run, fit: Fit, predictions) -> None:
    whole, several = fit("whole", "train.csv"), fit("several", "train.csv", "--shard-cells", 70)
    assert predictions(whole) == predictions(several)
    assert cells(several) == [60] * 4
    assert not shards(whole)
    ours, theirs = (run("explain", "test.csv", "--model", name, "--json", "--quiet").out for name in (several, whole))
    assert ours == theirs
    assert run("verify", "--model", several, "--quiet").code == 0


def test_the_number_of_shards_is_said(run: Run, fit: Fit) -> None:
    name = fit("m", "train.csv", "--shard-cells", 100)
    again = run("fit-residual", "train.csv", "--model", name, *SETTINGS, *FEATURES, "--shard-cells", 100, "--json")
    assert ", exact search in 3 shards -> m/memory.json" in again.err
    assert [memory["shards"] for memory in json.loads(again.out)["memories"]] == [3]
    assert ", search exact in 3 shards\n" in run("inspect", "--model", name).out
    inspected = json.loads(run("inspect", "--model", name, "--json").out)["memory"]["memories"][0]
    assert (inspected["shards"], inspected["search"]) == (3, {"kind": "shards", "ef": None})
    assert ", search exact\n" in run("inspect", "--model", fit("whole", "train.csv")).out


def test_what_is_remembered_and_forgotten_leaves_the_memory_that_is_left_in_a_piece(
    run: Run, fit: Fit, predictions
) -> None:
    rows = rows_of("train.csv")
    words = (write("first.csv", rows[:200]),)
    name, whole = (fit(*each) for each in (("m", *words, "--shard-cells", 50), ("whole", *words)))
    before, first = shards(name), predictions(name)
    assert cells(name) == [50] * 4
    for each in (name, whole):
        assert run("remember", write("more.csv", rows[200:]), "--model", each, "--threads", 1, "--quiet").code == 0
    assert cells(name) == [50, 50, 50, 50, 40]
    assert {file for file, at in shards(name).items() if before.get(file) != at} == {"shard_0_4.npz"}
    assert predictions(name) == predictions(whole) != first

    for each in (name, whole):
        assert run("undo", "--model", each, "--quiet").code == 0
    assert (predictions(name), shards(name)) == (first, before)

    gone = write("gone.csv", rows[60:70])
    for each in (name, whole):
        assert run("forget", gone, "--model", each, "--threads", 1, "--quiet").code == 0
    assert cells(name) == [50, 40, 50, 50]
    assert {file for file, at in shards(name).items() if before.get(file) != at} == {"shard_0_1.npz"}
    assert predictions(name) == predictions(whole) != first
    kept = b"".join(path.read_bytes() for path in name.rglob("*") if path.is_file())
    assert not [row["id"] for row in rows[60:70] if row["id"].encode() in kept]
    assert run("verify", "--model", name, "--quiet").code == 0


def test_a_row_that_replaces_another_is_in_the_last_shard(run: Run, fit: Fit, predictions) -> None:
    rows = rows_of("train.csv")
    name = fit("m", write("first.csv", rows[:200]), "--shard-cells", 50)
    before = shards(name)
    corrected = [{**rows[10], "price": "5000"}]
    assert run("remember", write("more.csv", corrected), "--model", name, "--threads", 1, "--quiet").code == 0
    assert cells(name) == [49, 50, 50, 50, 1]
    changed = {file for file, at in shards(name).items() if before.get(file) != at}
    assert changed == {"shard_0_0.npz", "shard_0_4.npz"}
    made = fit("made", write("made.csv", [*rows[:10], *rows[11:200], *corrected]))
    assert predictions(name) == predictions(made)


def test_a_missing_shard_ends_in_a_sentence(run: Run, fit: Fit) -> None:
    name = fit("m", "train.csv", "--shard-cells", 100)
    path = next(name.rglob("shard_0_2.npz"))
    path.unlink()
    for command in (("predict", "test.csv"), ("verify",)):
        ended = run(*command, "--model", name)
        assert (ended.code, ended.out) == (ExitCode.MODEL, "")
        assert ended.lines[-1] == f"resmem: the model directory 'm' lacks {path}; fit the model again"


def test_a_shard_has_at_least_one_cell(run: Run, fit: Fit) -> None:
    ended = run("fit-residual", "train.csv", "--model", "m", "--shard-cells", 0)
    assert ended.code == ExitCode.USAGE
    assert "'--shard-cells'" in ended.err
