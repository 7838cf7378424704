"""The paper's theorem, run: in a stylised regression the memory takes the risk below the floor of its base.

    python -m tests.bench.theory [--dimensions D,...] [--sizes N,...] [--norm X] [--bound L] [--seeds N]

The claim is that of ResMem (Yang et al. 2023, arXiv 2302.01576) for linear regression. Rows x are uniform in the unit
ball of R^d and y = <θ*, x>, without noise. The base is the least-squares fit with ||θ|| <= L < ||θ*||: it cannot reach
y, however many rows it has. The memory is the residual of the nearest row alone (k = 1, γ = 1).

- The base's risk has a floor. The covariance of the rows is I / (d + 2), so the best θ within the bound is
  L θ* / ||θ*||, and its risk is (||θ*|| - L)² / (d + 2), whatever n is.
- ResMem's risk is that of copying the residual of the nearest row. A residual that is Lipschitz, here linear, is
  copied with an error of at most ||θ* - θ|| r, where r is the distance to that row; so the risk falls like E r². The
  ball of radius r around a row holds a share r^d of all rows: n r^d is exponentially distributed for large n, and
  E r² = Γ(1 + 2/d) n^(-2/d). Only a d-th of it lies along the residual's direction, which makes the leading term
  (||θ*|| - L)² Γ(1 + 2/d) n^(-2/d) / d.

So the slope of log risk against log n tends to -2/d. Near the surface of the ball neighbours are farther away. That is
a share of the rows that falls like n^(-1/d), slowly in many dimensions: there the risk is still above its leading
term, and the slope, as the two draw together, somewhat steeper than -2/d. (What the paper proves is an upper bound.)

Search and correction are the tool's own: cells, the index that so many cells get, and the kernel.
"""

from __future__ import annotations

import argparse
import itertools
import json
from math import gamma
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq

from resmem_cli.model import kernel
from resmem_cli.model.arrays import Floats
from resmem_cli.model.kernel import Settings
from resmem_cli.model.memory.building import build_index
from resmem_cli.model.memory.cells import Cells
from resmem_cli.model.memory.index import GraphOptions
from resmem_cli.model.memory.memory import Memory

RESULTS = Path(__file__).parent / "results"
DIMENSIONS = (1, 2, 3, 5, 8)
SIZES = tuple(100 * 2**i for i in range(10))
# The paper's memory in its theorem: the nearest row alone, its whole residual.
NEAREST = Settings(n_neighbors=1, bandwidth=0.0, shrinkage=1.0)
_N_TEST = 20_000


def uniform_in_ball(n: int, d: int, rng: np.random.Generator) -> Floats:
    """Return [n, d] rows, uniform in the unit ball."""
    directions = rng.normal(size=(n, d))
    lengths = rng.random((n, 1)) ** (1 / d)
    rows: Floats = lengths * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return rows


def constrained_least_squares(X: Floats, y: Floats, bound: float) -> Floats:
    """Return [d] the θ of least ||Xθ - y||² among those with ||θ|| <= bound; X has full column rank.

    Where the bound holds θ back, (X'X + λI)θ = X'y with the one λ > 0 that gives θ the length of the bound. In the
    basis of X'X's eigenvectors the square of that length is a sum of d terms, each of which falls as λ grows.
    """
    eigenvalues, basis = np.linalg.eigh(X.T @ X)
    projected = basis.T @ (X.T @ y)

    def excess(multiplier: float) -> float:
        return float(np.linalg.norm(projected / (eigenvalues + multiplier))) - bound

    # No longer than the bound at the upper end, because no eigenvalue is negative.
    multiplier = brentq(excess, 0.0, np.linalg.norm(projected) / bound, xtol=1e-14) if excess(0.0) > 0 else 0.0
    theta: Floats = basis @ (projected / (eigenvalues + multiplier))
    return theta


def floor(d: int, norm: float, bound: float) -> float:
    """Return the risk that no base within the bound gets below."""
    return (norm - bound) ** 2 / (d + 2)


def leading_term(n: int, d: int, norm: float, bound: float) -> float:
    """Return what ResMem's risk tends to as n grows (see the module's docstring)."""
    return (norm - bound) ** 2 * gamma(1 + 2 / d) * n ** (-2 / d) / d


def one_run(n: int, d: int, norm: float, bound: float, *, seed: int, n_test: int = _N_TEST) -> dict[str, Any]:
    """Fit and remember n rows, and return the risks on fresh ones."""
    rng = np.random.default_rng([seed, d, n])
    direction = rng.normal(size=d)
    truth = norm * direction / np.linalg.norm(direction)
    X, asked = uniform_in_ball(n, d, rng), uniform_in_ball(n_test, d, rng)
    theta = constrained_least_squares(X, X @ truth, bound)
    base = (asked @ theta)[:, None]
    summed = kernel.corrected(base, _nearest_residuals(X, X @ (truth - theta), asked, seed), NEAREST.shrinkage)
    wrong = [np.square(asked @ truth - predictions[:, 0]).mean() for predictions in (base, summed)]
    length = float(np.linalg.norm(theta))
    return {"d": d, "n": n, "seed": seed, "length": length, "base": float(wrong[0]), "resmem": float(wrong[1])}


