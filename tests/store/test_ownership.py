"""Nothing of the user's is written over or removed: a directory is a model's only if a manifest of ours says so."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from resmem_cli.errors import UsageError
from resmem_cli.store import locking, ownership, reading, writing
from resmem_cli.store.rows import TrainedRows
from tests.store.conftest import contents, fit

Copied = Callable[..., Path]
OURS, OTHER = "0123456789abcdef", "fedcba9876543210"


def make(root: Path, *paths: str) -> Path:
    """Make files, and folders where a path ends in a slash."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).mkdir(exist_ok=True) if path.endswith("/") else (root / path).write_text(f"keep {path}")
    return root


@pytest.mark.parametrize(
    ("paths", "foreign"),
    [
        (("parts/drawings/a.txt",), "parts/drawings"),
        (("parts/a.txt",), "parts/a.txt"),
        (("parts",), "parts"),
        ((f"parts/{OURS}/arrays.npz", f"parts/{OURS}/thesis.txt"), f"parts/{OURS}"),
        ((f"parts/{OURS}/arrays.npz", "parts/drawings/a.txt"), "parts/drawings"),
        ((f"parts/{OURS}/notes.txt",), f"parts/{OURS}"),
        ((f"parts/{OURS}/arrays.npz/inner",), f"parts/{OURS}"),
        (("parts/.0123abcd.tmp/essay.txt",), "parts/.0123abcd.tmp"),
        ((f"parts/{OURS.upper()}/arrays.npz",), f"parts/{OURS.upper()}"),
        (("base.json",), "base.json"),
        (("memory.json",), "memory.json"),
        (("base.json", "parts/"), "base.json"),
        (("base.json", "parts/photos/b.jpg"), "parts/photos"),
    ],
)
def test_what_is_not_ours_is_refused_and_stays(tmp_path: Path, paths: tuple[str, ...], foreign: str) -> None:
    make(tmp_path, *paths)
    before = contents(tmp_path)
    with pytest.raises(UsageError) as raised:
        ownership.refuse_foreign(tmp_path)
    assert str(raised.value) == (
        f"the directory '{tmp_path}' contains files that do not belong to a model ('{foreign}'); "
        "name an empty or new directory with --model"
    )
    assert contents(tmp_path) == before


@pytest.mark.parametrize("content", ['{"format": 1}', '{"resmem": "1.0"}', '{"format": "1", "resmem": "1.0"}', "{}"])
def test_json_of_others_is_no_manifest(tmp_path: Path, content: str) -> None:
    (tmp_path / "base.json").write_text(content)
    with pytest.raises(UsageError, match=r"base\.json"):
        ownership.refuse_foreign(tmp_path)


@pytest.mark.parametrize(
    "paths",
    [
        (),
        (".hidden",),
        ("parts/",),
        ("parts/.0123abcd.tmp/",),
        ("parts/.0123abcd.tmp/arrays.npz", "parts/.0123abcd.tmp/graph_1.hnsw"),
        (f"parts/{OURS}/rows.npz", f"parts/{OURS}/estimator_2.skops"),
        # A manifest that was damaged since, with its parts.
        ("base.json", f"parts/{OURS}/rows.npz"),
    ],
)
def test_what_a_killed_first_writer_left_may_be_written_over(tmp_path: Path, paths: tuple[str, ...]) -> None:
    make(tmp_path, *paths)
    ownership.refuse_foreign(tmp_path)
    fit("linear").save(tmp_path)
    reading.load(tmp_path)
    assert len(list((tmp_path / "parts").iterdir())) == 2
    assert (tmp_path / ".hidden").exists() == (".hidden" in paths)


@pytest.mark.parametrize("damaged", ["base.json", "memory.json"])
def test_one_manifest_of_ours_suffices(copied: Copied, damaged: str) -> None:
    directory = copied("linear")
    (directory / damaged).write_text("{")
    ownership.refuse_foreign(directory)


