"""The settings that are tried."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

from resmem_cli.errors import UsageError
from resmem_cli.model import spaces
from resmem_cli.model.bases import Problem
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.model.kernel import Settings
from resmem_cli.model.rows import LabelledRows


@dataclass(frozen=True)
class Grid:
    """The settings that are tried: every combination of these, for every candidate.

    Attributes:
        neighbors, bandwidths, shrinkages, temperatures: the values of each setting.
        is_relative: whether the bandwidths are fractions of the distance to the last neighbour.
        tries_own_bandwidths: whether a space's own absolute bandwidths are tried as well.
    """

    neighbors: tuple[int, ...] = (4, 8, 16, 32, 64, 128)
    bandwidths: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4, 0.8)
    shrinkages: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.5, 2.25)
    temperatures: tuple[float, ...] = (1.0, 1.5, 2.5)
    is_relative: bool = True
    tries_own_bandwidths: bool = True

    def settings(self, space: str) -> list[Settings]:
        """Return every combination for the space of a name."""
        widths = [(h, self.is_relative) for h in self.bandwidths]
        if self.tries_own_bandwidths:
            widths += [(h, False) for h in spaces.kind_of(space).own_bandwidths]
        combinations = itertools.product(self.temperatures, self.neighbors, widths, self.shrinkages)
        return [Settings(k, h, is_relative, gamma, t) for t, k, (h, is_relative), gamma in combinations]

    @property
    def is_forced(self) -> bool:
        """Whether the user chose a shrinkage above 0, so that the gain is not asked."""
        return len(self.shrinkages) == 1 and self.shrinkages[0] > 0

    @property
    def is_off(self) -> bool:
        """Whether the user chose a shrinkage of 0, so that the base is the prediction."""
        return self.shrinkages == (0.0,)


def grid(rows: LabelledRows, problem: Problem, options: MemoryOptions) -> Grid:
    """Narrow the default grid to what the user fixed, and to as many neighbours as a fold has rows."""
    if options.n_neighbors is not None and options.n_neighbors > len(rows.y):
        raise UsageError(
            f"{options.n_neighbors} neighbours are more than the {len(rows.y)} rows of the memory",
            f"set --neighbors to at most {len(rows.y)}",
        )
    if options.n_neighbors is not None and options.most_cells is not None and options.n_neighbors > options.most_cells:
        raise UsageError(
            f"{options.n_neighbors} neighbours are more than the {options.most_cells} cells of --max-cells",
            "raise --max-cells, or lower --neighbors",
        )
    full = Grid(is_relative=options.is_relative)
    n_cells = min(len(rows.y), options.most_cells or len(rows.y))
    most = n_cells
    if options.n_folds > 0:  # as many as the training rows of a fold
        most = max(1, n_cells * (options.n_folds - 1) // options.n_folds)
    full = replace(full, neighbors=tuple(k for k in full.neighbors if k <= most) or (1,))
    if problem.is_regression:
        full = replace(full, temperatures=(1.0,))
        if options.temperature not in (None, 1.0):
            raise UsageError("a regression has no temperature", "leave --temperature out")
    if not options.is_relative and options.bandwidth is None:
        raise UsageError("an absolute bandwidth cannot be chosen automatically", "give --bandwidth a number")
    if options.bandwidth is not None:
        full = replace(full, tries_own_bandwidths=False)
    fixed: Mapping[str, float | None] = {
        "neighbors": options.n_neighbors,
        "bandwidths": options.bandwidth,
        "shrinkages": options.shrinkage,
        "temperatures": options.temperature,
    }
    return replace(full, **{name: (value,) for name, value in fixed.items() if value is not None})  # type: ignore[arg-type]
