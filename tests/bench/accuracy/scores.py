"""The metrics of a prediction that did not come from `evaluate`, computed as it computes them."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score

from resmem_cli.data.kinds import Floats
from resmem_cli.model.metrics import row_loss


def scores(y: Floats, predictions: Floats) -> dict[str, float]:
    """Return every metric of [n] targets and [n, outputs] numbers or probabilities."""
    loss = row_loss(y, predictions)
    if predictions.shape[1] == 1:
        return {"rmse": float(np.sqrt(loss.mean())), "mae": float(np.sqrt(loss).mean())}
    found = {"accuracy": float((predictions.argmax(axis=1) == y).mean()), "log_loss": float(loss.mean())}
    return found | _roc_auc(y, predictions)


def _roc_auc(y: Floats, probabilities: Floats) -> dict[str, float]:
    """Return the AUC, of more than two classes the mean of each against the rest; nothing if all rows are of one."""
    n_classes = probabilities.shape[1]
    ranked = [1] if n_classes == 2 else range(n_classes)
    areas = [roc_auc_score(y == c, probabilities[:, c]) for c in ranked if 0 < (y == c).sum() < len(y)]
    return {"roc_auc": float(np.mean(areas))} if areas else {}
