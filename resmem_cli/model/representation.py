"""The representations φ: what it means for two rows to be near each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from resmem_cli.errors import UsageError
from resmem_cli.model.arrays import Arrays, Floats, Singles
from resmem_cli.model.bases import Base
from resmem_cli.model.features import FeatureSpace

NAMES = ("features", "model")


class Representation(Protocol):
    """A map from encoded rows to the space that distances are taken in."""

    name: ClassVar[str]

    def represent(self, X: Floats, base: Base) -> Singles:
        """Return [n, p] representations of [n, d] encoded rows."""
        ...

    def to_arrays(self) -> Arrays: ...


@dataclass(frozen=True)
class Features:
    """The columns themselves: numbers as normal scores, categories as indicators."""

    name: ClassVar[str] = "features"
    space: FeatureSpace

    def represent(self, X: Floats, base: Base) -> Singles:
        return self.space.transform(X)

    def to_arrays(self) -> Arrays:
        return self.space.to_arrays()


@dataclass(frozen=True)
class OfModel:
    """What the base computes: a network's last hidden layer, a boosting's groups of trees; the paper's choice."""

    name: ClassVar[str] = "model"

    def represent(self, X: Floats, base: Base) -> Singles:
        represented = base.represent(X)
        if represented is None:
            raise UsageError(
                "this base has no representation of its own", "choose another --representation, for example features"
            )
        return represented

    def to_arrays(self) -> Arrays:
        return {}


def fit(name: str, X: Floats, n_categories: tuple[int, ...]) -> Representation:
    """Return the representation called `name`, learned from [n, d] encoded training rows."""
    return Features(FeatureSpace.fit(X, n_categories, "normal")) if name == Features.name else OfModel()


def restore(name: str, arrays: Arrays) -> Representation:
    """Return the representation that `to_arrays` was asked of."""
    return Features(FeatureSpace.from_arrays(arrays)) if name == Features.name else OfModel()


def available(base: Base, X: Floats) -> tuple[str, ...]:
    """Return the names of the representations that this base allows, tried on a row of `X`."""
    return tuple(name for name in NAMES if name != OfModel.name or base.represent(X[:1]) is not None)
