"""What a person sees: sentences and progress on standard error, tables on standard output."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

_LOG_SECONDS = 60


def say(*lines: str, quiet: bool) -> None:
    """Print sentences on standard error."""
    if not quiet:
        for line in lines:
            print(line, file=sys.stderr)


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Give a function that shows what is being done: on a terminal at once, in a log one line a minute."""
    if quiet:
        yield lambda _: None
        return
    if not sys.stderr.isatty():
        yield _Log()
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield status.update


class _Log:
    """Prints one line a minute, the first after a minute: what is done sooner needs none."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, what: str) -> None:
        if time.monotonic() - self._last >= _LOG_SECONDS:
            self._last = time.monotonic()
            print(what, file=sys.stderr, flush=True)


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
