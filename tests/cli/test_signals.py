"""Ctrl-C and `kill`: one line, the right code, no file and no process left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import PROGRAM, snapshot
from tests.onnx_models import looping

Model = Callable[..., Path]
ENDS = {signal.SIGINT: (130, "resmem: interrupted\n"), signal.SIGTERM: (143, "resmem: terminated\n")}

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")


def processes(session: int) -> list[int]:
    """The processes of a session that still run (what has ended and was not asked for is no process any more)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, *numbers = path.read_text().rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(numbers[2]) == session and state != "Z":
            found.append(int(path.parent.name))
    return found


def wait_until(holds: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the installed command in a session of its own, as a terminal does; nothing of it outlives the test."""
    started: list[subprocess.Popen[str]] = []
    # A runner that was put in the background ignores Ctrl-C, and what it starts inherits that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(*words: object) -> subprocess.Popen[str]:
        command = [str(PROGRAM), *map(str, words)]
        pipe = subprocess.PIPE
        started.append(
            subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
        )
        return started[-1]

    yield start
    signal.signal(signal.SIGINT, before)
    for process in started:
        for number in processes(process.pid):
            os.kill(number, signal.SIGKILL)
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream is not None
            stream.close()
        process.wait()


def ended(process: subprocess.Popen[str], number: signal.Signals, *, whole_session: bool) -> None:
    """Send the signal, and see one line, the code of the signal, and an end of every process."""
    (os.killpg if whole_session else os.kill)(process.pid, number)
    code, line = ENDS[number]
    assert process.wait(timeout=20) == code
    assert process.stderr is not None
    assert process.stderr.read() == line
    wait_until(lambda: not processes(process.pid), seconds=10)


@pytest.mark.parametrize("copies", [1, 1_500])
@pytest.mark.parametrize("number", ENDS)
def test_a_prediction_that_waits_for_a_slow_pipe_can_be_ended(
    model: Model, tmp_path: Path, start: Callable[..., subprocess.Popen[str]], number: signal.Signals, copies: int
) -> None:
    """Few rows are waited for by us, many by Arrow: it makes no difference."""
    model()
    Path("out.csv").write_text("of yesterday\n")
    before = snapshot(tmp_path)
    process = start("predict", "-", "--model", "m", "--output", "out.csv")
    head, _, body = Path("new.csv").read_text().partition("\n")
    assert process.stdin is not None
    process.stdin.write(f"{head}\n{body * copies}")
    process.stdin.flush()
    wait_until(lambda: list(tmp_path.glob(".out.csv.*.tmp")))
    time.sleep(0.1)
    ended(process, number, whole_session=False)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(("number", "whole_session"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_folds_that_run_in_worker_processes_can_be_ended(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]], number: signal.Signals, whole_session: bool
) -> None:
    """The terminal sends Ctrl-C to the workers too: they must not speak of it, and must not stay."""
    rows = "".join(f"{i % 97},{i % 89},{i * i % 83}\n" for i in range(4_000))
    (tmp_path / "many.csv").write_text(f"a,b,y\n{rows}")
    words = ("--target", "y", "--estimator", "mlp", "--param", "max_iter=1", "--model", "m", "--threads", "1")
    assert start("fit-base", "many.csv", *words).wait(timeout=30) == 0
    # From here on a fit would take forever: the folds are certain to be at work when the signal comes.
    base = tmp_path / "m" / "base.json"
    endless = {"max_iter": 10**9, "n_iter_no_change": 10**9, "early_stopping": False, "tol": 0.0}
    content = json.loads(base.read_text())
    content["bases"][0]["params"] = endless
    base.write_text(json.dumps(content))
    before = snapshot(tmp_path)
    process = start("fit-residual", "many.csv", "--model", "m", "--threads", "2", "--effort", "quick")
    wait_until(lambda: sum("loky" in arguments(number) for number in processes(process.pid)) >= 2)
    time.sleep(0.3)  # while the workers are still loading their libraries
    ended(process, number, whole_session=whole_session)
    assert snapshot(tmp_path) == before


def arguments(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_an_interrupted_fit_leaves_no_model_directory(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """The rows never end, so it is still reading."""
    process = start("fit-base", "-", "--target", "y", "--model", "m")
    assert process.stdin is not None
    process.stdin.write("a,y\n" + "1,2\n" * 100_000)
    process.stdin.flush()
    wait_until(lambda: b"_csv" in Path(f"/proc/{process.pid}/maps").read_bytes())
    time.sleep(0.2)
    ended(process, signal.SIGINT, whole_session=True)
    assert list(tmp_path.iterdir()) == []


def without_end(by: str) -> bytes:
    """A model in the ONNX format that goes round a loop without end, always or by the millions in its "rows"."""
    if by == "always":
        return looping((), times=np.int64(2**40))
    nodes = (
        ("ReduceMax", ["X"], ["largest"], {"keepdims": 0}),
        ("Cast", ["largest"], ["whole"], {"to": 7}),  # a 64-bit integer
        ("Div", ["whole", "million"], ["millions"], {}),
        ("Mul", ["millions", "many"], ["times"], {}),
    )
    return looping(nodes, many=np.int64(2**40), million=np.int64(10**6))


def rows_of(largest: float) -> str:
    return "a,b,y\n" + "".join(f"{largest if i == 7 else i % 13},{i % 7},{i % 13 + i % 7}\n" for i in range(60))


@pytest.mark.parametrize("number", ENDS)
def test_an_import_of_a_model_without_end_can_be_ended(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]], number: signal.Signals
) -> None:
    """It is tried in a process of its own, which ends with this one."""
    (tmp_path / "loop.onnx").write_bytes(without_end("always"))
    (tmp_path / "t.csv").write_text(rows_of(1))
    before = snapshot(tmp_path)
    process = start("fit-base", "t.csv", "--target", "y", "--import", "loop.onnx", "--model", "m")
    wait_until(lambda: any("trial" in arguments(number) for number in processes(process.pid)))
    time.sleep(0.5)
    ended(process, number, whole_session=number == signal.SIGINT)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("number", ENDS)
def test_a_prediction_that_a_library_never_ends_can_be_ended(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]], number: signal.Signals, threads: int
) -> None:
    """The model sees no end only at a row that it was not tried with."""
    (tmp_path / "loop.onnx").write_bytes(without_end("rows"))
    (tmp_path / "t.csv").write_text(rows_of(1))
    (tmp_path / "new.csv").write_text(rows_of(3e6))
    words = ("--target", "y", "--import", "loop.onnx", "--model", "m", "--threads", "1")
    assert start("fit-base", "t.csv", *words).wait(timeout=60) == 0
    (tmp_path / "out.csv").write_text("of yesterday\n")
    before = snapshot(tmp_path)
    words = ("--model", "m", "--base-only", "--output", "out.csv", "--threads", str(threads), "--batch-rows", "20")
    process = start("predict", "new.csv", *words)
    wait_until(lambda: list(tmp_path.glob(".out.csv.*.tmp")))
    wait_until(lambda: computing(process.pid) > 2)
    ended(process, number, whole_session=False)
    assert snapshot(tmp_path) == before


def computing(process: int) -> float:
    """The seconds of the processor that a process has used."""
    numbers = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")
