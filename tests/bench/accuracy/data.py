"""The data sets, and their division into rows to fit on, rows to choose by, and rows that only judge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from resmem_cli.data import encoding, inference
from resmem_cli.data.inference import Roles
from resmem_cli.data.kinds import Floats
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Schema, Task
from tests.bench.accuracy.protocols import TALENT, Protocol

# Large, or of another kind than the rest: run when they are named.
BY_NAME_ONLY = ("fashion_mnist", "nyc_flights_air_time", "taxi_fare")
_LEAST_OF_CLASS = 10


@dataclass(frozen=True)
class DataSet:
    """A table, and what its description says of it."""

    name: str
    table: pa.Table
    roles: Roles

    @property
    def is_regression(self) -> bool:
        return self.roles.task is Task.REGRESSION

    def with_log_target(self) -> DataSet:
        """Return the same rows with the natural logarithm of the target in its place."""
        at = self.table.column_names.index(self.roles.target)
        table = self.table.set_column(at, self.roles.target, pc.ln(self.table[self.roles.target]))
        return replace(self, table=table)


@dataclass(frozen=True)
class Split:
    """The three parts of a data set; who sees what is the same for everybody."""

    train: pa.Table
    validation: pa.Table
    test: pa.Table

    def fitting(self, train_on: str) -> pa.Table:
        """Return the rows to fit on: "train", or "train+validation"."""
        return self.train if train_on == "train" else pa.concat_tables([self.train, self.validation])


@dataclass(frozen=True)
class Labelled:
    """[n, d] encoded rows and their [n] targets."""

    X: Floats
    y: Floats


@dataclass(frozen=True)
class Encoded:
    """A split as arrays, encoded as our own bases read it. What the test rows' targets are stays outside.

    Attributes:
        fitting: the rows to fit on, the training rows alone or with the validation rows.
        train, validation: for who needs other rows to choose by.
        n_categories: [d] how many codes each column can hold, 0 for a number.
        n_classes: 0 for regression.
    """

    fitting: Labelled
    train: Labelled
    validation: Labelled
    n_categories: tuple[int, ...]
    n_classes: int

    @property
    def is_regression(self) -> bool:
        return self.n_classes == 0


def available(folder: Path) -> list[str]:
    """Return the names of the data sets in a folder, those with fewer rows first."""
    names = [path.stem for path in folder.glob("*.parquet") if path.with_suffix(".json").is_file()]
    return sorted(names, key=lambda name: (pq.read_metadata(folder / f"{name}.parquet").num_rows, name))


def load(folder: Path, name: str, n_rows: int | None) -> DataSet:
    """Read NAME.parquet and NAME.json; of more than `n_rows` rows, always the same random ones are kept."""
    said = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    task = Task.REGRESSION if said["task"] == "regression" else Task.CLASSIFICATION
    table = pq.read_table(folder / f"{name}.parquet")
    if n_rows is not None and n_rows < table.num_rows:
        table = _taken(table, np.random.default_rng(0).permutation(table.num_rows)[:n_rows])
        if task is Task.CLASSIFICATION:
            table = _without_rare(table, said["target"])
    return DataSet(name, table, Roles(said["target"], task, categories=tuple(said["categorical"])))


def split(data: DataSet, seed: int, protocol: Protocol = TALENT) -> Split:
    return Split(*(_taken(data.table, part) for part in protocol.positions(data.table.num_rows, seed)))


def encode(data: DataSet, parts: Split, train_on: str) -> tuple[Encoded, Labelled]:
    """Return the rows that may be learned from, and the test rows; the schema is learned from the rows to fit on."""
    schema = inference.learn([_rows(parts.fitting(train_on), "fitting")], data.roles).schema
    fitting, train, validation, test = (
        _labelled(_rows(table, name), schema)
        for name, table in (
            ("fitting", parts.fitting(train_on)),
            ("train", parts.train),
            ("validation", parts.validation),
            ("test", parts.test),
        )
    )
    return Encoded(fitting, train, validation, schema.n_categories, len(schema.target.classes)), test


def _without_rare(table: pa.Table, target: str) -> pa.Table:
    """Leave out the classes that a sample of the rows has all but lost: a split of it may not train them at all."""
    counts = pc.value_counts(table[target])
    kept = counts.filter(pc.greater_equal(counts.field("counts"), _LEAST_OF_CLASS)).field("values")
    return table.filter(pc.is_in(table[target], value_set=kept))


def _labelled(rows: Rows, schema: Schema) -> Labelled:
    return Labelled(encoding.encode(rows, schema)[0], encoding.encode_target(rows, schema))


def _rows(table: pa.Table, name: str) -> Rows:
    return Rows(table, ((0, name, 1),), is_text=False)


def _taken(table: pa.Table, rows: Sequence[int] | NDArray[np.int64]) -> pa.Table:
    return table.take(pa.array(np.sort(rows)))  # in the order of the file
