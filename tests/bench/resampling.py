"""Do intervals by Poisson weights cover what they say, what do they cost, and what do bins make of roc_auc?

    python -m tests.bench.resampling [--tables N] [--against CHECKOUT]

Tables whose true gain is known, of rows that are independent or of groups that share most of their error. The share of
the 95 % intervals that hold the true gain, and their mean width, by the weights of `model/resampling.py` and, for
comparison, by draws with replacement (multinomial weights). Then how often two equally good models are told apart by
few units; the seconds of CPU of an evaluation, here and by another checkout of this repository; and, of rows in 20
parts, how far the ends of roc_auc's interval are from those of all rows at once, as a share of its width.
"""

from __future__ import annotations

import argparse
import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from resmem_cli.model.arrays import Floats

Table = tuple[Floats, Floats, Floats]  # targets, predictions of the base and of the whole
N_RESAMPLES, N_POPULATION, PER_GROUP = 1_000, 4_000_000, 10
TIMED = (("regression", 2_000), ("regression", 100_000), ("two classes", 2_000), ("two classes", 100_000))


def normal(rng: np.random.Generator, n: int) -> Table:
    one, other = rng.normal(size=(2, n))
    return np.zeros(n), one[:, None], 0.9 * (0.8 * one + 0.6 * other)[:, None]


def lognormal(rng: np.random.Generator, n: int) -> Table:
    one, other = np.exp(rng.normal(size=(2, n))) * rng.choice([-1, 1], (2, n))
    return np.zeros(n), one[:, None], (0.7 * one + 0.3 * other)[:, None]


