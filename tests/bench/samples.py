"""What benchmarks of whole commands share: many rows made of few, by jitter, and the cost of a program of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]
_CHUNK = 100_000
_N_CLASSES = 7
_MEASURE = (
    "import resource, subprocess, sys, time; t = time.perf_counter(); subprocess.run(sys.argv[1:], check=True); "
    "print(time.perf_counter() - t, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)


def train(task: str) -> tuple[pa.Table, str]:
    """Return training rows and their target: the price of diamonds, or of seven depths of chess endgames which."""
    if task == "regression":
        return pq.read_table(ROOT / "sample_data/diamonds_train.parquet").drop_columns(["id"]), "price"
    whole = pq.read_table(ROOT / "sample_data/kr_vs_k_train.parquet").drop_columns(["id"])
    names, counts = np.unique(whole["depth"].to_numpy(zero_copy_only=False), return_counts=True)
    frequent = names[np.argsort(-counts)][:_N_CLASSES]
    return whole.filter(pc.is_in(whole["depth"], pa.array(frequent))), "depth"


def jittered(sample: pa.Table, n_rows: int, rng: np.random.Generator) -> pa.Table:
    """Return `n_rows` drawn from a sample, every number with fractions moved by a few percent."""
    table = sample.take(pa.array(rng.integers(0, sample.num_rows, n_rows)))
    for i, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            table = table.set_column(i, field, pa.array(table.column(i).to_numpy() * rng.normal(1, 0.02, n_rows)))
    return table


def write(path: Path, sample: pa.Table, n_rows: int) -> None:
    """Write rows as Parquet or CSV, in chunks, so that little of them is held."""
    rng = np.random.default_rng(0)
    is_csv = path.suffix == ".csv"
    with pyarrow.csv.CSVWriter(path, sample.schema) if is_csv else pq.ParquetWriter(path, sample.schema) as writer:
        for start in range(0, n_rows, _CHUNK):
            writer.write_table(jittered(sample, min(_CHUNK, n_rows - start), rng))


def measured(words: Sequence[str], *, module: str | None = "resmem_cli", root: Path = ROOT) -> tuple[float, int]:
    """Return the seconds that `python -m module words` takes in a checkout, and its peak resident memory in MiB."""
    command = [sys.executable, *(() if module is None else ("-m", module)), *words]
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *command],
        check=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    seconds, kib = done.stdout.split()[-2:]
    return float(seconds), int(kib) // 1024  # Linux counts in KiB
