"""Draw the picture of all techniques for README: ``python docs/draw_techniques.py`` (a minute).

Signals of one slice of the phantoms with noise, fitted by least squares or the technique's own formula. The
values of tissues are of the order of those at 3 T: a truth to simulate from.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

import bids_qmri
from bids_qmri.demo import phantom
from bids_qmri.physics.arterial_input import parker
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.physics.protocol import Protocol
from bids_qmri.reports.colours import palette
from bids_qmri.techniques.noddi.model import noddi_signal

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap

FILE = Path(__file__).parent / "images" / "techniques.png"
SNR = 80.0
SLICE = phantom.SHAPE[2] // 2
X, Y = np.meshgrid(*(np.linspace(-1, 1, n) for n in phantom.SHAPE[:2]), indexing="ij")
B1 = 0.9 - 0.25 * (X**2 + Y**2)
"""Reached over nominal flip angle: low at the rim."""

HEAD = {
    "t1": (1.4, 0.85, 3.8, 1.9),
    "t2": (0.085, 0.07, 1.2, 0.13),
    "t2star": (0.05, 0.045, 0.4, 0.07),
    "r2star": (20.0, 22.0, 2.5, 14.0),
    "mtsat": (1.8, 3.2, 0.1, 1.2),
    "mtr": (38.0, 50.0, 5.0, 30.0),
    "pd": (850.0, 720.0, 1000.0, 900.0),
}
"""Grey and white matter, fluid, lesion: s, s, s, 1/s, percent, percent, scale of the images."""

Panel = tuple[str, np.ndarray, tuple[float, float], str]
"""Title, map, ends of the colour bar, colour map."""


def main() -> None:
    """Fit every technique and draw one map of each."""
    panels = [*relaxation(), *transfer(), *diffusion(), *perfusion()]
    figure, axes = plt.subplots(3, 4, figsize=(11, 8), facecolor="black", layout="constrained")
    for axis, (title, image, ends, colours) in zip(axes.flat, panels, strict=True):
        axis.set_title(title, color="white", fontsize=12)
        axis.axis("off")
        how = {
            "cmap": ListedColormap(palette(colours)[1:-1] / 255),
            "vmin": ends[0],
            "vmax": ends[1],
            "interpolation": "nearest",
        }
        bar = figure.colorbar(axis.imshow(np.rot90(image), **how), ax=axis, shrink=0.75)
        bar.ax.tick_params(colors="white", labelsize=9)
        bar.outline.set_visible(False)
    figure.savefig(FILE, dpi=90, facecolor="black")


def relaxation() -> Iterator[Panel]:
    """Yield T1, T2, T2* and B1+ of the head."""
    head = phantom.brain()
    known = {"efficiency": 0.95, "m0": HEAD["pd"], "s0": HEAD["pd"]}
    angles = np.deg2rad([2, 5, 10, 15, 25])
    flips = protocol("vfa", flip_angle=angles, repetition_time=np.array([0.012]))
    yield "T1 (s), flip angles", fitted(head, "vfa", "t1", flips, known), (0, 4), "lipari"
    inverted = protocol("irt1", inversion_time=np.array([0.05, 0.3, 0.8, 1.6, 3.2]))
    yield "T1 (s), inversions", fitted(head, "irt1", "t1", inverted, known), (0, 4), "lipari"
    echoes = np.arange(1, 17) * 0.01
    trains = protocol("epg", echo_time=echoes, refocusing_angle=np.pi)
    yield "T2 (s), spin echoes", fitted(head, "epg", "t2", trains, known | {"b1": B1}), (0, 0.2), "navia"
    yield "B1+, of the same", fitted(head, "epg", "b1", trains, known | {"b1": B1}), (0.6, 1), "cividis"
    gradient = protocol("megre", echo_time=np.arange(1, 9) * 0.005)
    yield "T2* (s), gradient echoes", fitted(head, "megre", "t2star", gradient, known), (0, 0.1), "navia"


def transfer() -> Iterator[Panel]:
    """Yield MT saturation of multi-parameter mapping, and the MT ratio."""
    head = phantom.brain()
    times = np.tile(np.arange(1, 7) * 0.0025, 3)
    weightings = {"flip_angle": np.deg2rad([6, 21, 6]), "repetition_time": [0.025] * 3, "mt": [0, 0, 1]}
    series = {name: np.repeat(np.asarray(value, float), 6) for name, value in weightings.items()}
    mapping = protocol("mpm", echo_time=times, **series)
    yield "MTsat (percent), MPM", fitted(head, "mpm", "mtsat", mapping, {}), (0, 4), "plasma"
    pulses = protocol("mtr", mt=np.array([0.0, 1.0]))
    yield "MTR (percent)", fitted(head, "mtr", "mtr", pulses, {"s0": HEAD["pd"]}), (0, 60), "plasma"


def diffusion() -> Iterator[Panel]:
    """Yield FA, NODDI and IVIM."""
    head, body = phantom.brain(), phantom.abdomen()
    shells = np.repeat([0.0, 1000, 2000], [2, 24, 40])
    scheme = DiffusionProtocol(shells, np.concatenate([np.zeros((2, 3)), spiral(24), spiral(40)]))
    inside = head.labels[..., SLICE] > 0
    around = np.stack([-Y, X, np.full_like(X, 0.3)], axis=-1)
    around /= np.linalg.norm(around, axis=-1, keepdims=True)
    md, fa = (head.image(head.values(name))[..., SLICE][inside] for name in ("md", "fa"))
    spread = fa / np.sqrt(3 - 2 * fa**2)
    low = scheme.chosen(np.flatnonzero(shells < 1500))
    along = (low.bvecs @ around[inside].T) ** 2
    decay = np.exp(-low.bvals[:, None] * md * (1 - spread + 3 * spread * along))
    shown = np.full(inside.shape, np.nan)
    shown[inside] = bids_qmri.fit("dti", noisy(1000 * decay).T, low, estimator="wls").maps["fa"]
    yield "FA, tensor", shown, (0, 1), "inferno"
    tissue = {name: head.values(name) for name in ("ndi", "odi", "fwf")}
    yield "NDI, NODDI", fitted(head, "noddi", "ndi", scheme, tissue, around), (0, 1), "viridis"
    low_b = protocol("ivim", bvals=np.array([0.0, 10, 20, 40, 60, 100, 150, 200, 400, 600, 800]))
    yield "f, IVIM", fitted(body, "ivim", "f", low_b, {}), (0, 0.3), "magma"


def perfusion() -> Iterator[Panel]:
    """Yield two maps of a dynamic contrast-enhanced series."""
    seconds = np.arange(0, 250, 5.0)
    fine = np.arange(0, 250, 1.0)
    plasma = np.where(fine > 20, parker(fine - 20), 0) / (1 - 0.42)
    series = protocol("etofts", time=seconds, aif_time=fine, aif=plasma)
    body = phantom.abdomen()
    yield "Ktrans (1/min), DCE", fitted(body, "etofts", "ktrans", series, {}), (0, 0.6), "inferno"
    yield "ve, of the same", fitted(body, "etofts", "ve", series, {}), (0, 0.6), "viridis"


def protocol(model: str, **fields: Any) -> Protocol:
    """Return a protocol of a model."""
    return bids_qmri.get_model(model).protocol(**fields)


def fitted(
    tissues: phantom.Phantom,
    model: str,
    name: str,
    series: Any,
    known: dict[str, Any],
    around: np.ndarray | None = None,
) -> np.ndarray:
    """Return a map of a slice, simulated with noise and fitted; NaN in air and where it is not determined."""
    forward = bids_qmri.get_model(model)
    labels = tissues.labels[..., SLICE]
    inside = labels > 0

    def of(parameter: str) -> np.ndarray:
        values = np.nan_to_num(known.get(parameter, HEAD.get(parameter, ())))
        if not np.size(values):
            values = tissues.values(parameter)
        if np.shape(values) == labels.shape:
            return values[inside]
        return np.broadcast_to(values, len(tissues.tissues))[labels[inside] - 1]

    if around is None:
        clean = forward.signal(np.stack([of(one.name) for one in forward.parameters]), series)
    else:
        clean = 1000 * noddi_signal(of("ndi"), of("odi"), of("fwf"), around[inside], series)
    image = np.full(labels.shape, np.nan)
    measured = concentration(clean) if model == "etofts" else noisy(clean)
    found = bids_qmri.fit(forward, measured.T, series)
    image[inside] = np.where(found.determined.get(name, True), found.maps[name], np.nan)
    return image


def noisy(signal: np.ndarray) -> np.ndarray:
    """Add Rician noise."""
    return add_rician_noise(signal, signal.max(axis=0).mean() / SNR, np.random.default_rng(1))


def concentration(clean: np.ndarray) -> np.ndarray:
    """Add noise to concentrations in mmol/L."""
    return clean + np.random.default_rng(1).normal(0, 0.02, clean.shape)


def spiral(count: int) -> np.ndarray:
    """Return directions over a half sphere, (count, 3)."""
    z = (np.arange(count) + 0.5) / count
    turn = np.pi * (1 + np.sqrt(5)) * np.arange(count)
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=1)


if __name__ == "__main__":
    main()