def grouped(rng: np.random.Generator, n: int) -> Table:
    """Errors of one sign, of which groups of ten rows share the greater part."""
    of = np.arange(n) // PER_GROUP
    base, resmem = (mean + 0.3 * rng.normal(size=n // PER_GROUP)[of] + 0.1 * rng.normal(size=n) for mean in (2.0, 1.8))
    return np.zeros(n), base[:, None], resmem[:, None]


def classes(rng: np.random.Generator, n: int) -> Table:
    y = rng.integers(0, 2, n)
    shared = rng.normal(size=n)
    base, resmem = (1 / (1 + np.exp(-((2 * y - 1) * gain + shared + 0.5 * rng.normal(size=n)))) for gain in (0.8, 1.0))
    return y.astype(np.float64), np.column_stack([1 - base, base]), np.column_stack([1 - resmem, resmem])


def rmse(errors: Floats, weights: Floats) -> Floats:
    return np.sqrt(weights @ np.square(errors) / weights.sum(axis=1))


def mae(errors: Floats, weights: Floats) -> Floats:
    return weights @ np.abs(errors) / weights.sum(axis=1)


CASES: dict[str, tuple[Callable[[np.random.Generator, int], Table], str, Callable[[Floats, Floats], Floats]]] = {
    "normal errors, rmse": (normal, "rmse", rmse),
    "lognormal errors, mae": (lognormal, "mae", mae),
    "groups of ten, mae": (grouped, "mae", mae),
}


def percents(table: Table, metric: Callable[[Floats, Floats], Floats], weights: Floats) -> Floats:
    """Return [resamples] gains in percent, by [resamples, n] weights."""
    base, resmem = (metric(predictions[:, 0], weights) for predictions in table[1:])
    return np.asarray(100 * (base - resmem) / base)


def few(n_tables: int) -> None:
    """Print how often the interval of two models that are equally good on average excludes 0."""
    from resmem_cli.model.comparison import compare

    for n_units, per_unit in ((3, 50), (10, 50), (20, 50), (30, 1)):
        of, n_wrong = np.repeat(np.arange(n_units), per_unit), 0
        for seed in range(n_tables):
            rng = np.random.default_rng(seed)
            own = 0.5 * rng.normal(size=(2, len(of))) if per_unit > 1 else 0.0
            base, resmem = rng.normal(size=(2, n_units))[:, of] + own
            units = of.astype(np.uint64)
            low, high = compare(np.zeros(len(of)), base[:, None], resmem[:, None], None, seed, units=units)["rmse"].ci95
            n_wrong += not low <= 0 <= high
        what = "rows" if per_unit == 1 else f"groups of {per_unit} rows"
        print(f"equally good, {n_units} {what}: {100 * n_wrong / n_tables:.0f} % exclude 0", flush=True)


def multinomial(rng: np.random.Generator, n: int, per_unit: int) -> Floats:
    """Return [resamples, n] how often each row is drawn, with the rows of its unit."""
    n_units = n // per_unit
    drawn = rng.integers(0, n_units, (N_RESAMPLES, n_units)) + n_units * np.arange(N_RESAMPLES)[:, None]
    times = np.bincount(drawn.ravel(), minlength=N_RESAMPLES * n_units).reshape(N_RESAMPLES, n_units)
    return np.repeat(times, per_unit, axis=1).astype(np.float64)


def coverage(n_tables: int) -> None:
    from resmem_cli.model.comparison import compare

    print(f"| {n_tables} tables of | rows | Poisson: covered % | mean width | multinomial: covered % | mean width |")
    print("|---|---|---|---|---|---|")
    for name, (make, which, metric) in CASES.items():
        per_unit = PER_GROUP if make is grouped else 1
        truth = percents(make(np.random.default_rng(10**6), N_POPULATION), metric, np.ones((1, N_POPULATION)))[0]
        for n in (30, 100, 500, 2_000) if per_unit == 1 else (200, 400, 2_000):
            ends = []
            for seed in range(n_tables):
                rng = np.random.default_rng(seed)
                table = make(rng, n)
                units = np.arange(n, dtype=np.uint64) // np.uint64(per_unit)
                ours = compare(*table, None, seed, units=units, n_resamples=N_RESAMPLES)[which].ci95
                drawn = percents(table, metric, multinomial(rng, n, per_unit))
                ends.append((ours, tuple(np.percentile(drawn, [2.5, 97.5]))))
            low, high = np.moveaxis(np.array(ends), 2, 0)
            held, width = 100 * ((low <= truth) & (truth <= high)).mean(axis=0), (high - low).mean(axis=0)
            print(f"| {name} | {n:,} | {held[0]:.1f} | {width[0]:.3g} | {held[1]:.1f} | {width[1]:.3g} |", flush=True)


def timed() -> None:
    """Print the seconds of CPU of one evaluation of each kind and size, in this checkout or that of `PYTHONPATH`."""
    try:
        from resmem_cli.model.comparison import compare
    except ImportError:  # of the checkout before
        from resmem_cli.model.metrics import compare

    for kind, n in TIMED:
        table = (normal if kind == "regression" else classes)(np.random.default_rng(0), n)
        seconds = []
        for _ in range(3):
            started = time.process_time()
            compare(*table, np.ones(n), 0)
            seconds.append(time.process_time() - started)
        print(f"{kind}, {n:,} rows: {min(seconds):.2f} s", flush=True)


def binned(n_tables: int) -> None:
    from resmem_cli.model.comparison import compare
    from resmem_cli.model.sums_in_parts import SumsInParts

    for n, n_resamples in ((2_000, 1_000), (20_000, 1_000), (20_000, 200)):
        apart = []
        for seed in range(max(n_tables // 100, 3)):
            y, base, resmem = classes(np.random.default_rng(seed), n)
            keys = np.arange(n, dtype=np.uint64)
            exact = compare(y, base, resmem, None, seed, units=keys, n_resamples=n_resamples)["roc_auc"]
            parts = [
                SumsInParts.of(
                    y[some],
                    base[some],
                    resmem[some],
                    np.ones(len(some)),
                    hashes=keys[some],
                    units=keys[some],
                    seed=seed,
                    n_resamples=n_resamples,
                )
                for some in np.array_split(np.arange(n), 20)
            ]
            found = functools.reduce(SumsInParts.merged, parts).compared()["roc_auc"]
            width = exact.ci95[1] - exact.ci95[0]
            apart.append([abs(found.resmem - exact.resmem), *(np.subtract(found.ci95, exact.ci95) / width)])
        values = np.abs(np.array(apart)).max(axis=0)
        print(
            f"roc_auc of {n:,} rows in 20 parts, {n_resamples:,} resamples: value at most {values[0]:.1g} off, ends of "
            f"the interval at most {100 * values[1:].max():.1f} % of its width",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=1_000)
    parser.add_argument("--against", help="another checkout, which is timed, too")
    asked = parser.parse_args()
    coverage(asked.tables)
    few(asked.tables)
    timed()
    if asked.against:
        print(f"by {asked.against}", flush=True)
        code = f"import runpy; runpy.run_path({str(Path(__file__).resolve())!r})['timed']()"
        there = os.environ | {"PYTHONPATH": asked.against}
        subprocess.run([sys.executable, "-c", code], check=True, cwd=asked.against, env=there)
    binned(asked.tables)


if __name__ == "__main__":
    main()
