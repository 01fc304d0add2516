"""Apparent diffusion coefficients: by hand, of noise-free series, by default where nothing tells more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synth
import synth_contrasts as contrasts
from case_runs import run_command

from bids_qmri.bids.acquisition import Acquisition
from bids_qmri.bids.dataset import find
from bids_qmri.estimation.preparation import Scan, prepare
from bids_qmri.estimators.base import get_estimator
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.adc.model import ADC
from bids_qmri.workflows.applicability import choose_models

TRUTH = contrasts.body(0.5e-3, 2.5e-3)


def test_a_known_coefficient_by_hand() -> None:
    """Half the signal at b = 693: ADC is ln 2 / 693."""
    protocol = DiffusionProtocol(np.array([0.0, 693.0]))
    fit = get_estimator("adc", "lsq").fit(ADC, np.array([[100.0, 50.0]]), protocol)
    np.testing.assert_allclose(fit.maps["adc"], np.log(2) / 693, rtol=1e-6)
    np.testing.assert_allclose(fit.maps["s0"], 100, rtol=1e-6)


@pytest.mark.parametrize("bvals", [(0, 800), (50, 400, 800), (0, 0, 500, 500, 500, 1000)])
def test_noise_free_series_give_the_truth(bvals: tuple[float, ...]) -> None:
    protocol = DiffusionProtocol(np.array(bvals, dtype=float))
    adc, s0 = np.linspace(0.3e-3, 3e-3, 50), np.linspace(500, 1500, 50)
    fit = get_estimator("adc", "lsq").fit(ADC, ADC.signal(np.stack([adc, s0]), protocol).T, protocol)
    np.testing.assert_allclose(fit.maps["adc"], adc, rtol=1e-5)
    np.testing.assert_allclose(fit.maps["s0"], s0, rtol=1e-5)


def test_the_jacobian_is_that_of_differences() -> None:
    protocol = DiffusionProtocol(np.array([0.0, 300.0, 900.0]))
    theta, step = np.array([[1e-3], [900.0]]), np.array([[1e-8], [1e-2]])
    _, jacobian = ADC.signal_and_jacobian(theta, protocol)
    for i in range(2):
        change = np.zeros_like(theta)
        change[i] = step[i]
        slope = (ADC.signal(theta + change, protocol) - ADC.signal(theta - change, protocol)) / (2 * step[i])
        np.testing.assert_allclose(jacobian[i], slope, rtol=1e-5)


def test_an_average_over_axes_is_a_third_of_the_trace() -> None:
    """The geometric mean of three axes decays with the mean of their coefficients."""
    bvals, d = np.array([0.0, 1000.0, 1000.0, 1000.0]), np.array([0.5e-3, 1e-3, 1.8e-3])
    signal = 1000 * np.concatenate([[1.0], np.exp(-1000 * d)])[None]
    scan = Scan(DiffusionProtocol(bvals))
    estimator = get_estimator("adc", "lsq")
    how = prepare(ADC, estimator, scan)
    found = estimator.fit(ADC, *how.convert(signal, np.array([0])))
    np.testing.assert_allclose(found.maps["adc"], d.mean(), rtol=1e-6)


def test_high_b_values_are_left_out_and_said() -> None:
    how = prepare(
        ADC, get_estimator("adc", "lsq"), Scan(DiffusionProtocol(np.array([0.0, 500.0, 1000.0, 2500.0])))
    )
    assert "1 of 4 images left out of adc" in how.notes[0]
    _, protocol = how.convert(np.ones((1, 4)), np.array([0]))
    assert protocol.extremes()["bvals"][1] == 1000
    alone = prepare(ADC, get_estimator("adc", "lsq"), Scan(DiffusionProtocol(np.array([0.0, 2000.0]))))
    assert "2000" in alone.notes[0]


def _add(root: Path, bvals: tuple[float, ...], vectors: np.ndarray | None = None) -> None:
    rng, sigma = np.random.default_rng(1), 2.0
    volumes = []
    for b in bvals:
        noise = sigma * rng.normal(size=(2, *contrasts.SHAPE))
        volumes.append(np.hypot(contrasts.whole(1000 * np.exp(-b * TRUTH)) + noise[0], noise[1]))
    path = synth.place(root, "dwi", "sub-01_dwi.nii.gz")
    synth.write_image(path, np.stack(volumes, axis=-1))
    path.with_name("sub-01_dwi.bval").write_text(" ".join(f"{b:g}" for b in bvals))
    if vectors is not None:
        np.savetxt(path.with_name("sub-01_dwi.bvec"), vectors.T)


def _chosen(root: Path) -> list[str]:
    (found,) = find(root, "01")
    assert isinstance(found, Acquisition), found
    return choose_models(found, ())[0]


AXES = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])


@pytest.mark.parametrize(
    ("bvals", "vectors"), [((0, 1000), None), ((50, 400, 800), None), ((0, 1000, 1000, 1000), AXES)]
)
def test_it_is_fitted_where_nothing_tells_more(
    tmp_path: Path, bvals: tuple[float, ...], vectors: np.ndarray | None
) -> None:
    root = synth.new_dataset(tmp_path)
    _add(root, bvals, vectors)
    assert _chosen(root) == ["adc"]


def test_it_is_not_fitted_where_others_tell_more(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path / "tensor")
    synth.add_tensor(root)
    assert _chosen(root) == ["dti"]
    root = synth.new_dataset(tmp_path / "perfusion")
    synth.add_ivim(root)
    assert _chosen(root) == ["ivim"]


def test_maps_have_names_of_bids(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    _add(root, (0, 500, 1000))
    ran = run_command(root, tmp_path)
    assert ran.code == 0, ran.printed
    (path,) = ran.maps("sub-01_desc-lsq_ADC")
    found = synth_load(path)[contrasts.BODY]
    np.testing.assert_allclose(np.median(found / TRUTH), 1, atol=0.01)
    assert ran.maps("sub-01_desc-lsq_S0map")
    assert ran.sidecar("sub-01_desc-lsq_ADC")["Units"] == "mm^2/s"


def synth_load(path: Path) -> np.ndarray:
    import nibabel

    return np.asarray(nibabel.load(path).dataobj)
