"""Replacement: a file appears whole or not at all, and an error names it."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from resmem_cli.data.replacement import replacing
from resmem_cli.errors import OutputError

OLD = b"what was there before"
NEW = b"what is there now"


def put(path: Path, content: bytes = NEW) -> None:
    with replacing(path) as stream:
        stream.write(content)


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("old", [None, OLD])
def test_an_error_or_an_interruption_leaves_what_was_there(tmp_path, interruption, old):
    path = tmp_path / "a.json"
    if old:
        path.write_bytes(old)

    def stop() -> None:
        with replacing(path) as stream:
            stream.write(NEW)
            raise interruption

    with pytest.raises(interruption):
        stop()
    assert [(left.name, left.read_bytes()) for left in tmp_path.iterdir()] == ([("a.json", OLD)] if old else [])


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(OLD)
    with replacing(path) as stream:
        stream.write(NEW)
        stream.flush()
        assert path.read_bytes() == OLD
    assert path.read_bytes() == NEW
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o600, 0o666, 0o640, 0o444])
def test_a_replaced_file_keeps_its_mode_whatever_the_mask(tmp_path, mode):
    path = tmp_path / "a.csv"
    path.write_bytes(OLD)
    path.chmod(mode)
    before = os.umask(0o077)
    try:
        put(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_new_file_has_the_mode_that_the_mask_leaves(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        put(tmp_path / "a.csv")
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
    put(link)
    assert link.is_symlink()
    assert target.read_bytes() == NEW
    assert list((tmp_path / "data").iterdir()) == [target]


@pytest.mark.parametrize(
    ("place", "reason", "hint"),
    [
        ("no/a.csv", "No such file or directory", "create the directory first"),
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
        put(tmp_path / place)
    assert str(caught.value) == (f"'{tmp_path / place}' cannot be written ({reason}); {hint}")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError) as caught:
        put(tmp_path / "a.csv")
    assert str(caught.value) == (f"'{tmp_path / 'a.csv'}' cannot be written (Permission denied); check the path")


def test_no_permission_is_named_for_root_too(tmp_path, monkeypatch):
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OutputError, match=r"cannot be written \(Permission denied\); check the path"):
        put(tmp_path / "a.csv")


def test_a_disk_that_is_full_only_when_it_is_synced_leaves_the_old_file(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.parquet"
    path.write_bytes(OLD)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        put(path)
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


def test_a_named_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
    reader.start()
    put(path)
    reader.join()
    assert found == [NEW]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_the_option_that_names_the_path_is_a_part_of_the_hint(tmp_path):
    with pytest.raises(OutputError) as caught, replacing(tmp_path / "no" / "a.json", option="--model"):
        pass
    assert caught.value.hint == "create the directory first, or choose another with --model"


def test_a_reader_that_has_gone_is_no_error_of_the_output(tmp_path):
    with pytest.raises(BrokenPipeError), replacing(tmp_path / "a.json"):
        raise BrokenPipeError
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_written_to_and_stays_a_device():
    put(Path("/dev/null"))
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
