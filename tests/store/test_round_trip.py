"""What is saved is what is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resmem_cli.data import replacement
from resmem_cli.errors import OutputError
from resmem_cli.model.memory import ExactIndex, HnswIndex
from resmem_cli.store import manifest, parts, reading, writing
from tests.store.conftest import N_GRAPH_ROWS, contents, fit

ESTIMATORS = ("boosting", "linear", "mlp", "constant")
Saved = Callable[..., Path]


@pytest.mark.parametrize("n_classes", [0, 2, 3])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_loaded_model_predicts_to_the_last_bit_as_the_saved_one(saved: Saved, estimator: str, n_classes: int) -> None:
    fitted = fit(estimator, n_classes=n_classes)
    base, loaded = reading.load(saved(estimator, n_classes=n_classes))
    expected, found = fitted.remembered.model.predict(fitted.X), loaded.predict(fitted.X)
    np.testing.assert_array_equal(found.base, expected.base)
    np.testing.assert_array_equal(found.resmem, expected.resmem)
    assert (base.schema, base.problem, base.n_rows) == (fitted.base.schema, fitted.base.problem, fitted.base.n_rows)
    assert base.spec.estimator == estimator


@pytest.mark.parametrize("n_classes", [0, 3])
@pytest.mark.parametrize(
    "name", ["features", "sensitivity", "model", "learned:diagonal", "learned:linear", "learned:mlp"]
)
def test_every_representation_comes_back(saved: Saved, name: str, n_classes: int) -> None:
    fitted = fit("mlp", n_classes=n_classes, representation=name)
    loaded = reading.load(saved("mlp", n_classes=n_classes, representation=name)).resmem
    assert loaded.representation.name == name
    np.testing.assert_array_equal(loaded.predict(fitted.X).resmem, fitted.remembered.model.predict(fitted.X).resmem)


def test_parameters_come_back_as_json_has_them(saved: Saved) -> None:
    assert reading.load_base(saved("mlp")).spec.params == {"hidden_layer_sizes": [6, 4], "max_iter": 20}


def test_the_search_graph_comes_back_with_its_width_and_recall(saved: Saved) -> None:
    fitted = fit("constant", n_rows=N_GRAPH_ROWS)
    loaded = reading.load(saved("constant", n_rows=N_GRAPH_ROWS)).resmem
    index, original = loaded.memory.index, fitted.remembered.model.memory.index
    assert isinstance(index, HnswIndex)
    assert isinstance(original, HnswIndex)
    assert (index.ef, index.recall) == (original.ef, original.recall)
    queries = fitted.X + 0.01
    np.testing.assert_array_equal(loaded.predict(queries).resmem, fitted.remembered.model.predict(queries).resmem)


def test_few_cells_are_stored_as_points_for_the_exact_search(saved: Saved) -> None:
    directory = saved("linear")
    assert isinstance(reading.load(directory).resmem.memory.index, ExactIndex)
    assert not list(directory.rglob("*.hnsw"))


def test_seen_hashes_are_those_of_the_base_alone_or_also_of_the_memory(tmp_path: Path) -> None:
    fitted = fit("linear")
    base_id = writing.save_base(tmp_path, fitted.base, np.array([7, 8, 8], dtype=np.uint64))
    writing.save_memory(tmp_path, base_id, fitted.remembered, fitted.rows, {})
    assert reading.seen_hashes(tmp_path, with_memory=False).tolist() == [7, 8]
    assert reading.seen_hashes(tmp_path, with_memory=True).tolist() == list(range(60))


def test_ids_are_stored_as_text_and_can_be_cut_out_again(saved: Saved) -> None:
    directory = saved("linear")
    stored = parts.load_arrays(next(path for path in directory.rglob("rows.npz") if "cells" in np.load(path).files))
    starts = [0, *stored["id_ends"][:-1].tolist()]
    text = stored["id_bytes"].tobytes()
    ids = [text[start:end].decode() for start, end in zip(starts, stored["id_ends"].tolist(), strict=True)]
    assert ids == fit("linear").rows.ids


def test_an_infinite_bandwidth_and_an_unknown_recall_survive_json(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    manifest.write(path, {"bandwidth": float("inf"), "recall": float("nan"), "low": -float("inf"), "tuple": (1, 2)})
    found = manifest.read(path)
    assert (found["bandwidth"], found["recall"], found["low"], found["tuple"]) == ("inf", None, "-inf", [1, 2])
    assert float(found["bandwidth"]) == float("inf")
    assert "Infinity" not in path.read_text()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, estimator: str) -> None:
    for name in ("first", "second"):
        fit.cache_clear()
        fit(estimator, n_classes=3).save(tmp_path / name)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_the_same_seed_gives_the_same_search_graph(tmp_path: Path) -> None:
    for name in ("first", "second"):
        fit.cache_clear()
        fit("constant", n_rows=N_GRAPH_ROWS).save(tmp_path / name)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_saving_again_replaces_the_generation_and_sweeps_the_old_one(copied: Saved) -> None:
    directory = copied("linear")
    before = {path.name for path in (directory / "parts").iterdir()}
    fit("constant").save(directory)
    after = {path.name for path in (directory / "parts").iterdir()}
    assert len(before) == len(after) == 2
    assert not before & after
    assert reading.load(directory).base.spec.estimator == "constant"


def test_saving_the_same_again_changes_no_byte(copied: Saved) -> None:
    directory = copied("linear")
    before = contents(directory)
    fit("linear").save(directory)
    assert contents(directory) == before


def test_saving_the_same_again_repairs_damaged_parts(copied: Saved) -> None:
    directory = copied("linear")
    before = contents(directory)
    for path in directory.rglob("*.npz"):
        path.write_bytes(b"damaged")
    fit("linear").save(directory)
    assert contents(directory) == before


@pytest.mark.parametrize("damage", ["{", "[]", '{"format": 99, "resmem": "9.0", "id": "0123456789abcdef"}'])
def test_a_base_can_be_saved_over_a_memory_whose_manifest_says_nothing(copied: Saved, damage: str) -> None:
    """What a damaged manifest names is not known: it stays until that manifest is written again."""
    directory = copied("linear")
    (directory / "memory.json").write_text(damage)
    fitted = fit("constant")
    base_id = writing.save_base(directory, fitted.base, fitted.rows.hashes)
    assert reading.load_base(directory).spec.estimator == "constant"
    writing.save_memory(directory, base_id, fitted.remembered, fitted.rows, {})
    assert reading.load(directory).base.id == base_id
    assert len(list((directory / "parts").iterdir())) == 2


def test_a_damaged_base_can_be_saved_over(copied: Saved) -> None:
    directory = copied("linear")
    (directory / "base.json").write_text("{")
    fit("linear").save(directory)
    reading.load(directory)


class _OutOfOrderError(Exception):
    """Something that goes wrong in the middle of a save."""


@pytest.mark.parametrize("error", [_OutOfOrderError(), KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("step", ["save_arrays", "record", "publish", "write"])
@pytest.mark.parametrize("is_fresh", [True, False])
def test_an_interrupted_save_leaves_what_was_there(
    copied: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, step: str, error: BaseException, is_fresh: bool
) -> None:
    directory = tmp_path / "new" / "model" if is_fresh else copied("linear")
    before = contents(tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(manifest if step == "write" else parts, step, fail)
    expected = OutputError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected) as raised:
        fit("constant").save(directory)
    if expected is OutputError:
        assert str(raised.value) == (
            f"the model directory '{directory}' cannot be written (No space left on device); "
            "free some space or check permissions"
        )
    assert contents(tmp_path) == before
    monkeypatch.undo()
    if not is_fresh:
        assert reading.load(directory).base.spec.estimator == "linear"


def test_a_manifest_that_cannot_take_its_place_leaves_the_old_generation(
    copied: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = copied("linear")
    before = contents(directory)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(replacement.os, "replace", full)
    with pytest.raises(
        OutputError, match=r"base\.json' cannot be written \(No space left on device\); free some space$"
    ):
        fit("constant").save(directory)
    assert contents(directory) == before


def test_a_graph_that_hnswlib_could_not_write_whole_is_noticed(copied: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    """hnswlib says nothing when the disk is full."""
    directory = copied("linear")
    before = contents(directory)
    save = HnswIndex.save

    def cut(self: HnswIndex, path: Path) -> None:
        save(self, path)
        path.write_bytes(path.read_bytes()[:1_000])

    monkeypatch.setattr(HnswIndex, "save", cut)
    fitted = fit("constant", n_rows=N_GRAPH_ROWS)
    with pytest.raises(OutputError, match="No space left on device"):
        writing.save_memory(directory, "0" * 16, fitted.remembered, fitted.rows, {})
    assert contents(directory) == before


def test_what_a_writer_left_that_died_long_ago_is_swept_and_a_recent_one_stays(copied: Saved) -> None:
    import os

    directory = copied("linear")
    old, recent = directory / "parts" / ".0000.tmp", directory / "parts" / ".1111.tmp"
    old.mkdir()
    recent.mkdir()
    os.utime(old, (0, 0))
    fit("constant").save(directory)
    assert not old.exists()
    assert recent.exists()


def test_a_directory_of_other_things_is_refused(tmp_path: Path) -> None:
    from resmem_cli.errors import UsageError

    (tmp_path / ".hidden").touch()
    writing.refuse_foreign(tmp_path)
    writing.refuse_foreign(tmp_path / "not there")
    (tmp_path / "photos").mkdir()
    with pytest.raises(UsageError, match="holds other things than a model \\('photos'\\)"):
        writing.refuse_foreign(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        writing.refuse_foreign(tmp_path / "file")


def test_a_reader_meets_a_newer_generation_that_took_the_place_of_the_one_it_read_of(
    copied: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest is read, a writer replaces the generation, and the parts are gone: the reader starts again."""
    directory = copied("linear")
    checked, calls = parts.checked, []

    def late(*arguments: object) -> object:
        if not calls:
            calls.append(1)
            fit("constant").save(directory)
        return checked(*arguments)

    monkeypatch.setattr(parts, "checked", late)
    assert reading.load(directory).base.spec.estimator == "constant"


def test_manifests_say_format_versions_and_the_hash_of_every_part(saved: Saved) -> None:
    directory = saved("boosting")
    base, memory = (json.loads((directory / name).read_text()) for name in ("base.json", "memory.json"))
    for content in (base, memory):
        assert content["format"] == manifest.FORMAT == 1
        assert content["resmem"]
        assert set(content["libraries"]) == {"numpy", "scikit-learn", "hnswlib", "pyarrow", "skops"}
        for name, part in content["parts"].items():
            path = directory / "parts" / content["id"] / name
            assert path.stat().st_size == part["bytes"]
            assert len(part["sha256"]) == 64
    assert set(base["parts"]) == {"arrays.npz", "estimator.skops", "rows.npz"}
    assert set(memory["parts"]) == {"arrays.npz", "representation.npz", "rows.npz"}
    assert memory["base"] == base["id"]
