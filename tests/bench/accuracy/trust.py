"""Whether the folds are to be trusted: where the memory harms, and the folds' gain against the gain on the test rows.

Both are read in percent of the base's value, in the metric that the folds made best: RMSE or log-loss, if not another
one was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resmem_cli.model import metrics
from resmem_cli.model.metrics import as_metric
from tests.bench.accuracy.runs import Found
from tests.bench.accuracy.tables import METRICS, Cell


@dataclass(frozen=True)
class Point:
    """One of our runs: what its folds promised and what the test rows say, in percent."""

    data_set: str
    base: str
    seed: int
    folds: float
    test: float
    uses_memory: bool


def harms(found: list[Found]) -> list[dict[str, Any]]:
    """Return where the mean gain over the seeds is below zero by more than its standard error."""
    gains: dict[tuple[str, str, str], list[float]] = {}
    for run, record in found:
        for metric in METRICS:
            if run.base is not None and metric in record["metrics"]:
                # A base without any error has nothing to be harmed in percent of.
                percent = record["metrics"][metric]["gain_percent"]
                gains.setdefault((run.data_set, run.base, metric), []).append(percent or 0.0)
    listed = []
    for (data_set, base, metric), values in gains.items():
        mean = float(np.mean(values))
        # Of one seed there is no standard error, and every loss is shown.
        error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
        if mean < -(error or 0.0):
            listed.append(
                {"set": data_set, "base": base, "metric": metric, "gain_percent": mean, "standard_error": error}
                | {"seeds": len(values)}
            )
    return listed


def points(found: list[Found]) -> list[Point]:
    """Return our runs that measured a gain by folds."""
    listed = []
    for run, record in found:
        promised = folds_gain_percent(record)
        if run.base is None or promised is None:
            continue
        test = record["metrics"][_objective(record)]["gain_percent"] or 0.0
        listed.append(Point(run.data_set, run.base, run.seed, promised, test, record["uses_memory"]))
    return listed


def gains(listed: list[Point]) -> str:
    """Return a Markdown table of both gains, one line per data set and base."""
    lines = ["| data | base | gain % (test) | gain % (folds) | memory used |", "|---|---|---|---|---|"]
    for data_set, base in dict.fromkeys((point.data_set, point.base) for point in listed):
        same = [point for point in listed if (point.data_set, point.base) == (data_set, base)]
        cells = [str(Cell.of(values)) for values in ([p.test for p in same], [p.folds for p in same])]
        used = f"{sum(point.uses_memory for point in same)} of {len(same)}"
        lines.append("| " + " | ".join([data_set, base, *cells, used]) + " |")
    return "\n".join(lines)


def folds_gain_percent(record: Mapping[str, Any]) -> float | None:
    """Return what the folds say that the memory gains, in percent of the base's value; None if they were not asked."""
    before, after = (record.get("folds", {}).get(name) for name in ("base_loss", "resmem_loss"))
    if not before or after is None:
        return None
    objective = _objective(record)
    before, after = as_metric(objective, before), as_metric(objective, after)
    gain = before - after if metrics.METRICS[objective].lower_is_better else after - before
    return 100 * gain / before


def _objective(record: Mapping[str, Any]) -> str:
    """Return what the folds made best, which records of older programs do not say: it was the task's default."""
    default = "rmse" if "rmse" in record["metrics"] else "log_loss"
    return str(record["folds"].get("objective", default))


def distances(listed: list[Point]) -> dict[str, Any]:
    """Return the median distance of the promised gain from the gain on the test rows, in percent of the base's loss.

    A memory that the folds refused is switched off: there the promise is 0, and so is the gain.
    """
    used = [abs(point.folds - point.test) for point in listed if point.uses_memory]
    every = used + [0.0] * (len(listed) - len(used))
    return {
        "runs": len(listed),
        "runs_with_memory": len(used),
        "median_distance": float(np.median(every)) if every else None,
        "median_distance_with_memory": float(np.median(used)) if used else None,
    }


def plot(listed: list[Point], path: Path) -> bool:
    """Draw the folds' gain against that on the test rows; return whether matplotlib is there to do it."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.add_subplot()
    for base in dict.fromkeys(point.base for point in listed):
        _scatter(axes, [point for point in listed if point.base == base and point.uses_memory], label=base)
    _scatter(axes, [point for point in listed if not point.uses_memory], label="refused", color="grey", marker="x")
    axes.axline((0, 0), slope=1, color="grey", linewidth=0.8)
    axes.axhline(0, color="grey", linewidth=0.5)
    axes.set(xlabel="gain by the folds, % of the base's loss", ylabel="gain on the test rows, %")
    axes.legend(title="base")
    figure.savefig(path, dpi=150)
    return True


def _scatter(axes: Any, listed: list[Point], **style: str) -> None:
    axes.scatter([point.folds for point in listed], [point.test for point in listed], s=14, alpha=0.7, **style)
