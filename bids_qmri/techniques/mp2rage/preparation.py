"""From magnitudes and phases of both images to signed images, and flip angles by the transmit field."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bids_qmri.estimation.preparation import Preparation, Scan, Voxels
from bids_qmri.estimators.base import Estimator
from bids_qmri.physics.model import Model
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.mp2rage.protocol import Mp2rageProtocol
from bids_qmri.techniques.mp2rage.settings import Images
from bids_qmri.units import FloatArray


def prepare(model: Model, estimator: Estimator, scan: Scan) -> Preparation:
    """Prepare an MP2RAGE scan; voxels without a transmit field become NaN if others have one."""
    protocol, images = scan.require_protocol(), scan.settings
    assert isinstance(protocol, Mp2rageProtocol)
    assert images is None or isinstance(images, Images)
    field = scan.maps.get("b1")
    # Arrays of voxels hold signed images, or their combination.
    read = (lambda signal: signal) if images is None else _signed(images)

    def convert(signal: FloatArray, voxels: Voxels) -> tuple[FloatArray, Protocol]:
        own = read(signal)
        if field is None:
            return own, protocol
        factor = field[voxels]
        known = np.isfinite(factor)
        return np.where(known[:, None], own, np.nan), protocol.with_b1(np.where(known, factor, 1.0))

    used = {"B1Corrected": field is not None, **({} if images is None else images.fields())}
    if field is not None:
        used["B1Coverage"] = float(np.mean(np.isfinite(field[scan.mask])))
        used["B1Method"] = scan.facts.get("B1Method")
    # Two signals leave no residuals: the noise is that of air.
    return Preparation(convert, used=used, residuals=lambda signal, own: None)


def _signed(images: Images) -> Callable[[FloatArray], FloatArray]:
    """Return what turns images as measured, (V, n), into what is fitted, (V, N)."""
    if images.uniform_scale:
        return lambda signal: signal[:, :1] / images.uniform_scale + images.uniform_shift

    def signed(signal: FloatArray) -> FloatArray:
        first, second, *phases = signal.T
        turn = (phases[0] - phases[1]) * images.phase_scale
        # The second image is taken as positive, which it is for T1 below twice its inversion time.
        return np.stack([first * np.cos(turn), second], axis=1)

    return signed
