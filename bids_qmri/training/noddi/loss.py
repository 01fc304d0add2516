"""What the network for any shells learns: the truth, with errors weighed by how well each can be known."""

from __future__ import annotations

from torch import Tensor, nn

from bids_qmri.training.loss import FLOOR, spread_loss, to_tensors
from bids_qmri.training.pool import Rows


def precision_loss(network: nn.Module, rows: Rows) -> Tensor:
    """Return the sum of the losses of both heads.

    Squared errors weigh with the inverse of the squared standard deviation that the network itself states,
    beyond FLOOR: otherwise voxels that say little, and schemes of few directions, rule what is learnt. The
    weight depends on the data alone, never on the truth, so that the optimum stays the posterior mean.
    """
    batch = to_tensors(rows, anchor=False)
    shift, spread = network(batch.path, batch.context)
    error = batch.center + batch.width * shift - batch.truth
    told = batch.width * spread.detach()
    weighted = error**2 / (told**2 + FLOOR**2)
    return weighted.mean() + spread_loss(shift, spread, batch)
