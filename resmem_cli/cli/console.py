"""What a person sees: sentences and progress on standard error, tables on standard output."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loading it would take longer than to print a sentence
    from resmem_cli.workflow.inputs import Report

_LOG_SECONDS = 60


def say(*lines: str, quiet: bool) -> None:
    """Print sentences on standard error."""
    if not quiet:
        for line in lines:
            print(line, file=sys.stderr)


@contextmanager
def progress(quiet: bool) -> Iterator[Report]:
    """Give a function that shows what is being done: on a terminal at once, in a log one line a minute."""
    if quiet:
        yield lambda _, /, share=None: None
        return
    if not sys.stderr.isatty():
        yield _Log()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    first = SpinnerColumn(), TextColumn("{task.description}")
    with Progress(*first, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(what: str, /, share: float | None = None) -> None:
            if share is not None and len(bar.columns) == len(first):  # before, there is nothing that a bar could show
                bar.columns = (*bar.columns, BarColumn(), TimeRemainingColumn())
            bar.update(task, description=what, total=None if share is None else 1, completed=share or 0)

        yield show


class _Log:
    """Prints one line a minute, the first after a minute: what is done sooner needs none."""

    def __init__(self) -> None:
        self._first = self._last = time.monotonic()

    def __call__(self, what: str, /, share: float | None = None) -> None:
        now = time.monotonic()
        if now - self._last >= _LOG_SECONDS:
            self._last = now
            left = "" if not share else f", {_duration((now - self._first) * max(1 / share - 1, 0))} left"
            print(what + left, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    """Return a time as 0:05:30."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


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


def count(n: int, what: str) -> str:
    """Return "1 row" or "2,000 rows"."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"
