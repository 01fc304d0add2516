"""Tiny datasets of known truth for the collections of BIDS beside VFA: inversions, echoes, MT pulses.

As in `synth`, the formulas here are written anew. A border of air with noise tells the noise of scans of few
images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from synth import place, ramp, write_image, write_json

SHAPE, BODY = (28, 28, 3), (slice(8, 20), slice(8, 20))
SIGMA = 2.0
Truth = dict[str, np.ndarray]


def whole(values: np.ndarray) -> np.ndarray:
    """Return values of the body with 0 around it."""
    grid = np.zeros(SHAPE)
    grid[BODY] = values
    return grid


def body(low: float, high: float) -> np.ndarray:
    """Return values from low to high over the body, every voxel another one."""
    return ramp(low, high, (12, 12, 3))


def noisy(clean: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    """Return magnitudes with noise."""
    rng = np.random.default_rng(seed)
    real, imaginary = sigma * rng.normal(size=(2, *SHAPE))
    return np.hypot(whole(clean) + real, imaginary)


def add_series(
    root: Path, datatype: str, images: Mapping[str, tuple[np.ndarray, dict[str, Any]]], sigma: float = SIGMA
) -> None:
    """Write images and sidecars by name, ``sub-01_inv-1_IRT1``, with noise."""
    for seed, (name, (clean, keys)) in enumerate(images.items()):
        write_image(place(root, datatype, f"{name}.nii.gz"), noisy(clean, sigma, seed))
        write_json(place(root, datatype, f"{name}.json"), keys)


def add_irt1(
    root: Path,
    times: Sequence[float] = (0.05, 0.3, 0.6, 1.0, 1.6, 2.5),
    efficiency: float = 0.9,
    sigma: float = SIGMA,
) -> Truth:
    """Write inversion recovery of magnitudes."""
    truth = {"t1": body(0.4, 1.8), "m0": body(900, 1100), "efficiency": np.full((12, 12, 3), efficiency)}
    images = {}
    for index, time in enumerate(times, 1):
        signal = np.abs(truth["m0"] * (1 - 2 * efficiency * np.exp(-time / truth["t1"])))
        images[f"sub-01_inv-{index}_IRT1"] = (signal, {"InversionTime": time})
    add_series(root, "anat", images, sigma)
    return truth


def add_echoes(
    root: Path, suffix: str, decay: np.ndarray, times: Sequence[float], sigma: float = SIGMA
) -> Truth:
    """Write echoes that decay with one time constant in s."""
    s0 = body(900, 1100)
    images = {
        f"sub-01_echo-{index}_{suffix}": (s0 * np.exp(-time / decay), {"EchoTime": time})
        for index, time in enumerate(times, 1)
    }
    add_series(root, "anat", images, sigma)
    return {"decay": decay, "s0": s0}


def add_megre(root: Path, sigma: float = SIGMA) -> Truth:
    """Write gradient echoes of T2* 10 to 60 ms."""
    return add_echoes(root, "MEGRE", body(0.01, 0.06), [0.003 * i for i in range(1, 9)], sigma)


def add_phases(
    root: Path, times: Sequence[float], sigma: float = SIGMA, scale: float = 1.0, offset: float = 0.0
) -> Truth:
    """Write magnitudes and phases of gradient echoes; stored phases times `scale` plus `offset` are rad."""
    truth = {"b0": body(-120, 120), "r2star": body(15, 40), "s0": body(900, 1100)}
    rng = np.random.default_rng(7)
    for index, time in enumerate(times, 1):
        clean = truth["s0"] * np.exp(time * (2j * np.pi * truth["b0"] - truth["r2star"]) + 0.6j)
        grid = np.zeros(SHAPE, dtype=complex)
        grid[BODY] = clean
        real, imaginary = sigma * rng.normal(size=(2, *SHAPE))
        image = grid + real + 1j * imaginary
        for part, values in (("mag", np.abs(image)), ("phase", (np.angle(image) - offset) / scale)):
            name = f"sub-01_echo-{index}_part-{part}_MEGRE"
            write_image(place(root, "anat", f"{name}.nii.gz"), values)
            write_json(place(root, "anat", f"{name}.json"), {"EchoTime": time})
    return truth


def add_mese(root: Path, sigma: float = SIGMA) -> Truth:
    """Write spin echoes of T2 30 to 150 ms without stimulated echoes."""
    return add_echoes(root, "MESE", body(0.03, 0.15), [0.012 * i for i in range(1, 13)], sigma)


def add_mt_series(
    root: Path,
    suffix: str = "MPM",
    echoes: Sequence[float] = (0.0023, 0.0046, 0.0069, 0.0092),
    b1: np.ndarray | float = 1.0,
    sigma: float = SIGMA,
    with_mt: bool = True,
) -> Truth:
    """Write PD-, T1- and MT-weighted spoiled gradient echoes; of MTS, one echo each."""
    truth = {"t1": body(0.7, 1.8), "r2star": body(10, 40), "mtsat": body(0.5, 3.5), "pd": body(9000, 11000)}
    tr, images = 0.025, {}
    saturation = 0.01 * truth["mtsat"] * b1**2 * (1 - 0.4 * b1) / 0.6
    for flip, (angle, mt) in enumerate([(6, True), (6, False), (21, False)], 1):
        if mt and not with_mt:
            continue
        rad, e1 = np.deg2rad(angle) * b1, np.exp(-tr / truth["t1"])
        steady = truth["pd"] * np.sin(rad) * (1 - e1) / (1 - (1 - mt * saturation) * np.cos(rad) * e1)
        for number, echo in enumerate(echoes, 1):
            state = f"mt-{'on' if mt else 'off'}"
            middle = f"echo-{number}_flip-{flip}_{state}" if len(echoes) > 1 else f"flip-{flip}_{state}"
            keys = {"FlipAngle": angle, "RepetitionTimeExcitation": tr, "EchoTime": echo, "MTState": mt}
            images[f"sub-01_{middle}_{suffix}"] = (steady * np.exp(-echo * truth["r2star"]), keys)
    add_series(root, "anat", images, sigma)
    return truth


def add_mtr(root: Path, sigma: float = SIGMA) -> Truth:
    """Write a pair with and without an MT pulse."""
    truth = {"mtr": body(10, 50), "s0": body(900, 1100)}
    with_pulse = truth["s0"] * (1 - truth["mtr"] / 100)
    add_series(
        root,
        "anat",
        {
            "sub-01_mt-on_MTR": (with_pulse, {"MTState": True}),
            "sub-01_mt-off_MTR": (truth["s0"], {"MTState": False}),
        },
        sigma,
    )
    return truth


MP2RAGE_KEYS = {
    "RepetitionTimeExcitation": 0.007,
    "RepetitionTimePreparation": 6.0,
    "NumberShots": 160,
    "MagneticFieldStrength": 7,
}


def mp2rage_signals(t1: np.ndarray, b1: np.ndarray | float = 1.0) -> list[np.ndarray]:
    """Return both signals, pulse by pulse until the steady state: TI 0.8 and 2.7 s, 4 and 5 degrees."""
    magnetisation, found = np.ones_like(t1), []
    recover = np.exp(-0.007 / t1)
    for _ in range(12):
        found, clock = [], 0.0
        magnetisation = -0.96 * magnetisation
        for centre, degrees in ((0.8, 4.0), (2.7, 5.0)):
            wait = np.exp(-(centre - 80 * 0.007 - clock) / t1)
            magnetisation = 1 + (magnetisation - 1) * wait
            for pulse in range(160):
                if pulse == 80:
                    found.append(np.sin(np.deg2rad(degrees) * b1) * magnetisation)
                magnetisation = 1 + (magnetisation * np.cos(np.deg2rad(degrees) * b1) - 1) * recover
            clock = centre + 80 * 0.007
        magnetisation = 1 + (magnetisation - 1) * np.exp(-(6.0 - clock) / t1)
    return found


def add_mp2rage(root: Path, b1: np.ndarray | float = 1.0, sigma: float = 1.0) -> Truth:
    """Write magnitudes and phases of both inversions."""
    truth = {"t1": body(0.6, 3.0)}
    rng = np.random.default_rng(5)
    for index, (signal, time, angle) in enumerate(
        zip(mp2rage_signals(truth["t1"], b1), (0.8, 2.7), (4, 5), strict=True), 1
    ):
        real, imaginary = sigma * rng.normal(size=(2, *SHAPE))
        image = (whole(20000 * signal) + real + 1j * imaginary) * np.exp(0.7j)
        keys = MP2RAGE_KEYS | {"InversionTime": time, "FlipAngle": angle}
        for part, values in (("mag", np.abs(image)), ("phase", np.angle(image))):
            name = f"sub-01_inv-{index}_part-{part}_MP2RAGE"
            write_image(place(root, "anat", f"{name}.nii.gz"), values)
            write_json(place(root, "anat", f"{name}.json"), keys)
    return truth


def add_uniform(root: Path, t1: np.ndarray, twelve_bits: bool = False, **more: Any) -> None:
    """Write the combined image alone; air holds values of all sizes, as scanners leave it."""
    first, second = mp2rage_signals(t1)
    values = np.random.default_rng(3).uniform(-0.5, 0.5, SHAPE)
    values[BODY] = first * second / (first**2 + second**2)
    if twelve_bits:
        values = np.round(4095 * (values + 0.5))
    keys = MP2RAGE_KEYS | {"InversionTime": [0.8, 2.7], "FlipAngle": [4, 5]} | more
    write_image(place(root, "anat", "sub-01_UNIT1.nii.gz"), values)
    write_json(place(root, "anat", "sub-01_UNIT1.json"), keys)
