"""What the commands cost with 1,000 and with 10,000 classes, and what the memory gains there.

Made rows of 64 numbers: each class is three clusters of its own, so that a linear base has something left to explain,
and the frequencies of classes fall as 1 / rank^0.7. A line per command: seconds, seconds of both cores, and the peak of
the resident sets of all its processes (pages that they share count more than once); then the size of the model, and the
log-loss and accuracy of base and resmem on new rows.

    python -m tests.bench.many_classes [N_CLASSES,N_ROWS ...]     (default: 1000,30000 10000,50000)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]
SIZES = ("1000,30000", "10000,50000")
_N_COLUMNS, _N_CLUSTERS, _N_NEW, _N_MORE = 64, 3, 5_000, 1_000
_INTERVAL = 0.5  # seconds between two looks at the memory
_PAGE = os.sysconf("SC_PAGE_SIZE")


def make_rows(n_classes: int, n_rows: int) -> pa.Table:
    """Rows of which the first 2 n_classes have every class twice."""
    rng = np.random.default_rng(0)
    centres = 0.5 * rng.normal(size=(n_classes, 1, _N_COLUMNS))
    clusters = centres + 0.9 * rng.normal(size=(n_classes, _N_CLUSTERS, _N_COLUMNS))
    share = 1 / np.arange(1, n_classes + 1) ** 0.7
    often = rng.choice(n_classes, n_rows - 2 * n_classes, p=share / share.sum())
    y = np.r_[rng.permutation(np.repeat(np.arange(n_classes), 2)), often]
    X = clusters[y, rng.integers(0, _N_CLUSTERS, n_rows)] + rng.normal(size=(n_rows, _N_COLUMNS))
    columns = {f"x{j}": X[:, j].astype(np.float32) for j in range(_N_COLUMNS)}
    ids = [f"r{i}" for i in range(n_rows)]
    return pa.table({"id": ids, **columns, "label": [f"class {c:05d}" for c in y]})


def processes(root: int) -> list[int]:
    """Return a process and all that came of it."""
    found = [root]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:  # it has ended
                continue
    return found


def resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0


def measure(*words: object) -> str:
    """Run a command, print what it cost, and return its output."""
    started, before, peak = time.perf_counter(), os.times(), 0
    command = [sys.executable, "-m", "resmem_cli", *map(str, words)]
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out, cwd=ROOT)
        while process.poll() is None:
            peak = max(peak, sum(map(resident, processes(process.pid))))
            time.sleep(_INTERVAL)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        out.seek(0)
        said = out.read()
    seconds, after = time.perf_counter() - started, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"{words[0]:>14} {seconds:7.0f} s {cpu:7.0f} s of cores {peak / 2**20:7,.0f} MiB", flush=True)
    return said


def run(n_classes: int, n_rows: int) -> None:
    print(f"{n_classes:,} classes, {n_rows:,} rows", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train, new, more = (folder / f"{part}.parquet" for part in ("train", "new", "more"))
        rows = make_rows(n_classes, n_rows + _N_NEW + _N_MORE)
        pq.write_table(rows[:n_rows], train)
        pq.write_table(rows[n_rows : n_rows + _N_NEW], new)
        pq.write_table(rows[n_rows + _N_NEW :], more)
        model = ("--model", folder / "model", "--quiet")
        measure("fit-base", train, "--target", "label", "--id", "id", *model)
        measure("fit-residual", train, *model)
        size = sum(path.stat().st_size for path in (folder / "model").rglob("*") if path.is_file())
        measure("predict", new, *model, "--output", folder / "predicted.parquet")
        found = json.loads(measure("evaluate", new, *model, "--json"))["metrics"]
        measure("explain", new, *model, "--rows", "1,2,3", "--output", folder / "explained.jsonl")
        measure("remember", more, *model)
        measure("forget", *model, "--ids", "r0,r1")
        measure("verify", *model)
    print(f"         model {size / 2**20:7.0f} MiB on disk")
    for metric in ("log_loss", "accuracy"):
        print(f"{metric:>14} {found[metric]['base']:.4f} -> {found[metric]['resmem']:.4f}", flush=True)


def main(sizes: Sequence[str]) -> None:
    for size in sizes:
        n_classes, n_rows = map(int, size.split(","))
        run(n_classes, n_rows)


if __name__ == "__main__":
    main(sys.argv[1:] or SIZES)
