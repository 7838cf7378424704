"""What memory adds to networks of growing width on images: Fashion-MNIST, several seeds, mean ± standard deviation.

    python -m tests.bench.vision [--data DIR] [--widths N,...] [--seeds N] [--rows N] [--threads N]

The claim is that of ResMem (Yang et al. 2023, arXiv 2302.01576) for vision: a memory of a network's residuals, with
distances taken in its last hidden layer, improves its test accuracy. The paper has convolutional networks; here it is
the tool's own mlp with one hidden layer of `--widths` units, and every run goes through the functions that the commands
call.

`DIR` (default: RESMEM_DATA) holds fashion_mnist.parquet: 784 pixel columns and `label`; the first 60,000 rows are for
training, the rest is the official test. Per seed, 10,000 of the training rows are held back from the base. They alone
are asked when k, h, γ and T are chosen (by log-loss, in folds); the test rows only say what came of it. Two memories
are then built with the same settings: one of the base's own 50,000 rows, which makes the gain that the table states
(base and memory have seen the same labels), and one of all 60,000, which is what the commands leave behind. The
temperature changes no class of the base's, so a gain in accuracy is the memory's own.

A run that results/vision.json holds is not repeated: an interrupted benchmark goes on where it was, and without that
file it begins anew. `--rows` takes so many training rows instead of all, a sixth of them held back.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from resmem_cli.data.inference import Roles
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.store import reading
from resmem_cli.workflow.evaluate import evaluate
from resmem_cli.workflow.fit_base import BaseOptions, fit_base
from resmem_cli.workflow.fit_residual import fit_residual
from resmem_cli.workflow.inputs import Input
from tests.bench.settings import same

RESULTS = Path(__file__).parent / "results"
WIDTHS = (8, 16, 32, 64, 128, 256)
_N_TRAIN = 60_000
_HELD_BACK_SHARE = 6


def one_run(images: pa.Table, width: int, seed: int, n_rows: int, threads: int) -> dict[str, Any]:
    """Fit a network, remember with settings from the rows held back, and score both memories on the test rows."""
    began = time.monotonic()
    chosen = np.random.default_rng(seed).permutation(_N_TRAIN)[:n_rows]
    rows = {
        "own": images.take(np.sort(chosen[n_rows // _HELD_BACK_SHARE :])),
        "all": images.take(np.sort(chosen)),
        "test": images.slice(_N_TRAIN),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, table in rows.items():
            pq.write_table(table, Path(folder) / f"{name}.parquet")
        own, everything, test = (Input((f"{folder}/{name}.parquet",)) for name in rows)
        model = Path(folder) / "model"
        options = BaseOptions("mlp", {"hidden_layer_sizes": (width,)}, seed=seed, threads=threads)
        fit_base(own, Roles("label"), model, options)
        network: Any = reading.load_base(model).bases[0]
        fitted = fit_residual(everything, model, MemoryOptions(space="model", threads=threads))
        (member,) = fitted.members  # one base and one representation
        with_all = evaluate(test, model, threads=threads)
        fit_residual(own, model, same(member.settings, "model", threads))
        with_own = evaluate(test, model, threads=threads)
    accuracy, log_loss = with_own.metrics["accuracy"], with_own.metrics["log_loss"]
    return {
        "width": width,
        "seed": seed,
        "rows": n_rows,
        "parameters": sum(layer.size for layer in (*network.weights, *network.biases)),
        "base": accuracy.base,
        "resmem": accuracy.resmem,
        "gain": accuracy.gain,
        "resmem_all": with_all.metrics["accuracy"].resmem,
        "base_log_loss": log_loss.base,
        "resmem_log_loss": log_loss.resmem,
        "uses_memory": with_own.uses_memory,
        "settings": repr(member.settings),
        "seconds": round(time.monotonic() - began),
    }


def table_of(runs: list[dict[str, Any]]) -> str:
    """Return a Markdown table, a line per width: accuracies in percent, gains in points."""
    lines = ["| width | parameters | base alone | with memory | gain | memory of all rows | memory used |"]
    lines.append("|---" * 7 + "|")
    for width in sorted({run["width"] for run in runs}):
        same = [run for run in runs if run["width"] == width]
        accuracies = [_percent(same, name) for name in ("base", "resmem", "gain", "resmem_all")]
        used = f"{sum(run['uses_memory'] for run in same)} of {len(same)}"
        cells = [f"{width}", f"{same[0]['parameters']:,}", *accuracies, used]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(runs: list[dict[str, Any]], path: Path) -> None:
    """Draw accuracy against the number of parameters, without and with the memory."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("matplotlib is not installed, so the plot is left out; to have it: pip install -e '.[bench]'")
        return
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    sizes = sorted({run["parameters"] for run in runs})
    for name, label in (("base", "the network alone"), ("resmem", "with memory")):
        values = [[100 * run[name] for run in runs if run["parameters"] == size] for size in sizes]
        axes.errorbar(sizes, [np.mean(v) for v in values], [_deviation(v) for v in values], fmt="o-", label=label)
    axes.set(xscale="log", xlabel="parameters of the network", ylabel="accuracy on the test rows, %")
    axes.legend()
    figure.savefig(path, dpi=150)


def _percent(runs: list[dict[str, Any]], name: str) -> str:
    values = [100 * run[name] for run in runs]
    return f"{np.mean(values):.2f} ± {_deviation(values):.2f}"


def _deviation(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RESMEM_DATA", "../shared/data")))
    parser.add_argument("--widths", type=_numbers, default=WIDTHS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=_N_TRAIN)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    source = arguments.data / "fashion_mnist.parquet"
    if not source.is_file():
        print(f"there is no '{source}'; name its folder with --data or RESMEM_DATA")
        return
    if not 0 < arguments.rows <= _N_TRAIN:
        parser.error(f"--rows must lie between 1 and {_N_TRAIN:,}")
    images = pq.read_table(source)
    stored = RESULTS / "vision.json"
    runs = json.loads(stored.read_text()) if stored.is_file() else []
    done = {(run["width"], run["seed"], run["rows"]) for run in runs}
    # Seeds outermost, and the table written after every run: what is there when time runs out is worth having.
    for seed, width in itertools.product(range(arguments.seeds), arguments.widths):
        if (width, seed, arguments.rows) not in done:
            runs.append(one_run(images, width, seed, arguments.rows, arguments.threads))
            print(json.dumps(runs[-1]), flush=True)
            _store(runs, arguments.rows)
    print(_store(runs, arguments.rows))
    plot([run for run in runs if run["rows"] == arguments.rows], RESULTS / "vision.png")


def _store(runs: list[dict[str, Any]], n_rows: int) -> str:
    """Write every run, and return the table of those on so many rows: a trial is kept, but not mixed with others."""
    table = table_of([run for run in runs if run["rows"] == n_rows])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "vision.json").write_text(json.dumps(runs, indent=2))
    (RESULTS / "vision.md").write_text(table + "\n")
    return table


if __name__ == "__main__":
    main()
