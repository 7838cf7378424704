"""What people run: `fit-base`, `fit-residual` and `predict` as they are by default, on real data sets.

    python -m tests.bench.default_models [--sets NAME,...] [--rows N] [--against CHECKOUT] [--seeds N] [--only PART]

Two thirds of each data set of RESMEM_DATA are learned from, and the error is that of the others. Then the rows of the
others are predicted again and again with jitter, Parquet to Parquet, each command as a program of its own whose peak
resident memory is taken too. The floor is what the same model cannot do without (`tests/bench/floor.py`), measured just
before and just after. With --against, another checkout of this project does the same in turns, and the table states
ratios of the two: of the fit's seconds, of the error, of the rows per second. results/default_models.json keeps it.

With --estimator and --effort other models than the default ones are measured, such as those of LightGBM, XGBoost and
CatBoost, which one thread at a time may ask: `--estimator lightgbm --effort quick --only predict`.
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

from tests.bench import floor, samples

RESULTS = Path(__file__).parent / "results"
_FLOOR_ROWS = 131_072
_SETS = "california,diamonds,covertype_15k,king_county,letter"
_RUNS = 2  # of predict, of which the better counts


def split(data: Path, name: str, seed: int, folder: Path) -> tuple[Path, Path, str]:
    """Write training and held-out rows of a data set; return them and the target."""
    table = pq.read_table(data / f"{name}.parquet")
    target = json.loads((data / f"{name}.json").read_text())["target"]
    order = np.random.default_rng(seed).permutation(table.num_rows)
    train, test = folder / f"{name}_train.parquet", folder / f"{name}_test.parquet"
    pq.write_table(table.take(pa.array(order[len(order) // 3 :])), train)
    pq.write_table(table.take(pa.array(order[: len(order) // 3])), test)
    return train, test, target


def fit(
    root: Path, rows: tuple[Path, Path, str], model: Path, *, estimator: str = "auto", effort: str = "default"
) -> dict[str, Any]:
    """Fit a model by a checkout to what `split` returned; return what it took, and its error on held-out rows."""
    train, test, target = rows
    base, _ = samples.measured(
        ["fit-base", str(train), "--target", target, "--model", str(model), "--estimator", estimator, "--quiet"],
        root=root,
    )
    residual, peak = samples.measured(
        ["fit-residual", str(train), "--model", str(model), "--effort", effort, "--quiet"], root=root
    )
    words = [sys.executable, "-m", "resmem_cli", "evaluate", str(test), "--model", str(model), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(words, check=True, cwd=root, env=environment, capture_output=True, text=True)
    told = json.loads(done.stdout)
    metric = told["metrics"][told["objective"]]
    error = {"base": metric["base"], "error": metric["resmem"]}
    return {"fit-base s": base, "fit-residual s": residual, "fit-residual MiB": peak, **error}


def predict(root: Path, model: Path, source: Path) -> tuple[float, int]:
    """Return the seconds that a checkout takes to predict a file, and the peak memory in MiB."""
    words = [
        "predict",
        str(source),
        "--model",
        str(model),
        "--output",
        str(source.with_name("scored.parquet")),
        "--quiet",
    ]
    return samples.measured(words, root=root)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RESMEM_DATA", "data")))
    parser.add_argument("--sets", default=_SETS)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--only", choices=("fit", "predict"), help="predict takes the models of --models, if it has them"
    )
    parser.add_argument("--estimator", default="auto")
    parser.add_argument("--effort", default="default")
    parser.add_argument("--models", type=Path, help="a folder to keep the models in")
    asked = parser.parse_args()
    roots = {"this": samples.ROOT, **({"other": asked.against.resolve()} if asked.against else {})}
    found: list[dict[str, Any]] = []
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = asked.models or Path(name)
        folder.mkdir(exist_ok=True)
        for which in asked.sets.split(","):
            for seed in range(asked.seeds):
                own = {"set": which, "seed": seed}
                rows = split(asked.data, which, seed, folder)
                models = {tag: folder / f"{which}_{seed}_{tag}" for tag in roots}
                for tag, root in roots.items():
                    if asked.only != "predict" or not models[tag].exists():
                        fitted = fit(root, rows, models[tag], estimator=asked.estimator, effort=asked.effort)
                        found.append({**own, "of": tag, "estimator": asked.estimator, **fitted})
                        print(json.dumps(found[-1]), flush=True)
                if asked.only != "fit" and seed == 0:
                    source = folder / "rows.parquet"
                    samples.write(source, pq.read_table(rows[1]).drop_columns([rows[2]]), asked.rows)
                    found += scored(roots, models, source, asked.rows, own)
                (RESULTS / "default_models.json").write_text(json.dumps(found, indent=2))


def scored(
    roots: dict[str, Path], models: dict[str, Path], source: Path, n_rows: int, own: dict[str, Any]
) -> list[dict[str, Any]]:
    """Measure predict by every checkout in turns, with the floor of this one's model around it."""
    before = floor.rate(models["this"], source, _FLOOR_ROWS, 2)
    runs: dict[str, list[tuple[float, int]]] = {tag: [] for tag in roots}
    for _ in range(_RUNS):
        for tag, root in roots.items():
            runs[tag].append(predict(root, models[tag], source))
    after = floor.rate(models["this"], source, _FLOOR_ROWS, 2)
    told = []
    for tag, each in runs.items():
        rate = n_rows / min(seconds for seconds, _ in each)
        run = {**own, "of": tag, "rows per second": rate, "peak MiB": max(peak for _, peak in each)}
        if tag == "this":
            run |= {"floor": max(before, after), "of floor": rate / max(before, after)}
            run["microseconds"] = floor.parts(models[tag], source, _FLOOR_ROWS // 4)
        told.append(run)
        print(json.dumps(run), flush=True)
    return told


if __name__ == "__main__":
    main()
