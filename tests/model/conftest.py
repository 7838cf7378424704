"""What the tests of the method share."""

from __future__ import annotations

import pytest

from resmem_cli.model.bases import ESTIMATORS, KINDS
from tests.model.examples import Parrot


@pytest.fixture
def parrot(monkeypatch: pytest.MonkeyPatch) -> str:
    """Put the base that overfits most among the estimators, and give its name."""
    for registry in (ESTIMATORS, KINDS):
        monkeypatch.setitem(registry.places, "parrot", f"{Parrot.__module__}:{Parrot.__name__}")
    return "parrot"
