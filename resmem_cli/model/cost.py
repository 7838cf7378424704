"""What fitting costs, by estimate, and what follows from it where a table is wide or the effort is quick.

The seconds are of one thread of a common processor, and upper bounds rather than means: they decide what is left out
so that a command ends, not what is best. A table of at most `WIDE` columns is fitted as it always was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Of more columns, such as pixels or the numbers of an embedding: trees look at every one of them, neighbours are
# searched among their principal components, and one prediction per column takes longer than fitting the base.
WIDE = 200
MOST_AXES = 64  # principal components that distances are taken in
# Of a boosting on wide tables at most, which makes the estimate of its cost a bound.
WIDE_ROUNDS, WIDE_BINS = 200, 63

_BAGS = 3
_TREE_CELL, _TREE_COLUMN = 5e-9, 4e-5  # seconds of a tree: it reads every cell, and looks at every column's bins
_PRODUCT = 4e-11  # seconds per multiplication and addition in a product of matrices
_HIDDEN, _EPOCHS = 128, 60  # of the network
_LINEAR_STEPS = 100
_BOOSTING_SECONDS, _BAGS_SECONDS = 60.0, 45.0  # that one boosting of a wide table may take, and all bags together
_FOLD_SECONDS = {"quick": 25.0, "default": 100.0, "high": 400.0}  # that the bases of a wide table's folds may take
_LEAST_SPLIT = 4_000
_QUICK_ROWS = 25_000
_MOST_INNER = 100_000
_USUAL_FOLDS = 3
_TRAINED_ON, _INNER_FITS = 0.8, 4 * 0.6  # of the rows: what a fold's base is fitted to, and those within it together


@dataclass(frozen=True)
class Size:
    """How large a table is, and how many numbers its predictions have (one, or one per class)."""

    n_rows: int
    n_columns: int
    n_outputs: int

    @property
    def is_wide(self) -> bool:
        return self.n_columns > WIDE

    def of_rows(self, n_rows: float) -> Size:
        """Return the size of so many of the rows."""
        return Size(int(n_rows), self.n_columns, self.n_outputs)

    @property
    def n_trees(self) -> int:
        """How many trees a round of boosting adds."""
        return self.n_outputs if self.n_outputs > 2 else 1


def boosting_seconds(size: Size) -> float:
    """Return what one boosting costs."""
    return WIDE_ROUNDS * size.n_trees * size.n_columns * (size.n_rows * _TREE_CELL + _TREE_COLUMN)


def network_seconds(size: Size) -> float:
    """Return what a network costs, forwards and backwards."""
    return 3 * _PRODUCT * size.n_rows * size.n_columns * _HIDDEN * _EPOCHS


def linear_seconds(size: Size) -> float:
    """Return what a linear model costs: a product of the columns with each other, or steps down a slope."""
    if size.n_outputs == 1:
        return _PRODUCT * size.n_rows * size.n_columns**2
    return 4 * _PRODUCT * size.n_rows * size.n_columns * size.n_outputs * _LINEAR_STEPS


def discriminant_seconds(size: Size) -> float:
    """Return what a linear discriminant costs: a product of the columns with each other, whatever the classes."""
    return _PRODUCT * size.n_columns**2 * (size.n_rows + size.n_columns)


def bags_seconds(size: Size) -> float:
    """Return what the mean of several boostings costs; those of all libraries are taken for scikit-learn's."""
    return boosting_seconds(size) * n_bags(size)


def n_bags(size: Size) -> int:
    """Return how many boostings have a mean that is better than one and can be waited for."""
    if not size.is_wide or boosting_seconds(size) * _BAGS <= _BAGS_SECONDS:
        return _BAGS
    return 1


def can_boost(size: Size) -> bool:
    """Whether a boosting ends in time; of tables that are not wide nobody asks."""
    return not size.is_wide or boosting_seconds(size) <= _BOOSTING_SECONDS


def n_axes(n_columns: int) -> int | None:
    """Return how many principal components stand for so many columns; None if the columns stand for themselves."""
    return MOST_AXES if n_columns > WIDE else None


def most_split(size: Size, fits: Sequence[tuple[float, bool]], effort: str) -> int | None:
    """Return of how many rows one split replaces the folds; None if the folds can be waited for.

    Args:
        size: of the table.
        fits: of every base that the folds fit anew, how many seconds a fit to the whole table takes, and whether
            encoders are trained on it, for which parts of a fold's rows fit it again and again.
        effort: of the choice.
    """
    if not size.is_wide:
        return _QUICK_ROWS if effort == "quick" and size.n_rows > _QUICK_ROWS else None
    budget, whole = _FOLD_SECONDS[effort], _fold_seconds(fits)
    if whole * _USUAL_FOLDS <= budget:
        return None
    return max(min(_LEAST_SPLIT, size.n_rows), min(size.n_rows, int(size.n_rows * budget / whole)))


def most_inner(size: Size, seconds: float, effort: str) -> int:
    """Return how many rows make the folds within all rows that the encoders of a final memory learn from.

    Args:
        size: of the table.
        seconds: that a fit of the base to the whole table takes; 0 if it is not fitted anew to parts of these rows.
        effort: of the choice.
    """
    if not size.is_wide:
        return _MOST_INNER
    whole = seconds * _INNER_FITS
    affordable = int(size.n_rows * _FOLD_SECONDS[effort] / max(whole, 1e-9))
    return max(_LEAST_SPLIT, min(_MOST_INNER, affordable))


def _fold_seconds(fits: Sequence[tuple[float, bool]]) -> float:
    """Return what the bases of one fold cost."""
    return sum((_TRAINED_ON + (_INNER_FITS if learns else 0)) * seconds for seconds, learns in fits)
