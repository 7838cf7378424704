"""What comes out of a model: which output is the prediction, of which form, and in which order its classes are.

It is decided once, when the model is imported, on made-up rows: numbers from 0 to 1 that sum to 1 are probabilities,
others are logits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from resmem_cli import fields
from resmem_cli.errors import UsageError
from resmem_cli.model.bases.columns import FORMS, Form
from resmem_cli.model.bases.onnx.inputs import Feed, batches, run
from resmem_cli.model.bases.onnx.session import Session
from resmem_cli.model.bases.table import Table, spelled

EMBEDDING = "embedding"
# By which names the user may say which output is the prediction, and of which form it is.
ROLES: dict[str, Form | None] = {"prediction": None, "probabilities": "probabilities", "logits": "logits"}
_PROBE_ROWS = 96
_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Answer:
    """What of the model's outputs is used, and how.

    Attributes:
        output: the one that is the prediction.
        form: what it holds.
        order: per class of the target the output's column; empty for regression and where the second class is all.
        embedding: the output that represents a row, or None.
        n_embedded: how many numbers that one has per row.
    """

    output: str
    form: Form
    order: tuple[int, ...]
    embedding: str | None
    n_embedded: int

    @classmethod
    def from_json(cls, stored: Any) -> Self:
        """Rebuild what was written as JSON; KeyError or ValueError if it is not one of ours."""
        own = fields.group({"answer": stored}, "answer")
        if not all(type(column) is int for column in fields.items(own, "order")):
            raise ValueError("the order of the classes is no list of columns")
        return cls(
            fields.text(own, "output"),
            cast(Form, fields.text(own, "form", FORMS)),
            tuple(own["order"]),
            fields.maybe_text(own, "embedding"),
            fields.whole(own, "n_embedded"),
        )


@dataclass(frozen=True)
class _Found:
    """An output on made-up rows.

    Attributes:
        values: [n, width].
        classes: of a map from class to number, its classes in the order of the columns; else empty.
    """

    values: NDArray[Any]
    classes: tuple[Any, ...] = ()

    @property
    def has_numbers(self) -> bool:
        return self.values.dtype.kind == "f" and self.values.shape[1] > 0

    @property
    def has_labels(self) -> bool:
        return self.values.dtype.kind in "iuOU" and self.values.shape[1] == 1


def probe(session: Session, feeds: Sequence[Feed], n_at_once: int, table: Table) -> dict[str, _Found]:
    """Return every output on made-up rows, by name: numbers of every size, whole ones where only such are taken."""
    rng = np.random.default_rng(0)
    size = 10.0 ** rng.integers(-1, 5, (_PROBE_ROWS, 1))
    X = rng.normal(size=(_PROBE_ROWS, max(field.start + field.width for field in table.fields))) * size
    for feed in feeds:
        for field in feed.fields:
            if field.kind in ("category", "boolean") or not feed.takes_fractions:
                n_values = max(1, len(field.categories)) if field.kind == "category" else 2
                field.values(X)[:] = rng.integers(0, n_values, (_PROBE_ROWS, field.width))
    names = [each.name for each in session.running.get_outputs()]
    values = run(session, feeds, n_at_once, names, X)
    first, _ = next(batches(session, feeds, n_at_once, names, X))
    return {name: _Found(values[i], _classes(first[i])) for i, name in enumerate(names)}


def _classes(output: Any) -> tuple[Any, ...]:
    return tuple(output[0]) if isinstance(output, list) and isinstance(output[0], dict) else ()


def chosen(found: Mapping[str, _Found], table: Table, outputs: Mapping[str, str]) -> Answer:
    unknown = [name for name in outputs.values() if name not in found]
    if unknown:
        raise UsageError(f"the ONNX model has no output '{unknown[0]}'", f"its outputs are: {', '.join(found)}")
    said = [role for role in outputs if role != EMBEDDING]
    strange = [role for role in said if role not in ROLES]
    if strange or len(said) > 1:
        what = f"'{strange[0]}' is not a role of an output" if strange else f"{' and '.join(said)} exclude each other"
        raise UsageError(what, f"use one of {', '.join(ROLES)}, and {EMBEDDING}")
    embedding = outputs.get(EMBEDDING)
    if embedding is not None and not found[embedding].has_numbers:
        raise UsageError(
            f"the output '{embedding}' is not numeric for every row", "choose another output as the embedding"
        )
    rest = {name: each for name, each in found.items() if name != embedding}
    n_embedded = 0 if embedding is None else found[embedding].values.shape[1]
    form = ROLES[said[0]] if said else None
    if not table.classes:
        if form is not None:
            raise UsageError(f"{form} are for classification, and the target is a number", "use prediction=NAME")
        return Answer(_number(found, rest, outputs), "predictions", (), embedding, n_embedded)
    name = outputs[said[0]] if said else _of_classes(rest, len(table.classes))
    _refuse_other_width(name, found[name], len(table.classes))
    form = form or _form(name, found[name].values)
    return Answer(name, form, _order(name, found, table, embedding), embedding, n_embedded)


def _number(found: Mapping[str, _Found], rest: Mapping[str, _Found], outputs: Mapping[str, str]) -> str:
    """Return the output that is a regression's prediction."""
    fitting = [name for name, each in rest.items() if each.has_numbers and each.values.shape[1] == 1]
    name = outputs.get("prediction") or (next(iter(rest)) if len(rest) == 1 else next(iter(fitting), None))
    if name is None:
        raise UsageError("no output of the ONNX model is one number per row", _name_one(rest))
    each = found[name]
    if each.values.dtype.kind not in "fiu" or each.values.shape[1] != 1:
        raise UsageError(f"the output '{name}' is {_described(each)}, and the target is one number", _name_one(rest))
    return name


