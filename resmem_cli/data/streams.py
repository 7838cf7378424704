"""Inputs as bytes. Standard input and pipes can be opened only once: they are looked into, and given back whole."""

from __future__ import annotations

import io
import queue
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

import pyarrow as pa

from resmem_cli.data.sources import Format, Source
from resmem_cli.data.versions import NoVersionError
from resmem_cli.errors import DataError

if TYPE_CHECKING:
    from resmem_cli.data.remote import Remote

Item = TypeVar("Item")

MAX_ROW_BYTES = 64 << 20  # of a text table or of JSON lines: reading a longer one would take ever more memory

_MAGIC = {
    b"PAR1": (Format.PARQUET, None),
    b"ARRO": (Format.ARROW, None),
    b"\xff\xff\xff\xff": (Format.ARROW, None),
    b"\x1f\x8b": (Format.CSV, "gzip"),
    b"\x28\xb5\x2f\xfd": (Format.CSV, "zstd"),
}
_HEAD_BYTES = 4
# An object, or a list of objects, which is refused as what it is; the head may end after any part of it.
_JSON = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\{\s*(?:["}]|\Z)|\[\s*(?:\{|\Z))')
_GIVE_ENDING = "give its name the ending {}, or decompress it"
_NAME_FORMAT = "name the format with --input-format {}"
# How files begin that are no text, though their names say so; where that may be text too, it is none with a NUL.
_NO_TEXT = (
    (rb"\x1f\x8b", "compressed by gzip", _GIVE_ENDING.format(".gz")),
    (rb"\x28\xb5\x2f\xfd", "compressed by zstd", _GIVE_ENDING.format(".zst")),
    (rb"BZh[1-9]1AY&SY", "compressed by bzip2", "decompress it"),
    (rb"\xfd7zXZ\0", "compressed by xz", "decompress it"),
    (rb"PK\x03\x04", "a ZIP archive or a workbook", "take the table out of it, or save it as CSV"),
    (rb"(?s)PAR1.*\0", "a Parquet file", _NAME_FORMAT.format("parquet")),
    (rb"(?s)ARROW1.*\0", "an Arrow file", _NAME_FORMAT.format("arrow")),
)


@contextmanager
def opened(source: Source) -> Iterator[tuple[Source, BinaryIO | None]]:
    """Give the source with its format known and, if it cannot be opened again (a pipe), its stream.

    Raises:
        DataError: it is an object of a store, and another one at the end: what was read may be of both.
    """
    if source.path is None:
        yield _sniffed(source, sys.stdin.buffer)
    elif not isinstance(source.path, Path):
        before = _version(source.path)
        yield source, None
        if _version(source.path) != before:
            raise DataError(f"{source.name} was replaced while it was read", "run the command again")
    elif not source.is_stream:
        yield source, None
    else:
        with open(source.path, "rb", buffering=0) as pipe:  # a buffer that `aside` waits for could not be closed
            yield _sniffed(source, pipe)


def _version(path: Remote) -> tuple[int, int] | None:
    try:
        return path.version()
    except NoVersionError:  # it can be read nevertheless
        return None


@contextmanager
def aside(items: Iterable[Item]) -> Iterator[Iterator[Item]]:
    """Take items in a thread of its own: a main thread that waits for a slow pipe inside Arrow hears no signal."""
    taken: queue.Queue[tuple[Item] | BaseException | None] = queue.Queue(1)
    is_left = threading.Event()

    def take() -> None:
        try:
            for item in items:
                taken.put((item,))
                if is_left.is_set():
                    return
            taken.put(None)
        except BaseException as error:  # noqa: BLE001 - it is raised where the items are wanted
            taken.put(error)

    def give() -> Iterator[Item]:
        while (item := taken.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item[0]

    threading.Thread(target=take, daemon=True).start()
    try:
        yield give()
    finally:
        is_left.set()
        with suppress(queue.Empty):
            taken.get_nowait()  # so that the thread does not wait for room


def decompressed(source: Source, stream: BinaryIO | None) -> Any:
    """Return an Arrow stream of what a text source holds."""
    raw = pa.PythonFile(stream, mode="r") if stream is not None else _from_beginning(source)
    return raw if source.compression is None else pa.CompressedInputStream(raw, source.compression)


def refuse_no_text(source: Source, head: bytes) -> None:
    """Refuse what is to be text, and begins as files of other kinds do.

    Raises:
        DataError: it does.
    """
    for pattern, what, hint in _NO_TEXT:
        if re.match(pattern, head):
            raise DataError(f"{source.name} is {what}, and no text", hint)


def _from_beginning(source: Source) -> Any:
    if source.path is None or isinstance(source.path, Path):
        return pa.OSFile(str(source.path))
    return source.path.opened_in_order()


def at_random(source: Source) -> Any:
    """Return an Arrow file of a source that is no stream, of which any part can be read."""
    if source.path is None or isinstance(source.path, Path):
        return pa.memory_map(str(source.path))
    return source.path.opened_at_random()


def whole_lines(
    raw: Any, block_bytes: int, first: bytes = b"", *, ends: Sequence[bytes] = (b"\n", b"\r")
) -> Iterator[tuple[bytes, bool]]:
    """Yield whole lines together, and whether they are the last; of a line beyond `MAX_ROW_BYTES` only a part.

    Before all that is read comes `first`. Of the `ends` of lines the first counts that there is.
    """
    held: list[bytes | memoryview] = [first]
    n_held = len(first)
    while chunk := raw.read(block_bytes):
        end = next((chunk.rfind(each) for each in ends if each in chunk), -1) + 1
        if end or n_held > MAX_ROW_BYTES:
            end = end or len(chunk)
            yield b"".join([*held, memoryview(chunk)[:end]]), False
            held, n_held = [], 0
        held.append(memoryview(chunk)[end:])
        n_held += len(chunk) - end
    yield b"".join(held), True


def _sniffed(source: Source, stream: BinaryIO) -> tuple[Source, BinaryIO]:
    head = b""
    while len(head) < _HEAD_BYTES and (chunk := stream.read(_HEAD_BYTES - len(head))):
        head += chunk
    text = Format.JSONL if _JSON.match(head) else Format.CSV
    form, compression = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), (text, None))
    joined = cast(BinaryIO, io.BufferedReader(Prefixed(head, stream), 1 << 20))
    return replace(source, format=source.format or form, compression=compression), joined


class Prefixed(io.RawIOBase):
    """A stream that gives back bytes already read from it, then the rest of it."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head = memoryview(head)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head[: len(buffer)] if len(self._head) else self._rest.read(len(buffer))
        self._head = self._head[len(data) :]
        buffer[: len(data)] = data
        return len(data)
