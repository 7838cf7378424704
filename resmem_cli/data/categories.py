"""Which values of a column of text are told apart, and why such a column is no feature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from resmem_cli.data import kinds, labels, text_kinds
from resmem_cli.data.kinds import Kind
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Column
from resmem_cli.data.text_kinds import Mixture

if TYPE_CHECKING:  # which has its features chosen here
    from resmem_cli.data.inference import Roles

# Histogram boosting holds 255 codes a column; one is left for all the others.
MAX_CATEGORIES = 254
MAX_LEVELS = 100_000
_LEAST_LEVEL_ROWS = 2  # of a value in one row alone nothing is known but that row's target
_WORDS_OF_TEXT = 4  # in the mean: names and addresses have fewer, or come again


def learn(
    rows: Rows, name: str, roles: Roles, *, from_text: bool, with_levels: bool
) -> tuple[Column | None, list[str]]:
    """Return a column of text as a category, or None if it is no feature, and notes on it.

    Args:
        rows: of the training table.
        name: of the column.
        roles: what the user said about columns.
        from_text: whether a part of the table came from a format without types.
        with_levels: whether the values of a column that has many are told apart beyond the most frequent ones.
    """
    rarest, is_requested = roles.rarest_category, name in roles.categories or name in roles.features
    text, notes = labels.one_form(kinds.as_category(rows, name), f"the column '{name}'", "category")
    counts = pc.value_counts(text.drop_null())
    ranked = sorted((-item["counts"], item["values"]) for item in counts.to_pylist())
    frequent = [value for count, value in ranked if -count >= rarest][:MAX_CATEGORIES]
    shared = [value for count, value in ranked if -count >= _LEAST_LEVEL_ROWS]
    mixture = None if name in roles.categories else text_kinds.mixture(text)
    date = None if name in roles.categories or mixture else text_kinds.unread_date(text)
    if not frequent or not (is_requested or _says_something(ranked, len(shared), len(rows), with_levels=with_levels)):
        unused = _unused(name, text, ranked, mixture, None if frequent else rarest)
        return None, [unused if date is None else _date_note(name, date, "not used as a feature", from_text=from_text)]
    if date is not None:
        notes.append(_date_note(name, date, "used as categorical", from_text=from_text))
    elif from_text and name not in roles.categories:
        notes += _notes_on_text(name, text, mixture)
    levels = sorted(shared[:MAX_LEVELS]) if with_levels and len(shared) > MAX_CATEGORIES else []
    arrow_type = str(rows.column(name).type)
    has_rest = len(frequent) < len(ranked)
    return Column(name, Kind.CATEGORY, arrow_type, tuple(sorted(frequent)), has_rest, levels=tuple(levels)), notes


def _says_something(ranked: list[tuple[int, str]], n_shared: int, n_rows: int, *, with_levels: bool) -> bool:
    """Whether enough rows have a value that other rows have, too; where few values are told apart, one of those."""
    if len(ranked) <= MAX_CATEGORIES:
        return True
    if not with_levels:
        return len(ranked) <= n_rows // 2
    return -2 * sum(count for count, _ in ranked[:n_shared]) >= n_rows


def _unused(
    name: str, text: pa.ChunkedArray, ranked: list[tuple[int, str]], mixture: Mixture | None, rarest: int | None
) -> str:
    """Return why a column of text is no feature; `rarest` where no value is in as many rows."""
    if mixture is not None:
        return (
            f"the column '{name}' holds {mixture} and is not used as a feature (leave '{mixture.other}' empty to get "
            f"{mixture.what}, or --category '{name}' to use it as it is)"
        )
    known = text.drop_null()
    if len(ranked) <= MAX_CATEGORIES:
        return f"the column '{name}' has no value in {rarest} rows or more and is not used as a feature"
    if text_kinds.are_numbers(known):
        return (
            f"the column '{name}' holds numbers stored as text and is not used as a feature (store them as numbers; "
            f"--category '{name}' to use them as categories)"
        )
    n_words = pc.mean(pc.add(pc.count_substring_regex(known, r"\S\s+\S"), 1)).as_py()
    if n_words >= _WORDS_OF_TEXT:
        return (
            f"the column '{name}' holds free text ({n_words:.0f} words a row) and is not used as a feature (to use it, "
            "add a column of its embeddings, lists of numbers that a language model makes of it)"
        )
    distinct = f"{len(ranked):,} distinct values in {len(known):,} rows"
    if len(ranked) == len(known):
        distinct = f"another value in each of {len(known):,} rows, as ids have,"
    way_out = f"(--id '{name}' to name rows by it)" if rarest is not None else f"(--category '{name}' to use it)"
    return f"the column '{name}' has {distinct} and is not used as a feature {way_out}"


def _date_note(name: str, date: str, use: str, *, from_text: bool) -> str:
    way_out = ", or all in one order that --date-format names" if from_text else ""
    return (
        f"the column '{name}' has values that look like dates ('{date}'), but not in one order that is read, and is "
        f"{use} (write them as ISO 8601, such as 2024-12-31{way_out}; --category '{name}' to use them as they are)"
    )


def _notes_on_text(name: str, text: pa.ChunkedArray, mixture: Mixture | None) -> list[str]:
    """Return the notes on text that is used as categorical and looks like something else."""
    if mixture is not None:
        return [
            f"the column '{name}' holds {mixture} and is used as categorical (leave '{mixture.other}' empty to get "
            f"{mixture.what}; --category '{name}' to do so without this note)"
        ]
    zero = text_kinds.leading_zero(kinds.without_missing_words(kinds.trimmed(text)))
    if zero is None:
        return []
    return [
        f"the column '{name}' has numbers with leading zeros ('{zero}') and is used as categorical "
        "(write them without these zeros to get numbers)"
    ]
