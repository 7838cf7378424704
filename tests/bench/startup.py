"""How long the shortest commands take, beside what they cannot do without.

    python -m tests.bench.startup [--runs N]

`resmem --help` beside a Python that imports typer and ends, and `resmem predict` of one row with a linear base beside a
Python that imports the libraries that this needs and ends: the medians of several runs, in turn. Bytecode is compiled
beforehand, as an installation does. results/startup.json keeps it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from resmem_cli.data.inference import Roles
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.workflow.fit_base import BaseOptions, fit_base
from resmem_cli.workflow.fit_residual import fit_residual
from resmem_cli.workflow.inputs import Input
from tests.bench import samples

RESULTS = Path(__file__).parent / "results"
_MEMORY = MemoryOptions(8, 0.3, shrinkage=1.0, temperature=1.0, space="features", n_folds=0)
_LIBRARIES = (
    "typer, typer._adapters, numpy, pyarrow, pyarrow.compute, pyarrow.csv, pyarrow.ipc, pyarrow.parquet, hnswlib, "
    "threadpoolctl, joblib"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    n_runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, target = samples.train("regression")
        train, one, model = str(folder / "train.parquet"), str(folder / "one.parquet"), folder / "model"
        pq.write_table(table, train)
        pq.write_table(table.slice(0, 1), one)
        fit_base(Input((train,)), Roles(target), model, BaseOptions("linear"))
        fit_residual(Input((train,)), model, _MEMORY)
        score = ["predict", one, "--model", str(model), "--output", str(folder / "out.parquet"), "--quiet"]
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "PYTHONPATH": str(samples.ROOT)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)

        def seconds(*words: str) -> float:
            began = time.perf_counter()
            subprocess.run([sys.executable, *words], check=True, env=environment, stdout=subprocess.DEVNULL)
            return time.perf_counter() - began

        pairs = {
            "--help": (("-c", "import typer"), ("-m", "resmem_cli", "--help")),
            "predict of one row": (("-c", f"import {_LIBRARIES}"), ("-m", "resmem_cli", *score)),
        }
        found = {}
        print("| command | its libraries, s | the command, s | ratio |\n|---|---|---|---|")
        for what, both in pairs.items():
            for words in both:
                seconds(*words)
            turns = [[seconds(*words) for words in both] for _ in range(n_runs)]
            floor, own = (statistics.median(each) for each in zip(*turns, strict=True))
            found[what] = {"libraries": floor, "command": own, "ratio": own / floor}
            print(f"| {what} | {floor:.3f} | {own:.3f} | {own / floor:.2f} |", flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "startup.json").write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
