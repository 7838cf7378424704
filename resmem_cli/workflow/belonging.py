"""What to say where rows seem to belong together, or to be in the order of time, and no split knows of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from resmem_cli.data.kinds import Kind
from resmem_cli.data.schema import Schema
from resmem_cli.model import dependence
from resmem_cli.model.arrays import Floats, Integers
from resmem_cli.model.bases import Problem
from resmem_cli.model.choosing.selection import HeldOut
from resmem_cli.model.dependence import Dependence, Unexplained
from resmem_cli.workflow.labelled import Labelled

_MOST_LOOKED_AT = 20  # columns
_AGAIN = "the measured gain will not hold: run fit-base and fit-residual again with"


def notes(rows: Labelled, schema: Schema, problem: Problem, held_out: HeldOut) -> tuple[str, ...]:
    """Return a sentence where the rows of a column's values belong together, or rows near each other in time do.

    Args:
        rows: those that were given to fit-residual.
        schema: which columns say what, as far as it is known.
        problem: of the bases.
        held_out: which of them the folds held out, and the residuals of the first base.
    """
    at = held_out.rows
    unexplained = Unexplained(rows.X[at], rows.y[at], held_out.residuals, problem.n_categories)
    rng = np.random.default_rng(problem.seed)
    if schema.group_column is None:
        looked_at = list(_candidates(rows, schema, at))[:_MOST_LOOKED_AT]
        found = [(name, dependence.of_groups(unexplained, groups, own, rng)) for name, groups, own in looked_at]
        named = [(name, each) for name, each in found if each is not None]
        if named:
            name, worst = min(named, key=lambda pair: pair[1].explained_apart - pair[1].explained)
            return (
                f"rows of one '{name}' are alike: their neighbours explain {_percent(worst)}, and those of another "
                f"'{name}' {100 * max(worst.explained_apart, 0):.0f} %; if new rows will be of others, {_AGAIN} "
                f"--group {name}",
            )
    if schema.time_column is None:
        for what, order in _orders(schema, unexplained.X, at):
            near = dependence.in_order(unexplained, order, rng)
            if near is not None:
                name = what or "COLUMN"
                where = f"in '{what}'" if what else "in the file"
                return (
                    f"rows near each other {where} are alike: their neighbours explain {_percent(near)}, and those "
                    f"from elsewhere {100 * max(near.explained_apart, 0):.0f} %; if rows are in the order of time and "
                    f"later ones are to be predicted, {_AGAIN} --time {name}",
                )
    return ()


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
    yield None, at.astype(np.float64)
