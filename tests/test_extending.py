"""What docs/extending.md says works: every toy on that page is added to its table and used through the commands."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resmem_cli.cli.main import main
from resmem_cli.data import output, tables
from resmem_cli.data.sources import Format
from resmem_cli.model import bases, metrics, spaces

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
BLOCKS = re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """The modules of the page."""
    for name, code in BLOCKS:
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    made = {name: importlib.import_module(name) for name, _ in BLOCKS}
    for name, module in made.items():
        monkeypatch.delitem(sys.modules, name)  # gone with the folder when the test ends
        monkeypatch.setitem(sys.modules, name, module)
    return made


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 160))
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": a, "b": b, "y": a + np.sign(b)}), path)
    return path


def test_the_page_has_one_toy_of_each():
    assert [name for name, _ in BLOCKS] == ["toy_base", "toy_space", "toy_metric", "toy_format"]


def test_a_base_and_a_space_and_a_metric_are_added_by_one_line_each(toys, rows, monkeypatch, capfd):
    monkeypatch.setitem(bases.ESTIMATORS.places, "median", "toy_base:Median")
    monkeypatch.setitem(bases.KINDS.places, "median", "toy_base:Median")
    monkeypatch.setitem(spaces.KINDS.places, "signs", "toy_space:Signs")
    monkeypatch.setitem(metrics.METRICS, "huber", toys["toy_metric"].METRIC)
    model = ("--model", rows.parent / "model", "--threads", 1)
    run("fit-base", rows, "--target", "y", "--estimator", "median", "--param", "level=0.4", *model)
    run("fit-residual", rows, "--representation", "signs", "--effort", "quick", *model)
    run("verify", *model[:2])
    capfd.readouterr()
    run("evaluate", rows, "--json", *model)
    measured = json.loads(capfd.readouterr().out)["metrics"]
    assert measured["huber"]["resmem"] < measured["huber"]["base"]
    run("inspect", "--json", *model[:2])
    inspected = json.loads(capfd.readouterr().out)
    assert inspected["bases"][0] == {
        "estimator": "median",
        "params": {"level": 0.4},
        "can_refit": True,
        "weight": 1.0,
    }
    assert inspected["memory"]["memories"][0]["representation"] == "signs"


def test_a_space_is_tried_by_the_folds(toys, rows, monkeypatch, capfd):
    monkeypatch.setitem(spaces.KINDS.places, "signs", "toy_space:Signs")
    model = ("--model", rows.parent / "model", "--threads", 1)
    run("fit-base", rows, "--target", "y", "--estimator", "linear", *model)
    run("fit-residual", rows, "--effort", "quick", "--verbose", *model)
    assert re.search(r"^linear +signs +in-sample", capfd.readouterr().err, re.MULTILINE)


def test_a_format_is_added_by_one_line_of_readers_and_one_of_writers(toys, rows, monkeypatch):
    """In the place of TSV, because the names of formats are an enum."""
    monkeypatch.setitem(tables.READERS, Format.TSV, toys["toy_format"].read)
    monkeypatch.setitem(output.WRITERS, Format.TSV, toys["toy_format"].Writer)
    model = ("--model", rows.parent / "model", "--threads", 1)
    run("fit-base", rows, "--target", "y", "--estimator", "linear", *model)
    run("fit-residual", rows, "--effort", "quick", *model)
    toy, once, again = (rows.parent / name for name in ("new.tsv", "out.tsv", "out.parquet"))
    new = pq.read_table(rows).drop_columns("y").slice(0, 9)
    toy.write_text("".join(f"a={row['a']};b={row['b']}\n" for row in new.to_pylist()))
    run("predict", toy, "--output", once, *model)
    pq.write_table(new, rows)
    run("predict", rows, "--output", again, *model)
    written = [dict(part.split("=") for part in line.split(";")) for line in once.read_text().splitlines()]
    assert [float(row["prediction"]) for row in written] == pq.read_table(again)["prediction"].to_pylist()


def run(*words: object) -> None:
    assert main([str(word) for word in words]) == 0
