"""Spark and Ray around `score`, as docs/engines.md shows them, beside `resmem predict` on the same files.

    python -m tests.bench.engines [--rows N] [--files N] [--engines NAME,...] [--runs N]

Needs pyspark with Java, and ray[data]. The model has a linear base and a memory of 8,000 rows (that of
`tests.bench.throughput`); the rows lie in Parquet files of equal size. Everything has two cores: `resmem predict` two
threads, Spark `local[2]`, Ray two actors at most. Each is a program of its own, in turns, first for a thousand rows,
which is its start-up. Twice a second all processes that the program has started are looked at: how much processor time
they took, which another program on the machine changes little; the largest resident worker; and the sum of their
proportional shares of memory. results/engines.json keeps the table. Linux only, for it reads /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.bench import samples, throughput
from tests.engines import scripts

RESULTS = Path(__file__).parent / "results"
# What the command line of a process that computes has in it.
_WORKERS = {"predict": "resmem_cli", "spark": "pyspark.daemon", "ray": "MapWorker"}
_FEW = 1_000


def write_rows(folder: Path, n_rows: int, n_files: int) -> None:
    table, target = samples.train("regression")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for i in range(n_files):
        samples.write(folder / f"{i:04}.parquet", table.drop_columns([target]), n_rows // n_files)


def command(engine: str, folder: Path) -> list[str]:
    if engine != "predict":
        return [sys.executable, f"with_{engine}.py"]
    words = ["predict", "data/new", "--model", "models/house", "--output", "data/scored/all.parquet", "--threads", "2"]
    return [sys.executable, "-m", "resmem_cli", *words, "--quiet"]


def run(engine: str, folder: Path) -> dict[str, Any]:
    """Run an engine over the folder's rows; return seconds, seconds of processors, and MiB."""
    shutil.rmtree(folder / "data" / "scored", ignore_errors=True)
    if engine == "predict":
        (folder / "data" / "scored").mkdir()
    began, worker, whole, cpu = time.perf_counter(), 0.0, 0.0, dict[int, float]()
    with (folder / "log").open("w") as log:
        words = command(engine, folder)
        process = subprocess.Popen(words, cwd=folder, env=scripts.environment(), stdout=log, stderr=log)
        while process.poll() is None:
            family = list(_family(process.pid))
            cpu |= {pid: _cpu_seconds(pid) or cpu.get(pid, 0.0) for pid in family}
            sizes = [_sizes(pid, _WORKERS[engine]) for pid in family]
            worker = max([worker, *(resident for resident, _ in sizes)])
            whole = max(whole, sum(share for _, share in sizes))
            time.sleep(0.5)
    if process.returncode:
        raise RuntimeError((folder / "log").read_text()[-3_000:])
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "cpu s": sum(cpu.values()), "worker MiB": worker, "whole MiB": whole}


def _family(pid: int) -> Iterator[int]:
    """Yield a process and all that it has started."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # it has ended meanwhile
            continue
        for child in children:
            yield from _family(int(child))


def _cpu_seconds(pid: int) -> float:
    """Return the processor time of a process so far; 0 of one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _sizes(pid: int, mark: str) -> tuple[float, float]:
    """Return the resident MiB of a worker (0 of another process), and the MiB that a process has as its share."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_text()
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended meanwhile
        return 0.0, 0.0
    kib = {each.split(":")[0]: int(each.split()[1]) for each in lines if each.startswith(("Rss:", "Pss:"))}
    return kib.get("Rss", 0) / 1024 * (mark in line), kib.get("Pss", 0) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--files", type=int, default=16)
    parser.add_argument("--engines", default="predict,spark,ray")
    parser.add_argument("--runs", type=int, default=2)
    asked = parser.parse_args()
    engines, found = asked.engines.split(","), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scripts.write(folder)
        (folder / "models").mkdir()
        throughput.fit("regression-linear", folder).rename(folder / "models" / "house")
        write_rows(folder / "data" / "new", _FEW, 1)
        starting = {engine: run(engine, folder) for engine in engines}
        write_rows(folder / "data" / "new", asked.rows, asked.files)
        n_rows = asked.rows // asked.files * asked.files
        for _ in range(asked.runs):
            for engine in engines:
                began, one = starting[engine], {"engine": engine, "rows": n_rows, **run(engine, folder)}
                scored = pq.ParquetDataset(folder / "data" / "scored").read(["prediction"]).num_rows
                if scored != n_rows:
                    raise RuntimeError(f"{engine} gave {scored:,} of {n_rows:,} rows")
                one |= {"start-up s": began["seconds"], "start-up cpu s": began["cpu s"]}
                one["rows per second"] = n_rows / one["seconds"]
                one["cpu microseconds per row"] = 1e6 * (one["cpu s"] - began["cpu s"]) / n_rows
                found.append(one)
                print(json.dumps(one), flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "engines.json").write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
