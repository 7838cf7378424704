"""What tells one version of an object from another without reading it."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import Any

# What the file systems of fsspec call it, in lower case and without "-" and "_".
_TAGS = frozenset({"etag", "contentmd5", "md5hash", "digest", "generation", "sha", "lastmodified", "mtime", "updated"})


class NoVersionError(OSError):
    """A store says nothing by which another content would be known."""


def by_arrow(system: Any, path: str) -> tuple[int, int]:
    """Return the size of an object, and a number for its ETag, or its time if the store has none.

    Raises:
        FileNotFoundError: there is none.
        NoVersionError: the store gives neither.
        OSError: the store cannot say.
    """
    with system.open_input_file(path) as opened:
        size, said = int(opened.size()), {name.lower(): value for name, value in (opened.metadata() or {}).items()}
    tag = said.get("etag")
    if tag is not None:
        return size, _number(tag if isinstance(tag, bytes) else str(tag).encode())
    time = system.get_file_info(path).mtime_ns
    if not time:
        raise NoVersionError("the store gives neither an ETag nor a time of the object")
    return size, int(time)


def by_fsspec(system: Any, path: str) -> tuple[int, int]:
    """Return the same of an object of fsspec, whose `ukey` of an address of the web never changes.

    Raises:
        FileNotFoundError, NoVersionError, OSError: as of `by_arrow`.
    """
    system.invalidate_cache()  # else it may say what it knew when the object was found
    info = system.info(path)
    said = {name: str(value) for name, value in info.items() if _plain(name) in _TAGS and value}
    with suppress(NotImplementedError, LookupError):  # many have no times
        said["modified()"] = str(system.modified(path))
    if not said:
        raise NoVersionError("the store gives neither an ETag nor a time of the object")
    return int(info.get("size") or 0), _number(repr(sorted(said.items())).encode())


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _number(data: bytes) -> int:
    return int.from_bytes(hashlib.sha256(data).digest()[:7], "big")
