"""The spaces that distances are taken in: one protocol, one file each, and the registry that names them."""

from __future__ import annotations

from resmem_cli.model.arrays import Arrays, Floats
from resmem_cli.model.bases import Base, Problem
from resmem_cli.model.registry import Registry
from resmem_cli.model.spaces.protocol import Position, Space
from resmem_cli.model.spaces.training import ResidualKind, Training

KINDS = Registry[type[Space]](
    __name__,
    {
        "features": ".features:Features",
        "sensitivity": ".sensitivity:Sensitivity",
        "model": ".of_model:OfModel",
        "column": ".column:Column",
        "learned": ".learned:Learned",
    },
)


def kind_of(name: str) -> type[Space]:
    """Return the kind of a space by its name; ValueError if there is none."""
    return _split(name)[0]


def untrained_names(base: Base, X: Floats, problem: Problem) -> tuple[str, ...]:
    """Return the names of the spaces that need no training and that a base allows, with at least one row of `X`."""
    return tuple(name for kind in KINDS.values() for name in kind.untrained_names(base, X, problem))


def fit(name: str, training: Training, residuals: ResidualKind) -> Space:
    """Fit the space of a name to training rows; ValueError if there is none of this name."""
    kind, variant = _split(name)
    return kind.fit(variant, training, residuals)


def restore(name: str, arrays: Arrays) -> Space:
    """Return the space whose `to_arrays` was stored.

    Raises:
        KeyError, ValueError: there is none of this name, or the arrays are not its.
    """
    kind, variant = _split(name)
    return kind.restore(variant, arrays)


def _split(name: str) -> tuple[type[Space], str]:
    kind, colon, variant = name.partition(":")
    if kind not in KINDS or (colon and not variant) or not KINDS[kind].has_variant(variant):
        raise ValueError(f"there is no representation '{name}'")
    return KINDS[kind], variant


__all__ = ["KINDS", "Position", "Space", "fit", "kind_of", "restore", "untrained_names"]
