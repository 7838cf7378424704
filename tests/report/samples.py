"""Rows that a memory helps with: a wave that a linear base misses."""

from __future__ import annotations

import numpy as np
import pandas as pd

QUICK = {"base": "linear", "effort": "quick", "n_folds": 2, "threads": 1}
GIVEN = {"n_neighbors": 6, "bandwidth": 0.3, "shrinkage": 1.0, "temperature": 1.0, "representation": "features"}
FEATURES = ["a", "b", "kind"]


def frame(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n), "kind": rng.choice(["red", "green"], n)})
    return X.assign(y=X["a"] + np.sin(3 * X["b"]) + (X["kind"] == "red"))


TRAIN, NEW = frame(300, 0), frame(240, 1)