def _of_classes(rest: Mapping[str, _Found], n_classes: int) -> str:
    """Return the first output with a number per class, or for two classes the only one with a single number."""
    numbers = {name: each.values.shape[1] for name, each in rest.items() if each.has_numbers}
    fitting = [name for name, width in numbers.items() if width == n_classes]
    single = [name for name, width in numbers.items() if width == 1]
    if not fitting and n_classes == 2 and len(single) == 1:
        fitting = single
    if not fitting and len(numbers) == 1:
        return next(iter(numbers))  # which is refused with what it is
    if not fitting:
        raise UsageError(f"no output of the ONNX model is a number per class of {n_classes}", _name_one(rest))
    return fitting[0]


def _refuse_other_width(name: str, found: _Found, n_classes: int) -> None:
    width = found.values.shape[1]
    if not found.has_numbers or (width != n_classes and (width, n_classes) != (1, 2)):
        raise UsageError(
            f"the output '{name}' is {_described(found)}, and the target has {n_classes} classes",
            "give a model of the same classes that gives probabilities or logits, or use prediction=NAME",
        )


def _form(name: str, values: NDArray[Any]) -> Form:
    """Return whether numbers are probabilities or logits, by what they are on made-up rows."""
    finite = values[np.isfinite(values).all(axis=1)].astype(np.float64)
    is_between = len(finite) > 0 and bool((finite >= 0).all() and (finite <= 1 + _SUM_TOLERANCE).all())
    if len(finite) and not is_between:
        return "logits"
    if is_between and (values.shape[1] == 1 or (np.abs(finite.sum(axis=1) - 1) <= _SUM_TOLERANCE).all()):
        return "probabilities"
    raise UsageError(
        f"the output '{name}' may hold probabilities or logits",
        f"add --output probabilities={name} or --output logits={name}",
    )


def _order(name: str, found: Mapping[str, _Found], table: Table, embedding: str | None) -> tuple[int, ...]:
    """Return per class of the target the output's column.

    A map names its classes. Columns are in sorted order of the labels that another output gives, as scikit-learn's
    converters write them, or of the target's classes; unless the labels say that they are in another order.
    """
    values = found[name].values
    if found[name].classes:
        return _positions(found[name].classes, table)
    if values.shape[1] == 1:
        return ()
    labels = next((e.values[:, 0] for n, e in found.items() if n not in (name, embedding) and e.has_labels), None)
    if labels is None:
        return _ranks(table)
    texts = [_as_label(value) for value in table.classes]
    are_numbers = labels.dtype.kind in "iu" and all(re.fullmatch(r"-?\d+", text) for text in texts)
    own = sorted(texts, key=int if are_numbers else None)
    seen = _labels_by_column(values, labels.astype(str))
    if all(own[column] == label for column, label in seen.items()):
        return tuple(own.index(text) for text in texts)
    if all(str(column) == label for column, label in seen.items()):
        return _ranks(table)  # the labels are codes
    distinct = tuple(dict.fromkeys(seen[column] for column in sorted(seen)))
    if len(distinct) == len(own) or not set(distinct) <= set(own):
        return _positions(distinct, table)
    raise UsageError(
        f"the labels of the model do not tell which column of the output '{name}' belongs to which class",
        "export it with the probabilities as a map (zipmap), or without the labels",
    )


def _positions(own: tuple[Any, ...], table: Table) -> tuple[int, ...]:
    """Return per class of the target its position among a model's own; codes from 0 are those of the sorted classes.

    Raises:
        UsageError: they are other classes.
    """
    texts, codes = [str(value) for value in own], [str(code) for code in range(len(table.classes))]
    if sorted(texts) == sorted(codes) and sorted(map(_as_label, table.classes)) != sorted(codes):
        return tuple(texts.index(str(rank)) for rank in _ranks(table))
    return tuple(table.order_of(own))


def _ranks(table: Table) -> tuple[int, ...]:
    """Return per class of the target its position among the sorted classes, which is its code."""
    return tuple(range(len(table.classes)))


def _labels_by_column(values: NDArray[Any], labels: NDArray[Any]) -> dict[int, str]:
    """Return per column the label that most rows have where it is the largest, if there are such rows."""
    largest = np.nan_to_num(values).argmax(axis=1)
    seen = {}
    for column in np.unique(largest).tolist():
        texts, counts = np.unique(labels[largest == column], return_counts=True)
        seen[column] = str(texts[counts.argmax()])
    return seen


def _as_label(value: Any) -> str:
    return str(value) if isinstance(value, bool) else spelled(value)


def _described(found: _Found) -> str:
    width = found.values.shape[1]
    if found.has_numbers:
        return f"{width} numbers per row" if width > 1 else "one number per row"
    return "a label per row" if found.has_labels else "no number per row"


def _name_one(found: Mapping[str, _Found]) -> str:
    listed = ", ".join(f"{name} ({_described(each)})" for name, each in found.items())
    return f"choose one with --output prediction=NAME from:  {listed}"
