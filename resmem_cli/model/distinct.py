"""How many of very many hashes differ, in little memory and in parts that merge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resmem_cli.model.resampling import Keys, mixed

_MOST = 4_096


@dataclass(frozen=True)
class Distinct:
    """The smallest of some different hashes: all of them if they are few.

    Of more, they tell how densely hashes lie, and with it how many there are, with a standard error of 1.6 %. Beyer et
    al., "On synopses for distinct-value estimation under multiset operations", SIGMOD 2007.
    """

    smallest: Keys

    @classmethod
    def of(cls, hashes: Keys) -> Distinct:
        """Take [n] hashes, in any order and any number of times."""
        return cls(np.unique(mixed(hashes))[:_MOST])

    def merged(self, other: Distinct) -> Distinct:
        """Return what is known of the hashes of both."""
        return Distinct(np.union1d(self.smallest, other.smallest)[:_MOST])

    @property
    def is_exact(self) -> bool:
        """Whether `count` is no estimate: whether there are fewer than 4,096."""
        return len(self.smallest) < _MOST

    @property
    def count(self) -> int:
        """How many differ."""
        if self.is_exact:
            return len(self.smallest)
        return round((_MOST - 1) / ((int(self.smallest[-1]) + 1) / 2**64))
