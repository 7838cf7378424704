"""What the folds measured and what was chosen, under the names and in the units that every `--json` gives them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from resmem_cli.model import metrics


def measured(folds: Mapping[str, Any], objective: str) -> dict[str, Any]:
    """Return what the folds say of base and memory, as `evaluate` says it of other rows.

    Args:
        folds: what a manifest says of them.
        objective: the metric that they are about.

    Returns:
        base, resmem: the metric's values; `resmem_not_condensed` that of the memories before they were condensed, if
            they were. `gain` is positive when the memory is better, and `standard_error` is its; both in the metric's
            units, and as `gain_percent` and `standard_error_percent` relative to the base's value. `rows` are those
            that were held out. What is not known, as in a model of an older resmem, is None.
    """
    losses = folds["base_loss"], folds["resmem_loss"]
    base, resmem = (metrics.as_metric(objective, loss) for loss in losses)
    error = metrics.error_of_metric(objective, losses[0], folds["standard_error"])
    gain, not_condensed = metrics.gain(objective, base, resmem), folds.get("whole_loss")
    return {
        "metric": objective,
        "base": base,
        "resmem": resmem,
        "resmem_not_condensed": None if not_condensed is None else metrics.as_metric(objective, not_condensed),
        "gain": gain,
        "gain_percent": known(metrics.as_percent(gain, base)),
        "standard_error": error,
        "standard_error_percent": known(metrics.as_percent(error, base)),
        "helps": folds["helps"],
        "rows": folds.get("n_queries"),
        "folds": folds.get("n_folds"),
        "refitted": folds.get("refitted"),
        "group": folds.get("group_column"),
        "time": folds.get("time_column"),
    }


def settings(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a memory is used, from what a manifest says of it."""
    bandwidth = chosen["bandwidth"]
    return {
        "neighbors": chosen["n_neighbors"],
        "bandwidth": "inf" if bandwidth == math.inf else bandwidth,
        "bandwidth_kind": "relative" if chosen["is_relative"] else "absolute",
        "shrinkage": chosen["shrinkage"],
        "temperature": chosen["temperature"],
    }


def known(value: float) -> float | None:
    """Return a number, or None if it is none, as JSON has it."""
    return value if math.isfinite(value) else None


def known_values(value: Any) -> Any:
    """Return what JSON has for a number, or for all numbers of a tuple or dictionary."""
    if isinstance(value, dict):
        return {key: known_values(each) for key, each in value.items()}
    return [known_values(each) for each in value] if isinstance(value, tuple) else known(value)
