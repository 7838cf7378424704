"""The base models: one protocol, one file each, and the registry that names them."""

from __future__ import annotations

from importlib import metadata

from resmem_cli.model.bases.boosters import Catboost, Lightgbm, Xgboost
from resmem_cli.model.bases.boosting import Boosting
from resmem_cli.model.bases.columns import Columns
from resmem_cli.model.bases.constant import Constant
from resmem_cli.model.bases.linear import Linear
from resmem_cli.model.bases.mlp import Mlp
from resmem_cli.model.bases.onnx import Onnx
from resmem_cli.model.bases.protocol import EXTRAS, Base, BaseSpec, Importable, Problem, is_installed
from resmem_cli.model.bases.sklearn_model import SklearnModel

# Those that can be fitted, by the name that the user gives.
ESTIMATORS: dict[str, type[Base]] = {
    "boosting": Boosting,
    "lightgbm": Lightgbm,
    "xgboost": Xgboost,
    "catboost": Catboost,
    "linear": Linear,
    "mlp": Mlp,
    "constant": Constant,
}
# And those that come from elsewhere.
COLUMNS = "columns"
IMPORTABLE: dict[str, type[Importable]] = {
    "lightgbm": Lightgbm,
    "xgboost": Xgboost,
    "catboost": Catboost,
    "onnx": Onnx,
    "sklearn": SklearnModel,
}
KINDS: dict[str, type[Base]] = {**ESTIMATORS, **IMPORTABLE, COLUMNS: Columns}
_MANY_CLASSES = 10


def installed(package: str) -> str:
    """Return the version of an optional library that is installed, or how to install it."""
    if is_installed(package):
        return f"yes, {metadata.version(package)}"
    return f"no: pip install 'resmem-cli[{EXTRAS.get(package, package)}]'"


def automatic(problem: Problem) -> tuple[str, ...]:
    """Return the bases to fit where the user named none.

    A strong one, and one that leaves much for the memory to explain: their corrected models err differently. Of many
    classes the second alone: trees of every class take minutes per fit, and a memory does better without them.
    """
    return ("linear",) if problem.n_classes > _MANY_CLASSES else ("boosting", "linear")


__all__ = [
    "COLUMNS",
    "ESTIMATORS",
    "IMPORTABLE",
    "KINDS",
    "Base",
    "BaseSpec",
    "Columns",
    "Problem",
    "automatic",
    "installed",
]
