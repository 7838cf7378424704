"""What every base from elsewhere must hold to, whichever library it is of: the contract of test_bases.py once more."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression

from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases import COLUMNS, IMPORTABLE, KINDS, Base, Problem
from resmem_cli.model.bases.columns import Columns
from resmem_cli.model.bases.protocol import is_installed
from resmem_cli.model.bases.table import Field, Table
from tests.model.test_bases import assert_predicts

N_COLUMNS = 4
FIELDS = tuple(Field(f"c{i}", "number", i) for i in range(N_COLUMNS))
TASKS = {0: "regression", 2: "binary", 4: "multiclass"}


def rows(n: int, n_classes: int, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, N_COLUMNS))
    value = X[:, 0] + np.sin(2 * X[:, 1])
    return X, value if n_classes == 0 else np.digitize(value, np.linspace(-1, 1, n_classes - 1)).astype(np.float64)


def frame(X: Floats) -> pd.DataFrame:
    return pd.DataFrame(X, columns=[field.name for field in FIELDS])


def lightgbm(X: Floats, y: Floats, n_classes: int, _: Path) -> bytes:
    library = pytest.importorskip("lightgbm")
    kind = library.LGBMClassifier if n_classes else library.LGBMRegressor
    return kind(n_estimators=12, verbose=-1, n_jobs=1).fit(frame(X), y).booster_.model_to_string().encode()


def xgboost(X: Floats, y: Floats, n_classes: int, _: Path) -> bytes:
    library = pytest.importorskip("xgboost")
    kind = library.XGBClassifier if n_classes else library.XGBRegressor
    return bytes(kind(n_estimators=12, n_jobs=1).fit(frame(X), y).get_booster().save_raw("ubj"))


def catboost(X: Floats, y: Floats, n_classes: int, folder: Path) -> bytes:
    library = pytest.importorskip("catboost")
    kind = library.CatBoostClassifier if n_classes else library.CatBoostRegressor
    fitted = kind(iterations=12, verbose=False, thread_count=1, allow_writing_files=False).fit(frame(X), y)
    fitted.save_model(str(folder / "model.cbm"))
    return (folder / "model.cbm").read_bytes()


def onnx(X: Floats, y: Floats, n_classes: int, _: Path) -> bytes:
    skl2onnx = pytest.importorskip("skl2onnx")
    pytest.importorskip("onnxruntime")
    fitted = (LogisticRegression() if n_classes else LinearRegression()).fit(X, y.astype(int) if n_classes else y)
    return skl2onnx.to_onnx(fitted, X[:1].astype(np.float32)).SerializeToString()


def sklearn(X: Floats, y: Floats, n_classes: int, _: Path) -> Any:
    kind = RandomForestClassifier if n_classes else RandomForestRegressor
    return kind(8, max_depth=5, random_state=0).fit(frame(X), y.astype(int) if n_classes else y)


MAKERS: dict[str, Callable[..., Any]] = {
    "lightgbm": lightgbm, "xgboost": xgboost, "catboost": catboost, "onnx": onnx, "sklearn": sklearn
}  # fmt: skip


@pytest.fixture(params=[*MAKERS, COLUMNS])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=TASKS, ids=TASKS.get)
def base(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> tuple[Base, Problem, Floats]:
    """A base that was trained elsewhere, its problem, and rows that it has not seen."""
    n_classes = request.param
    problem = Problem((0,) * N_COLUMNS, n_classes, 0)
    if kind == COLUMNS:
        X = rows(30, n_classes, seed=1)[0]
        given = X[:, :1] if n_classes == 0 else np.exp(X[:, :1] * np.arange(n_classes))
        form = "predictions" if n_classes == 0 else "probabilities"
        return Columns(form, N_COLUMNS, N_COLUMNS + given.shape[1], (0, 2)), problem, np.hstack([X, given])
    X, y = rows(200, n_classes)
    made = MAKERS[kind](X, y, n_classes, tmp_path)
    table = Table(FIELDS, tuple(range(n_classes)))
    return IMPORTABLE[kind].imported(made, table, {}), problem, rows(30, n_classes, seed=1)[0]


def test_every_way_in_has_its_maker() -> None:
    assert set(MAKERS) == set(IMPORTABLE)
    assert {*MAKERS, COLUMNS} <= set(KINDS)


def test_it_predicts_what_its_task_has(base: tuple[Base, Problem, Floats]) -> None:
    imported, problem, X = base
    assert_predicts(imported, X, problem)
    assert imported.predict(X[:0]).shape == (0, problem.n_outputs)


def test_it_says_what_the_library_says(base: tuple[Base, Problem, Floats], kind: str) -> None:
    """Rows of a higher first column have a higher prediction, or of the last class a higher probability."""
    imported, _, X = base
    low, high = (X.copy() for _ in range(2))
    low[:, 0], high[:, 0] = -2, 2
    if kind == COLUMNS:
        low[:, N_COLUMNS:], high[:, N_COLUMNS:] = X[:, N_COLUMNS:].min(axis=0), X[:, N_COLUMNS:].max(axis=0)
    assert imported.predict(high)[:, -1].mean() >= imported.predict(low)[:, -1].mean()


def test_restored_and_in_another_process_it_predicts_and_represents_the_same(
    base: tuple[Base, Problem, Floats], kind: str
) -> None:
    imported, _, X = base
    restored = KINDS[kind].restore(imported.to_arrays(), imported.estimator)
    for other in (restored, pickle.loads(pickle.dumps(imported))):  # noqa: S301 - as for a worker of ours
        np.testing.assert_array_equal(other.predict(X), imported.predict(X))
        represented = imported.represent(X)
        if represented is not None:
            np.testing.assert_array_equal(other.represent(X), represented)


def test_equal_rows_have_equal_predictions_and_representations_wherever_they_stand(
    base: tuple[Base, Problem, Floats],
) -> None:
    imported, _, X = base
    many = np.tile(X, (7, 1))
    for job in (imported.predict, imported.represent):
        whole = job(many)
        if whole is not None:
            each = whole.reshape(7, len(X), -1)
            np.testing.assert_array_equal(each, np.broadcast_to(each[0], each.shape))


def test_it_is_never_fitted_by_us_and_says_what_it_needs(base: tuple[Base, Problem, Floats], kind: str) -> None:
    imported, _, _ = base
    assert imported.package is None or is_installed(imported.package)
    assert isinstance(imported.is_thread_safe, bool)
    assert imported.reads_features == (kind != COLUMNS)
