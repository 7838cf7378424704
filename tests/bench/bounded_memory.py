"""Peak resident memory of `resmem predict` on 0.5 and on 5 million rows made from sample data.

A file ten times as long must not need more memory: rows are streamed. Prints one line per size and the ratio.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]
SIZES = (500_000, 5_000_000)
_CHUNK = 100_000


def make_rows(path: Path, n_rows: int) -> None:
    """Write `n_rows` diamonds: rows of the sample, drawn again and again, their sizes jittered."""
    sample = pq.read_table(ROOT / "sample_data/diamonds_new.parquet").drop_columns(["id"])
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(path, sample.schema) as writer:
        for _ in range(n_rows // _CHUNK):
            table = sample.take(pa.array(rng.integers(0, sample.num_rows, _CHUNK)))
            for name in ("carat", "x", "y", "z"):
                jittered = table.column(name).to_numpy() * rng.normal(1, 0.02, _CHUNK)
                table = table.set_column(table.column_names.index(name), name, pa.array(jittered))
            writer.write_table(table)


def run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "resmem_cli", *arguments], check=True, cwd=ROOT)


def peak_of(*arguments: str) -> int:
    """Run the command in a process of its own and return its peak resident memory in MiB."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [sys.executable, "-c", code, sys.executable, "-m", "resmem_cli", *arguments]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    print(done.stderr.strip())
    return int(done.stdout.split()[-1]) // 1024  # Linux counts in KiB


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = f"{folder}/model"
        train = "sample_data/diamonds_train.parquet"
        run("fit-base", train, "--target", "price", "--id", "id", "--estimator", "linear", "--model", model, "--quiet")
        # The settings are given, so that the figures are those of streaming and not of what the folds prefer.
        settings = ("--neighbors", "8", "--bandwidth", "0.2", "--shrinkage", "1", "--temperature", "1", "--folds", "0")
        run("fit-residual", train, "--model", model, "--representation", "features", *settings, "--quiet")
        peaks = {}
        for size in SIZES:
            make_rows(Path(folder) / "rows.parquet", size)
            for ending in ("parquet", "csv"):
                output = f"{folder}/scored.{ending}"
                source = f"{folder}/rows.parquet" if ending == "parquet" else f"{folder}/rows.csv"
                if ending == "csv":
                    import pyarrow.csv

                    pyarrow.csv.write_csv(pq.read_table(f"{folder}/rows.parquet"), source)
                peaks[f"{ending} {size}"] = peak_of("predict", source, "--model", model, "--output", output)
                print(f"{ending}: {size:,} rows: peak resident memory {peaks[f'{ending} {size}']:,} MiB", flush=True)
                Path(output).unlink()
        for ending in ("parquet", "csv"):
            ratio = peaks[f"{ending} {SIZES[1]}"] / peaks[f"{ending} {SIZES[0]}"]
            print(f"{ending}: {SIZES[1]:,} rows need {ratio:.2f} times the memory of {SIZES[0]:,}")
        results = ROOT / "tests/bench/results"
        results.mkdir(exist_ok=True)
        (results / "bounded_memory.json").write_text(json.dumps(peaks, indent=2))


if __name__ == "__main__":
    main()
