"""What a long job says of itself: on a terminal at once, in a log one line a minute."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from resmem_cli.cli.sentences import sentence

if TYPE_CHECKING:  # loading it would take longer than to print a sentence
    from resmem_cli.workflow.inputs import Report

LOG_SECONDS = 60.0
_WIDE = 60  # columns of a terminal that a bar has room in, too
_FIGURES = re.compile(r"\d[\d,.]*")


@contextmanager
def progress(quiet: bool, *, output: str | None = None, seconds: float = LOG_SECONDS) -> Iterator[Report]:
    """Give a function that is told what is being done, and show it while the block runs.

    Args:
        quiet: whether to show nothing.
        output: where the block writes data, if it does. Where those may reach the terminal, nothing is drawn there.
        seconds: between two lines of a log.
    """
    if quiet:
        yield lambda _, /, share=None: None
    elif _can_draw() and (output is None or not _may_be_seen(output)):
        with _drawn() as report:
            yield report
    else:
        with _Log(seconds) as report:
            yield report


def _can_draw() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def _may_be_seen(output: str) -> bool:
    """Whether an output is a terminal, or a pipe whose end may be one."""
    try:
        found = os.fstat(sys.stdout.fileno()) if output == "-" else os.stat(output)  # noqa: PTH116 - may be no path
        is_nothing = found.st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116
    except (OSError, ValueError):  # there is nothing yet
        return False
    return stat.S_ISFIFO(found.st_mode) or (stat.S_ISCHR(found.st_mode) and not is_nothing)


@contextmanager
def _drawn() -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    first = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Progress(*first, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(what: str, /, share: float | None = None) -> None:
            if share is not None and len(bar.columns) == len(first):  # before, there is nothing that a bar could show
                drawing = (BarColumn(),) if console.width >= _WIDE else ()
                bar.columns = (*bar.columns, *drawing, TimeRemainingColumn())
            bar.update(task, description=sentence(what), total=None if share is None else 1, completed=share or 0)

        yield show


class _Log:
    """Prints the step at hand every so often, the first time after that: what is done sooner needs no line.

    A thread does it, because a step may last for minutes in which nobody calls.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True)
        self._began = time.monotonic()
        self._step: tuple[str, float | None] = ("starting", None)

    def __enter__(self) -> _Log:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def __call__(self, what: str, /, share: float | None = None) -> None:
        """Note what is being done; what goes on, or differs from the last in its figures alone, is the same step."""
        goes_on = None not in (share, self._step[1]) and (share or 0) >= (self._step[1] or 0)
        if not goes_on and _FIGURES.sub("", what) != _FIGURES.sub("", self._step[0]):
            self._began = time.monotonic()
        self._step = what, share

    def _repeat(self) -> None:
        while not self._ended.wait(self._seconds):
            what, share = self._step
            passed = time.monotonic() - self._began
            left = f", {_duration(passed * max(1 / share - 1, 0))} left" if share else ""
            with contextlib.suppress(OSError, ValueError):  # nobody reads it, or it is closed
                print(f"{sentence(what)}, {_duration(passed)}{left}\n", end="", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    """Return a time as 30 s, 2 min 0 s or 1 h 5 min."""
    minutes, seconds = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
