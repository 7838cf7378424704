"""What a row costs in every step of `predict`, in one thread: what docs/scale.md reckons with.

    python -m tests.bench.steps [--rows N] [--remembered N,...]

The model has a linear base and a memory of so many rows (for 8,000 it is that of `tests.bench.throughput`). Reading is
from files that the system has in memory already: the disk or the network is not in it. Each step is the best of three
passes over the same batches of 32,768 rows, in processor time, which another program on the machine changes little.
results/steps.json keeps it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq

from resmem_cli.data import encoding, output, predictions
from resmem_cli.store import reading
from resmem_cli.workflow import thread_limit
from resmem_cli.workflow.inputs import Input
from resmem_cli.workflow.scoring import ScoreOptions, Scorer
from tests.bench import floor, samples, throughput

RESULTS = Path(__file__).parent / "results"
_BATCH = 32_768
_PASSES = 3
_LOAD = (
    "import os, sys, time; from resmem_cli import load\n"
    "def resident(): return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20\n"
    "from resmem_cli.workflow.model import Model; before = resident(); t = time.perf_counter(); load(sys.argv[1])\n"
    "print(time.perf_counter() - t, before, resident())"
)


def steps(model: Path, source: Path, n_rows: int, folder: Path) -> dict[str, float]:
    """Return the microseconds per row of each step."""
    stored = reading.load(model)
    scorer = Scorer.of(stored.base, stored.resmem, ScoreOptions())
    schema, layout = stored.base.schema, scorer.layout(typed=True)
    batches = list(Input((str(source),)).batches(_BATCH, None, schema))
    encoded = [encoding.encode(batch, schema)[0] for batch in batches]
    scored = [scorer.predict(X) for X in encoded]
    tables = [predictions.lay_out(batch, layout, each) for batch, each in zip(batches, scored, strict=True)]

    def written() -> None:
        with output.writer(str(folder / "scored.parquet")) as out:
            for table in tables:
                out.write(table, "rows")

    def per_row(job: Callable[[], Any]) -> float:
        return min(_seconds(job) for _ in range(_PASSES)) / n_rows * 1e6

    found = {
        "read Parquet": per_row(lambda: list(Input((str(source),)).batches(_BATCH, None, schema))),
        "encode": per_row(lambda: [encoding.encode(batch, schema) for batch in batches]),
    }
    parts = [floor.parts(model, source, n_rows, clock=time.process_time) for _ in range(_PASSES)]
    found |= {name: min(each[name] for each in parts) for name in parts[0]}
    found["predict, all of these four"] = per_row(lambda: [scorer.predict(X) for X in encoded])
    found["lay out"] = per_row(
        lambda: [predictions.lay_out(batch, layout, each) for batch, each in zip(batches, scored, strict=True)]
    )
    found["write Parquet"] = per_row(written)
    return found


def sizes(model: Path, source: Path, n_rows: int, folder: Path) -> dict[str, float]:
    """Return bytes per row, and what a worker needs to begin: seconds, MiB, and the model's bytes."""
    done = subprocess.run([sys.executable, "-c", _LOAD, str(model)], check=True, capture_output=True, text=True)
    seconds, before, after = map(float, done.stdout.split())
    return {
        "bytes read per row": source.stat().st_size / n_rows,
        "bytes written per row": (folder / "scored.parquet").stat().st_size / n_rows,
        "model MiB": sum(path.stat().st_size for path in model.rglob("*") if path.is_file()) / 2**20,
        "load s": seconds,
        "MiB before": before,
        "MiB with the model": after,
    }


def _seconds(job: Callable[[], Any]) -> float:
    began = time.process_time()
    job()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4 * _BATCH)
    parser.add_argument("--remembered", default="8000,80000,400000")
    asked, every = parser.parse_args(), {}
    with tempfile.TemporaryDirectory() as name, thread_limit.limited(1):
        folder, n_rows = Path(name), asked.rows
        source = folder / "rows.parquet"
        table, target = samples.train("regression")
        samples.write(source, table.drop_columns([target]), n_rows)
        for n_remembered in map(int, asked.remembered.split(",")):
            own = folder / str(n_remembered)
            own.mkdir()
            model = throughput.fit("regression-linear", own, n_remembered)
            found = steps(model, source, n_rows, own) | sizes(model, source, n_rows, own)
            found |= _csv(pq.read_table(source), own / "rows.csv", model, n_rows)
            print(f"{n_remembered:,} rows remembered")
            for what, figure in found.items():
                print(f"  {what:28} {figure:10.3f}", flush=True)
            every[n_remembered] = found
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "steps.json").write_text(json.dumps(every, indent=2))


def _csv(table: Any, path: Path, model: Path, n_rows: int) -> dict[str, float]:
    """Return the microseconds per row that the same rows take to be read from CSV, as text, and to become numbers."""
    pyarrow.csv.write_csv(table, path)
    schema = reading.load_base(model).schema
    batches = list(Input((str(path),)).batches(_BATCH, None, schema))
    jobs: dict[str, Callable[[], Any]] = {
        "read CSV": lambda: list(Input((str(path),)).batches(_BATCH, None, schema)),
        "encode text": lambda: [encoding.encode(batch, schema) for batch in batches],
    }
    return {what: min(_seconds(job) for _ in range(_PASSES)) / n_rows * 1e6 for what, job in jobs.items()}


if __name__ == "__main__":
    main()
