"""What a job over many files costs beside another checkout, and what `--resume` costs where nothing changed.

python -m tests.bench.nights --against CHECKOUT
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
N_FILES, ROWS_OF_A_FILE, ROWS_OF_THE_LARGE_ONE = 200, 200, 1_000_000
JOB = ("predict", "in/*.csv", "--model", "m-WHICH", "--output-dir", "out", "--threads", "1", "--quiet")
LARGE = ("predict", "large.csv", "--model", "m-WHICH", "--output", "large.out.csv", "--threads", "1", "--quiet")


def write(path: Path, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with path.open("w") as stream:
        stream.write("id,a,b,c,y\n")
        for i, (a, b) in enumerate(zip(rng.normal(size=rows), rng.uniform(size=rows), strict=True)):
            stream.write(f"k{i},{a:.6f},{b:.6f},{'pqr'[i % 3]},{a * a + i % 3:.6f}\n")


def seconds(folder: Path, checkout: Path, *words: str) -> tuple[float, float]:
    """Run a command of a checkout, and return how long it took, by the clock and of the processor."""
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "resmem_cli", *words], cwd=folder, env=environment)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{checkout}: {' '.join(words)} failed")
    return time.perf_counter() - started, used.ru_utime + used.ru_stime


def measure(folder: Path, checkouts: dict[str, Path], name: str, words: tuple[str, ...], times: int) -> None:
    """Run a command of every checkout in turns, and print the fastest run of each."""
    found: dict[str, list[tuple[float, float]]] = {which: [] for which in checkouts}
    for turn in range(times):
        for which in sorted(checkouts, reverse=bool(turn % 2)):
            own = [word.replace("WHICH", which) for word in words]
            found[which].append(seconds(folder, checkouts[which], *own))
    for which, runs in found.items():
        clock, processor = (min(column) for column in zip(*runs, strict=True))
        print(f"{name}, {which}: {clock:.3f} s, of the processor {processor:.3f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, required=True, help="another checkout")
    parser.add_argument("--times", type=int, default=5)
    chosen = parser.parse_args()
    checkouts = {"before": chosen.against.resolve(), "now": ROOT}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        write(folder / "train.csv", 2_000, 0)
        write(folder / "large.csv", ROWS_OF_THE_LARGE_ONE, 1)
        for i in range(N_FILES):
            write(folder / "in" / f"{i:03}.csv", ROWS_OF_A_FILE, i)
        for which, checkout in checkouts.items():  # an older one does not read what a newer one has written
            words = ("train.csv", "--model", f"m-{which}", "--threads", "1", "--quiet")
            seconds(folder, checkout, "fit-base", *words, "--target", "y", "--id", "id", "--estimator", "linear")
            seconds(folder, checkout, "fit-residual", *words, "--effort", "quick")
        measure(folder, checkouts, f"{N_FILES} files", JOB, 3 * chosen.times)
        measure(folder, checkouts, f"{ROWS_OF_THE_LARGE_ONE:,} rows", LARGE, chosen.times)
        measure(folder, {"now": ROOT}, "nothing to do with --resume", (*JOB, "--resume"), chosen.times)


if __name__ == "__main__":
    main()
