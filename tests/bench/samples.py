"""Many rows made of few: sample rows drawn again and again, their numbers jittered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]
_CHUNK = 100_000
_N_CLASSES = 7


def train(task: str) -> tuple[pa.Table, str]:
    """Return training rows and their target: the price of diamonds, or of seven depths of chess endgames which."""
    if task == "regression":
        return pq.read_table(ROOT / "sample_data/diamonds_train.parquet").drop_columns(["id"]), "price"
    whole = pq.read_table(ROOT / "sample_data/kr_vs_k_train.parquet").drop_columns(["id"])
    names, counts = np.unique(whole["depth"].to_numpy(zero_copy_only=False), return_counts=True)
    frequent = names[np.argsort(-counts)][:_N_CLASSES]
    return whole.filter(pc.is_in(whole["depth"], pa.array(frequent))), "depth"


def jittered(sample: pa.Table, n_rows: int, rng: np.random.Generator) -> pa.Table:
    """Return `n_rows` drawn from a sample, every number with fractions moved by a few percent."""
    table = sample.take(pa.array(rng.integers(0, sample.num_rows, n_rows)))
    for i, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            table = table.set_column(i, field, pa.array(table.column(i).to_numpy() * rng.normal(1, 0.02, n_rows)))
    return table


def write(path: Path, sample: pa.Table, n_rows: int) -> None:
    """Write rows as Parquet or CSV, in chunks, so that little of them is held."""
    rng = np.random.default_rng(0)
    is_csv = path.suffix == ".csv"
    with pyarrow.csv.CSVWriter(path, sample.schema) if is_csv else pq.ParquetWriter(path, sample.schema) as writer:
        for start in range(0, n_rows, _CHUNK):
            writer.write_table(jittered(sample, min(_CHUNK, n_rows - start), rng))
