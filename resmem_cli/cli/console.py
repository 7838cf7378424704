"""What a person sees: sentences and progress on standard error, tables on standard output."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager


def say(*lines: str, quiet: bool) -> None:
    """Print sentences on standard error."""
    if not quiet:
        for line in lines:
            print(line, file=sys.stderr)


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Give a function that shows what is being done; on a terminal only."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield status.update


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, n_left: int = 1, stderr: bool = False) -> None:
    """Print a table, its first columns to the left and the others to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for i, name in enumerate(header):
        drawn.add_column(name, justify="left" if i < n_left else "right", no_wrap=True)
    for row in rows:
        drawn.add_row(*row)
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = 200  # a pipe has no width: a table must not be cut to the 80 columns that Rich assumes
    console.print(drawn)


def number(value: float) -> str:
    """Return a figure with five significant digits, or a dash if it is not known."""
    return "-" if math.isnan(value) else f"{value:.5g}"
