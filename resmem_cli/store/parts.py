"""The parts of a model: files that are written once, named by content, and checked before they are read."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from resmem_cli.errors import ModelError, OutputError
from resmem_cli.store import files, ownership

FOLDER = ownership.PARTS
ARRAYS, ESTIMATOR, GRAPH, SHARD = "arrays.npz", "estimator", "graph.hnsw", "shard"
REPRESENTATION, ROWS, CALIBRATION = "representation.npz", "rows.npz", "calibration.npz"

Arrays = Mapping[str, np.ndarray[Any, Any]]


def numbered(name: str, position: int) -> str:
    """Return the name of a file that every base or memory has: the first has it plain, the others with a number."""
    stem, suffix = name.split(".")
    return f"{stem}_{position}.{suffix}" if position else name


def of_shard(position: int, i: int, n_shards: int) -> tuple[str, str]:
    """Return the names of the arrays and of the graph of one of a memory's shards; those of an only one are shorter."""
    if n_shards == 1:
        return numbered(ARRAYS, position), numbered(GRAPH, position)
    return f"{SHARD}_{position}_{i}.npz", f"{SHARD}_{position}_{i}.hnsw"


def of_memory(name: str, position: int) -> str:
    """Return the name of an array that every memory has in one file."""
    return f"{name}_{position}" if position else name


@dataclass(frozen=True)
class Part:
    """One file of a generation, as its manifest records it."""

    bytes: int
    sha256: str


@contextmanager
def writing(directory: Path) -> Iterator[Path]:
    """Make a new folder for parts; if the block fails nothing is left of it, and of no directory made for it.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
        UsageError: it would lie elsewhere, behind a link.
    """
    ownership.refuse_links(directory)
    temporary = directory / FOLDER / f".{secrets.token_hex(4)}.tmp"
    made = [path for path in (temporary.parent, *temporary.parent.parents) if not path.exists()]
    with saying_unwritable(directory):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            made = []
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            for path in made:
                with suppress(OSError):  # it holds what another process has written meanwhile
                    path.rmdir()


@contextmanager
def saying_unwritable(directory: Path) -> Iterator[None]:
    """Turn the system's errors into one that says that the model directory cannot be written.

    Raises:
        OutputError: for every error of the system.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"the model directory '{directory}' cannot be written ({error.strerror or error})",
            "free some space or check permissions",
        ) from error


def publish(temporary: Path, parts: Mapping[str, Part], salt: str) -> str:
    """Give a finished folder its name, which follows from its content and `salt`, and return the name."""
    content = salt + "".join(f"{name}:{part.sha256}" for name, part in sorted(parts.items()))
    while True:
        identity = hashlib.sha256(content.encode()).hexdigest()[:16]
        final = temporary.parent / identity
        if final.exists() and _is_whole(final) and record(final) == parts:
            return identity
        if ownership.is_ours(final):  # it was damaged since
            ownership.remove(final)
        if not final.exists():
            temporary.rename(final)
            return identity
        content += "+"  # what lies there is not ours, and stays


def _is_whole(folder: Path) -> bool:
    """Whether it is a folder of regular files alone."""
    return folder.is_dir() and all(path.is_file() and not path.is_symlink() for path in folder.iterdir())


def record(folder: Path) -> dict[str, Part]:
    """Sync every file of a folder to disk and return its size and hash."""
    parts = {}
    for path in sorted(folder.iterdir()):
        with open(path, "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            os.fsync(stream.fileno())
        parts[path.name] = Part(path.stat().st_size, digest)
    return parts


def is_same(path: Path, part: Part) -> bool:
    """Whether a file that can be read has a size and hash; no pipe or device is waited for."""
    try:
        with files.opened(path) as stream:
            is_long = os.fstat(stream.fileno()).st_size == part.bytes
            return is_long and hashlib.file_digest(stream, "sha256").hexdigest() == part.sha256
    except (OSError, ModelError):
        return False


def link(path: Path, target: Path) -> None:
    """Give a file, which is never written to again, a second name; or a copy: of a link, or without links."""
    try:
        if path.is_symlink():
            raise OSError
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)


def checked(directory: Path, identity: str, parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Path]:
    """Return the paths of a generation's files, their names, sizes and hashes checked.

    Raises:
        ModelError: a file is missing, has another size or hash, or a name that leads elsewhere.
    """
    if not ownership.GENERATION.fullmatch(identity):
        raise ModelError(f"'{identity}' is not a name of parts", "fit the model again")
    paths = {}
    for name, expected in parts.items():
        if not ownership.FILE_NAME.fullmatch(name):
            raise ModelError(f"'{name}' is not a name of a part", "fit the model again")
        path = directory / FOLDER / identity / name
        with files.opened(path) as stream:  # a missing file is the caller's: it may be a newer generation's doing
            if os.fstat(stream.fileno()).st_size != expected["bytes"]:
                raise ModelError(f"{path} has another size than its manifest says", "fit the model again")
            if hashlib.file_digest(stream, "sha256").hexdigest() != expected["sha256"]:
                raise ModelError(f"{path} has another SHA-256 than its manifest says", "fit the model again")
        paths[name] = path
    return paths


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays as an uncompressed .npz file."""
    np.savez(path, allow_pickle=False, **cast(dict[str, Any], dict(arrays)))


def load_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Read arrays that `save_arrays` wrote.

    Raises:
        ModelError: the file is damaged, compressed, or asks for pickled objects.
    """
    data = files.read(path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("it is compressed, which ours are not")
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            return dict(stored)
    except Exception as error:  # damaged bytes end in whatever NumPy and zipfile stumble over
        raise ModelError(f"{path} cannot be read ({error})", "fit the model again") from error


def to_json(parts: Mapping[str, Part]) -> dict[str, dict[str, Any]]:
    return {name: {"bytes": part.bytes, "sha256": part.sha256} for name, part in parts.items()}
