"""Gradient boosting of other libraries: one file each, what they share in trees.py, and what guards their files."""

from resmem_cli.model.bases.boosters.catboost import Catboost
from resmem_cli.model.bases.boosters.lightgbm import Lightgbm
from resmem_cli.model.bases.boosters.xgboost import Xgboost

__all__ = ["Catboost", "Lightgbm", "Xgboost"]
