"""Does the gain that the folds promise hold on new groups and later rows, with and without --group and --time?

    python -m tests.bench.promises [--data DIR] [--sets NAME,...] [--seeds N] [--threads N] [--effort NAME]

A fifth of the groups, or the last fifth of the time, is held out; base and memory are fitted on the rest, at quick
effort, once with the option and once without. Promised is the gain that fit-residual prints (0 where it switches the
memory off), true that of `evaluate` on the held-out rows. Sets of the folder are thinned to 8,000 rows by groups, or
to the last 8,000 in time. results/promises.json keeps it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from resmem_cli.data.inference import Roles
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.workflow.evaluate import evaluate
from resmem_cli.workflow.fit_base import BaseOptions, fit_base
from resmem_cli.workflow.fit_residual import fit_residual
from resmem_cli.workflow.inputs import Input

RESULTS = Path(__file__).parent / "results"
_MOST_ROWS = 8_000


@dataclass(frozen=True)
class Known:
    """A set of rows: its table by seed, its columns' roles, and the base to fit."""

    table: Callable[[int], pa.Table]
    roles: Roles
    estimator: str = "boosting"


def customers(seed: int) -> pa.Table:
    """320 customers of 20 rows: near each other in features, alike in what no feature says."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(320), 20)
    centre, effect = rng.normal(size=(320, 4)), rng.normal(0, 3, 320)
    X = centre[who] + rng.normal(0, 0.05, (len(who), 4))
    return _table(X, X[:, 0] + effect[who] + rng.normal(0, 0.5, len(who)), who=who)


def local(seed: int) -> pa.Table:
    """200 customers of 30 rows, all of which follow one function that the base cannot, and differ a little."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(200), 30)
    X = rng.normal(size=(200, 2))[who] * 0.7 + rng.normal(0, 0.7, (len(who), 2))
    y = np.sin(3 * X[:, 0]) * np.cos(2 * X[:, 1]) + rng.normal(0, 0.3, 200)[who] + rng.normal(0, 0.2, len(who))
    return _table(X, y, who=who)


def walk(seed: int) -> pa.Table:
    """A random walk in time beside a feature."""
    rng = np.random.default_rng(seed)
    x, level = rng.normal(size=3_000), np.cumsum(rng.normal(size=3_000))
    return _table(x[:, None], 2 * level + x, day=np.arange(3_000))


def drifting(seed: int) -> pa.Table:
    """A function of two features that the base cannot follow, and that turns slowly."""
    rng = np.random.default_rng(seed)
    X, day = rng.uniform(-2, 2, (6_000, 2)), np.arange(6_000)
    return _table(X, np.sin(3 * X[:, 0] + day / 3_000) + np.cos(3 * X[:, 1]) + rng.normal(0, 0.3, 6_000), day=day)


def shops(seed: int) -> pa.Table:
    """100 shops over 60 days, with effects of the shop, of the day, and of two features."""
    rng = np.random.default_rng(seed)
    who, day = np.repeat(np.arange(100), 60), np.tile(np.arange(60), 100)
    X = np.column_stack([rng.normal(size=100)[who], rng.normal(size=(2, len(who))).T])
    y = 2 * X[:, 0] + np.sin(3 * X[:, 1]) + rng.normal(0, 1, 100)[who] + np.cumsum(rng.normal(0, 0.3, 60))[day]
    return _table(X, y + rng.normal(0, 0.3, len(who)), who=who, day=day)


def _table(X: Any, y: Any, **columns: Any) -> pa.Table:
    names = [f"x{i}" for i in range(X.shape[1])]
    return pa.table({**dict(zip(names, X.T, strict=True)), **columns, "y": y})


def _stored(name: str, change: Callable[[pa.Table], pa.Table] = lambda table: table) -> Callable[[int], pa.Table]:
    return lambda _: change(pq.read_table(Path(os.environ["RESMEM_DATA"]) / f"{name}.parquet"))


def _with_block(table: pa.Table) -> pa.Table:
    """Add squares of half a degree to houses with coordinates."""
    at = [np.floor(2 * table[name].to_numpy()).astype(int) for name in ("Latitude", "Longitude")]
    return table.append_column("block", pa.array(at[0] * 1_000 + at[1]))


