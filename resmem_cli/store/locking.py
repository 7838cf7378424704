"""One writer at a time: whoever changes a model directory holds it until the change is whole."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resmem_cli.errors import OutputError
from resmem_cli.store import manifest, ownership


@contextmanager
def alone(directory: Path, *, wait: bool, create: bool = False) -> Iterator[None]:
    """Keep other writers out of a model directory; readers are not disturbed, and a process that dies lets go.

    Args:
        directory: where there is none, nothing is kept from anybody, unless it is to be created.
        wait: until another writer is done, or refuse to.
        create: whether the directory is made; if nothing is put into it, it is removed again.

    Raises:
        OutputError: another writer is at work, or the directory cannot be made or locked.
        UsageError: a part of it is a link, and lies elsewhere; or the time of SOURCE_DATE_EPOCH cannot be written.
    """
    manifest.now()  # a time that cannot be written is told before anything is computed
    if not directory.is_dir() and not create:
        yield
        return
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    handle = _opened_and_locked(directory, wait=wait)
    try:
        ownership.refuse_links(directory)
        yield
    finally:
        for path in made:
            with suppress(OSError):  # it holds a model now
                path.rmdir()
        os.close(handle)


def _opened_and_locked(directory: Path, *, wait: bool) -> int:
    """Return a handle of the directory that stands there when the lock is had: another writer may have removed one."""
    while True:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            handle = os.open(directory, os.O_RDONLY)
        except OSError as error:
            raise OutputError(
                f"the model directory '{directory}' cannot be written ({error.strerror})",
                "free some space or check permissions",
            ) from error
        try:
            _lock(handle, directory, wait=wait)
            if os.path.samestat(os.fstat(handle), directory.stat()):
                return handle
        except FileNotFoundError:
            pass  # it is made again
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int, directory: Path, *, wait: bool) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(
            f"another resmem is writing to '{directory}'", "try again when it is done, or use --wait"
        ) from error
    except OSError as error:
        raise OutputError(
            f"the model directory '{directory}' cannot be locked ({error.strerror})", "use a file system with locks"
        ) from error
