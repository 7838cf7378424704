"""Tables for people, which fit the terminal: no figure is ever cut."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resmem_cli.cli.sentences import printable, sentence

if TYPE_CHECKING:
    from rich.console import Console

_PIPE = 200  # columns; a pipe has no width, and a table in it must not be cut to the 80 that Rich assumes
_WIDE_GAP, _GAP = 3, 1  # columns between two of a table
_LEAST_TEXT = 24  # columns in which a text can be read
_INDENT = "  "


@dataclass(frozen=True)
class _Table:
    """Header and cells; the first `n_left` columns are texts, of which `text` may be broken into lines."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    n_left: int
    text: int | None = None

    def widths(self) -> list[int]:
        from rich.cells import cell_len

        return [max(map(cell_len, column)) for column in zip(self.header, *self.rows, strict=True)]

    def width(self, gap: int, widths: Sequence[int] | None = None) -> int:
        """Return how many columns of a terminal it takes."""
        return sum(widths or self.widths()) + gap * (len(self.header) - 1)

    def without(self, left_out: Sequence[int]) -> _Table:
        stays = [i for i in range(len(self.header)) if i not in left_out]
        return _Table(
            tuple(self.header[i] for i in stays),
            tuple(tuple(row[i] for i in stays) for row in self.rows),
            sum(i < self.n_left for i in stays),
        )

    def alike(self) -> list[int]:
        """Return the columns that say the same in every row of several; one at least is not among them."""
        if len(self.rows) < 2:
            return []
        same = [i for i, column in enumerate(zip(*self.rows, strict=True)) if len(set(column)) == 1]
        return same if len(same) < len(self.header) else same[1:]


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    n_left: int = 1,
    text: int | None = None,
    stderr: bool = False,
) -> None:
    """Print a table, its first columns to the left and the others to the right.

    Where a terminal is too narrow for it, the columns stand closer together; then what is the same in every row is
    said once, below; then each row becomes a list. The column `text` may be broken into lines.
    """
    from rich.console import Console

    cells = tuple(tuple(sentence(cell) for cell in row) for row in rows)
    content = _Table(tuple(map(sentence, header)), cells, n_left, text)
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not (sys.stderr if stderr else sys.stdout).isatty():
        console.width = max(_PIPE, content.width(_WIDE_GAP))
    if not _drawn(content, console):
        same = content.alike()
        fewer = content.without(same)
        if not (same and _drawn(fewer, console)):
            _list(fewer, console)
        if same:
            listed = ", ".join(f"{content.header[i]} {content.rows[0][i]}" for i in same)
            console.print(f"the same in every row: {listed}", soft_wrap=True)


def shortened(text: str, columns: int) -> str:
    """Return a text that takes no more than some columns of a terminal."""
    from rich.cells import cell_len, set_cell_size

    shown = printable(text)
    return shown if cell_len(shown) <= columns else f"{set_cell_size(shown, columns - 1).rstrip()}…"


def _drawn(content: _Table, console: Console) -> bool:
    """Print a table if there is room for it, with as wide gaps as there is; otherwise print nothing."""
    widths = content.widths()
    if content.text is not None:
        widths[content.text] = min(widths[content.text], _LEAST_TEXT)
    fitting = [gap for gap in (_WIDE_GAP, _GAP) if content.width(gap, widths) <= console.width]
    if not fitting:
        return False
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    drawn = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, (fitting[0] - 1) // 2))
    for i, name in enumerate(content.header):
        drawn.add_column(name, justify="left" if i < content.n_left else "right", no_wrap=i != content.text)
    for row in content.rows:
        drawn.add_row(*row)
    console.print(drawn)
    return True


def _list(content: _Table, console: Console) -> None:
    """Print each row as its first cell, and below it a line for each of the others."""
    first, *others = content.header
    indent = len(_INDENT) + max(map(len, others), default=0) + len(_INDENT)
    for row in content.rows:
        console.print(f"{row[0] or first}", soft_wrap=True, style="bold")
        for name, cell in zip(others, row[1:], strict=True):
            if not cell:
                continue
            lines = textwrap.wrap(cell, max(console.width - indent, 1), break_long_words=False, break_on_hyphens=False)
            label = f"{_INDENT}{name}".ljust(indent)
            console.print(label + f"\n{' ' * indent}".join(lines), soft_wrap=True)
