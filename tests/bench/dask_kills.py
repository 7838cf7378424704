"""Whether workers and commands that are killed at random moments lose anything, or write anything twice.

Each round begins a job on Dask, kills a random worker at a random moment and then the command itself, goes on with
--resume in the same way until the job ends, and compares the outputs with those of one process.

python -m tests.bench.dask_kills [--rounds 20] [--seed 0]
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from tests.bench.dask_overhead import are_equal, made, resmem, write

N_FILES, ROWS, ROWS_OF_THE_LARGE_ONE = 24, 480_000, 1_200_000
LONGEST = 20.0  # seconds until a kill: about what a job takes


def interrupted(folder: Path, rng: random.Random) -> bool:
    """Run the job; kill a worker, and then the command. Return whether it was not finished by then."""
    words = ["predict", "in", "--model", "m", "--output-dir", "dask", "--resume", "--engine", "dask", "--workers", "2"]
    command = subprocess.Popen([sys.executable, "-m", "resmem_cli", *words, "--quiet"], cwd=folder)
    moments = sorted(rng.uniform(1, LONGEST) for _ in range(2))
    started = time.monotonic()
    for number, moment in enumerate(moments):
        while command.poll() is None and time.monotonic() - started < moment:
            time.sleep(0.02)
        if command.poll() is not None:  # a worker that is killed while it starts ends the command with a sentence
            assert command.returncode == 0 or (command.returncode == 1 and number == 1), command.returncode
            return command.returncode != 0
        if number == 0:
            workers = psutil.Process(command.pid).children(recursive=True)
            workers = [each for each in workers if "spawn_main" in " ".join(each.cmdline())]
            if workers:
                rng.choice(workers).kill()
    command.kill()
    command.wait()
    return True


def finished(folder: Path) -> dict[Path, int]:
    """The outputs that have a marker, with the times at which they were written."""
    markers = (folder / "dask/.resmem").glob("*.json")
    return {folder / "dask" / path.stem: (folder / "dask" / path.stem).stat().st_mtime_ns for path in markers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    rng = random.Random(chosen.seed)  # noqa: S311 - moments, not secrets
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write(folder, ROWS, N_FILES)
        large = made(ROWS_OF_THE_LARGE_ONE, 7)
        pq.write_table(large, folder / "in/large.parquet", row_group_size=100_000)
        resmem(folder, "predict", "in", "--model", "m", "--output-dir", "local")
        n_kills = 0
        while n_kills < chosen.rounds:
            shutil.rmtree(folder / "dask", ignore_errors=True)
            goes_on, n_runs = True, 0
            while goes_on:
                before = finished(folder)
                goes_on = interrupted(folder, rng)
                n_runs += 1
                n_kills += goes_on
                after = finished(folder)
                assert all(after.get(path) == when for path, when in before.items()), "an output was written twice"
            assert are_equal(folder / "local", folder / "dask"), "the outputs differ"
            print(f"{n_runs} runs until the job was done; {n_kills} kills so far; equal outputs", flush=True)


if __name__ == "__main__":
    main()
