"""From finished runs to tables: a row per data set, a column per method, mean and spread over the seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from resmem_cli.model import metrics
from tests.bench.accuracy.published import SOURCES, Source
from tests.bench.accuracy.runs import Found, Run

# Data set → heading → seed → value.
Values = dict[str, dict[str, dict[int, float]]]

METRICS = ("rmse", "accuracy", "log_loss", "roc_auc")
_PUBLISHED_METRICS = ("rmse", "accuracy")  # of `Source`: RMSE of numbers, accuracy of classes
_REFERENCE = "lightgbm"


@dataclass(frozen=True)
class Cell:
    """A mean over seeds; the spread is None where there is one seed, or none was published."""

    mean: float
    deviation: float | None
    n_seeds: int | None = None

    @classmethod
    def of(cls, values: list[float]) -> Cell:
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return cls(float(np.mean(values)), deviation, len(values))

    def __str__(self) -> str:
        spread = "" if self.deviation is None else f" ± {self.deviation:.2g}"
        return f"{self.mean:.5g}{spread}"


@dataclass(frozen=True)
class Table:
    """Cells by data set and heading; the first `n_ours` headings are of runs on our own splits."""

    title: str
    lower_is_better: bool
    headings: tuple[str, ...]
    n_ours: int
    cells: Mapping[str, Mapping[str, Cell]]

    def markdown(self) -> str:
        """Return the table with the best of our own splits in bold; a cell of fewer seeds than others says so."""
        lines = [f"## {self.title}", "", "| data | seeds | " + " | ".join(self.headings) + " |"]
        lines.append("|---" * (len(self.headings) + 2) + "|")
        return "\n".join([*lines, *(self._line(name, row) for name, row in self.cells.items())])

    def to_json(self) -> dict[str, Any]:
        rows = {name: {heading: vars(cell) for heading, cell in row.items()} for name, row in self.cells.items()}
        return {"title": self.title, "rows": rows}

    def _line(self, name: str, row: Mapping[str, Cell]) -> str:
        ours = [row[heading] for heading in self.headings[: self.n_ours] if heading in row]
        n_seeds = max(cell.n_seeds or 0 for cell in ours)
        best = (min if self.lower_is_better else max)(cell.mean for cell in ours)
        words = [name, str(n_seeds)]
        for heading in self.headings:
            cell = row.get(heading)
            word = "" if cell is None else str(cell)
            if cell in ours and cell is not None and cell.mean == best:
                word = f"**{word}**"
            words.append(word + (f" ({cell.n_seeds})" if cell and cell.n_seeds not in (None, n_seeds) else ""))
        return "| " + " | ".join(words) + " |"


def tables(found: list[Found], sources: Sequence[Source] = SOURCES) -> list[Table]:
    """Return a table for each metric that a run has, the ratios to LightGBM where that was run, and the seconds."""
    made = []
    for metric in METRICS:
        values = _values(found, lambda run, record, name=metric: _of_metric(run, record, name))
        published = {name: _published(name, sources) for name in values} if metric in _PUBLISHED_METRICS else {}
        made.append(_table(metric, metrics.METRICS[metric].lower_is_better, _means(values), published))
    ratios = _ratios(_values(found, lambda run, record: _of_metric(run, record, "rmse")))
    published = {name: _published(name, sources, relative=True) for name in ratios}
    made.append(
        _table("rmse, divided by that of LightGBM's defaults on the same rows", True, _means(ratios), published)
    )
    made.append(_table("seconds to fit", True, _means(_values(found, _of_seconds)), {}))
    return [table for table in made if table.cells]


def _of_metric(run: Run, record: Mapping[str, Any], metric: str) -> dict[str, float]:
    own = record["metrics"].get(metric)
    if own is None:
        return {}
    return _by_heading(run, own["value"]) if run.base is None else _by_heading(run, own["base"], own["resmem"])


def _of_seconds(run: Run, record: Mapping[str, Any]) -> dict[str, float]:
    own = record["seconds"]
    if run.base is None:
        return _by_heading(run, own["fit"])
    return _by_heading(run, own["fit_base"], own["fit_base"] + own["fit_residual"])


def _by_heading(run: Run, *values: float) -> dict[str, float]:
    names = [run.who] if run.base is None else [run.base, f"{run.base} + memory"]
    return dict(zip(names, values, strict=True))


def _values(found: Iterable[Found], of: Callable[[Run, Mapping[str, Any]], dict[str, float]]) -> Values:
    values: Values = {}
    for run, record in found:
        for heading, value in of(run, record).items():
            values.setdefault(run.data_set, {}).setdefault(heading, {})[run.seed] = value
    return values


def _ratios(values: Values) -> Values:
    """Divide seed by seed, which takes out how hard the split is."""
    ratios: Values = {}
    for name, row in values.items():
        reference = row.get(_REFERENCE, {})
        for heading, by_seed in row.items():
            own = {seed: value / reference[seed] for seed, value in by_seed.items() if seed in reference}
            if own:
                ratios.setdefault(name, {})[heading] = own
    return ratios


def _means(values: Values) -> dict[str, dict[str, Cell]]:
    return {
        name: {heading: Cell.of(list(by_seed.values())) for heading, by_seed in row.items()}
        for name, row in values.items()
    }


def _published(data_set: str, sources: Sequence[Source], *, relative: bool = False) -> dict[str, Cell]:
    cells = {}
    for source in sources:
        own = source.cells(data_set)
        divisor = own[source.heading(source.reference)][0] if own and relative else 1.0
        for heading, (mean, deviation) in own.items():
            cells[heading] = Cell(mean / divisor, None if deviation is None else deviation / divisor)
    return cells


def _table(
    title: str,
    lower_is_better: bool,
    ours: Mapping[str, Mapping[str, Cell]],
    published: Mapping[str, Mapping[str, Cell]],
) -> Table:
    headings = _in_order(ours.values())
    cells = {name: {**row, **published.get(name, {})} for name, row in ours.items()}
    theirs = [source.heading(column) for source in SOURCES for column in source.columns]
    present = {heading for row in published.values() for heading in row}
    shown = (*headings, *(heading for heading in theirs if heading in present))
    return Table(title, lower_is_better, shown, len(headings), cells)


def _in_order(rows: Iterable[Mapping[str, Cell]]) -> tuple[str, ...]:
    """Return the headings of all rows: each row has them in the same order, but none may have them all."""
    ordered: list[str] = []
    for row in rows:
        at = 0
        for heading in row:
            if heading in ordered:
                at = ordered.index(heading) + 1
            else:
                ordered.insert(at, heading)
                at += 1
    return tuple(ordered)
