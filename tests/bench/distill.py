"""Distillation: what a student keeps of the gain of a memory on rows that nothing was fitted to, and its time per row.

    python -m tests.bench.distill [--data DIR] [--sets NAME,...] [--seeds N] [--rows N] [--estimator NAME] [--threads N]

Of each set so many rows are kept, and two thirds of them are fitted to. Base, memory and student are what the commands
make with their defaults. They predict the other rows in turn, in one thread and one process. What is kept is the
student's gain over the base, in percent of the whole model's. distill.json in the folder of results keeps every run.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from resmem_cli.data import encoding
from resmem_cli.data.rows import Rows
from resmem_cli.model import metrics
from resmem_cli.model.arrays import Floats
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.model.resmem import predict_base
from resmem_cli.store import reading
from resmem_cli.workflow.distill import DistillOptions, distill
from resmem_cli.workflow.fit_base import BaseOptions, fit_base
from resmem_cli.workflow.fit_residual import fit_residual
from resmem_cli.workflow.inputs import Input
from tests.bench.accuracy import data

RESULTS = Path(__file__).parent / "results"
_SETS = "california,electricity,kr_vs_k,diamonds,phoneme"
_TIMES = 3
_SHOWN = ("base", "resmem", "student", "kept", "base_us", "resmem_us", "student_us", "distill_s")


def run(rows: data.DataSet, seed: int, estimator: str, threads: int) -> dict[str, float]:
    """Return errors (RMSE, or log-loss), what is kept, and microseconds a row on the rows that are held out."""
    order = np.random.default_rng(seed).permutation(len(rows.table))
    n_held = len(order) // 3
    train, test = (rows.table.take(pa.array(np.sort(part))) for part in (order[n_held:], order[:n_held]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pq.write_table(train, folder / "train.parquet")
        source, model, student = Input((str(folder / "train.parquet"),)), folder / "model", folder / "student"
        fit_base(source, rows.roles, model, BaseOptions(seed=seed, threads=threads))
        fit_residual(source, model, MemoryOptions(threads=threads))
        started = time.perf_counter()
        distill(source, model, student, DistillOptions(estimator, threads=threads))
        seconds = time.perf_counter() - started
        whole, bases = reading.load(model), reading.load_base(student)
    held = Rows(test, ((0, "test", 1),), is_text=False)
    X, y = encoding.encode(held, whole.base.schema)[0], encoding.encode_target(held, whole.base.schema)
    ways: dict[str, Callable[[Floats], Floats]] = {
        "base": lambda part: predict_base(whole.base.bases, whole.base.weights, part),
        "resmem": lambda part: whole.resmem.predict(part).resmem,
        "student": lambda part: predict_base(bases.bases, bases.weights, part),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    losses = {}
    for _ in range(_TIMES):
        for way, predict in ways.items():
            started = time.perf_counter()
            predicted = predict(X)
            times[way].append(1e6 * (time.perf_counter() - started) / len(X))
            loss = float(metrics.row_loss(y, predicted).mean())
            losses[way] = loss**0.5 if rows.is_regression else loss
    gained = losses["base"] - losses["resmem"]
    kept = 100 * (losses["base"] - losses["student"]) / gained if gained else float("nan")
    return {**losses, "kept": kept, **{f"{way}_us": min(each) for way, each in times.items()}, "distill_s": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RESMEM_DATA", "../shared/data")))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--sets", default=_SETS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--estimator", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[dict[str, float]]] = {}
    print("set", *_SHOWN, sep=" | ", flush=True)
    for name in options.sets.split(","):
        if not (options.data / f"{name}.parquet").exists():
            print(f"{name}: not in {options.data}, left out")
            continue
        rows = data.load(options.data, name, options.rows)
        if json.loads((options.data / f"{name}.json").read_text()).get("log_target_common"):
            rows = rows.with_log_target()
        found[name] = []
        for seed in range(options.seeds):
            found[name].append(run(rows, seed, options.estimator, options.threads))
            (options.results / "distill.json").write_text(json.dumps(found, indent=1))
        print(name, *(_shown([each[what] for each in found[name]]) for what in _SHOWN), sep=" | ", flush=True)


def _shown(values: list[float]) -> str:
    return f"{np.mean(values):.4g} ± {np.std(values, ddof=min(1, len(values) - 1)):.2g}"


if __name__ == "__main__":
    main()
