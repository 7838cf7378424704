"""Rows per second of `resmem predict`, beside the floor that its two unavoidable parts set.

    python -m tests.bench.throughput [--rows N,...] [--models NAME,...] [--threads N]

The floor, measured in the same run: the base's own predict and hnswlib's own `knn_query`, at the same k, ef and
threads, on rows that are encoded and represented in memory already. The command: `resmem predict` from file to file,
start-up included, as a program of its own whose peak resident memory is taken too. For every model (regression or
seven classes, boosting or linear, a memory of 8,000 rows in the space of features, k = 32) and number of rows the table
states rows per second, the ratio to the floor, and the memory. results/throughput.json keeps it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from resmem_cli.data import encoding
from resmem_cli.data.inference import Roles
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.model.memory.index import HnswIndex
from resmem_cli.model.scaling import Encoded
from resmem_cli.store import reading
from resmem_cli.workflow import thread_limit
from resmem_cli.workflow.fit_base import BaseOptions, fit_base
from resmem_cli.workflow.fit_residual import fit_residual
from resmem_cli.workflow.inputs import Input
from tests.bench import samples

RESULTS = Path(__file__).parent / "results"
MODELS = ("regression-boosting", "regression-linear", "classes-boosting", "classes-linear")
_MEMORY = MemoryOptions(n_neighbors=32, bandwidth=0.3, shrinkage=1.0, temperature=1.0, space="features", n_folds=0)
_FLOOR_ROWS = 200_000  # the floor's time grows with the rows alone: of more it is taken from these


def fit(name: str, folder: Path, n_rows: int | None = None) -> Path:
    """Fit a model of a task and an estimator to the sample's rows, or to so many that are made of them."""
    task, estimator = name.split("-")
    table, target = samples.train(task)
    if n_rows is not None:
        table = samples.jittered(table, n_rows, np.random.default_rng(0))
    source, model = folder / f"{task}.parquet", folder / name
    pq.write_table(table, source)
    fit_base(Input((str(source),)), Roles(target), model, BaseOptions(estimator))
    fit_residual(Input((str(source),)), model, _MEMORY)
    return model


def floor(model: Path, source: Path, n_rows: int, threads: int) -> float:
    """Return the rows per second of base and search alone, the better of two runs."""
    with thread_limit.limited(threads):
        stored = reading.load(model)
        batches = Input((str(source),)).batches(65_536, stored.base.schema.needed)
        X = np.concatenate([encoding.encode(batch, stored.base.schema)[0] for batch in batches])[:n_rows]
        member = stored.resmem.members[0]
        base, index = stored.resmem.bases[member.base], member.memory.index
        assert isinstance(index, HnswIndex)
        points = np.ascontiguousarray(member.space.represent(Encoded(X), base, base.predict(X)).points)
        seconds = []
        for _ in range(2):
            began = time.perf_counter()
            base.predict(X)
            index.graph.set_ef(max(index.ef, member.settings.n_neighbors))
            index.graph.knn_query(points, k=member.settings.n_neighbors, num_threads=threads)
            seconds.append(time.perf_counter() - began)
    return len(X) / min(seconds)


def command(model: Path, source: Path, output: Path, threads: int) -> list[str]:
    words = ["predict", str(source), "--model", str(model), "--output", str(output)]
    return [*words, "--threads", str(threads), "--quiet"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="54000,1000000,10000000")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    found: list[dict[str, Any]] = []
    print("| model | rows | from and to | rows/s | floor, rows/s | ratio | peak MiB |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model_name in asked.models.split(","):
            model = fit(model_name, folder)
            table, target = samples.train(model_name.split("-")[0])
            for n_rows in map(int, asked.rows.split(",")):
                for form in ("parquet", "csv"):
                    source, output = folder / f"rows.{form}", folder / f"scored.{form}"
                    samples.write(source, table.drop_columns([target]), n_rows)
                    # Between two halves of the floor, so that what else the machine does meets both.
                    before = floor(model, source, min(n_rows, _FLOOR_ROWS), asked.threads)
                    seconds, peak = samples.measured(command(model, source, output, asked.threads))
                    after = floor(model, source, min(n_rows, _FLOOR_ROWS), asked.threads)
                    best = max(before, after)
                    run = {"model": model_name, "rows": n_rows, "format": form, "rows per second": n_rows / seconds}
                    found.append(run | {"floor": best, "ratio": n_rows / seconds / best, "peak MiB": peak})
                    print(
                        f"| {model_name} | {n_rows:,} | {form} | {n_rows / seconds:,.0f} | {best:,.0f} | "
                        f"{found[-1]['ratio']:.2f} | {peak:,} |",
                        flush=True,
                    )
                    output.unlink()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "throughput.json").write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
