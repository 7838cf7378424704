"""Many columns: seconds, peak memory and disk of every command, and what the memory adds on new rows.

    python -m tests.bench.wide [--sets NAME,...] [--rows N] [--threads N] [--effort NAME] [--data DIR]

`pixels` are the images of Fashion-MNIST (fashion_mnist.parquet in `DIR`, default RESMEM_DATA: 60,000 rows to fit and
10,000 new ones). The others are made here: `columns`, 20,000 rows of 2,000 numbers that come of 12 hidden ones, and a
smooth function of these; `embeddings`, 50,000 rows with one column of 768 numbers that come of 24 hidden ones, in 300
clusters with a value of their own each, so that neighbours matter. New rows are 5,000. `--rows` takes fewer rows to
fit. Each command is a program of its own; results/wide.json keeps the table.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench import samples

RESULTS = Path(__file__).parent / "results"
_N_NEW = 5_000
_N_IMAGES = 60_000


def columns(rng: np.random.Generator) -> tuple[pa.Table, str]:
    """Return rows of 2,000 numbers, most of them noise, and a function of what they come of."""
    n, d = 20_000 + _N_NEW, 12
    hidden = rng.normal(size=(n, d))
    X = hidden @ rng.normal(size=(d, 2_000)) / np.sqrt(d) + rng.normal(size=(n, 2_000))
    y = np.sin(2 * hidden[:, 0]) + hidden[:, 1] * hidden[:, 2] + hidden[:, 3] + 0.2 * rng.normal(size=n)
    table = pa.table({f"x{i}": column.astype(np.float32) for i, column in enumerate(X.T)})
    return table.append_column("y", pa.array(y)), "y"


def embeddings(rng: np.random.Generator) -> tuple[pa.Table, str]:
    """Return rows with one vector of 768 numbers in clusters, and a number that each cluster has of its own."""
    n, d, n_clusters = 50_000 + _N_NEW, 24, 300
    cluster = rng.integers(n_clusters, size=n)
    hidden = rng.normal(size=(n_clusters, d))[cluster] + 0.5 * rng.normal(size=(n, d))
    X = hidden @ rng.normal(size=(d, 768)) / np.sqrt(d) + 0.3 * rng.normal(size=(n, 768))
    y = hidden[:, :4].sum(axis=1) + 2 * rng.normal(size=n_clusters)[cluster] + 0.3 * rng.normal(size=n)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(X.astype(np.float32).ravel()), 768).cast(
        pa.list_(pa.float32())
    )
    return pa.table({"embedding": vectors, "y": pa.array(y)}), "y"


def pixels(folder: Path) -> tuple[pa.Table, str]:
    """Return the images of Fashion-MNIST, the official test rows last, and their target."""
    return pq.read_table(folder / "fashion_mnist.parquet"), "label"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="pixels,columns,embeddings")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--threads", default="2")
    parser.add_argument("--effort", default="default")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RESMEM_DATA", "../shared/data")))
    asked = parser.parse_args()
    found: list[dict[str, Any]] = []
    print("| set | command | seconds | peak MiB | MiB on disk | base | with memory |\n|---|---|---|---|---|---|---|")
    for name in asked.sets.split(","):
        made = {"columns": columns, "embeddings": embeddings}
        table, target = pixels(asked.data) if name == "pixels" else made[name](np.random.default_rng(0))
        n_first = _N_IMAGES if name == "pixels" else len(table) - _N_NEW
        new = table.slice(n_first)
        chosen = np.random.default_rng(0).permutation(n_first)[: asked.rows or n_first]
        with tempfile.TemporaryDirectory() as directory:
            pq.write_table(table.take(pa.array(np.sort(chosen))), f"{directory}/train.parquet")
            pq.write_table(new, f"{directory}/new.parquet")
            del table, new
            found += one_set(name, target, Path(directory), asked)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "wide.json").write_text(json.dumps(found, indent=2))


def one_set(name: str, target: str, folder: Path, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Run every command on the rows of a folder, and return what each took."""
    train, new, model, report = folder / "train.parquet", folder / "new.parquet", folder / "model", folder / "new.json"
    of_model, quiet = ["--model", str(model)], ["--threads", asked.threads, "--quiet"]
    commands = {
        "fit-base": ["fit-base", str(train), "--target", target, *of_model, *quiet],
        "fit-residual": ["fit-residual", str(train), *of_model, "--effort", asked.effort, *quiet],
        "predict": ["predict", str(new), *of_model, "--output", str(folder / "out.parquet"), "--keep", "none", *quiet],
        "evaluate": ["evaluate", str(new), *of_model, "--output", str(report), *quiet],
    }
    found = []
    for verb, words in commands.items():
        seconds, peak = samples.measured(words)
        size = sum(path.stat().st_size for path in model.rglob("*") if path.is_file()) / 2**20
        run: dict[str, Any] = {"set": name, "command": verb, "seconds": seconds, "peak MiB": peak, "disk MiB": size}
        metrics = ""
        if verb == "evaluate":
            judged = json.loads(report.read_text())
            first = judged["metrics"][judged["objective"]]
            run |= {"base": first["base"], "resmem": first["resmem"]}
            metrics = f"{first['base']:.4f} | {first['resmem']:.4f}"
        found.append(run)
        print(f"| {name} | {verb} | {seconds:.1f} | {peak:,} | {size:,.0f} | {metrics or ' | '} |", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
