"""Which outputs of earlier runs can stay: what each was made of is in a marker beside the outputs.

A marker is written after its output, in the folder .resmem of the directory of outputs, one for each, so that several
processes may write to one directory. A run that was killed between the two makes that output again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any

from resmem_cli.data.output import made_whole
from resmem_cli.data.places import Place
from resmem_cli.data.replacement import naming

FOLDER = ".resmem"
_FORMAT = 1
# Why an output is made again, in words that follow "made again: 3 of".
NEW, INPUT, OUTPUT, MODEL, OPTIONS = "new", "another input", "a changed output", "another model", "other options"


@dataclass(frozen=True)
class Version:
    """A version of a file by what the system says of it, which changes with whatever is done to it.

    The time of the last change cannot be set, as that of the last modification can: a file that is replaced by an
    older one has another. A store says the size of an object and, for `modified`, what another content has not.
    """

    size: int
    modified: int
    changed: int
    inode: int

    @classmethod
    def of(cls, path: Place) -> Version:
        """Return the version that is there now."""
        if not isinstance(path, Path):
            return cls(*path.version(), changed=0, inode=0)
        found = path.stat()
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)

    def looks_like(self, other: Version) -> bool:
        """Whether the other was not written to since, though it may be a copy, or have got other permissions."""
        return (self.size, self.modified) == (other.size, other.modified)


@dataclass(frozen=True)
class Content:
    """What is in a file, and the version that had it: by its hash, if that was taken, for which no object is read."""

    version: Version
    sha256: str | None

    @classmethod
    def of(cls, path: Place) -> Content:
        """Read a file; one that changes meanwhile is seen to have changed by the next run.

        Raises:
            OSError: it cannot be read.
        """
        version = Version.of(path)
        if not isinstance(path, Path):
            return cls(version, None)
        with open(path, "rb") as stream:
            return cls(version, hashlib.file_digest(stream, "sha256").hexdigest())

    @classmethod
    def if_readable(cls, path: Place) -> Content | None:
        """Read a file; None if that cannot be done, or only once, as of a pipe."""
        try:
            return cls.of(path) if not isinstance(path, Path) or path.is_file() else None
        except OSError:  # whoever reads its rows says what is wrong
            return None

    def is_in(self, path: Place) -> bool:
        """Whether a file still holds it: in the same version, or else by its hash."""
        try:
            now = Version.of(path)
            if now == self.version:
                return True
            if self.sha256 is None:
                return now.looks_like(self.version)
            return now.size == self.version.size and Content.of(path).sha256 == self.sha256
        except OSError:  # whoever reads it says what is wrong
            return False


def make_folder(path: Place) -> None:
    """Make a folder for outputs, and those that it lies in; a store has none to make.

    Raises:
        OutputError: that cannot be.
    """
    if not isinstance(path, Path):
        return
    with naming(f"'{path}'", option="--output-dir"):
        path.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True)
class Finished:
    """The outputs of a directory that were finished.

    Attributes:
        directory: of the outputs.
        model: by what the model is known.
        options: all that an output depends on besides its input and the model, as JSON gives it back.
    """

    directory: Place
    model: str
    options: Mapping[str, Any]

    def why_again(self, source: Place, output: Place) -> str | None:
        """Return why an output is to be made of its input, or None if it is there and was made of the same."""
        try:
            now = Version.of(output)
        except OSError:
            return NEW
        marker = self._read(output)
        try:
            if marker["format"] != _FORMAT or not Version(**marker["output"]).looks_like(now):
                return OUTPUT
            if marker["model"] != self.model:
                return MODEL
            if marker["options"] != self.options:
                return OPTIONS
            made_of = Content(Version(**marker["input"]["version"]), marker["input"]["sha256"])
        except (KeyError, TypeError):
            return OUTPUT
        return None if made_of.is_in(source) else INPUT

    def add(self, made_of: Content, output: Place) -> None:
        """Note what an output that is complete now was made of.

        Raises:
            OutputError: that cannot be written.
        """
        marker = {
            "format": _FORMAT,
            "input": asdict(made_of),
            "output": asdict(Version.of(output)),
            "model": self.model,
            "options": self.options,
        }
        place = self._marker(output)
        make_folder(place.parent)
        with made_whole(place, option="--output-dir", synced=False) as stream:  # lost, the output is made again
            stream.write(json.dumps(marker).encode())

    def _marker(self, output: Place) -> Place:
        within = PurePath(*output.parts[len(self.directory.parts) :])
        return self.directory / FOLDER / within.with_name(f"{within.name}.json")

    def _read(self, output: Place) -> dict[str, Any]:
        """Return the marker of an output; an empty one if there is none, or it is damaged."""
        try:
            marker = json.loads(self._marker(output).read_bytes())
        except (OSError, ValueError):
            return {}
        return marker if isinstance(marker, dict) else {}
