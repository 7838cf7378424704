"""What an evaluation is asked to reach."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from resmem_cli.data.schema import Task
from resmem_cli.errors import ThresholdError, UsageError
from resmem_cli.model.arrays import MOST_DENSE
from resmem_cli.model.comparison import Comparison
from resmem_cli.model.metrics import METRICS
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

    def refuse_wrong(self, task: Task, objective: str, n_outputs: int) -> None:
        """Refuse limits that no evaluation of a task, with the objective in its verdict, can be held against.

        Raises:
            UsageError: one is no finite number, of a metric that the task does not have, or beyond what there is.
        """
        named = {option(metric): limit for metric, limit in self.metrics.items()}
        for name, limit in named.items() | {MIN_GAIN: self.min_gain or 0.0}.items():
            if not math.isfinite(limit):
                raise UsageError(f"{name} must be a number, not {limit:g}", "give a finite one")
        is_regression = task is Task.REGRESSION
        for metric, limit in self.metrics.items():
            if METRICS[metric].is_regression != is_regression:
                own = [option(name) for name, each in METRICS.items() if each.is_regression == is_regression]
                raise UsageError(f"{option(metric)} does not fit the model, a {task}", f"use {', '.join(own)}")
            if METRICS[metric].needs_every_class and n_outputs > MOST_DENSE:
                raise UsageError(
                    f"{option(metric)}: {metric} is not measured of more than {MOST_DENSE} classes",
                    "limit another metric",
                )
            _refuse_unreachable(metric, limit)
        if self.min_gain is not None and self.min_gain > 100 and METRICS[objective].lower_is_better:
            raise UsageError(f"{MIN_GAIN} {self.min_gain:g}: {objective} falls by 100 % at most", "ask for less")


def _refuse_unreachable(metric: str, limit: float) -> None:
    given = f"{option(metric)} {limit:g}"
    if METRICS[metric].lower_is_better and limit < 0:
        raise UsageError(f"{given}: {metric} is at least 0", "give a larger number")
    if not METRICS[metric].lower_is_better and limit > 1:
        hint = f"{limit:g} % is {limit / 100:g}" if limit <= 100 else "give a smaller number"
        raise UsageError(f"{given}: {metric} is at most 1", hint)


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
        """Say what was measured, and what was to be reached."""
        what = f"the lower end of the interval of the gain in {self.metric}" if self.option == MIN_GAIN else self.metric
        unit = " %" if self.option == MIN_GAIN else ""
        value = "not known" if math.isnan(self.value) else f"{self.value:.5g}{unit}"
        return f"{what} is {value} ({self.option} {self.limit:g})"


def missed(which: Sequence[Threshold]) -> ThresholdError:
    """Return the error that limits are not reached."""
    what, them = ("threshold", "it") if len(which) == 1 else ("thresholds", "them")
    return ThresholdError(f"{' and '.join(map(str, which))}: {what} not reached", f"fit again, or change {them}")


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
