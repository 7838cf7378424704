"""How every verb is told what to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from resmem_cli.data import sources, tables
from resmem_cli.data.rows import Rows
from resmem_cli.data.sources import Format

Report = Callable[[str], None]


def silent(_: str) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Input:
    """Files, directories, globs or "-", and how to read them where their names do not tell."""

    words: tuple[str, ...]
    format: Format | None = None
    delimiter: str | None = None

    def batches(self, rows: int = tables.BATCH_ROWS, columns: frozenset[str] | None = None) -> Iterator[Rows]:
        """Yield batches of bounded size."""
        found = sources.resolve(self.words, self.format)
        return tables.read(found, batch_rows=rows, delimiter=self.delimiter, columns=columns)

    def wholes(self) -> list[Rows]:
        """Return everything."""
        return tables.read_all(sources.resolve(self.words, self.format), delimiter=self.delimiter)
