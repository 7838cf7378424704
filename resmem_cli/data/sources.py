"""Which files an input names, and in which format each one is."""

from __future__ import annotations

import enum
import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resmem_cli.errors import DataError, UsageError

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
    """One input: a file, or standard input when `path` is None (then `format` may be None: sniffed)."""

    path: Path | None
    format: Format | None
    compression: str | None = None

    @property
    def name(self) -> str:
        return "standard input" if self.path is None else str(self.path)


def format_of(path: Path, *, hint: str) -> tuple[Format, str | None]:
    """Return the format and compression that a file's name tells.

    Raises:
        UsageError: the name ends in nothing known, or in a compression that its format does not take.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = _COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    if compression:
        suffixes.pop()
    found = _SUFFIXES.get(suffixes[-1]) if suffixes else None
    if found is None:
        known = ", ".join(sorted(_SUFFIXES))
        raise UsageError(f"the format of '{path}' cannot be told from its name (known endings: {known})", hint)
    if compression and found in (Format.PARQUET, Format.ARROW):
        raise UsageError(
            f"'{path}' is a {found} file compressed a second time",
            f"decompress it first: {found} files carry their own compression",
        )
    return found, compression


def resolve(inputs: Sequence[str], forced: Format | None = None) -> list[Source]:
    """Return the sources that the words of a command line name, in order.

    A word is a file, a directory (every Parquet file below it, sorted), a glob (sorted), or "-".

    Raises:
        DataError: a word names nothing that exists.
        UsageError: a format cannot be told, or standard input is named twice.
    """
    if sum(word == STDIN for word in inputs) > 1:
        raise UsageError("standard input ('-') is named twice", "name it once")
    return [source for word in inputs for source in _expand(word, forced)]


def _expand(word: str, forced: Format | None) -> list[Source]:
    if word == STDIN:
        return [Source(None, forced)]
    path = Path(word)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in (".parquet", ".pq") and p.is_file())
        if not files:
            raise DataError(
                f"the directory '{word}' holds no Parquet file", "name the files themselves, or quote a glob"
            )
        return [_source(file, forced) for file in files]
    if not path.exists() and _GLOB_CHARACTERS & set(word):
        matches = sorted(glob.glob(word, recursive=True))
        if not matches:
            raise DataError(f"no file matches '{word}'", "check the pattern and the folder you are in")
        return [_source(Path(match), forced) for match in matches]
    if not path.exists():
        raise DataError(f"there is no file '{word}'", "check the path and the folder you are in")
    return [_source(path, forced)]


def _source(path: Path, forced: Format | None) -> Source:
    if forced is not None:
        return Source(path, forced, _COMPRESSIONS.get(path.suffix.lower()))
    found, compression = format_of(path, hint="name the format with --input-format")
    return Source(path, found, compression)
