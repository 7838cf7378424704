"""A folder as docs/engines.md has it: a model, and rows in several files, one of which has none."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resmem_cli import ResMemRegressor
from tests import documents
from tests.engines import scripts

SAMPLES = documents.ROOT / "sample_data"


@dataclass(frozen=True)
class Documented:
    """A folder with the document's programs, and what `resmem predict` makes of its rows."""

    folder: Path
    expected: pa.Table

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        return scripts.run(self.folder / name)

    def run_text(self, name: str, code: str) -> subprocess.CompletedProcess[str]:
        (self.folder / name).write_text(code)
        return self.run(name)


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Documented:
    folder = tmp_path_factory.mktemp("engines")
    scripts.write(folder)
    train, new = (pq.read_table(SAMPLES / f"diamonds_{name}.parquet") for name in ("train", "new"))
    X = train.slice(0, 1_000).drop_columns(["id", "price"])
    model = ResMemRegressor(base="linear", effort="quick", threads=1).fit(X, train["price"][:1_000])
    (folder / "models").mkdir()
    model.save(folder / "models" / "house")
    rows = folder / "data" / "new"
    rows.mkdir(parents=True)
    for i, (start, length) in enumerate([(0, 700), (700, 0), (700, 300)]):
        pq.write_table(new.slice(start, length), rows / f"{i}.parquet")
    words = ["predict", str(rows), "--model", str(folder / "models" / "house"), "--output", "expected.parquet"]
    subprocess.run(
        [sys.executable, "-m", "resmem_cli", *words, "--quiet"], cwd=folder, check=True, env=scripts.environment()
    )
    return Documented(folder, pq.read_table(folder / "expected.parquet"))
