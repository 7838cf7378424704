"""How every verb is told what to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from resmem_cli.data import encoding, partitions, sampling, sources, tables, totals
from resmem_cli.data.dialect import PLAIN, Dialect
from resmem_cli.data.kinds import Floats, Kind
from resmem_cli.data.places import Place, is_alike, is_within, place, resolved
from resmem_cli.data.pruning import Where
from resmem_cli.data.relations import groups_if_known
from resmem_cli.data.rows import Rows
from resmem_cli.data.sampling import Sample
from resmem_cli.data.schema import Schema, Task
from resmem_cli.data.sources import Format, Source
from resmem_cli.data.text_file import HowToRead
from resmem_cli.errors import DataError, UsageError


class Report(Protocol):
    """Is told what is being done and, where that is known, which share of all is done."""

    def __call__(self, what: str, /, share: float | None = None) -> None: ...


def silent(_: str, /, share: float | None = None) -> None:
    """Report nothing."""


class Batches(Protocol):
    """Rows that can be read in batches, and again from the beginning."""

    def batches(
        self,
        rows: int = ...,
        columns: frozenset[str] | None = None,
        schema: Schema | None = None,
        *,
        may_be_empty: bool = False,
        where: Where = (),
    ) -> Iterator[Rows]:
        """Yield them; those that do not have the values of `where` may be left out."""
        ...


@dataclass(frozen=True)
class InMemory:
    """Rows that have been read already."""

    rows: Rows

    def batches(
        self,
        rows: int = tables.BATCH_ROWS,
        columns: frozenset[str] | None = None,
        schema: Schema | None = None,
        *,
        may_be_empty: bool = False,
        where: Where = (),
    ) -> Iterator[Rows]:
        """Yield them as they are."""
        yield self.rows


@dataclass(frozen=True)
class Input:
    """Files, directories, globs or "-", and how to read them where their names do not tell.

    Attributes:
        words: what to read.
        format: of files whose names do not tell.
        dialect: what is said of how text is written, as `dialect.forced` returns it.
        found: the files, or parts of them, that are read, if they were found already.
        notes: sentences on what looked odd while they were read, but may be right.
    """

    words: tuple[str, ...]
    format: Format | None = None
    dialect: Dialect = PLAIN
    found: tuple[Source, ...] | None = None
    notes: list[str] = field(default_factory=list, compare=False)
    _found: list[Source] = field(default_factory=list, init=False, repr=False, compare=False)

    def take_notes(self, notes: Sequence[str]) -> None:
        """Add notes of somebody who has read a part of it; what was noted already is not noted again."""
        self.notes.extend(note for note in notes if note not in self.notes)

    def only(self, source: Source) -> Input:
        """Return one of the files, or a part of it, as an input that is read as the whole is."""
        return replace(self, found=(source,))

    @property
    def note_lines(self) -> tuple[str, ...]:
        """The notes, as they are printed; of rows that were read twice, once."""
        return tuple(f"note: {note}" for note in dict.fromkeys(self.notes))

    def batches(
        self,
        rows: int = tables.BATCH_ROWS,
        columns: frozenset[str] | None = None,
        schema: Schema | None = None,
        *,
        may_be_empty: bool = False,
        where: Where = (),
        folders: frozenset[str] = frozenset(),
    ) -> Iterator[Rows]:
        """Yield batches of bounded size; text is read as the training file of a schema was, where nothing is said.

        Of an input without rows, which `may_be_empty`, there is one batch without rows. Where no row of a file or of a
        row group has the values of `where`, it is not read. Columns of `folders` are read in any case.
        """
        found = self.sources()
        how = HowToRead(self.dialect, None if schema is None else schema.dialect)
        named = (columns or frozenset()) | {name for name, _ in where} | folders
        needed = named if schema is None else named | schema.needed | {*schema.relating}
        read = tables.read(
            found,
            batch_rows=rows,
            how=how,
            columns=columns,
            notes=self.notes,
            may_be_empty=may_be_empty,
            needed=needed,
            where=where,
        )
        if schema is None or not self.dialect.over(schema.dialect).drop_totals:
            return read
        numeric = [column.name for column in schema.columns if column.kind is Kind.NUMBER]
        numeric += [schema.target.name] * (schema.target.task is Task.REGRESSION)
        return totals.dropped(read, totals.Above(schema.names, schema.target.name), numeric, self.notes)

    def count_rows(self) -> int | None:
        """Return how many rows there are, of text about how many; None if only reading them could tell."""
        return tables.count_rows(self.sources())

    def read_once_only(self) -> str | None:
        """Return the name of an input that cannot be read again: a pipe; None if all can."""
        return next((each.name for each in self.sources() if each.is_stream), None)

    def may_change(self) -> bool:
        """Whether a column may have other types in other rows."""
        return tables.may_change(self.sources())

    def sources(self, refused: sources.Refused | None = None) -> list[Source]:
        """Return the files one by one, each read as the whole would be; `refused` as of `sources.resolve`."""
        if self.found is not None:
            return [*self.found]
        if refused is not None:
            return sources.resolve(self.words, self.format, refused)
        if not self._found:  # once: of a store, listing takes time, and another listing may show other objects
            self._found.extend(sources.resolve(self.words, self.format))
        return [*self._found]

    def read_all(self) -> list[Rows]:
        """Return everything."""
        found = self.sources()
        return self._with_folders(tables.read_all(found, how=HowToRead(self.dialect), notes=self.notes), found)

    def read_sample(
        self,
        size: int,
        seed: int,
        group_column: str | None = None,
        checked: Callable[[Iterator[Rows]], Iterator[Rows]] = iter,
    ) -> Sample[Rows]:
        """Return a uniform sample of the rows, in parts as `read_all` returns all.

        Args:
            size: how many rows are wanted.
            seed: of the sample.
            group_column: of which the rows of one value are drawn together.
            checked: what yields the batches to draw from, of those that are read.

        Raises:
            DataError: as `read_all`, or as `checked`; or the rows have no such column.
            UsageError: a group has more rows than are wanted.
        """
        found = self.sources()
        lots = sampling.Lots(seed, sampling.FOR_BASE)
        batches = checked(self.batches())
        sample = sampling.draw(batches, size, lots, partial(groups_if_known, name=group_column))
        parts = tables.joined([[*part] for _, part in groupby(sample.parts, lambda rows: rows.source)])
        return replace(sample, parts=self._with_folders(parts, found))

    def _with_folders(self, parts: list[Rows], found: Sequence[Source]) -> list[Rows]:
        """Return rows without the folders' columns that have one value; notes say which columns folders hold."""
        of_folders = [name for name in parts[0].table.column_names if name in parts[0].of_folders]
        one_valued = partitions.one_valued([source.partitions for source in found])
        for name in [name for name in one_valued if all(name in part.of_folders for part in parts)]:
            self.notes.append(f"the folders' column '{name}' is '{one_valued[name]}' in every file and is not read")
            parts = [replace(part, table=part.table.drop_columns([name])) for part in parts]
        read = [f"'{name}'" for name in of_folders if name not in one_valued]
        if read:
            self.notes.append(f"the names of folders hold columns, which are read: {', '.join(read)}")
        return parts


