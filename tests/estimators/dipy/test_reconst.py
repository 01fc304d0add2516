from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from dipy.reconst.base import ReconstFit, ReconstModel

from bids_qmri.catalogue import get_model
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Status
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.estimators.dipy.reconst import QmriModel
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.vfa.protocol import VfaProtocol

IVIM = DiffusionProtocol(np.array([0, 10, 30, 80, 200, 400, 800.0]))
TRUTH = {"d": 1e-3, "dstar": 0.03, "f": 0.2, "s0": 100.0}


def image(shape: tuple[int, ...] = (2, 3, 2)) -> np.ndarray:
    """Return noise-free IVIM signals of an image whose S0 differs in every voxel."""
    maps = {name: np.full(shape, value) for name, value in TRUTH.items()}
    maps["s0"] += np.arange(maps["s0"].size).reshape(shape)
    return QmriModel("ivim", IVIM).predict(maps)


def test_is_what_dipy_calls_a_model_and_a_fit():
    model = QmriModel("ivim", IVIM)
    assert isinstance(model, ReconstModel)
    assert isinstance(model.fit(image()), ReconstFit)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (2, 3, 2)])
def test_maps_have_the_shape_of_the_image(shape):
    fit = QmriModel("ivim", IVIM).fit(image(shape))
    assert fit.shape == shape
    np.testing.assert_allclose(fit.params["d"], np.full(shape, TRUTH["d"]), rtol=1e-4)
    np.testing.assert_allclose(fit.predict(), image(shape), rtol=1e-4)


def test_equals_the_estimator_itself():
    fit = QmriModel("ivim", IVIM).fit(image())
    direct = Lsq().fit(get_model("ivim"), image().reshape(-1, 7), IVIM)
    for name, values in direct.maps.items():
        np.testing.assert_array_equal(fit.params[name].ravel(), values)


def test_outside_the_mask_all_is_zero():
    mask = np.zeros((2, 3, 2), dtype=bool)
    mask[0, 1] = True
    fit = QmriModel("ivim", IVIM).fit(image(), mask)
    assert (fit.params["s0"][~mask] == 0).all()
    assert (fit.predict()[~mask] == 0).all()
    assert (fit.status[~mask] == Status.OUTSIDE).all()
    np.testing.assert_allclose(fit.params["s0"][mask], [102, 103], rtol=1e-4)


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(InputError, match="mask has shape"):
        QmriModel("ivim", IVIM).fit(image(), mask=np.ones((2, 3), dtype=bool))


def test_other_estimators_bounds_and_noise_are_passed_on():
    bounds = {"d": (0.5e-3, 2e-3), "dstar": (0.02, 0.05), "f": (0.1, 0.3)}
    fit = QmriModel("ivim", IVIM, estimator="bayes", sigma=0.5, bounds=bounds).fit(image((2,)))
    assert (np.abs(fit.params["f"] - 0.2) < 3 * fit.sd["f"]).all()
    assert set(fit.sd) >= {"d", "f", "s0"}


def test_predicts_another_protocol():
    fit = QmriModel("ivim", IVIM).fit(image((3,)))
    other = DiffusionProtocol(np.array([0.0, 1000]))
    np.testing.assert_allclose(fit.predict(other)[:, 0], [100, 101, 102], rtol=1e-4)


def test_flip_angles_of_every_voxel_follow_the_mask():
    nominal = VfaProtocol(np.deg2rad([2, 10, 20.0]), 0.01)
    protocol = nominal.with_b1([0.9, 1.1])
    signal = get_model("vfa").signal(np.array([[1.0, 2.0], [1.0, 1.0]]), protocol).T
    mask = np.array([True, False, True])
    data = np.zeros((3, 3))
    data[mask] = signal
    fit = QmriModel("vfa", protocol).fit(data, mask=mask)
    np.testing.assert_allclose(fit.params["t1"], [1.0, 0.0, 2.0], rtol=1e-4)


def test_carries_the_gradient_table_of_dipy_where_there_are_directions():
    protocol = DiffusionProtocol(np.array([0, 1000.0]), np.array([[0, 0, 0], [1.0, 0, 0]]))
    assert QmriModel("ivim", protocol).gtab.bvals.tolist() == [0, 1000]
    assert QmriModel("ivim", IVIM).gtab is None


def test_the_package_does_not_import_it():
    code = "import sys, bids_qmri.estimators.base; print('dipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
