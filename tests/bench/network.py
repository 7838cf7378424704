"""A network from outside the tool, on images: its gain by a memory, as ONNX and as columns that it has written.

    python -m tests.bench.network [--data DIR] [--seeds N] [--epochs N] [--width N] [--rows N]

Per seed a small convolutional network is trained with PyTorch on 50,000 of Fashion-MNIST's training images and exported
to ONNX, its penultimate layer as the second output. The memory holds the 10,000 training images that it has not seen;
the official test images say what came of it. Then the same network's logits and embeddings are written as columns by
onnxruntime alone, and the columns are the base: both ways must give equal predictions.

`DIR` (default: RESMEM_DATA) holds fashion_mnist.parquet. Needs PyTorch and onnx, which no extra installs.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from resmem_cli.data.inference import Roles
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.workflow.adopt_base import FromColumns, FromFile, adopt_base
from resmem_cli.workflow.evaluate import evaluate
from resmem_cli.workflow.fit_residual import fit_residual
from resmem_cli.workflow.inputs import Input
from resmem_cli.workflow.predict import PredictOptions, predict
from resmem_cli.workflow.scoring import ScoreOptions

_N_TRAIN, _HELD_BACK = 60_000, 10_000
_MEMORY = MemoryOptions(space="model")
_BATCH = 128


class Network(torch.nn.Module):
    """Two convolutions and two layers on [n, 784] pixels; gives logits and the penultimate layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolutions = torch.nn.Sequential(
            torch.nn.Conv2d(1, width, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
            torch.nn.Conv2d(width, 2 * width, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        )  # fmt: skip
        self.penultimate = torch.nn.Linear(2 * width * 49, 64)
        self.last = torch.nn.Linear(64, 10)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen = self.convolutions(pixels.reshape(-1, 1, 28, 28) / 255.0)
        embedding = torch.relu(self.penultimate(seen.flatten(1)))
        return self.last(embedding), embedding


def exported(images: np.ndarray, labels: np.ndarray, path: Path, *, width: int, epochs: int, seed: int) -> None:
    """Train on [n, 784] pixels and write the network as ONNX."""
    torch.manual_seed(seed)
    network = Network(width)
    optimizer = torch.optim.Adam(network.parameters(), 0.001)
    pixels, classes = torch.tensor(images, dtype=torch.float32), torch.tensor(labels)
    for _ in range(epochs):
        for batch in torch.randperm(len(pixels)).split(_BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(pixels[batch])[0], classes[batch]).backward()
            optimizer.step()
    rows = {name: {0: "rows"} for name in ("pixels", "logits", "embedding")}
    names = {"input_names": ["pixels"], "output_names": ["logits", "embedding"]}
    torch.onnx.export(network.eval(), (torch.zeros(1, 784),), path, dynamic_axes=rows, dynamo=False, **names)


def written(model: Path, table: pa.Table, pixels: np.ndarray) -> pa.Table:
    """Return what the network says of images as columns of lists, beside their labels."""
    session = onnxruntime.InferenceSession(model)
    parts = [session.run(None, {"pixels": part}) for part in np.array_split(pixels, max(1, len(pixels) // 1_000))]
    logits, embedding = (np.concatenate(each) for each in zip(*parts, strict=True))
    columns = {name: pa.array(list(values)) for name, values in (("logits", logits), ("embedding", embedding))}
    return pa.table({**columns, "brightness": pixels.mean(axis=1), "label": table["label"]})


def probabilities(model: Path, source: Path, folder: Path) -> np.ndarray:
    out = folder / "scored.parquet"
    predict(
        Input((str(source),)), model, PredictOptions(str(out), score=ScoreOptions(keep="none", with_probabilities=True))
    )
    table = pq.read_table(out)
    return np.stack([table[name].to_numpy() for name in table.column_names if name.startswith("probability_")], axis=1)


def one_seed(images: pa.Table, seed: int, *, width: int, epochs: int, n_rows: int) -> dict[str, float]:
    chosen = np.random.default_rng(seed).permutation(_N_TRAIN)[:n_rows]
    held_back = len(chosen) * _HELD_BACK // _N_TRAIN
    parts = {"train": chosen[held_back:], "memory": chosen[:held_back], "test": np.arange(_N_TRAIN, images.num_rows)}
    names = [name for name in images.column_names if name != "label"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = {part: images.take(rows) for part, rows in parts.items()}
        pixels = {part: np.stack([t[n].to_numpy() for n in names], axis=1) for part, t in tables.items()}
        pixels = {part: values.astype(np.float32) for part, values in pixels.items()}
        model = folder / "network.onnx"
        labels = tables["train"]["label"].to_numpy()
        exported(pixels["train"], labels, model, width=width, epochs=epochs, seed=seed)
        for part in ("memory", "test"):
            pq.write_table(tables[part], folder / f"{part}.parquet")
            pq.write_table(written(model, tables[part], pixels[part]), folder / f"{part}_columns.parquet")
        outputs = {"logits": "logits", "embedding": "embedding"}
        ways = {
            "": FromFile(model, outputs),
            "_columns": FromColumns("logits", ("logits",), "embedding"),
        }
        found, began = {}, time.perf_counter()
        for suffix, origin in ways.items():
            memory, directory = Input((str(folder / f"memory{suffix}.parquet"),)), folder / f"model{suffix}"
            adopt_base(memory, Roles("label"), directory, origin)
            fitted = fit_residual(memory, directory, _MEMORY)
            found[suffix] = probabilities(directory, folder / f"test{suffix}.parquet", folder)
        seconds = time.perf_counter() - began
        metrics = evaluate(Input((str(folder / "test_columns.parquet"),)), folder / "model_columns").metrics
    assert fitted.selection is not None
    return {
        "accuracy base": metrics["accuracy"].base,
        "accuracy resmem": metrics["accuracy"].resmem,
        "log_loss base": metrics["log_loss"].base,
        "log_loss resmem": metrics["log_loss"].resmem,
        "log_loss gain % (test)": metrics["log_loss"].gain_percent,
        "log_loss gain % (folds)": 100 * fitted.selection.gain / fitted.selection.base_loss,
        "largest difference between the ways": float(np.abs(found[""] - found["_columns"]).max()),
        "seconds for both ways": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RESMEM_DATA", ".")))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--rows", type=int, default=_N_TRAIN)
    asked = parser.parse_args()
    images = pq.read_table(asked.data / "fashion_mnist.parquet")
    runs = [
        one_seed(images, seed, width=asked.width, epochs=asked.epochs, n_rows=asked.rows) for seed in range(asked.seeds)
    ]
    for name in runs[0]:
        values = [run[name] for run in runs]
        print(f"{name:40} {np.mean(values):.6g} ± {np.std(values, ddof=1) if len(values) > 1 else 0:.2g}")


if __name__ == "__main__":
    main()
