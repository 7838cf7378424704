"""What the default pipeline gains on real data sets: 80/20 splits, several seeds, mean ± standard deviation.

    python -m tests.bench.gains [--data DIR] [--sets NAME,...] [--estimators NAME,...] [--seeds N]

`DIR` (default: RESMEM_DATA) holds NAME.parquet and NAME.json with its "target". Every run goes through the functions
that the commands call. The folds' own estimate stands beside the gain on the test rows, which nothing was chosen by.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from resmem_cli.data.inference import Roles
from resmem_cli.workflow.evaluate import PRIMARY, evaluate
from resmem_cli.workflow.fit_base import BaseOptions, fit_base
from resmem_cli.workflow.fit_residual import MemoryOptions, fit_residual
from resmem_cli.workflow.inputs import Input

RESULTS = Path(__file__).parent / "results"
DEFAULT_RUNS = {
    "diamonds": ("linear", "mlp", "boosting"),
    "california": ("linear", "mlp", "boosting"),
    "adult": ("boosting",),
}


def one_run(data: Path, name: str, estimator: str, seed: int) -> dict[str, Any]:
    """Fit, remember and evaluate on one split."""
    target = json.loads((data / f"{name}.json").read_text())["target"]
    table = pq.read_table(data / f"{name}.parquet")
    order = np.random.default_rng(seed).permutation(table.num_rows)
    n_train = table.num_rows * 4 // 5
    with tempfile.TemporaryDirectory() as folder:
        train, test, model = (Path(folder) / part for part in ("train.parquet", "test.parquet", "model"))
        pq.write_table(table.take(np.sort(order[:n_train])), train)
        pq.write_table(table.take(np.sort(order[n_train:])), test)
        base = fit_base(Input((str(train),)), Roles(target), model, BaseOptions(estimator, seed=seed))
        fitted = fit_residual(Input((str(train),)), model, MemoryOptions())
        done = evaluate(Input((str(test),)), model)
    primary = PRIMARY[base.schema.target.task]
    compared = done.metrics[primary]
    chosen = fitted.selection
    assert chosen is not None
    losses = np.array([chosen.base_loss, chosen.resmem_loss])
    before, after = np.sqrt(losses) if primary == "rmse" else losses
    return {
        "set": name,
        "estimator": estimator,
        "seed": seed,
        "metric": primary,
        "base": compared.base,
        "resmem": compared.resmem,
        "gain_percent": compared.gain_percent,
        "ci95": compared.ci95,
        "folds_gain_percent": 100 * (before - after) / before,
        "uses_memory": done.uses_memory,
        "representation": fitted.representation,
        "settings": repr(fitted.settings),
    }


def table_of(runs: list[dict[str, Any]]) -> str:
    """Return a Markdown table, one line per data set and estimator."""
    lines = ["| data | base | metric | base alone | with memory | gain % (test) | gain % (folds) | memory used |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for key in dict.fromkeys((run["set"], run["estimator"], run["metric"]) for run in runs):
        same = [run for run in runs if (run["set"], run["estimator"], run["metric"]) == key]
        cells = [
            _spread([run[name] for run in same]) for name in ("base", "resmem", "gain_percent", "folds_gain_percent")
        ]
        used = f"{sum(run['uses_memory'] for run in same)} of {len(same)}"
        lines.append("| " + " | ".join([*key, *cells, used]) + " |")
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.5g} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RESMEM_DATA", "data")))
    parser.add_argument("--sets", default="")
    parser.add_argument("--estimators", default="")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        print(f"there are no data sets in '{arguments.data}'; name their folder with --data or RESMEM_DATA")
        return
    names = arguments.sets.split(",") if arguments.sets else list(DEFAULT_RUNS)
    runs = []
    # Seeds outermost, and the table written after every run: what is there when time runs out is worth having.
    for seed in range(arguments.seeds):
        for name in names:
            chosen = arguments.estimators.split(",") if arguments.estimators else DEFAULT_RUNS.get(name, ("boosting",))
            for estimator in chosen:
                runs.append(one_run(arguments.data, name, estimator, seed))
                print(json.dumps(runs[-1]), flush=True)
                RESULTS.mkdir(exist_ok=True)
                (RESULTS / "gains.json").write_text(json.dumps(runs, indent=2))
                (RESULTS / "gains.md").write_text(table_of(runs) + "\n")
    print(table_of(runs))


if __name__ == "__main__":
    main()
