"""Estimators of scikit-learn as bytes, through skops: no pickle, and no type that is not on our list."""

from __future__ import annotations

import io
import json
import textwrap
import zipfile
from typing import Any

from resmem_cli.errors import DataError, ModelError, ResmemError, UsageError
from resmem_cli.store import packed_trees, sklearn_arrays, sklearn_trees

# What histogram gradient boosting is made of, beyond what skops itself knows to be safe; then what the usual pipelines
# from elsewhere are made of: data and pure functions. Never what a file asks for.
TRUSTED_TYPES = (
    "functools.partial",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils.validation.check_array",
    "numpy.dtype",
    "numpy.number",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
)
SKOPS = "skops"  # the suffix of its files
_MOST_BYTES = 2 << 30  # of what a compressed file becomes
_WRITE_COLUMNS = "write the model's predictions as columns (--predictions or --probabilities) instead"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def to_bytes(estimator: Any) -> bytes:
    """Return an estimator as a skops file; equal estimators give equal bytes."""
    import skops.io

    return _canonical(skops.io.dumps(packed_trees.pack(estimator)))


def from_bytes(data: bytes, name: str) -> Any:
    """Return the estimator in a skops file called `name`.

    Raises:
        ModelError: the file is damaged, holds a tree that leads nowhere, or names a type that is not trusted.
    """
    try:
        _refuse_compressed(data)
        foreign = _foreign_types(data)
        if foreign:
            raise ModelError(
                f"{name} contains the type {foreign[0]}, which resmem does not store",
                "do not use this model unless you know who made it",
            )
        return _loaded(data)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{name} cannot be read as an estimator ({type(error).__name__}: {error})", "run fit-base again"
        ) from error


def from_foreign(data: bytes, name: str) -> Any:
    """Return the estimator in a skops file called `name` that someone else has written, compressed or not.

    Raises:
        DataError: the file is damaged, holds a tree that leads nowhere, or would become larger than 2 GiB.
        UsageError: it asks for a type that is not trusted.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            n_bytes = sum(entry.file_size for entry in archive.infolist())  # beyond which nothing of one is read
        if n_bytes > _MOST_BYTES:
            raise DataError(f"{name} would become larger than 2 GiB", _WRITE_COLUMNS)
        foreign = _foreign_types(data)
        if foreign:
            raise UsageError(f"{name} contains types that resmem does not trust: {_listed(foreign)}", _WRITE_COLUMNS)
        return _loaded(data)
    except ResmemError:
        raise
    except Exception as error:
        raise DataError(
            f"{name} cannot be read as an estimator ({_described(error)})", "save it again with skops.io.dump"
        ) from error


def from_pickle(data: bytes, name: str) -> Any:
    """Return the estimator in a pickle called `name`, of Python's or joblib's: this runs whatever code is in it.

    It comes back as it will be read from the model directory, which holds no pickle.

    Raises:
        DataError: the pickle is damaged, or needs what is not installed.
        UsageError: the estimator holds a type that the model directory may not.
    """
    import joblib

    try:
        estimator = joblib.load(io.BytesIO(data))
    except Exception as error:
        raise DataError(
            f"{name} cannot be unpickled ({_described(error)})", "install what it was made with, or save it again"
        ) from error
    try:
        stored = to_bytes(estimator)
    except Exception as error:
        raise UsageError(f"{name} holds what resmem cannot store ({_described(error)})", _WRITE_COLUMNS) from error
    foreign = _foreign_types(stored)
    if foreign:
        raise UsageError(f"{name} holds types that resmem does not store: {_listed(foreign)}", _WRITE_COLUMNS)
    return from_bytes(stored, name)


def _loaded(data: bytes) -> Any:
    import skops.io

    estimator = packed_trees.unpack(skops.io.loads(data, trusted=list(TRUSTED_TYPES)))
    sklearn_trees.refuse_unlinked(estimator)
    for part in sklearn_trees.within(estimator):
        sklearn_arrays.refuse_unfitting(part)
    return estimator


def _foreign_types(data: bytes) -> list[str]:
    import skops.io

    return sorted(set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED_TYPES))


def _described(error: Exception) -> str:
    return textwrap.shorten(f"{type(error).__name__}: {error}", 200, placeholder=" …").rstrip(":. ")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _refuse_compressed(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("it is compressed, which ours are not")


def _canonical(data: bytes) -> bytes:
    """Name the objects by their order instead of their address in memory, and date the file to nothing."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    order: dict[int, int] = {}
    schema = _renumbered(json.loads(entries.pop("schema.json")), order)
    renamed = {
        f"{order[int(name.removesuffix('.npy'))]}.npy" if name.removesuffix(".npy").isdigit() else name: content
        for name, content in entries.items()
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(renamed):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), renamed[name])
        archive.writestr(zipfile.ZipInfo("schema.json", _EPOCH), json.dumps(schema, indent=1))
    return out.getvalue()


def _renumbered(node: Any, order: dict[int, int]) -> Any:
    if isinstance(node, list):
        return [_renumbered(item, order) for item in node]
    if not isinstance(node, dict):
        return node
    renumbered = dict(node)
    if "__id__" in node:
        renumbered["__id__"] = order.setdefault(node["__id__"], len(order))
    if str(node.get("file", "")).removesuffix(".npy").isdigit():
        number = order.setdefault(int(node["file"].removesuffix(".npy")), len(order))
        renumbered["file"] = f"{number}.npy"
    return {key: value if key in ("__id__", "file") else _renumbered(value, order) for key, value in renumbered.items()}
