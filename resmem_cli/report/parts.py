"""What a page is made of: sections of figures, tables and rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resmem_cli.report.charts import Chart


@dataclass(frozen=True)
class Table:
    """A table for people; the first `n_text` columns are text, the others numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    n_text: int = 1

    @classmethod
    def of(cls, header: Sequence[str], rows: Sequence[Sequence[str]], n_text: int = 1) -> Table:
        return cls(tuple(header), tuple(map(tuple, rows)), n_text)


@dataclass(frozen=True)
class Figure:
    """A picture with what it is called, a sentence that says what it shows, and its numbers.

    Attributes:
        is_open: whether the table is shown beside the picture, or only when it is asked for.
        more: a sentence below the table.
    """

    id: str
    title: str
    sentence: str
    chart: Chart
    table: Table
    is_open: bool = False
    more: str = ""


@dataclass(frozen=True)
class Card:
    """One row of the data: its name, what the memory made of it, its features, its neighbours."""

    title: str
    sentence: str
    features: tuple[tuple[str, str], ...]
    neighbors: Table


@dataclass(frozen=True)
class Group:
    """Cards, or a table, below a heading of their own."""

    title: str
    sentence: str
    cards: tuple[Card, ...] = ()
    table: Table | None = None


@dataclass(frozen=True)
class Section:
    """A part of the page; its paragraphs come first, then figures, then groups.

    Attributes:
        facts: names and values, as a list at the end.
        command: a line of the shell, last of all.
    """

    id: str
    title: str
    paragraphs: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    groups: tuple[Group, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    command: str = ""
