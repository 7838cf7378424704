"""What encoded rows were as a table: for models from elsewhere, which were trained on columns by name."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, cast, get_args

import numpy as np
from numpy.typing import NDArray

from resmem_cli import fields, spelling
from resmem_cli.errors import UsageError
from resmem_cli.model.arrays import Floats

FieldKind = Literal["number", "category", "boolean", "timestamp", "vector"]


@dataclass(frozen=True)
class Field:
    """One feature column.

    Attributes:
        name: as in the file.
        kind: of its values; a timestamp's first encoded column is days since 1970 in UTC.
        start, width: which of the encoded columns are its own.
        categories: of a category, the values by code. Whatever is beyond them has one more code, or none.
    """

    name: str
    kind: FieldKind
    start: int
    width: int = 1
    categories: tuple[str, ...] = ()

    def values(self, X: Floats) -> Floats:
        """Return its [n, width] encoded columns."""
        return X[:, self.start : self.start + self.width]

    def texts(self, X: Floats) -> NDArray[np.object_]:
        """Return its [n] values as text; None where missing or not among the categories."""
        texts: NDArray[np.object_] = np.array([*self.categories, None], dtype=object)[self.codes(X)]
        return texts

    def codes(self, X: Floats) -> NDArray[np.int64]:
        """Return its [n] codes, one more than there are categories where it is missing or not among them."""
        codes = np.nan_to_num(X[:, self.start], nan=len(self.categories)).astype(np.int64)
        return np.minimum(codes, len(self.categories))


@dataclass(frozen=True)
class Table:
    """The feature columns, in the order that the user gave them, and the classes in the file's own type."""

    fields: tuple[Field, ...]
    classes: tuple[str | int | float | bool, ...] = ()

    def field(self, name: str) -> Field:
        """Return the column of a name.

        Raises:
            UsageError: there is none.
        """
        for field in self.fields:
            if field.name == name:
                return field
        raise UsageError(
            f"the model needs the column '{name}', which is not among the features",
            "the features are: " + ", ".join(field.name for field in self.fields[:20]),
        )

    def take(self, names: tuple[str, ...]) -> Table:
        """Return the columns of these names, in this order; UsageError if one is not there."""
        return Table(tuple(self.field(name) for name in names), self.classes)

    def order_of(self, classes: tuple[Any, ...]) -> list[int]:
        """Return, per class of the target, the position of that class among a model's own classes.

        Classes are compared by the one form of their text: whole numbers with and without ".0", booleans in any case.

        Raises:
            UsageError: the model knows other classes than the target has.
        """
        own = [spelled(value) for value in classes]
        wanted = [spelled(value) for value in self.classes]
        if len(set(wanted)) < len(wanted):  # classes that differ by no more than that
            own, wanted = ([str(value) for value in each] for each in (classes, self.classes))
        if sorted(own) != sorted(wanted):
            raise UsageError(
                f"the model's classes ({_listed(own)}) are not the target's ({_listed(wanted)})",
                "check --target, or give rows of the same classes",
            )
        return [own.index(name) for name in wanted]

    def to_array(self) -> NDArray[np.uint8]:
        """Return the whole as bytes of JSON, so that it is stored among arrays."""
        return np.frombuffer(json.dumps(asdict(self)).encode(), np.uint8)

    @classmethod
    def from_array(cls, array: NDArray[np.uint8]) -> Self:
        """Rebuild a table from what `to_array` returned; ValueError, KeyError or TypeError if it is not one of ours."""
        stored = fields.group({"table": json.loads(array.tobytes())}, "table")
        found = tuple(
            Field(
                fields.text(each, "name"),
                cast(FieldKind, fields.text(each, "kind", get_args(FieldKind))),
                fields.whole(each, "start"),
                fields.whole(each, "width", least=1),
                fields.texts(each, "categories"),
            )
            for each in fields.groups(stored, "fields")
        )
        classes = tuple(fields.items(stored, "classes"))
        if not all(isinstance(value, str | int | float) for value in classes):
            raise ValueError("its classes are neither texts nor numbers")
        return cls(found, classes)

    def belongs(self, n_classes: int, width: int) -> bool:
        """Whether its columns lie in [n, width] encoded rows, and it tells so many classes apart."""
        inside = all(field.start + field.width <= width for field in self.fields)
        return bool(self.fields) and inside and len(self.classes) == n_classes


def spelled(value: Any) -> str:
    """Return the one text form of a value, whether it is text, a number, a boolean or bytes."""
    return spelling.canonical(value.decode(errors="replace") if isinstance(value, bytes) else str(value))


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