def refuse_overwriting(
    source: Input, output: str, model: Place, *, holds_input: bool = False, option: str = "--output"
) -> None:
    """Refuse an output that would replace a part of the model, or an input, unless it holds all of that.

    Raises:
        UsageError: it would.
    """
    if output == sources.STDIN:
        return
    target = place(output)
    alike = tuple(word for word in source.words if word != sources.STDIN and is_alike(word, target))
    unread: list[str] = []  # whoever reads them says what is wrong with a name
    found = replace(source, words=alike).sources(lambda name, error: unread.append(name))
    over = [str(each.path) for each in found if each.path is not None and resolved(each.path) == resolved(target)]
    over += [name for name in unread if _is_name_of(name, target) and target.is_file()]
    if over and not holds_input:
        raise UsageError(f"the input '{over[0]}' would be replaced by the output", f"name another {option}")
    if is_within(target, model):
        raise UsageError(f"the output '{output}' lies in the model directory", f"name another {option}")


def _is_name_of(name: str, target: Place) -> bool:
    return resolved(Path(name)) == resolved(target) if isinstance(target, Path) else name == str(target)


@dataclass(frozen=True)
class Labels:
    """The labels of rows.

    Attributes:
        y, weight: [n] targets, and [n] weights if the schema has them.
        counts: [n] whether a row has a target that training knew, and weight.
        is_foreign: [n] whether it has a class that training did not have, and weight.
    """

    y: Floats
    weight: Floats | None
    counts: NDArray[np.bool_]
    is_foreign: NDArray[np.bool_]


def labels(rows: Rows, schema: Schema) -> Labels:
    """Return the labels of rows; a class that training did not have is no label to learn from or to judge by."""
    y, weight = encoding.encode_target(rows, schema), encoding.encode_weight(rows, schema)
    is_labelled = ~np.isnan(y) if weight is None else ~np.isnan(y) & (weight > 0)
    is_foreign = is_labelled & (y == encoding.NO_CLASS) if schema.target.classes else np.zeros(len(y), dtype=np.bool_)
    return Labels(y, weight, is_labelled & ~is_foreign, is_foreign)


@dataclass
class Foreign:
    """Rows of classes that training did not have, which are left out: how many there are, and the first as an error."""

    n_rows: int = 0
    first: DataError | None = None

    def add(self, batch: Rows, schema: Schema, which: NDArray[np.bool_]) -> None:
        """Count those of a batch that `which` says."""
        if which.any() and self.first is None:
            self.first = encoding.unknown_class(batch, schema, int(np.flatnonzero(which)[0]))
        self.n_rows += int(which.sum())

    def merged(self, other: Foreign) -> Foreign:
        """Return those of both; of two errors one is kept, whichever comes first."""
        first = min(filter(None, (self.first, other.first)), key=str, default=None)
        return Foreign(self.n_rows + other.n_rows, first)


def unlabelled(n_rows: int, schema: Schema, foreign: Foreign) -> DataError:
    """Return the error that none of the rows counts."""
    if foreign.first is not None:
        return foreign.first
    weight = f" and a weight '{schema.weight_column}'" if schema.weight_column is not None else ""
    return DataError(f"none of the {n_rows:,} rows has a target '{schema.target.name}'{weight}", "give labelled rows")
