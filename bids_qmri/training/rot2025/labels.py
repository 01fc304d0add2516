"""What the network learns to answer: the truth, a conventional fit of the noisy signals, or a mixture.

Epstein et al., doi:10.59275/j.melba.2024-geb5. A weighted sum of two mean squared errors, one against each
label, has the gradient of one mean squared error against the weighted mean of both, which is what a composite
label is here.
"""

from __future__ import annotations

import numpy as np

from bids_qmri.techniques.noddi.fit import descend
from bids_qmri.estimators.classical.objective import LeastSquares, RicianLikelihood
from bids_qmri.techniques.noddi.encoding import encode
from bids_qmri.techniques.noddi.model import Noddi
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.training.progress import progress
from bids_qmri.training.rot2025.recipe import OUTPUTS, SchemeRecipe
from bids_qmri.training.rot2025.simulate import Simulated, chunks
from bids_qmri.units import FloatArray

_PLACES = [[p.name for p in Noddi.parameters].index(name) for name in OUTPUTS]
"""Where the parameters of the model have the outputs of the network."""


def make_labels(recipe: SchemeRecipe, scheme: DiffusionProtocol, simulated: Simulated) -> FloatArray:
    """Return the labels of simulated signals, (M, 3), in the order of `OUTPUTS`."""
    share = recipe.labels.share
    if share == 0.0:
        return simulated.truth
    return share * conventional_fit(recipe, scheme, simulated) + (1.0 - share) * simulated.truth


def conventional_fit(recipe: SchemeRecipe, scheme: DiffusionProtocol, simulated: Simulated) -> FloatArray:
    """Return estimates of the likelihood fit of every signal, started at the truth, (M, 3).

    Signals are divided by their mean at b = 0 already, which the fit takes for S0.
    """
    model = Noddi(recipe.diffusivity.d_par, recipe.diffusivity.d_iso)
    weighted = ~scheme.b0_mask
    assert scheme.bvecs is not None
    images = DiffusionProtocol(scheme.bvals[weighted], scheme.bvecs[weighted])
    encoding = encode(images, model.d_par, model.d_iso)
    columns = np.flatnonzero(weighted)[encoding.order]
    lower, upper = model.limits()
    fitted = np.empty_like(simulated.truth)
    parts = list(chunks(len(fitted)))
    for part in progress(parts, len(parts), "fitting the labels"):
        signal = np.ascontiguousarray(simulated.signal[part][:, columns].T, dtype=np.float64)
        objective: LeastSquares | RicianLikelihood = LeastSquares(signal)
        if recipe.labels.likelihood == "rician":
            objective = RicianLikelihood(signal, simulated.sigma[part])
        start = np.zeros((lower.size, signal.shape[1]))
        start[_PLACES] = simulated.truth[part].T
        start = np.clip(start, lower[:, None], upper[:, None])
        minimum, _ = descend(model, objective, encoding, simulated.direction[part].T, (lower, upper), start)
        fitted[part] = minimum.theta[_PLACES].T
    return fitted
