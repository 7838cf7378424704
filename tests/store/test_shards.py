"""A memory in shards: files for each, of which those that change alone are written anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from resmem_cli.errors import ModelError
from resmem_cli.model.memory.building import build_index
from resmem_cli.model.memory.index import ExactIndex, GraphOptions, HnswIndex
from resmem_cli.model.memory.shards import ShardedIndex
from resmem_cli.model.rows import LabelledRows
from resmem_cli.store import consistent, manifest, reading, verifying, writing
from resmem_cli.store.history import FORGET, REMEMBER, Change
from tests.store.conftest import Fitted, fit

Cut = Callable[..., Path]


@cache
def cut_model(size: int, *, n_rows: int = 60, n_classes: int = 0, estimators: str = "linear") -> Fitted:
    """A model whose memories are in shards."""
    fitted, members = fit(estimators, n_rows=n_rows, n_classes=n_classes), []
    for member in fitted.members:
        memory, options = member.memory, GraphOptions(shard_cells=size)
        points = memory.index.points_at(np.arange(memory.n_cells))
        index = build_index(points, member.settings.n_neighbors, options, 0, 1)
        members.append(replace(member, memory=replace(memory, index=index, graph=options)))
    return replace(fitted, members=tuple(members))


@pytest.fixture
def cut(tmp_path: Path) -> Cut:
    """Save a model whose memories are in shards."""
    return lambda size, **more: cut_model(size, **more).save(tmp_path / "model")


def files(directory: Path) -> dict[str, int]:
    """The files of the present memories, and where they lie on the disk."""
    folder = directory / "parts" / manifest.read(directory / "memory.json")["id"]
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def shard_files(directory: Path) -> dict[str, int]:
    return {name: at for name, at in files(directory).items() if name.startswith("shard")}


def refused(directory: Path, sentence: str) -> None:
    with pytest.raises(ModelError) as raised:
        reading.load(directory)
    assert str(raised.value) == sentence


def edit_search(directory: Path, **changes: object) -> None:
    content = json.loads((directory / "memory.json").read_text())
    content["memories"][0]["search"] |= changes
    (directory / "memory.json").write_text(json.dumps(content))


@pytest.mark.parametrize("n_classes", [0, 3, 110])
@pytest.mark.parametrize("estimators", ["linear", "linear,constant"])
def test_a_memory_in_exact_shards_predicts_as_one_in_a_single_piece(cut: Cut, estimators: str, n_classes: int) -> None:
    n_rows = max(60, 3 * n_classes)
    whole = fit(estimators, n_rows=n_rows, n_classes=n_classes)
    directory = cut(25, n_rows=n_rows, n_classes=n_classes, estimators=estimators)
    loaded = reading.load(directory).resmem
    for member, original in zip(loaded.members, whole.members, strict=True):
        assert isinstance(member.memory.index, ShardedIndex)
        assert len(member.memory.index.shards) == -(-original.memory.n_cells // 25)
        assert member.memory.graph == GraphOptions(shard_cells=25)
    np.testing.assert_array_equal(loaded.predict(whole.X + 0.01).resmem, whole.resmem.predict(whole.X + 0.01).resmem)
    assert verifying.verify(directory).has_memory


def test_graphs_of_shards_come_back_with_their_width_and_recall(cut: Cut) -> None:
    directory = cut(1_400, n_rows=2_500, estimators="constant")
    fitted = cut_model(1_400, n_rows=2_500, estimators="constant")
    index, original = reading.load(directory).resmem.members[0].memory.index, fitted.members[0].memory.index
    assert isinstance(index, ShardedIndex)
    assert isinstance(original, ShardedIndex)
    assert [type(shard) for shard in index.shards] == [HnswIndex, HnswIndex]
    assert (index.ef, index.recall) == (original.ef, original.recall)
    queries = original.points_at(np.arange(50)) + np.float32(0.01)
    for ours, theirs in zip(index.search(queries, 4), original.search(queries, 4), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert set(files(directory)) == {
        "representation.npz",
        "rows.npz",
        *(f"shard_0_{i}.{suffix}" for i in range(2) for suffix in ("npz", "hnsw")),
    }
    assert verifying.verify(directory).n_files == 6 + 2


def test_memory_json_says_which_shards_there_are(cut: Cut) -> None:
    content = manifest.read(cut(25) / "memory.json")["memories"][0]
    assert content["graph"]["shard_cells"] == 25
    assert content["search"] == {
        "kind": "shards",
        "ef": None,
        "recall": None,
        "shards": [{"kind": "exact", "cells": 20}] * 3,
    }


def changed(directory: Path, gone: list[int]) -> None:
    stored, rows = reading.load_for_change(directory)
    which = np.isin(np.arange(len(rows.hashes)), gone)
    resmem = stored.resmem.forget(which, None, seed=0)
    writing.replace_every(directory, [(resmem, rows.take(~which))], Change(FORGET, 0, len(gone)))


def test_forget_writes_the_shards_anew_that_lose_a_cell_and_no_others(cut: Cut) -> None:
    directory = cut(1_100, n_rows=3_300, estimators="constant")
    before = shard_files(directory)
    changed(directory, [1_200, 1_201])
    after = shard_files(directory)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {"shard_0_1.npz", "shard_0_1.hnsw"}
    assert verifying.verify(directory).leftovers == ()
    made = fit("constant", n_rows=3_300)
    points = made.members[0].memory.index.points_at(np.delete(np.arange(3_300), [1_200, 1_201]))
    index = reading.load(directory).resmem.members[0].memory.index
    np.testing.assert_array_equal(index.points_at(np.arange(3_298)), points)
    found, expected = index.search(points[::7] + np.float32(0.01), 4, 1), None
    expected = ExactIndex(points).search(points[::7] + np.float32(0.01), 4)
    assert (found[0] <= expected[0][:, -1:] * (1 + 1e-5)).mean() >= 0.98


def test_a_graph_that_stays_is_not_even_written_for_a_moment(cut: Cut, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = cut(1_100, n_rows=3_300, estimators="constant")
    written = []
    save = HnswIndex.save
    monkeypatch.setattr(HnswIndex, "save", lambda self, path: (written.append(path.name), save(self, path)))
    changed(directory, [2_500])
    assert written == ["shard_0_2.hnsw"]


def test_a_model_that_was_loaded_is_written_whole_to_another_directory(cut: Cut, tmp_path: Path) -> None:
    """No file of one directory is one of another: whoever damages one does not damage both."""
    directory = cut(1_100, n_rows=2_200, estimators="constant")
    stored, rows = reading.load_for_change(directory)
    other = tmp_path / "other"
    base_id = writing.save_base(other, stored.base, reading.trained_rows(directory))
    writing.save_memory(other, base_id, stored.resmem, rows, objective="rmse", folds={})
    assert shard_files(other).keys() == shard_files(directory).keys()
    assert not {*shard_files(other).values()} & {*shard_files(directory).values()}
    assert verifying.verify(other).has_memory


def test_a_cell_that_only_loses_a_row_leaves_its_graph_alone(cut: Cut) -> None:
    fitted = cut_model(20)
    twice = np.arange(60) // 2 * 2
    points = fitted.members[0].memory.index.points_at(np.arange(60))[twice]
    member = fitted.members[0]
    memory = member.memory.changed(np.zeros(60, bool), points, np.ones((60, 1)), None, n_neighbors=4, seed=0, threads=1)
    directory = replace(fitted, members=(replace(member, memory=memory),)).save(cut(20))
    before = shard_files(directory)
    assert len(before) == 2
    changed(directory, [1])
    after = shard_files(directory)
    assert {name for name in after if after[name] != before[name]} == {"shard_0_0.npz"}


def test_a_shard_that_is_missing_is_named(cut: Cut, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consistent.time, "sleep", lambda _: None)
    directory = cut(25)
    path = next(directory.rglob("shard_0_1.npz"))
    path.unlink()
    refused(directory, f"the model directory '{directory}' lacks {path}; fit the model again")


def test_a_shard_with_other_bytes_is_named(cut: Cut) -> None:
    directory = cut(1_100, n_rows=2_200, estimators="constant")
    path = next(directory.rglob("shard_0_1.hnsw"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    refused(directory, f"{path} has another SHA-256 than its manifest says; fit the model again")


def test_shards_that_are_not_those_of_the_cells_are_refused(cut: Cut) -> None:
    directory = cut(25)
    for cells, why in (
        ([20, 20], "its 2 shards are not those of 60 cells"),
        ([60], "its 1 shards are not those of 60 cells"),
        ([20, 20, 0, 20], "cells is 0, not a whole number of 1 to 9007199254740992"),
    ):
        edit_search(directory, shards=[{"kind": "exact", "cells": n} for n in cells])
        refused(directory, f"the model directory '{directory}' is damaged (ValueError: {why}); fit the model again")
    edit_search(directory, shards=[{"kind": "exact", "cells": n} for n in (19, 21, 20)])
    with pytest.raises(ModelError, match="is damaged"):
        reading.load(directory)
    edit_search(directory, shards=[{"kind": "hnsw", "cells": 20}] * 3)
    with pytest.raises(ModelError, match=r"is damaged \(ValueError: ef is None"):
        reading.load(directory)


def test_the_arrays_of_another_shard_are_refused(cut: Cut) -> None:
    directory = cut(1_100, n_rows=2_201, estimators="constant")
    content = json.loads((directory / "memory.json").read_text())
    assert [each["cells"] for each in content["memories"][0]["search"]["shards"]] == [733, 734, 734]
    folder = directory / "parts" / content["id"]
    (folder / "shard_0_1.npz").write_bytes((folder / "shard_0_0.npz").read_bytes())
    content["parts"]["shard_0_1.npz"] = content["parts"]["shard_0_0.npz"]
    (directory / "memory.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="is damaged"):
        reading.load(directory)


@pytest.mark.parametrize("value", [None, True, 0, -1, 0.5, 1e300, "text", [], [1], {}, {"kind": "exact"}])
def test_a_field_of_shards_of_any_other_kind_is_refused(cut: Cut, value: object) -> None:
    directory = cut(25)
    content = json.loads((directory / "memory.json").read_text())
    member = content["memories"][0]
    places = (
        *((member["search"]["shards"][0], name) for name in ("kind", "cells")),
        (member["search"], "shards"),
        (member["graph"], "shard_cells"),
    )
    for place, name in places:
        before, place[name] = place[name], value
        (directory / "memory.json").write_text(json.dumps(content))
        with pytest.raises(ModelError, match="is damaged"):
            reading.load(directory)
        place[name] = before


def test_a_memory_of_format_9_has_graphs_of_the_usual_size(cut: Cut) -> None:
    directory = fit("linear").save(cut(25))
    content = json.loads((directory / "memory.json").read_text())
    del content["memories"][0]["graph"]["shard_cells"]
    content["format"] = 9
    (directory / "memory.json").write_text(json.dumps(content))
    assert reading.load(directory).resmem.members[0].memory.graph == GraphOptions()


def test_remember_writes_the_last_shard_and_further_ones(cut: Cut) -> None:
    directory = cut(1_100, n_rows=2_000, estimators="constant")
    before = shard_files(directory)
    stored, rows = reading.load_for_change(directory)
    n_new = 300
    X = np.column_stack([np.random.default_rng(1).normal(size=(n_new, 2)), np.zeros(n_new)])
    new = LabelledRows(X, X[:, 0], None, np.ones(n_new, bool))
    resmem = stored.resmem.remember(new, np.full(2_000, -1), None, seed=0)
    more = replace(
        rows,
        hashes=np.arange(2_300, dtype=np.uint64),
        ids=[*rows.ids, *(f"new {i}" for i in range(n_new))],
    )
    writing.replace_memory(directory, resmem, more, Change(REMEMBER, n_new, 0), keep=1)
    after = shard_files(directory)
    assert {name for name in after if after[name] != before.get(name)} == {
        "shard_0_1.npz",
        "shard_0_1.hnsw",
        "shard_0_2.npz",
    }
    shards = reading.load(directory).resmem.members[0].memory.index.shards
    assert [shard.n_points for shard in shards] == [1_000, 1_100, 200]
    assert verifying.verify(directory).n_kept == 1
