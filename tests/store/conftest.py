"""Small fitted models, saved once; a test that changes one works on a copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resmem_cli.data.kinds import Kind
from resmem_cli.data.schema import Column, Schema, Target, Task
from resmem_cli.model import bases, resmem
from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases import BaseSpec, Problem
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memory import GraphOptions
from resmem_cli.model.representation import Fitting
from resmem_cli.model.resmem import Remembered
from resmem_cli.model.splitting import Recipe, Rows
from resmem_cli.store import writing
from resmem_cli.store.reading import StoredBase
from resmem_cli.store.writing import MemoryRows

N_GRAPH_ROWS = 1_100  # enough distinct rows for a search graph
PARAMS: dict[str, dict[str, Any]] = {"boosting": {"max_iter": 5}, "mlp": {"hidden_layer_sizes": (6, 4), "max_iter": 20}}


@dataclass(frozen=True)
class Fitted:
    """What is saved: a base and its memory, with the rows and hashes that they were fitted on."""

    X: Floats
    base: StoredBase
    remembered: Remembered
    rows: MemoryRows

    def save(self, directory: Path) -> Path:
        base_id = writing.save_base(directory, self.base, self.rows.hashes)
        writing.save_memory(directory, base_id, self.remembered, self.rows, {})
        return directory


@cache
def fit(estimator: str, *, n_classes: int = 0, n_rows: int = 60, representation: str = "features") -> Fitted:
    """Fit on made-up rows: two numbers, and a category of three; `n_classes` of 0 is a regression."""
    rng = np.random.default_rng(5)
    X = np.column_stack([rng.normal(size=(n_rows, 2)), rng.integers(0, 3, n_rows)])
    signal = X[:, 0] + np.sin(3 * X[:, 1]) + X[:, 2]
    y = np.argsort(np.argsort(signal)) * n_classes // n_rows * 1.0 if n_classes else signal
    columns = (
        Column("a", Kind.NUMBER, "double"),
        Column("b", Kind.NUMBER, "double"),
        Column("c", Kind.CATEGORY, "string", ("x", "y", "z")),
    )
    classes = tuple(f"class {i}" for i in range(n_classes))
    target = Target("t", Task.CLASSIFICATION if n_classes else Task.REGRESSION, "double", classes)
    schema = Schema(columns, target, id_column="id")
    problem = Problem(schema.n_categories, n_classes, seed=0)
    spec = BaseSpec(estimator, PARAMS.get(estimator, {}))
    base = bases.ESTIMATORS[estimator].fit(X, y, None, problem, spec.params)
    training = Rows(X, y, None, np.zeros(n_rows, dtype=bool))
    space = Fitting(training, base, Recipe(spec, problem, None), n_steps=3, threads=1).fit(representation)
    remembered = resmem.memorise(base, space, Settings(4, 0.3), (X, y, None), GraphOptions(), seed=0, threads=1)
    rows = MemoryRows(np.arange(n_rows, dtype=np.uint64), [f"row {i} é" for i in range(n_rows)])
    return Fitted(X, StoredBase("", schema, problem, spec, base, n_rows), remembered, rows)


def contents(directory: Path) -> Mapping[str, bytes]:
    """Every file below a directory (an empty folder too), by its path."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else b""
        for path in directory.rglob("*")
        if path.is_file() or not any(path.iterdir())
    }


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Give a directory with a saved model, made once for each of `fit`'s arguments. It is not to be changed."""
    root = tmp_path_factory.mktemp("saved")

    @cache
    def save(estimator: str, **options: Any) -> Path:
        name = "-".join([estimator, *(f"{key}{value}" for key, value in options.items())])
        return fit(estimator, **options).save(root / name)

    return save


@pytest.fixture
def copied(saved: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Give a copy of a saved model that may be changed."""

    def copy(estimator: str = "linear", **options: Any) -> Path:
        return Path(shutil.copytree(saved(estimator, **options), tmp_path / "model"))

    return copy
