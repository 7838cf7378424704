"""A base of tables that have categories of many values: what it is told of these beyond the most frequent ones.

The encoded rows end with one column of codes per such category, in which every value has its own. Trees, lines and
networks cannot read thousands of codes; they are told the target's mean of each, or nothing. CatBoost, which makes such
statistics itself, reads the codes.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from resmem_cli.errors import UsageError
from resmem_cli.model.arrays import WHOLE, Arrays, Floats, Singles, stored, stored_number
from resmem_cli.model.bases.protocol import Base, BaseKind, Problem, predict_and_represent
from resmem_cli.model.bases.target_encoding import TargetEncoding, n_outputs

# The parameter that every base has of such a table.
TARGET_ENCODING = "target_encoding"
_READS, _LEVELS, _FEATURES = "levels_reads", "levels", "levels_features"


class Reads(enum.IntEnum):
    """What a base reads of the categories of many values, beyond their most frequent ones."""

    NOTHING = 0
    MEANS = 1
    CODES = 2


@dataclass(frozen=True)
class WithLevels:
    """A base, and what becomes of encoded rows before it reads them.

    Attributes:
        inner: the base; its rows have other columns.
        reads: what it is told of the levels.
        n_features: d, how many encoded columns come before the codes of the levels.
        n_levels: of each category of many values, how many are told apart.
        encoding: the means, if it reads them.
    """

    inner: Base
    reads: Reads
    n_features: int
    n_levels: tuple[int, ...]
    encoding: TargetEncoding | None = None

    @classmethod
    def fit(
        cls,
        kind: type[BaseKind],
        X: Floats,
        y: Floats,
        weight: Floats | None,
        *,
        problem: Problem,
        params: Mapping[str, Any],
    ) -> Self:
        """Fit a kind of base to [n, d + levels] encoded rows; else as `Base.fit`."""
        n_features, n_levels = len(problem.n_categories), tuple(problem.levels.values())
        is_encoded = params.get(TARGET_ENCODING, False)
        if not isinstance(is_encoded, bool):
            raise UsageError(f"{TARGET_ENCODING} is {is_encoded!r}, not true or false", "correct the --param")
        reads = Reads.NOTHING if not is_encoded else Reads.CODES if kind.encodes_targets else Reads.MEANS
        related, codes = problem.relations(X), X[:, n_features:]
        encoding, columns = None, X[:, :n_features]
        if reads is Reads.MEANS:
            encoding = TargetEncoding.fit(codes, y, weight, problem)
            columns = np.hstack([columns, TargetEncoding.cross_fitted(codes, y, weight, problem, related)])
        elif reads is Reads.CODES:
            columns = X
        # Which rows belong together is said of the rows as they were: means differ from fold to fold.
        own = replace(cls._read_by(problem, reads), related=related)
        others = {name: value for name, value in params.items() if name != TARGET_ENCODING}
        return cls(kind.fit(columns, y, weight, own, others), reads, n_features, n_levels, encoding)

    @staticmethod
    def _read_by(problem: Problem, reads: Reads) -> Problem:
        """Return the problem as the inner base sees it."""
        more: tuple[int, ...] = ()
        if reads is Reads.MEANS:
            more = (0,) * (len(problem.levels) * n_outputs(problem))
        elif reads is Reads.CODES:
            more = tuple(problem.levels.values())
        return replace(problem, n_categories=problem.n_categories + more, levels={})

    def columns(self, X: Floats) -> Floats:
        """Return what the inner base reads of [n, d + levels] encoded rows."""
        if self.reads is Reads.CODES:
            return X
        features = X[:, : self.n_features]
        if self.encoding is None:
            return features
        return np.hstack([features, self.encoding.transform(X[:, self.n_features :])])

    def predict(self, X: Floats) -> Floats:
        return self.inner.predict(self.columns(X))

    def represent(self, X: Floats) -> Singles | None:
        return self.inner.represent(self.columns(X))

    def predict_and_represent(self, X: Floats) -> tuple[Floats, Singles | None]:
        return predict_and_represent(self.inner, self.columns(X))

    @property
    def is_thread_safe(self) -> bool:
        return self.inner.is_thread_safe

    @property
    def package(self) -> str | None:
        return self.inner.package

    @property
    def stored_as(self) -> str | None:
        return self.inner.stored_as

    @property
    def reads_features(self) -> bool:
        return self.inner.reads_features

    @property
    def estimator(self) -> Any:
        return self.inner.estimator

    def to_arrays(self) -> Arrays:
        own = {
            _READS: np.array([self.reads], dtype=np.int64),
            _FEATURES: np.array([self.n_features]),
            _LEVELS: np.array(self.n_levels, dtype=np.int64),
        }
        return {**self.inner.to_arrays(), **own, **({} if self.encoding is None else self.encoding.to_arrays())}

    @classmethod
    def restore_as(cls, kind: type[BaseKind], arrays: Arrays, estimator: Any) -> Self:
        """Return the base of a kind that was stored; else as `Base.restore`."""
        n_levels = stored(arrays, _LEVELS, WHOLE, None)
        n_features, reads = stored_number(arrays, _FEATURES, WHOLE), Reads(stored_number(arrays, _READS, WHOLE))
        if not len(n_levels) or (n_levels < 1).any() or n_features < 1:
            raise ValueError("it says of no category how many values it has")
        encoding = TargetEncoding.restore(arrays, len(n_levels)) if reads is Reads.MEANS else None
        return cls(kind.restore(arrays, estimator), reads, n_features, tuple(n_levels.tolist()), encoding)

    def belongs(self, problem: Problem, width: int) -> bool:
        """Whether it reads [n, width] encoded rows of a problem, and predicts what is asked of them."""
        d = len(problem.n_categories)
        if (self.n_features, self.n_levels, width) != (d, tuple(problem.levels.values()), d + len(self.n_levels)):
            return False
        if self.encoding is not None and (
            self.encoding.n_levels != self.n_levels or self.encoding.n_outputs != n_outputs(problem)
        ):
            return False
        own = self._read_by(problem, self.reads)
        return self.inner.belongs(own, len(own.n_categories))


def has_levels(arrays: Arrays) -> bool:
    """Whether stored arrays are those of a base of such a table."""
    return _READS in arrays
