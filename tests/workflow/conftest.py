"""The verbs as a program would call them, on tables made here, in a folder of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from resmem_cli.data.inference import Roles
from resmem_cli.model.choosing import selecting
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.workflow import fit_base, fit_residual, predict
from resmem_cli.workflow.evaluate import Evaluation, evaluate
from resmem_cli.workflow.fit_base import BaseOptions, FittedBase
from resmem_cli.workflow.fit_residual import FittedMemory
from resmem_cli.workflow.inputs import Input
from resmem_cli.workflow.predict import PredictOptions
from resmem_cli.workflow.scoring import ScoreOptions

FIXED = MemoryOptions(
    n_neighbors=5, bandwidth=0.4, shrinkage=1.0, temperature=1.0, space="features", n_folds=0, threads=1
)

# On every base, shared by two whatever the folds say: see `shared`.
TWO = replace(FIXED, space=None, n_folds=2, n_members=2)


@contextmanager
def shared() -> Iterator[None]:
    """Let the first and the last of the candidates share the prediction, by 70 and 30 %, whatever the folds say."""

    def combine(predictions: list[np.ndarray], *_: object, uncounted: int) -> np.ndarray:
        shares = np.zeros(len(predictions))
        shares[[0, uncounted - 1]] = 0.7, 0.3  # after the candidates comes the base
        return shares

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(selecting, "combine", combine)
        yield


def mixed(n_rows: int, seed: int = 0) -> pa.Table:
    """Rows of every kind of column: numbers with gaps, a category, a boolean, a time; and a number to predict."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n_rows))
    kind, flag = rng.integers(0, 4, n_rows), rng.random(n_rows) < 0.5
    hours = rng.integers(0, 24 * 365, n_rows)
    gaps = rng.random(n_rows) < 0.1
    y = a + np.sin(4 * b) + kind / 2 + flag + np.sin(hours / 24 * 2 * np.pi)
    return pa.table(
        {
            "a": pa.array(np.where(gaps, np.nan, a), from_pandas=True),
            "b": b,
            "kind": pa.array(np.array(["red", "green", "blue, light", 'the "other"'])[kind]),
            "flag": flag,
            "at": pa.array(np.datetime64("2024-01-01T00:00:00", "us") + hours * np.timedelta64(3600, "s")),
            "y": y,
        }
    )


class Pipeline:
    """A model directory, and the verbs on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.model = folder, folder / "model"

    def file(self, name: str, rows: pa.Table) -> str:
        path = self.folder / name
        if name.endswith(".csv"):
            pyarrow.csv.write_csv(rows, path)
        else:
            pyarrow.parquet.write_table(rows, path)
        return str(path)

    def fit(
        self, name: str, estimator: str, roles: Roles, memory: MemoryOptions = FIXED, **options: Any
    ) -> FittedMemory:
        self.fit_base(name, estimator, roles, **options)
        return self.fit_residual(name, memory)

    def fit_base(self, name: str, estimator: str, roles: Roles, **options: Any) -> FittedBase:
        return fit_base.fit_base(Input((name,)), roles, self.model, BaseOptions(estimator, threads=1, **options))

    def fit_residual(self, name: str, memory: MemoryOptions = FIXED) -> FittedMemory:
        return fit_residual.fit_residual(Input((name,)), self.model, memory)

    def predict(self, *names: str, **options: Any) -> pa.Table:
        out = str(self.folder / "out.parquet")
        where = {name: options.pop(name) for name in ("batch_rows", "threads") if name in options}
        chosen = replace(PredictOptions(out, score=ScoreOptions(keep="none", **options), threads=1), **where)
        predict.predict(Input(names), self.model, chosen)
        return pyarrow.parquet.read_table(out)

    def evaluate(self, *names: str) -> Evaluation:
        return evaluate(Input(names), self.model, threads=1)


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path)


@pytest.fixture(autouse=True)
def _threads_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pipeline]:
    """Give a pipeline fitted on 300 mixed rows by an estimator; with "new.csv" and "new.parquet" of 90 others.

    Of two estimators, with a comma between, two memories share the prediction.
    """
    known: dict[str, Pipeline] = {}
    params = {name: {"max_iter": 15} for name in ("boosting", "mlp", "boosting,linear")}

    def fit(estimator: str) -> Pipeline:
        if estimator not in known:
            made = Pipeline(tmp_path_factory.mktemp(estimator))
            train, options = made.file("train.parquet", mixed(300)), params.get(estimator, {})
            with shared() if "," in estimator else nullcontext():
                done = made.fit(train, estimator, Roles("y"), TWO if "," in estimator else FIXED, params=options)
            assert len(done.members) == len(done.estimators)
            for name in ("new.csv", "new.parquet"):
                made.file(name, mixed(90, seed=1).drop_columns(["y"]))
            known[estimator] = made
        return known[estimator]

    return fit
