"""How good a network is on held-out curves: against its anchor, against knowing nothing, and its spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bids_qmri.training.loss import anchored_loss, to_tensors
from bids_qmri.training.pool import FeatureRows, Pool

CHUNK = 8192
"""Voxels that a network reads at once."""

SNR_BINS = 4
"""Bins of equal counts in which the coverage is reported."""

Array = npt.NDArray[np.float32]


def validate(
    network: nn.Module, pool: Pool, names: Sequence[str], *, anchor: bool
) -> dict[str, dict[str, Any] | float]:
    """Return figures of merit by quantity, and the mean loss under ``loss``.

    ``mse_over_anchor`` and ``mse_over_prior`` compare mean squared errors in box units with those of the
    anchor and of the middle of the box; ``coverage`` is the share of truths within one spread, overall and in
    bins of increasing signal-to-noise ratio (``_by_snr``).

    Parameters
    ----------
    network
        As trained.
    pool
        Held-out data.
    names
        Names of the K quantities.
    anchor
        Whether the network corrects the fit or the middle of the box.
    """
    rows, u, sd, loss = _predict(network, pool, anchor)
    table: dict[str, dict[str, Any] | float] = {"loss": loss}
    edges = np.quantile(rows.snr, np.linspace(0.0, 1.0, SNR_BINS + 1)[1:-1])
    for k, name in enumerate(names):
        free = rows.free[:, k] > 0
        error = np.abs(u - rows.truth)[free, k]
        table[name] = _merits(
            error=error,
            of_anchor=(rows.center - rows.truth)[free, k],
            of_prior=rows.truth[free, k] - 0.5,
            covered=error <= sd[free, k],
            bins=np.digitize(rows.snr[free], edges),
        )
    return table


def _merits(
    error: Array,
    of_anchor: Array,
    of_prior: Array,
    covered: npt.NDArray[np.bool_],
    bins: npt.NDArray[np.intp],
) -> dict[str, Any]:
    """Return the figures of one quantity from the errors of network, anchor and middle of the box, (V,)."""
    selections = [bins == i for i in range(SNR_BINS)]

    def ratio(chosen: npt.NDArray[np.bool_] | slice) -> float:
        return digits(np.mean(error[chosen] ** 2) / np.mean(of_anchor[chosen] ** 2))

    return {
        "mse_over_anchor": ratio(slice(None)),
        "mse_over_anchor_by_snr": [ratio(chosen) for chosen in selections],
        "mse_over_prior": digits(np.mean(error**2) / np.mean(of_prior**2)),
        "coverage": digits(covered.mean()),
        "coverage_by_snr": [digits(covered[chosen].mean()) for chosen in selections],
    }


def _predict(network: nn.Module, pool: Pool, anchor: bool) -> tuple[FeatureRows, Array, Array, float]:
    """Return all rows (paths left out), estimates and spreads in box units (V, K), and the mean loss."""
    parts, estimates, spreads, losses, counts = [], [], [], [], []
    with torch.inference_mode():
        for rows in pool.values():
            for part in rows.parts(CHUNK):
                batch = to_tensors(part, anchor=anchor)
                shift, spread = network(batch.path, batch.context)
                estimates.append((batch.center + batch.width * shift).clamp(0.0, 1.0).numpy())
                spreads.append((batch.width * spread).numpy())
                losses.append(anchored_loss(network, batch).item())
                counts.append(len(part))
                parts.append(part.without_path())
    loss = digits(np.average(losses, weights=counts))
    return FeatureRows.joined(parts), np.concatenate(estimates), np.concatenate(spreads), loss


def digits(value: float | np.floating[Any]) -> float:
    """Return a number with four digits, for cards."""
    return float(f"{float(value):.4g}")
