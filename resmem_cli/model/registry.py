"""Classes by name, each loaded from its file when it is first used."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import TypeVar

Kind = TypeVar("Kind")


class Registry(Mapping[str, Kind]):
    """A mapping of names to classes that imports the file of a class on first use: predicting needs few of them."""

    def __init__(self, package: str, places: Mapping[str, str]) -> None:
        """Take "module:class" by name, modules relative to a package."""
        self.package, self.places = package, dict(places)

    def __getitem__(self, name: str) -> Kind:
        module, kind = self.places[name].split(":")
        loaded: Kind = getattr(importlib.import_module(module, self.package), kind)
        return loaded

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)
