"""The command in process and as a program, sample data cut small, and fitted models.

Every test works in its own folder, with a copy of what it may change.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
import pytest
import typer

from resmem_cli.cli.main import main
from tests.sharing import made_once
from tests.workflow.conftest import shared

SAMPLES = Path(__file__).parents[2] / "sample_data"
PROGRAM = shutil.which("resmem", path=f"{sysconfig.get_path('scripts')}{os.pathsep}{Path(sys.executable).parent}")
ROWS = {"train": 240, "test": 80, "new": 40}
_CHESS_CLASSES = ["draw", "fourteen", "thirteen"]
_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


Run = Callable[..., Ended]


@cache
def table(data: str, split: str) -> pa.Table:
    """A sample cut small: of "diamonds", or of "chess" (three frequent classes), the rows to train, test or predict."""
    if data == "diamonds":
        return pyarrow.parquet.read_table(SAMPLES / f"diamonds_{split}.parquet").slice(0, ROWS[split])
    whole = pyarrow.parquet.read_table(SAMPLES / f"kr_vs_k_{split}.parquet")
    if "depth" in whole.column_names:
        whole = whole.filter(pc.is_in(whole["depth"], pa.array(_CHESS_CLASSES)))
    return whole.slice(0, ROWS[split])


def write_csv(table: pa.Table, path: Path) -> Path:
    """Write as our sample CSVs are written: text bare, a missing value empty."""
    path.write_text(_as_csv(table))
    return path


def _as_csv(table: pa.Table) -> str:
    lines = [table.column_names] + [["" if v is None else str(v) for v in row.values()] for row in table.to_pylist()]
    return "".join(",".join(line) + "\n" for line in lines)


@cache
def sample_csv(data: str, split: str) -> str:
    """Return a sample as the text of a CSV."""
    return _as_csv(table(data, split))


def snapshot(folder: Path) -> Mapping[str, bytes]:
    """Everything below a folder: to see that a command left nothing behind and changed nothing."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"a folder"
        for path in folder.rglob("*")
    }


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, no option from outside, and what the commands change in the process put back.

    Commands run in one thread where a test does not say otherwise: another worker has the other core, and processes
    for the folds take longer to start than the folds of so few rows.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("RESMEM_MODEL", "RESMEM_EFFORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RESMEM_THREADS", "1")
    for name in _VARIABLES:
        monkeypatch.setenv(name, "1")


@pytest.fixture(scope="session", autouse=True)
def _commands_built_once() -> Iterator[None]:
    """Typer reads every command's signature anew at each call: half the time of a short command run in process."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(typer.main, "get_command", cache(typer.main.get_command))
        yield


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in process."""

    def run(*words: object) -> Ended:
        before = signal.getsignal(signal.SIGTERM)
        try:
            code = main([str(word) for word in words])
        finally:
            signal.signal(signal.SIGTERM, before)
        out, err = capfd.readouterr()
        return Ended(code, out, err)

    return run


@pytest.fixture
def fails(run: Run, tmp_path: Path) -> Callable[..., None]:
    """Assert that a command ends with this code and exactly this sentence, and leaves every file as it was."""

    def fails(code: int, sentence: str, *words: object) -> None:
        before = snapshot(tmp_path)
        ended = run(*words)
        assert ended.err == f"resmem: {sentence}\n"
        assert (ended.out, ended.code) == ("", code)
        assert snapshot(tmp_path) == before

    return fails


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Put bytes in the place of standard input."""
    return lambda data: monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


@pytest.fixture
def program() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the installed command."""
    assert PROGRAM is not None
    command = PROGRAM

    def call(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [command, *map(str, words)], capture_output=True, text=True, timeout=60, check=False, **options
        )  # type: ignore[call-overload]

    return call


@pytest.fixture
def shell() -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Run a line of bash that finds the installed command."""
    assert PROGRAM is not None
    environment = os.environ | {"PATH": f"{Path(PROGRAM).parent}{os.pathsep}{os.environ['PATH']}"}
    return lambda line: subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, timeout=60, env=environment, check=False
    )


_SETTINGS = ("--neighbors", 6, "--bandwidth", 0.3, "--shrinkage", 1, "--temperature", 1)
_REMEMBER = ("--folds", 0, *_SETTINGS)
# Name: (data, target, options of fit-base, options of fit-residual).
_MODELS: dict[str, tuple[str, str, tuple[object, ...], tuple[object, ...]]] = {
    "house": (
        "diamonds",
        "price",
        ("--estimator", "linear", "--id", "id"),
        (*_REMEMBER, "--representation", "features"),
    ),
    "boosted": (
        "diamonds",
        "price",
        ("--estimator", "boosting", "--id", "id", "--param", "max_iter=10"),
        (*_REMEMBER, "--representation", "model"),
    ),
    # Two memories share the prediction.
    "both": (
        "diamonds",
        "price",
        ("--estimator", "linear,boosting", "--id", "id", "--param", "max_iter=10"),
        ("--folds", 2, *_SETTINGS),
    ),
    "chess": ("chess", "depth", ("--estimator", "linear", "--id", "id"), (*_REMEMBER, "--representation", "features")),
}


@pytest.fixture(scope="session")
def _models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Fit a model by its name, once for all workers."""

    def fit(name: str, folder: Path) -> None:
        data, target, base, memory = _MODELS[name]
        path = str(write_csv(table(data, "train"), folder / "train.csv"))
        common = ["--model", str(folder / "m"), "--threads", "1", "--quiet"]
        before = signal.getsignal(signal.SIGTERM)
        assert main(["fit-base", path, "--target", target, *map(str, base), *common]) == 0
        with shared() if name == "both" else contextlib.nullcontext():
            assert main(["fit-residual", path, *map(str, memory), *common]) == 0
        signal.signal(signal.SIGTERM, before)

    return cache(lambda name: made_once(tmp_path_factory, f"model-{name}", partial(fit, name)) / "m")


@pytest.fixture
def model(_models: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """Give a copy of a fitted model in this test's folder: "m", with the data it knows beside it."""

    def copy(name: str = "house") -> Path:
        shutil.copytree(_models(name), tmp_path / "m")
        for split in ROWS:
            (tmp_path / f"{split}.csv").write_text(sample_csv(_MODELS[name][0], split))
        return Path("m")

    return copy


@pytest.fixture
def csv(tmp_path: Path) -> Callable[..., Path]:
    """Write a sample, or lines of text, as a CSV of the given name."""

    def make(name: str, content: str | pa.Table) -> Path:
        if isinstance(content, pa.Table):
            write_csv(content, tmp_path / name)
        else:
            (tmp_path / name).write_text(content)
        return Path(name)

    return make
