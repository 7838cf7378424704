"""What a person sees: sentences on standard error or, where they are the result, on standard output."""

from __future__ import annotations

import math
import sys

from resmem_cli.cli.progress import progress
from resmem_cli.cli.sentences import sentence
from resmem_cli.cli.tables import table

__all__ = ["count", "number", "progress", "say", "table", "tell"]


def say(*lines: str, quiet: bool) -> None:
    """Print sentences on standard error."""
    if not quiet:
        for line in lines:
            print(sentence(line), file=sys.stderr)


def tell(*lines: str) -> None:
    """Print the sentences that are a command's result, on standard output."""
    for line in lines:
        print(sentence(line))


def number(value: float) -> str:
    """Return a figure with five significant digits, or a dash if it is not known."""
    return "-" if math.isnan(value) else f"{value:.5g}"


def count(n: int, what: str) -> str:
    """Return "1 row" or "2,000 rows"."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"
