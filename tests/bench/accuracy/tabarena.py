"""TabArena's published table: the error of each method on each data set, and the rank that another error would have.

The table is a CSV with the columns dataset, fold, method, metric, metric_error and imputed, and is read from a file
that is not part of this project.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

ORIGIN = "TabArena's published results, the rows that are not imputed and no reruns"
NOTE = "california is its 'houses', which has totals where ours has averages per household"

# TabArena's name of a data set → ours.
SETS = {
    "concrete_compressive_strength": "concrete",
    "Bank_Customer_Churn": "churn_modelling",
    "houses": "california",
    "credit_card_clients_default": "credit_default",
    "physiochemical_protein": "protein_casp",
    "diamonds": "diamonds",
}
# Methods that run on our rows, too: the names of the rivals that do → the published names.
REFERENCES = {"lightgbm-bagged": "GBM (default)", "catboost-bagged": "CAT (default)"}

# Methods with any of these in their names carry a network that was trained on other tables. BETA is based on TabPFN;
# AutoGluon's "extreme" preset contains such models, and its "best" does not.
PRETRAINED = (
    "TABPFN",
    "TABICL",
    "TABDPT",
    "LIMIX",
    "MITRA",
    "SAP-RPT",
    "TABFLEX",
    "TABSTAR",
    "ORION",
    "ILTM",
    "BETA_GPU",
    "AutoGluon 1.5 (extreme",
)

_RERUN = "[Rerun]"
_COLUMNS = ("dataset", "fold", "method", "metric", "metric_error", "imputed")


@dataclass(frozen=True)
class PublishedSet:
    """The published errors of one data set.

    Attributes:
        name: TabArena's name of the data set.
        metric: "rmse", or "roc_auc" whose error is one minus it.
        errors: by method.
    """

    name: str
    metric: str
    errors: Mapping[str, float]

    def without_pretrained(self) -> PublishedSet:
        return PublishedSet(
            self.name, self.metric, {method: error for method, error in self.errors.items() if not pretrained(method)}
        )

    def rank(self, error: float) -> int:
        """Return the rank of an error among the methods: one more than how many have a smaller one."""
        return 1 + sum(other < error for other in self.errors.values())


def pretrained(method: str) -> bool:
    return any(part in method for part in PRETRAINED)


def read(path: Path) -> dict[str, PublishedSet]:
    """Return what is published on the sets that are also ours, by our names; of several folds the mean.

    Raises:
        ValueError: a column is missing, or the file is no CSV.
    """
    table = pd.read_csv(path, dtype={"imputed": bool})
    missing = [column for column in _COLUMNS if column not in table.columns]
    if missing:
        raise ValueError(f"'{path}' has no column {', '.join(missing)}")
    own = table[~table["imputed"] & ~table["method"].str.contains(_RERUN, regex=False)]
    return {
        SETS[name]: PublishedSet(name, rows["metric"].iloc[0], rows.groupby("method")["metric_error"].mean().to_dict())
        for name, rows in own.groupby("dataset")
        if name in SETS
    }
