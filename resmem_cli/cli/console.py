"""What a user reads: sentences on standard error or, if they are the result, on standard output."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from resmem_cli.cli.progress import progress
from resmem_cli.cli.sentences import sentence
from resmem_cli.cli.tables import table

if TYPE_CHECKING:
    from resmem_cli.data.encoding import Surprises

__all__ = [
    "KEPT",
    "adjective",
    "count",
    "number",
    "progress",
    "say",
    "say_left_out",
    "surprises",
    "table",
    "tell",
    "time",
]

KEPT = "note: the memory before has rows that are in this one no more; it is kept for resmem undo (--keep 0 keeps none)"
_ADJECTIVES = {"number": "numeric", "category": "categorical"}


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
    """Return a number with five significant digits, or a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:.5g}"


def time(made: str) -> str:
    """Return a stored time, which is in UTC, as people read it."""
    return made.replace("T", " ").removesuffix("Z")


def count(n: int, what: str) -> str:
    """Return "1 row" or "2,000 rows"."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def adjective(kind: str) -> str:
    """Return what columns of a kind are called: numeric, categorical; the others by their kind."""
    return _ADJECTIVES.get(kind, kind)


def surprises(found: Surprises) -> list[str]:
    """Return sentences on how many values were missing, and how many categories unknown, per column."""
    lines = []
    for what, counts in (("missing values", found.missing), ("unknown categories", found.unknown)):
        if counts:
            listed = ", ".join(f"{name} {count:,}" for name, count in counts.most_common(10))
            more = f" and {len(counts) - 10} more columns" if len(counts) > 10 else ""
            lines.append(f"{what}: {listed}{more}")
    return lines


def say_left_out(n_dropped: int, n_unknown_class: int, *, quiet: bool) -> None:
    """Say how many rows are left out for want of a target or weight, or for a class that training did not have."""
    if n_dropped:
        say(f"note: {count(n_dropped, 'row')} without a target (or weight) left out", quiet=quiet)
    if n_unknown_class:
        say(f"note: {count(n_unknown_class, 'row')} of a class not in the training data left out", quiet=quiet)
