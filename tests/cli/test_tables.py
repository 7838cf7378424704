"""Tables fit the terminal, and no figure of theirs is ever cut; in a pipe they are as they are in the README."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import sys
from collections.abc import Callable, Sequence

import pytest

from resmem_cli.cli import console

HEADER = ("metric", "base", "resmem", "gain", "gain %", "95 % interval")
ROWS = [
    ("balanced_accuracy", "0.26773", "0.71216", "0.44443", "+166.00 %", "+145.95 to +192.58 %"),
    ("rmse", "1117.7", "603.79", "513.88", "+45.98 %", "+41.97 to +49.92 %"),
]
CANDIDATES = ("base", "representation", "residuals", "k", "temperature", "held-out rmse", "± SE")
PLACES = [
    ("linear", "sensitivity", "in-sample", "16", "1", "837.85", "103.11"),
    ("linear", "learned:periodic", "in-sample", "4", "1", "843.49", "45.107"),
]


def shown(
    monkeypatch: pytest.MonkeyPatch,
    width: int,
    header: Sequence[str] = HEADER,
    rows: Sequence[Sequence[str]] = ROWS,
    **how: int,
) -> list[str]:
    """The lines that a terminal of some columns shows of a table."""
    return on_terminal(monkeypatch, width, lambda: console.table(header, rows, **how))


def on_terminal(monkeypatch: pytest.MonkeyPatch, width: int, show: Callable[[], None]) -> list[str]:
    """The lines that a terminal of some columns shows of what is printed, without their colours."""
    primary, secondary = pty.openpty()
    with os.fdopen(secondary, "w") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", str(width))
        show()
        terminal.flush()
        text = b""
        os.set_blocking(primary, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                text += os.read(primary, 65_536)
    os.close(primary)
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text.decode()).splitlines()]


@pytest.mark.parametrize("width", [20, 30, 40, 60, 72, 80, 81, 82, 83, 100, 200])
@pytest.mark.parametrize(("header", "rows"), [(HEADER, ROWS), (CANDIDATES, PLACES)], ids=["metrics", "candidates"])
def test_every_cell_is_there_whole_at_every_width(
    monkeypatch: pytest.MonkeyPatch, width: int, header: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    lines = shown(monkeypatch, width, header, rows)
    text = " ".join(" ".join(lines).split())
    for row in rows:
        for cell in row:
            assert cell in text
    if width >= 40:  # below, the longest cell has no room beside its name
        assert max(map(len, lines[:-1])) <= width
    assert "…" not in text


def test_a_wide_terminal_shows_it_as_a_pipe_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    console.table(HEADER, ROWS)
    piped = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert shown(monkeypatch, 100) == piped
    assert piped[0].startswith("metric                 base   ")
    assert len(piped[1]) == 82


def test_columns_come_closer_where_that_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, 80)
    assert len(lines) == 4
    assert lines[2].startswith("balanced_accuracy 0.26773 0.71216 ")


def test_a_narrow_terminal_shows_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, 40)[:6] == [
        "balanced_accuracy",
        "  base           0.26773",
        "  resmem         0.71216",
        "  gain           0.44443",
        "  gain %         +166.00 %",
        "  95 % interval  +145.95 to +192.58 %",
    ]


def test_what_is_the_same_in_every_row_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, 60, CANDIDATES, PLACES, n_left=3)
    assert lines[0].split() == ["representation", "k", "held-out", "rmse", "±", "SE"]
    assert lines[-1] == "the same in every row: base linear, residuals in-sample, temperature 1"
    assert shown(monkeypatch, 30, CANDIDATES, PLACES)[-1] == lines[-1]
    assert not shown(monkeypatch, 100, CANDIDATES, PLACES)[-1].startswith("the same")


def test_one_row_has_nothing_in_common_with_others(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, 40, HEADER, ROWS[:1])[0] == "balanced_accuracy"


def test_rows_that_are_the_same_keep_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, 40, HEADER, [ROWS[0], ROWS[0]])
    assert lines[2:4] == ["balanced_accuracy", "balanced_accuracy"]
    assert "95 % interval +145.95 to +192.58 %" in lines[-1]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_texts_are_broken_between_words(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    text = "scikit-learn's histogram gradient boosting, the mean of 3 with early stopping, for numbers and classes"
    rows = [("boosting", text, "yes"), ("xgboost", "XGBoost", "pip install 'resmem-cli[xgboost]'")]
    lines = shown(monkeypatch, width, ("estimator", "what it is", "installed"), rows, n_left=3, text=1)
    assert max(map(len, lines)) <= width
    flat = " ".join(" ".join(lines).split())
    words = {"boosting", "yes", "xgboost", "XGBoost", *text.split()}
    assert words <= set(flat.split())


def test_a_pipe_cuts_nothing_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(*(f"{'x' * 60}{i}" for i in range(6)),)]
    console.table(HEADER, rows)
    assert rows[0][5] in capsys.readouterr().out
