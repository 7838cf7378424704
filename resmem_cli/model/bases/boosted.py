"""What holds for boosted trees of every library: where rows are few, where classes are many, and how they represent."""

from __future__ import annotations

MOST_BAGS = 10  # models that a base can be the mean of: each is stopped by another tenth of the rows
# Below this, a tenth of the rows says too little about when to stop.
EARLY_STOPPING_FROM_ROWS = 1_000
ROWS_PER_THREAD = 25_000  # of fewer, parallel regions are so short that threads wait for each other on a busy machine
# Of more classes, each with trees of its own, fits take long: there are fewer models, and no boosting in `auto`.
MANY_CLASSES = 10
# The representation has about this many columns in all: groups of consecutive trees, times the outputs.
_REPRESENTATION_COLUMNS, _MOST_GROUPS = 64, 16


def n_groups(n_outputs: int, n_rounds: int) -> int:
    """Return of how many groups of consecutive trees the sums are a representation."""
    return max(1, min(_MOST_GROUPS, _REPRESENTATION_COLUMNS // n_outputs, n_rounds))
