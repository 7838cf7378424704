"""The rows of an input that can be remembered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from resmem_cli import spelling
from resmem_cli.data import encoding, sampling, tables
from resmem_cli.data.encoding import Surprises
from resmem_cli.data.kinds import Floats
from resmem_cli.data.partitions import value_of
from resmem_cli.data.relations import Numbered, Relations
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Schema
from resmem_cli.errors import DataError
from resmem_cli.model import resampling
from resmem_cli.model.resampling import Keys
from resmem_cli.model.rows import LabelledRows
from resmem_cli.workflow.inputs import Batches, Foreign, labels, unlabelled


@dataclass(frozen=True)
class Labelled:
    """The encoded rows that can be remembered: those with a target, and with weight if there are weights.

    `n_dropped` have none, `n_foreign` a class that training did not have. `surprises` are those of the whole input.
    `relations` say which belong together and when they are from, and `rows` are their values in columns beside what is
    encoded, if that was asked for. `numbers` are [n] those of the rows of a batch in their input, from 1, and
    `numbers_in_source` those in the file that each is from.
    """

    X: Floats
    y: Floats
    weight: Floats | None
    ids: list[str] | None
    n_dropped: int
    n_foreign: int = 0
    surprises: Surprises = field(default_factory=Surprises)
    relations: Relations | None = None
    rows: Rows | None = None
    numbers: NDArray[np.int64] | None = None
    numbers_in_source: NDArray[np.int64] | None = None

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """[n] of what is in each row."""
        return encoding.hash_rows(self.X, self.y)

    @property
    def keys(self) -> Keys:
        """[n] keys by which rows are drawn; rows of which it is not known where they are from, by what is in them."""
        if self.numbers_in_source is None:
            return self.hashes
        return resampling.row_keys(self.hashes, self.numbers_in_source)

    @cached_property
    def related(self) -> Numbered:
        """Which rows belong together and when they are from; nothing if that was not asked for.

        Raises:
            DataError: all rows are of one group or one time, or no time is known.
        """
        return Numbered(None, None, ()) if self.relations is None else self.relations.numbered()

    @property
    def n_repeated_ids(self) -> int:
        """How many rows have an id that another row has, too."""
        return n_repeated(self.ids)

    def __len__(self) -> int:
        return len(self.y)

    def as_new(self) -> LabelledRows:
        """Return these rows as the model takes those that it does not know."""
        return LabelledRows(self.X, self.y, self.weight, np.ones(len(self.y), dtype=np.bool_))

    def take(self, positions: NDArray[np.int64]) -> Labelled:
        """Return some of these rows."""
        weight = None if self.weight is None else self.weight[positions]
        ids = None if self.ids is None else [self.ids[i] for i in positions]
        relations = None if self.relations is None else self.relations.take(positions)
        numbers, in_source = (
            None if each is None else each[positions] for each in (self.numbers, self.numbers_in_source)
        )
        return replace(
            self,
            X=self.X[positions],
            y=self.y[positions],
            weight=weight,
            ids=ids,
            relations=relations,
            numbers=numbers,
            numbers_in_source=in_source,
        )

    def joined(self, other: Labelled) -> Labelled:
        """Return these rows and then the others.

        Raises:
            DataError: the times of some are numbers, and those of others dates.
        """
        weight = relations = None
        if self.weight is not None and other.weight is not None:
            weight = np.concatenate([self.weight, other.weight])
        ids = None if self.ids is None or other.ids is None else self.ids + other.ids
        if self.relations is not None and other.relations is not None:
            relations = Relations.joined([self.relations, other.relations])
        return Labelled(
            np.concatenate([self.X, other.X]),
            np.concatenate([self.y, other.y]),
            weight,
            ids,
            self.n_dropped + other.n_dropped,
            self.n_foreign + other.n_foreign,
            relations=relations,
        )


def read(
    source: Batches, schema: Schema, where: Sequence[tuple[str, str]] = (), *, with_relations: bool = False
) -> Labelled:
    """Read an input, and leave out the rows that cannot be remembered; only those `where` all columns have a value.

    `with_relations` reads which rows belong together and when they are from, too.

    Raises:
        DataError: it cannot be read, does not fit the schema, or holds no row that counts.
    """
    with_ids = schema.id_column is not None
    return _joined(list(in_batches(source, schema, where, with_ids=with_ids, with_relations=with_relations)), schema)


def _joined(batches: Sequence[Labelled], schema: Schema) -> Labelled:
    relations = [batch.relations for batch in batches if batch.relations is not None]
    weights = [batch.weight for batch in batches if batch.weight is not None]
    ids = [name for batch in batches for name in batch.ids or ()]
    surprises = Surprises()
    for batch in batches:
        surprises.add(batch.surprises)
    return Labelled(
        np.concatenate([batch.X for batch in batches]),
        np.concatenate([batch.y for batch in batches]),
        np.concatenate(weights) if weights else None,
        ids if schema.id_column is not None else None,
        sum(batch.n_dropped for batch in batches),
        sum(batch.n_foreign for batch in batches),
        surprises,
        Relations.joined(relations) if relations else None,
    )


def n_repeated(ids: Sequence[str] | None) -> int:
    """Return how many of some ids are not missing, and there more than once."""
    counts = Counter(map(spelling.canonical, filter(None, ids or ())))
    return sum(count for count in counts.values() if count > 1)


@dataclass(frozen=True)
class Sampled:
    """A sample of rows, with relations, and what it takes to find the others.

    Attributes:
        rows: the sample; what is counted, and what is surprising, is that of all rows.
        limit: that `sampling.draw` drew by.
        n_labelled: how many rows there are in all that count.
        notes: sentences on what is not drawn as it should be.
    """

    rows: Labelled
    limit: float
    n_labelled: int
    notes: tuple[str, ...] = ()

    @property
    def is_all(self) -> bool:
        """Whether there are no others."""
        return len(self.rows) == self.n_labelled


def sampled(
    source: Batches, schema: Schema, size: int, seed: int, watch: Callable[[Labelled], object] = len
) -> Sampled:
    """Return a sample of the rows that `read` returns; `watch` is shown every batch of all rows.

    Raises:
        DataError: as `read`.
        UsageError: a group has more rows than are wanted.
    """
    n_dropped, n_foreign, surprises = 0, 0, Surprises()

    def counted() -> Iterator[Labelled]:
        nonlocal n_dropped, n_foreign
        for batch in in_batches(source, schema, with_ids=schema.id_column is not None, with_relations=True):
            n_dropped, n_foreign = n_dropped + batch.n_dropped, n_foreign + batch.n_foreign
            surprises.add(batch.surprises)
            watch(batch)
            yield batch

    lots = sampling.Lots(seed, sampling.FOR_MEMORY)
    sample = sampling.draw(counted(), size, lots, _groups)
    rows = _joined(sample.parts, schema)
    rows = replace(rows, n_dropped=n_dropped, n_foreign=n_foreign, surprises=surprises)
    return Sampled(rows, sample.limit, sample.n_rows, sample.notes)


def others(source: Batches, schema: Schema, sample: Sampled, seed: int) -> Iterator[Labelled]:
    """Yield the rows of every batch that are not in the sample of that seed.

    They are read as the sample was, so that the same rows count: what looks like totals may do so by any column.

    Raises:
        DataError: as `read`; or there are other rows than when the sample was drawn.
    """
    lots, n_labelled = sampling.Lots(seed, sampling.FOR_MEMORY), 0
    for batch in in_batches(source, schema, with_ids=schema.id_column is not None, with_relations=True):
        n_labelled += len(batch)
        which = np.flatnonzero(lots.of(len(batch), _groups(batch)) >= sample.limit)
        if len(which):
            yield batch.take(which)
    if n_labelled != sample.n_labelled:
        raise DataError(
            f"the rows changed while they were read: first there were {sample.n_labelled:,}, and then {n_labelled:,}",
            "run fit-residual again when nothing writes to them",
        )


def _groups(batch: Labelled) -> NDArray[np.uint64] | None:
    return None if batch.relations is None else batch.relations.groups


def in_batches(
    source: Batches,
    schema: Schema,
    where: Sequence[tuple[str, str]] = (),
    *,
    with_ids: bool = False,
    with_relations: bool = False,
    also: Collection[str] = (),
    foreign: Foreign | None = None,
    may_be_empty: bool = False,
) -> Iterator[Labelled]:
    """Yield the rows of every batch of an input that have a label and weight; when none of all has, that is an error.

    Args:
        source: the input.
        schema: of the model.
        where: columns and their values: only rows that have them all count.
        with_ids: whether the rows' ids are read, too.
        with_relations: whether is read which rows belong together and when they are from, or may.
        also: columns of which the values are kept, too, if they are there.
        foreign: is told of the rows of classes that training did not have.
        may_be_empty: whether it is no error that no row counts.

    Raises:
        DataError: as `read`.
    """
    n_rows = n_matching = n_labelled = 0
    foreign = Foreign() if foreign is None else foreign
    needed = schema.needed | {name for name, _ in where} | set(also)
    at_once = tables.rows_at_once(tables.BATCH_ROWS, schema.width)
    columns = None if with_relations else needed
    for batch in source.batches(at_once, columns, schema, may_be_empty=may_be_empty, where=where):
        found, matches = labels(batch, schema), _matches(batch, where)
        keep, is_foreign = found.counts & matches, found.is_foreign & matches
        foreign.add(batch, schema, is_foreign)
        X, surprises = np.empty((0, schema.width)), Surprises()
        if keep.any():
            encoded, surprises = encoding.encode(batch, schema)
            X = encoded[keep]
        ids = None
        if with_ids:
            ids = [name for name, kept in zip(encoding.as_ids(batch, schema), keep, strict=True) if kept]
        weight, numbers = None if found.weight is None else found.weight[keep], n_rows + 1 + np.flatnonzero(keep)
        n_rows, n_matching, n_labelled = n_rows + len(batch), n_matching + int(matches.sum()), n_labelled + len(X)
        n_foreign = int(is_foreign.sum())
        relations = None
        if with_relations:
            relations = Relations.of(batch, schema, with_others=True).take(np.flatnonzero(keep))
        kept = _columns(batch, also).take(np.flatnonzero(keep)) if also else None
        n_dropped = len(batch) - len(X) - n_foreign
        yield Labelled(
            X,
            found.y[keep],
            weight,
            ids,
            n_dropped,
            n_foreign,
            surprises,
            relations,
            rows=kept,
            numbers=numbers,
            numbers_in_source=batch.numbers[keep],
        )
    if n_labelled == 0 and not may_be_empty:
        raise nowhere(n_rows, where) if n_matching == 0 else unlabelled(n_matching, schema, foreign)


def read_ids(source: Batches, schema: Schema, where: Sequence[tuple[str, str]] = ()) -> list[str]:
    """Return the ids of the rows `where` all columns have a value, without missing ones.

    Raises:
        DataError: they cannot be read, or there are none.
    """
    ids: list[str] = []
    n_rows = n_matching = 0
    columns = frozenset({schema.id_column or "", *(name for name, _ in where)})
    for batch in source.batches(columns=columns, schema=schema, where=where):
        matches = _matches(batch, where)
        ids += [name for name, kept in zip(encoding.as_ids(batch, schema), matches, strict=True) if kept and name]
        n_rows, n_matching = n_rows + len(batch), n_matching + int(matches.sum())
    if n_matching == 0:
        raise nowhere(n_rows, where)
    if not ids:
        raise DataError(f"none of the {n_matching:,} rows has an id '{schema.id_column}'", "give rows with ids")
    return ids


def _columns(batch: Rows, names: Collection[str]) -> Rows:
    """Return some columns; all if one is missing, so that whoever says so can say what there is."""
    there = batch.table.column_names
    return replace(batch, table=batch.table.select(list(names))) if set(names) <= set(there) else batch


def _matches(batch: Rows, where: Sequence[tuple[str, str]]) -> NDArray[np.bool_]:
    found = np.ones(len(batch), dtype=np.bool_)
    for name, value in where:
        found &= encoding.has_value(batch, name, value_of(value) or "" if name in batch.of_folders else value)
    return found


def nowhere(n_rows: int, where: Sequence[tuple[str, str]] = ()) -> DataError:
    """Return the error that no row of all has the values that are asked for, or that there is none."""
    if not where:
        return DataError("there are no rows", "give labelled rows")
    wanted = " and ".join(f"{name} = '{value}'" for name, value in where)
    which = f"none of the {n_rows:,} rows has" if n_rows else "no row has"  # of what need not be read none is counted
    return DataError(f"{which} {wanted}", "check --where")
