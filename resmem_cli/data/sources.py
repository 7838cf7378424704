"""Which files an input names, and in which format each one is."""

from __future__ import annotations

import enum
import glob
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from resmem_cli.data.partitions import NONE, Partitions
from resmem_cli.errors import DataError, ResmemError, UsageError

STDIN = "-"
_GLOB_CHARACTERS = frozenset("*?[")
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


class Format(enum.StrEnum):
    """The table formats that resmem reads and writes."""

    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"
    ARROW = "arrow"
    JSONL = "jsonl"

    @property
    def is_text(self) -> bool:
        """Whether values arrive as text, with no type of their own."""
        return self in (Format.CSV, Format.TSV)


_SUFFIXES = {
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".tab": Format.TSV,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".arrow": Format.ARROW,
    ".feather": Format.ARROW,
    ".ipc": Format.ARROW,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
}


@dataclass(frozen=True)
class Source:
    """One input: a file, or standard input when `path` is None.

    A format that is None is sniffed: of standard input, and of a pipe with a path. The names of its folders may hold
    columns, its `partitions`. Of a Parquet file it may be a part: the `row_groups` from the first to before the last.
    """

    path: Path | None
    format: Format | None
    compression: str | None = None
    partitions: Partitions = NONE
    row_groups: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        return "standard input" if self.path is None else str(self.path)


def format_of(path: Path, *, hint: str) -> tuple[Format, str | None]:
    """Return the format and compression that a file's name tells.

    Raises:
        UsageError: the name ends in nothing known, or in a compression that its format does not take.
    """
    found = _SUFFIXES.get(_suffix(path))
    if found is None:
        known = ", ".join(sorted(_SUFFIXES))
        raise UsageError(f"the format of '{path}' is not recognised by its name (known endings: {known})", hint)
    return found, compression_of(path, found)


def _suffix(path: Path) -> str:
    """Return the ending that tells a format, without that of a compression."""
    stem = path.stem if path.suffix.lower() in _COMPRESSIONS else path.name
    return Path(stem).suffix.lower()


def is_table(path: Path) -> bool:
    """Whether a file's name tells a format."""
    return _suffix(path) in _SUFFIXES


def compression_of(path: Path, form: Format) -> str | None:
    """Return the compression that a file's name tells.

    Raises:
        UsageError: the format does not take one.
    """
    compression = _COMPRESSIONS.get(path.suffix.lower())
    if compression and form in (Format.PARQUET, Format.ARROW):
        raise UsageError(
            f"'{path}' is a {form} file that is compressed once more",
            f"decompress it: {form} files have a compression of their own",
        )
    return compression


Refused = Callable[[str, ResmemError], None]  # is told of a name that is left out, and why


def resolve(inputs: Sequence[str], forced: Format | None = None, refused: Refused | None = None) -> list[Source]:
    """Return the sources that the words of a command line name, in order.

    A word is a file, a directory (every Parquet file below it, sorted), a glob (sorted), or "-". With `refused`, which
    is told of them, words that name nothing and files of no known format are left out.

    Raises:
        DataError: a word names nothing that exists.
        UsageError: a format is not recognised, or standard input is named twice.
    """
    if sum(word == STDIN for word in inputs) > 1:
        raise UsageError("standard input ('-') is named twice", "name it once")
    found: list[Source] = []
    for word in inputs:
        with _refusing(word, refused):
            found += _expand(word, forced, refused)
    return found


@contextmanager
def _refusing(name: str, refused: Refused | None) -> Iterator[None]:
    """Tell of an error, if somebody wants to be told, instead of raising it."""
    try:
        yield
    except (DataError, UsageError) as error:
        if refused is None:
            raise
        refused(name, error)


def _expand(word: str, forced: Format | None, refused: Refused | None) -> list[Source]:
    if word == STDIN:
        return [Source(None, forced)]
    try:
        n_named, found = _n_named(word), list[Source]()
        for place in _paths(word):
            with _refusing(str(place), refused):
                # "day=*" matches folders: each stands for the Parquet files below it, as if it had been named.
                for path in _parquet_below(place) if place.is_dir() else [place]:
                    found.append(replace(_source(path, forced), partitions=Partitions.of(path, n_named)))
        return found
    except OSError as error:
        raise DataError(
            f"'{word}' cannot be searched for ({error.strerror})", "check the path and its permissions"
        ) from error


def _n_named(word: str) -> int:
    """Return how many parts of the paths that a word stands for it names itself: of a glob, those before a pattern."""
    parts = Path(word).parts
    if Path(word).exists():
        return len(parts)
    return next((i for i, part in enumerate(parts) if _GLOB_CHARACTERS & set(part)), len(parts))


def _paths(word: str) -> list[Path]:
    path = Path(word)
    if word and path.exists():  # "" would be the present folder, where a variable of the shell was not set
        return [path]
    if not _GLOB_CHARACTERS & set(word):
        raise DataError(f"there is no file '{word}'", "check the path and the current directory")
    matches = [Path(match) for match in sorted(glob.glob(word, recursive=True))]
    if not matches:
        raise DataError(f"no file matches '{word}'", "check the pattern and the current directory")
    return matches


def _parquet_below(directory: Path) -> list[Path]:
    """Return the Parquet files below a directory, without hidden ones and those that writers keep aside ("_")."""
    files = sorted(
        path
        for path in directory.rglob("*")
        if path.suffix.lower() in (".parquet", ".pq")
        and not any(part.startswith((".", "_")) for part in path.relative_to(directory).parts)
        and path.is_file()
    )
    if not files:
        raise DataError(
            f"the directory '{directory}' contains no Parquet file", "name the files themselves, or quote a glob"
        )
    return files


def _source(path: Path, forced: Format | None) -> Source:
    if forced is not None:
        return Source(path, forced, compression_of(path, forced))
    if not path.is_file():  # a pipe, as <(command) gives: looked into, as standard input is
        return Source(path, None)
    found, compression = format_of(path, hint="name the format with --input-format")
    return Source(path, found, compression)
