"""A pipeline's encoder knows categories as numbers, truth or text: it is given them as it knows them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.ensemble import VotingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from resmem_cli.model.bases.sklearn_model import SklearnModel
from resmem_cli.model.bases.sklearn_values import known_values
from resmem_cli.model.bases.table import Field, Table

X = np.column_stack([np.linspace(-1, 1, 60), np.arange(60) % 3])
TABLE = Table((Field("x", "number", 0), Field("c", "category", 1, categories=("1", "2", "10"))))
VALUES = {
    "integers": np.array([1, 2, 10]),
    "floats": np.array([1.0, 2.0, 10.0]),
    "text": np.array(["1", "2", "10"], dtype=object),
    "text of floats": np.array(["1.0", "2.0", "10.0"], dtype=object),
    "integers as objects": np.array([1, 2, 10], dtype=object),
}


def encoders() -> dict[str, Any]:
    one_hot = OneHotEncoder(handle_unknown="ignore")
    return {
        "by name": make_column_transformer((one_hot, ["c"]), remainder="passthrough"),
        "by position": make_column_transformer((one_hot, [1]), (StandardScaler(), [0])),
        "by mask": ColumnTransformer([("c", one_hot, [False, True]), ("x", "passthrough", slice(0, 1))]),
        "by slice of names": ColumnTransformer([("x", "drop", ["x"]), ("c", one_hot, slice("c", "c"))]),
        "by pattern": make_column_transformer((one_hot, make_column_selector("c"))),
        "imputed": make_column_transformer((make_pipeline(SimpleImputer(strategy="most_frequent"), one_hot), ["c"])),
        "ordinal": make_column_transformer((OrdinalEncoder(), ["c"])),
    }


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("kind", encoders())
def test_a_pipeline_predicts_from_categories_as_for_its_owner(kind: str, values: str) -> None:
    frame = pd.DataFrame({"x": X[:, 0], "c": VALUES[values][X[:, 1].astype(int)]})
    y = X[:, 0] + np.array([5.0, -3.0, 1.0])[X[:, 1].astype(int)]
    model = make_pipeline(encoders()[kind], Ridge()).fit(frame, y)
    found = SklearnModel.imported(model, TABLE, {})
    assert found.predict(X)[:, 0] == pytest.approx(model.predict(frame), abs=1e-12)
    missing = np.array([[0.5, np.nan], [0.5, 3]])  # no value, and one that is not among the categories
    if kind not in ("ordinal", "imputed"):
        assert np.isfinite(found.predict(missing)).all()


@pytest.mark.parametrize("wrap", ["calibrated", "grid", "voting"])
def test_an_encoder_is_found_in_estimators_that_hold_others(wrap: str) -> None:
    frame = pd.DataFrame({"x": X[:, 0], "c": VALUES["integers"][X[:, 1].astype(int)]})
    pipe = make_pipeline(make_column_transformer((OneHotEncoder(), ["c"])), LogisticRegression())
    numbers = make_pipeline(make_column_transformer((OneHotEncoder(), ["c"])), Ridge())
    model = {
        "calibrated": CalibratedClassifierCV(pipe, cv=2),
        "grid": GridSearchCV(pipe, {"logisticregression__C": [1.0, 2.0]}, cv=2),
        "voting": VotingRegressor([("a", numbers)]),
    }[wrap]
    model.fit(frame, (X[:, 1] == 1).astype(int))
    assert list(known_values(model, ["x", "c"])["c"].values()) == [1, 2, 10]


def test_categories_of_truth_are_given_as_truth() -> None:
    frame = pd.DataFrame({"x": X[:, 0], "c": X[:, 1] == 1})
    model = make_pipeline(make_column_transformer((OneHotEncoder(), ["c"])), Ridge()).fit(frame, X[:, 1] == 1)
    table = Table((Field("x", "number", 0), Field("c", "category", 1, categories=("False", "True"))))
    codes = np.column_stack([X[:, 0], X[:, 1] == 1])
    assert SklearnModel.imported(model, table, {}).predict(codes)[:, 0] == pytest.approx(model.predict(frame))


def test_an_estimator_without_an_encoder_has_no_categories() -> None:
    assert known_values(Ridge().fit(X[:, :1], X[:, 1]), ["x"]) == {}
