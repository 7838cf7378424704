"""A table of more than two hundred columns: what is left out is said, and the rest is as of any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resmem_cli.data.inference import Roles
from resmem_cli.data.tables import rows_at_once
from resmem_cli.model import cost
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.store import reading
from resmem_cli.workflow.evaluate import evaluate
from resmem_cli.workflow.fit_base import BaseOptions, FittedBase, fit_base
from resmem_cli.workflow.fit_residual import FittedMemory, fit_residual
from resmem_cli.workflow.inputs import Input
from resmem_cli.workflow.predict import PredictOptions, predict

N_COLUMNS = 230


@pytest.fixture
def rows(tmp_path: Path) -> Input:
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(400, 3))
    X = hidden @ rng.normal(size=(3, N_COLUMNS)) + 0.3 * rng.normal(size=(400, N_COLUMNS))
    table = pa.table({f"x{i}": column for i, column in enumerate(X.T)})
    pq.write_table(table.append_column("y", pa.array(np.sin(2 * hidden[:, 0]))), tmp_path / "rows.parquet")
    return Input((str(tmp_path / "rows.parquet"),))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tmp_path / "model"


def fitted_base(rows: Input, model: Path, estimator: str = "linear", **params: object) -> FittedBase:
    return fit_base(rows, Roles("y"), model, BaseOptions(estimator, params, threads=1))


def fitted(rows: Input, model: Path, **options: object) -> FittedMemory:
    return fit_residual(rows, model, MemoryOptions(effort="quick", threads=1, **options))  # type: ignore[arg-type]


def n_bags(model: Path) -> int:
    base: Any = reading.load_base(model).bases[0]
    return len(base.bags)


def test_a_memory_of_principal_components_predicts_the_same_in_any_batches(rows: Input, model: Path, tmp_path) -> None:
    fitted_base(rows, model)
    said = fitted(rows, model, space="features", shrinkage=1.0).notes
    assert said == (
        "distances are taken between 64 principal components of 230 columns, and not between columns by their "
        "sensitivity",
    )
    (member,) = reading.load(model).resmem.members
    assert member.memory.index.n_columns == 64
    predicted = []
    for batch_rows in (None, 7):
        out = tmp_path / "out.parquet"
        predict(rows, model, PredictOptions(str(out), threads=1, batch_rows=batch_rows))
        predicted.append(pq.read_table(out)["prediction"].to_numpy())
    np.testing.assert_allclose(*predicted, rtol=1e-12)  # the last bit of the base follows the batch
    assert evaluate(rows, model, threads=1).every.metrics["rmse"].resmem is not None


def test_a_choice_by_one_split_is_said(rows: Input, model: Path, monkeypatch) -> None:
    monkeypatch.setattr(cost, "most_split", lambda *_: 300)
    fitted_base(rows, model)
    found = fitted(rows, model, space="features")
    assert found.notes[0].startswith("settings were chosen on one split of 300 rows instead of folds of all, and ")
    assert found.selection is not None
    assert found.selection.n_queries == 60


def test_trees_that_would_take_too_long_are_left_out_of_auto_alone(rows: Input, model: Path, monkeypatch) -> None:
    monkeypatch.setattr(cost, "_BOOSTING_SECONDS", 0.0)
    found = fitted_base(rows, model, "auto")
    assert sorted(found.estimators) == ["constant", "linear", "mlp"]
    assert found.notes == (
        "boosting was left out: with 230 columns and 400 rows each of several fits may take 0 minutes (--estimator "
        "boosting,linear fits it nevertheless)",
    )
    assert fitted_base(rows, model, "boosting", max_iter=2).notes == ()


def test_trees_that_take_long_are_fitted_once_unless_it_is_said(rows: Input, model: Path, monkeypatch) -> None:
    monkeypatch.setattr(cost, "_BAGS_SECONDS", 0.0)
    found = fitted_base(rows, model, "boosting", max_iter=2)
    assert found.notes == (
        "boosting was fitted once instead of three times, because of 230 columns and 400 rows (--param bags=3 for "
        "three)",
    )
    assert reading.load_base(model).specs[0].params["bags"] == 1
    assert n_bags(model) == 1
    assert fitted_base(rows, model, "boosting", max_iter=2, bags=2).notes == ()
    assert n_bags(model) == 2


def test_batches_of_many_columns_have_fewer_rows() -> None:
    assert rows_at_once(32_768, 9) == rows_at_once(32_768, 64) == 32_768
    assert rows_at_once(32_768, 128) == 16_384
    assert rows_at_once(32_768, 10**9) == 256
