"""Posterior means by importance sampling are those of the exact grid, voxel by voxel."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from bids_qmri.catalogue import get_model
from bids_qmri.estimators.base import FitResult, Status
from bids_qmri.estimators.posterior import importance, quadrature
from bids_qmri.estimators.posterior.bayes import Bayes
from bids_qmri.estimators.posterior.importance import Estimate, lattice
from bids_qmri.estimators.posterior.problem import Problem
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.model import Bounds
from bids_qmri.physics.noise import VoxelNoise, add_rician_noise
from bids_qmri.physics.prior import EVEN
from bids_qmri.techniques.dce.protocol import DceProtocol

IVIM = DiffusionProtocol(np.array([0, 10, 20, 50, 100, 300, 600.0]))
AIF_TIME = np.arange(0, 160.0)
DCE = DceProtocol(np.arange(9, 154, 9.0), AIF_TIME, 6 * (AIF_TIME / 8) * np.exp(1 - AIF_TIME / 8) + 0.5)
PROTOCOL = {"ivim": IVIM, "etofts": DCE, "tofts": DCE}
NARROW: dict[str, Bounds] = {
    "ivim": {"d": (0.35e-3, 3e-3), "dstar": (0.05, 0.1), "f": (0.03, 0.25)},
    "etofts": {"kep": (0.1, 2.0), "ve": (0.01, 0.7), "vp": (0.001, 0.05), "t0": (0.0, 10.0)},
    "tofts": {"kep": (0.1, 2.0), "ve": (0.01, 0.7), "t0": (0.0, 10.0)},
}
WIDE: dict[str, Bounds] = {
    "ivim": {"d": (0.0, 4e-3), "dstar": (0.005, 0.2), "f": (0.0, 0.7)},
    "etofts": {"kep": (0.01, 5.0), "ve": (0.01, 1.0), "vp": (0.0, 0.3), "t0": (0.0, 15.0)},
}
CASES = [
    *((name, "narrow", snr) for name in NARROW for snr in (8, 40)),
    *((name, "wide", 25) for name in WIDE),
    ("ivim", "narrow", 300),
]


def box_of(name: str, width: str) -> Bounds:
    return {"narrow": NARROW, "wide": WIDE}[width][name]


@cache
def simulate(name: str, width: str, snr: float, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return truth with derived quantities (P + Q, V), signals (V, N) and noise (V,), drawn from the box."""
    model, rng = get_model(name), np.random.default_rng([3, int(snr)])
    ranges = {"s0": (0.5, 2.0), **box_of(name, width)}
    theta = np.stack([rng.uniform(*ranges.get(p.name, p.bounds), n) for p in model.parameters])
    clean = model.signal(theta, PROTOCOL[name])
    truth = np.concatenate([theta, model.derive(theta)[0]])
    if model.amplitude is None:
        sigma = clean.max(axis=0) / snr
        return truth, (clean + sigma * rng.standard_normal(clean.shape)).T, sigma
    sigma = theta[-1] / snr
    return truth, add_rician_noise(clean, sigma, rng).T, sigma


@cache
def both(name: str, width: str, snr: float) -> tuple[np.ndarray, FitResult, FitResult]:
    """Return truth, the sampled and the exact result of 60 voxels."""
    truth, signal, sigma = simulate(name, width, snr, 60)
    arguments = get_model(name), signal, PROTOCOL[name]
    box = box_of(name, width)
    return (
        truth,
        Bayes().fit(*arguments, sigma=sigma, bounds=box),
        Bayes(exact=True).fit(*arguments, sigma=sigma, bounds=box),
    )


def free(name: str) -> list[tuple[int, str]]:
    model = get_model(name)
    fixed = {"vp"} if name == "tofts" else set()
    names = [p.name for p in (*model.parameters, *model.derived)]
    return [(i, n) for i, n in enumerate(names) if n not in fixed]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_means_are_within_a_fraction_of_the_sd_of_the_exact_ones(case):
    _, sampled, exact = both(*case)
    for _, parameter in free(case[0]):
        apart = (sampled.maps[parameter] - exact.maps[parameter]) / exact.sd[parameter]
        assert np.sqrt(np.mean(apart**2)) < 0.15
        assert np.abs(apart).max() < 1.0


@pytest.mark.parametrize("case", CASES, ids=str)
def test_standard_deviations_are_the_exact_ones(case):
    _, sampled, exact = both(*case)
    for _, parameter in free(case[0]):
        ratio = sampled.sd[parameter] / exact.sd[parameter]
        assert np.median(ratio) == pytest.approx(1.0, abs=0.07)


@pytest.mark.parametrize("case", [case for case in CASES if case[1] == "narrow"], ids=str)
def test_mean_squared_error_is_that_of_the_exact_mean(case):
    truth, sampled, exact = both(*case)
    for i, parameter in free(case[0]):
        ours, best = (np.mean((fit.maps[parameter] - truth[i]) ** 2) for fit in (sampled, exact))
        assert ours < 1.05 * best


