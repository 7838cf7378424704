"""The metrics of a prediction that did not come from `evaluate`, computed as it computes them."""

from __future__ import annotations

import numpy as np

from resmem_cli.data.kinds import Floats
from resmem_cli.model.metrics import row_loss


def scores(y: Floats, predictions: Floats) -> dict[str, float]:
    """Return every metric of [n] targets and [n, outputs] numbers or probabilities."""
    loss = row_loss(y, predictions)
    if predictions.shape[1] == 1:
        return {"rmse": float(np.sqrt(loss.mean())), "mae": float(np.sqrt(loss).mean())}
    return {"accuracy": float((predictions.argmax(axis=1) == y).mean()), "log_loss": float(loss.mean())}
