"""From magnitudes and phases to complex images."""

from __future__ import annotations

import numpy as np

from bids_qmri.estimation.preparation import Preparation, Scan, Voxels
from bids_qmri.estimators.base import Estimator
from bids_qmri.physics.model import Model
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.fieldmap.protocol import ComplexEchoes, PhaseImages
from bids_qmri.units import FloatArray


def prepare(model: Model, estimator: Estimator, scan: Scan) -> Preparation:
    """Prepare gradient echoes; arrays of voxels hold real and imaginary parts already."""
    protocol, images = scan.require_protocol(), scan.settings
    assert isinstance(protocol, ComplexEchoes)
    assert images is None or isinstance(images, PhaseImages)
    count, weighted = protocol.echo_time.size, bool(protocol.weighted)

    def convert(signal: FloatArray, voxels: Voxels) -> tuple[FloatArray, Protocol]:
        if images is None:
            return signal, protocol
        phase = signal[:, -count:] * images.scale
        size = signal[:, :count] if weighted else np.ones_like(phase)
        return np.concatenate([size * np.cos(phase), size * np.sin(phase)], axis=1), protocol

    used = {
        "FrequencyLimit": float(f"{protocol.limit:.6g}"),
        "PhaseWeights": "squared magnitudes" if weighted else "equal",
        **({} if images is None else {"PhaseScale": images.scale}),
    }
    # Few echoes leave residuals of phases alone: the noise is that of air, which phases do not show.
    return Preparation(
        convert,
        noise_is_common=weighted,
        residuals=(lambda signal, own: None) if weighted else None,
        used=used,
    )
