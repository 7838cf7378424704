"""What in a directory is ours, and may be removed: nothing else of the user's is ever touched.

A directory is a model's if a manifest says so. Without one it may be empty, or hold what a first fit-base that was
killed has left: a folder of parts in which our own names account for everything.

    parts/<16 hexadecimal digits>/      a generation: files of our names; others that lie there stay
    parts/.<8 hexadecimal digits>.tmp/  one that is being written
    .base.json.<8 digits>.tmp           a manifest that is being written

A link is never followed to write or to remove.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from resmem_cli.errors import ModelError, UsageError
from resmem_cli.store import manifest

PARTS = "parts"
# A generation of bases is ROWS and, of each base, ARRAYS and, if arrays do not suffice, ESTIMATOR with the suffix of
# its format; one of memories is ROWS, CALIBRATION and, of each memory, ARRAYS, REPRESENTATION and, if search is not
# exact, GRAPH. Of several the first has the plain name, the others a number. A memory in shards has, instead of ARRAYS
# and GRAPH, those of each: the numbers of the memory and of the shard.
FILE_NAME = re.compile(
    r"(arrays|representation|rows|calibration)(_[0-9]+)?\.npz|graph(_[0-9]+)?\.hnsw"
    r"|shard_[0-9]+_[0-9]+\.(npz|hnsw)"
    r"|estimator(_[0-9]+)?\.(skops|txt|ubj|cbm|onnx)"
)
GENERATION = re.compile(r"[0-9a-f]{16}")
_UNFINISHED = re.compile(r"\.[0-9a-f]{8}\.tmp")
_UNFINISHED_MANIFEST = re.compile(r"\.(base|memory)\.json\.[0-9a-f]{8}\.tmp")
_ANOTHER = "name an empty or new directory with {}"


def refuse_foreign(directory: Path, option: str = "--model") -> None:
    """Refuse a place that is no directory, or a directory that holds other things than a model; `option` names it.

    Raises:
        UsageError: so that nothing of the user's is ever written over or removed.
    """
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"'{directory}' is a file", f"name a directory with {option}")
    if not directory.exists():
        return
    refuse_links(directory, option)
    foreign = next(iter(_foreign(directory)), None)
    if foreign is not None:
        raise UsageError(
            f"the directory '{directory}' contains files that do not belong to a model ('{foreign}')",
            _ANOTHER.format(option),
        )


def refuse_links(directory: Path, option: str = "--model") -> None:
    """Refuse a model directory whose manifests, folder of parts or a generation in it are links: they lead elsewhere.

    Raises:
        UsageError: one is.
    """
    folder = directory / PARTS
    ours = [directory / manifest.BASE, directory / manifest.MEMORY, folder]
    if folder.is_dir() and not folder.is_symlink():
        ours += [path for path in sorted(folder.iterdir()) if GENERATION.fullmatch(path.name)]
    for path in ours:
        if path.is_symlink():
            raise UsageError(
                f"'{path}' is a symbolic link, through which resmem does not write", _ANOTHER.format(option)
            )


def sweep(directory: Path, keep: set[str]) -> None:
    """Remove generations that no manifest names, and what writers that died left behind: no other is at work."""
    for folder in leftovers(directory, keep):
        remove(folder)
    for path in directory.iterdir():
        if _UNFINISHED_MANIFEST.fullmatch(path.name) and not path.is_dir():
            path.unlink(missing_ok=True)


def leftovers(directory: Path, keep: set[str]) -> list[Path]:
    """Return the folders of parts that no manifest names, sorted: those that are empty or hold files of our names."""
    folder = directory / PARTS
    if folder.is_symlink() or not folder.is_dir():
        return []
    named = [path for path in folder.iterdir() if path.name not in keep and _is_named_as_ours(path)]
    return sorted(path for path in named if is_ours(path) or any(map(_is_our_file, path.iterdir())))


def is_ours(folder: Path) -> bool:
    """Whether our names account for a folder of parts, and for everything in it."""
    return _is_named_as_ours(folder) and all(map(_is_our_file, folder.iterdir()))


def remove(folder: Path) -> None:
    """Remove the files of our names from a folder, and the folder if it is empty then; what cannot be removed stays."""
    for path in filter(_is_our_file, list(folder.iterdir())):
        with suppress(OSError):
            path.unlink()
    with suppress(OSError):
        folder.rmdir()


def _is_named_as_ours(folder: Path) -> bool:
    """Whether it is a folder, and no link, with the name of a generation or of one that is being written."""
    is_named = GENERATION.fullmatch(folder.name) or _UNFINISHED.fullmatch(folder.name)
    return bool(is_named) and folder.is_dir() and not folder.is_symlink()


def _is_our_file(path: Path) -> bool:
    return bool(FILE_NAME.fullmatch(path.name)) and (path.is_symlink() or not path.is_dir())


def _foreign(directory: Path) -> Iterator[str]:
    """Yield the names in a directory that keep it from being ours; hidden files are nobody's concern."""
    names = {path.name for path in directory.iterdir() if not path.name.startswith(".")}
    manifests = names & {manifest.BASE, manifest.MEMORY}
    yield from sorted(names - {*manifests, PARTS})
    if any(_is_manifest(directory / name) for name in manifests):
        return  # what is foreign among its parts stays there
    folder = directory / PARTS
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    yield from (f"{PARTS}/{path.name}" for path in paths if not is_ours(path))
    if folder.exists() and not folder.is_dir():
        yield PARTS
    if not any(GENERATION.fullmatch(path.name) for path in paths):
        yield from sorted(manifests)  # a damaged manifest of ours would have parts


def _is_manifest(path: Path) -> bool:
    """Whether a file is a manifest of ours, of whichever format."""
    try:
        return isinstance(manifest.read_any(path).get("resmem"), str)
    except (ModelError, OSError):
        return False
