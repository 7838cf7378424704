"""Objects that appear whole or not at all, whatever happens meanwhile.

Arrow's streams of stores make an object of what they were given when they are closed, and also when they are merely
deleted: after an error, or a signal, half of an object would look like one. So a file is completed on this machine
first; a thread that no signal reaches sends it; and a stream that has failed is never deleted.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from resmem_cli.data import uris
from resmem_cli.data.remote import Remote
from resmem_cli.data.replacement import naming
from resmem_cli.errors import OutputError, UsageError

_BLOCK = 8 << 20
# At the end of the process, S3 is closed before they are: then they can make no object any more.
_FAILED: list[Any] = []


@contextmanager
def uploading(target: Remote, *, option: str = "") -> Iterator[BinaryIO]:
    """Open a file on this machine that becomes an object when the block ends without an error.

    Raises:
        OutputError: the store does not take it, or the disk of this machine is full.
        UsageError: it is no place for an object, or lies in a store where none appears whole.
    """
    if not target.store.family:
        known = ", ".join(f"{scheme}://" for scheme in (uris.S3, uris.GCS, uris.AZURE))
        raise UsageError(
            f"'{target}' cannot be written: only in {known} a file appears whole or not at all",
            "write it to this machine, then copy it",
        )
    if not target.path.parts:
        raise UsageError(f"'{target}' names a bucket and no object in it", "add a slash and a name")
    target.refuse_without_bucket(OutputError)
    with naming("the folder of temporary files"), tempfile.TemporaryDirectory(prefix="resmem-") as folder:
        local = Path(folder) / "upload"
        with open(local, "wb") as stream:
            yield stream
        _upload(local, target)


def _upload(local: Path, target: Remote) -> None:
    """Make an object of a complete file; whoever is interrupted meanwhile leaves it to the thread, or to nobody."""
    failed: list[BaseException] = []
    thread = threading.Thread(target=_send, args=(local, target, failed), daemon=True)
    thread.start()
    thread.join()
    if failed:
        with target.asking("written", OutputError):
            raise failed[0]


def _send(local: Path, target: Remote, failed: list[BaseException]) -> None:
    stream = None
    try:
        with open(local, "rb") as file:
            stream = target.opened_to_write()
            while block := file.read(_BLOCK):
                stream.write(block)
            stream.close()
    except BaseException as error:  # noqa: BLE001 - it is raised where the upload is waited for
        _FAILED.append(stream)
        failed.append(error)
