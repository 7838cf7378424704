"""Models of every kind of base, space and part, made in a second or two each, to be damaged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from resmem_cli.cli.main import main
from resmem_cli.store import manifest
from tests.store.conftest import fit

N_ROWS, N_MANY, N_NEW = 160, 1_300, 12
CLASSES = ("high", "low", "middle")
_SETTINGS = ("--neighbors", 5, "--bandwidth", 0.3, "--shrinkage", 1, "--temperature", 1)
_PLAIN = ("--folds", 0, *_SETTINGS)
_FEATURES = (*_PLAIN, "--representation", "features")
_FOLDS = ("--folds", 2, *_SETTINGS, "--representation", "features")
_FEW = ("--param", "max_iter=4")
_NUMBER, _CLASS = ("--target", "y"), ("--target", "size")
_OF_ROWS = (*_NUMBER, "--features", "a,b,c,t,v")
_OF_CLASSES = (*_CLASS, "--features", "a,b,c,t,v")
_MATRIX = ("--features", "a,b")
# By name: options of fit-base, options of fit-residual.
OURS: Mapping[str, tuple[tuple[object, ...], tuple[object, ...]]] = {
    "linear": ((*_OF_ROWS, "--estimator", "linear", "--weight", "w"), _FOLDS),
    "linear, classes": ((*_OF_CLASSES, "--estimator", "linear"), _FOLDS),
    "mlp": ((*_OF_ROWS, "--estimator", "mlp", *_FEW), (*_PLAIN, "--representation", "model")),
    "mlp, classes": ((*_OF_CLASSES, "--estimator", "mlp", *_FEW), (*_PLAIN, "--representation", "sensitivity")),
    "constant": ((*_OF_ROWS, "--estimator", "constant"), (*_PLAIN, "--representation", "column:v")),
    "boosting": ((*_OF_ROWS, "--estimator", "boosting", *_FEW), (*_PLAIN, "--representation", "model")),
    "boosting, classes": ((*_OF_CLASSES, "--estimator", "boosting", *_FEW), _FEATURES),
    "poisson": (("--target", "p", "--features", "a,b,c", "--estimator", "poisson", *_FEW), _FEATURES),
    "several": ((*_OF_ROWS, "--estimator", "linear,constant"), ("--folds", 2, *_SETTINGS, "--memories", 2)),
    "graph": ((*_OF_ROWS, "--estimator", "constant"), _FEATURES),
    "many classes": (("--target", "kind", "--features", "a,b,c"), _FEATURES),
    "condensed": ((*_OF_ROWS, "--estimator", "linear"), (*_FEATURES, "--max-cells", 40)),
    "shards": ((*_OF_ROWS, "--estimator", "linear"), (*_FEATURES, "--shard-cells", 60)),
    "earlier": ((*_OF_ROWS, "--estimator", "linear"), _FOLDS),  # with a memory before the present one
    "columns": ((*_OF_ROWS, "--predictions", "guess"), _FEATURES),
    "columns, classes": (
        (*_OF_CLASSES, "--logits", "logits", "--embedding", "v"),
        (*_PLAIN, "--representation", "model"),
    ),
}
FOREIGN: Mapping[str, tuple[tuple[object, ...], tuple[object, ...]]] = {
    "lightgbm": ((*_NUMBER, "--features", "a,b,c,t", "--estimator", "lightgbm"), _FEATURES),
    "xgboost": ((*_CLASS, "--features", "a,b,c,t", "--estimator", "xgboost"), _FEATURES),
    "sklearn": ((*_NUMBER, *_MATRIX, "--import", "line.skops"), _FEATURES),
    "sklearn, forest": ((*_CLASS, *_MATRIX, "--import", "forest.skops"), _FEATURES),
    "sklearn, pipeline": ((*_NUMBER, "--features", "a,b,c", "--import", "pipeline.skops"), _FEATURES),
    "catboost": (
        (*_NUMBER, "--features", "a,b,c,t", "--estimator", "catboost", "--param", "n_estimators=8"),
        _FEATURES,
    ),
    "onnx": ((*_NUMBER, *_MATRIX, "--import", "line.onnx"), _FEATURES),
}
# Of memories in learned spaces: the space, and how many classes there are.
LEARNED: Mapping[str, tuple[str, int]] = {
    "diagonal": ("learned:diagonal", 3),
    "encoder, linear": ("learned:linear", 0),
    "encoder, mlp": ("learned:mlp", 3),
    "periodic": ("learned:periodic", 0),
}
EVERY = (*OURS, *LEARNED, *FOREIGN)


def make(folder: Path, name: str) -> Path:
    """Fit a model of this name in a folder, with "new.parquet" beside it, and return its directory."""
    if (folder / "model" / manifest.MEMORY).exists():
        return folder / "model"
    folder.mkdir(parents=True, exist_ok=True)
    if name in LEARNED:
        space, n_classes = LEARNED[name]
        pq.write_table(rows(N_NEW, seed=1), folder / "new.parquet")
        return fit("linear", n_classes=n_classes, representation=space).save(folder / "model")
    base, memory = {**OURS, **FOREIGN}[name]
    train, model = folder / "train.parquet", folder / "model"
    takes_gaps = name not in ("sklearn", "sklearn, forest", "onnx")
    pq.write_table(rows(N_MANY if name in ("graph", "many classes") else N_ROWS, with_gaps=takes_gaps), train)
    pq.write_table(rows(N_NEW, seed=1, with_gaps=takes_gaps), folder / "new.parquet")
    _write_models(folder, {str(word) for word in base})
    common = ("--model", model, "--threads", 1, "--quiet")
    own = [folder / word if str(word).endswith((".skops", ".onnx")) else word for word in base]
    for words in (("fit-base", train, "--id", "id", *own), ("fit-residual", train, *memory)):
        if main([str(word) for word in (*words, *common)]) != 0:
            raise AssertionError(f"{name} could not be fitted")
    if name == "earlier":
        pq.write_table(rows(N_NEW, seed=2), folder / "more.parquet")
        assert main(["remember", str(folder / "more.parquet"), *map(str, common)]) == 0
    return model


def rows(n: int, seed: int = 0, *, with_gaps: bool = True) -> pa.Table:
    """Rows of every kind of column, a number, a class, and what another model makes of them."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n))
    value = a + np.sin(2 * b)
    gaps = (rng.random(n) < 0.1) & with_gaps
    columns: dict[str, Any] = {
        "id": [f"row {i} é" for i in range(n)],
        "a": pa.array(np.where(gaps, np.nan, a), from_pandas=with_gaps),
        "b": b,
        "c": np.array(["x", "y", "z, and"])[rng.integers(0, 3, n)],
        "t": pa.array(
            np.datetime64("2024-01-01T00:00:00", "us") + rng.integers(0, 9_000, n) * np.timedelta64(3_600, "s")
        ),
        "v": pa.FixedSizeListArray.from_arrays(np.stack([a, b, a * b], axis=1).astype(np.float32).ravel(), 3),
        "w": rng.integers(1, 4, n).astype(float),
        "guess": a,
        "logits": list(np.stack([-a, a, 0.3 - np.abs(a)], axis=1)),
        "y": value,
        "p": np.exp(value),
        "kind": [f"kind {i % 110}" for i in range(n)],
        "size": np.array(CLASSES)[np.digitize(value, [-0.5, 0.5]) * 2 % 3],
    }
    return pa.table(columns)


