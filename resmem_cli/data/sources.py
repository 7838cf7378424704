"""Which files an input names, and in which format each one is."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from resmem_cli.data import searching, uris
from resmem_cli.data.partitions import NONE, Partitions
from resmem_cli.data.places import Place, absolute
from resmem_cli.errors import DataError, ResmemError, UsageError

STDIN = "-"
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

    path: Place | None
    format: Format | None
    compression: str | None = None
    partitions: Partitions = NONE
    row_groups: tuple[int, int] | None = None

    def absolute(self) -> Source:
        """Return it by a path that means the same in any folder."""
        return self if self.path is None else replace(self, path=absolute(self.path))

    @property
    def is_stream(self) -> bool:
        """Whether it can be read only once, as standard input and pipes."""
        return self.path is None or (isinstance(self.path, Path) and not self.path.is_file())

    @property
    def is_remote(self) -> bool:
        """Whether it lies in an object store."""
        return self.path is not None and not isinstance(self.path, Path)

    @property
    def name(self) -> str:
        return "standard input" if self.path is None else str(self.path)


def format_of(path: Place, *, hint: str) -> tuple[Format, str | None]:
    """Return the format and compression that a file's name tells.

    Raises:
        UsageError: the name ends in nothing known, or in a compression that its format does not take.
    """
    found = _SUFFIXES.get(_suffix(path))
    if found is None:
        known = ", ".join(sorted(_SUFFIXES))
        raise UsageError(f"the format of '{path}' is not recognised by its name (known endings: {known})", hint)
    return found, compression_of(path, found)


def _suffix(path: Place) -> str:
    """Return the ending that tells a format, without that of a compression."""
    stem = path.stem if path.suffix.lower() in _COMPRESSIONS else path.name
    return Path(stem).suffix.lower()


def is_table(path: Place) -> bool:
    """Whether a file's name tells a format."""
    return _suffix(path) in _SUFFIXES


def compression_of(path: Place, form: Format) -> str | None:
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

    A word is a file, a directory (every Parquet file below it, sorted), a glob (sorted), a URI of one of these in an
    object store, or "-". With `refused`, which
    is told of them, words that name nothing and files of no known format are left out.

    Raises:
        DataError: a word names nothing that exists.
        UsageError: a format is not recognised, or standard input is named twice.
    """
    if sum(word == STDIN for word in inputs) > 1:
        raise UsageError("standard input ('-') is named twice", "name it once")
    found: list[Source] = []
    for word in inputs:
        with _refusing(uris.shown(word), refused):
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
        places, n_named = searching.named(word)
        found: list[Source] = []
        for where in places:
            with _refusing(str(where), refused):
                # "day=*" matches folders: each stands for the Parquet files below it, as if it had been named.
                for path in searching.parquet_below(where) if where.is_dir() else [where]:
                    found.append(replace(_source(path, forced), partitions=Partitions.of(path, n_named)))
        return found
    except OSError as error:
        raise DataError(
            f"'{uris.shown(word)}' cannot be searched for ({error.strerror})", "check the path and its permissions"
        ) from error


def _source(path: Place, forced: Format | None) -> Source:
    if forced is not None:
        return Source(path, forced, compression_of(path, forced))
    if isinstance(path, Path) and not path.is_file():  # a pipe, as <(command) gives: looked into, as standard input is
        return Source(path, None)
    found, compression = format_of(path, hint="name the format with --input-format")
    return Source(path, found, compression)
