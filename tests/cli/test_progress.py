"""What a long job says of itself."""

from __future__ import annotations

import os
import pty
import sys
import time

import pytest

from resmem_cli.cli import console


def test_a_log_has_one_line_a_minute_and_none_of_what_is_done_sooner(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.progress(quiet=False) as report:
        for seconds in (1, 58, 1, 30, 29, 1, 300):
            now[0] += seconds
            report(f"at {now[0] - 100:g} s")
    assert capsys.readouterr().err.splitlines() == ["at 60 s", "at 120 s", "at 420 s"]


def test_quiet_says_nothing_however_long_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with console.progress(quiet=True) as report:
        monkeypatch.setattr(console.time, "monotonic", lambda: 1e9)
        report("working")
    assert capsys.readouterr().err == ""


def test_a_log_says_how_much_time_is_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.progress(quiet=False) as report:
        for seconds, share in (
            (70, 0.1),
            (50, 0.2),
            (3600, 0.5),
            (60, 1.2),
        ):  # the last of a low estimate
            now[0] += seconds
            report("working", share)
    lines = ["working, 0:10:30 left", "working, 1:02:00 left", "working, 0:00:00 left"]
    assert capsys.readouterr().err.splitlines() == lines


def test_a_terminal_shows_a_bar_once_a_share_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    primary, secondary = pty.openpty()
    with os.fdopen(secondary, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        with console.progress(quiet=False) as report:
            report("reading")
            time.sleep(0.3)
            before = os.read(primary, 65_536).decode()
            report("predicting", 0.25)
            time.sleep(0.3)
            after = os.read(primary, 65_536).decode()
    os.close(primary)
    assert "reading" in before
    assert "━" not in before
    assert "predicting" in after
    assert "━" in after
