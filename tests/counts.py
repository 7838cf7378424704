"""How often a test tries what chance decides: a few times, and many more with RESMEM_TESTS=long, which .ci/run sets."""

from __future__ import annotations

import os

IS_LONG = os.environ.get("RESMEM_TESTS") == "long"


def times(few: int, many: int, variable: str = "") -> int:
    """Return how often to try: what a variable of the test's own says, or `few`, or `many` in a long run."""
    own = os.environ.get(variable)
    return int(own) if own else many if IS_LONG else few
