"""Opening the files of a model directory: a pipe or a device in the place of one would wait, or be read, for ever."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from resmem_cli.errors import ModelError

_AGAIN = "fit the model again"


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file to read.

    Raises:
        FileNotFoundError: there is none.
        ModelError: it is a pipe, a device, a folder or a socket.
    """
    # Before it is opened, which alone does something to some devices; and after it, because it may be another by then.
    _refuse_special(path, path.stat().st_mode)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:
        _refuse_special(path, os.fstat(descriptor).st_mode)
        yield stream


def read(path: Path, most: int | None = None) -> bytes:
    """Return the content of a regular file, which may have `most` bytes.

    Raises:
        FileNotFoundError: there is none.
        ModelError: it is no regular file, or larger.
    """
    with opened(path) as stream:
        data = stream.read() if most is None else stream.read(most + 1)
    if most is not None and len(data) > most:
        raise ModelError(f"{path} is larger than {most >> 20} MiB", _AGAIN)
    return data


def _refuse_special(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise ModelError(f"{path} is not a regular file", _AGAIN)
