"""Where a file lies: on this machine, or in an object store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, TypeAlias

from resmem_cli.data import uris
from resmem_cli.errors import UsageError

if TYPE_CHECKING:
    from resmem_cli.data.remote import Remote

Place: TypeAlias = "Path | Remote"


def place(word: str) -> Place:
    """Return what a path or a URI names; nothing is asked of anybody yet.

    Raises:
        UsageError: the URI is none that can be.
    """
    local = uris.as_local(word)
    if local is not None:
        return Path(local)
    if not uris.is_uri(word):
        uris.refuse_one_slash(word)
        return Path(word)
    from resmem_cli.data.remote import Remote  # which loads Arrow

    return Remote.of(word)


def on_this_machine(word: str, refusal: str, hint: str) -> Path:
    """Return what a path or a URI of this machine's files names, for what cannot lie in an object store.

    Raises:
        UsageError: it is another URI.
    """
    found = place(word)
    if not isinstance(found, Path):
        raise UsageError(f"{refusal} ('{found}')", hint)
    return found


def for_a_model(text: str) -> Path:
    """Return where a model may be written: in an object store nobody could keep other writers away.

    Raises:
        UsageError: it lies in an object store.
    """
    return on_this_machine(
        text,
        "a model cannot be written to an object store",
        "write it to a directory of this machine, then copy parts/ first, base.json next and memory.json last",
    )


def word(where: Place) -> str:
    """Return the word that names a place again."""
    return str(where) if isinstance(where, Path) else where.uri


def absolute(where: Place) -> Place:
    """Return the place by a name that means the same in any folder."""
    return where.absolute() if isinstance(where, Path) else where


def size(where: Place) -> int:
    """Return how many bytes a file has; of an object those that the listing said, and 0 where that is not known."""
    if not isinstance(where, Path):
        return where.size or 0
    try:
        return where.stat().st_size
    except OSError:  # whoever reads it says what is wrong
        return 0


def resolved(where: Place) -> Place:
    """Return the place by the one name that all share which lead to it: without links, and ways to reach a store."""
    return where.resolve() if isinstance(where, Path) else where.resolved()


def is_alike(word: str, where: Place) -> bool:
    """Whether a word names something that may be that place: both are on this machine, or both are in stores."""
    return (uris.is_uri(word) and uris.as_local(word) is None) != isinstance(where, Path)


def is_within(inner: Place, outer: Place) -> bool:
    """Whether a place is another, or lies in it."""
    if isinstance(inner, Path) and isinstance(outer, Path):
        inner, outer = inner.resolve(), outer.resolve()
        return outer in (inner, *inner.parents)
    return not isinstance(inner, Path) and not isinstance(outer, Path) and inner.is_below(outer)


def in_common(files: Sequence[Place]) -> tuple[str, ...]:
    """Return the parts of the longest path that all these files lie below.

    Raises:
        UsageError: they lie in several stores, or in one and on this machine.
    """
    common: list[str] = []
    for names in zip(*(_absolute(each)[:-1] for each in files), strict=False):
        if len(set(names)) > 1:
            break
        common.append(names[0])
    if not common:
        raise UsageError("the inputs lie in several stores, or in one and on this machine", "predict each by itself")
    return tuple(common)


def below(where: Place, folder: Sequence[str]) -> PurePath:
    """Return the path of a file below a folder, whose parts are given."""
    return PurePath(*_absolute(where)[len(folder) :])


def _absolute(where: Place) -> tuple[str, ...]:
    return where.absolute().parts if isinstance(where, Path) else where.parts
