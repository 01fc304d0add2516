"""A prior learned from voxels is where their truth lies, whatever noise does to their estimates."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from dynamic import DCE_PROTOCOL
from simulated import IVIM_PROTOCOL, VFA_PROTOCOL

from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.estimators.posterior.learned import learn_prior
from bids_qmri.physics.model import Bounds
from bids_qmri.physics.noise import VoxelNoise, add_rician_noise
from bids_qmri.physics.prior import Bell, Prior, quantile
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS
from bids_qmri.techniques.ivim.model import IVIM
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.units import FloatArray

CASES = {
    "ivim": (IVIM, IVIM_PROTOCOL, {"d": Bell(1.2e-3, 2e-4), "dstar": Bell(0.05, 0.3), "f": Bell(0.12, 0.04)}),
    "vfa": (VFA, VFA_PROTOCOL, {"t1": Bell(1.2, 0.2)}),
    "etofts": (
        EXTENDED_TOFTS,
        DCE_PROTOCOL,
        {"kep": Bell(0.6, 0.3), "ve": Bell(0.25, 0.05), "vp": Bell(0.04, 0.015), "t0": Bell(4.0, 1.5)},
    ),
}


def bounds_of(name: str) -> Bounds:
    return dict(CASES[name][0].prior({"t0": (0.0, 10.0)} if name == "etofts" else None))


@cache
def simulated(name: str, snr: float, voxels: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return truth (P, V), signals (V, N) and noise (V,)."""
    model, _, bells = CASES[name]
    rng, prior, bounds = np.random.default_rng(6), Prior(tuple(bells.items())), bounds_of(name)
    theta = np.ones((len(model.parameters), voxels))
    for row, parameter in zip(theta, model.parameters, strict=True):
        if parameter.name != model.amplitude:
            row[:] = quantile(prior, parameter, rng.random(voxels), *bounds[parameter.name])
    return theta, *measured(name, theta, snr, rng)


def measured(
    name: str, theta: FloatArray, snr: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    model, protocol, _ = CASES[name]
    clean = model.signal(theta, protocol)
    if model.amplitude is not None:
        sigma = np.full(theta.shape[1], 1.0 / snr)
        return add_rician_noise(clean, sigma, rng).T, sigma
    sigma = clean.max(axis=0) / snr
    return (clean + sigma * rng.standard_normal(clean.shape)).T, sigma


def learned(name: str, signal: FloatArray, sigma: FloatArray) -> Prior:
    model, protocol, _ = CASES[name]
    return learn_prior(model, signal, protocol, VoxelNoise.thermal(sigma), *model.limits(bounds_of(name)))


def bell(prior: Prior, name: str) -> Bell:
    found = prior.of(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "snr", "parameters"),
    [("ivim", 60, ("d", "f")), ("vfa", 900, ("t1",)), ("etofts", 15, ("kep", "ve", "vp", "t0"))],
)
def test_centre_and_width_are_those_that_voxels_were_drawn_from(
    name: str, snr: float, parameters: tuple[str, ...]
) -> None:
    _, signal, sigma = simulated(name, snr, 1500)
    prior = learned(name, signal, sigma)
    for parameter in parameters:
        found, true = bell(prior, parameter), CASES[name][2][parameter]
        assert found.centre == pytest.approx(true.centre, rel=0.1), parameter
        assert 1 / 1.5 < found.width / true.width < 1.5, parameter


@pytest.mark.parametrize("snr", [5, 20])
def test_noise_neither_narrows_a_bell_nor_hides_its_centre(snr: float) -> None:
    _, signal, sigma = simulated("ivim", snr, 1500)
    prior = learned("ivim", signal, sigma)
    for parameter in ("d", "f"):
        found, true = bell(prior, parameter), CASES["ivim"][2][parameter]
        assert found.width > 0.9 * true.width
        assert abs(found.centre - true.centre) < found.width


def test_a_bell_is_narrower_than_the_scatter_of_estimates() -> None:
    _, signal, sigma = simulated("ivim", 20, 1500)
    scatter = np.subtract(*np.percentile(Lsq().fit(IVIM, signal, IVIM_PROTOCOL).maps["d"], [84, 16])) / 2
    assert bell(learned("ivim", signal, sigma), "d").width < 0.8 * scatter


def test_rare_tissue_does_not_move_the_common_one() -> None:
    theta = simulated("ivim", 60, 1500)[0].copy()
    theta[0, :150] = 2.9e-3
    prior = learned("ivim", *measured("ivim", theta, 60, np.random.default_rng(7)))
    assert bell(prior, "d").centre == pytest.approx(1.2e-3, rel=0.05)


def test_order_and_unit_of_voxels_do_not_matter() -> None:
    _, signal, sigma = simulated("ivim", 60, 600)
    one, other = learned("ivim", signal, sigma), learned("ivim", 50 * signal[::-1], 50 * sigma[::-1])
    for (name, first), (_, second) in zip(one.bells, other.bells, strict=True):
        assert second.centre == pytest.approx(first.centre, rel=1e-3), name
        assert second.width == pytest.approx(first.width, rel=1e-2), name


def test_the_same_voxels_teach_the_same_prior_and_its_origin_counts_them() -> None:
    _, signal, sigma = simulated("vfa", 900, 600)
    assert learned("vfa", signal, sigma) == learned("vfa", signal, sigma)
    assert "600 voxels" in learned("vfa", signal, sigma).origin


def test_a_fixed_parameter_gets_no_bell() -> None:
    _, signal, sigma = simulated("ivim", 60, 600)
    limits = IVIM.limits({**bounds_of("ivim"), "dstar": (0.05, 0.05)})
    prior = learn_prior(IVIM, signal, IVIM_PROTOCOL, VoxelNoise.thermal(sigma), *limits)
    assert {name for name, _ in prior.bells} == {"d", "f"}
