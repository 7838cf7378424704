"""Columns that the names of folders hold, as Hive writes them: year=2026/month=11/part.parquet."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from urllib.parse import unquote

from resmem_cli import spelling
from resmem_cli.data.places import Place

_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
MISSING = "__HIVE_DEFAULT_PARTITION__"

Values = Mapping[str, str | None]


@dataclass(frozen=True)
class Partitions:
    """What the folders say of every row of a file.

    Attributes:
        below: the values of columns by the folders below what the user has named: they are columns in any case.
        above: those by the folders of that name itself, which are columns where they are needed.
    """

    below: Values
    above: Values

    @classmethod
    def of(cls, path: Place | PurePath, n_named: int) -> Partitions:
        """Return those of a file, the first `n_named` parts of whose path the user has named."""
        folders = path.parts[:-1]
        return cls(_values(folders[n_named:]), _values(folders[:n_named]))

    def may_have(self, where: Sequence[tuple[str, str]]) -> bool:
        """Whether a row of the file may have all these values, by what the folders say of their columns."""
        known = {**self.above, **self.below}
        return all(_may_be(known[name], value) for name, value in where if name in known)

    def columns(self, needed: Collection[str]) -> dict[str, str | None]:
        """Return the values of the columns that there are where some are `needed`."""
        return {**{name: value for name, value in self.above.items() if name in needed}, **self.below}


NONE = Partitions({}, {})


def _values(folders: Sequence[str]) -> dict[str, str | None]:
    pairs = [folder.partition("=") for folder in folders]
    return {unquote(name): value_of(value) for name, sign, value in pairs if sign and name}


def value_of(text: str) -> str | None:
    """Return what a folder says; digits are a whole number, of which every text is the same: 01 is 1, as to Spark."""
    if text == MISSING:
        return None
    return str(int(text)) if _WHOLE.fullmatch(text) else unquote(text)


def _may_be(known: str | None, value: str) -> bool:
    """Whether a folder's value may be the one that is asked for, in whichever form either is written."""
    asked = value_of(value)
    if known is None or asked is None:
        return known == asked
    if known in (value, asked):
        return True
    are_whole = _WHOLE.fullmatch(known) and _WHOLE.fullmatch(asked)  # which have one form here
    return not are_whole and (spelling.may_have_forms(known) or spelling.may_have_forms(asked))


def is_same(found: str | None, value: str | None) -> bool:
    """Whether a value that was found, as text, is the one that a folder says."""
    if found is None or value is None or found == value:
        return found == value
    try:
        return float(found) == float(value)
    except ValueError:
        return False


def one_valued(found: Sequence[Partitions]) -> dict[str, str | None]:
    """Return the columns by folders below what was named that have one value in all files, and this value."""
    first = found[0].below if found else {}
    return {name: value for name, value in first.items() if all(each.below.get(name, "") == value for each in found)}
