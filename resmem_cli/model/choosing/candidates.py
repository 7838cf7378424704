"""What is chosen from, and what is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from resmem_cli.model.kernel import Settings
from resmem_cli.model.spaces.training import ResidualKind


class Candidate(NamedTuple):
    """A memory that may be built: of which of the bases, in which space (its name), of which residuals."""

    base: int
    space: str
    residuals: ResidualKind = "in-sample"


@dataclass(frozen=True)
class Choice:
    """A candidate to build, with its settings and its weight in the prediction."""

    candidate: Candidate
    settings: Settings
    weight: float = 1.0


@dataclass(frozen=True)
class Score:
    """A candidate with its best settings, their mean held-out loss over all folds, and its standard error."""

    candidate: Candidate
    settings: Settings
    loss: float
    standard_error: float
