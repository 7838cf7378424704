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
from resmem_cli.model import metrics, spaces
from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases import BaseSpec
from resmem_cli.model.bases.boosting import Boosting
from resmem_cli.model.choosing.candidates import Candidate, Choice
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.model.fit import build_member
from resmem_cli.model.kernel import Settings
from resmem_cli.model.resmem import Member, ResMem
from resmem_cli.model.rows import LabelledRows, Recipe
from resmem_cli.model.spaces.learning import Schedule
from resmem_cli.model.spaces.training import ResidualKind, Training
from resmem_cli.store import writing
from resmem_cli.store.rows import MemoryRows, TrainedRows
from resmem_cli.store.stored import StoredBase, problem_of

N_GRAPH_ROWS = 1_100  # enough distinct rows for a search graph
PARAMS: dict[str, dict[str, Any]] = {
    "boosting": {"max_iter": 5},
    "poisson": {"max_iter": 5},
    "mlp": {"hidden_layer_sizes": (6, 4), "max_iter": 20},
    "network": {"members": 2, "max_steps": 10},
}


@dataclass(frozen=True)
class Fitted:
    """What is saved: bases and their members, with the rows and hashes that they were fitted on."""

    X: Floats
    y: Floats
    base: StoredBase
    members: tuple[Member, ...]
    rows: MemoryRows
    base_share: float = 0.0

    @property
    def resmem(self) -> ResMem:
        return ResMem(self.base.bases, self.members, base_weights=self.base.weights, base_share=self.base_share)

    def save_memory(self, directory: Path, base_id: str, objective: str | None = None) -> str:
        objective = objective or metrics.objectives(self.base.problem.is_regression)[0]
        return writing.save_memory(directory, base_id, self.resmem, self.rows, objective=objective, folds={})

    def save(self, directory: Path) -> Path:
        self.save_memory(directory, writing.save_base(directory, self.base, TrainedRows(self.rows.hashes)))
        return directory


@cache
def fit(estimators: str, *, n_classes: int = 0, n_rows: int = 60, representation: str = "features") -> Fitted:
    """Fit on made-up rows: two numbers, and a category of three; `n_classes` of 0 is a regression.

    Of several estimators (with commas between) each has a memory, the first of them the largest share.
    """
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
    problem = problem_of(schema, 0)
    rows = LabelledRows(X, y, None, np.zeros(n_rows, dtype=bool))
    recipes = [Recipe(BaseSpec(name, PARAMS.get(name, {})), problem) for name in estimators.split(",")]
    trainings = [Training(rows, recipe.base_for(rows), recipe, Schedule(3), threads=1) for recipe in recipes]
    kinds: tuple[ResidualKind, ...] = ("in-sample", "cross-fitted", "in-sample")
    weights = np.arange(len(trainings), 0, -1) / np.arange(len(trainings) + 1).sum()
    members = []
    for i, (training, kind, weight) in enumerate(zip(trainings, kinds, weights.tolist(), strict=False)):
        choice = Choice(Candidate(i, representation, kind), Settings(4 + i, 0.3), weight)
        space = spaces.fit(representation, training, kind)
        members.append(build_member(training, choice, space, MemoryOptions(n_neighbors=4 + i)))
    remembered = MemoryRows(np.arange(n_rows, dtype=np.uint64), [f"row {i} é" for i in range(n_rows)])
    specs, fitted = tuple(recipe.spec for recipe in recipes), tuple(training.base for training in trainings)
    return Fitted(X, y, StoredBase("", schema, problem, specs, fitted, n_rows), tuple(members), remembered)


def boosted_estimators(*, n_classes: int = 0) -> list[Any]:
    """Return scikit-learn's estimators, whose trees the boosted base of `fit` has."""
    fitted = fit("boosting", n_classes=n_classes)
    return Boosting.fit_estimators(fitted.X, fitted.y, None, fitted.base.problem, PARAMS["boosting"])


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
