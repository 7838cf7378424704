"""What the words of a command line name: files on this machine and objects of stores, in an order that stays."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING

from resmem_cli.data import uris
from resmem_cli.data.places import Place, place
from resmem_cli.errors import DataError

if TYPE_CHECKING:
    from resmem_cli.data.remote import Remote


def named(word: str) -> tuple[list[Place], int]:
    """Return the files and folders that a word names, and how many parts of their paths it names itself.

    Of a glob these are the parts before its first pattern.

    Raises:
        DataError: there is nothing of that name, or a store cannot say.
        UsageError: the word is a URI that cannot be.
    """
    where = place(word)
    found = _files(where, word) if isinstance(where, Path) else _objects(where)
    if [*found] == [where]:
        return found, len(where.parts)
    return found, next(i for i, part in enumerate(where.parts) if _is_pattern(part))


def parquet_below(folder: Place) -> list[Place]:
    """Return the Parquet files below a folder, without hidden ones and those that writers keep aside ("_").

    Raises:
        DataError: there is none, or a store cannot say.
    """
    below: list[Place] = [*folder.rglob("*")] if isinstance(folder, Path) else [*folder.listed()]
    n_above = len(folder.parts)
    files = [
        path
        for path in below
        if path.suffix.lower() in (".parquet", ".pq")
        and not any(part.startswith((".", "_")) for part in path.parts[n_above:])
        and path.is_file()
    ]
    if not files:
        raise DataError(
            f"the directory '{folder}' contains no Parquet file", "name the files themselves, or quote a glob"
        )
    return sorted(files, key=lambda path: path.parts)


def _is_pattern(text: str) -> bool:
    return bool(uris.GLOB_CHARACTERS & set(text))


def _files(path: Path, word: str) -> list[Place]:
    if word and path.exists():  # "" would be the present folder, where a variable of the shell was not set
        return [path]
    if not _is_pattern(str(path)):
        raise DataError(f"there is no file '{word}'", "check the path and the current directory")
    matches: list[Place] = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
    if not matches:
        raise DataError(f"no file matches '{word}'", "check the pattern and the current directory")
    return matches


def _objects(where: Remote) -> list[Place]:
    there = where.looked_up()
    if there is not None:
        return [there]
    where.refuse_without_bucket()
    if not any(map(_is_pattern, where.path.parts)):
        raise DataError(f"there is no object '{where}', and none below it", "check the URI")
    matches = where.matching()
    if not matches:
        raise DataError(f"no object matches '{where}'", "check the pattern")
    return [*matches]
