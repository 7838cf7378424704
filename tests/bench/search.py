"""How fast the memory is searched, and what a large one costs.

    python -m tests.bench.search [--large N] [--threads N]

First, at equal neighbours (k = 32): 54,000 rows of diamonds in the space of features (26 columns), corrected by our
memory (search, weights, weighted mean), by hnswlib's search alone, and predicted by scikit-learn's KNeighborsRegressor
with each of its algorithms; queries per second, and the recall of our search. The rows are those of RESMEM_DATA, or
sample rows again and again with jitter.

Then a memory of N cells in 16 columns (points near a 6-dimensional surface, in clusters): time to build, size of the
file, resident memory, and queries per second at a recall of .95 and of .99. N = 0 leaves it out.
results/search.json keeps both.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from sklearn.neighbors import KNeighborsRegressor

from resmem_cli.data import encoding, inference
from resmem_cli.data.inference import Roles
from resmem_cli.data.rows import Rows
from resmem_cli.model import kernel
from resmem_cli.model.arrays import Floats, Singles
from resmem_cli.model.memory.cells import Cells
from resmem_cli.model.memory.index import ExactIndex, GraphOptions, HnswIndex
from resmem_cli.model.memory.memory import Memory
from resmem_cli.model.scaling import Scaler
from resmem_cli.workflow import thread_limit
from tests.bench import samples

RESULTS = Path(__file__).parent / "results"
_K = 32
_ROWS, _QUERIES = 54_000, 20_000
_JUDGED = 1_000  # queries whose true neighbours are computed
_COLUMNS, _SURFACE, _CLUSTERS = 16, 6, 200


def diamonds() -> tuple[Singles, Floats, Singles]:
    """Return the representations of the rows to remember, their targets, and the queries' representations."""
    rng = np.random.default_rng(0)
    real = Path(os.environ.get("RESMEM_DATA", "")) / "diamonds.parquet"
    table = pq.read_table(real) if real.is_file() else samples.jittered(samples.train("regression")[0], _ROWS, rng)
    queries = samples.jittered(table, _QUERIES, rng)
    schema = inference.learn([_rows(table)], Roles("price")).schema
    X, asked = (encoding.encode(_rows(each), schema)[0] for each in (table, queries))
    scaler = Scaler.fit(X, schema.n_categories, "normal")
    return scaler.transform(X), encoding.encode_target(_rows(table), schema), scaler.transform(asked)


def _rows(table: Any) -> Rows:
    return Rows(table, ((0, "rows", 1),), is_text=False)


def rate(job: Callable[[], Any], n_queries: int, times: int = 3) -> float:
    """Return the queries per second of the best of several runs."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        job()
        seconds.append(time.perf_counter() - began)
    return n_queries / min(seconds)


def recall(index: HnswIndex, points: Singles, queries: Singles, threads: int) -> float:
    exact, _ = ExactIndex(points).search(queries, _K)
    found, _ = index.search(queries, _K, threads)
    return float((found <= exact[:, -1:] * (1 + 1e-5) + 1e-12).mean())


def beside_scikit_learn(threads: int) -> dict[str, float]:
    representations, y, queries = diamonds()
    cells = Cells.group(representations)
    values = cells.mean(y[:, None])
    index = HnswIndex.build(cells.points, _K, GraphOptions(), 0, threads)
    memory = Memory(values, cells.counts, index)

    def ours() -> Floats:
        distances, near = memory.neighbors(queries, _K, threads)
        weights = kernel.weights(distances, memory.counts[near], 0.5, is_relative=True)
        return kernel.correction(weights, memory.residuals[near], None)

    index.search(queries[:1], _K)  # sets ef
    rates = {
        "resmem": rate(ours, len(queries)),
        "hnswlib alone": rate(lambda: index.graph.knn_query(queries, k=_K, num_threads=threads), len(queries)),
    }
    few = queries[:2_000]
    for algorithm in ("brute", "kd_tree", "ball_tree"):
        model = KNeighborsRegressor(_K, weights="distance", algorithm=algorithm, n_jobs=threads)
        model.fit(cells.points, values[:, 0])
        rates[f"scikit-learn, {algorithm}"] = rate(lambda model=model: model.predict(few), len(few))
    fastest = max(value for name, value in rates.items() if name.startswith("scikit-learn"))
    found = recall(index, cells.points, queries[:_JUDGED], threads)
    print(f"{len(cells.points):,} cells, {cells.points.shape[1]} columns, k {_K}, recall {found:.4f}\n")
    print("| search | queries/s | times scikit-learn's fastest |\n|---|---|---|")
    for name, value in rates.items():
        print(f"| {name} | {value:,.0f} | {value / fastest:.2f} |")
    return rates | {"recall": found, "times": rates["resmem"] / fastest}


def surface(n: int, rng: np.random.Generator) -> Singles:
    """Return [n, 16] points."""
    centers = rng.normal(size=(_CLUSTERS, _SURFACE))
    hidden = centers[rng.integers(0, _CLUSTERS, n)] + 0.3 * rng.normal(size=(n, _SURFACE))
    map_of = np.random.default_rng(1).normal(size=(_SURFACE, _COLUMNS))
    return (np.tanh(hidden @ map_of / 2) + 0.02 * rng.normal(size=(n, _COLUMNS))).astype(np.float32)


def large(n: int, threads: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    points, queries = surface(n, rng), surface(_QUERIES, rng)
    began = time.perf_counter()
    cells = Cells.group(points)
    grouped = time.perf_counter() - began
    began = time.perf_counter()
    index = HnswIndex.build(cells.points, _K, GraphOptions(ef=_K), 0, threads)
    built = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "graph"
        index.save(path)
        n_bytes = path.stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    run: dict[str, Any] = {
        "cells": len(cells.points), "group s": grouped, "build s": built, "file MiB": n_bytes / 2**20, "peak MiB": peak
    }  # fmt: skip
    print(
        f"\n{len(cells.points):,} cells, {_COLUMNS} columns: grouped in {grouped:.0f} s, built in {built:.0f} s, "
        f"file {n_bytes / 2**20:,.0f} MiB, peak {peak:,.0f} MiB\n\n| ef | recall | queries/s |\n|---|---|---|"
    )
    aims = [0.95, 0.99]
    while aims and index.ef <= 1_024:
        found = recall(index, cells.points, queries[:_JUDGED], threads)
        per_second = rate(lambda: index.search(queries, _K, threads), len(queries))
        print(f"| {index.ef} | {found:.4f} | {per_second:,.0f} |", flush=True)
        while aims and found >= aims[0]:
            run[f"queries per second at {aims.pop(0)}"] = per_second
        index.ef = round(index.ef * 1.4)
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", type=int, default=5_000_000)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    with thread_limit.limited(asked.threads) as threads:
        found: dict[str, Any] = {"beside scikit-learn": beside_scikit_learn(threads)}
        if asked.large:
            found["large"] = large(asked.large, threads)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "search.json").write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
