"""What the folds chose and measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from resmem_cli.model.arrays import Floats, Integers
from resmem_cli.model.choosing.candidates import Choice, Score
from resmem_cli.model.conformal import Calibration

# Fewer held-out rows say nothing of a gain, whatever it is in them.
LEAST_HELD_OUT = 30


class HeldOut(NamedTuple):
    """Held-out rows.

    Attributes:
        rows: [q] their positions among all.
        residuals: [q, outputs] of the base, whose models were fitted without them.
    """

    rows: Integers
    residuals: Floats


@dataclass(frozen=True)
class Selection:
    """What was chosen, and what the folds measured.

    Attributes:
        choices: what to build; one with a shrinkage of 0 if the memory does not help.
        scores: every candidate with its best settings, best first.
        objective: the metric that was chosen by, one of the metrics' objectives.
        base_loss, resmem_loss: mean held-out `row_loss` of the base, and of the memory with settings chosen on
            the other folds.
        gain: their difference; positive is better.
        standard_error: of the gain, the larger of that over folds and that over rows.
        helps: whether the gain exceeds its standard error, also over the base with a temperature alone.
        is_clear: whether one of these is less than minus a standard error, or both exceed two, or there is next to
            nothing to gain; or the user chose.
        n_folds: how many folds (or groups of one split's held-out rows).
        refitted: whether each fold fitted the base anew; otherwise rows new to the base were the queries.
        n_queries: how many held-out rows the figures rest on; for rmse, all but a thousandth.
        forced: whether the user chose a shrinkage above 0, so that the gain did not decide.
        uncondensed_loss: as `resmem_loss`, of the memories before they were condensed; None if they were not.
        calibration: what prediction intervals follow from, of the same rows and choices.
        held_out: the held-out rows, and what the base leaves unexplained of them.
        base_share: what the base without memory weighs beside the choices.
    """

    choices: tuple[Choice, ...]
    scores: tuple[Score, ...]
    objective: str
    base_loss: float
    resmem_loss: float
    gain: float
    standard_error: float
    helps: bool
    is_clear: bool
    n_folds: int
    refitted: bool
    n_queries: int
    forced: bool
    uncondensed_loss: float | None = None
    calibration: Calibration | None = field(default=None, compare=False)
    held_out: HeldOut | None = field(default=None, compare=False, repr=False)
    base_share: float = 0.0
