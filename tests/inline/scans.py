"""Series of known truth as lists of messages, one per image."""

from __future__ import annotations

import mrd
import numpy as np

from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.ivim.model import IVIM
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.techniques.vfa.protocol import VfaProtocol

SHAPE = (3, 6, 8)
"""Slices, rows, columns."""
FLIPS, TR = (3.0, 10.0, 20.0), 15.0
"""Degrees and ms."""
B_VALUES = (0.0, 0.0, 10.0, 20.0, 40.0, 80.0, 150.0, 200.0, 400.0, 600.0, 800.0, 0.0)


def vfa_volumes(shape=SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """True T1 in s, (slices, y, x), and images, (flips, slices, y, x), int16."""
    t1 = np.linspace(0.4, 3.0, int(np.prod(shape)))
    protocol = VfaProtocol(np.deg2rad(FLIPS), TR / 1000)
    signal = VFA.signal(np.stack([t1, np.full_like(t1, 2e5)]), protocol)
    return t1.reshape(shape), np.rint(signal).astype(np.int16).reshape(len(FLIPS), *shape)


def ivim_volumes(shape=SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """True D in mm^2/s and images, (b-values, slices, y, x), int16."""
    d = np.linspace(0.5e-3, 2.5e-3, int(np.prod(shape)))
    ones = np.ones_like(d)
    signal = IVIM.signal(np.stack([d, 0.05 * ones, 0.1 * ones, 8000 * ones]), DiffusionProtocol(B_VALUES))
    return d.reshape(shape), np.rint(signal).astype(np.int16).reshape(len(B_VALUES), *shape)


def flips(volumes: np.ndarray, **more) -> list[bytes]:
    """Messages of a VFA series: flip angles as contrasts, slice by slice."""
    return [
        mrd.image(image, mrd.meta(FlipAngle=FLIPS[i], RepetitionTime=TR), contrast=i, slice=k, **more)
        for i, volume in enumerate(volumes)
        for k, image in enumerate(volume)
    ]


def contrast_volumes(model: str, truth: np.ndarray) -> np.ndarray:
    """Images, (N, slices, y, x), int16, of inversion times or echo times of the one parameter in s."""
    times, shape = np.array(TIMES[model])[:, None] / 1000, SHAPE
    curves = {
        "irt1": lambda t: np.abs(1 - 1.9 * np.exp(-times / t)),
        "megre": lambda t: np.exp(-times / t),
        "mese": lambda t: np.exp(-times / t),
    }
    return np.rint(12000 * curves[model](truth.ravel())).astype(np.int16).reshape(len(times), *shape)


TIMES = {
    "irt1": [50.0, 200.0, 400.0, 700.0, 1100.0, 1700.0, 2600.0],
    "megre": [2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0],
    "mese": [10.0 * i for i in range(1, 9)],
}
"""Inversion times and echo times in ms."""


def contrasts(volumes: np.ndarray, model: str, attribute: str, **more) -> list[bytes]:
    """Messages of such a series: times as contrasts, slice by slice, told by an attribute or the header."""
    return [
        mrd.image(
            image,
            mrd.meta(**({attribute: TIMES[model][i]} if attribute else {"a": 1})),
            **{"contrast": i, "slice": k} | more,
        )
        for i, volume in enumerate(volumes)
        for k, image in enumerate(volume)
    ]


def weightings(volumes: np.ndarray, name: str = "DiffusionBValue", **more) -> list[bytes]:
    """Messages of a diffusion series: weightings as repetitions, slice by slice."""
    return [
        mrd.image(image, mrd.meta(**{name: B_VALUES[i]}), repetition=i, slice=k, **more)
        for i, volume in enumerate(volumes)
        for k, image in enumerate(volume)
    ]


def talk(port: int, name: str, images: list[bytes], *, xml: str = "<ismrmrdHeader/>", text: str = ""):
    """Send a whole series and return the answer."""
    extra = [mrd.text(text)] if text else []
    return mrd.exchange(port, mrd.config(name), mrd.header(xml), *extra, *images, mrd.CLOSE)
