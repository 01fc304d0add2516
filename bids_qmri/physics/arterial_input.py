"""Population arterial inputs: published concentration curves after a bolus, as functions of time.

Times are in s since the arrival of the bolus (zero concentration before it), concentrations in mmol/L. Each
input says whether its publication means whole blood or plasma, and only blood is divided by 1 - haematocrit:
`population_aif` returns plasma, ready for a `DceProtocol`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError, UsageError
from bids_qmri.units import SECONDS_PER_MINUTE, FloatArray


@dataclass(frozen=True)
class PopulationInput:
    """One published arterial input.

    Parameters
    ----------
    concentration
        Concentration in mmol/L at times in s since arrival; zero at negative times.
    compartment
        What the concentration refers to: ``"blood"`` (whole) or ``"plasma"``.
    reference
        doi of the publication.
    description
        One sentence for sidecars and methods.
    """

    concentration: Callable[[npt.ArrayLike], FloatArray]
    compartment: Literal["blood", "plasma"]
    reference: str
    description: str


def parker(time: npt.ArrayLike) -> FloatArray:
    """Return the whole-blood input of Parker et al. 2006: two Gaussians and a washout with sigmoid onset.

    Parameters
    ----------
    time
        Times in s since arrival, any shape.

    Notes
    -----
    The published curve starts at 0.08 mmol/L, not at zero. doi:10.1002/mrm.21066
    """
    t = np.asarray(time, dtype=np.float64) / SECONDS_PER_MINUTE
    since = np.maximum(t, 0.0)
    bolus = sum(
        area / (width * np.sqrt(2 * np.pi)) * np.exp(-0.5 * ((since - centre) / width) ** 2)
        for area, centre, width in ((0.809, 0.17046, 0.0563), (0.330, 0.365, 0.132))
    )
    washout = 1.050 * np.exp(-0.1685 * since) / (1 + np.exp(-38.078 * (since - 0.483)))
    return np.where(t >= 0, bolus + washout, 0.0)


GEORGIOU_WASHOUT = ((0.374303, 0.112690), (0.331186, 1.174512), (10.060879, 16.019627))
"""Amplitudes and rates (1/min) of the exponentials in `georgiou`."""


def georgiou(time: npt.ArrayLike) -> FloatArray:
    """Return the whole-blood input of Georgiou et al. 2019: three exponentials times recirculating boluses.

    Parameters
    ----------
    time
        Times in s since arrival, any shape.

    Notes
    -----
    Passage j + 1 starts j tau after arrival and is a gamma-variate density of shape (j + 1)(alpha + 1): each
    round through the body convolves the bolus with itself. The coefficients of the publication, as
    printed, miss the curve that its authors tabulate by up to 2.5 %. These were refitted to that curve, which
    they meet within 2e-5 mmol/L; they round to the printed ones, but for alpha (5.26). Agreement with the
    table is therefore no independent check. doi:10.1002/mrm.27524
    """
    from scipy.special import gammaln

    alpha, beta, tau = 5.266968, 0.03207892, 0.1285561
    t = np.asarray(time, dtype=np.float64) / SECONDS_PER_MINUTE
    since = np.maximum(t, 0.0)
    washout = sum(a * np.exp(-m * since) for a, m in GEORGIOU_WASHOUT)
    passages = np.zeros_like(since)
    for j in range(int(np.max(since, initial=0.0) / tau) + 1):
        shape = (j + 1) * (alpha + 1)
        begun = since > j * tau
        x = (since[begun] - j * tau) / beta
        # logarithms: powers and factorials overflow after a few minutes
        passages[begun] += np.exp((shape - 1) * np.log(x) - x - gammaln(shape)) / beta
    return np.where(t >= 0, washout * passages, 0.0)


def weinmann(time: npt.ArrayLike) -> FloatArray:
    """Return the plasma input of Weinmann et al. 1984 for 0.1 mmol/kg: two exponentials after a sudden bolus.

    Parameters
    ----------
    time
        Times in s since arrival, any shape.

    Notes
    -----
    Coefficients as in Tofts and Kermode 1991, who divide them by body weight. doi:10.1002/mrm.1910170208
    """
    t = np.asarray(time, dtype=np.float64) / SECONDS_PER_MINUTE
    since = np.maximum(t, 0.0)
    dose = 0.1
    return np.where(t >= 0, dose * (3.99 * np.exp(-0.144 * since) + 4.78 * np.exp(-0.0111 * since)), 0.0)


RATA = (7.9785, 0.5216, 0.0482, 0.2533, 32.8855, 0.1811, 9.1868, 15.8167)
"""Coefficients of `rata`: amplitude in mmol/L, washout, recirculation, its onset in min, and four rates in
1/min (of the first cosine, of slow washout, of dispersion, of the second cosine)."""


def rata(time: npt.ArrayLike) -> FloatArray:
    """Return the plasma input of Rata et al. 2016: raised cosines, dispersed, with one recirculation.

    Parameters
    ----------
    time
        Times in s since arrival, any shape.

    Notes
    -----
    Form of Orton et al. 2008 (doi:10.1088/0031-9155/53/5/005). Taken as plasma because its washout equals the
    Parker input divided by 1 - 0.42 within 5 %; code in circulation divides it by 1 - haematocrit once more.
    doi:10.1007/s00330-015-4012-9
    """
    amplitude, washout, recirculation, onset, first, slow, spread, second = RATA
    t = np.asarray(time, dtype=np.float64) / SECONDS_PER_MINUTE
    bolus = spread * _decaying_cosine(t, first, spread)
    again = recirculation * _raised_cosine(t - onset, second)
    tail = washout * _decaying_cosine(t - onset, second, slow)
    return amplitude * (bolus + again + tail)


def _raised_cosine(t: FloatArray, m: float) -> FloatArray:
    """Return one period of 1 - cos(m t) from t = 0 on, and zero elsewhere."""
    return np.where((t >= 0) & (t <= 2 * np.pi / m), 1 - np.cos(m * t), 0.0)


def _decaying_cosine(t: FloatArray, m: float, k: float) -> FloatArray:
    """Return the convolution of `_raised_cosine` with exp(-k t)."""
    inside = np.clip(t, 0.0, 2 * np.pi / m)
    decay = np.exp(-k * inside)
    oscillation = (k * np.cos(m * inside) + m * np.sin(m * inside) - k * decay) / (k**2 + m**2)
    return ((1 - decay) / k - oscillation) * np.exp(-k * np.maximum(t - inside, 0.0))


POPULATION_INPUTS = {
    "parker": PopulationInput(parker, "blood", "10.1002/mrm.21066", "Parker et al. 2006"),
    "georgiou": PopulationInput(georgiou, "blood", "10.1002/mrm.27524", "Georgiou et al. 2019"),
    "weinmann": PopulationInput(
        weinmann, "plasma", "10.1002/mrm.1910170208", "Weinmann et al. 1984 by Tofts and Kermode 1991"
    ),
    "rata": PopulationInput(rata, "plasma", "10.1007/s00330-015-4012-9", "Rata et al. 2016"),
}
"""Population inputs by the name that ``--aif`` and `population_aif` take."""


def plasma_from_blood(blood: npt.ArrayLike, hematocrit: float) -> FloatArray:
    """Convert whole-blood to plasma concentrations; the agent stays outside the red cells.

    Parameters
    ----------
    blood
        Whole-blood concentrations, any unit and shape.
    hematocrit
        Volume fraction of red cells, 0 or above and below 1.

    Raises
    ------
    InputError
        If `hematocrit` is no such fraction.
    """
    if not 0 <= hematocrit < 1:
        raise InputError(
            f"haematocrit is {hematocrit:g}",
            field="Hematocrit",
            needed="a fraction from 0 to below 1",
            fix="divide a percentage by 100, or pass --hematocrit",
        )
    return np.asarray(blood, dtype=np.float64) / (1 - hematocrit)


def population_aif(
    name: str, arrival_s: float, duration_s: float, hematocrit: float, step: float = 0.5
) -> tuple[FloatArray, FloatArray]:
    """Sample a population input for a scan.

    Parameters
    ----------
    name
        A key of `POPULATION_INPUTS`.
    arrival_s
        Arrival of the bolus in s on the clock of the scan.
    duration_s
        Time of the last frame in s on the same clock.
    hematocrit
        Volume fraction of red cells; used for whole-blood inputs only.
    step
        Distance of the samples in s; straight lines between samples 1 s apart or less are accurate.

    Returns
    -------
    time, plasma
        Times in s on the scan's clock, from arrival to at least the last frame, (M,), and plasma
        concentrations in mmol/L, (M,); a `DceProtocol` takes the concentration before them as zero.

    Raises
    ------
    UsageError
        If nobody published an input of that name.
    InputError
        If the bolus arrives after the last frame, or the haematocrit is no fraction.
    """
    if name not in POPULATION_INPUTS:
        raise UsageError(
            f"no arterial input is called {name!r}",
            field="--aif",
            needed=f"one of {', '.join(sorted(POPULATION_INPUTS))}, or a table",
        )
    if not arrival_s < duration_s:
        raise InputError(
            f"the bolus arrives at {arrival_s:g} s but the last frame is at {duration_s:g} s",
            field="BolusArrivalTime",
            needed="an arrival in s before the last frame",
        )
    population = POPULATION_INPUTS[name]
    since = step * np.arange(int(np.ceil((duration_s - arrival_s) / step)) + 1, dtype=np.float64)
    curve = population.concentration(since)
    plasma = plasma_from_blood(curve, hematocrit) if population.compartment == "blood" else curve
    return np.asarray(arrival_s + since), plasma
