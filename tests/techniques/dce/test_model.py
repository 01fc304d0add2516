from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.estimators.base import Status
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.physics.arterial_input import population_aif
from bids_qmri.physics.model import Model
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS, TOFTS
from bids_qmri.techniques.dce.protocol import DceProtocol

NAMES = [p.name for p in EXTENDED_TOFTS.parameters]
DELAYED = {"t0": (0.0, 30.0)}


def scan(name: str = "parker", frames: np.ndarray | None = None, arrival: float = 10.0) -> DceProtocol:
    """Return the 17 frames of 9 s of the NCDE paper, or others, with a population input."""
    time = 9.0 * np.arange(1, 18) if frames is None else frames
    return DceProtocol(time, *population_aif(name, arrival, float(time[-1]), hematocrit=0.42))


def draw(n_voxels: int, seed: int = 0, **fixed: float) -> np.ndarray:
    """Draw parameters, shape (4, V), uniformly from their training ranges."""
    rng = np.random.default_rng(seed)
    theta = np.stack([rng.uniform(*p.training, n_voxels) for p in EXTENDED_TOFTS.parameters])
    for name, value in fixed.items():
        theta[NAMES.index(name)] = value
    return theta


def relative_error(maps: dict[str, np.ndarray], theta: np.ndarray, names: list[str]) -> float:
    return max(float(np.max(np.abs(maps[n] / theta[NAMES.index(n)] - 1))) for n in names)


def test_parameters_come_in_the_published_order_with_units() -> None:
    assert NAMES == ["kep", "ve", "vp", "t0"]
    assert [p.unit for p in EXTENDED_TOFTS.parameters] == ["1/min", "1", "1", "s"]
    assert [p.unit for p in EXTENDED_TOFTS.derived] == ["1/min"]


@pytest.mark.parametrize("model", [EXTENDED_TOFTS, TOFTS])
def test_training_ranges_lie_inside_the_bounds(model: Model) -> None:
    for p in model.parameters:
        if p.name != "t0":  # opened by the caller where the input is not measured
            assert p.bounds[0] <= p.training[0] <= p.training[1] <= p.bounds[1]


@pytest.mark.parametrize("index", range(4))
def test_jacobian_equals_finite_differences(index: int) -> None:
    proto, theta = scan("rata"), draw(50, seed=1)
    step = np.zeros((4, 1))
    step[index] = 1e-6
    forward = EXTENDED_TOFTS.signal(theta + step, proto) - EXTENDED_TOFTS.signal(theta - step, proto)
    jacobian = EXTENDED_TOFTS.signal_and_jacobian(theta, proto)[1][index]
    np.testing.assert_allclose(jacobian, forward / 2e-6, atol=1e-7 * np.abs(jacobian).max())


def test_both_calls_return_the_same_signal() -> None:
    proto, theta = scan(), draw(5)
    both = EXTENDED_TOFTS.signal_and_jacobian(theta, proto)[0]
    np.testing.assert_array_equal(EXTENDED_TOFTS.signal(theta, proto), both)


def test_plasma_alone_gives_the_input_times_vp() -> None:
    proto = scan()
    theta = np.array([[0.5], [0.0], [0.07], [0.0]])
    expected = 0.07 * np.interp(proto.time, proto.aif_time, proto.aif, left=0.0)
    np.testing.assert_allclose(EXTENDED_TOFTS.signal(theta, proto)[:, 0], expected, rtol=1e-12)


def test_tissue_in_equilibrium_with_a_constant_input_holds_ve_times_it() -> None:
    proto = DceProtocol([3600.0], [0.0, 1.0], [2.0, 2.0])
    theta = np.array([[0.5], [0.3], [0.0], [0.0]])
    np.testing.assert_allclose(EXTENDED_TOFTS.signal(theta, proto), 0.3 * 2.0, rtol=1e-8)


def test_without_washout_nothing_enters_but_the_signal_is_finite() -> None:
    # Ktrans = kep ve vanishes with kep
    proto, theta = scan(), draw(3, kep=0.0, vp=0.0)
    signal, jacobian = EXTENDED_TOFTS.signal_and_jacobian(theta, proto)
    np.testing.assert_array_equal(signal, 0.0)
    assert np.isfinite(jacobian).all()


