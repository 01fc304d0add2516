"""How good a network is on held-out curves: against its anchor, against knowing nothing, and its spread."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bids_qmri.estimators.networks.features import interface
from bids_qmri.training.loss import anchored_loss, to_tensors
from bids_qmri.training.pool import FeatureRows, Pool
from bids_qmri.training.recipe import Recipe

CHUNK = 8192
"""Voxels that a network reads at once."""

SNR_BINS = 4
"""Bins of equal counts in which the coverage is reported."""

Array = npt.NDArray[np.float32]


def validate(recipe: Recipe, network: nn.Module, pool: Pool, *, anchor: bool) -> dict[str, Any]:
    """Return figures of merit by quantity on held-out rows, and the mean loss under ``loss``.

    ``mse_over_anchor`` and ``mse_over_prior`` compare mean squared errors in box units with those of the
    anchor and of the middle of the box; ``coverage`` is the share of truths within one spread, overall and in
    bins of increasing signal-to-noise ratio (``_by_snr``). `anchor` says whether the network corrects a fit.
    Quantities that were never free are left out.
    """
    rows, u, sd, loss = _predict(network, pool, anchor)
    table: dict[str, Any] = {"loss": loss}
    edges = np.quantile(rows.snr, np.linspace(0.0, 1.0, SNR_BINS + 1)[1:-1])
    for k, name in enumerate(interface(recipe.forward)[0]):
        free = rows.free[:, k] > 0
        if not free.any():
            continue
        truth, error = rows.truth[free, k], np.abs(u - rows.truth)[free, k]
        squares, of_anchor = error**2, (rows.centre[free, k] - truth) ** 2
        covered, bins = error <= sd[free, k], np.digitize(rows.snr[free], edges)
        chosen = [bins == i for i in range(SNR_BINS)]
        table[name] = {
            "mse_over_anchor": digits(squares.mean() / of_anchor.mean()),
            "mse_over_anchor_by_snr": [
                digits(squares[some].mean() / of_anchor[some].mean()) for some in chosen
            ],
            "mse_over_prior": digits(squares.mean() / np.mean((truth - 0.5) ** 2)),
            "coverage": digits(covered.mean()),
            "coverage_by_snr": [digits(covered[some].mean()) for some in chosen],
        }
    return table


def _predict(network: nn.Module, pool: Pool, anchor: bool) -> tuple[FeatureRows, Array, Array, float]:
    """Return all rows (paths left out), estimates and spreads in box units (V, K), and the mean loss."""
    parts = [part for rows in pool.values() for part in rows.parts(CHUNK)]
    estimates, spreads, losses = [], [], []
    with torch.inference_mode():
        for part in parts:
            batch = to_tensors(part, anchor=anchor)
            shift, spread = network(batch.path, batch.context)
            estimates.append((batch.centre + batch.width * shift).clamp(0.0, 1.0).numpy())
            spreads.append((batch.width * spread).numpy())
            losses.append(anchored_loss(network, batch).item())
    loss = digits(np.average(losses, weights=[len(part) for part in parts]))
    # without their paths, rows of any length can be joined
    joined = FeatureRows.joined(replace(part, path=part.path[:, :0]) for part in parts)
    return joined, np.concatenate(estimates), np.concatenate(spreads), loss


def digits(value: float | np.floating[Any]) -> float:
    """Return a number with four digits, for cards."""
    return float(f"{float(value):.4g}")
