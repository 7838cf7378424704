"""What another library reads is read by a process of its own first, which may end, hang or ask for everything."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import SVR

from resmem_cli.data.kinds import Kind
from resmem_cli.data.schema import Column, Schema, Target, Task
from resmem_cli.errors import DataError, ModelError, UsageError
from resmem_cli.model.bases import IMPORTABLE, BaseSpec
from resmem_cli.model.bases.table import Field, Table
from resmem_cli.store import manifest, parts, trial, verifying, writing
from resmem_cli.store.rows import TrainedRows
from resmem_cli.store.stored import StoredBase, problem_of
from resmem_cli.store.trial import File, Limits
from tests.onnx_models import looping

FIELDS = (Field("a", "number", 0), Field("b", "number", 1))
HINT = "save it again, or write the model's predictions as columns instead (--predictions or --probabilities)"


def rows(n: int = 60) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 2))


def tried(kind: str, data: bytes, limits: Limits = trial.USUAL, name: str = "model") -> tuple[str, ...]:
    return trial.import_file(File(kind, data, name, Table(FIELDS), {}, rows()), limits)


def cbm(tmp_path: Path) -> bytes:
    catboost = pytest.importorskip("catboost")
    own = {"iterations": 2, "depth": 2, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
    path = tmp_path / "model.cbm"
    catboost.CatBoostRegressor(**own).fit(rows(), rows()[:, 0]).save_model(str(path))
    return path.read_bytes()


def growing(n_numbers: int) -> bytes:
    """A small model in the ONNX format that makes so many numbers on its way."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Expand", ["one", "shape"], ["many"]),
        helper.make_node("Exp", ["many"], ["grown"]),
        helper.make_node("ReduceSum", ["grown"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["X", "axis"], ["start"], keepdims=1),
        helper.make_node("Add", ["start", "total"], ["Y"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(value, name)
        for name, value in (
            ("one", np.ones(1, np.float32)),
            ("shape", np.array([n_numbers], np.int64)),
            ("axis", np.array([1], np.int64)),
        )
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "graph", [info("X", kinds.FLOAT, [None, 2])], [info("Y", kinds.FLOAT, [None, 1])], constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def test_a_sound_file_is_told_how_it_is_read_and_that_its_library_agrees(tmp_path: Path) -> None:
    assert tried("catboost", cbm(tmp_path)) == (
        "the model predicts with all its 2 boosting rounds",
        "the model has no feature names: the columns are used in order, 0 is 'a', 1 is 'b'",
        "its predictions on 60 of these rows equal those of catboost's own predict",
    )


@pytest.mark.parametrize("at", [6288, 6316, -168, -140])
def test_a_file_that_ends_the_process_is_a_sentence(tmp_path: Path, at: int) -> None:
    """Four bytes of a cbm are changed; should a newer CatBoost find that out, it is a sentence all the same."""
    data = cbm(tmp_path)
    at %= len(data)
    changed = data[:at] + struct.pack("<I", 0x7FFFFFFF) + data[at + 4 :]
    with pytest.raises(DataError, match=r"^'model' (crashes the process that loads it|cannot be read as a model)"):
        tried("catboost", changed)


def test_a_model_without_end_is_ended_and_told() -> None:
    assert tried("onnx", looping((), times=np.int64(3)))[0].startswith("the model's input 'X' has no column names")
    with pytest.raises(DataError) as raised:
        tried("onnx", looping((), times=np.int64(2**62)), Limits(computing=1))
    assert str(raised.value) == (
        f"'model' takes more than 1 seconds of CPU time to load and to predict a few rows; {HINT}"
    )


def test_a_model_that_waits_for_ever_is_ended_too() -> None:
    with pytest.raises(
        DataError, match=r"^'model' takes more than 3 seconds to load and to predict a few rows; save it again"
    ):
        tried("onnx", looping((), times=np.int64(2**62)), Limits(computing=60, waiting=3))


def test_a_model_that_wants_all_memory_is_refused() -> None:
    tried("onnx", growing(1_000))
    with pytest.raises((DataError, UsageError), match=r"memory|RAM|allocat|crashes the process"):
        tried("onnx", growing(1 << 40))


def test_an_answer_of_the_models_own_is_told_as_it_was() -> None:
    model = skops.io.dumps(KNeighborsRegressor(algorithm="brute").fit(rows()[:, :1], rows()[:, 0]))
    with pytest.raises(UsageError, match="the model was fitted to a matrix of 1 columns, and the features make 2"):
        tried("skops", model)


def test_support_vectors_that_are_not_there_are_told() -> None:
    model = SVR().fit(rows(), rows()[:, 0])
    model.support_vectors_ = np.zeros((0, 2))
    with pytest.raises(DataError, match=r"model cannot be read as an estimator .*arrays in it do not belong together"):
        tried("skops", skops.io.dumps(model))


def test_the_folder_that_it_is_started_in_is_not_where_modules_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's folder may hold a numpy.py."""
    monkeypatch.chdir(tmp_path)
    for name in ("numpy", "json", "skops"):
        Path(f"{name}.py").write_text("raise SystemExit('of the folder')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    model = skops.io.dumps(SVR().fit(rows(), rows()[:, 0]))
    assert tried("skops", model)[0].startswith("the model was fitted without column names")


def stored(kind: str, data: bytes, directory: Path) -> Path:
    """A model directory of one base from elsewhere."""
    columns = (Column("a", Kind.NUMBER, "double"), Column("b", Kind.NUMBER, "double"))
    schema = Schema(columns, Target("y", Task.REGRESSION, "double"))
    base = IMPORTABLE[kind].imported(data, Table(FIELDS), {})
    problem = problem_of(schema, 0)
    whole = StoredBase("", schema, problem, (BaseSpec(kind, {}, can_refit=False),), (base,), 0)
    writing.save_base(directory, whole, TrainedRows(np.empty(0, np.uint64)))
    return directory


def with_file(directory: Path, change: Callable[[bytes], bytes]) -> Path:
    """The same with the library's file changed, and sizes and hashes made right again."""
    content = manifest.read(directory / manifest.BASE)
    folder = directory / parts.FOLDER / content["id"]
    path = next(each for each in folder.iterdir() if each.suffix != ".npz")
    path.write_bytes(change(path.read_bytes()))
    content["parts"] = parts.to_json(parts.record(folder))
    (directory / manifest.BASE).write_text(manifest.json.dumps(content))
    return directory


@pytest.mark.parametrize("kind", ["catboost", "onnx"])
def test_verify_finds_a_base_sound_or_says_what_its_library_made_of_it(kind: str, tmp_path: Path) -> None:
    data = cbm(tmp_path) if kind == "catboost" else looping((), times=np.int64(1))
    directory = stored(kind, data, tmp_path / "m")
    assert verifying.verify(directory).n_files > 0
    shutil.copytree(directory, tmp_path / "other")

    def changed(content: bytes) -> bytes:
        if kind == "onnx":
            return looping((), times=np.int64(2**62))
        return content[:6288] + struct.pack("<I", 0x7FFFFFFF) + content[6292:]

    with pytest.raises(ModelError) as raised:
        verifying.verify(with_file(tmp_path / "other", changed))
    assert raised.value.hint.startswith("do not use this model unless you know who made it") or kind == "catboost"
    said = "a base of '.*' takes more than .* seconds" if kind == "onnx" else "crashes the process that loads it|cannot"
    raised.match(said)


def test_a_base_of_ours_needs_no_other_process(monkeypatch: pytest.MonkeyPatch, copied: Callable[..., Path]) -> None:
    def none(*_: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(trial.subprocess, "Popen", none)
    assert verifying.verify(copied("boosting")).has_memory
