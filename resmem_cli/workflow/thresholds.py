"""What an evaluation is asked to reach."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from resmem_cli.data.schema import Task
from resmem_cli.errors import UsageError
from resmem_cli.model.metrics import METRICS, Comparison
from resmem_cli.workflow import measured

MIN_GAIN = "--min-gain"


def option(metric: str) -> str:
    """Return the option that limits a metric: a loss from above, a score from below."""
    return f"--{'max' if METRICS[metric].lower_is_better else 'min'}-{metric.replace('_', '-')}"


@dataclass(frozen=True)
class Limits:
    """What is asked for.

    Attributes:
        min_gain: that the lower end of the 95 % interval of the objective's gain is to reach, in percent.
        metrics: by name of a metric, the value of the corrected model that is to be reached.
    """

    min_gain: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.min_gain is not None or bool(self.metrics)

    def refuse_wrong(self, task: Task) -> None:
        """Refuse limits that no evaluation of a task can be held against.

        Raises:
            UsageError: one is no finite number, or of a metric that the task does not have.
        """
        named = {option(metric): limit for metric, limit in self.metrics.items()}
        for name, limit in named.items() | {MIN_GAIN: self.min_gain or 0.0}.items():
            if not math.isfinite(limit):
                raise UsageError(f"{name} {limit:g} is no limit", "give a finite number")
        is_regression = task is Task.REGRESSION
        for metric in self.metrics:
            if METRICS[metric].is_regression != is_regression:
                own = [option(name) for name, each in METRICS.items() if each.is_regression == is_regression]
                raise UsageError(f"{option(metric)} does not fit the model, a {task}", f"use {', '.join(own)}")


@dataclass(frozen=True)
class Threshold:
    """A limit, and whether it was reached.

    Attributes:
        option: that states it.
        metric: that it is about.
        limit: the number.
        value: what was measured, NaN if that is not known.
        is_reached: whether it is at or beyond the limit.
    """

    option: str
    metric: str
    limit: float
    value: float
    is_reached: bool

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {key: measured.known(each) if key == "value" else each for key, each in asdict(self).items()}

    def __str__(self) -> str:
        """Say by how much it was missed."""
        what = f"the lower end of the interval of the gain in {self.metric}" if self.option == MIN_GAIN else self.metric
        unit = " %" if self.option == MIN_GAIN else ""
        if math.isnan(self.value):
            return f"{what} is not known, and {self.option} is {self.limit:g}{unit}"
        side = "above" if self.option.startswith("--max-") else "below"
        return f"{what} is {self.value:.5g}{unit}, {side} {self.option} {self.limit:g}{unit}"


def judged(
    limits: Limits, compared: Mapping[str, Comparison], objective: str, *, can_judge: bool
) -> tuple[Threshold, ...]:
    """Return which limits were reached: none if nothing can be judged by the rows, nor by a value that is not known."""
    found = []
    if limits.min_gain is not None:
        low = compared[objective].ci95[0]
        found.append(Threshold(MIN_GAIN, objective, limits.min_gain, low, can_judge and low >= limits.min_gain))
    for metric, limit in limits.metrics.items():
        value = compared[metric].resmem
        is_reached = value <= limit if METRICS[metric].lower_is_better else value >= limit
        found.append(Threshold(option(metric), metric, limit, value, can_judge and is_reached))
    return tuple(found)
