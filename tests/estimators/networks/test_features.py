"""What networks are given: complete, free of units, and of one voxel alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dynamic import DCE_PROTOCOL, dynamic, series
from simulated import CASES, IVIM_PROTOCOL, VFA_PROTOCOL, draw, narrow

from bids_qmri.catalogue import get_model
from bids_qmri.errors import InputError
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.estimators.networks.features import MAX_WIDTH, Features, channels_of, context_of, make_features
from bids_qmri.estimators.posterior.box import box, quantities, to_box
from bids_qmri.estimators.posterior.map import Map
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.model import Model
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS, TOFTS
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import FloatArray

MODELS = ["vfa", "ivim", "etofts"]


def case(name: str, snr: float, voxels: int = 150) -> tuple[Model, FloatArray, Any, FloatArray, FloatArray]:
    """Return model, signals (V, N), protocol, noise (V,) and true parameters (P, V) of a simulation."""
    if name == "etofts":
        theta, signal, sigma = dynamic(snr, voxels)
        return EXTENDED_TOFTS, signal, DCE_PROTOCOL, sigma, theta
    model, protocol = CASES[name]
    theta = draw(model, voxels)
    theta[-1] = 1.0
    signal = add_rician_noise(model.signal(theta, protocol), 1 / snr, np.random.default_rng(6)).T
    return model, signal, protocol, np.full(voxels, 1 / snr), theta


def features(name: str, snr: float, **keywords: Any) -> Features:
    model, signal, protocol, sigma, _ = case(name, snr)
    return make_features(model, signal, protocol, sigma=sigma, bounds=narrow(model), **keywords)


def assert_same(first: Features, second: Features, tolerance: float = 1e-6) -> None:
    for name in ("path", "context", "centre", "width", "usable"):
        np.testing.assert_allclose(
            getattr(second, name), getattr(first, name), rtol=tolerance, atol=tolerance, err_msg=name
        )


def entry(found: Features, model: Model, name: str) -> FloatArray:
    return found.context[:, context_of(model).index(name)]


@pytest.mark.parametrize("name", MODELS)
def test_arrays_have_the_shapes_of_their_names(name: str) -> None:
    model, _, protocol, _, _ = case(name, 30)
    found, count = features(name, 30), len(quantities(model))
    assert found.path.shape == (150, protocol.n_measurements, len(channels_of(model)))
    assert found.context.shape == (150, len(context_of(model)))
    assert found.centre.shape == found.width.shape == (count, 150)
    assert found.path.dtype == found.context.dtype == np.float32
    assert found.usable.all()
    assert len(set(context_of(get_model(name)))) == len(context_of(model))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("snr", [2, 30, 1000])
def test_the_anchor_is_the_maximum_of_the_posterior(name: str, snr: float) -> None:
    model, signal, protocol, sigma, _ = case(name, snr)
    found = features(name, snr)
    result = Map().fit(model, signal, protocol, sigma=sigma, bounds=narrow(model))
    lower, upper = box(model, narrow(model))
    centre = to_box(np.array([result.maps[q] for q in quantities(model)]), lower, upper)
    np.testing.assert_allclose((found.centre - centre) / found.width, 0.0, atol=0.02)


@pytest.mark.parametrize("name", MODELS)
def test_width_lies_between_nothing_and_the_prior(name: str) -> None:
    for snr in (1, 30, 10_000):
        width = features(name, snr).width
        assert np.all((width > 0) & (width <= MAX_WIDTH))
    assert np.median(features(name, 10_000).width) < 0.1


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("part", [slice(0, 1), slice(7, 8), slice(60, 130)])
def test_batch_mates_do_not_matter(name: str, part: slice) -> None:
    model, signal, protocol, sigma, _ = case(name, 30)
    together = features(name, 30)
    alone = make_features(model, signal[part], protocol, sigma=sigma[part], bounds=narrow(model))
    expected = Features(
        together.path[part],
        together.context[part],
        together.centre[:, part],
        together.width[:, part],
        together.usable[part],
    )
    assert_same(expected, alone)


@pytest.mark.parametrize("name", ["vfa", "ivim"])
@pytest.mark.parametrize("factor", [1e-3, 4096.0])
def test_unit_of_the_signal_does_not_matter(name: str, factor: float) -> None:
    model, signal, protocol, sigma, _ = case(name, 60)
    scaled = make_features(model, factor * signal, protocol, sigma=factor * sigma, bounds=narrow(model))
    assert_same(features(name, 60), scaled, 1e-4)


@pytest.mark.parametrize("name", ["vfa", "ivim"])
def test_order_of_measurements_does_not_matter(name: str) -> None:
    model, signal, protocol, sigma, _ = case(name, 60)
    order = np.random.default_rng(7).permutation(protocol.n_measurements)
    if isinstance(protocol, VfaProtocol):
        shuffled: Any = VfaProtocol(protocol.flip_angle[order], protocol.repetition_time[order])
    else:
        shuffled = DiffusionProtocol(protocol.bvals[order])
    found = make_features(model, signal[:, order], shuffled, sigma=sigma, bounds=narrow(model))
    assert_same(features(name, 60), found)


def test_path_runs_in_increasing_order() -> None:
    shuffled = DiffusionProtocol([300, 0, 50, 600, 10, 100, 20])
    found = make_features(CASES["ivim"][0], np.ones((2, 7)), shuffled, sigma=0.1)
    b = found.path[0, :, channels_of(get_model("ivim")).index("b")]
    np.testing.assert_allclose(300.0 * b, [0, 10, 20, 50, 100, 300, 600], rtol=1e-6)


def test_repeats_are_averages() -> None:
    model, signal, _, _, _ = case("ivim", 30)
    repeats = np.concatenate([signal + 0.01, signal - 0.01], axis=1)
    twice = DiffusionProtocol(np.tile(IVIM_PROTOCOL.bvals, 2))
    averaged = DiffusionProtocol(IVIM_PROTOCOL.bvals, averages=np.full(7, 2.0))
    first = make_features(model, repeats, twice, sigma=0.03, bounds=narrow(model))
    second = make_features(model, signal, averaged, sigma=0.03, bounds=narrow(model))
    assert first.path.shape[1] == 7
    assert_same(first, second, 1e-5)


def test_repetition_times_tell_equal_flip_angles_apart() -> None:
    protocol = VfaProtocol(np.deg2rad([5, 15, 5, 15]), [0.005, 0.005, 0.02, 0.02])
    found = make_features(CASES["vfa"][0], np.ones((2, 4)), protocol, sigma=0.1)
    assert found.path.shape[1] == 4


def test_transmit_field_enters_the_path() -> None:
    model, signal, protocol, sigma, _ = case("vfa", 200)
    factor = np.random.default_rng(8).uniform(0.7, 1.3, len(signal))
    found = make_features(model, signal, protocol.with_b1(factor), sigma=sigma, bounds=narrow(model))
    nominal = features("vfa", 200)
    angle = channels_of(get_model("vfa")).index("angle")
    np.testing.assert_allclose(
        found.path[:, :, angle], nominal.path[:, :, angle] * factor[:, None], rtol=1e-6
    )
    assert not np.allclose(found.centre, nominal.centre, atol=0.01)


@pytest.mark.parametrize("name", MODELS)
def test_limits_are_inputs(name: str) -> None:
    model, signal, protocol, sigma, _ = case(name, 30)
    physical = make_features(model, signal, protocol, sigma=sigma)
    told = features(name, 30)
    for entry_name in (f"box_upper_{quantities(model)[0]}", f"map_{quantities(model)[0]}"):
        assert np.median(np.abs(entry(physical, model, entry_name) - entry(told, model, entry_name))) > 0.01


@pytest.mark.parametrize("name", MODELS)
def test_context_describes_the_fit(name: str) -> None:
    model, signal, _, sigma, _ = case(name, 50)
    found = features(name, 50)
    first = quantities(model)[0]
    np.testing.assert_allclose(entry(found, model, f"map_{first}"), found.centre[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(entry(found, model, f"log_width_{first}"), np.log(found.width[0]), rtol=1e-4)
    rms = np.sqrt(np.mean(signal**2, axis=1))
    np.testing.assert_allclose(entry(found, model, "log_noise"), np.log(sigma / rms), rtol=1e-4)
    # chi squared per measurement is below 1: parameters were fitted
    assert 0.1 < np.exp(np.median(entry(found, model, "log_chi2"))) < 1.0


@pytest.mark.parametrize("name", MODELS)
def test_residual_is_in_units_of_the_noise(name: str) -> None:
    found = features(name, 50)
    residual = np.sinh(found.path[:, :, channels_of(get_model(name)).index("residual")])
    assert 0.3 < residual.std() < 1.1


def test_coarse_grid_beats_the_anchor_at_low_signal() -> None:
    model, signal, protocol, sigma, theta = case("vfa", 100, 3000)
    found = make_features(model, signal, protocol, sigma=sigma, bounds=narrow(model))
    truth = to_box(theta[:1], *box(model, narrow(model)))
    shift = np.sinh(entry(found, model, "grid_shift_t1").astype(np.float64))
    grid = found.centre[0] + found.width[0] * shift
    assert np.mean((grid - truth) ** 2) < 0.9 * np.mean((found.centre - truth) ** 2)


@pytest.mark.parametrize("name", MODELS)
def test_hopeless_voxels_are_finite(name: str) -> None:
    model, signal, protocol, sigma, _ = case(name, 30)
    rng = np.random.default_rng(9)
    signal, scale = signal.copy(), np.median(sigma)
    signal[0], signal[1, 1], signal[2, 0] = 0.0, np.nan, np.inf
    signal[3:20] = np.abs(rng.normal(0, scale, (17, signal.shape[1])))
    signal[20:30] = 5.0
    signal[30, :-1] = 0.0
    sigma[31], sigma[32], sigma[33], sigma[34] = 0.0, np.nan, 1e6, 1e-12
    found = make_features(model, signal, protocol, sigma=sigma, bounds=narrow(model))
    assert np.flatnonzero(~found.usable).tolist() == [0, 1, 2, 31, 32]
    for array in (found.path, found.context, found.centre, found.width):
        assert np.all(np.isfinite(array))
    assert np.abs(found.context).max() < 50


def test_negative_magnitudes_are_not_usable() -> None:
    found = make_features(CASES["vfa"][0], np.array([[0.1, -0.01, 0.1, 0.1]]), VFA_PROTOCOL, sigma=0.01)
    assert not found.usable[0]


def test_no_usable_voxel_is_no_error() -> None:
    found = make_features(CASES["vfa"][0], np.zeros((3, 4)), VFA_PROTOCOL, sigma=0.01)
    assert not found.usable.any()
    assert found.path.shape == (3, 4, 5)


def test_too_few_different_measurements_are_refused() -> None:
    repeated = VfaProtocol(np.deg2rad([5, 5, 5]), 0.005)
    with pytest.raises(InputError, match="2 free parameters and 1 measurements"):
        make_features(CASES["vfa"][0], np.ones((2, 3)), repeated, sigma=0.01)


def test_fixed_quantities_sit_in_the_middle() -> None:
    _, signal, sigma = dynamic(30, 20)
    found = make_features(TOFTS, signal, DCE_PROTOCOL, sigma=sigma)
    fixed = [quantities(TOFTS).index(name) for name in ("vp", "t0")]
    np.testing.assert_array_equal(found.centre[fixed], 0.5)
    np.testing.assert_allclose(found.width[fixed], 12**-0.5)
    assert found.usable.all()


def test_long_series_keep_their_answer() -> None:
    """300 frames in 32 bins: kep of the anchor moves by less than its standard deviation."""
    protocol = series(np.arange(0.0, 300.0))
    theta, signal, sigma = dynamic(10, 100, protocol)
    bounds = narrow(EXTENDED_TOFTS)
    found = make_features(EXTENDED_TOFTS, signal, protocol, sigma=sigma, bounds=bounds)
    exact = Lsq().fit(EXTENDED_TOFTS, signal, protocol, bounds=bounds)
    lower, upper = box(EXTENDED_TOFTS, bounds)
    kep = (exact.maps["kep"] - lower[0]) / (upper[0] - lower[0])
    assert found.path.shape[1] == 32
    assert np.median(np.abs(found.centre[0] - kep) / found.width[0]) < 0.4
    binned, full = (
        np.mean((x - to_box(theta, lower[:4], upper[:4])[0]) ** 2) for x in (found.centre[0], kep)
    )
    assert binned < 1.15 * full


def test_arterial_input_has_no_unit_in_the_path() -> None:
    """Twice the input and twice the concentration are the same tissue."""
    _, signal, sigma = dynamic(30, 20)
    from dataclasses import replace

    twice = replace(DCE_PROTOCOL, aif=2.0 * DCE_PROTOCOL.aif)
    bounds = narrow(EXTENDED_TOFTS)
    first = make_features(EXTENDED_TOFTS, signal, DCE_PROTOCOL, sigma=sigma, bounds=bounds)
    second = make_features(EXTENDED_TOFTS, 2 * signal, twice, sigma=2 * sigma, bounds=bounds)
    np.testing.assert_allclose(second.path, first.path, atol=1e-4)
    np.testing.assert_allclose(second.centre, first.centre, atol=1e-5)
