"""Which protocols, noise levels and boxes the sections of the benchmark simulate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_qmri.physics.arterial_input import parker as parker_blood
from bids_qmri.physics.arterial_input import plasma_from_blood, rata
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.dce.sampling import paper_times
from bids_qmri.techniques.ivim.sampling import paper_ivim
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.techniques.vfa.sampling import paper_vfa
from bids_qmri.units import FloatArray
from kuppens.cells import SEED, TABLE1, Cell

TR = 0.005
"""s. The study does not print its repetition time."""

HEMATOCRIT = 0.42
STEP = 0.5
"""s between the points of smooth arterial inputs."""

PAPER_SNR = {
    "vfa": (50.0, 100.0, 150.0, 200.0, 250.0, 300.0),
    "ivim": (5.0, 10.0, 20.0, 30.0, 40.0),
    "etofts": (5.0, 10.0, 20.0, 30.0, 40.0),
}
BEYOND_SNR = {"vfa": (600.0, 1000.0), "ivim": (80.0, 150.0), "etofts": (100.0,)}
LENGTHS = {"vfa": range(3, 9), "ivim": range(4, 11), "etofts": range(15, 21)}

WIDE = {
    "vfa": {"t1": (0.1, 5.0)},
    "ivim": {"d": (0.0, 4e-3), "dstar": (5e-3, 0.2), "f": (0.0, 0.7)},
    "etofts": {"kep": (0.01, 5.0), "ve": (0.01, 1.0), "vp": (0.0, 0.3), "t0": (0.0, 10.0)},
}
WIDE_SNR = {
    "vfa": (50.0, 100.0, 200.0, 300.0, 600.0),
    "ivim": (10.0, 20.0, 40.0, 80.0),
    "etofts": (5.0, 10.0, 20.0, 40.0),
}
SOME_SNR = {
    "vfa": (50.0, 100.0, 150.0, 300.0),
    "ivim": (5.0, 10.0, 20.0, 40.0),
    "etofts": (5.0, 10.0, 20.0, 40.0),
}

OSIPI_B = (0, 2, 5, 10, 20, 30, 50, 75, 100, 150, 250, 350, 400, 550, 700, 850, 1000, 1100)
"""Simulated b-values of the OSIPI task force for IVIM, s/mm^2."""


@dataclass(frozen=True)
class Size:
    """Curves per SNR of a cell, by section.

    Parameters
    ----------
    fixed, exact
        Fixed protocols; `exact` of them for slow estimators.
    protocols, variable
        Random protocols per sequence length, and curves of each.
    other
        All other sections.
    """

    fixed: int
    exact: int
    protocols: int
    variable: int
    other: int


FULL = Size(4000, 200, 8, 64, 2000)
QUICK = Size(300, 20, 1, 32, 200)


def fixed(size: Size) -> list[Cell]:
    """Return the protocols of Table 3, a cell per SNR."""
    return [
        Cell(
            "fixed",
            f"SNR {snr:g}",
            model,
            table3(model),
            (snr,),
            size.fixed,
            TABLE1[model],
            exact=size.exact,
        )
        for model in TABLE1
        for snr in PAPER_SNR[model] + BEYOND_SNR[model]
    ]


def variable(size: Size) -> list[Cell]:
    """Return random protocols of Table 2, a cell per protocol with all SNR."""
    cells = []
    for model, lengths in LENGTHS.items():
        for length in lengths:
            for index in range(size.protocols):
                protocol = table2(model, length, np.random.default_rng([SEED, length, index]))
                snr, label = PAPER_SNR[model] + BEYOND_SNR[model], f"protocol {length}-{index + 1}"
                cells.append(Cell("variable", label, model, protocol, snr, size.variable, TABLE1[model]))
    return cells


def wide(size: Size) -> list[Cell]:
    """Return truths and limits far wider than Table 1."""
    chosen = [("Table 3", model, table3(model)) for model in TABLE1]
    chosen.append(("TR 15 ms, flips 2/5/15/30°", "vfa", vfa(2, 5, 15, 30, tr=0.015)))
    chosen.append(("11 of the OSIPI b-values", "ivim", ivim(*ELEVEN_B)))
    return [
        Cell("wide", label, model, protocol, WIDE_SNR[model], size.other, WIDE[model])
        for label, model, protocol in chosen
    ]


def wrong_sigma(size: Size) -> list[Cell]:
    """Return Table 3 with noise levels that are not right, or estimated."""
    cells = []
    for model in TABLE1:
        for told in (0.7, 1.0, 1.3, None):
            label = "estimated" if told is None else f"x {told:g}"
            cells.append(
                Cell("sigma", label, model, table3(model), SOME_SNR[model], size.other, TABLE1[model], told)
            )
    return cells


ELEVEN_B = (0, 5, 10, 20, 50, 75, 100, 150, 250, 400, 700)


def outside(size: Size, data: Path | None) -> list[Cell]:
    """Return protocols that Table 2 never draws; the measured arterial input is left out without `data`."""
    chosen: dict[str, tuple[str, object]] = {
        "no 1°: 3/10/20/30°, TR 5 ms": ("vfa", vfa(3, 10, 20, 30)),
        "1/6/10/25°, TR 15 ms": ("vfa", vfa(1, 6, 10, 25, tr=0.015)),
        "2/5/15/30°, TR 15 ms": ("vfa", vfa(2, 5, 15, 30, tr=0.015)),
        "3/10/20/30°, TR 30 ms": ("vfa", vfa(3, 10, 20, 30, tr=0.030)),
        "2 flips: 4/18°, TR 15 ms": ("vfa", vfa(4, 18, tr=0.015)),
        "10 flips: 2-20°, TR 8 ms": ("vfa", vfa(*range(2, 21, 2), tr=0.008)),
        "11 of the OSIPI b-values": ("ivim", ivim(*ELEVEN_B)),
        "16 of the OSIPI b-values, to 850": ("ivim", ivim(*OSIPI_B[:16])),
        "17 of the OSIPI b-values, to 1000": ("ivim", ivim(*OSIPI_B[:17])),
        "b 0/10/50/100/200/400/700/1000": ("ivim", ivim(0, 10, 50, 100, 200, 400, 700, 1000)),
        "b 0/50/400/800": ("ivim", ivim(0, 50, 400, 800)),
        "40 x 3 s, Parker": ("etofts", dce(3.0 * np.arange(1, 41), parker)),
        "60 x 5 s, Parker": ("etofts", dce(5.0 * np.arange(1, 61), parker)),
        "17 x 9 s, Parker": ("etofts", dce(9.0 * np.arange(1, 18), parker)),
        "40 x 6 s, input of Rata et al.": ("etofts", dce(6.0 * np.arange(1, 41), rata)),
        "60 x 4 s, input of Rata et al.": ("etofts", dce(4.0 * np.arange(1, 61), rata)),
    }
    if data is not None:
        table = np.loadtxt(data / "sub-vfadce/perf/sub-vfadce_aif.tsv", skiprows=1)
        chosen["25 x 16.43 s, measured input"] = "etofts", DceProtocol(table[:, 0], table[:, 0], table[:, 1])
        frames = 6.0 * np.arange(1, 61)
        chosen["60 x 6 s, measured input"] = "etofts", DceProtocol(frames, table[:, 0], table[:, 1])
    return [
        Cell("outside", label, model, protocol, SOME_SNR[model], size.other, TABLE1[model])
        for label, (model, protocol) in chosen.items()
    ]


def table3(model: str) -> VfaProtocol | DiffusionProtocol | DceProtocol:
    """Return the fixed protocol of a model."""
    if model == "vfa":
        return vfa(1, 6, 10, 25)
    return ivim(0, 10, 20, 50, 100, 300, 600) if model == "ivim" else dce(9.0 * np.arange(1, 18), rata)


def table2(
    model: str, length: int, rng: np.random.Generator
) -> VfaProtocol | DiffusionProtocol | DceProtocol:
    """Draw a protocol of given length."""
    if model == "vfa":
        return paper_vfa(rng, TR, length)
    return paper_ivim(rng, length) if model == "ivim" else dce(paper_times(rng, length), rata)


def vfa(*degrees: float, tr: float = TR) -> VfaProtocol:
    return VfaProtocol(np.deg2rad(degrees), np.full(len(degrees), tr))


def ivim(*bvals: float) -> DiffusionProtocol:
    return DiffusionProtocol(np.array(bvals, dtype=np.float64))


def dce(time: FloatArray, curve: Callable[[FloatArray], FloatArray]) -> DceProtocol:
    """Return frames of a bolus that arrives at 0 s."""
    since = STEP * np.arange(int(np.ceil(time[-1] / STEP)) + 1)
    return DceProtocol(time, since, curve(since))


def parker(since: FloatArray) -> FloatArray:
    """Return the plasma concentration of Parker et al., for which training has no curve."""
    return plasma_from_blood(parker_blood(since), HEMATOCRIT)
