"""The entry of the command line, and the one place where errors end."""

from __future__ import annotations

import enum
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType

import typer

from resmem_cli.errors import DataError, ModelError, OutputError, ResmemError, UsageError


class ExitCode(enum.IntEnum):
    """How a command ended; listed in the README."""

    GOOD = 0
    UNEXPECTED = 1  # a full disk, a missing permission, no memory left, or a mistake of ours
    USAGE = 2
    DATA = 3
    MODEL = 4
    INTERRUPTED = 130
    TERMINATED = 143


_CODES: dict[type[ResmemError], ExitCode] = {
    UsageError: ExitCode.USAGE,
    DataError: ExitCode.DATA,
    ModelError: ExitCode.MODEL,
    OutputError: ExitCode.UNEXPECTED,
}


class _Terminated(BaseException):
    """SIGTERM, as an exception, so that temporary files are removed on the way out."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads our output has seen enough. Python would complain once more when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.GOOD
    return code


def _run(words: list[str]) -> int:
    try:
        from resmem_cli.cli.app import app

        return app(words, prog_name="resmem", standalone_mode=False) or ExitCode.GOOD
    except (BrokenPipeError, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - the boundary: nothing passes it but as a sentence and a code
        message, code = _explained(error)
        if "--traceback" in words:
            traceback.print_exc()
        print("resmem: " + " ".join(message.split("\n")), file=sys.stderr)
        return code


def _explained(error: BaseException) -> tuple[str, ExitCode]:
    """Return the sentence and the code that an error ends in."""
    if isinstance(error, ResmemError):
        return str(error), _CODES[type(error)]
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return "interrupted", ExitCode.INTERRUPTED
    if isinstance(error, typer.TyperException):
        command = getattr(getattr(error, "ctx", None), "command_path", "resmem")
        return f"{error.format_message().rstrip('.')}; see {command} --help", ExitCode.USAGE
    if isinstance(error, _Terminated):
        return "terminated", ExitCode.TERMINATED
    if isinstance(error, MemoryError):
        return "there is not enough memory; give fewer rows or columns", ExitCode.UNEXPECTED
    return f"unexpected {type(error).__name__}: {error}; please report it, with --traceback", ExitCode.UNEXPECTED


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _Terminated


if __name__ == "__main__":
    sys.exit(main())