def test_a_model_of_a_newer_format_is_ours(copied: Copied) -> None:
    directory = copied("linear")
    (directory / "memory.json").unlink()
    (directory / "base.json").write_text(json.dumps({"format": 99, "resmem": "9.0"}))
    ownership.refuse_foreign(directory)


def test_sweeping_a_model_leaves_what_our_names_do_not_account_for(copied: Copied) -> None:
    directory = copied("linear")
    kept = ("parts/drawings/rows.npz", f"parts/{OURS}/thesis.txt", "parts/.notes.tmp/rows.npz")
    make(
        directory,
        *kept,
        f"parts/{OURS}/arrays.npz",
        f"parts/{OTHER}/rows.npz",
        ".base.json.0123abcd.tmp",
        ".base.json.tmp",
    )
    fit("constant").save(directory)
    left = contents(directory)
    for path in (*kept, ".base.json.tmp"):
        assert left[path] == f"keep {path}".encode()
    assert not (directory / "parts" / OTHER).exists()
    assert f"parts/{OURS}/arrays.npz" not in left
    assert ".base.json.0123abcd.tmp" not in left
    assert reading.load(directory).base.specs[0].estimator == "constant"


def test_a_foreign_file_in_a_generation_does_not_keep_the_rest_of_it(copied: Copied) -> None:
    """What the manifest that is replaced has named goes, whatever lies beside it: rows may be forgotten by it."""
    directory = copied("linear")
    identity = json.loads((directory / "memory.json").read_text())["id"]
    make(directory, f"parts/{identity}/mine.txt")
    fitted = fit("constant")
    fitted.save_memory(directory, writing.save_base(directory, fitted.base, TrainedRows(fitted.rows.hashes)))
    assert [path.name for path in (directory / "parts" / identity).iterdir()] == ["mine.txt"]


LINKS = pytest.mark.parametrize("link", ["parts", "generation", "base.json", "memory.json"])


def linked(directory: Path, link: str) -> Path:
    """Move a part of a model elsewhere, and leave a link there."""
    path = directory / link
    if link == "generation":
        path = directory / "parts" / json.loads((directory / "base.json").read_text())["id"]
    elsewhere = directory.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    return path


@LINKS
def test_a_link_is_refused_by_every_writer_and_nothing_changes(copied: Copied, link: str) -> None:
    directory = copied("linear")
    path = linked(directory, link)
    before = contents(directory.parent)
    sentence = f"^'{path}' is a symbolic link, through which resmem does not write; name an empty or new directory"
    with pytest.raises(UsageError, match=sentence), locking.alone(directory, wait=False):
        raise AssertionError("it is not to be written to")
    with pytest.raises(UsageError, match=sentence):
        ownership.refuse_foreign(directory)
    with pytest.raises(UsageError, match=sentence):
        fit("constant").save(directory)
    assert contents(directory.parent) == before


def test_a_link_to_folders_of_others_is_not_swept(tmp_path: Path) -> None:
    directory, elsewhere = tmp_path / "m", make(tmp_path / "elsewhere", f"{OURS}/arrays.npz", f"{OTHER}/rows.npz")
    directory.mkdir()
    (directory / "parts").symlink_to(elsewhere)
    ownership.sweep(directory, set())
    (directory / "parts").unlink()
    (directory / "parts").mkdir()
    (directory / "parts" / OURS).symlink_to(elsewhere / OURS)
    ownership.sweep(directory, set())
    assert set(contents(elsewhere)) == {f"{OURS}/arrays.npz", f"{OTHER}/rows.npz"}


def test_a_damaged_generation_of_the_same_content_that_holds_more_gets_another_name(copied: Copied) -> None:
    directory = copied("linear")
    identity = json.loads((directory / "base.json").read_text())["id"]
    folder = directory / "parts" / identity
    (folder / "arrays.npz").unlink()
    os.mkfifo(folder / "arrays.npz")  # which a hash would wait for
    make(folder, "mine/a.txt")
    fitted = fit("linear")
    found = writing.save_base(directory, fitted.base, TrainedRows(fitted.rows.hashes))
    assert found != identity
    reading.load_base(directory)
    assert (folder / "mine" / "a.txt").exists()
