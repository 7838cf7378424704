"""The rivals by name: other methods on the same splits and the same encoded rows."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from resmem_cli.workflow import thread_limit
from tests.bench.accuracy import boosters, neighbours
from tests.bench.accuracy.data import DataSet, Split, encode
from tests.bench.accuracy.neighbours import Predict
from tests.bench.accuracy.ours import clock
from tests.bench.accuracy.runs import Options, Run
from tests.bench.accuracy.scores import scores


@dataclass(frozen=True)
class Rival:
    """A method to compare with.

    Attributes:
        fit: from encoded rows, a seed and a number of threads to a function that predicts.
        package: what it needs installed.
        stops_early: whether it watches the validation rows, so that it can never be fitted on them.
        needs_validation: whether it stops or chooses by the validation rows, so that there must be some.
    """

    fit: Callable[..., Predict]
    package: str = "scikit-learn"
    stops_early: bool = False
    needs_validation: bool = False

    @property
    def is_installed(self) -> bool:
        return self.package == "scikit-learn" or importlib.util.find_spec(self.package) is not None


RIVALS = {
    "knn": Rival(neighbours.alone, needs_validation=True),
    "stacked-linear-knn": Rival(neighbours.stacked_with_linear, needs_validation=True),
    "stacked-boosting-knn": Rival(neighbours.stacked_with_boosting, needs_validation=True),
    **{
        name + ("-stopped" if stops else ""): Rival(
            partial(fit, stops_early=stops), name, stops, needs_validation=stops
        )
        for name, fit in (
            ("lightgbm", boosters.lightgbm),
            ("xgboost", boosters.xgboost),
            ("catboost", boosters.catboost),
        )
        for stops in (False, True)
    },
    "lightgbm-bagged": Rival(boosters.lightgbm_bagged, "lightgbm"),
    "catboost-bagged": Rival(boosters.catboost_bagged, "catboost"),
}


def run(asked: Run, data: DataSet, parts: Split, options: Options, threads: int) -> dict[str, Any]:
    """Fit and predict on one split, and return what is kept of it."""
    rival = RIVALS[asked.who]
    rows, test = encode(data, parts, "train" if rival.stops_early else options.train_on)
    seconds: dict[str, float] = {}
    with thread_limit.limited(threads) as count:
        with clock(seconds, "fit"):
            predict = rival.fit(rows, asked.seed, count)
        with clock(seconds, "predict"):
            predictions = predict(test.X)
    return {
        "metrics": {metric: {"value": value} for metric, value in scores(test.y, predictions).items()},
        "seconds": seconds,
        "version": importlib.metadata.version(rival.package),
    }
