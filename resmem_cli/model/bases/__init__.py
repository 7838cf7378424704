"""The base models: one protocol, one file each, and the registry that names them."""

from __future__ import annotations

from resmem_cli.model.bases.boosting import Boosting
from resmem_cli.model.bases.constant import Constant
from resmem_cli.model.bases.linear import Linear
from resmem_cli.model.bases.mlp import Mlp
from resmem_cli.model.bases.protocol import Base, BaseSpec, Problem

ESTIMATORS: dict[str, type[Base]] = {
    "boosting": Boosting,
    "linear": Linear,
    "mlp": Mlp,
    "constant": Constant,
}
AUTO_ESTIMATOR = "boosting"

__all__ = ["AUTO_ESTIMATOR", "ESTIMATORS", "Base", "BaseSpec", "Problem"]
