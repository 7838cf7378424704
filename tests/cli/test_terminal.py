"""The installed command on a terminal of its own: what is shown there, in which order, and what is refused."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.conftest import PROGRAM, Ended, Run
from tests.cli.test_signals import wait_until

Model = Callable[..., Path]
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """A command whose three streams are one terminal, and all that it has shown."""

    def __init__(self, *words: object, width: int = 80) -> None:
        primary, secondary = pty.openpty()
        fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
        environment |= {"TERM": "xterm", "PATH": f"{Path(str(PROGRAM)).parent}{os.pathsep}{os.environ['PATH']}"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *map(str, words)],
            stdin=secondary,
            stdout=secondary,
            stderr=secondary,
            env=environment,
        )
        os.close(secondary)
        self._primary, self.raw = primary, b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # Linux says so that nobody writes any more
            while data := os.read(self._primary, 65_536):
                self.raw += data

    def press(self, keys: bytes) -> None:
        os.write(self._primary, keys)

    def ended(self) -> Ended:
        code = self._process.wait(timeout=60)
        self._reader.join(timeout=10)
        os.close(self._primary)
        return Ended(code, self.raw.decode(), seen(self.raw.decode()))


def seen(text: str) -> str:
    """What stands on the screen: lines that were erased do not."""
    lines = [""]
    for part in re.split(r"(\r\n|\r|\n|\x1b\[2K|\x1b\[\d*A|\x1b\[[0-9;?]*[A-Za-z])", text):
        if part in ("\r\n", "\n"):
            lines.append("")
        elif part == "\x1b[2K":
            lines[-1] = ""
        elif re.fullmatch(r"\x1b\[\d*A", part):
            del lines[-int(part[2:-1] or 1) :]
            lines = lines or [""]
        elif part != "\r" and not part.startswith("\x1b"):
            lines[-1] += part
    return "\n".join(lines)


def test_predictions_on_a_terminal_stand_alone(model: Model, run: Run) -> None:
    """Nothing is drawn among them."""
    words = ("predict", "new.csv", "--model", model(), "--keep", "id")
    ended = Terminal("resmem", *words).ended()
    data, _, said = ended.out.rpartition("predicted 40 rows")
    assert ended.code == 0
    assert data.replace("\r\n", "\n") == run(*words, "--quiet").out
    assert "\x1b" not in ended.out
    assert said.count("\n") == 1


def test_the_first_lines_of_a_pipe_stand_alone(model: Model) -> None:
    model()
    ended = Terminal("bash", "-c", "resmem predict new.csv --model m --keep none | head -1").ended()
    assert "prediction,prediction_base" in ended.out.split("\r\n")  # `head` may print it when all is done
    assert "\x1b" not in ended.out


def test_predictions_into_a_file_are_accompanied_by_a_bar(model: Model) -> None:
    """The rows come from a pipe that ends when the bar was seen: a screen shows only what lasts a moment."""
    model()
    os.mkfifo("slow.csv")
    terminal = Terminal("bash", "-c", "resmem predict - --model m < slow.csv > out.csv")
    with open("slow.csv", "w") as pipe:
        pipe.write(Path("new.csv").read_text())
        pipe.flush()
        wait_until(lambda: b"predicting" in terminal.raw)
    ended = terminal.ended()
    assert "predicting" in ended.out
    assert re.fullmatch(r"predicted 40 rows in [\d.]+ s \([\d,]+ rows/s\)\n", ended.err)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/tty"])
def test_a_device_that_is_the_terminal_is_known_for_one(model: Model, name: str) -> None:
    model()
    ended = Terminal("resmem", "predict", "new.csv", "--model", "m", "--keep", "none", "-o", name).ended()
    assert (ended.code, "\x1b" in ended.out) == (0, False)
    assert ended.out.startswith("prediction,prediction_base\r\n")


@pytest.mark.parametrize("form", ["parquet", "arrow"])
@pytest.mark.parametrize("where", [(), ("-o", "-"), ("-o", "/dev/stdout"), ("-o", "/dev/tty")])
@pytest.mark.parametrize("command", ["predict", "explain"])
def test_what_is_no_text_is_not_written_to_a_terminal(
    model: Model, form: str, where: tuple[str, ...], command: str
) -> None:
    model()
    ended = Terminal("resmem", command, "new.csv", "--model", "m", "--output-format", form, *where).ended()
    assert ended.out == (
        f"resmem: {form} is a binary format, which a terminal cannot show; name a file with --output, or redirect it "
        "with | or >\r\n"
    )
    assert ended.code == 2


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_what_is_no_text_is_written_to_a_pipe_from_a_terminal(model: Model, form: str) -> None:
    model()
    ended = Terminal("bash", "-c", f"resmem predict new.csv -m m --output-format {form} | wc -c").ended()
    assert ended.code == 0
    assert max(int(line) for line in ended.out.splitlines() if line.isdigit()) > 1_000


@pytest.mark.parametrize("width", [40, 80])
def test_an_evaluation_fits_the_terminal_and_shows_its_interval(model: Model, run: Run, width: int) -> None:
    model("chess")
    words = ("evaluate", "test.csv", "--model", "m")
    table = run(*words).out.partition("\n\n")[0].splitlines()[2:]
    ended = Terminal("resmem", *words, width=width).ended()
    shown = ended.err.partition("\n\n")[0]
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= width
    flat = " ".join(shown.split())
    for line in table:
        name, *_, interval = re.split(r" {2,}", line)
        assert name in flat
        assert interval.strip() in flat


@pytest.mark.parametrize("width", [40, 80, 200])
def test_what_explain_shows_fits_the_terminal(model: Model, width: int) -> None:
    model("both")
    ended = Terminal("resmem", "explain", "new.csv", "-m", "m", "--rows", "1,2", "--top", 3, width=width).ended()
    assert ended.code == 0
    tables = [line.rstrip() for line in ended.err.splitlines() if not line.startswith(("row ", "nearest"))]
    assert max(map(len, tables)) <= width
    assert "others" in ended.err


def test_ctrl_c_while_something_is_drawn_leaves_one_line(model: Model) -> None:
    model()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a runner in the background ignores it
    terminal = Terminal("resmem", "fit-residual", "train.csv", "--model", "m", "--effort", "high")
    signal.signal(signal.SIGINT, before)
    wait_until(lambda: terminal.raw.count(b"\x1b[2K") > 5)
    terminal.press(b"\x03")
    ended = terminal.ended()
    assert ended.code == 130
    assert ended.err == "resmem: interrupted\n"
    assert "\x1b[?25h" in ended.out  # the cursor is back


def test_nothing_is_drawn_by_a_quiet_command(model: Model) -> None:
    model()
    ended = Terminal("resmem", "predict", "new.csv", "--model", "m", "-o", "out.csv", "--quiet").ended()
    assert (ended.code, ended.out) == (0, "")
