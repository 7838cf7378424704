"""The protocols: how rows are divided into those to fit on, to choose by and to judge, and what is run by default.

TALENT's is that of the tables in `published.py`; TabArena's is that of its published table (`tabarena.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.bench.accuracy.published import SOURCES, Source

Positions = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Protocol:
    """How data sets are divided, and what the results are put beside.

    Attributes:
        sizes: from the number of rows to how many train, validate and test.
        note: what a report says of it.
        sources: published tables of the same sizes, in the units of our targets.
        log_targets: data sets whose target is replaced by its natural logarithm.
        sets, bases, rivals: what is run by default; None for everything there is.
    """

    name: str
    sizes: Callable[[int], tuple[int, int, int]]
    note: str
    sources: tuple[Source, ...] = ()
    log_targets: frozenset[str] = frozenset()
    sets: tuple[str, ...] | None = None
    bases: tuple[str, ...] | None = None
    rivals: tuple[str, ...] | None = None

    def positions(self, n_rows: int, seed: int) -> Positions:
        """Return which rows train, which validate (there may be none) and which test."""
        order = np.random.default_rng(seed).permutation(n_rows)
        n_train, n_validation, _ = self.sizes(n_rows)
        return order[:n_train], order[n_train : n_train + n_validation], order[n_train + n_validation :]

    @property
    def has_validation(self) -> bool:
        return self.sizes(1_000)[1] > 0


def _with_validation(n_rows: int) -> tuple[int, int, int]:
    n_train, n_test = n_rows * 16 // 25, n_rows // 5
    return n_train, n_rows - n_train - n_test, n_test


def _two_thirds(n_rows: int) -> tuple[int, int, int]:
    n_train = n_rows * 2 // 3
    return n_train, 0, n_rows - n_train


TALENT = Protocol(
    name="talent",
    sizes=_with_validation,
    note="""\
Random splits by seed: 64 % train, 16 % validation, 20 % test, the same rows for every column that is not published
(adult too: its official test part is not used). Mean ± standard deviation over the seeds; (n) where a cell has fewer
seeds than others of its row; bold: the best of our own splits. "-stopped": boosted for up to 4,000 rounds and stopped
by the validation rows; "knn": settings chosen by the validation rows.""",
    sources=SOURCES,
    rivals=(
        *("knn", "stacked-linear-knn", "stacked-boosting-knn", "lightgbm", "lightgbm-stopped"),
        *("xgboost", "xgboost-stopped", "catboost", "catboost-stopped"),
    ),
)

TABARENA = Protocol(
    name="tabarena",
    sizes=_two_thirds,
    note="""\
Random splits by seed: two thirds of the rows to fit on, one third to test, the same rows for every column that is not
published. Mean ± standard deviation over the seeds; (n) where a cell has fewer seeds than others of its row; bold: the
best of our own splits. "-bagged": the defaults with a learning rate of 0.05, eight models, each stopped by its held-out
eighth. The target of california is its natural logarithm.""",
    log_targets=frozenset({"california"}),
    sets=("concrete", "churn_modelling", "california", "credit_default", "protein_casp", "diamonds"),
    bases=("auto",),
    rivals=("lightgbm-bagged", "catboost-bagged"),
)

PROTOCOLS = {protocol.name: protocol for protocol in (TALENT, TABARENA)}