@pytest.mark.parametrize("shift", [2.5, 9.0])
def test_a_delay_equals_a_later_arrival(shift: float) -> None:
    early, late = scan(arrival=10.0), scan(arrival=10.0 + shift)
    delayed = EXTENDED_TOFTS.signal(draw(20, t0=shift), early)
    np.testing.assert_allclose(delayed, EXTENDED_TOFTS.signal(draw(20, t0=0.0), late), rtol=1e-8, atol=1e-10)


def test_voxels_with_own_delays_equal_voxels_alone() -> None:
    proto, theta = scan(), draw(6)
    together = EXTENDED_TOFTS.signal(theta, proto)
    alone = np.hstack([EXTENDED_TOFTS.signal(theta[:, [v]], proto) for v in range(6)])
    np.testing.assert_allclose(together, alone, rtol=1e-13)


def test_tofts_is_extended_tofts_without_plasma() -> None:
    proto, theta = scan(), draw(6, vp=0.0)
    np.testing.assert_array_equal(TOFTS.signal(theta, proto), EXTENDED_TOFTS.signal(theta, proto))
    assert TOFTS.limits()[1][NAMES.index("vp")] == 0.0


def test_ktrans_and_its_derivatives() -> None:
    theta = draw(4)
    ktrans, by_theta = EXTENDED_TOFTS.derive(theta)
    np.testing.assert_allclose(ktrans[0], theta[0] * theta[1])
    np.testing.assert_allclose(by_theta[0], [theta[1], theta[0], 0 * theta[2], 0 * theta[3]])


@pytest.mark.parametrize("bounds", [None, DELAYED, {"kep": (0.4, 0.4)}, {"kep": (0.0, 0.01)}])
def test_the_start_keeps_the_limits_and_depends_on_no_neighbour(bounds: dict | None) -> None:
    proto, (lower, upper) = scan(), EXTENDED_TOFTS.limits(bounds)
    signal = EXTENDED_TOFTS.signal(draw(40), proto)
    signal += 0.1 * np.random.default_rng(0).standard_normal(signal.shape)
    start = EXTENDED_TOFTS.start(signal, proto, lower, upper)
    assert np.all((start >= lower[:, None]) & (start <= upper[:, None]))
    alone = EXTENDED_TOFTS.start(signal[:, 7:8], proto, lower, upper)
    np.testing.assert_allclose(start[:, 7:8], alone, rtol=1e-9)


@pytest.mark.parametrize("name", ["parker", "rata", "weinmann"])
def test_noise_free_curves_give_back_every_parameter(name: str) -> None:
    theta = draw(1000, seed=2, t0=0.0)
    result = Lsq().fit(EXTENDED_TOFTS, EXTENDED_TOFTS.signal(theta, scan(name)).T, scan(name))
    assert relative_error(result.maps, theta, ["kep", "ve", "vp"]) < 1e-4
    np.testing.assert_allclose(result.maps["ktrans"], theta[0] * theta[1], rtol=1e-4)


@pytest.mark.parametrize("name", ["parker", "rata"])
def test_noise_free_curves_with_a_delay_give_back_every_parameter(name: str) -> None:
    theta = draw(1000, seed=3)
    result = Lsq().fit(EXTENDED_TOFTS, EXTENDED_TOFTS.signal(theta, scan(name)).T, scan(name), bounds=DELAYED)
    assert relative_error(result.maps, theta, NAMES) < 1e-4


def test_noise_free_tofts_curves_give_back_every_parameter() -> None:
    theta = draw(500, vp=0.0, t0=0.0)
    result = Lsq().fit(TOFTS, TOFTS.signal(theta, scan()).T, scan())
    assert relative_error(result.maps, theta, ["kep", "ve"]) < 1e-4
    np.testing.assert_array_equal(result.maps["vp"], 0.0)


