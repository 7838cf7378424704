"""How cost grows with the memory: time and peak resident memory of fit-residual and predict.

    python -m tests.bench.growth [--rows N,...] [--effort NAME] [--base NAME] [--threads N]

Sample rows again and again with jitter, fitted by a base, remembered, and 100,000 others scored, each command as a
program of its own from Parquet. results/growth.json keeps the table, results/growth.png draws it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench import samples

RESULTS = Path(__file__).parent / "results"
_SCORED = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="10000,100000,1000000")
    parser.add_argument("--effort", default="quick")
    parser.add_argument("--base", default="boosting")
    parser.add_argument("--threads", default="2")
    asked = parser.parse_args()
    table, target = samples.train("regression")
    found: list[dict[str, Any]] = []
    print("| rows | command | seconds | peak MiB | MiB on disk |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train, rows, model = folder / "train.parquet", folder / "rows.parquet", folder / "model"
        samples.write(rows, table.drop_columns([target]), _SCORED)
        for n_rows in map(int, asked.rows.split(",")):
            samples.write(train, table, n_rows)
            base = ["--target", target, "--estimator", asked.base]
            commands = {
                "fit-base": ["fit-base", str(train), "--model", str(model), *base],
                "fit-residual": ["fit-residual", str(train), "--model", str(model), "--effort", asked.effort],
                "predict": ["predict", str(rows), "--model", str(model), "--output", str(folder / "out.parquet")],
            }
            for verb, words in commands.items():
                seconds, peak = samples.measured([*words, "--threads", asked.threads, "--quiet"])
                size = sum(path.stat().st_size for path in model.rglob("*") if path.is_file()) / 2**20
                found.append({"rows": n_rows, "command": verb, "seconds": seconds, "peak MiB": peak, "disk MiB": size})
                print(f"| {n_rows:,} | {verb} | {seconds:.1f} | {peak:,} | {size:,.0f} |", flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "growth.json").write_text(json.dumps(found, indent=2))
    draw(found, RESULTS / "growth.png")


def draw(found: list[dict[str, Any]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 4))
    for verb in ("fit-residual", "predict"):
        own = [run for run in found if run["command"] == verb]
        for axis, what in zip(axes, ("seconds", "peak MiB"), strict=True):
            axis.plot([run["rows"] for run in own], [run[what] for run in own], marker="o", label=verb)
            axis.set(xscale="log", yscale="log", xlabel="rows remembered", ylabel=what)
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    sys.exit(main())
