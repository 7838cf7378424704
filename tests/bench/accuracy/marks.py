"""TALENT's marks: what the best of its published methods reach on four data sets, and whether ours does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resmem_cli.model import metrics
from tests.bench.accuracy.runs import Found
from tests.bench.accuracy.tables import Cell

# Data set → metric and the value to reach, on 64 % training rows.
MARKS = {
    "letter": ("accuracy", 0.985),
    "kr_vs_k": ("accuracy", 0.928),
    "electricity": ("accuracy", 0.964),
    "protein_casp": ("rmse", 3.04),
}


@dataclass(frozen=True)
class Mark:
    """A mark beside the mean over the seeds of one base with memory."""

    data_set: str
    metric: str
    mark: float
    base: str
    ours: Cell

    @property
    def is_reached(self) -> bool:
        lower_is_better = metrics.METRICS[self.metric].lower_is_better
        return self.ours.mean <= self.mark if lower_is_better else self.ours.mean >= self.mark

    def to_json(self) -> dict[str, Any]:
        return vars(self) | {"ours": vars(self.ours), "reached": self.is_reached}


def marks(found: list[Found]) -> list[Mark]:
    """Return the mark of each data set that has one, beside each base of ours that was run on it."""
    values: dict[tuple[str, str], list[float]] = {}
    for run, record in found:
        if run.base is not None and run.data_set in MARKS:
            metric, _ = MARKS[run.data_set]
            values.setdefault((run.data_set, run.base), []).append(record["metrics"][metric]["resmem"])
    return [Mark(data_set, *MARKS[data_set], base, Cell.of(own)) for (data_set, base), own in values.items()]


def markdown(made: list[Mark]) -> str:
    lines = ["## TALENT's marks", "", "| data | metric | mark | base | ours with memory | reached |", "|---" * 6 + "|"]
    for one in made:
        better = "<=" if metrics.METRICS[one.metric].lower_is_better else ">="
        reached = "yes" if one.is_reached else "no"
        lines.append(f"| {one.data_set} | {one.metric} | {better} {one.mark:g} | {one.base} | {one.ours} | {reached} |")
    return "\n".join(lines)
