"""What the Dask engine costs beside one process on the same machine, per row, and whether the outputs are equal.

The times at which the outputs were finished say what a file takes, and so what ten times as many would.

python -m tests.bench.dask_overhead [--rows 10000000] [--files 20] [--workers 2 4]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

TRAINED, ROWS_OF_A_GROUP, N_COLUMNS = 50_000, 100_000, 8


def made(rows: int, seed: int) -> pa.Table:
    """Rows of numbers whose target has a part that is known to neighbours alone."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, N_COLUMNS))
    y = X @ np.arange(N_COLUMNS) + np.sin(4 * X[:, 0]) * np.cos(3 * X[:, 1]) + 0.1 * rng.normal(size=rows)
    return pa.table({"id": np.arange(rows)} | {f"x{i}": column for i, column in enumerate(X.T)} | {"y": y})


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds by the clock, of the processor in all its processes, and the largest one's MiB."""

    clock: float
    processor: float
    largest: int


def resmem(folder: Path, *words: str) -> Cost:
    """Run a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started, largest = time.perf_counter(), 0
    command = psutil.Popen([sys.executable, "-m", "resmem_cli", *words, "--quiet"], cwd=folder)
    while command.poll() is None:
        with contextlib.suppress(psutil.Error):  # which end meanwhile
            sizes = [each.memory_info().rss for each in (command, *command.children(recursive=True))]
            largest = max(largest, *sizes)
        time.sleep(0.1)
    if command.returncode:
        raise SystemExit(f"{' '.join(words)} failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Cost(time.perf_counter() - started, used, largest >> 20)


def write(folder: Path, rows: int, files: int) -> None:
    """Write the rows to predict, and fit the model."""
    pq.write_table(made(TRAINED, 0), folder / "train.parquet")
    fit = ("fit-base", "train.parquet", "--target", "y", "--id", "id", "--estimator", "linear", "--model", "m")
    resmem(folder, *fit)
    resmem(folder, "fit-residual", "train.parquet", "--model", "m", "--effort", "quick")
    (folder / "in").mkdir()
    for number in range(files):
        of_file = rows // files
        with pq.ParquetWriter(folder / f"in/{number:04}.parquet", made(1, 0).schema) as writer:
            for start in range(0, of_file, ROWS_OF_A_GROUP):
                writer.write_table(made(min(ROWS_OF_A_GROUP, of_file - start), 1 + number * 10_000 + start))


def are_equal(one: Path, other: Path) -> bool:
    """Whether two directories of outputs hold the same tables."""
    names = sorted(path.name for path in one.glob("*.parquet"))
    assert names == sorted(path.name for path in other.glob("*.parquet"))
    return all(
        a.equals(b)
        for name in names
        for a, b in zip(
            pq.ParquetFile(one / name).iter_batches(1 << 16),
            pq.ParquetFile(other / name).iter_batches(1 << 16),
            strict=True,
        )
    )


def extrapolated(outputs: Path, cost: Cost, times: int) -> str:
    """Return what so many times as many files would take, by the times at which these were finished."""
    finished = sorted(path.stat().st_mtime for path in outputs.glob("*.parquet"))
    per_file = np.polyfit(range(len(finished)), finished, 1)[0]
    more = cost.clock + (times - 1) * len(finished) * per_file
    return f"{per_file:.2f} s a file; extrapolated to {times} times as many: {more:,.0f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4])
    chosen = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write(folder, chosen.rows, chosen.files)
        words = ("predict", "in", "--model", "m", "--output-dir")
        local = resmem(folder, *words, "local")
        print(f"{chosen.rows:,} rows in {chosen.files} files")
        print(
            f"one process: {local.clock:.1f} s, of the processor {local.processor:.1f} s, {local.largest:,} MiB",
            flush=True,
        )
        print(extrapolated(folder / "local", local, 10), flush=True)
        for number in chosen.workers:
            dask = resmem(folder, *words, f"dask{number}", "--engine", "dask", "--workers", str(number))
            equal = "equal" if are_equal(folder / "local", folder / f"dask{number}") else "OTHER"
            print(
                f"{number} workers: {dask.clock:.1f} s ({dask.clock / local.clock:.3f} of one process), "
                f"of the processor {dask.processor:.1f} s ({dask.processor / local.processor:.3f}), "
                f"the largest process {dask.largest:,} MiB; {equal} outputs",
                flush=True,
            )
            print(extrapolated(folder / f"dask{number}", dask, 10), flush=True)


if __name__ == "__main__":
    main()