def test_an_input_that_arrives_after_the_scan_leaves_no_crash() -> None:
    proto = DceProtocol([1.0, 2.0, 3.0, 4.0, 5.0], [100.0, 200.0], [5.0, 5.0])
    result = Lsq().fit(EXTENDED_TOFTS, np.ones((2, 5)), proto)
    assert set(result.status) <= {Status.OK, Status.AT_BOUND, Status.NOT_CONVERGED}


def noisy(theta: np.ndarray, proto: DceProtocol, sigma: float) -> np.ndarray:
    clean = EXTENDED_TOFTS.signal(theta, proto).T
    return clean + np.random.default_rng(4).normal(0, sigma, clean.shape)


def test_scatter_of_the_estimates_is_the_predicted_one() -> None:
    theta = np.repeat([[0.6], [0.3], [0.03], [0.0]], 1500, axis=1)
    result = Lsq().fit(EXTENDED_TOFTS, noisy(theta, scan(), 0.005), scan(), sigma=0.005)
    for name in ("kep", "ve", "vp", "ktrans"):
        assert result.maps[name].std() == pytest.approx(np.median(result.sd[name]), rel=0.1)


def test_estimates_are_centred_on_the_truth() -> None:
    theta = np.repeat([[0.6], [0.3], [0.03], [0.0]], 1500, axis=1)
    maps = Lsq().fit(EXTENDED_TOFTS, noisy(theta, scan(), 0.005), scan()).maps
    for index, name in enumerate(("kep", "ve", "vp")):
        standard_error = maps[name].std() / np.sqrt(1500)
        assert abs(np.median(maps[name]) - theta[index, 0]) < 4 * standard_error


def test_the_order_of_voxels_does_not_matter() -> None:
    signal = noisy(draw(300, t0=0.0), scan(), 0.02)
    order = np.random.default_rng(0).permutation(300)
    straight, shuffled = (
        Lsq().fit(EXTENDED_TOFTS, signal, scan()),
        Lsq().fit(EXTENDED_TOFTS, signal[order], scan()),
    )
    np.testing.assert_allclose(shuffled.maps["ktrans"], straight.maps["ktrans"][order], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_input_and_tissue_in_another_unit_give_the_same_parameters(factor: float) -> None:
    proto, signal = scan(), noisy(draw(100, t0=0.0), scan(), 0.02)
    scaled = DceProtocol(proto.time, proto.aif_time, factor * proto.aif)
    here, there = Lsq().fit(EXTENDED_TOFTS, signal, proto), Lsq().fit(EXTENDED_TOFTS, factor * signal, scaled)
    np.testing.assert_allclose(there.maps["ve"], here.maps["ve"], rtol=1e-4, atol=1e-6)


def test_double_haematocrit_correction_lowers_ktrans_by_its_factor() -> None:
    # the trap of dividing a plasma input by 1 - haematocrit once more
    proto, theta = scan("rata"), draw(50, t0=0.0)
    twice = DceProtocol(proto.time, proto.aif_time, proto.aif / 0.6)
    ktrans = Lsq().fit(EXTENDED_TOFTS, EXTENDED_TOFTS.signal(theta, proto).T, twice).maps["ktrans"]
    np.testing.assert_allclose(ktrans, 0.6 * theta[0] * theta[1], rtol=1e-4)


def test_voxels_without_agent_have_neither_exchange_nor_plasma() -> None:
    signal = np.random.default_rng(0).normal(0, 1e-6, (20, 17))
    maps = Lsq().fit(EXTENDED_TOFTS, signal, scan()).maps
    assert np.all(maps["ktrans"] < 1e-5)
    assert np.all(maps["vp"] < 1e-5)


def test_a_fixed_plasma_fraction_makes_tofts_of_extended_tofts() -> None:
    signal = noisy(draw(50, vp=0.0, t0=0.0), scan(), 0.01)
    fixed = Lsq().fit(EXTENDED_TOFTS, signal, scan(), bounds={"vp": (0.0, 0.0)})
    np.testing.assert_array_equal(fixed.maps["ktrans"], Lsq().fit(TOFTS, signal, scan()).maps["ktrans"])
