"""What boosted trees predict per second on one core: our tables of leaves beside scikit-learn's own predict.

    python -m tests.bench.trees [--rows N,...] [--rounds N]

Both score the same made rows with the same fitted boosting, in turns, and the best of the rounds counts: other programs
only ever slow one down. Every prediction is compared, to the last bit. The shapes are those of housing prices (8
numbers), of wide data (54 columns, of which 44 have two values), and of 7 classes. The time to build the tables, and
their size, stand beside. results/trees.json keeps it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases.boosting import Bag

RESULTS = Path(__file__).parent / "results"
_N_FITTED, _N_ITERATIONS = 20_000, 213
# Columns of numbers, columns of two values, classes.
_SHAPES = {"8 numbers": (8, 0, 0), "54 columns": (10, 44, 0), "54 columns, 7 classes": (10, 44, 7)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="1,50,1000,32768")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    found = []
    print(
        "| shape | trees | tables, ms | MiB | rows | scikit-learn, rows/s | ours, rows/s | ratio |\n" + "|---" * 8 + "|"
    )
    with threadpoolctl.threadpool_limits(1):
        for name, shape in _SHAPES.items():
            model = fitted(*shape)
            bag = Bag.of(model)
            start = time.perf_counter()
            tables = bag.forest.tables
            built, size = time.perf_counter() - start, tables.n_bytes / 2**20 if tables else 0.0
            for n_rows in map(int, asked.rows.split(",")):
                X = made(n_rows, *shape[:2], np.random.default_rng(1))[0]
                theirs, ours = predictions(model, X), predictions(Bag.of(model) if n_rows < 256 else bag, X)
                np.testing.assert_array_equal(ours(), theirs())
                seconds = in_turns((theirs, ours), asked.rounds)
                per_second = [n_rows / each for each in seconds]
                ratio = seconds[0] / seconds[1]
                n_trees = len(bag.forest.n_nodes)
                found.append({"shape": name, "trees": n_trees, "rows": n_rows, "seconds": seconds, "ratio": ratio})
                numbers = f"{n_trees} | {built * 1e3:.0f} | {size:.1f} | {n_rows:,}"
                print(f"| {name} | {numbers} | {per_second[0]:,.0f} | {per_second[1]:,.0f} | {ratio:.1f} |", flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "trees.json").write_text(json.dumps(found, indent=2))


def fitted(n_numbers: int, n_pairs: int, n_classes: int) -> Any:
    """Return a boosting of made rows."""
    X, value = made(_N_FITTED, n_numbers, n_pairs, np.random.default_rng(0))
    params = {"max_iter": _N_ITERATIONS, "early_stopping": False, "random_state": 0}
    if not n_classes:
        return HistGradientBoostingRegressor(max_features=0.5, **params).fit(X, value)
    edges = np.quantile(value, np.arange(1, n_classes) / n_classes)
    return HistGradientBoostingClassifier(**params).fit(X, np.digitize(value, edges))


def made(n: int, n_numbers: int, n_pairs: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return rows, with some gaps, and a number that depends on pairs of columns."""
    X = np.column_stack([rng.normal(size=(n, n_numbers)), rng.integers(0, 2, (n, n_pairs))])
    slopes = np.random.default_rng(2).normal(size=(2, X.shape[1]))
    value = np.sin(X @ slopes[0]) + X @ slopes[1] / 4 + rng.normal(size=n) / 4
    X[rng.random(X.shape) < 0.02] = np.nan
    return X, value


def predictions(model: Any, X: Floats) -> Callable[[], Floats]:
    """Return what predicts the rows: numbers, or probabilities."""
    if isinstance(model, Bag):
        return lambda: model.predictions(model.totals(X, [model.n_iterations])[-1].T)
    if hasattr(model, "classes_"):
        return lambda: np.asarray(model.predict_proba(X))
    return lambda: np.asarray(model.predict(X)).reshape(-1, 1)


def in_turns(jobs: tuple[Callable[[], Floats], ...], rounds: int) -> list[float]:
    """Return the shortest time of each job, in seconds."""
    seconds = [float("inf")] * len(jobs)
    for _ in range(rounds):
        for i, job in enumerate(jobs):
            start = time.perf_counter()
            job()
            seconds[i] = min(seconds[i], time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
