"""Which rows the bases know: those that trained them, and those that share a group with these or are no later."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resmem_cli.model.arrays import is_in_sorted
from resmem_cli.store.rows import TrainedRows
from resmem_cli.workflow.labelled import Labelled


class KnownRows:
    """What is known of the rows that trained the bases.

    Of bases that were fitted without groups or times, these are those of the rows that they have seen, which have to be
    met first.
    """

    def __init__(self, trained: TrainedRows) -> None:
        """Take what is kept of the rows that trained the bases."""
        self._hashes = np.sort(trained.hashes)
        self._has_groups, self._has_times = trained.groups is not None, trained.times is not None
        self._groups = np.empty(0, np.uint64) if trained.groups is None else np.unique(trained.groups)
        self._latest = -np.inf if trained.times is None else _latest(trained.times)

    def have(self, rows: Labelled) -> NDArray[np.bool_]:
        """Return [n] whether a row trained the bases."""
        return is_in_sorted(rows.hashes, self._hashes)

    def meet(self, rows: Labelled) -> None:
        """Take the groups and times of those rows that trained the bases, where nothing was kept of these."""
        relations = rows.relations
        if relations is None:
            return
        if relations.groups is not None and not self._has_groups:
            self._groups = np.union1d(self._groups, relations.groups[self.have(rows)])
        if relations.times is not None and not self._has_times:
            self._latest = max(self._latest, _latest(relations.times[self.have(rows)]))

    def are_new(self, rows: Labelled) -> NDArray[np.bool_]:
        """Return [n] whether a row did not train the bases, is of no group that did, and is later than all that did."""
        are_new = ~self.have(rows)
        relations = rows.relations
        if relations is not None and relations.groups is not None:
            are_new &= ~is_in_sorted(relations.groups, self._groups) | (relations.groups == 0)
        if relations is not None and relations.times is not None:
            are_new &= relations.times > self._latest  # not if it has none
        return are_new


def _latest(times: NDArray[np.float64]) -> float:
    return float(times[~np.isnan(times)].max(initial=-np.inf))
