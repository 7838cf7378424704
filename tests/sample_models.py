"""How sample_data/models came about: two models of diamonds' prices that were trained outside of resmem.

    python -m tests.sample_models DIAMONDS

`DIAMONDS` is the whole data set as CSV or Parquet (sample_data/README.md says where it is from). Both are trained on
rows 12,001 to 27,000 of the order that the samples were drawn in, so that no sample row trained them. Needs LightGBM,
PyTorch and onnx, none of which the tests need.
"""

from __future__ import annotations

import sys
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import torch

MODELS = Path(__file__).parents[1] / "sample_data" / "models"
NUMBERS = ["carat", "depth", "table", "x", "y", "z"]
CATEGORIES = ["cut", "color", "clarity"]
_STEPS, _BATCH = 4_000, 256


def training_rows(path: Path) -> pd.DataFrame:
    whole = (pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)).drop_duplicates()
    return whole.iloc[np.random.default_rng(0).permutation(len(whole))[12_000:27_000]]


def boosted(rows: pd.DataFrame) -> str:
    """Return LightGBM's text of 80 small trees on every column."""
    features = rows[["carat", *CATEGORIES, *NUMBERS[1:]]].astype(dict.fromkeys(CATEGORIES, "category"))
    params = {"objective": "regression", "num_leaves": 12, "learning_rate": 0.1, "seed": 0, "verbose": -1}
    return lightgbm.train(params, lightgbm.Dataset(features, rows["price"]), 80).model_to_string()


class Network(torch.nn.Module):
    """A network on the six numbers, standardised within it, that gives its last hidden layer beside the price."""

    def __init__(self, features: torch.Tensor, prices: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("middle", features.mean(0))
        self.register_buffer("spread", features.std(0))
        self.register_buffer("unit", torch.stack([prices.mean(), prices.std()]))
        self.hidden = torch.nn.Sequential(
            torch.nn.Linear(len(NUMBERS), 48), torch.nn.ReLU(), torch.nn.Linear(48, 16), torch.nn.ReLU()
        )
        self.last = torch.nn.Linear(16, 1)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        embedding = self.hidden((features - self.middle) / self.spread)
        return self.last(embedding) * self.unit[1] + self.unit[0], embedding


def network(rows: pd.DataFrame) -> Network:
    torch.manual_seed(0)
    features = torch.tensor(rows[NUMBERS].to_numpy(), dtype=torch.float32)
    prices = torch.tensor(rows[["price"]].to_numpy(), dtype=torch.float32)
    model = Network(features, prices)
    optimizer = torch.optim.Adam(model.parameters(), 0.003)
    for _ in range(_STEPS):
        batch = torch.randint(len(rows), (_BATCH,))
        loss = ((model(features[batch])[0] - prices[batch]) / model.unit[1]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def main() -> None:
    rows = training_rows(Path(sys.argv[1]))
    MODELS.mkdir(exist_ok=True)
    (MODELS / "diamonds_lightgbm.txt").write_text(boosted(rows))
    torch.onnx.export(
        network(rows),
        (torch.zeros(1, len(NUMBERS)),),
        MODELS / "diamonds_network.onnx",
        input_names=["features"],
        output_names=["price", "embedding"],
        dynamic_axes={"features": {0: "rows"}, "price": {0: "rows"}, "embedding": {0: "rows"}},
        dynamo=False,
    )


if __name__ == "__main__":
    main()
