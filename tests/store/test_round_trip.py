"""What is saved is what is loaded."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest

from resmem_cli.data import encoding, replacement, sources, tables
from resmem_cli.errors import ModelError, OutputError
from resmem_cli.model.memory.index import ExactIndex, HnswIndex
from resmem_cli.model.residuals import to_arrays
from resmem_cli.store import manifest, ownership, parts, reading, verifying, writing
from resmem_cli.store.rows import TrainedRows
from tests.store.conftest import N_GRAPH_ROWS, Fitted, contents, fit

ESTIMATORS = ("boosting", "linear", "mlp", "network", "constant")
Saved = Callable[..., Path]


@pytest.mark.parametrize("n_classes", [0, 2, 3])
@pytest.mark.parametrize("estimator", [*ESTIMATORS, "boosting,linear", "linear,mlp,boosting"])
def test_a_loaded_model_predicts_to_the_last_bit_as_the_saved_one(saved: Saved, estimator: str, n_classes: int) -> None:
    fitted = fit(estimator, n_classes=n_classes)
    base, loaded, objective, *_ = reading.load(saved(estimator, n_classes=n_classes))
    expected, found = fitted.resmem.predict(fitted.X), loaded.predict(fitted.X)
    np.testing.assert_array_equal(found.base, expected.base)
    np.testing.assert_array_equal(found.resmem, expected.resmem)
    assert (base.schema, base.problem, base.n_rows) == (fitted.base.schema, fitted.base.problem, fitted.base.n_rows)
    assert ",".join(spec.estimator for spec in base.specs) == estimator
    assert len(loaded.bases) == len(loaded.members) == len(base.specs)
    assert objective == ("log_loss" if n_classes else "rmse")


@pytest.mark.parametrize("n_classes", [0, 3])
@pytest.mark.parametrize(
    "name", ["features", "sensitivity", "model", "learned:diagonal", "learned:linear", "learned:mlp"]
)
def test_every_representation_comes_back(saved: Saved, name: str, n_classes: int) -> None:
    fitted = fit("mlp", n_classes=n_classes, representation=name)
    loaded = reading.load(saved("mlp", n_classes=n_classes, representation=name)).resmem
    assert loaded.members[0].space.name == name
    np.testing.assert_array_equal(loaded.predict(fitted.X).resmem, fitted.resmem.predict(fitted.X).resmem)


def test_some_classes_of_each_residual_come_back(saved: Saved) -> None:
    options = {"n_classes": 110, "n_rows": 330}
    fitted, directory = fit("discriminant,constant", **options), saved("discriminant,constant", **options)
    model, _ = reading.load_for_change(directory)
    expected, found = fitted.resmem.predict(fitted.X), reading.load(directory).resmem.predict(fitted.X)
    np.testing.assert_array_equal(found.resmem, expected.resmem)
    for one, other in zip(model.resmem.members, fitted.members, strict=True):
        assert one.memory.contents is not None
        assert other.memory.contents is not None
        assert one.memory.is_sparse
        for held, original in (
            (one.memory.residuals, other.memory.residuals),
            (one.memory.contents.residuals, other.memory.contents.residuals),
        ):
            assert to_arrays(held).keys() == {"residuals", "residual_classes"}
            for name, array in to_arrays(original).items():
                np.testing.assert_array_equal(to_arrays(held)[name], array)


def test_parameters_come_back_as_json_has_them(saved: Saved) -> None:
    assert reading.load_base(saved("mlp")).specs[0].params == {"hidden_layer_sizes": [6, 4], "max_iter": 20}


def test_the_search_graph_comes_back_with_its_width_and_recall(saved: Saved) -> None:
    fitted = fit("constant", n_rows=N_GRAPH_ROWS)
    loaded = reading.load(saved("constant", n_rows=N_GRAPH_ROWS)).resmem
    index, original = loaded.members[0].memory.index, fitted.resmem.members[0].memory.index
    assert isinstance(index, HnswIndex)
    assert isinstance(original, HnswIndex)
    assert (index.ef, index.recall) == (original.ef, original.recall)
    queries = fitted.X + 0.01
    np.testing.assert_array_equal(loaded.predict(queries).resmem, fitted.resmem.predict(queries).resmem)


def test_few_cells_are_stored_as_points_for_the_exact_search(saved: Saved) -> None:
    directory = saved("linear")
    assert isinstance(reading.load(directory).resmem.members[0].memory.index, ExactIndex)
    assert not list(directory.rglob("*.hnsw"))


def test_seen_hashes_are_those_of_the_base_alone_or_also_of_the_memory(tmp_path: Path) -> None:
    fitted = fit("linear")
    base_id = writing.save_base(tmp_path, fitted.base, TrainedRows(np.array([7, 8, 8], dtype=np.uint64)))
    fitted.save_memory(tmp_path, base_id)
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


@pytest.fixture
def one_time(monkeypatch: pytest.MonkeyPatch) -> str:
    """Every manifest says that it was made at one time."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    return "2023-11-14T22:13:20Z"


