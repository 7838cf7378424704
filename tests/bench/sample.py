"""Fitting on a sample and streaming the rest (`--sample`): what it costs in memory and in accuracy.

    python -m tests.bench.sample [--rows N N] [--sets SET,...] [--seeds N] [--share SHARE] [--estimator NAME]

Memory: peak resident memory of `fit-base` and `fit-residual` on files of two sizes, of 60 numbers and a vector of 8 in
whose space distances are taken, with and without `--sample 20000`; and how much of it a further row takes. All settings
are given, and the graph is a coarse one, so that the figures are those of reading, and not of what folds prefer.

Accuracy: data sets of RESMEM_DATA, a fifth of the rows held out to test; test metrics of base and memory if all rows
are fitted, if a SHARE of them is the sample of both commands and the others are streamed, and if that SHARE is all
there is. The test rows choose nothing. results/sample.json keeps both; `--rows` or `--sets` without a value leave one
out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench.bounded_memory import ROOT, peak_of

RESULTS = Path(__file__).parent / "results"
_SAMPLE, _PIECE, _COLUMNS, _VECTOR = 20_000, 20_000, 60, 8
_SETTINGS = ("--neighbors", "8", "--bandwidth", "0.3", "--shrinkage", "1", "--temperature", "1", "--folds", "0")
_COARSE = ("--M", "4", "--ef-construction", "16", "--ef", "16")


def make_rows(path: Path, n_rows: int) -> None:
    """Write rows whose target follows from numbers and a vector."""
    rng = np.random.default_rng(0)
    writer = None
    for start in range(0, n_rows, _PIECE):
        n = min(_PIECE, n_rows - start)
        X, v = rng.normal(size=(n, _COLUMNS)), rng.normal(size=(n, _VECTOR)).astype(np.float32)
        columns: dict[str, Any] = {f"x{i}": X[:, i] for i in range(_COLUMNS)}
        columns["v"] = pa.FixedSizeListArray.from_arrays(v.ravel(), _VECTOR)
        columns["y"] = X[:, 0] + np.sin(2 * v[:, 0]) + v[:, 1] * v[:, 2]
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def memory(sizes: list[int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            rows, model = f"{folder}/rows.parquet", f"{folder}/model"
            make_rows(Path(rows), size)
            for words in ((), ("--sample", str(_SAMPLE))):
                own = ("--model", model, "--threads", "2", "--quiet", *words)
                which = " ".join(words) or "all rows"
                base = peak_of("fit-base", rows, "--target", "y", "--estimator", "linear", *own)
                own = (*own, "--representation", "column:v", *_SETTINGS, *_COARSE, "--shard-cells", "100000")
                residual = peak_of("fit-residual", rows, *own)
                found.setdefault(which, {})[size] = {"fit-base": base, "fit-residual": residual}
                print(f"{size:,} rows, {which}: fit-base {base:,} MiB, fit-residual {residual:,} MiB", flush=True)
    few, many = min(sizes), max(sizes)
    for which, peaks in found.items():
        for command in ("fit-base", "fit-residual"):
            grown = (peaks[many][command] - peaks[few][command]) * 2**20 / (many - few)
            print(f"{command}, {which}: {grown:,.0f} bytes for a further row")
    return found


def accuracy(names: list[str], n_seeds: int, share: float, estimator: str) -> list[dict[str, Any]]:
    runs = []
    data = Path(os.environ["RESMEM_DATA"])
    print("\n| data, seed | metric | base, all | memory, all | base, sample | streamed | memory, sample alone |")
    print("|---|---|---|---|---|---|---|")
    for name in names:
        target = json.loads((data / f"{name}.json").read_text())["target"]
        table = pq.read_table(data / f"{name}.parquet")
        for seed in range(n_seeds):
            run = {"data": name, "seed": seed, **_one(table, target, seed, share, estimator)}
            runs.append(run)
            figures = [run[way][which] for way, which in _SHOWN]
            print(f"| {name}, {seed} | {run['metric']} | " + " | ".join(f"{v:.5g}" for v in figures) + " |", flush=True)
    return runs


_SHOWN = (
    ("all", "base"),
    ("all", "resmem"),
    ("streamed", "base"),
    ("streamed", "resmem"),
    ("alone", "resmem"),
)


def _one(table: pa.Table, target: str, seed: int, share: float, estimator: str) -> dict[str, Any]:
    order = np.random.default_rng(seed).permutation(table.num_rows)
    n_test = table.num_rows // 5
    train = table.take(order[n_test:])
    n_sample = round(share * train.num_rows)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(table.take(order[:n_test]), f"{folder}/test.parquet")
        pq.write_table(train, f"{folder}/all.parquet")
        pq.write_table(train.slice(0, n_sample), f"{folder}/alone.parquet")
        for way, file, sample in (
            ("all", "all", ()),
            ("streamed", "all", ("--sample", str(n_sample))),
            ("alone", "alone", ()),
        ):
            model = ("--model", f"{folder}/{way}", "--quiet")
            words = ("--target", target, "--estimator", estimator, "--seed", str(seed), *sample)
            _resmem("fit-base", f"{folder}/{file}.parquet", *model, *words)
            _resmem("fit-residual", f"{folder}/{file}.parquet", *model, "--effort", "quick", *sample)
            told = json.loads(_resmem("evaluate", f"{folder}/test.parquet", *model, "--json"))
            metric = told["objective"]
            found |= {"metric": metric, way: {which: told["metrics"][metric][which] for which in ("base", "resmem")}}
    return found


def _resmem(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "resmem_cli", *words], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000, 400_000])
    parser.add_argument("--sets", nargs="?", default="diamonds,king_county,protein_casp", const="")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--estimator", default="boosting")
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    if asked.rows:
        found["memory"] = memory(asked.rows)
    if asked.sets:
        found["accuracy"] = accuracy(asked.sets.split(","), asked.seeds, asked.share, asked.estimator)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "sample.json").write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
