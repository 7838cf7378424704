"""What a long job says of itself."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from resmem_cli.cli import console
from tests.cli.test_signals import wait_until

Report = Callable[..., None]


def lines_of(capsys: pytest.CaptureFixture[str], work: Callable[[Report], None]) -> list[str]:
    """What a log says of some work, with a line every tenth of a second."""
    with console.progress(quiet=False, seconds=0.1) as report:
        work(report)
    return capsys.readouterr().err.splitlines()


def test_a_log_repeats_the_step_at_hand_though_nobody_reports(capsys: pytest.CaptureFixture[str]) -> None:
    """A fit of a library takes minutes, and says nothing meanwhile."""

    def work(report: Report) -> None:
        report("reading")
        report("fitting boosting on 60,000 rows")
        time.sleep(0.35)

    lines = lines_of(capsys, work)
    assert 2 <= len(lines) <= 4
    assert set(lines) == {"fitting boosting on 60,000 rows, 0 s"}


def test_a_log_says_nothing_of_what_is_done_sooner(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress(quiet=False, seconds=30) as report:
        report("reading")
    time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_before_the_first_report_the_job_is_starting(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(lines_of(capsys, lambda _: time.sleep(0.25))) == {"starting, 0 s"}


def test_an_error_ends_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="odd"), console.progress(quiet=False, seconds=0.1):
        raise ValueError("odd")
    time.sleep(0.3)
    assert capsys.readouterr().err == ""


def test_quiet_says_nothing_however_long_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress(quiet=True, seconds=0.05) as report:
        report("working")
        time.sleep(0.2)
    assert capsys.readouterr().err == ""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of day, which a test may turn forward; threads wait by another clock."""
    from resmem_cli.cli import progress

    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("seconds", "told"), [(59, "59 s"), (60, "1 min 0 s"), (125, "2 min 5 s"), (3_900, "1 h 5 min")]
)
def test_a_line_says_how_long_the_step_lasts(
    capsys: pytest.CaptureFixture[str], clock: list[float], seconds: float, told: str
) -> None:
    """A step that goes on with other figures is the same one, and another one begins anew."""

    def work(report: Report) -> None:
        report("reading")
        clock[0] += 1_000
        report("training the encoder: step 50 of 1,000")
        clock[0] += seconds - 20
        report("training the encoder: step 100 of 1,000")
        clock[0] += 20
        time.sleep(0.3)

    assert set(lines_of(capsys, work)) == {f"training the encoder: step 100 of 1,000, {told}"}


@pytest.mark.parametrize(("share", "left"), [(0.1, "9 min 0 s"), (0.5, "1 min 0 s"), (1.2, "0 s")])
def test_a_line_says_how_much_time_is_left(
    capsys: pytest.CaptureFixture[str], clock: list[float], share: float, left: str
) -> None:
    """The last is of a low estimate of how much there is."""

    def work(report: Report) -> None:
        report("predicting", 0.01)
        clock[0] += 60
        report("predicting", share)
        time.sleep(0.3)

    assert set(lines_of(capsys, work)) == {f"predicting, 1 min 0 s, {left} left"}


def test_a_log_that_nobody_can_take_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the thread would be a warning, and so an error of this test."""

    class Broken(io.StringIO):
        def write(self, _: str) -> int:
            tried.append(1)
            raise BrokenPipeError

    tried: list[int] = []
    monkeypatch.setattr(sys, "stderr", Broken())
    with console.progress(quiet=False, seconds=0.05) as report:
        report("working")
        wait_until(lambda: len(tried) >= 2)


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, term: str = "xterm") -> Iterator[Callable[[], str]]:
    """Put a terminal in the place of standard error, and give what it has shown so far."""
    primary, secondary = pty.openpty()
    os.set_blocking(primary, False)
    shown = b""

    def read() -> str:
        nonlocal shown
        with contextlib.suppress(BlockingIOError):
            while True:
                shown += os.read(primary, 65_536)
        return shown.decode()

    with os.fdopen(secondary, "w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        patch.setenv("TERM", term)
        for name in ("COLUMNS", "NO_COLOR"):
            patch.delenv(name, raising=False)
        yield read
    os.close(primary)


def test_a_terminal_shows_elapsed_time_and_a_bar_once_a_share_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as shown:
        with console.progress(quiet=False) as report:
            report("reading")
            wait_until(lambda: "0:00:01" in shown())
            before = shown()
            report("predicting", 0.25)
            wait_until(lambda: "━" in shown())
        assert "reading" in before
        assert "━" not in before
        assert "predicting" in shown()


def test_a_terminal_is_left_with_a_clean_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as shown:
        with console.progress(quiet=False) as report:
            report("reading")
            wait_until(lambda: "reading" in shown())
        assert shown().endswith("\x1b[2K")  # the line is erased
        assert "\x1b[?25h" in shown()  # and the cursor is back


def test_what_is_shown_of_a_step_is_no_command_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as a control nor as Rich's markup."""
    with terminal(monkeypatch) as shown:
        with console.progress(quiet=False) as report:
            report("training \x1b]0;owned\x07[bold]x[/nothing]")
            wait_until(lambda: "owned" in shown())
        assert r"\x1b]0;owned\x07[bold]x[/nothing]" in shown()
        assert "\x07" not in shown()


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_cannot_draw_gets_a_log(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    with terminal(monkeypatch, term) as shown:
        with console.progress(quiet=False, seconds=0.1) as report:
            report("reading")
            wait_until(lambda: shown().count("\n") >= 2)
        assert re.fullmatch(r"(reading, \d s\r\n)+", shown())
