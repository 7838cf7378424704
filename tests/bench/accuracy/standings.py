"""Where our errors would stand in TabArena's published table: as they are, and scaled by others on the same rows.

The rows of our splits are not TabArena's. What makes a split hard is hard for LightGBM and CatBoost too, so our error
divided by theirs on our rows, times their published error, compares better. How far the ranks by the two differ says
how much the draw of the rows decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.bench.accuracy import tabarena
from tests.bench.accuracy.runs import Found
from tests.bench.accuracy.tabarena import PublishedSet
from tests.bench.accuracy.tables import Cell

_RANKS = ("rank", *(f"rank by {rival}" for rival in tabarena.REFERENCES))

_OTHERS = "not pretrained: "
_HEADINGS = (*_RANKS, *(_OTHERS + heading for heading in _RANKS))
_Errors = dict[int, float]  # by seed


@dataclass(frozen=True)
class Rank:
    """The rank of the mean error over the seeds, and the least and greatest rank of one seed, of so many with ours."""

    of_mean: int
    least: int
    greatest: int
    n_methods: int

    @classmethod
    def among(cls, published: PublishedSet, errors: Iterable[float]) -> Rank:
        values = list(errors)
        ranks = [published.rank(error) for error in values]
        return cls(published.rank(float(np.mean(values))), min(ranks), max(ranks), len(published.errors) + 1)

    def __str__(self) -> str:
        spread = "" if self.least == self.greatest else f" ({self.least}-{self.greatest})"
        return f"{self.of_mean}{spread} of {self.n_methods}"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One base and its memory on one data set, beside what is published on it.

    Attributes:
        before, after: errors by seed, without and with memory.
        references: errors of other methods on the same rows, by name, of the seeds for which they were run.
    """

    data_set: str
    base: str
    published: PublishedSet
    before: _Errors
    after: _Errors
    references: Mapping[str, _Errors]

    @property
    def cells(self) -> dict[str, Cell]:
        """The means over the seeds: without memory, with it, and of the references that were run."""
        errors = {"base": self.before, "with memory": self.after, **self.references}
        return {name: Cell.of(list(by_seed.values())) for name, by_seed in errors.items() if by_seed}

    @property
    def ranks(self) -> dict[str, Rank]:
        """The ranks of the error with memory; those of a scaled error only where its reference was run."""
        errors = {"rank": list(self.after.values())}
        for rival, name in tabarena.REFERENCES.items():
            errors[f"rank by {rival}"] = scaled(self.after, self.references[rival], self.published.errors.get(name))
        among = {"": self.published, _OTHERS: self.published.without_pretrained()}
        return {
            prefix + heading: Rank.among(published, own)
            for prefix, published in among.items()
            for heading, own in errors.items()
            if own
        }

    def to_json(self) -> dict[str, Any]:
        return {
            "set": self.data_set,
            "published_set": self.published.name,
            "metric": self.published.metric,
            "base": self.base,
            "errors": {name: vars(cell) for name, cell in self.cells.items()},
            "published_references": {name: self.published.errors.get(name) for name in tabarena.REFERENCES.values()},
            "ranks": {heading: vars(rank) for heading, rank in self.ranks.items()},
        }


def standings(found: list[Found], published: Mapping[str, PublishedSet]) -> list[Standing]:
    """Return where each base of ours stands on each data set that has published results."""
    made = []
    for data_set, base in dict.fromkeys((run.data_set, run.base) for run, _ in found):
        own = published.get(data_set)
        if base is None or own is None:
            continue
        same = [(run, record) for run, record in found if run.data_set == data_set]
        ours = {run.seed: record for run, record in same if run.base == base}
        others = {who: {run.seed: record for run, record in same if run.who == who} for who in tabarena.REFERENCES}
        made.append(
            Standing(
                data_set=data_set,
                base=base,
                published=own,
                before=_errors(ours, own.metric, "base"),
                after=_errors(ours, own.metric, "resmem"),
                references={who: _errors(records, own.metric, "value") for who, records in others.items()},
            )
        )
    return [standing for standing in made if standing.after]


def scaled(errors: _Errors, reference: _Errors, published: float | None) -> list[float]:
    """Return our errors as they would be if a reference's were the published one, of the seeds that have both."""
    if published is None:
        return []
    return [error / reference[seed] * published for seed, error in errors.items() if seed in reference]


def markdown(made: list[Standing]) -> str:
    """Return the errors and the ranks as two tables, with what to know when reading them."""
    errors = [
        *("## TabArena: errors beside the defaults of others", "", "RMSE, or 1 - AUC of two classes.", ""),
        "| data | metric | base | seeds | base's error | with memory | "
        + " | ".join(f"{rival} | published {name}" for rival, name in tabarena.REFERENCES.items())
        + " |",
        "|---" * (6 + 2 * len(tabarena.REFERENCES)) + "|",
        *(_error_line(standing) for standing in made),
    ]
    ranks = [
        *("## TabArena: the rank of ours with memory among the published methods", ""),
        f"{tabarena.ORIGIN}; {tabarena.NOTE}.",
        "A rank is that of the mean error over the seeds (the least and the greatest of single seeds), of all methods",
        "and ours. By another method: our error, divided by that method's on the same rows, times its published one.",
        "Pretrained are the methods with a network that was trained on other tables.",
        "",
        "| data | base | " + " | ".join(_HEADINGS) + " |",
        "|---" * (2 + len(_HEADINGS)) + "|",
        *(_rank_line(standing) for standing in made),
    ]
    return "\n".join(errors) + "\n\n" + "\n".join(ranks)


def _errors(records: Mapping[int, Mapping[str, Any]], metric: str, name: str) -> _Errors:
    values = {seed: record["metrics"][metric][name] for seed, record in records.items() if metric in record["metrics"]}
    return {seed: 1 - value if metric == "roc_auc" else value for seed, value in values.items()}


def _error_line(standing: Standing) -> str:
    cells, published = standing.cells, standing.published.errors
    words = [
        *(standing.data_set, "1 - AUC" if standing.published.metric == "roc_auc" else "RMSE", standing.base),
        *(str(len(standing.after)), str(cells["base"]), str(cells["with memory"])),
    ]
    for rival, name in tabarena.REFERENCES.items():
        words += [str(cells.get(rival, "")), f"{published[name]:.5g}" if name in published else ""]
    return "| " + " | ".join(words) + " |"


def _rank_line(standing: Standing) -> str:
    ranks = standing.ranks
    return (
        "| " + " | ".join([standing.data_set, standing.base, *(str(ranks.get(name, "")) for name in _HEADINGS)]) + " |"
    )
