"""Writers at once, readers beside them, and writers that are killed: the directory is always the old or the new one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from resmem_cli.errors import OutputError
from resmem_cli.store import generations, locking, parts
from tests.cli.conftest import Run
from tests.counts import times

Model = Callable[..., Path]
_FIT_BASE = ("fit-base", "train.csv", "--target", "price", "--id", "id", "--estimator", "linear")
_SETTINGS = ("--folds", "0", "--neighbors", "6", "--bandwidth", "0.4", "--shrinkage", "0.8", "--temperature", "1")
WRITERS = {
    "fit-base": _FIT_BASE,
    "fit-residual": ("fit-residual", "train.csv", *_SETTINGS, "--representation", "model"),
    "remember": ("remember", "test.csv"),
    "forget": ("forget", "train.csv", "--where", "cut=Ideal"),
    "undo": ("undo",),
}
# How often each writer is killed; how many seconds writers and readers work, and how many readers.
KILLS = times(2, 3, "RESMEM_KILLS")
RACE_SECONDS = times(3, 4, "RESMEM_RACE_SECONDS")
READERS = int(os.environ.get("RESMEM_READERS", "4"))


def started(folder: Path, *words: object) -> subprocess.Popen[str]:
    """Start a command in a process of its own; the environment says that it has one thread."""
    command = [sys.executable, "-m", "resmem_cli", *map(str, words), "--quiet"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait, and return its exit code and what it said."""
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def with_an_earlier_memory(run: Run, path: Path) -> Path:
    """Give a model an earlier memory to go back to."""
    assert run("remember", "test.csv", "--model", path, "--quiet").code == 0
    return path


@pytest.mark.parametrize("writer", WRITERS)
def test_a_second_writer_gives_up_with_a_sentence_or_waits(run: Run, model: Model, tmp_path: Path, writer: str) -> None:
    path = with_an_earlier_memory(run, model())
    with locking.alone(path, wait=False):
        refused = run(*WRITERS[writer], "--model", path)
        assert (refused.code, refused.out) == (1, "")
        assert refused.err == "resmem: another resmem is writing to 'm'; try again when it is done, or use --wait\n"
        waiting = started(tmp_path, *WRITERS[writer], "--model", path, "--wait")
        assert run("predict", "test.csv", "--model", path, "--quiet").code == 0  # a reader is not disturbed
        time.sleep(1.5)
        assert waiting.poll() is None
    assert ended(waiting) == (0, "")
    assert run("inspect", "--model", path).code == 0


def test_a_lock_is_gone_with_its_writer_and_leaves_no_directory_behind(tmp_path: Path) -> None:
    for _ in range(2):
        with locking.alone(tmp_path / "a" / "b", wait=False, create=True):
            assert (tmp_path / "a" / "b").is_dir()
        assert list(tmp_path.iterdir()) == []


def test_who_waited_for_a_directory_that_was_removed_locks_the_one_that_stands_there(tmp_path: Path) -> None:
    path, order = tmp_path / "d", []

    def second() -> None:
        with locking.alone(path, wait=True, create=True):
            order.append("second")
            assert path.is_dir()
            with pytest.raises(OutputError, match="another resmem is writing"), locking.alone(path, wait=False):
                pass

    with ThreadPoolExecutor() as pool:
        with locking.alone(path, wait=False, create=True):
            waiting = pool.submit(second)
            time.sleep(0.3)
            order.append("first")
        waiting.result(timeout=30)
    assert order == ["first", "second"]


