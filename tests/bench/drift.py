"""A memory that learns as time goes on: rows in the order of time, scored week by week.

    python -m tests.bench.drift [--data DIR] [--results DIR] [--sets electricity,nyc_flights_air_time] [--seeds N]

A base is fitted on the early rows and a memory of them is built once. Then week after week is scored, by the base, by
the memory as it was (frozen), and by one that `remember`s each week after it has been scored (living); nothing is ever
fitted again. The gain's spread is that over halves of the weeks, drawn by seeds. drift.json in the folder of
results keeps every week, drift-SET.png draws them (a mean over four weeks).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from resmem_cli.data.inference import Roles
from resmem_cli.data.schema import Task
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.workflow.change import remember
from resmem_cli.workflow.evaluate import evaluate
from resmem_cli.workflow.fit_base import BaseOptions, fit_base
from resmem_cli.workflow.fit_residual import fit_residual
from resmem_cli.workflow.inputs import Input
from tests.bench.settings import same

RESULTS = Path(__file__).parent / "results"
# Rows of a week, and the weeks that are there from the start. Of the flights every third is taken.
_WEEKS = {"electricity": (336, 30), "nyc_flights_air_time": (2_094, 12)}
_EVERY = {"nyc_flights_air_time": 3}
_KINDS = ("base", "frozen", "living")
# What gains are of, and a second figure to judge by.
_METRICS = {Task.REGRESSION: ("rmse", "mae"), Task.CLASSIFICATION: ("log_loss", "accuracy")}


def run(name: str, table: pa.Table, roles: Roles, threads: int) -> list[dict[str, Any]]:
    n_week, n_early = _WEEKS[name]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        early, week = (str(Path(folder) / f"{part}.parquet") for part in ("early", "week"))
        frozen, living = Path(folder) / "frozen", Path(folder) / "living"
        pq.write_table(table.slice(0, n_week * n_early), early)
        fit_base(Input((early,)), roles, frozen, BaseOptions("boosting", threads=threads))
        options = MemoryOptions(effort="quick", n_members=1, threads=threads)
        fitted = fit_residual(Input((early,)), frozen, options)
        if not fitted.uses_memory and fitted.selection is not None:
            # The folds know the early rows only; what is asked here is what a memory of later ones would do.
            best = fitted.selection.scores[0]
            forced = replace(best.settings, shrinkage=max(best.settings.shrinkage, 0.5))
            fit_residual(Input((early,)), frozen, same(forced, best.candidate.space, threads))
        print(
            f"{name}: the folds of the early rows would{'' if fitted.uses_memory else ' not'} use a memory", flush=True
        )
        shutil.copytree(frozen, living)
        for start in range(n_week * n_early, table.num_rows - n_week + 1, n_week):
            pq.write_table(table.slice(start, n_week), week)
            scores: dict[str, dict[str, float]] = {metric: {} for metric in _METRICS[roles.task]}
            for kind, model in (("frozen", frozen), ("living", living)):
                compared = evaluate(Input((week,)), model, threads=threads).metrics
                for metric, own in scores.items():
                    own |= {"base": compared[metric].base, kind: compared[metric].resmem}
            found.append({"week": start // n_week, **scores})
            remember(Input((week,)), living, threads=threads)
    return found


def gains(found: list[dict[str, Any]], n_seeds: int, metric: str) -> dict[str, tuple[float, float]]:
    """Return the mean gain over the base in percent, and its deviation over halves of the weeks drawn by seeds."""
    losses = {kind: np.array([week[metric][kind] for week in found]) for kind in _KINDS}
    if metric == "rmse":
        losses = {kind: np.square(each) for kind, each in losses.items()}
    power = 0.5 if metric == "rmse" else 1.0
    said = {}
    for name in ("frozen", "living"):
        each = []
        for seed in range(n_seeds):
            half = np.random.default_rng(seed).permutation(len(found))[: len(found) // 2]
            each.append(100 * (1 - (losses[name][half].mean() / losses["base"][half].mean()) ** power))
        whole = 100 * (1 - (losses[name].mean() / losses["base"].mean()) ** power)
        said[name] = (float(whole), float(np.std(each, ddof=1)))
    return said


def draw(name: str, found: list[dict[str, Any]], metric: str, folder: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 4))
    for kind in _KINDS:
        values = np.convolve([week[metric][kind] for week in found], np.ones(4) / 4, mode="valid")
        axis.plot([week["week"] for week in found][3:], values, label=kind)
    axis.set(xlabel="week", ylabel=f"{metric}, mean of four weeks", title=name)
    axis.legend()
    figure.tight_layout()
    figure.savefig(folder / f"drift-{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RESMEM_DATA", "data")))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--sets", default=",".join(_WEEKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    asked.results.mkdir(exist_ok=True)
    everything = {}
    for name in asked.sets.split(","):
        said = json.loads((asked.data / f"{name}.json").read_text(encoding="utf-8"))
        table = pq.read_table(asked.data / f"{name}.parquet")
        table = table.take(pa.array(np.arange(0, table.num_rows, _EVERY.get(name, 1))))
        task = Task.REGRESSION if said["task"] == "regression" else Task.CLASSIFICATION
        roles = Roles(said["target"], task, categories=tuple(said["categorical"]))
        found = run(name, table, roles, asked.threads)
        metric, second = _METRICS[task]
        gained = gains(found, asked.seeds, metric)
        everything[name] = {"weeks": found, "gains": gained}
        print(f"\n| {name}, {len(found)} weeks | mean weekly {metric} | gain over the base % | {second} |")
        print("|---" * 4 + "|")
        for kind in _KINDS:
            means = {each: float(np.mean([week[each][kind] for week in found])) for each in (metric, second)}
            shown = "" if kind == "base" else "{:.1f} ± {:.1f}".format(*gained[kind])
            print(f"| {kind} | {means[metric]:.4f} | {shown} | {means[second]:.4f} |", flush=True)
        draw(name, found, metric, asked.results)
    (asked.results / "drift.json").write_text(json.dumps(everything, indent=2))


if __name__ == "__main__":
    main()
