"""Direction averaging of diffusion series for models that only know the b-value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.protocol import DiffusionProtocol
from bids_qmri.units import FloatArray


def average_directions(
    signal: FloatArray, protocol: DiffusionProtocol, groups: npt.NDArray[np.intp]
) -> tuple[FloatArray, DiffusionProtocol]:
    """Average all images of one b-value, so that the result is the trace-weighted signal.

    Parameters
    ----------
    signal
        Magnitude signals, shape (V, N).
    protocol
        Diffusion weightings of the N images.
    groups
        Index of the b-value group of every image, 0 ... G-1, shape (N,).

    Returns
    -------
    signal
        Averages in the order of increasing b, shape (V, G); NaN where a value at b > 0 is not positive.
    protocol
        Mean b-value of each group, without directions, with the number of images averaged.

    Notes
    -----
    The geometric mean over directions decays with the mean diffusivity exactly where diffusion is Gaussian;
    an arithmetic mean does not. Images at b = 0 do not differ in direction and are averaged arithmetically.

    Examples
    --------
    >>> p = DiffusionProtocol(bvals=[0, 100, 100])
    >>> average_directions(np.array([[1.0, 0.9, 0.4]]), p, np.array([0, 1, 1]))[0].round(3)
    array([[1. , 0.6]])
    """
    order = np.argsort([protocol.bvals[groups == g].mean() for g in range(int(groups.max()) + 1)])
    averages, bvals, counts = [], [], []
    for group in order:
        members = groups == group
        images, weights = signal[:, members], protocol.weights[members]
        if np.all(protocol.b0_mask[members]):
            averages.append(np.average(images, axis=1, weights=weights))
        else:
            logs = np.log(np.where(images > 0, images, np.nan))
            averages.append(np.exp(np.average(logs, axis=1, weights=weights)))
        bvals.append(np.average(protocol.bvals[members], weights=weights))
        counts.append(weights.sum())
    averaged = DiffusionProtocol(
        bvals=np.array(bvals), averages=np.array(counts), b0_threshold=protocol.b0_threshold
    )
    return np.stack(averages, axis=1), averaged
