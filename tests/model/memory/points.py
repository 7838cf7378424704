"""Points to search in."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from resmem_cli.model.arrays import Floats, Integers, Singles

coarse_points = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 30), st.integers(1, 3)), elements=st.sampled_from([-1.0, -0.0, 0.0, 2.5])
)


def normal_points(n: int, p: int, seed: int = 0) -> Singles:
    return np.random.default_rng(seed).normal(size=(n, p)).astype(np.float32)


def by_brute_force(points: Singles, queries: Singles, k: int) -> tuple[Floats, Integers]:
    apart = np.linalg.norm(queries[:, None].astype(np.float64) - points[None].astype(np.float64), axis=2)
    order = np.argsort(apart, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(apart, order, axis=1), order