def _nearest_residuals(X: Floats, residuals: Floats, asked: Floats, seed: int) -> Floats:
    cells = Cells.group(X.astype(np.float32))
    index = build_index(cells.points, NEAREST.n_neighbors, GraphOptions(), seed, 1)
    memory = Memory(cells.mean(residuals[:, None]), cells.counts, index)
    distances, found = memory.neighbors(asked.astype(np.float32), NEAREST.n_neighbors, 1)
    weights = kernel.weights(distances, memory.counts[found], NEAREST.bandwidth, is_relative=NEAREST.is_relative)
    return kernel.correction(weights, memory.residuals[found])


def slopes(runs: list[dict[str, Any]]) -> Floats:
    """Return, for each seed of the runs of one d, the least-squares slope of log risk over the larger half of n."""
    larger = _larger(sorted({run["n"] for run in runs}))
    found = []
    for seed in sorted({run["seed"] for run in runs}):
        risk = {run["n"]: run["resmem"] for run in runs if run["seed"] == seed}
        found.append(np.polyfit(np.log(larger), np.log([risk[n] for n in larger]), 1)[0])
    return np.array(found)


def table_of(runs: list[dict[str, Any]], norm: float, bound: float) -> str:
    """Return a Markdown table: a column per d, a line per n, and below them what the theory says."""
    dimensions, sizes = sorted({run["d"] for run in runs}), sorted({run["n"] for run in runs})
    last = sizes[-1]
    by_size = {(d, n): [run for run in runs if (run["d"], run["n"]) == (d, n)] for d in dimensions for n in sizes}
    found = {d: slopes([run for run in runs if run["d"] == d]) for d in dimensions}
    lines = {f"n = {n:,}": [_spread([run["resmem"] for run in by_size[d, n]]) for d in dimensions] for n in sizes}
    lines[f"the base alone, n = {last:,}"] = [_spread([run["base"] for run in by_size[d, last]]) for d in dimensions]
    lines["the base's floor"] = [f"{floor(d, norm, bound):.3g}" for d in dimensions]
    lines[f"slope, n from {_larger(sizes)[0]:,}"] = [
        f"{found[d].mean():.3f} ± {_deviation(found[d]):.3f}" for d in dimensions
    ]
    lines["-2/d"] = [f"{-2 / d:.3f}" for d in dimensions]
    lines[f"risk / leading term, n = {last:,}"] = [
        f"{np.mean([run['resmem'] for run in by_size[d, last]]) / leading_term(last, d, norm, bound):.3f}"
        for d in dimensions
    ]
    header = [
        "| ResMem's risk | " + " | ".join(f"d = {d}" for d in dimensions) + " |",
        "|---" * (len(dimensions) + 1) + "|",
    ]
    return "\n".join([*header, *("| " + " | ".join([name, *cells]) + " |" for name, cells in lines.items())])


def plot(runs: list[dict[str, Any]], norm: float, bound: float, path: Path) -> None:
    """Draw risk against n, both on logarithmic scales: ResMem's, its leading term, and the base's."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("matplotlib is not installed, so the plot is left out; to have it: pip install -e '.[bench]'")
        return
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    for i, d in enumerate(sorted({run["d"] for run in runs})):
        sizes = np.array(sorted({run["n"] for run in runs if run["d"] == d}))
        for name, marker, label in (("base", "--", None), ("resmem", "o-", f"d = {d}")):
            risks = [np.mean([run[name] for run in runs if (run["d"], run["n"]) == (d, n)]) for n in sizes]
            axes.loglog(sizes, risks, marker, color=f"C{i}", label=label)
        axes.loglog(sizes, [leading_term(n, d, norm, bound) for n in sizes], ":", color=f"C{i}")
    axes.set(xlabel="training rows n", ylabel="risk (mean squared error on fresh rows)")
    axes.set_title("dashed: the base; points: with memory; dotted: the leading term", fontsize="medium")
    axes.legend()
    figure.savefig(path, dpi=150)


def _larger(sizes: list[int]) -> list[int]:
    return sizes[len(sizes) // 2 :] if len(sizes) > 3 else sizes


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.3g} ± {_deviation(values):.1g}"


def _deviation(values: Any) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimensions", type=_numbers, default=DIMENSIONS)
    parser.add_argument("--sizes", type=_numbers, default=SIZES)
    parser.add_argument("--norm", type=float, default=1.0, help="||θ*||")
    parser.add_argument("--bound", type=float, default=0.5, help="L")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    if not 0 < arguments.bound < arguments.norm:
        parser.error("--bound must lie between 0 and --norm: otherwise the base leaves nothing to remember")
    if len(set(arguments.sizes)) < 2:
        parser.error("--sizes needs two sizes or more: one has no slope")
    runs = []
    for d, n, seed in itertools.product(arguments.dimensions, arguments.sizes, range(arguments.seeds)):
        runs.append(one_run(n, d, arguments.norm, arguments.bound, seed=seed))
        print(json.dumps(runs[-1]), flush=True)
    below = sum(run["resmem"] < run["base"] for run in runs)
    table = table_of(runs, arguments.norm, arguments.bound)
    summary = f"{table}\n\nResMem's risk is below its base's in {below} of {len(runs)} runs."
    print(summary)
    RESULTS.mkdir(exist_ok=True)
    stored = {"norm": arguments.norm, "bound": arguments.bound, "runs": runs}
    (RESULTS / "theory.json").write_text(json.dumps(stored, indent=2))
    (RESULTS / "theory.md").write_text(summary + "\n")
    plot(runs, arguments.norm, arguments.bound, RESULTS / "theory.png")


if __name__ == "__main__":
    main()
