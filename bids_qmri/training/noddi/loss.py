"""What the network for any shells learns: the truth, with errors weighed by how well each can be known."""

from __future__ import annotations

from torch import Tensor, nn

from bids_qmri.training.loss import FLOOR, Tensors, spread_loss, to_tensors
from bids_qmri.training.pool import Rows


def precision_loss(network: nn.Module, rows: Rows) -> Tensor:
    """Return the sum of the losses of both heads."""
    batch = to_tensors(rows, anchor=False)
    shift, spread = network(batch.path, batch.context)
    return weighed_error(shift, spread, batch) + spread_loss(shift, spread, batch)


def weighed_error(shift: Tensor, spread: Tensor, batch: Tensors) -> Tensor:
    """Return the mean squared error over the squared standard deviation that the network states.

    Otherwise voxels that say little, and schemes of few directions, would rule what is learnt. The weight
    depends on the data alone, never on the truth, so that the optimum stays the posterior mean; `FLOOR` keeps
    it finite.
    """
    error = batch.center + batch.width * shift - batch.truth
    told = batch.width * spread.detach()
    weighted: Tensor = error**2 / (told**2 + FLOOR**2)
    return weighted.mean()
