"""What the network learns to answer: the truth, a conventional fit of the noisy signals, or a mixture.

Epstein et al., doi:10.59275/j.melba.2024-geb5. A weighted sum of two mean squared errors, one against each
label, has the gradient of one mean squared error against the weighted mean of both, which is what a composite
label is here.
"""

from __future__ import annotations

from bids_qmri.protocol import DiffusionProtocol
from bids_qmri.training.rot2025.recipe import SchemeRecipe
from bids_qmri.training.rot2025.simulate import Simulated
from bids_qmri.units import FloatArray


def make_labels(recipe: SchemeRecipe, scheme: DiffusionProtocol, simulated: Simulated) -> FloatArray:
    """Return the labels of simulated signals, (M, 3), in the order of `OUTPUTS`."""
    share = recipe.labels.share
    if share == 0.0:
        return simulated.truth
    return share * conventional_fit(recipe, scheme, simulated) + (1.0 - share) * simulated.truth


def conventional_fit(recipe: SchemeRecipe, scheme: DiffusionProtocol, simulated: Simulated) -> FloatArray:
    """Return estimates of the likelihood fit of every signal, started at the truth, (M, 3)."""
    raise NotImplementedError
