"""resmem: a memory for any tabular model.

A base model learns what it can, a nearest-neighbour index over its residuals memorises the rest, and the
prediction is the sum: ResMem (Yang et al., NeurIPS 2023, arXiv 2302.01576).

    from resmem_cli import ResMemClassifier, ResMemRegressor, load
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resmem_cli.version import __version__

if TYPE_CHECKING:
    from resmem_cli.estimator import ResMemClassifier, ResMemRegressor
    from resmem_cli.workflow.model import Model

__all__ = ["Model", "ResMemClassifier", "ResMemRegressor", "__version__", "load"]


def load(directory: Any) -> Model:
    """Load a fitted model from its directory.

    Raises:
        ModelError: it is missing, stale or damaged, or has no memory yet and was not distilled.
    """
    from resmem_cli.workflow.model import Model

    return Model.load(directory)


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that the commands load nothing that they do not need."""
    if name in ("ResMemClassifier", "ResMemRegressor"):
        from resmem_cli import estimator

        return getattr(estimator, name)
    if name == "Model":
        from resmem_cli.workflow.model import Model

        return Model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
