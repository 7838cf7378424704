"""How cost grows with rows, columns, classes and members: time, peak resident memory and size on disk.

    python -m tests.bench.growth [--along rows,columns,classes,members] [--effort NAME] [--base NAME] [--threads N]

Each command as a program of its own, from Parquet; 100,000 new rows are predicted (10,000 of many classes). Rows are
sample rows again and again with jitter; columns and classes are of made tables of 10,000 rows, whose target depends on
a few of the columns, or whose classes lie in clusters of 32 columns; members are as many corrected models as may share
the prediction of 20,000 sample rows. results/growth.json keeps the table, results/growth.png draws it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench import samples

RESULTS = Path(__file__).parent / "results"
VALUES = {
    "rows": (1_000, 10_000, 100_000, 1_000_000),
    "columns": (8, 50, 200, 784, 2_000),
    "classes": (2, 10, 100, 1_000, 10_000),
    "members": (1, 2, 4, 6),
}
_SCORED, _SCORED_OF_MANY, _MANY = 100_000, 10_000, 1_000
_MADE_ROWS, _MEMBER_ROWS = 10_000, 20_000


def columns(n_columns: int, n_rows: int, rng: np.random.Generator) -> pa.Table:
    """Return rows of numbers, and a target that is a curve in the sum of a few of them."""
    X = rng.normal(size=(n_rows, n_columns)).astype(np.float32)
    y = np.sin(3 * X[:, 0]) + np.cos(2 * X[:, 1]) * X[:, 2] + X[:, 3:8].sum(axis=1) / 4 + rng.normal(0, 0.1, n_rows)
    return pa.table({**{f"x{i}": X[:, i] for i in range(n_columns)}, "y": y})


def classes(n_classes: int, n_rows: int, rng: np.random.Generator) -> pa.Table:
    """Return rows of 32 numbers around the centres of their classes, of which each has three."""
    centres = np.random.default_rng(1).normal(size=(n_classes, 3, 32))
    label, which = rng.integers(0, n_classes, n_rows), rng.integers(0, 3, n_rows)
    label[:n_classes] = np.arange(n_classes)[:n_rows]
    X = (centres[label, which] + rng.normal(0, 0.6, (n_rows, 32))).astype(np.float32)
    return pa.table({**{f"x{i}": X[:, i] for i in range(32)}, "y": pa.array([f"c{each}" for each in label])})


def measure(train: Path, rows: Path, target: str, folder: Path, asked: argparse.Namespace, *further: str) -> list[dict]:
    """Return what each command costs."""
    model, told = folder / "model", []
    base = ["--target", target, "--estimator", asked.base]
    commands = {
        "fit-base": ["fit-base", str(train), "--model", str(model), *base],
        "fit-residual": ["fit-residual", str(train), "--model", str(model), "--effort", asked.effort, *further],
        "predict": ["predict", str(rows), "--model", str(model), "--output", str(folder / "out.parquet")],
    }
    for verb, words in commands.items():
        seconds, peak = samples.measured([*words, "--threads", asked.threads, "--quiet"])
        size = sum(path.stat().st_size for path in model.rglob("*") if path.is_file()) / 2**20
        told.append({"command": verb, "seconds": seconds, "peak MiB": peak, "disk MiB": size})
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--along", default=",".join(VALUES))
    parser.add_argument("--effort", default="default")
    parser.add_argument("--base", default="auto")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--most", type=int, default=max(map(max, VALUES.values())), help="values above are left out")
    asked = parser.parse_args()
    sample, price = samples.train("regression")
    made: dict[str, Callable[[int, int, np.random.Generator], pa.Table]] = {"columns": columns, "classes": classes}
    found: list[dict[str, Any]] = []
    RESULTS.mkdir(exist_ok=True)
    print("| along | value | command | seconds | peak MiB | MiB on disk |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train, rows = folder / "train.parquet", folder / "rows.parquet"
        for along in asked.along.split(","):
            for value in (each for each in VALUES[along] if each <= asked.most):
                further: list[str] = []
                if along in made:
                    n_rows = max(_MADE_ROWS, 3 * value if along == "classes" else 0)
                    n_scored = _SCORED_OF_MANY if value >= _MANY else _SCORED
                    pq.write_table(made[along](value, n_rows, np.random.default_rng(0)), train)
                    pq.write_table(made[along](value, n_scored, np.random.default_rng(2)).drop_columns(["y"]), rows)
                else:
                    further = ["--memories", str(value)] if along == "members" else []
                    samples.write(train, sample, _MEMBER_ROWS if along == "members" else value)
                    samples.write(rows, sample.drop_columns([price]), _SCORED)
                for run in measure(train, rows, "y" if along in made else price, folder, asked, *further):
                    found.append({"along": along, "value": value, **run})
                    print(
                        f"| {along} | {value:,} | {run['command']} | {run['seconds']:.1f} | {run['peak MiB']:,} | "
                        f"{run['disk MiB']:,.1f} |",
                        flush=True,
                    )
                (RESULTS / "growth.json").write_text(json.dumps(found, indent=2))
    draw(found, RESULTS / "growth.png")


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Draw seconds and memory along everything that was measured."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    every = list(dict.fromkeys(run["along"] for run in found))
    figure, axes = plt.subplots(2, len(every), figsize=(3.6 * len(every), 6), squeeze=False)
    for column, along in enumerate(every):
        for verb in ("fit-base", "fit-residual", "predict"):
            own = [run for run in found if run["along"] == along and run["command"] == verb]
            for axis, what in zip(axes[:, column], ("seconds", "peak MiB"), strict=True):
                axis.plot([run["value"] for run in own], [run[what] for run in own], marker="o", label=verb)
                axis.set(xscale="log", yscale="log", xlabel=along, ylabel=what)
    axes[0, 0].legend()
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    sys.exit(main())
