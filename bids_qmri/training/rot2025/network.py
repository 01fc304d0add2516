"""The network: normalised signals of one scheme in, parameters between 0 and 1 out."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from bids_qmri.training.rot2025.recipe import OUTPUTS, NetworkOptions


def perceptron(options: NetworkOptions, inputs: int) -> nn.Sequential:
    """Return an untrained network from `inputs` signals to `OUTPUTS`.

    Hidden layers have exponential linear units, the last one a hard sigmoid, clip(x / 6 + 1/2, 0, 1).
    """
    layers: list[nn.Module] = []
    for width, following in pairwise((inputs, *options.hidden)):
        layers += [nn.Linear(width, following), nn.ELU(options.elu, inplace=True)]
    layers += [nn.Linear(options.hidden[-1], len(OUTPUTS)), nn.Hardsigmoid()]
    return nn.Sequential(*layers)
