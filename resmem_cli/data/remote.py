"""Objects of a store, with the names that `Path` has for the same of files."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import PurePath, PurePosixPath
from typing import Any

import pyarrow as pa

from resmem_cli.data import object_stores, store_errors, uris, versions
from resmem_cli.data.patient_file import PatientFile
from resmem_cli.data.uris import Store
from resmem_cli.errors import DataError, ResmemError

_READ_AHEAD = 8 << 20  # bytes of one request, of what is read from its beginning to its end
FILE, FOLDER = "file", "folder"


@dataclass(frozen=True)
class Remote:
    """An object, or a folder: what the names of objects have in common up to a slash.

    Attributes:
        store: where it lies.
        path: its name there.
        kind: FILE or FOLDER, if a listing has said it.
        size: of an object, likewise, in bytes.
    """

    store: Store
    path: PurePosixPath
    kind: str | None = field(default=None, compare=False)
    size: int | None = field(default=None, compare=False)

    @classmethod
    def of(cls, uri: str) -> Remote:
        """Return what a URI names; UsageError as of `uris.parse`."""
        return cls(*uris.parse(uri))

    def __str__(self) -> str:
        """Return the URI for people: without what it says of how to reach the store."""
        said = f"{self.store}/{self.path}" if self.path.parts else str(self.store)
        return said if self.store.family else uris.without_query(said)

    @property
    def uri(self) -> str:
        """The URI, which `of` takes again."""
        return f"{self.store}/{'' if not self.path.parts else self.path}{self.store.query}"

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def suffix(self) -> str:
        return self.path.suffix

    @property
    def stem(self) -> str:
        return self.path.stem

    @property
    def parts(self) -> tuple[str, ...]:
        return (str(self.store), *self.path.parts)

    @property
    def parent(self) -> Remote:
        return Remote(self.store, self.path.parent)

    def __truediv__(self, name: str | PurePath) -> Remote:
        return Remote(self.store, self.path / name)

    def is_below(self, folder: Remote) -> bool:
        """Whether it is the folder, or lies in it."""
        own = self.resolved()
        return folder.resolved() in (own, *(Remote(own.store, each) for each in own.path.parents))

    def resolved(self) -> Remote:
        """Return it by the one name that all URIs share which lead to it; to be compared, not to be read."""
        return Remote(object_stores.by_one_name(self.store), self.path)

    def is_dir(self) -> bool:
        """Whether it is a folder; DataError if the store cannot say."""
        there = self.looked_up()
        return there is not None and there.kind == FOLDER

    def is_file(self) -> bool:
        """Whether it is an object; DataError if the store cannot say."""
        there = self.looked_up()
        return there is not None and there.kind == FILE

    def looked_up(self) -> Remote | None:
        """Return this with its kind and size, None if there is neither an object nor a folder.

        Raises:
            DataError: the store cannot say.
        """
        if self.kind is not None:
            return self
        from pyarrow import fs

        with self.asking("reached"):
            system, root = object_stores.filesystem(self.store)
            found = system.get_file_info(self._within(root))
        return None if found.type == fs.FileType.NotFound else replace(self, kind=_kind(found), size=found.size)

    def listed(self, *, deep: bool = True) -> list[Remote]:
        """Return the objects and folders below a folder, sorted by their names; an empty list if there is none.

        Raises:
            DataError: the store cannot say.
        """
        from pyarrow import fs

        with self.asking("listed"):
            system, root = object_stores.filesystem(self.store)
            at = self._within(root)
            infos = system.get_file_info(fs.FileSelector(at, allow_not_found=True, recursive=deep))
        start = len(root.rstrip("/")) + 1
        found = [Remote(self.store, PurePosixPath(info.path[start:]), _kind(info), info.size) for info in infos]
        return sorted(found, key=lambda each: each.path)

    def matching(self) -> list[Remote]:
        """Return the objects and folders that a pattern of this name matches, sorted.

        `**` stands for folders of any depth, and what begins with a dot is matched only by one, as in a shell.

        Raises:
            DataError: the store cannot say.
        """
        pattern = self.path.parts
        n_plain = next(i for i, part in enumerate(pattern) if uris.GLOB_CHARACTERS & set(part))
        folder, pattern = Remote(self.store, PurePosixPath(*pattern[:n_plain])), pattern[n_plain:]
        listed = folder.listed(deep=len(pattern) > 1 or pattern[0] == "**")
        found = [each for each in listed if _matches(each.path.parts[n_plain:], pattern)]
        return sorted(found, key=lambda each: str(each.path))

    def read_bytes(self, most: int | None = None, kind: type[ResmemError] = DataError) -> bytes:
        """Return what an object holds, of which no more than `most` bytes are read.

        Raises:
            FileNotFoundError: there is none.
            ResmemError: of this `kind`: the store does not give it.
        """
        with self.asking("read", kind, missing=False), self.opened_in_order() as stream:
            return bytes(stream.read() if most is None else stream.read(most))

    def opened_in_order(self) -> Any:
        """Return an Arrow stream of an object from its beginning; the store's errors are `OSError`."""
        return pa.PythonFile(io.BufferedReader(self._opened(), _READ_AHEAD), mode="r")

    def opened_at_random(self) -> Any:
        """Return an Arrow file of an object, of which any part can be read; the store's errors are `OSError`."""
        return pa.PythonFile(self._opened(), mode="r")

    def opened_to_write(self) -> Any:
        """Return an Arrow stream that makes an object when it is closed, or deleted; `uploading` knows about that."""
        system, root = object_stores.filesystem(self.store)
        return system.open_output_stream(self._within(root), compression=None)  # else by its ending

    def version(self) -> tuple[int, int]:
        """Return the size of an object, and a number that another content has not: by its ETag, or its time.

        Raises:
            FileNotFoundError: there is none.
            versions.NoVersionError: the store gives neither.
            OSError: the store cannot say.
        """
        system, root = object_stores.filesystem(self.store)
        if self.store.family is None:
            return versions.by_fsspec(system.handler.fs, self._within(root))
        return versions.by_arrow(system, self._within(root))

    @contextmanager
    def asking(self, done: str, kind: type[ResmemError] = DataError, *, missing: bool = True) -> Iterator[None]:
        """Turn a store's errors into one that names the object, which cannot be `done`.

        Raises:
            ResmemError: of this `kind`, for every error of the store.
            FileNotFoundError: for that there is none, unless that, too, is to be a sentence.
        """
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            if isinstance(error, FileNotFoundError) and not missing:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self)) from error
            what, hint = store_errors.explained(error, self.store)
            raise kind(f"'{self}' cannot be {done} ({what})", hint) from error

    def refuse_without_bucket(self, kind: type[ResmemError] = DataError) -> None:
        """Refuse a name in a bucket that is not there, with an error of this `kind`."""
        with self.asking("reached", kind):
            is_there = object_stores.has_bucket(self.store)
        if not is_there:
            raise kind(f"there is no bucket '{self.store.bucket}' for '{self}'", store_errors.NO_BUCKET_HINT)

    def _opened(self) -> PatientFile:
        system, root = object_stores.filesystem(self.store)
        return PatientFile(system.open_input_file(self._within(root)))

    def _within(self, root: str) -> str:
        """Return its path as the file system takes it."""
        return f"{root.rstrip('/')}/{self.path}" if self.path.parts else root


def _kind(info: Any) -> str:
    return FILE if info.is_file else FOLDER


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        deeper = bool(parts) and not parts[0].startswith(".") and _matches(parts[1:], pattern)
        return deeper or _matches(parts, pattern[1:])
    return bool(parts) and _fits(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _fits(name: str, pattern: str) -> bool:
    return (name.startswith(".") <= pattern.startswith(".")) and fnmatchcase(name, pattern)
