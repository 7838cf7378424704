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


def say_left_out(n_dropped: int, n_unknown_class: int, *, quiet: bool) -> None:
    """Say how many labelled rows do not count, and why."""
    if n_dropped:
        say(f"note: {n_dropped:,} rows have no target (or no weight) and are left out", quiet=quiet)
    if n_unknown_class:
        are = "is" if n_unknown_class == 1 else "are"
        say(f"note: {count(n_unknown_class, 'row')} of a class that training did not have {are} left out", quiet=quiet)
