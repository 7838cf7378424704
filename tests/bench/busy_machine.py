"""Boosting with two threads, alone and beside a process that keeps every core busy, by how long OpenMP's threads spin.

    python -m tests.bench.busy_machine

One fit (60,000 rows, 6 classes, 5 iterations) per setting, in a process of its own, alone and beside as many busy
processes as there are cores. What `workflow.thread_limit` sets is the last row.
"""

from __future__ import annotations

import os
import subprocess
import sys

from resmem_cli.workflow import thread_limit

_FIT = """
import time, numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
rng = np.random.default_rng(0)
X = rng.normal(size=(60_000, 10))
y = np.digitize(X[:, 0] + X[:, 1] * X[:, 2], [-2, -1, 0, 1, 2])
began = time.perf_counter()
HistGradientBoostingClassifier(max_iter=5, early_stopping=False).fit(X, y)
print(time.perf_counter() - began)
"""
_SETTINGS = {
    "OpenMP's default": {},
    "passive waiting": {"OMP_WAIT_POLICY": "PASSIVE"},
    f"{thread_limit._SPINS} spins": {"GOMP_SPINCOUNT": thread_limit._SPINS},
}


def seconds(variables: dict[str, str]) -> float:
    environment = os.environ | {"OMP_NUM_THREADS": str(os.cpu_count())} | variables
    done = subprocess.run([sys.executable, "-c", _FIT], env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    print("| waiting | alone, s | beside a busy process, s |\n|---|---|---|")
    for name, variables in _SETTINGS.items():
        alone = seconds(variables)
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
        try:
            beside = seconds(variables)
        finally:
            for process in busy:
                process.kill()
        print(f"| {name} | {alone:.2f} | {beside:.2f} |", flush=True)


if __name__ == "__main__":
    main()
