"""A file's kind is told by its content; its name decides only where the content does not."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile

import joblib
import numpy as np
import pytest

from resmem_cli.errors import UsageError
from resmem_cli.model.bases.importing import recognise

X, Y = np.arange(40.0).reshape(20, 2), np.arange(20.0)


def zipped(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    return data.getvalue()


def joblib_bytes(compress: object) -> bytes:
    data = io.BytesIO()
    joblib.dump({"a": X}, data, compress=compress)
    return data.getvalue()


def without_bytes(value: object) -> str | None:
    """No test is named by what is in a file: compressed files hold the second in which they were made."""
    return "data" if isinstance(value, bytes) else None


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"tree\nversion=v4\nnum_class=1\n", "lightgbm"),
        (b"tree\r\nversion=v3\r\n", "lightgbm"),
        (b'{"learner":{"attributes":{}},"version":[3,2,0]}', "xgboost"),
        (json.dumps({"version": [3, 2, 0], "learner": {}}, indent=2).encode(), "xgboost"),
        (b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner{", "xgboost"),
        (b"{i\x07learner{", "xgboost"),
        (b"CBM1\x10\x00", "catboost"),
        (b"\x08\x08\x12\x07pytorch", "onnx"),
        (b"\x08\x0a\x3a\x05graph", "onnx"),
        (zipped("schema.json", "1.npy"), "skops"),
        (pickle.dumps({}, protocol=2), "pickle"),
        (pickle.dumps({}, protocol=5), "pickle"),
        (joblib_bytes(0), "pickle"),
    ],
    ids=without_bytes,
)
@pytest.mark.parametrize("name", ["model", "model.bin", "model.onnx", "model.pkl", "model.txt"])
def test_the_content_says_what_it_is_whatever_the_name(data, kind, name):
    assert recognise(data, name) == kind


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        *((joblib_bytes((how, 3)), "model.joblib", "pickle") for how in ("zlib", "gzip", "bz2", "lzma", "xz")),
        (gzip.compress(pickle.dumps({})), "model.pkl.gz", "pickle"),
        (gzip.compress(pickle.dumps({})), "MODEL.PICKLE", "pickle"),
        (b"damaged", "model.onnx", "onnx"),
        (zipped("schema.json")[:40], "model.skops", "skops"),
    ],
    ids=without_bytes,
)
def test_where_the_content_does_not_say_the_name_does(data, name, kind):
    assert recognise(data, name) == kind


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "model.pkl"),
        (b"", "model"),
        (b"tree of life\nversion=1\n", "model.txt"),
        (b"tree\nleaves=3\n", "model.txt"),
        (b'{"weights": [1, 2]}', "model.json"),
        (b"{", "model.ubj"),
        (b"a,b\n1,2\n", "model.csv"),
        (gzip.compress(b"text"), "model.gz"),
        (zipped("data.pkl"), "model.pt"),
        (zipped("schema.json")[:40], "model.zip"),
        (b"\x80\x09", "model"),
        (b"\x08\x00\x12", "model"),
        (b"\x08\x08", "model"),
    ],
    ids=without_bytes,
)
def test_anything_else_is_refused_with_what_there_is(data, name):
    with pytest.raises(UsageError) as refused:
        recognise(data, name)
    assert str(refused.value) == (
        f"'{name}' is not a model file that can be imported; give LightGBM's text, XGBoost's JSON or UBJSON, "
        "CatBoost's cbm, ONNX, or a scikit-learn estimator saved with skops or pickle"
    )


@pytest.mark.parametrize("suffix", ["json", "ubj"])
def test_what_xgboost_writes(suffix):
    xgboost = pytest.importorskip("xgboost")
    booster = xgboost.train({}, xgboost.DMatrix(X, label=Y), 1)
    assert recognise(bytes(booster.save_raw(suffix)), "model") == "xgboost"


def test_what_lightgbm_writes():
    lightgbm = pytest.importorskip("lightgbm")
    booster = lightgbm.train({"verbose": -1, "min_data_in_leaf": 1}, lightgbm.Dataset(X, Y), 1)
    assert recognise(booster.model_to_string().encode(), "model") == "lightgbm"


def test_what_catboost_writes(tmp_path):
    catboost = pytest.importorskip("catboost")
    path = tmp_path / "model"
    catboost.CatBoostRegressor(iterations=1, verbose=False, allow_writing_files=False).fit(X, Y).save_model(str(path))
    assert recognise(path.read_bytes(), "model") == "catboost"


def test_what_skops_writes():
    import skops.io
    from sklearn.linear_model import Ridge

    assert recognise(skops.io.dumps(Ridge()), "model") == "skops"
    assert recognise(skops.io.dumps(Ridge(), compression=zipfile.ZIP_DEFLATED), "model") == "skops"


@pytest.mark.parametrize("ir", [3, 8, 10])
def test_what_onnx_writes(ir):
    onnx = pytest.importorskip("onnx")
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, 1]) for name in "XY"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["X"], ["Y"])], "g", values[:1], values[1:])
    model = onnx.helper.make_model(graph)
    model.ir_version = ir
    assert recognise(model.SerializeToString(), "model") == "onnx"
