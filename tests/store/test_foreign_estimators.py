"""Estimators that someone else has saved: read through skops, or a pickle that the user trusts, and stored as ours."""

from __future__ import annotations

import io
import pickle
import zipfile
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, StackingClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from resmem_cli.errors import DataError, ResmemError, UsageError
from resmem_cli.store import estimators

COLUMNS = "write the model's predictions as columns (--predictions or --probabilities) instead"
ENDINGS = {
    "logistic": LogisticRegression(),
    "forest": RandomForestClassifier(3, random_state=0),
    "boosting": HistGradientBoostingClassifier(max_iter=2, random_state=0),
    "selected": make_pipeline(SelectKBest(k=2), DecisionTreeClassifier(random_state=0)),
    "network": MLPClassifier((3,), max_iter=400, tol=1.0, random_state=0),
    "calibrated": CalibratedClassifierCV(LinearSVC(), cv=2),
    "searched": GridSearchCV(LogisticRegression(), {"C": [1.0, 2.0]}, cv=2),
    "stacked": StackingClassifier([("tree", DecisionTreeClassifier(random_state=0))], cv=2),
}


class Own(BaseEstimator):
    """An estimator of the user's own."""


def rows() -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=60), "b": rng.normal(size=60), "c": ["x", "y", None] * 20})
    frame.loc[::7, "a"] = np.nan
    return frame, np.where(rng.normal(size=60) > 0, "yes", "no")


def pipeline(ending: Any) -> Pipeline:
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encode = ColumnTransformer(
        [
            ("numbers", numbers, make_column_selector(dtype_include=np.number)),
            ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["c"]),
        ]
    )
    return make_pipeline(encode, ending).fit(*rows())


def refused(kind: type[ResmemError], read: Any, data: bytes) -> str:
    with pytest.raises(kind) as raised:
        read(data, "model.file")
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("how", ["stored", "deflated", "pickle", "joblib"])
@pytest.mark.parametrize("name", ENDINGS)
def test_usual_pipelines_are_read_and_stored_and_predict_the_same(name: str, how: str) -> None:
    model = pipeline(ENDINGS[name])
    if how == "joblib":
        sink = io.BytesIO()
        joblib.dump(model, sink, compress=3)
        read = estimators.from_pickle(sink.getvalue(), "model.joblib")
    elif how == "pickle":
        read = estimators.from_pickle(pickle.dumps(model), "model.pkl")
    else:
        compression = zipfile.ZIP_DEFLATED if how == "deflated" else zipfile.ZIP_STORED
        read = estimators.from_foreign(skops.io.dumps(model, compression=compression), "model.skops")
    stored = estimators.from_bytes(estimators.to_bytes(read), "estimator.skops")
    frame = rows()[0]
    np.testing.assert_array_equal(stored.predict_proba(frame), model.predict_proba(frame))


def test_equal_pipelines_have_equal_bytes() -> None:
    assert estimators.to_bytes(pipeline(LogisticRegression())) == estimators.to_bytes(pipeline(LogisticRegression()))


def test_a_foreign_type_is_refused_and_named() -> None:
    own = f"{Own.__module__}.Own"
    assert refused(UsageError, estimators.from_foreign, skops.io.dumps(Own())) == (
        f"model.file contains types that resmem does not trust: {own}; {COLUMNS}"
    )
    assert refused(UsageError, estimators.from_pickle, pickle.dumps(Own())) == (
        f"model.file holds types that resmem does not store: {own}; {COLUMNS}"
    )


def test_a_function_of_the_users_own_in_a_pipeline_is_refused_and_named() -> None:
    model = make_pipeline(FunctionTransformer(rows), Ridge())
    assert f"{rows.__module__}.rows; {COLUMNS}" in refused(UsageError, estimators.from_pickle, pickle.dumps(model))


def test_of_many_foreign_types_three_are_named() -> None:
    several = [io.BytesIO, io.StringIO, pickle.Pickler, pickle.Unpickler]
    assert refused(UsageError, estimators.from_foreign, skops.io.dumps(several)) == (
        "model.file contains types that resmem does not trust: _io.BytesIO, _io.StringIO, _pickle.Pickler, …; "
        + COLUMNS
    )


def test_what_skops_cannot_write_is_refused() -> None:
    itself: list[Any] = []
    itself.append(itself)
    said = refused(UsageError, estimators.from_pickle, pickle.dumps(itself))
    assert said.startswith("model.file holds what resmem cannot store (RecursionError: ")
    assert said.endswith(COLUMNS)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", skops.io.dumps(Ridge())[:200]])
def test_a_damaged_skops_file_is_refused(data: bytes) -> None:
    assert refused(DataError, estimators.from_foreign, data) == (
        "model.file cannot be read as an estimator (BadZipFile: File is not a zip file); "
        "save it again with skops.io.dump"
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "EOFError"),
        (b"\x80\x04cnowhere\nThing\n.", "ModuleNotFoundError: No module named 'nowhere'"),
    ],
)
def test_a_pickle_that_cannot_be_read_is_refused(data: bytes, reason: str) -> None:
    assert refused(DataError, estimators.from_pickle, data) == (
        f"model.file cannot be unpickled ({reason}); install what it was made with, or save it again"
    )


def test_a_small_file_that_would_become_huge_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Ridge().fit(np.zeros((2, 1_000)), np.zeros(2))
    data = skops.io.dumps(model, compression=zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(estimators, "_MOST_BYTES", 2 * len(data))
    assert refused(DataError, estimators.from_foreign, data) == f"model.file would become larger than 2 GiB; {COLUMNS}"


def test_a_file_that_lies_about_its_size_is_not_read_beyond_it() -> None:
    """The size that is summed up is the most that is read."""
    data = skops.io.dumps(Ridge(), compression=zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = archive.getinfo("schema.json").file_size
    lying = data.replace(size.to_bytes(4, "little"), (size // 2).to_bytes(4, "little"))
    assert lying != data
    assert "cannot be read as an estimator (BadZipFile: Bad CRC-32 for file 'schema.json')" in refused(
        DataError, estimators.from_foreign, lying
    )
