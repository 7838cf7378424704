"""Do intervals hold what they promise, and are they narrower for following the spread of the remembered residuals?

    python -m tests.bench.intervals [--data DIR] [--sets NAME,...] [--seeds N] [--level L] [--threads N]

64/16/20 splits: base (linear) and memory are fitted on the 64 %, coverage and width are measured on the 20 %. Beside
the width of ours, that of conformal intervals of one width from the same held-out rows. Of classes, the mean size of
the sets. results/intervals.json keeps it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from resmem_cli.model import conformal
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.workflow.evaluate import evaluate
from resmem_cli.workflow.fit_base import BaseOptions, fit_base
from resmem_cli.workflow.fit_residual import fit_residual
from resmem_cli.workflow.inputs import Input
from resmem_cli.workflow.scored_batches import Coverage
from tests.bench.accuracy import data

RESULTS = Path(__file__).parent / "results"
SETS = ("concrete", "power_plant", "bike_sharing", "california", "king_county", "diamonds", "phoneme", "letter")


def measured(known: data.DataSet, seed: int, level: float, threads: int) -> tuple[Coverage, Coverage]:
    """Return the coverage of our intervals, and of those of one width."""
    parts = data.split(known, seed)
    found = []
    with tempfile.TemporaryDirectory() as name:
        model, train, test = Path(name) / "model", str(Path(name) / "train.parquet"), str(Path(name) / "test.parquet")
        pq.write_table(parts.train, train)
        pq.write_table(parts.test, test)
        fit_base(Input((train,)), known.roles, model, BaseOptions("linear", seed=seed, threads=threads))
        adaptive = conformal._SHARES
        for shares in (adaptive, (math.inf,)):
            conformal._SHARES = shares
            try:
                fit_residual(Input((train,)), model, MemoryOptions(effort="quick", threads=threads))
            finally:
                conformal._SHARES = adaptive
            done = evaluate(Input((test,)), model, seed=seed, interval=level, threads=threads)
            assert done.intervals is not None
            found.append(done.intervals)
    return found[0], found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RESMEM_DATA", "data")))
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--level", type=float, default=0.9)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    everything: list[dict[str, Any]] = []
    print(
        "| data | coverage % | mean width or size | of one width: coverage % | width | ratio of widths |\n"
        + "|---" * 6
        + "|"
    )
    for name in asked.sets.split(","):
        known = data.load(asked.data, name, None)
        pairs = [measured(known, seed, asked.level, asked.threads) for seed in range(asked.seeds)]
        table = np.array([[ours.coverage, ours.size, one.coverage, one.size] for ours, one in pairs])
        mean, spread = table.mean(axis=0), table.std(axis=0, ddof=1) if len(table) > 1 else np.zeros(4)
        everything.append({"data": name, "level": asked.level, "runs": table.tolist()})
        print(
            f"| {name} | {100 * mean[0]:.1f} ± {100 * spread[0]:.1f} | {mean[1]:.4g} | "
            f"{100 * mean[2]:.1f} ± {100 * spread[2]:.1f} | {mean[3]:.4g} | {mean[1] / mean[3]:.3f} |",
            flush=True,
        )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "intervals.json").write_text(json.dumps(everything, indent=2))


if __name__ == "__main__":
    main()
