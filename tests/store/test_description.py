"""The manifests, which no hash covers: every field is checked by type, size and range before it is used."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resmem_cli.errors import ModelError, OutputError
from resmem_cli.model.choosing.candidates import Candidate, Choice, Score
from resmem_cli.model.choosing.selection import Selection
from resmem_cli.model.kernel import Settings
from resmem_cli.store import consistent, description, generations, history, manifest, reading, verifying, writing
from tests.store.conftest import fit

Copied = Callable[..., Path]
WRONG = [None, True, 7, -1, 0.5, 1e300, 1 << 70, "text", [], [1], {}, {"a": 1}, "\ud800"]


def paths(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every field of a manifest."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield (*at, key)
        yield from paths(value, (*at, key))


def changed(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(content))
    node = copy
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return copy


def with_an_earlier_memory(directory: Path) -> Path:
    """Give a model another memory, which differs in its objective, and a history that says all that one can say."""
    fitted = fit("linear")
    shares = {"residuals": 0.5, "distances": None, "missing": 1, "unknown": 0}
    measured = {"metric": "rmse", "base": 2.0, "resmem": 1, "rows": 10, **shares}
    first = history.Change(history.REMEMBER, 1, 0, measured)
    entries = history.extended([], first, made="2026-01-31T23:59:59Z", n_rows=60)
    entries = history.extended(entries, history.Change(history.FIT, 0, 0), made="2026-02-01T00:00:00Z", n_rows=60)
    _, earlier = generations.before(directory)
    past = generations.Past(entries, earlier, keep=1)
    base_id = manifest.read(directory / "base.json")["id"]
    writing.save_memory(directory, base_id, fitted.resmem, fitted.rows, objective="mae", folds={}, past=past)
    return directory


NO_TIMES = ("today", "2026-01-31", "2026-01-31T23:59:59", 1_700_000_000, "2026-01-31T23:59:59+01:00")


@pytest.mark.parametrize("which", ["base.json", "memory.json"])
def test_a_field_of_any_other_kind_is_a_model_error_or_does_no_harm(
    copied: Copied, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """Whatever a field is replaced by, the whole is verified, or refused by a sentence; no other error passes."""
    monkeypatch.setattr(consistent.time, "sleep", lambda _: None)
    directory = with_an_earlier_memory(copied("linear,constant"))
    assert verifying.verify(directory).n_kept == 1
    whole = json.loads((directory / which).read_text())
    n_refused = 0
    for path in paths(whole):
        for value in WRONG:
            (directory / which).write_text(json.dumps(changed(whole, path, value)))
            try:
                verifying.verify(directory)
            except ModelError:
                n_refused += 1
    assert n_refused > 300


SETTINGS = ("memories", 0, "settings")


@pytest.mark.parametrize(
    ("which", "path", "value"),
    [
        ("base.json", ("seed",), -1),
        ("base.json", ("seed",), 0.5),
        ("base.json", ("rows",), True),
        ("base.json", ("rows",), -1),
        ("base.json", ("forgotten",), 1_000),
        ("base.json", ("was",), "text"),
        ("base.json", ("resmem",), 1),
        ("base.json", ("libraries",), []),
        ("base.json", ("parts", "rows.npz", "bytes"), "9"),
        ("base.json", ("parts", "rows.npz", "sha256"), "0"),
        ("base.json", ("bases", 0, "params"), []),
        ("base.json", ("bases", 0, "params"), {"no_such": 1}),
        ("base.json", ("bases", 0, "can_refit"), 1),
        ("base.json", ("bases", 0, "estimator"), "columns"),
        *(("base.json", ("bases", 0, "weight"), value) for value in (0.5, -1, 2, "1", None, True)),
        ("base.json", ("schema", "columns"), []),
        ("base.json", ("schema", "columns", 0, "name"), "b"),
        ("base.json", ("schema", "columns", 0, "name"), "\ud800"),
        ("base.json", ("schema", "columns", 0, "kind"), "category"),
        ("base.json", ("schema", "columns", 0, "length"), 2),
        ("base.json", ("schema", "columns", 0, "categories"), ["x"]),
        ("base.json", ("schema", "columns", 2, "categories"), ["x", "y"]),
        ("base.json", ("schema", "columns", 2, "categories"), [1, 2, 3]),
        ("base.json", ("schema", "columns", 2, "has_rest"), True),
        ("base.json", ("schema", "columns", 2, "kind"), "vector"),
        ("base.json", ("schema", "columns", 2, "length"), 1 << 60),
        ("base.json", ("schema", "target", "task"), "classification"),
        ("base.json", ("schema", "target", "classes"), ["a", "b"]),
        ("base.json", ("schema", "target", "classes"), [1, "b"]),
        ("base.json", ("schema", "given"), {"columns": ["p"], "is_vector": False, "width": 2}),
        ("memory.json", ("rows",), 0),
        ("memory.json", ("objective",), "log_loss"),
        ("memory.json", ("folds",), {"gain": "much"}),
        ("memory.json", ("memories", 0, "weight"), 2),
        ("memory.json", ("memories", 0, "weight"), -0.5),
        ("memory.json", ("memories", 0, "weight"), 0.5),
        *(("memory.json", ("base_share",), value) for value in (0.5, -0.1, 2, "0", None, True)),
        ("memory.json", ("memories", 0, "residuals"), "none"),
        ("memory.json", ("memories", 0, "representation"), "sensitivity"),
        ("memory.json", ("memories", 0, "representation"), "column:a"),
        ("memory.json", ("memories", 0, "cells"), 61),
        ("memory.json", ("memories", 0, "columns"), 4),
        ("memory.json", ("memories", 0, "max_cells"), 10),
        ("memory.json", ("memories", 0, "base"), True),
        ("memory.json", ("memories", 0, "search"), {"kind": "none"}),
        ("memory.json", ("memories", 0, "search"), {"kind": "hnsw", "ef": 0, "recall": None}),
        ("memory.json", ("memories", 0, "search"), {"kind": "hnsw", "ef": 9, "recall": 1.5}),
        ("memory.json", (*SETTINGS, "n_neighbors"), 0),
        ("memory.json", (*SETTINGS, "n_neighbors"), 4.0),
        ("memory.json", (*SETTINGS, "bandwidth"), -1),
        ("memory.json", (*SETTINGS, "bandwidth"), "-inf"),
        ("memory.json", (*SETTINGS, "bandwidth"), None),
        ("memory.json", (*SETTINGS, "is_relative"), 1),
        ("memory.json", (*SETTINGS, "shrinkage"), -1),
        ("memory.json", (*SETTINGS, "shrinkage"), "inf"),
        ("memory.json", (*SETTINGS, "temperature"), 0),
        *((which, ("made",), value) for which in ("base.json", "memory.json") for value in NO_TIMES),
        ("memory.json", ("history",), {}),
        ("memory.json", ("history", 0), []),
        ("memory.json", ("history", 0, "number"), 0),
        ("memory.json", ("history", 0, "number"), 2),
        ("memory.json", ("history", 1, "command"), "fit-base"),
        *(("memory.json", ("history", 1, "made"), value) for value in NO_TIMES),
        *(("memory.json", ("history", 1, name), -1) for name in ("added", "removed", "rows")),
        ("memory.json", ("history", 0, "measured"), []),
        *(("memory.json", ("history", 0, "measured", name), "much") for name in ("base", "resmem", "rows")),
        ("memory.json", ("history", 0, "measured", "metric"), 1),
        ("memory.json", ("history", 0, "measured", "residuals"), 1.5),
        ("memory.json", ("history", 0, "measured", "distances"), -0.5),
        ("memory.json", ("history", 0, "measured", "missing"), 0.5),
        ("memory.json", ("earlier",), {}),
        ("memory.json", ("earlier", 0), []),
        ("memory.json", ("earlier", 0, "id"), ".."),
        ("memory.json", ("earlier", 0, "id"), "0123456789abcdef"),
        ("memory.json", ("earlier", 0, "number"), "1"),
        ("memory.json", ("earlier", 0, "rows"), 59),
        ("memory.json", ("earlier", 0, "made"), "today"),
        ("memory.json", ("earlier", 0, "parts", "rows.npz", "sha256"), "0" * 64),
        ("memory.json", ("earlier", 0, "memories"), []),
        *(("memory.json", ("earlier", 0, "base_share"), value) for value in (0.5, -0.1, "0", None)),
        ("memory.json", ("earlier", 0, "memories", 0, "weight"), 0.5),
        ("memory.json", ("earlier", 0, "memories", 0, "cells"), 61),
        ("memory.json", ("earlier", 0, "objective"), "log_loss"),
        ("memory.json", ("earlier", 0, "folds"), {"gain": "much"}),
    ],
)
def test_a_value_that_cannot_be_is_refused(
    copied: Copied, monkeypatch: pytest.MonkeyPatch, which: str, path: tuple[Any, ...], value: Any
) -> None:
    monkeypatch.setattr(consistent.time, "sleep", lambda _: None)
    directory = with_an_earlier_memory(copied("linear"))
    whole = json.loads((directory / which).read_text())
    (directory / which).write_text(json.dumps(changed(whole, path, value)))
    with pytest.raises(ModelError):
        verifying.verify(directory)


@pytest.mark.parametrize("which", ["base.json", "memory.json"])
def test_a_pipe_in_the_place_of_a_manifest_is_refused_by_readers_and_writers(copied: Copied, which: str) -> None:
    directory = copied("linear")
    (directory / which).unlink()
    os.mkfifo(directory / which)
    with pytest.raises(ModelError, match=rf"{which} is not a regular file; fit the model again"):
        reading.load(directory)
    with pytest.raises(OutputError, match=rf"{which}' is not a regular file; remove it"):
        fit("constant").save(directory)


@pytest.mark.parametrize("name", ["arrays.npz", "rows.npz", "representation.npz"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_part_that_is_no_regular_file_is_refused(copied: Copied, name: str, kind: str) -> None:
    directory = copied("linear")
    path = next(path for path in directory.rglob(name))
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(ModelError, match=rf"{name} is not a regular file"):
        verifying.verify(directory)


def test_a_manifest_without_end_is_not_read(copied: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = copied("linear")
    monkeypatch.setattr(manifest, "MOST_BYTES", 1 << 20)
    with open(directory / "base.json", "r+b") as stream:
        stream.truncate(1 << 40)  # a file of nothing, which takes no space
    with pytest.raises(ModelError, match=r"base\.json is larger than 1 MiB"):
        reading.load_base(directory)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have_are_refused(copied: Copied, text: str) -> None:
    directory = copied("linear")
    whole = json.loads((directory / "memory.json").read_text())
    written = json.dumps(changed(whole, ("memories", 0, "weight"), 12345)).replace("12345", text)
    (directory / "memory.json").write_text(written)
    with pytest.raises(ModelError, match=f"{text} is no number of JSON"):
        reading.load(directory)


def test_what_the_folds_measured_is_said_by_the_names_of_the_format() -> None:
    settings = Settings(4, 0.3)
    candidate = Candidate(1, "learned:mlp", "cross-fitted")
    selection = Selection(
        choices=(Choice(candidate, settings, 0.6),),
        scores=(Score(candidate, settings, 2.0, 0.5),),
        objective="rmse",
        base_loss=3.0,
        resmem_loss=2.0,
        gain=1.0,
        standard_error=0.25,
        helps=True,
        is_clear=False,
        n_folds=5,
        refitted=True,
        n_queries=100,
        forced=False,
        uncondensed_loss=1.5,
    )
    place = {"base": 1, "representation": "learned:mlp", "residuals": "cross-fitted"}
    own = {"n_neighbors": 4, "bandwidth": 0.3, "is_relative": True, "shrinkage": 1.0, "temperature": 1.0}
    folds = description.folds_json(selection, "who")
    assert folds == {
        "members": [{"place": place, "settings": own, "weight": 0.6}],
        "candidates": [{"place": place, "settings": own, "loss": 2.0, "standard_error": 0.5}],
        "objective": "rmse",
        "base_loss": 3.0,
        "resmem_loss": 2.0,
        "gain": 1.0,
        "standard_error": 0.25,
        "helps": True,
        "is_clear": False,
        "n_folds": 5,
        "refitted": True,
        "n_queries": 100,
        "forced": False,
        "whole_loss": 1.5,
        "group_column": "who",
        "time_column": None,
    }
    description.check_folds({"folds": folds})
    assert description.folds_json(None) == {}
