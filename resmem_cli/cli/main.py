"""The entry of the command line, and the one place where errors end."""

from __future__ import annotations

import atexit
import contextlib
import enum
import errno
import io
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType

import typer

from resmem_cli.cli.sentences import printable, sentence
from resmem_cli.errors import (
    DataError,
    EngineError,
    ModelError,
    OutputError,
    PartialError,
    ResmemError,
    ThresholdError,
    UsageError,
)


class ExitCode(enum.IntEnum):
    """How a command ended; listed in the README."""

    GOOD = 0
    UNEXPECTED = 1  # a full disk, no scheduler, a missing permission, no memory left, or a mistake of ours
    USAGE = 2
    DATA = 3
    MODEL = 4
    MISSED = 5  # a threshold that `evaluate` was given
    PARTIAL = 6  # files that `predict --keep-going` left out
    INTERRUPTED = 130
    TERMINATED = 143


_CODES: dict[type[ResmemError], ExitCode] = {
    UsageError: ExitCode.USAGE,
    DataError: ExitCode.DATA,
    ModelError: ExitCode.MODEL,
    OutputError: ExitCode.UNEXPECTED,
    EngineError: ExitCode.UNEXPECTED,
    ThresholdError: ExitCode.MISSED,
    PartialError: ExitCode.PARTIAL,
}


# What the system says when it is not our mistake.
_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG)


class _Terminated(BaseException):
    """SIGTERM, as an exception, so that temporary files are removed on the way out."""


@dataclass
class _Leaving:
    """The end of the process, after all that others want done at its exit.

    Python's own end aborts the process ("terminate called without an active exception") if a thread of Arrow's
    lets go of one of our streams at that moment.
    """

    code: int = ExitCode.UNEXPECTED

    def leave(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # full, or closed
                stream.flush()
        os._exit(self.code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; without `arguments`, those of the process, which then ends with it."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    leaving = _Leaving()
    if arguments is None:
        atexit.register(leaving.leave)  # first in, last out
        _open_what_is_closed()
        _keep_libraries_quiet(words)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        leaving.code = _run(words)
    except BrokenPipeError:
        # Who reads our output has seen enough. Python would complain once more when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        leaving.code = ExitCode.GOOD
    except SystemExit as error:  # shell completion
        leaving.code = error.code if isinstance(error.code, int) else ExitCode.GOOD
    return leaving.code


def _open_what_is_closed() -> None:
    """Put nothing in the place of standard streams that the caller has closed, as `2>&-` does.

    What the locale's encoding lacks is shown as an escape, and is no error.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - it stays open
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _keep_libraries_quiet(words: Sequence[str]) -> None:
    """Show no warning of a library's, here or in a worker process, unless the user asks for it or for tracebacks.

    What matters of them to whoever runs a command, the command says itself.
    """
    if not sys.warnoptions and "--traceback" not in words:
        warnings.simplefilter("ignore")
        os.environ["PYTHONWARNINGS"] = "ignore"


def _run(words: list[str]) -> int:
    try:
        from resmem_cli.cli.app import app

        code = _invoke(app, words)
        print(end="", flush=True)
    except (BrokenPipeError, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - the boundary: nothing passes it but as a sentence and a code
        message, code = _explained(error)
        with contextlib.suppress(BrokenPipeError):  # who does not read the sentence may still read the code
            if "--traceback" in words:
                print(*map(printable, traceback.format_exc().rstrip("\n").split("\n")), sep="\n", file=sys.stderr)
            print(f"resmem: {sentence(message)}", file=sys.stderr)
    return code


def _invoke(app: typer.Typer, words: list[str]) -> int:
    """Run Typer's application, and undo what it makes of Ctrl-C (a code) and of a broken pipe (another)."""
    try:
        code = app(words, prog_name="resmem", standalone_mode=False) or ExitCode.GOOD
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):
            raise error.__context__ from None
        raise
    if code == ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    return int(code)


def _explained(error: BaseException) -> tuple[str, ExitCode]:
    """Return the sentence and the code that an error ends in."""
    if isinstance(error, ResmemError):
        return str(error), _CODES[type(error)]
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return "interrupted", ExitCode.INTERRUPTED
    if isinstance(error, typer.TyperException):
        command = getattr(getattr(error, "ctx", None), "command_path", "resmem")
        message = " ".join(error.format_message().split("\n")).rstrip(".").replace("Value error, ", "")
        return f"{message}; see {command} --help", ExitCode.USAGE
    if isinstance(error, _Terminated):
        return "terminated", ExitCode.TERMINATED
    return _unforeseen(error), ExitCode.UNEXPECTED


def _unforeseen(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno in _REFUSALS:
        where = f"'{error.filename}'" if error.filename else "standard output"
        return f"{where} cannot be used ({error.strerror}); check its permissions and the space left"
    if isinstance(error, MemoryError):
        return "there is not enough RAM; give fewer rows or columns"
    text = " ".join(str(error).split())
    return f"unexpected {type(error).__name__}: {text}; please report it, with --traceback"


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _Terminated


if __name__ == "__main__":
    sys.exit(main())
