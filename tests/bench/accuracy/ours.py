"""Our own runs: the functions that the commands call, on files in a temporary folder."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import resmem_cli
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.workflow.evaluate import evaluate
from resmem_cli.workflow.fit_base import BaseOptions, fit_base
from resmem_cli.workflow.fit_residual import fit_residual
from resmem_cli.workflow.inputs import Input
from resmem_cli.workflow.predict import PredictOptions, predict
from resmem_cli.workflow.scoring import ScoreOptions
from tests.bench.accuracy.data import DataSet, Split
from tests.bench.accuracy.runs import Options, Run

# The libraries as they are without our bags and early stopping. (CatBoost's own learning rate follows from the rows.)
_BY_DEFAULT: dict[str, tuple[str, dict[str, Any]]] = {
    "boosting-default": (
        "boosting",
        {"bags": 1, "max_iter": 100, "learning_rate": 0.1, "max_features": 1.0, "early_stopping": False},
    ),
    "lightgbm-default": ("lightgbm", {"n_estimators": 100, "learning_rate": 0.1, "early_stopping_rounds": 0}),
    "xgboost-default": ("xgboost", {"n_estimators": 100, "learning_rate": 0.3, "early_stopping_rounds": 0}),
    "catboost-default": ("catboost", {"n_estimators": 1_000, "learning_rate": 0.05, "early_stopping_rounds": 0}),
}
BASES = ("linear", "boosting", "poisson", "mlp", "auto", "lightgbm", "xgboost", "catboost", *_BY_DEFAULT)
_LONGEST = 2_000  # characters of a value that is kept for the record only


@contextmanager
def clock(seconds: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - started, 3)


def run(asked: Run, data: DataSet, parts: Split, options: Options, threads: int) -> dict[str, Any]:
    """Fit, remember, predict and evaluate on one split, and return what is kept of it."""
    seconds: dict[str, float] = {}
    estimator, params = _BY_DEFAULT.get(asked.base or "", (asked.base or "auto", {}))
    of_base = BaseOptions(estimator, params, seed=asked.seed, threads=threads)
    of_memory = MemoryOptions(effort=options.effort, threads=threads, **dict(options.memory))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, train, test = folder / "model", folder / "train.parquet", folder / "test.parquet"
        pq.write_table(parts.fitting(options.train_on), train)
        pq.write_table(parts.test, test)
        with clock(seconds, "fit_base"):
            base = fit_base(Input((str(train),)), data.roles, model, of_base)
        with clock(seconds, "fit_residual"):
            fitted = fit_residual(Input((str(train),)), model, of_memory)
        with clock(seconds, "predict"):
            scored = str(folder / "scored.parquet")
            predict(
                Input((str(test),)), model, PredictOptions(scored, score=ScoreOptions(keep="none"), threads=threads)
            )
        done = evaluate(Input((str(test),)), model, seed=asked.seed, threads=threads)
    return {
        "metrics": done.to_json()["metrics"],
        "uses_memory": done.uses_memory,
        "estimators": list(base.estimators),
        "held_out": {"objective": base.objective, "values": list(base.held_out), "n_rows": base.n_held_out},
        "folds": fields_of(fitted.selection),
        "memory": fields_of(fitted, but=("selection", "members")),
        "members": [
            {
                "estimator": fitted.estimators[member.base],
                "representation": member.space.name,
                "residuals": member.residuals,
                "settings": repr(member.settings),
                "weight": member.weight,
                "n_cells": member.memory.n_cells,
                "recall": member.memory.recall,
            }
            for member in fitted.members
        ],
        "seconds": seconds,
        "code": CODE,
    }


def fields_of(value: Any, but: Collection[str] = ()) -> dict[str, Any]:
    """Return every field of a dataclass, what JSON cannot hold as text: fields that are new are kept as well."""
    if value is None:
        return {}
    return {
        field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value) if field.name not in but
    }


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)[:_LONGEST]


def _hash_of_source() -> str:
    package = Path(resmem_cli.__file__).parent
    content = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        content.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return content.hexdigest()[:12]


# Whether two runs are of the same program; taken once, because the source may be edited while a run is going on.
CODE = _hash_of_source()
