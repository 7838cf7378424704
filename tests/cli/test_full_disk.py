"""Disks that are full, files that may not grow, and directories that may only be read: one sentence, nothing lost.

A full and a read-only disk are real ones in memory, which needs a user who may mount them; files that may not grow are
there for everybody.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.cli.conftest import Run, snapshot
from tests.cli.test_writers import WRITERS, with_an_earlier_memory

Model = Callable[..., Path]
# All that write parts; undo writes a manifest alone, and is tested by itself.
EVERY_WRITER = pytest.mark.parametrize("writer", [name for name in WRITERS if name != "undo"])
_SIZE = 1 << 20


@pytest.fixture
def disk(model: Model, tmp_path: Path) -> Iterator[Path]:
    """A small disk that holds a model, 'm'."""
    path = tmp_path / "disk"
    path.mkdir()
    if shutil.which("mount") is None or not _mounted("mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "none", path):
        pytest.skip("this user may not mount a disk")
    try:
        shutil.copytree(model(), path / "m")
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


def _mounted(*words: str | Path) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def fill(disk: Path, left: int) -> Path:
    """Leave so many bytes free, rounded to pages."""
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(disk).free - left))
    return ballast


@EVERY_WRITER
@pytest.mark.parametrize("left", [0, 4 << 10])
def test_on_a_full_disk_a_writer_changes_nothing_and_says_so(run: Run, disk: Path, writer: str, left: int) -> None:
    before, ballast = snapshot(disk / "m"), fill(disk, left)
    ended = run(*WRITERS[writer], "--model", disk / "m", "--quiet")
    assert ended.err == (
        f"resmem: the model directory '{disk / 'm'}' cannot be written (No space left on device); "
        "free some space or check permissions\n"
    )
    assert (ended.code, ended.out) == (1, "")
    ballast.unlink()
    assert snapshot(disk / "m") == before
    assert run("verify", "--model", disk / "m").code == 0
    assert run(*WRITERS[writer], "--model", disk / "m", "--quiet").code == 0


@EVERY_WRITER
@pytest.mark.parametrize("left", [8 << 10, 12 << 10, 16 << 10, 24 << 10])
def test_wherever_a_disk_fills_up_the_model_is_whole_and_the_writer_can_be_run_again(
    run: Run, disk: Path, writer: str, left: int
) -> None:
    ballast = fill(disk, left)
    ended = run(*WRITERS[writer], "--model", disk / "m", "--quiet")
    assert ended.code == 0 or (ended.code == 1 and "(No space left on device)" in ended.err)
    ballast.unlink()
    found = run("verify", "--model", disk / "m")
    assert found.code == 0 or "belongs to another base" in found.err, found.err  # after a new base, as it should
    assert run(*WRITERS[writer], "--model", disk / "m", "--quiet").code == 0


@pytest.mark.parametrize("is_read_only", [True, False])
def test_undo_that_cannot_write_changes_nothing_and_says_so(run: Run, disk: Path, is_read_only: bool) -> None:
    path = with_an_earlier_memory(run, disk / "m")
    if is_read_only:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    else:
        ballast = fill(disk, 0)
    before = snapshot(path)
    ended = run("undo", "--model", path)
    why, what = (
        ("Read-only file system", "check the path") if is_read_only else ("No space left on device", "free some space")
    )
    assert ended.err == f"resmem: '{path / 'memory.json'}' cannot be written ({why}); {what}\n"
    assert (ended.code, ended.out) == (1, "")
    assert snapshot(path) == before
    assert run("history", "--model", path).code == 0
    assert run("verify", "--model", path).code == 0
    if not is_read_only:
        ballast.unlink()
        assert run("undo", "--model", path).code == 0


@pytest.mark.parametrize("words", [("predict",), ("explain",), ("evaluate",), ("report",)])
def test_on_a_full_disk_no_half_of_an_output_is_left(run: Run, disk: Path, words: tuple[str, ...]) -> None:
    fill(disk, 0)
    ended = run(words[0], "test.csv", *words[1:], "--model", disk / "m", "--output", disk / "out.csv", "--quiet")
    assert ended.code == 1
    assert ended.err.startswith(f"resmem: '{disk / 'out.csv'}' cannot be written (No space left on device); ")
    assert ended.err.count("\n") == 1
    assert sorted(path.name for path in disk.iterdir()) == ["ballast", "m"]


@EVERY_WRITER
def test_on_a_disk_that_may_only_be_read_readers_work_and_writers_say_so(run: Run, disk: Path, writer: str) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    before = snapshot(disk)
    ended = run(*WRITERS[writer], "--model", disk / "m", "--quiet")
    assert ended.err == (
        f"resmem: the model directory '{disk / 'm'}' cannot be written (Read-only file system); "
        "free some space or check permissions\n"
    )
    assert (ended.code, ended.out) == (1, "")
    for reader in (
        ("predict", "test.csv"),
        ("evaluate", "test.csv"),
        ("explain", "test.csv"),
        ("inspect",),
        ("verify",),
    ):
        assert run(*reader, "--model", disk / "m").code == 0
    assert snapshot(disk) == before


@EVERY_WRITER
@pytest.mark.parametrize("most", [128, 1 << 10])
def test_where_files_may_not_grow_a_writer_changes_nothing_and_says_so(
    run: Run, model: Model, tmp_path: Path, writer: str, most: int
) -> None:
    path = model()
    before = snapshot(path)
    ended = subprocess.run(
        [sys.executable, "-m", "resmem_cli", *WRITERS[writer], "--model", "m", "--quiet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (most, most)),
    )
    assert ended.stderr == (
        "resmem: the model directory 'm' cannot be written (File too large); free some space or check permissions\n"
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert snapshot(path) == before
    assert run("verify", "--model", "m").code == 0
