"""What to say where rows seem to belong together, or to be in the order of time, and no split knows of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from resmem_cli.data.kinds import Kind
from resmem_cli.data.schema import Schema
from resmem_cli.errors import DataError
from resmem_cli.model import dependence
from resmem_cli.model.arrays import Floats, Integers, Singles
from resmem_cli.model.bases import Problem
from resmem_cli.model.choosing.selection import HeldOut
from resmem_cli.model.dependence import Dependence, Represent
from resmem_cli.model.resmem import ResMem
from resmem_cli.model.scaling import Encoded, Scaler
from resmem_cli.workflow.labelled import Labelled

_MOST_LOOKED_AT = 12  # columns
_MOST_SEARCHED = 200_000  # rows, of which the nearest of some are searched
_AGAIN = "the measured gain will not hold: run fit-base and fit-residual again with"


def notes(rows: Labelled, schema: Schema, resmem: ResMem, held_out: HeldOut, seed: int) -> tuple[str, ...]:
    """Return a sentence where the rows of a column's values belong together, or rows near each other in time do.

    Args:
        rows: those that were given to fit-residual.
        schema: which columns say what, as far as it is known.
        resmem: the model; distances are taken as its heaviest member takes them.
        held_out: which of the rows the folds held out, and the residuals of the base.
        seed: of the samples.
    """
    at, residuals, rng = held_out.rows, held_out.residuals, np.random.default_rng(seed)
    if schema.group_column is None:
        looked_at = list(itertools.islice(_candidates(rows, schema, at), _MOST_LOOKED_AT))
        # The one of most values: where rows of a customer are alike, those of its age are, too.
        for name, groups, own in sorted(looked_at, key=lambda each: -int(each[1].max())):
            try:
                found = dependence.of_groups(residuals, groups, _points(resmem, rows.X[at], own), rng)
            except DataError:  # the base refuses missing values, so that it cannot be asked without the column
                continue
            if found is not None:
                return (
                    f"rows of one '{name}' are alike: their neighbours explain {_percent(found)}, and those of another "
                    f"'{name}' {100 * max(found.explained_apart, 0):.0f} %; if new rows will be of others, {_AGAIN} "
                    f"--group {name}",
                )
        if len(rows.X) <= _MOST_SEARCHED and dependence.near_copies(_scaled(rows.X, schema), rng):
            return (
                "most rows have others at less than a fifth of the distance of the next, as copies have that differ by "
                "a little noise; if they are copies, or measured again, the measured gain will not hold: remove them, "
                "or name a column of what they are copies of with --group",
            )
    if schema.time_column is None:
        represent = _points(resmem, rows.X[at], slice(0, 0))
        for what, order in _orders(schema, rows.X[at], at):
            near = dependence.in_order(rows.y[at], residuals, order, represent, rng)
            if near is not None:
                name = what or "COLUMN"
                where = f"in '{what}'" if what else "in the file"
                return (
                    f"rows near each other {where} are alike: their neighbours explain {_percent(near)}, and those "
                    f"from elsewhere {100 * max(near.explained_apart, 0):.0f} %; if rows are in the order of time and "
                    f"later ones are to be predicted, {_AGAIN} --time {name}",
                )
    return ()


def copies(X: Floats, y: Floats, problem: Problem, schema: Schema) -> tuple[str, ...]:
    """Return a sentence where one feature alone tells most of the rows from copies, which are held out together."""
    if schema.group_column is not None or schema.time_column is not None:
        return ()
    found = problem.copies_but_for(X, y)
    if found is None:
        return ()
    return (
        f"most rows are equal to others in the target and in every feature but '{schema.columns[found[0]].name}': such "
        "rows are taken for copies, which are in the same fold; if they are not, name a column of what belongs "
        "together with --group, or of times with --time",
    )


def _points(resmem: ResMem, X: Floats, unknown: slice) -> Represent:
    """Return what gives the points of some of [n, d] encoded rows, of which a few columns are taken as missing."""
    member = max(resmem.members, key=lambda each: each.weight * each.settings.shrinkage)
    base = resmem.bases[member.base]

    def represent(sample: Integers) -> Singles:
        known = X[sample]
        known[:, unknown] = np.nan
        return member.space.represent(Encoded(known), base, base.predict(known)).points

    return represent


def _scaled(X: Floats, schema: Schema) -> Singles:
    """Return the [n, p] scaled features of encoded rows."""
    return Scaler.fit(X, schema.n_categories, "normal").transform(X)


def _percent(found: Dependence) -> str:
    return f"{100 * found.explained:.0f} % of the base's squared error"


def _candidates(rows: Labelled, schema: Schema, at: Integers) -> Iterator[tuple[str, Integers, slice]]:
    """Yield the columns whose values may be groups: name, [q] values as numbers, and its columns in X."""
    others = {} if rows.relations is None else rows.relations.others
    places = {
        column.name: slice(start, start + column.width)
        for column, start in zip(schema.columns, schema.starts, strict=True)
    }
    for name, hashes in others.items():
        yield name, _numbered(hashes[at].astype(np.float64)), places.get(name, slice(0, 0))
    for kind in (Kind.CATEGORY, Kind.TIMESTAMP, Kind.NUMBER):
        for column in schema.columns:
            if column.kind is kind and column.name not in others:
                values = rows.X[at, places[column.name].start]
                values = np.floor(values) if kind is Kind.TIMESTAMP else values
                if (np.isnan(values) | (values == np.floor(values))).all():
                    yield column.name, _numbered(values), places[column.name]


def _numbered(values: Floats) -> Integers:
    numbers: Integers = np.unique(values, return_inverse=True)[1]
    return numbers


def _orders(schema: Schema, X: Floats, at: Integers) -> Iterator[tuple[str | None, Floats]]:
    """Yield the orders in which rows may be from: of timestamps by name, and of the file."""
    for column, start in zip(schema.columns, schema.starts, strict=True):
        if column.kind is Kind.TIMESTAMP:
            yield column.name, np.nan_to_num(X[:, start], nan=-np.inf)
    if schema.group_column is None:  # or else a file sorted by group would be taken for one in the order of time
        yield None, at.astype(np.float64)