SETS = {
    "customers": Known(customers, Roles("y", group_column="who"), "linear"),
    "local": Known(local, Roles("y", group_column="who"), "linear"),
    "walk": Known(walk, Roles("y", time_column="day"), "linear"),
    "drifting": Known(drifting, Roles("y", time_column="day"), "linear"),
    "shops": Known(shops, Roles("y", group_column="who", time_column="day"), "linear"),
    "flights by day": Known(_stored("nyc_flights_air_time"), Roles("air_time", group_column="day_of_year")),
    "flights in time": Known(_stored("nyc_flights_air_time"), Roles("air_time", time_column="day_of_year")),
    "electricity in time": Known(_stored("electricity"), Roles("class", time_column="date")),
    "electricity by day": Known(_stored("electricity"), Roles("class", group_column="date")),
    "king_county by zipcode": Known(_stored("king_county"), Roles("price", group_column="zipcode")),
    "king_county in time": Known(_stored("king_county"), Roles("price", time_column="sale_day")),
    "bike_sharing by day": Known(_stored("bike_sharing"), Roles("cnt", group_column="day_index")),
    "bike_sharing in time": Known(_stored("bike_sharing"), Roles("cnt", time_column="day_index")),
    "california by block": Known(_stored("california", _with_block), Roles("MedHouseVal", group_column="block")),
}


def parts_of(known: Known, seed: int) -> tuple[pa.Table, pa.Table]:
    """Return rows to fit to, and those of other groups, or later, or both."""
    table, rng = known.table(seed), np.random.default_rng(seed)
    group, time = known.roles.group_column, known.roles.time_column
    whose = None if group is None else np.unique(table[group].to_numpy(zero_copy_only=False), return_inverse=True)[1]
    when = None if time is None else table[time].to_numpy()
    if len(table) > _MOST_ROWS:
        if when is not None:
            latest = np.sort(when)[-_MOST_ROWS]
            kept = np.flatnonzero(when >= latest)
            kept = np.sort(rng.permutation(kept)[:_MOST_ROWS])
        else:
            order = rng.permutation(whose.max() + 1)
            n_groups = np.searchsorted(np.cumsum(np.bincount(whose)[order]), _MOST_ROWS)
            kept = np.flatnonzero(np.isin(whose, order[: max(n_groups, 20)]))
        table = table.take(pa.array(kept))
        whose, when = (None if each is None else each[kept] for each in (whose, when))
    train = test = np.ones(len(table), dtype=bool)
    if when is not None:
        bound = np.quantile(when, 0.8)
        train, test = train & (when < bound), test & (when >= bound)
    if whose is not None:
        groups = np.unique(whose)
        is_held_out = np.isin(whose, rng.permutation(groups)[: len(groups) // 5])
        train, test = train & ~is_held_out, test & is_held_out
    return table.filter(pa.array(train)), table.filter(pa.array(test))


def measured(known: Known, seed: int, effort: str, threads: int) -> dict[str, Any]:
    """Return what was promised and what came, with the options and without, in percent of the base's metric."""
    train, test = parts_of(known, seed)
    # Without the options the column of groups is no feature either: new groups have no value that is known.
    drop = [known.roles.group_column] if known.roles.group_column else []
    without = replace(known.roles, group_column=None, time_column=None, drop=drop)
    found: dict[str, Any] = {"rows": len(train), "new rows": len(test)}
    with tempfile.TemporaryDirectory() as name:
        model, paths = Path(name) / "model", [str(Path(name) / f"{part}.parquet") for part in ("train", "test")]
        for path, table in zip(paths, (train, test), strict=True):
            pq.write_table(table, path)
        for how, roles in (("with", known.roles), ("without", without)):
            fit_base(Input((paths[0],)), roles, model, BaseOptions(known.estimator, seed=seed, threads=threads))
            done = fit_residual(Input((paths[0],)), model, MemoryOptions(effort=effort, threads=threads))
            gains = done.measured
            assert gains is not None
            true = evaluate(Input((paths[1],)), model, threads=threads)
            found[how] = {
                "measured": gains["gain_percent"],
                "standard error": gains["standard_error_percent"],
                "promised": gains["gain_percent"] if done.uses_memory else 0.0,
                "true": true.metrics[true.objective].gain_percent,
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RESMEM_DATA", "data")))
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--effort", default="quick")
    options = parser.parse_args()
    os.environ["RESMEM_DATA"] = str(options.data)
    results: dict[str, list[dict[str, Any]]] = {}
    for name in options.sets.split(","):
        for seed in range(options.seeds):
            found = measured(SETS[name], seed, options.effort, options.threads)
            results.setdefault(name, []).append(found)
            shown = "; ".join(
                f"{how}: measured {found[how]['measured']:+.1f} (SE {found[how]['standard error']:.1f}), promised "
                f"{found[how]['promised']:+.1f}, true {found[how]['true']:+.1f}"
                for how in ("with", "without")
            )
            print(f"{name}, seed {seed}, {found['rows']:,} rows: {shown}", flush=True)
    for how in ("with", "without"):
        apart = [abs(each[how]["promised"] - each[how]["true"]) for runs in results.values() for each in runs]
        print(f"{how} the options: median distance {np.median(apart):.2f}, largest {max(apart):.1f} points")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "promises.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
