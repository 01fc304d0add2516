"""Draw the curves of every model for tissue values, as docs/models.md shows them.

``python docs/model_figures.py docs/images`` writes ``model-NAME.png``. Values are those of tissue at 3 T, to
show shapes; curves are those of the models themselves.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from bids_qmri.catalogue import get_model
from bids_qmri.physics.arterial_input import parker, plasma_from_blood
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.transmit import DoubleAngle, TwoRepetitionTimes
from bids_qmri.techniques.noddi.model import noddi_signal
from bids_qmri.units import FloatArray

Curves = Mapping[str, tuple[FloatArray, FloatArray]]
"""Values along the axis, and of the signal, by what the legend says."""

Drawing = tuple[Curves, str, str]
"""Curves, and the words of both axes."""

PAPER = "#ffffff"  # pages are light or dark; the picture brings its own ground
MS = 1e-3
SIGNAL = "signal / amplitude"


def signal(name: str, theta: Sequence[float], **played: FloatArray | float) -> FloatArray:
    """Return the signal of one voxel, shape (N,)."""
    model = get_model(name)
    return np.asarray(model.signal(np.array(theta)[:, None], model.protocol(**played))[:, 0])


def vfa() -> Drawing:
    """T1 from flip angles."""
    angles = np.linspace(0.5, 30, 120)
    played = {"flip_angle": np.deg2rad(angles), "repetition_time": 0.012}
    tissue = {"white matter": 0.85, "grey matter": 1.4, "cerebrospinal fluid": 3.8}
    return (
        {f"{who}, T1 {t1} s": (angles, signal("vfa", (t1, 1.0), **played)) for who, t1 in tissue.items()},
        "flip angle (degrees)",
        SIGNAL,
    )


def irt1() -> Drawing:
    """T1 from inversion times."""
    times = np.linspace(0.01, 4, 200)
    tissue = {"white matter": 0.85, "grey matter": 1.4, "cerebrospinal fluid": 3.8}
    return (
        {
            f"{who}, T1 {t1} s": (times, signal("irt1", (t1, 0.95, 1.0), inversion_time=times))
            for who, t1 in tissue.items()
        },
        "inversion time (s)",
        SIGNAL,
    )


def mese() -> Drawing:
    """T2 from spin echoes."""
    times = np.linspace(1, 200, 100)
    tissue = {"muscle": 40, "white matter": 75, "grey matter": 95}
    return (
        {
            f"{who}, T2 {t2} ms": (
                times,
                signal("mese", (t2 * MS, 1.0), echo_time=times * MS, refocusing_angle=np.pi),
            )
            for who, t2 in tissue.items()
        },
        "echo time (ms)",
        SIGNAL,
    )


def epg() -> Drawing:
    """Trains whose pulses refocus less than all."""
    times = 10.0 * np.arange(1, 17)
    shares = (1.0, 0.85, 0.7)
    return (
        {
            f"T2 75 ms, {share:.0%} of 180 degrees": (
                times,
                signal("epg", (0.075, share, 1.0), echo_time=times * MS, refocusing_angle=np.pi),
            )
            for share in shares
        },
        "echo time (ms)",
        SIGNAL,
    )


def megre() -> Drawing:
    """T2* from gradient echoes."""
    times = np.linspace(0.5, 60, 100)
    tissue = {"liver, overloaded with iron": 3, "liver": 23, "white matter": 53}
    return (
        {
            f"{who}, T2* {t} ms": (times, signal("megre", (t * MS, 1.0), echo_time=times * MS))
            for who, t in tissue.items()
        },
        "echo time (ms)",
        SIGNAL,
    )


def fieldmap() -> Drawing:
    """Phase over echo times."""
    times = np.linspace(0.5, 12, 300)
    curves = {}
    for hertz in (20.0, -60.0, 150.0):
        parts = signal("fieldmap", (hertz, 1.0, 20.0, 0.0), echo_time=times * MS, weighted=1.0)
        phase = np.angle(parts[: times.size] + 1j * parts[times.size :])
        curves[f"{hertz:g} Hz"] = (
            times,
            np.where(np.abs(np.diff(phase, prepend=phase[0])) > np.pi, np.nan, phase),
        )
    return curves, "echo time (ms)", "phase (rad)"


def mpm() -> Drawing:
    """Three weightings and their echoes."""
    times = np.linspace(2, 20, 60)
    weightings = {"PD weighted, 6°": (6, 0), "T1 weighted, 21°": (21, 0), "MT weighted, 6°": (6, 1)}
    theta, ones = (0.95, 20.0, 1.8, 1.0), np.ones(60)
    return (
        {
            text: (
                times,
                signal(
                    "mpm",
                    theta,
                    flip_angle=np.deg2rad(angle * ones),
                    repetition_time=0.025,
                    echo_time=times * MS,
                    mt=pulse * ones,
                ),
            )
            for text, (angle, pulse) in weightings.items()
        },
        "echo time (ms)",
        "signal / PD",
    )


def mtr() -> Drawing:
    """Signal with and without the pulse."""
    tissue = {"white matter, MTR 45 %": 45.0, "grey matter, MTR 32 %": 32.0, "fluid, MTR 3 %": 3.0}
    pulse = np.array([0.0, 1.0])
    return (
        {text: (pulse, signal("mtr", (value, 1.0), mt=pulse)) for text, value in tissue.items()},
        "MT pulse: 0 off, 1 on",
        SIGNAL,
    )


def mp2rage() -> Drawing:
    """UNI over T1 at three transmit fields."""
    t1 = np.linspace(0.2, 4.5, 200)
    model = get_model("mp2rage")
    timing = {"inversion_time": [0.7, 2.5], "flip_angle": np.deg2rad([4, 5]), "repetition_time": 0.0068}
    curves = {}
    for field in (0.8, 1.0, 1.2):
        protocol = model.protocol(**timing, cycle_time=5.0, shots=[35, 72], b1=field)
        curves[f"B1+ {field}"] = (t1, np.asarray(model.signal(t1[None], protocol)[0]))
    return curves, "T1 (s)", "UNI"


def tb1() -> Drawing:
    """Ratios that tell the field."""
    field, model = np.linspace(0.5, 1.5, 100), get_model("tb1")
    kinds = {
        "TB1AFI, 60°, 20 and 100 ms: second over first": TwoRepetitionTimes(
            np.deg2rad([60, 60]), np.array([0.02, 0.1])
        ),
        "TB1DAM, 60° and 120°: second over first": DoubleAngle(np.deg2rad([60, 120])),
    }
    curves = {}
    for text, protocol in kinds.items():
        first, second = model.signal(np.stack([field, np.ones_like(field)]), protocol)
        curves[text] = (field, second / first)
    return curves, "B1+ (actual over nominal angle)", "ratio of signals"


def ivim() -> Drawing:
    """Perfusion and diffusion."""
    b = np.linspace(0, 800, 200)
    tissue = {
        "liver, D 1.1, D* 70, f 0.23": (1.1e-3, 0.07, 0.23, 1.0),
        "kidney, D 1.9, D* 41, f 0.19": (1.9e-3, 0.041, 0.19, 1.0),
        "spleen, D 0.8, D* 40, f 0.1": (0.8e-3, 0.04, 0.1, 1.0),
    }
    return (
        {text: (b, signal("ivim", theta, bvals=b)) for text, theta in tissue.items()},
        "b (s/mm²); D and D* in 10⁻³ mm²/s",
        "S / S0",
    )


def adc() -> Drawing:
    """One exponential."""
    b = np.linspace(0, 1000, 100)
    values = {"ADC 0.7": 0.7e-3, "ADC 1.4": 1.4e-3, "ADC 3.0, free water": 3e-3}
    return (
        {text: (b, signal("adc", (v, 1.0), bvals=b)) for text, v in values.items()},
        "b (s/mm²); ADC in 10⁻³ mm²/s",
        "S / S0",
    )


def dti() -> Drawing:
    """Along and across a bundle, without and with kurtosis."""
    b = np.linspace(0, 2500, 120)
    along, across = np.tile([1.0, 0, 0], (120, 1)), np.tile([0, 1.0, 0], (120, 1))
    tensor = (1.7e-3, 0.0, 0.35e-3, 0.0, 0.0, 0.35e-3)
    kurtosis = np.zeros(15)
    kurtosis[:3] = 1.2, 0.4, 0.4  # along the axes
    kurtosis[9:12] = 0.25
    kurtosis *= 0.8e-3**2  # as the model has it: times the squared mean diffusivity
    return (
        {
            "DTI, along": (b, signal("dti", (*tensor, 1.0), bvals=b, bvecs=along)),
            "DTI, across": (b, signal("dti", (*tensor, 1.0), bvals=b, bvecs=across)),
            "DKI, along": (b, signal("dki", (*tensor, *kurtosis, 1.0), bvals=b, bvecs=along)),
            "DKI, across": (b, signal("dki", (*tensor, *kurtosis, 1.0), bvals=b, bvecs=across)),
        },
        "b (s/mm²); eigenvalues 1.7, 0.35, 0.35 · 10⁻³ mm²/s",
        "S / S0",
    )


def noddi() -> Drawing:
    """Signal over the angle to the neurites."""
    degrees = np.linspace(0, 90, 91)
    turned = np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees)), 0 * degrees], axis=1)
    protocol = DiffusionProtocol(np.full(91, 2000.0), turned)
    tissue = {
        "white matter, NDI 0.65, ODI 0.15, FWF 0.05": (0.65, 0.15, 0.05),
        "grey matter, NDI 0.45, ODI 0.45, FWF 0.1": (0.45, 0.45, 0.1),
        "lesion, NDI 0.3, ODI 0.55, FWF 0.25": (0.3, 0.55, 0.25),
    }
    curves = {}
    for text, values in tissue.items():
        parts = (np.array([value]) for value in values)
        curves[text] = (degrees, noddi_signal(*parts, np.array([[1.0, 0, 0]]), protocol)[:, 0])
    return curves, "angle to the neurites (degrees), b = 2000 s/mm²", "S / S0"


def etofts() -> Drawing:
    """Concentration in tissue after a bolus."""
    time = np.linspace(0, 300, 300)
    aif_time = np.arange(301.0)
    plasma = plasma_from_blood(np.where(aif_time > 20, parker(aif_time - 20), 0.0), 0.42)
    tissue = {
        "liver, Ktrans 0.3, ve 0.25, vp 0.04": (1.2, 0.25, 0.04, 0.0),
        "muscle, Ktrans 0.06, ve 0.12, vp 0.01": (0.5, 0.12, 0.01, 0.0),
        "lesion, Ktrans 0.18, ve 0.45, vp 0.03": (0.4, 0.45, 0.03, 0.0),
    }
    played = {"time": time, "aif_time": aif_time, "aif": plasma}
    return (
        {text: (time, signal("etofts", theta, **played)) for text, theta in tissue.items()},
        "time (s); Ktrans in 1/min, input of Parker",
        "concentration (mmol/L)",
    )


DRAWINGS: tuple[Callable[[], Drawing], ...] = (
    vfa,
    irt1,
    mese,
    epg,
    megre,
    fieldmap,
    mpm,
    mtr,
    mp2rage,
    tb1,
    ivim,
    adc,
    dti,
    noddi,
    etofts,
)


def draw(drawing: Drawing, path: Path) -> None:
    """Write one picture."""
    from matplotlib.figure import Figure

    curves, along, what = drawing
    with mpl.rc_context({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}):
        figure = Figure(figsize=(5.2, 3), layout="constrained", facecolor=PAPER)
        axis = figure.add_subplot()
        for text, (x, y) in curves.items():
            axis.plot(x, y, label=text, marker="o" if len(x) < 20 else "", ms=4)
        axis.set(xlabel=along, ylabel=what)
        low, high = axis.get_ylim()
        axis.set_ylim(low, high + 0.3 * (high - low))  # room for the legend
        axis.legend(loc="upper right", frameon=False, fontsize=8)
        figure.savefig(path, dpi=100, metadata={"Software": ""})


def main(argv: Sequence[str] | None = None) -> int:
    """Write all pictures into a folder."""
    parser = argparse.ArgumentParser(prog="docs/model_figures.py", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(argv).folder
    for drawn in DRAWINGS:
        draw(drawn(), folder / f"model-{drawn.__name__}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
