"""What a run is called and where it is kept: one file per run, so that what is finished is never repeated."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from resmem_cli.data.replacement import replacing
from tests.bench.accuracy.protocols import TALENT, Protocol

Found = tuple["Run", dict[str, Any]]

OURS = "resmem-"  # before the name of a base, in the name of a run


@dataclass(frozen=True)
class Options:
    """What changes a result besides data set, method and seed.

    Attributes:
        effort: of fit-residual.
        train_on: "train" or "train+validation".
        memory: further `MemoryOptions`, by name.
        n_rows: of a larger data set, how many rows are kept; None for all.
        protocol: how the rows are divided. Where it has no validation rows, its name stands in for `train_on`.
    """

    effort: str = "default"
    train_on: str = "train"
    memory: tuple[tuple[str, Any], ...] = ()
    n_rows: int | None = None
    protocol: Protocol = TALENT

    @property
    def of_ours(self) -> str:
        """The part of a file's name that tells our options apart."""
        more = [quote(f"{name}={value}", safe="=") for name, value in self.memory]
        return "_".join([self.effort, *more, self.of_rival(stops_early=False)])

    def of_rival(self, *, stops_early: bool) -> str:
        """The same for a rival; who stops by the validation rows never trains on them."""
        rows = [] if self.n_rows is None else [f"rows={self.n_rows}"]
        fitted_on = "train" if stops_early else self.train_on
        return "_".join([fitted_on if self.protocol.has_validation else self.protocol.name, *rows])


@dataclass(frozen=True)
class Run:
    """One method on one split of one data set.

    Attributes:
        who: a rival's name, or `OURS` and a base.
        options: as one word.
    """

    data_set: str
    who: str
    options: str
    seed: int

    def path(self, results: Path) -> Path:
        return results / self.data_set / f"{self.who}.{self.options}.seed{self.seed}.json"

    @property
    def base(self) -> str | None:
        """The base of one of our own runs."""
        return self.who.removeprefix(OURS) if self.who.startswith(OURS) else None

    def read(self, results: Path) -> dict[str, Any] | None:
        """Return what the run found, or None if it is not finished."""
        path = self.path(results)
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def write(self, results: Path, found: dict[str, Any]) -> None:
        """Keep what the run found; a file is there whole or not at all."""
        path = self.path(results)
        path.parent.mkdir(parents=True, exist_ok=True)
        said = {"set": self.data_set, "who": self.who, "options": self.options, "seed": self.seed}
        with replacing(path) as stream:
            stream.write((json.dumps(said | found, indent=1) + "\n").encode())


def finished(results: Path) -> list[Found]:
    """Return every run that is kept, whatever its options, with what it found."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in results.glob("*/*.json")]
    return [(Run(said["set"], said["who"], said["options"], said["seed"]), said) for said in records]
