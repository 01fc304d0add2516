"""Measurements of known truth: phantoms as datasets, and voxels as arrays, for tests of any program.

>>> import numpy as np
>>> from bids_qmri import DiffusionProtocol, fit
>>> from bids_qmri.testing import simulate
>>> protocol = DiffusionProtocol(np.array([0.0, 10, 20, 50, 100, 200, 400, 800]))
>>> signal, truth, sigma = simulate("ivim", protocol, voxels=100, snr=50)
>>> found = fit("ivim", signal, protocol, sigma=sigma)
>>> bool(np.median(np.abs(found.maps["d"] - truth["d"]) / truth["d"]) < 0.05)
True
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bids_qmri.catalogue import get_model
from bids_qmri.errors import InputError
from bids_qmri.physics.model import Model
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray


def simulate(
    model: str | Model, protocol: Protocol, *, voxels: int, snr: float, seed: int = 0
) -> tuple[FloatArray, dict[str, FloatArray], float]:
    """Simulate voxels over the range in which accuracy is reported.

    Parameters
    ----------
    model
        A word of ``--models``, or a model.
    protocol
        What is played out.
    voxels
        Number of voxels V.
    snr
        Largest mean signal of a measurement over the noise level; infinite: no noise.
    seed
        Of parameters and noise.

    Returns
    -------
    signal
        Shape (V, N): with Rician noise if magnitudes are without sign, else with Gaussian noise.
    truth
        Maps of parameters and derived quantities, each (V,).
    sigma
        The noise level.

    Raises
    ------
    InputError
        If the model cannot explain the protocol, or a number cannot be meant.
    """
    forward = get_model(model) if isinstance(model, str) else model
    _require(forward, protocol, voxels, snr)
    rng = np.random.default_rng(seed)
    maps = forward.draw(voxels, rng)
    clean = forward.predict(maps, protocol)
    if clean is None or np.isnan(clean).any():
        raise InputError(
            f"{forward.name} does not explain all {protocol.n_measurements} measurements",
            field="protocol",
            needed="measurements within its reach, such as b-values that are not too high",
        )
    theta = np.stack([maps[p.name] for p in forward.parameters])
    derived = zip((p.name for p in forward.derived), forward.derive(theta)[0], strict=True)
    hidden = {p.name for p in forward.parameters if p.internal}
    truth = {name: values for name, values in maps.items() if name not in hidden} | dict(derived)
    sigma = float(clean.mean(axis=0).max() / snr)
    if forward.magnitude and not forward.signed:
        return add_rician_noise(clean, sigma, rng), truth, sigma
    return clean + sigma * rng.standard_normal(clean.shape), truth, sigma


def _require(model: Model, protocol: Protocol, voxels: int, snr: float) -> None:
    if not isinstance(protocol, model.protocol):
        seen, needed = f"is a {type(protocol).__name__}", f"a {model.protocol.__name__} for {model.name}"
        raise InputError(seen, field="protocol", needed=needed)
    if reason := model.obstacle(protocol):
        raise InputError(reason, field="protocol", needed=f"a series that {model.name} can be fitted to")
    if voxels < 1 or not snr > 0:
        seen = f"{voxels} voxels at a signal-to-noise ratio of {snr:g}"
        raise InputError(seen, field="voxels, snr", needed="numbers above 0")


def write_phantoms(root: Path, *, seed: int = 0) -> None:
    """Write phantoms of a brain and an abdomen as a BIDS dataset: VFA with B1+, DTI, NODDI, IVIM, DCE.

    Parameters
    ----------
    root
        Folder to make; existing files are replaced.
    seed
        Of the noise.
    """
    from bids_qmri.demo.dataset import write_dataset

    write_dataset(root, seed)
