"""A model in an object store, read through a cache on this machine: every file comes once, named by its hash.

    files/<SHA-256>         a part, of whichever model
    models/<hash>/          a model directory, named by its manifests; its parts are links to the files

Files are written under another name and renamed, so that several processes may fetch at once. What nobody has read for
a month is removed when something else is fetched.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from resmem_cli.data.remote import Remote
from resmem_cli.data.replacement import replacing
from resmem_cli.errors import ModelError, OutputError
from resmem_cli.store import description, generations, manifest, parts

# How much of a model is needed: what its manifests say, the bases, the memories too, or also those kept for undo.
MANIFESTS, BASES, PRESENT, EVERYTHING = range(4)

_KEPT_SECONDS = 30 * 24 * 3600
_UNFINISHED_SECONDS = 24 * 3600
_BLOCK = 8 << 20
_ORDER = "parts/ first, base.json next and memory.json last"
_COPY_AGAIN = f"copy the model there again: {_ORDER}"


@contextmanager
def fetched(model: Remote, needed: int) -> Iterator[Path]:
    """Give the directory in the cache that holds as much of a model as is `needed`; errors about it name the model.

    Raises:
        FileNotFoundError: a part is gone: the model was replaced meanwhile, or is not whole.
        ModelError: there is no model, or it is damaged.
        OutputError: the cache cannot be written.
    """
    base, memory = _manifest(model, manifest.BASE), _manifest(model, manifest.MEMORY)
    if base is None:
        model.refuse_without_bucket(ModelError)
        raise ModelError(f"there is no model '{model}'", f"copy a model directory there: {_ORDER}")
    directory = cache() / "models" / hashlib.sha256(b"\n".join([base, memory or b""])).hexdigest()[:32]
    with _naming(directory, model):
        _place_manifests(directory, base, memory)
        named = _named(directory, needed)
        is_stale = needed > BASES and memory is not None and len(named) == 1
        if is_stale and _manifest(model, manifest.BASE) != base:  # a writer came between the two manifests
            raise FileNotFoundError(errno.ENOENT, "the bases", str(directory / manifest.BASE))
        for identity, of_one in named.items():
            for name, part in of_one.items():
                _place(model, directory, identity, name, part)
        yield directory


def cache() -> Path:
    """Return the folder of the cache: $RESMEM_CACHE, or resmem in that of the user's caches.

    Raises:
        OutputError: neither is set, and the user has no home directory.
    """
    said = os.environ.get("RESMEM_CACHE")
    if said:
        return Path(said)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "resmem"
    except RuntimeError as error:
        raise OutputError(
            "there is no home directory for the cache of models",
            "name a folder with the environment variable RESMEM_CACHE",
        ) from error


def _manifest(model: Remote, name: str) -> bytes | None:
    try:
        data = (model / name).read_bytes(manifest.MOST_BYTES + 1, ModelError)
    except FileNotFoundError:
        return None
    if len(data) > manifest.MOST_BYTES:
        raise ModelError(f"'{model / name}' is larger than {manifest.MOST_BYTES >> 20} MiB", _COPY_AGAIN)
    return data


@contextmanager
def _naming(directory: Path, model: Remote) -> Iterator[None]:
    """Name the model in errors about its directory in the cache; a file there that was damaged is dropped."""
    try:
        yield
    except FileNotFoundError as error:
        name = str(error.filename).replace(str(directory), str(model))
        raise FileNotFoundError(error.errno, error.strerror, name) from error
    except ModelError as error:
        if _drop_damaged(directory):
            raise FileNotFoundError(errno.ENOENT, "a damaged file of the cache", str(directory)) from error
        hint = error.hint
        if str(directory) in hint:
            hint = (
                hint.replace(str(directory), "DIR") + f", where DIR is a copy of it on this machine; then {_COPY_AGAIN}"
            )
        raise ModelError(error.message.replace(str(directory), str(model)), hint) from error


@contextmanager
def _saying_unwritable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"the cache of models '{cache()}' cannot be written ({error.strerror or error})",
            "free some space, or name another folder with the environment variable RESMEM_CACHE",
        ) from error


def _place_manifests(directory: Path, base: bytes, memory: bytes | None) -> None:
    with _saying_unwritable():
        if not (directory / manifest.BASE).exists():
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            if memory is not None:
                _write(directory / manifest.MEMORY, memory)
            _write(directory / manifest.BASE, base)  # last: it says that both are there
        os.utime(directory)


def _write(path: Path, data: bytes) -> None:
    with replacing(path, synced=False) as stream:
        stream.write(data)


def _named(directory: Path, needed: int) -> dict[str, Mapping[str, Any]]:
    """Return the parts of every generation that is needed; their names have been checked then."""
    if needed == MANIFESTS:
        return {}
    base = manifest.read(directory / manifest.BASE)
    description.check_base(base)
    states: list[Mapping[str, Any]] = [base]
    if needed > BASES and (directory / manifest.MEMORY).exists():
        memory = manifest.read(directory / manifest.MEMORY)
        description.check_memory(memory)
        states += [memory] if generations.belongs(base, memory) else []
        states += generations.kept(base, memory) if needed == EVERYTHING else []
    return {state["id"]: state["parts"] for state in states}


def _place(model: Remote, directory: Path, identity: str, name: str, part: Mapping[str, Any]) -> None:
    """Fetch a part, if it is not there yet."""
    sha256 = part["sha256"]
    final = directory / parts.FOLDER / identity / name
    if final.exists():
        return
    file = cache() / "files" / sha256
    with _saying_unwritable():
        final.parent.mkdir(parents=True, exist_ok=True)
        file.parent.mkdir(exist_ok=True, mode=0o700)
    if not file.exists():
        _drop_old()
        _fetch(model / parts.FOLDER / identity / name, file, parts.Part(part["bytes"], sha256))
    temporary = final.with_name(f".{secrets.token_hex(4)}.tmp")
    with _saying_unwritable():
        try:
            parts.link(file, temporary)
            temporary.replace(final)
        finally:
            temporary.unlink(missing_ok=True)  # it stays if another process was faster: both are the same file


def _fetch(source: Remote, file: Path, part: parts.Part) -> None:
    """Fetch a file whole, and check it, before it gets its name."""
    temporary = file.with_name(f".{secrets.token_hex(8)}.tmp")
    digest, n_bytes = hashlib.sha256(), 0
    try:
        with _saying_unwritable():
            target = open(temporary, "wb")  # noqa: SIM115 - it is closed below
        with target:
            for block in _blocks(source):
                digest.update(block)
                n_bytes += len(block)
                with _saying_unwritable():
                    target.write(block)
        if (n_bytes, digest.hexdigest()) != (part.bytes, part.sha256):
            raise ModelError(f"'{source}' has another size or SHA-256 than its manifest says", _COPY_AGAIN)
        with _saying_unwritable():
            temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _blocks(source: Remote) -> Iterator[bytes]:
    with source.asking("read", ModelError, missing=False), source.opened_in_order() as stream:
        while block := stream.read(_BLOCK):
            yield block


def _drop_damaged(directory: Path) -> bool:
    """Remove the parts of a model in the cache that are damaged, and return whether there were some."""
    damaged = False
    try:
        generations_of_it = _named(directory, EVERYTHING)
    except (ModelError, LookupError, TypeError, ValueError):  # of damaged manifests nothing can be said
        return False
    for identity, named in generations_of_it.items():
        for name, said in named.items():
            path, part = directory / parts.FOLDER / identity / name, parts.Part(said["bytes"], said["sha256"])
            if path.exists() and not parts.is_same(path, part):
                damaged = True
                path.unlink()
                (cache() / "files" / part.sha256).unlink(missing_ok=True)
    return damaged


def _drop_old() -> None:
    """Remove models that nobody has read for long, files that no model has, and what killed processes have left."""
    now = time.time()
    for directory in (cache() / "models").glob("*"):
        with suppress(OSError):  # another process has removed it
            if now - directory.stat().st_mtime > _KEPT_SECONDS:
                shutil.rmtree(directory, ignore_errors=True)
    for path in (cache() / "files").iterdir():
        with suppress(OSError):  # or given it its name
            found = path.stat()
            is_unused = found.st_nlink == 1 and now - found.st_mtime > _KEPT_SECONDS
            if is_unused or (path.name.startswith(".") and now - found.st_mtime > _UNFINISHED_SECONDS):
                path.unlink()
