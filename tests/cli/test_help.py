"""Help and version, however they are asked for; outputs that are devices."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run

Model = Callable[..., Path]
Shell = Callable[[str], subprocess.CompletedProcess[str]]
COMMANDS = (
    "fit-base",
    "fit-residual",
    "predict",
    "evaluate",
    "report",
    "compare",
    "distill",
    "explain",
    "remember",
    "forget",
    "history",
    "undo",
    "inspect",
    "verify",
)


def test_help_is_a_command_too(run: Run) -> None:
    assert run("help") == run("--help")
    assert run("help").code == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(run: Run, command: str) -> None:
    ended = run("help", command)
    assert ended == run(command, "--help")
    assert ended.out.startswith(f"Usage: resmem {command} ")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_an_option_fits_two_lines(run: Run, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    options = run(command, "--help").out.split("Options:\n")[1]
    n_lines = Counter[str]()
    for line in options.splitlines():
        if line.startswith("  -"):
            name = line.split()[0]
        n_lines[name] += line[:30].isspace() or "  " in line.strip()
    assert len(n_lines) > 2
    assert {name: n for name, n in n_lines.items() if n > 2} == {}


def test_help_of_what_there_is_not(run: Run) -> None:
    ended = run("help", "predct")
    assert (ended.code, ended.out) == (2, "")
    assert "No such command 'predct'. Did you mean 'predict'" in ended.err


def test_the_version(run: Run) -> None:
    assert run("-V") == run("--version")
    assert run("-V").out.startswith("resmem ")


@pytest.mark.parametrize("command", ["predict", "explain"])
def test_output_to_nowhere(model: Model, run: Run, command: str) -> None:
    model()
    ended = run(command, "new.csv", "--model", "m", "-o", "/dev/null", "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, "", "")


@pytest.mark.parametrize("output", ["/dev/stdout", ">(cat)"])
def test_output_to_a_device_or_a_pipe_is_csv(model: Model, shell: Shell, output: str) -> None:
    model()
    done = shell(f"resmem predict new.csv --model m --keep none --quiet -o {output} | cat")
    assert done.stdout.startswith("prediction,prediction_base\n")
    assert (done.stdout.count("\n"), done.returncode, done.stderr) == (41, 0, "")


def test_a_device_takes_another_format_if_it_is_named(model: Model, shell: Shell) -> None:
    model()
    done = shell("resmem predict new.csv --model m --keep none --quiet -o /dev/stdout --output-format jsonl | head -1")
    assert done.stdout.startswith('{"prediction": ')


def test_a_file_without_an_ending_is_still_refused(model: Model, run: Run) -> None:
    model()
    ended = run("predict", "new.csv", "--model", "m", "-o", "out")
    assert ended.code == 2
    assert "the format of 'out' is not recognised by its name" in ended.err


class TestWarnings:
    """What libraries warn of is not for whoever runs a command, here and in worker processes."""

    def warn(self, words: str) -> subprocess.CompletedProcess[str]:
        import sys

        code = (
            "import os, subprocess, sys, warnings; from resmem_cli.cli import main as entry; "
            f"sys.argv = ['resmem', *{words!r}.split()]; "
            "entry._run = lambda words: [warnings.warn('odd'), subprocess.run([sys.executable, '-c', "
            "'import warnings; warnings.warn(\"of a worker\")'])] and 0; entry.main()"
        )
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    def test_they_are_not_shown(self) -> None:
        done = self.warn("inspect --model m")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_they_are_shown_with_tracebacks(self) -> None:
        done = self.warn("inspect --model m --traceback")
        assert "UserWarning: odd" in done.stderr
        assert "UserWarning: of a worker" in done.stderr