@pytest.mark.parametrize("writer", WRITERS)
def test_a_writer_that_is_killed_leaves_the_old_state_or_the_new(
    run: Run, model: Model, tmp_path: Path, writer: str
) -> None:
    rng = np.random.default_rng(len(writer))
    path = with_an_earlier_memory(run, model())
    shutil.copytree(path, tmp_path / "before")
    assert run(*WRITERS[writer], "--model", path, "--quiet").code == 0
    began = time.perf_counter()
    shutil.rmtree(path)
    shutil.copytree(tmp_path / "before", path)
    assert ended(started(tmp_path, *WRITERS[writer], "--model", path)) == (0, "")
    whole = time.perf_counter() - began
    for _ in range(KILLS):
        shutil.rmtree(path)
        shutil.copytree(tmp_path / "before", path)
        process = started(tmp_path, *WRITERS[writer], "--model", path)
        time.sleep(rng.uniform(0.3, 1.0) * whole)
        process.send_signal(signal.SIGKILL)
        ended(process)
        found = run("verify", "--model", path)
        # After a new base the memory is stale, which is a sentence and no damage.
        assert found.code == 0 or "belongs to another base" in found.err, found.err
        again = run(*WRITERS[writer], "--model", path, "--quiet")
        # What was forgotten just before the writer was killed is not remembered any more, what was undone not undone.
        done = {"forget": "is remembered", "undo": "there is nothing to go back to"}.get(writer, "never")
        assert again.code == 0 or done in again.err, again.err
        assert {folder.name for folder in (path / parts.FOLDER).iterdir()} == generations.named(path)


def test_undo_and_remember_at_once_each_succeed_whole_or_say_that_another_is_at_work(
    run: Run, model: Model, tmp_path: Path
) -> None:
    path = with_an_earlier_memory(run, model())
    words = [("undo",), ("undo",), ("remember", "new_rows.csv", "--keep", 3)]
    (tmp_path / "new_rows.csv").write_text((tmp_path / "test.csv").read_text())
    processes = [started(tmp_path, *each, "--model", path) for each in words]
    found = [ended(process) for process in processes]
    said = {"another resmem is writing to 'm'", "there is nothing to go back to"}
    assert all((code, text) == (0, "") or any(each in text for each in said) for code, text in found), found
    assert any(code == 0 for code, _ in found)
    assert run("verify", "--model", path).code == 0
    assert {folder.name for folder in (path / parts.FOLDER).iterdir()} == generations.named(path)


def test_who_waits_undoes_what_is_there_then(run: Run, model: Model, tmp_path: Path) -> None:
    """Two undos of a memory with two earlier ones, one after the other."""
    path = model()
    before = json.loads((path / "memory.json").read_text())["id"]
    for split in ("test", "train"):
        assert run("remember", f"{split}.csv", "--model", path, "--keep", 2, "--quiet").code == 0
    with locking.alone(path, wait=False):
        processes = [started(tmp_path, "undo", "--model", path, "--wait") for _ in range(2)]
        time.sleep(2)
        assert [process.poll() for process in processes] == [None, None]
    assert [ended(process) for process in processes] == [(0, ""), (0, "")]
    assert json.loads((path / "memory.json").read_text())["id"] == before
    assert run("verify", "--model", path).code == 0


def test_readers_never_fail_while_writers_take_turns(run: Run, model: Model, tmp_path: Path) -> None:
    path = model()
    until = time.monotonic() + RACE_SECONDS
    words = {
        "writer": ("remember", "test.csv", "--model", path, "--wait"),
        "reader": ("predict", "test.csv", "--model", path, "--keep", "none"),
    }
    running: list[tuple[str, subprocess.Popen[str]]] = []
    found: list[tuple[int, str]] = []
    while time.monotonic() < until or running:
        for pair in [pair for pair in running if pair[1].poll() is not None]:
            running.remove(pair)
            found.append(ended(pair[1]))
        for kind, most in (("writer", 2), ("reader", READERS)):
            if time.monotonic() < until and sum(own == kind for own, _ in running) < most:
                running.append((kind, started(tmp_path, *words[kind])))
        time.sleep(0.05)
    assert len(found) >= 6
    assert set(found) == {(0, "")}
    assert run("verify", "--model", path).code == 0