@pytest.mark.usefixtures("one_time")
@pytest.mark.parametrize("estimator", [*ESTIMATORS, "boosting,linear"])
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, estimator: str) -> None:
    for name in ("first", "second"):
        fit.cache_clear()
        fit(estimator, n_classes=3).save(tmp_path / name)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


@pytest.mark.usefixtures("one_time")
def test_the_same_seed_gives_the_same_search_graph(tmp_path: Path) -> None:
    for name in ("first", "second"):
        fit.cache_clear()
        fit("constant", n_rows=N_GRAPH_ROWS).save(tmp_path / name)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_manifests_say_when_they_were_made_and_nothing_else_depends_on_it(
    tmp_path: Path, one_time: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fit("linear").save(tmp_path / "first")
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    before = manifest.now()
    second = fit("linear").save(tmp_path / "second")
    for name in ("base.json", "memory.json"):
        old, new = (json.loads((directory / name).read_text()) for directory in (first, second))
        assert old["made"] == one_time
        assert before <= new["made"] <= manifest.now()
        assert old | {"made": None} == new | {"made": None}


def test_saving_again_replaces_the_generation_and_sweeps_the_old_one(copied: Saved) -> None:
    directory = copied("linear")
    before = {path.name for path in (directory / "parts").iterdir()}
    fit("constant").save(directory)
    after = {path.name for path in (directory / "parts").iterdir()}
    assert len(before) == len(after) == 2
    assert not before & after
    assert reading.load(directory).base.specs[0].estimator == "constant"


@pytest.mark.usefixtures("one_time")
def test_saving_the_same_again_changes_no_byte(tmp_path: Path) -> None:
    directory = fit("linear").save(tmp_path / "model")
    before = contents(directory)
    fit("linear").save(directory)
    assert contents(directory) == before


@pytest.mark.usefixtures("one_time")
def test_saving_the_same_again_repairs_damaged_parts(tmp_path: Path) -> None:
    directory = fit("linear").save(tmp_path / "model")
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
    base_id = writing.save_base(directory, fitted.base, TrainedRows(fitted.rows.hashes))
    assert reading.load_base(directory).specs[0].estimator == "constant"
    fitted.save_memory(directory, base_id)
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
        assert reading.load(directory).base.specs[0].estimator == "linear"


def test_a_manifest_that_cannot_take_its_place_leaves_the_old_generation(
    copied: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = copied("linear")
    before, replace_file = contents(directory), os.replace

    def full(source: object, target: object) -> None:
        if str(target).endswith("base.json"):
            raise OSError(28, "No space left on device")
        replace_file(source, target)

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
        fitted.save_memory(directory, "0" * 16)
    assert contents(directory) == before


def test_what_a_writer_left_that_died_is_swept_by_the_next(copied: Saved) -> None:
    directory = copied("linear")
    left = directory / "parts" / ".0123abcd.tmp"
    left.mkdir()
    fit("constant").save(directory)
    assert not left.exists()


def test_a_directory_of_other_things_is_refused(tmp_path: Path) -> None:
    from resmem_cli.errors import UsageError

    (tmp_path / ".hidden").touch()
    ownership.refuse_foreign(tmp_path)
    ownership.refuse_foreign(tmp_path / "not there")
    (tmp_path / "photos").mkdir()
    with pytest.raises(UsageError, match="contains files that do not belong to a model \\('photos'\\)"):
        ownership.refuse_foreign(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        ownership.refuse_foreign(tmp_path / "file")


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
    assert reading.load(directory).base.specs[0].estimator == "constant"


def test_manifests_say_format_versions_and_the_hash_of_every_part(saved: Saved) -> None:
    directory = saved("boosting")
    base, memory = (json.loads((directory / name).read_text()) for name in ("base.json", "memory.json"))
    for content in (base, memory):
        assert content["format"] == manifest.FORMAT == 11
        assert content["resmem"]
        assert set(content["libraries"]) == {"numpy", "scikit-learn", "hnswlib", "pyarrow", "skops"}
        for name, part in content["parts"].items():
            path = directory / "parts" / content["id"] / name
            assert path.stat().st_size == part["bytes"]
            assert len(part["sha256"]) == 64
    assert set(base["parts"]) == {"arrays.npz", "rows.npz"}
    assert set(memory["parts"]) == {"arrays.npz", "representation.npz", "rows.npz"}
    assert memory["base"] == base["id"]


# Several bases and memories


@pytest.mark.parametrize("n_classes", [0, 3])
def test_every_base_and_memory_comes_back_in_its_place(saved: Saved, n_classes: int) -> None:
    fitted = fit("mlp,linear", n_classes=n_classes, representation="learned:linear")
    base, loaded, *_ = reading.load(saved("mlp,linear", n_classes=n_classes, representation="learned:linear"))
    assert [spec.params for spec in base.specs] == [{"hidden_layer_sizes": [6, 4], "max_iter": 20}, {}]
    assert loaded.weights.tolist() == pytest.approx([2 / 3, 1 / 3], abs=0)
    for i, (found, original) in enumerate(zip(loaded.members, fitted.resmem.members, strict=True)):
        assert found.base == original.base == i
        assert found.settings == original.settings
        assert found.space.name == "learned:linear"
        np.testing.assert_array_equal(base.bases[i].predict(fitted.X), fitted.base.bases[i].predict(fitted.X))
        np.testing.assert_array_equal(found.memory.residuals, original.memory.residuals)
        for key, value in original.space.to_arrays().items():
            np.testing.assert_array_equal(found.space.to_arrays()[key], value)


def test_every_memory_has_a_search_graph_of_its_own(saved: Saved) -> None:
    fitted = fit("constant,linear", n_rows=N_GRAPH_ROWS)
    directory = saved("constant,linear", n_rows=N_GRAPH_ROWS)
    assert sorted(path.name for path in directory.rglob("*.hnsw")) == ["graph.hnsw", "graph_1.hnsw"]
    queries = fitted.X + 0.01
    found = reading.load(directory).resmem.predict(queries).resmem
    np.testing.assert_array_equal(found, fitted.resmem.predict(queries).resmem)


def test_the_first_of_each_has_plain_names_and_the_others_numbers(saved: Saved) -> None:
    directory = saved("boosting,linear,mlp")
    base, memory = (json.loads((directory / name).read_text()) for name in ("base.json", "memory.json"))
    arrays = ["arrays.npz", "arrays_1.npz", "arrays_2.npz"]
    spaces = ["representation.npz", "representation_1.npz", "representation_2.npz"]
    assert sorted(base["parts"]) == [*arrays, "rows.npz"]
    assert sorted(memory["parts"]) == [*arrays, *spaces, "rows.npz"]
    assert [each["estimator"] for each in base["bases"]] == ["boosting", "linear", "mlp"]
    assert [(each["base"], each["residuals"]) for each in memory["memories"]] == [
        (0, "in-sample"),
        (1, "cross-fitted"),
        (2, "in-sample"),
    ]


def test_every_memory_keeps_the_cell_of_every_row(saved: Saved) -> None:
    fitted = fit("constant,linear")
    directory = saved("constant,linear")
    identity = json.loads((directory / "memory.json").read_text())["id"]
    stored = parts.load_arrays(directory / "parts" / identity / "rows.npz")
    for key, member in zip(("cells", "cells_1"), fitted.members, strict=True):
        assert member.memory.contents is not None
        np.testing.assert_array_equal(stored[key], member.memory.contents.cells)


def test_the_objective_comes_back(tmp_path: Path) -> None:
    fitted = fit("linear")
    fitted.save_memory(tmp_path, writing.save_base(tmp_path, fitted.base, TrainedRows(fitted.rows.hashes)), "mae")
    assert reading.load(tmp_path).objective == "mae"


def test_one_memory_on_the_second_of_two_bases_comes_back(tmp_path: Path) -> None:
    fitted = fit("constant,linear")
    fitted = replace(fitted, members=(replace(fitted.members[1], weight=1.0),))
    loaded = reading.load(fitted.save(tmp_path)).resmem
    assert [member.base for member in loaded.members] == [1]
    found, expected = loaded.predict(fitted.X), fitted.resmem.predict(fitted.X)
    np.testing.assert_array_equal(found.resmem, expected.resmem)
    np.testing.assert_array_equal(found.base, fitted.base.bases[0].predict(fitted.X))


# A base that is a mean, and its share


def of_a_mean(*, base_share: float = 0.25) -> Fitted:
    """A model of two bases that weigh 3/4 and 1/4 in the base, whose two memories leave it a share."""
    fitted = fit("linear,constant")
    members = tuple(replace(member, weight=member.weight * (1 - base_share)) for member in fitted.members)
    return replace(fitted, base=replace(fitted.base, weights=(0.75, 0.25)), members=members, base_share=base_share)


def test_the_weights_of_bases_and_the_share_of_the_base_come_back(tmp_path: Path) -> None:
    fitted = of_a_mean()
    directory = fitted.save(tmp_path / "m")
    base, memory = (json.loads((directory / name).read_text()) for name in ("base.json", "memory.json"))
    assert ([each["weight"] for each in base["bases"]], memory["base_share"]) == ([0.75, 0.25], 0.25)
    loaded = reading.load(directory)
    assert loaded.base.weights == loaded.resmem.base_weights == (0.75, 0.25)
    assert loaded.resmem.base_share == 0.25
    found, expected = loaded.resmem.predict(fitted.X), fitted.resmem.predict(fitted.X)
    np.testing.assert_array_equal(found.resmem, expected.resmem)
    np.testing.assert_array_equal(found.base, expected.base)
    mean = 0.75 * fitted.base.bases[0].predict(fitted.X) + 0.25 * fitted.base.bases[1].predict(fitted.X)
    np.testing.assert_allclose(found.base, mean, rtol=1e-12)
    verifying.verify(directory)


def test_of_bases_without_weights_the_first_is_the_base(saved: Saved) -> None:
    directory = saved("linear,constant")
    base = json.loads((directory / "base.json").read_text())
    assert [each["weight"] for each in base["bases"]] == [1.0, 0.0]
    assert json.loads((directory / "memory.json").read_text())["base_share"] == 0.0


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_that_makes_more_or_less_than_the_whole_is_not_verified(tmp_path: Path, share: float) -> None:
    directory = of_a_mean().save(tmp_path / "m")
    content = json.loads((directory / "memory.json").read_text())
    (directory / "memory.json").write_text(json.dumps({**content, "base_share": share}))
    with pytest.raises(ModelError, match=r"the weights of the memories and the base of '.*' do not sum to 1"):
        verifying.verify(directory)


@pytest.mark.parametrize("weights", [(0.5, 0.25), (1.0, 0.25), (0.0, 0.0), (1.5, -0.5)])
def test_bases_whose_weights_do_not_sum_to_1_are_refused(tmp_path: Path, weights: tuple[float, float]) -> None:
    directory = of_a_mean().save(tmp_path / "m")
    content = json.loads((directory / "base.json").read_text())
    content["bases"] = [{**each, "weight": weight} for each, weight in zip(content["bases"], weights, strict=True)]
    (directory / "base.json").write_text(json.dumps(content))
    with pytest.raises(ModelError):
        reading.load_base(directory)


# Older formats


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_model_of_format_1_is_read_and_predicts_what_it_did(task: str, tmp_path: Path) -> None:
    """Which knew one base and one memory; written by the program that wrote it (git 429c657)."""
    folder = Path(__file__).parent / "format_1" / task
    assert json.loads((folder / "model/base.json").read_text())["format"] == 1
    base, loaded, objective, *_ = reading.load(folder / "model")
    assert objective == ("rmse" if task == "regression" else "log_loss")
    assert len(base.specs) == len(loaded.bases) == len(loaded.members) == 1
    assert (loaded.weights.tolist(), loaded.members[0].base) == ([1.0], 0)
    assert loaded.members[0].space.name == ("learned:linear" if task == "regression" else "features")
    expected = pyarrow.csv.read_csv(folder / "predicted.csv")
    (rows,) = tables.read_all(sources.resolve((str(folder / "new.csv"),)))
    prediction = loaded.predict(encoding.encode(rows, base.schema)[0])
    if task == "regression":
        found = {"prediction": prediction.resmem[:, 0], "prediction_base": prediction.base[:, 0]}
        assert loaded.members[0].settings.bandwidth == float("inf")
    else:
        found = {f"probability_{name}": prediction.resmem[:, i] for i, name in enumerate(base.schema.target.classes)}
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name].to_numpy(), rtol=1e-6)
    assert len(reading.seen_hashes(folder / "model", with_memory=True)) == 40


def test_a_network_of_format_1_is_refused_because_it_had_one_layer() -> None:
    directory = Path(__file__).parent / "format_1/network/model"
    reading.load_base(directory)
    with pytest.raises(ModelError) as refused:
        reading.load(directory)
    assert str(refused.value) == "the learned:mlp encoder was written by an older resmem; run fit-residual again"


def test_over_a_model_of_format_1_a_new_one_can_be_saved(tmp_path: Path) -> None:
    directory = Path(shutil.copytree(Path(__file__).parent / "format_1/regression/model", tmp_path / "model"))
    fit("linear,constant").save(directory)
    assert json.loads((directory / "memory.json").read_text())["format"] == manifest.FORMAT
    assert len(reading.load(directory).resmem.members) == 2
    assert len(list((directory / "parts").iterdir())) == 2
