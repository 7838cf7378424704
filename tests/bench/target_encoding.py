"""Target encoding of categories: what bases gain by it on rows that took no part in the choice.

    python -m tests.bench.target_encoding [--data DIR] [--results DIR] [--sets shops,adult] [--seeds N] [--rows N]

The set `shops` is made here: nine categories of 12 to 50,000 values (the frequent ones are a small part) that shift the
odds of two classes. Of each set a fifth is held out. On the others bases are fitted without target encoding, with it,
and as the folds choose. In a set whose categories have few values, all of them are encoded here nevertheless, which
the commands do not do: the table says why. target_encoding.json in the folder of results keeps every run.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from resmem_cli.data import encoding, inference
from resmem_cli.data.inference import Roles
from resmem_cli.data.rows import Rows
from resmem_cli.model import bases, metrics
from resmem_cli.model.arrays import Floats
from resmem_cli.model.bases import BaseSpec, Problem
from resmem_cli.model.choosing.bases import compare
from resmem_cli.model.combination import combined
from resmem_cli.model.rows import LabelledRows, Recipe

RESULTS = Path(__file__).parent / "results"
_MADE = "shops"
_SETS = (_MADE, "adult", "churn_modelling", "king_county")
_VALUES = (12, 70, 130, 340, 450, 2_500, 4_000, 7_000, 50_000)
_STRONG = (450, 4_000, 7_000, 50_000)
_ESTIMATORS = ("boosting", "linear")
_ENCODED = {bases.TARGET_ENCODING: True}
# Of each way: the settings of every base that are compared.
_WAYS: Mapping[str, list[dict[str, Any]]] = {"without": [{}], "with": [_ENCODED], "chosen": [{}, _ENCODED]}


def made(n_rows: int) -> tuple[pa.Table, str]:
    """Return rows of categories whose frequent values are few, and the target's name."""
    rng = np.random.default_rng(0)
    columns, odds = {}, np.full(n_rows, 1.5)
    for count in _VALUES:
        frequency = 1 / np.arange(1, count + 1) ** 0.9
        codes = rng.choice(count, n_rows, p=frequency / frequency.sum())
        odds += rng.normal(0, 0.9 if count in _STRONG else 0.3, count)[codes]
        columns[f"of_{count}"] = pa.array([f"v{code}" for code in codes])
    amount = rng.normal(size=n_rows)
    is_yes = rng.random(n_rows) < 1 / (1 + np.exp(-odds - 0.5 * amount))
    return pa.table({**columns, "amount": amount, "y": np.where(is_yes, "yes", "no")}), "y"


def given(name: str, folder: Path) -> tuple[pa.Table, str]:
    """Return a set of the folder and its target's name; a target of prices in logarithms."""
    about = json.loads((folder / f"{name}.json").read_text())
    table, target = pq.read_table(folder / f"{name}.parquet"), about["target"]
    if about.get("log_target_common"):
        logs = pa.array(np.log(table[target].to_numpy()))
        table = table.set_column(table.column_names.index(target), target, logs)
    return table, target


def run(table: pa.Table, target: str, seed: int) -> dict[str, float]:
    """Return the loss of each way on held-out rows (RMSE, or log-loss)."""
    order = np.random.default_rng(seed).permutation(len(table))
    n_held = len(table) // 5
    parts = [Rows(table.take(pa.array(each)), ((0, "rows", 1),), False) for each in (order[n_held:], order[:n_held])]
    learned = inference.learn(parts[:1], Roles(target))
    schema = learned.schema
    problem = Problem(schema.n_categories, len(schema.target.classes), seed, schema.vectors, schema.n_levels)
    X, y = encoding.encode(learned.rows, schema)[0], encoding.encode_target(learned.rows, schema)
    held, truth = encoding.encode(parts[1], schema)[0], encoding.encode_target(parts[1], schema)
    if not problem.levels:
        X, held, problem = with_codes_as_levels(X, held, problem)
    rows = LabelledRows(X, y, None, np.zeros(len(y), dtype=np.bool_))
    found = {}
    for way, settings in _WAYS.items():
        recipes = [Recipe(BaseSpec(name), problem) for name in _ESTIMATORS]
        compared = compare(recipes, [settings] * len(recipes), rows)
        weights = np.array(compared.weights)
        predicted = combined([recipe.base_for(rows).predict(held) for recipe in compared.recipes], weights)
        loss = float(metrics.row_loss(truth, predicted).mean())
        found[way] = loss if problem.n_classes else loss**0.5
    return found


def with_codes_as_levels(X: Floats, held: Floats, problem: Problem) -> tuple[Floats, Floats, Problem]:
    """Return rows and problem as if every category had many values."""
    levels = {at: count for at, count in enumerate(problem.n_categories) if count > 0}
    columns = list(levels)
    return np.hstack([X, X[:, columns]]), np.hstack([held, held[:, columns]]), replace(problem, levels=levels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RESMEM_DATA", "../shared/data")))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--sets", default=",".join(_SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=40_000, help="of the set that is made")
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for name in options.sets.split(","):
        if name != _MADE and not (options.data / f"{name}.parquet").exists():
            print(f"{name}: not in {options.data}, left out")
            continue
        table, target = made(options.rows) if name == _MADE else given(name, options.data)
        for seed in range(options.seeds):
            found[name].append(run(table, target, seed))
        print(name, " | ".join(_shown(found[name], way) for way in _WAYS), flush=True)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "target_encoding.json").write_text(json.dumps(found, indent=1))


def _shown(runs: list[dict[str, float]], way: str) -> str:
    losses = np.array([each[way] for each in runs])
    changes = 100 * (1 - losses / np.array([each["without"] for each in runs]))
    return f"{way} {losses.mean():.4f} (gain {changes.mean():+.2f} ± {changes.std(ddof=min(1, len(runs) - 1)):.2f} %)"


if __name__ == "__main__":
    main()
