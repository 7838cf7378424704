"""What a space is to the rest: fitted to training rows, asked for the points of rows, stored, restored."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, Self

import numpy as np

from resmem_cli.model.arrays import Arrays, Floats, Singles
from resmem_cli.model.bases import Base, Problem
from resmem_cli.model.scaling import Encoded

if TYPE_CHECKING:  # which fits spaces, and so imports them
    from resmem_cli.model.spaces.training import ResidualKind, Training


# Of points around their middle, so that sums of squares fit single precision; and the rows that are looked at.
_SMALLEST, _LARGEST, _ROWS = 1e-12, 1e15, 256


class Position(NamedTuple):
    """Where rows are in a space: [n, p] points, and in some trained spaces the [n, outputs] trend there, or None."""

    points: Singles
    trend: Floats | None = None


def looked_at(X: Floats) -> Floats:
    """Return a few of [n, d] rows, evenly spaced, that show how large the numbers of all are."""
    return X[:: -(-len(X) // _ROWS)]


def fits_single_precision(points: Floats | Singles) -> bool:
    """Whether distances between [n, p] points can be told in single precision; missing numbers aside."""
    there = points[~np.isnan(points).any(axis=1)]
    if len(there) == 0:
        return True
    with np.errstate(over="ignore", invalid="ignore"):  # of infinite numbers the size is none
        size = float(np.abs(there - there.mean(axis=0, dtype=np.float64)).max(initial=0.0))
    return size == 0 or _SMALLEST <= size <= _LARGEST


class Space(Protocol):
    """A space that distances between rows are taken in: the paper's representation φ.

    The name of a space is that of its kind in the registry; of a kind with variants, "kind:variant".

    Attributes:
        needs_training: whether fitting looks at targets and takes long, as an encoder's training does.
        own_bandwidths: absolute bandwidths that are worth trying, because distances have a unit here.
    """

    needs_training: ClassVar[bool]
    own_bandwidths: ClassVar[tuple[float, ...]]

    @property
    def name(self) -> str: ...

    @classmethod
    def has_variant(cls, variant: str) -> bool:
        """Whether there is such a space of this kind; "" is the kind alone."""
        ...

    @classmethod
    def untrained_names(cls, base: Base, X: Floats, problem: Problem) -> tuple[str, ...]:
        """Return the names of the spaces of this kind that need no training and that a base allows.

        Args:
            base: the fitted base.
            X: [n, d] encoded rows, at least one.
            problem: what the base has learned.
        """
        ...

    @classmethod
    def fit(cls, variant: str, training: Training, residuals: ResidualKind) -> Self:
        """Fit the space to training rows and their base.

        Args:
            variant: what follows the kind in the name, or "".
            training: the rows and the base, with what can be computed of both.
            residuals: which residuals will be remembered in it.
        """
        ...

    def represent(self, rows: Encoded, base: Base, predictions: Floats) -> Position:
        """Return the positions of n encoded rows, for which the base predicts [n, outputs]."""
        ...

    def to_arrays(self) -> Arrays: ...

    @classmethod
    def restore(cls, variant: str, arrays: Arrays) -> Self:
        """Return the space whose `to_arrays` was stored.

        Raises:
            KeyError, ValueError: the arrays are not those of such a space.
        """
        ...

    def belongs(self, problem: Problem, n_columns: int) -> bool:
        """Whether it reads encoded rows of a problem, and its points have so many columns."""
        ...


class Untrained:
    """What the spaces have in common that are not trained."""

    needs_training: ClassVar[bool] = False
    own_bandwidths: ClassVar[tuple[float, ...]] = ()

    @classmethod
    def has_variant(cls, variant: str) -> bool:
        return not variant
