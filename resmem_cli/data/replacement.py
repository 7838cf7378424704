"""A file that appears whole or not at all, in the place of the one before it."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from resmem_cli.data.places import Place
from resmem_cli.errors import OutputError

# What others write to as well, and is not replaced even where the shell has sent it to a file.
_STREAMS = {Path("/dev/stdout"): 1, Path("/dev/stderr"): 2}
_HINTS = {errno.ENOSPC: "free some space", errno.ENOENT: "create the directory first"}


@contextmanager
def replacing(path: Path, *, option: str = "", synced: bool = True) -> Iterator[BinaryIO]:
    """Open a file beside `path` that takes its place, `synced` to disk, when the block ends without an error.

    A link stays and its target is replaced; a replaced file keeps its mode. A device or a pipe cannot be replaced
    and is written to as it is. `option` is the one that names the path, for the hint of an error.

    Raises:
        OutputError: the folder is missing or not writable, or the disk is full.
    """
    with naming(f"'{path}'", option=option):
        if is_special(path):
            with os.fdopen(os.dup(_STREAMS[path]), "wb") if path in _STREAMS else open(path, "wb") as stream:
                yield stream
            return
        final = Path(os.path.realpath(path))
        if final.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        temporary = final.with_name(f".{final.name}.{secrets.token_hex(4)}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                if final.exists():
                    os.fchmod(descriptor, stat.S_IMODE(final.stat().st_mode))
                yield stream
                stream.flush()
                if synced:
                    os.fsync(stream.fileno())
            os.replace(temporary, final)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def naming(output: str, *, option: str = "") -> Iterator[None]:
    """Turn the system's errors about an output into one that names it (with quotes, if it is a path).

    Raises:
        OutputError: for every error of the system but one.
        BrokenPipeError: the reader has seen enough.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "check the path") + (f", or choose another with {option}" if option else "")
        raise OutputError(f"{output} cannot be written ({error.strerror or error})", hint) from error


def is_special(path: Place) -> bool:
    """Whether this is a device or a pipe, which is written to as it is."""
    if not isinstance(path, Path):
        return False
    return path in _STREAMS or (path.exists() and not stat.S_ISREG(path.stat().st_mode) and not path.is_dir())
