"""Help, version, completion and usage errors answer at once: nothing heavy is loaded for them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from resmem_cli.model.bases import ESTIMATORS

HEAVY = {"sklearn", "pandas", "pyarrow", "scipy", "hnswlib", "numpy", "skops", "joblib", "jinja2"}


def started(*words: str, **variables: str) -> tuple[int, str, set[str]]:
    """Run the command, and return its code, what it printed, and the heavy libraries that it loaded."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "resmem_cli", *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=os.environ | variables,
    )
    lines = done.stderr.splitlines()
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line.startswith("import time:")}
    assert "typer" in loaded
    said = "\n".join(line for line in lines if not line.startswith("import time:"))
    return done.returncode, done.stdout + said, loaded & HEAVY


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (("--help",), 0, "fit-residual  Memorise the residuals of labelled rows"),
        ((), 2, "fit-residual  Memorise the residuals of labelled rows"),
        (("--version",), 0, "resmem 0.1.0"),
        (("fit-base", "--help"), 0, "--target"),
        (("fit-residual", "-h"), 0, "--neighbors"),
        (("predict", "--help"), 0, "--probabilities"),
        (("evaluate", "--help"), 0, "--seed"),
        (("report", "--help"), 0, "--output"),
        (("explain", "--help"), 0, "--top"),
        (("remember", "--help"), 0, "--wait"),
        (("forget", "--help"), 0, "--where"),
        (("inspect", "--help"), 0, "--json"),
        (("verify", "--help"), 0, "--quiet"),
        (("predict", "--bogus"), 2, "resmem: No such option: --bogus; see resmem predict --help"),
        (("predict", "new.csv"), 2, "resmem: Missing option '--model'"),
        (("bogus",), 2, "resmem: No such command 'bogus'"),
        (("fit-base", "a.csv", "-t", "y", "-m", "m", "--task", "x"), 2, "'x' is not one of 'auto', 'regression'"),
        (("fit-residual", "a.csv", "-m", "m", "--metric", "x"), 2, "'x' is not one of 'auto', 'rmse', 'mae'"),
        (("fit-residual", "a.csv", "-m", "m", "--residuals", "x"), 2, "'x' is not one of 'auto', 'in-sample'"),
        (
            ("fit-residual", "a.csv", "-m", "m", "--memories", "0"),
            2,
            "Invalid value for '--memories': Input should be greater than or equal to 1",
        ),
    ],
)
def test_nothing_heavy_is_loaded_to_answer(words: tuple[str, ...], code: int, part: str) -> None:
    found, said, loaded = started(*words)
    assert part in said
    assert (found, loaded) == (code, set())


def test_completion_answers_without_loading_anything_heavy() -> None:
    code, said, loaded = started(_RESMEM_COMPLETE="complete_bash", COMP_WORDS="resmem fit-", COMP_CWORD="1")
    assert said.split() == ["fit-base", "fit-residual"]
    assert (code, loaded) == (0, set())


def test_options_are_completed_too() -> None:
    words = "resmem fit-base a.csv --estimator "
    _, said, loaded = started(_RESMEM_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD="4")
    assert said.split() == ["auto", *ESTIMATORS]
    assert not loaded
    _, said, loaded = started(_RESMEM_COMPLETE="complete_bash", COMP_WORDS=words + "linear,boosting,co", COMP_CWORD="4")
    assert said.split() == ["linear,boosting,constant"]
    assert not loaded


def test_the_completion_script_is_shown() -> None:
    variables = {"_RESMEM_COMPLETE": "source_bash"}
    code, said, loaded = started(**variables)
    assert "complete -o default -F _resmem_completion resmem" in said
    assert (code, loaded) == (0, set())


def test_show_completion_tells_the_shell_it_is_called_from() -> None:
    script = f"{sys.executable} -X importtime -m resmem_cli --show-completion; true"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert "_resmem_completion() {" in done.stdout
    assert not {f" {name}\n" for name in HEAVY} & {line.rpartition("|")[2] + "\n" for line in done.stderr.splitlines()}


def test_help_names_every_option_that_reads_the_environment() -> None:
    _, said, _ = started("predict", "--help", COLUMNS="100")
    assert "[env var: RESMEM_MODEL" in said
    assert "[env var: RESMEM_THREADS" in said


@pytest.mark.parametrize(("name", "base"), [("house", "linear"), ("boosted", "boosting")])
def test_predicting_loads_nothing_of_fitting_nor_of_other_bases(
    model: Callable[..., Path], name: str, base: str
) -> None:
    words = ["predict", "test.csv", "--model", str(model(name)), "--output", "p.csv", "--quiet"]
    code = f"import sys; from resmem_cli.cli.main import main; main({words}); print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert f"resmem_cli.model.bases.{base}" in loaded
    of_bases = {f"bases.{other}" for other in ("boosting", "linear", "mlp", "onnx.model") if other != base}
    own = {"fitting", "learning", "selection", "folds", "memorising", *of_bases}
    assert not {f"resmem_cli.model.{part}" for part in own} & loaded
    assert not {"sklearn", "pandas", "scipy", "skops"} & loaded