@pytest.mark.parametrize("name", ["ivim", "etofts"])
def test_truth_lies_within_one_sd_as_often_as_it_should(name):
    truth, signal, sigma = simulate(name, "narrow", 20, 1000)
    fit = Bayes().fit(get_model(name), signal, PROTOCOL[name], sigma=sigma, bounds=NARROW[name])
    for i, parameter in free(name):
        if parameter != "dstar":  # its posterior is nearly uniform, for which the fraction is .577
            assert 0.63 < np.mean(np.abs(fit.maps[parameter] - truth[i]) < fit.sd[parameter]) < 0.73


@pytest.mark.parametrize("name", ["ivim", "etofts"])
def test_a_voxel_does_not_depend_on_its_neighbours(name):
    _, signal, sigma = simulate(name, "wide", 25, 60)
    model, box = get_model(name), WIDE[name]
    whole = Bayes().fit(model, signal, PROTOCOL[name], sigma=sigma, bounds=box)
    alone = Bayes().fit(model, signal[[41]], PROTOCOL[name], sigma=sigma[[41]], bounds=box)
    for _, parameter in free(name):
        assert alone.maps[parameter][0] == pytest.approx(whole.maps[parameter][41], rel=1e-6)
        assert alone.sd[parameter][0] == pytest.approx(whole.sd[parameter][41], rel=1e-6)


def test_the_unit_of_the_signal_does_not_matter():
    _, signal, sigma = simulate("ivim", "narrow", 40, 60)
    arguments = {"bounds": NARROW["ivim"]}
    one = Bayes().fit(get_model("ivim"), signal, IVIM, sigma=sigma, **arguments)
    other = Bayes().fit(get_model("ivim"), 500 * signal, IVIM, sigma=500 * sigma, **arguments)
    np.testing.assert_allclose(other.maps["d"], one.maps["d"], rtol=1e-5)
    np.testing.assert_allclose(other.maps["s0"], 500 * one.maps["s0"], rtol=1e-5)


def test_voxels_that_a_table_is_too_coarse_for_are_solved_on_grids():
    _, signal, sigma = simulate("etofts", "narrow", 1e5, 4)
    arguments = get_model("etofts"), signal, DCE
    fit = Bayes().fit(*arguments, sigma=sigma, bounds=NARROW["etofts"])
    exact = Bayes(exact=True).fit(*arguments, sigma=sigma, bounds=NARROW["etofts"])
    np.testing.assert_array_equal(fit.maps["kep"], exact.maps["kep"])
    assert (fit.status == Status.OK).all()


def test_too_few_effective_nodes_lead_to_the_grid(monkeypatch):
    _, sampled, exact = both("ivim", "narrow", 40)
    _, signal, sigma = simulate("ivim", "narrow", 40, 60)
    monkeypatch.setattr(importance, "LEAST_EFFECTIVE", np.inf)
    fit = Bayes().fit(get_model("ivim"), signal[:2], IVIM, sigma=sigma[:2], bounds=NARROW["ivim"])
    np.testing.assert_array_equal(fit.maps["d"], exact.maps["d"][:2])
    assert not np.array_equal(fit.maps["d"], sampled.maps["d"][:2])


@pytest.mark.parametrize("dimensions", [2, 3])
def test_lattices_are_even_along_every_axis(dimensions):
    for count in importance.GENERATOR[dimensions]:
        points = np.sort(lattice(dimensions, count), axis=1)
        np.testing.assert_allclose(points, np.tile((np.arange(count) + 0.5) / count, (dimensions, 1)))


def test_lattices_exist_for_all_numbers_of_nodes():
    for known in importance.GENERATOR.values():
        assert {*importance.NODES, *importance.MORE_NODES} == set(known)


@pytest.mark.parametrize("centre", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("sd", [1e-6, 0.01, 0.3, 100.0])
def test_nodes_have_the_density_that_they_are_weighted_by(centre, sd):
    """The mean of 1 / density over the nodes is the volume of the box that they can reach."""
    estimate = Estimate(np.full((1, 1), centre), np.full((1, 1, 1), sd))
    uniform = (np.arange(20_000)[None] + 0.5) / 20_000
    nodes = importance._draw(uniform, estimate)
    assert ((nodes >= 0) & (nodes <= 1)).all()
    inside = np.abs(nodes - centre) < 5 * sd
    volume = np.mean(inside / importance._density(nodes, estimate))
    assert volume == pytest.approx(min(centre + 5 * sd, 1) - max(centre - 5 * sd, 0), rel=0.01)


def test_more_nodes_converge_to_the_grid():
    """Sampling and quadrature share no node: where they agree both are right."""
    _, signal, sigma = simulate("ivim", "narrow", 40, 60)
    model, few = get_model("ivim"), slice(0, 5)
    limits = model.limits(NARROW["ivim"])
    noise = VoxelNoise.thermal(sigma[few])
    problem = Problem(model, signal[few].T, IVIM, IVIM.weights, noise, *limits, EVEN, [0, 1, 2], 12, 5.0)
    estimates = importance.first_estimates(problem)
    sampled, _ = importance._in_blocks(problem, estimates, importance.MORE_NODES)
    exact, _ = quadrature.expectations(problem.evaluate, 3, 5)
    sd = np.sqrt(exact[4:7] - exact[:3] ** 2)
    assert np.abs((sampled[:3] - exact[:3]) / sd).max() < 0.05
