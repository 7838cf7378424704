"""How often the gains by slice claim something false, and what they cost.

    python -m tests.bench.slices [--tables N]

Tables of 3,000 rows and 60 slices, half of them small; the memory gains alike in all of them, and how much is known. A
table counts as wrong if any interval misses the gain, or if anything is found to differ. With an error of 5 % for all
slices together at most 5 % of the tables may be wrong. Beside the intervals of `model/slices.py` stand those of the
delta method, which takes the ratio itself for normal. Then the time for a million rows of ten columns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from scipy import stats

from resmem_cli.model.arrays import Floats
from resmem_cli.model.slices import LEAST_ROWS, gains

N_ROWS, N_SLICES, N_POPULATION = 3_000, 60, 4_000_000
ERRORS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "t, 4 degrees": lambda rng, n: rng.standard_t(4, size=n),
    "lognormal": lambda rng, n: np.exp(rng.normal(size=n)) * rng.choice([-1, 1], n),
}


def errors(kind: str, n: int, seed: int) -> tuple[Floats, Floats]:
    """Return [n] errors of a base and of a memory that gains alike everywhere."""
    rng = np.random.default_rng(seed)
    one, other = ERRORS[kind](rng, n), ERRORS[kind](rng, n)
    return one, 0.7 * one + 0.3 * other


def wrong_by_delta(base: Floats, resmem: Floats, codes: Floats, log_ratio: float) -> bool:
    """Whether any interval of log(mean loss with the memory / mean loss of the base) misses the true one."""
    slices = [(base[codes == i] ** 2, resmem[codes == i] ** 2) for i in range(N_SLICES)]
    judged = [(d, n) for d, n in slices if len(d) >= LEAST_ROWS]
    for d, n in judged:
        influence = n / n.sum() - d / d.sum()
        spread = np.sqrt(np.square(influence).sum() * len(d) / (len(d) - 1))
        t = stats.t.ppf(1 - 0.025 / len(judged), len(d) - 1)
        if abs(np.log(n.sum() / d.sum()) - log_ratio) > t * spread:
            return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=300)
    n_tables = parser.parse_args().tables
    print(f"share of {n_tables} tables with a false claim, rmse")
    sizes = 1 / np.arange(1, N_SLICES + 1) ** 0.7
    for kind in ERRORS:
        base, resmem = errors(kind, N_POPULATION, -1 % 2**32)
        log_ratio = np.log(np.square(resmem).mean() / np.square(base).mean())
        truth, n_wrong = 100 * (1 - np.exp(log_ratio / 2)), np.zeros(3)
        for seed in range(n_tables):
            base, resmem = errors(kind, N_ROWS, seed)
            codes = np.random.default_rng(seed).choice(N_SLICES, N_ROWS, p=sizes / sizes.sum())
            codes = np.unique(codes, return_inverse=True)[1]
            (found,) = gains(np.zeros(N_ROWS), base[:, None], resmem[:, None], None, objective="rmse", slicings=[codes])
            n_wrong += (
                wrong_by_delta(base, resmem, codes, log_ratio),
                any(each.interval[0] > truth or each.interval[1] < truth for each in found),
                any(each.finding for each in found),
            )
        delta, fieller, findings = n_wrong / n_tables
        print(f"{kind:>14}: delta method {delta:.3f}, intervals {fieller:.3f}, findings {findings:.3f}")

    rng = np.random.default_rng(0)
    base, resmem = rng.normal(size=(2, 1_000_000, 1))
    slicings = [rng.integers(0, 12, len(base)) for _ in range(10)]
    started = time.perf_counter()
    gains(np.zeros(len(base)), base, resmem, None, objective="rmse", slicings=slicings)
    print(f"a million rows of ten columns: {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
