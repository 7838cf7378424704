"""What a run of predict did, in figures that add up over batches, files and machines."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from resmem_cli.data.encoding import Surprises
from resmem_cli.data.predictions import Scored
from resmem_cli.errors import ResmemError
from resmem_cli.version import __version__
from resmem_cli.workflow.sketch import Sketch


@dataclass
class Tally:
    """What was written of rows, and what they were like.

    Attributes:
        n_rows: how many.
        surprises: what was missing or unknown in them, and how many predictions are not finite.
        distances: of rows to what is remembered, as percentiles of what is usual; empty without `--support`.
        widths: of prediction intervals, or how many classes prediction sets have; empty without `--interval`.
    """

    n_rows: int = 0
    surprises: Surprises = field(default_factory=Surprises)
    distances: Sketch = field(default_factory=Sketch)
    widths: Sketch = field(default_factory=Sketch)

    def add(self, scored: Scored, surprises: Surprises) -> None:
        """Take a batch."""
        self.n_rows += len(scored.base)
        self.surprises.add(surprises)
        if scored.support is not None:
            self.distances.add(scored.support)
        if isinstance(scored.interval, tuple):
            lower, upper = scored.interval
            self.widths.add(np.maximum(upper - lower, 0))
        elif scored.interval is not None:
            self.widths.add(scored.interval.sum(axis=1).astype(np.float64))

    def merge(self, other: Tally) -> None:
        """Take what another tally has been given."""
        self.n_rows += other.n_rows
        self.surprises.add(other.surprises)
        self.distances.merge(other.distances)
        self.widths.merge(other.widths)


@dataclass(frozen=True)
class Failure:
    """A file that could not be predicted, and why."""

    input: str
    output: str | None
    error: ResmemError

    def to_json(self) -> dict[str, Any]:
        return {"input": self.input, "output": self.output, "error": self.error.message, "hint": self.error.hint}


@dataclass(frozen=True)
class Predicted:
    """What was written, in how many seconds.

    Attributes:
        tally: of the rows.
        seconds: that it took, without loading the model.
        model: by what it is known: the generations of its bases and of its memories.
        n_files: that were written.
        n_kept: that were there already, and were made of the same.
        again: how many were there and were made again, by the reason.
        failures: files that were left out.
    """

    tally: Tally
    seconds: float
    model: str = ""
    n_files: int = 1
    n_kept: int = 0
    again: Counter[str] = field(default_factory=Counter)
    failures: tuple[Failure, ...] = ()

    @property
    def n_rows(self) -> int:
        """How many rows were written."""
        return self.tally.n_rows

    @property
    def surprises(self) -> Surprises:
        """What was missing or unknown in them."""
        return self.tally.surprises

    @property
    def rate(self) -> float:
        """How many rows were written per second."""
        return self.n_rows / max(self.seconds, 1e-9)

    def to_json(self) -> dict[str, Any]:
        """Return what a monitor wants to know."""
        found = self.surprises
        return {
            "rows": self.n_rows,
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.rate, 1),
            "files": self.n_files,
            "skipped_files": self.n_kept,
            "again": dict(self.again),
            "failed_files": len(self.failures),
            "failures": [each.to_json() for each in self.failures],
            "missing_values": dict(found.missing),
            "unknown_categories": dict(found.unknown),
            "not_finite": found.not_finite,
            "distance_percentile": self.tally.distances.summary(),
            "interval_width": self.tally.widths.summary(),
            "model": self.model,
            "resmem": __version__,
        }


def model_of(base: str, memory: str | None) -> str:
    """Return by what a model is known: a copy of its directory is the same model."""
    return base if memory is None else f"{base}/{memory}"
