"""What a long job says of itself."""

from __future__ import annotations

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