def _write_models(folder: Path, words: set[str]) -> None:
    """Write the models from elsewhere that are asked for."""
    table = rows(N_ROWS, with_gaps=False).to_pandas()
    matrix, y, size = table[["a", "b"]].to_numpy(), table["y"], table["size"]
    if "line.skops" in words:
        from sklearn.linear_model import LinearRegression

        _skops(folder / "line.skops", LinearRegression().fit(matrix, y))
    if "forest.skops" in words:
        from sklearn.ensemble import RandomForestClassifier

        _skops(folder / "forest.skops", RandomForestClassifier(4, max_depth=3, random_state=0).fit(matrix, size))
    if "pipeline.skops" in words:
        from sklearn.compose import make_column_transformer
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder

        read = make_column_transformer(
            (SimpleImputer(), ["a", "b"]), (OneHotEncoder(handle_unknown="ignore"), ["c"]), sparse_threshold=0
        )
        _skops(folder / "pipeline.skops", make_pipeline(read, Ridge()).fit(table[["a", "b", "c"]], y))
    if "line.onnx" in words:
        (folder / "line.onnx").write_bytes(_line())


def _skops(path: Path, estimator: Any) -> None:
    import skops.io

    skops.io.dump(estimator, path)


def _line() -> bytes:
    """Return an ONNX model that adds its two inputs up."""
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.ones((2, 1), np.float32), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        "line",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
