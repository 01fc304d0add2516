from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Status, get_estimator
from bids_qmri.estimators.dipy.ivim import fit_ivim, splits
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.ivim.model import IVIM

DENSE = DiffusionProtocol(np.array([0, 5, 10, 20, 30, 50, 80, 120, 200, 300, 400, 600, 800.0]))
SPARSE = DiffusionProtocol(np.array([0, 10, 20, 50, 100, 300, 600.0]))


def biexponential(protocol, d=1e-3, dstar=0.02, f=0.3, s0=500.0):
    b = protocol.bvals
    return s0 * ((1 - f) * np.exp(-b * d) + f * np.exp(-b * dstar))[None, :]


@pytest.mark.parametrize("protocol", [DENSE, SPARSE])
def test_trust_region_recovers_noise_free_signals(protocol):
    fit = fit_ivim(biexponential(protocol), protocol)
    assert fit.maps["d"][0] == pytest.approx(1e-3, rel=1e-3)
    assert fit.maps["dstar"][0] == pytest.approx(0.02, rel=1e-3)
    assert fit.maps["f"][0] == pytest.approx(0.3, rel=1e-3)
    assert fit.maps["s0"][0] == pytest.approx(500, rel=1e-3)
    assert fit.status.tolist() == [Status.OK]
    assert fit.residual[0] < 0.05


@pytest.mark.filterwarnings("ignore:Bounds are violated", "ignore:x0", "ignore:Polyfit")
def test_split_of_200_finds_f_where_the_default_of_dipy_does_not():
    from dipy.core.gradients import gradient_table
    from dipy.reconst.ivim import IvimModelTRR

    signal = biexponential(SPARSE, d=1.5e-3, dstar=0.06, f=0.1)
    bvecs = np.where(SPARSE.bvals[:, None] > 0, [[1.0, 0, 0]], 0.0)
    model = IvimModelTRR(gradient_table(SPARSE.bvals, bvecs=bvecs, b0_threshold=0))
    default = model.fit(signal).model_params[0]
    assert abs(default[1] - 0.1) > 0.05
    assert fit_ivim(signal, SPARSE).maps["f"][0] == pytest.approx(0.1, abs=0.02)


def test_varpro_is_near_and_reproducible():
    signal = biexponential(DENSE, d=0.8e-3, dstar=0.009, f=0.2)
    first, second = (fit_ivim(signal, DENSE, method="varpro") for _ in range(2))
    assert first.maps["d"][0] == pytest.approx(0.8e-3, rel=0.1)
    assert first.maps["f"][0] == pytest.approx(0.2, abs=0.05)
    assert first.maps["s0"][0] == pytest.approx(500, rel=0.02)
    assert first.maps["d"] == second.maps["d"]


def test_the_seed_of_the_command_line_reaches_varpro_and_nothing_else():
    signal = biexponential(DENSE, d=0.8e-3, dstar=0.009, f=0.2)

    def fit(label, seed):
        return get_estimator("ivim", label, seed=seed).fit(IVIM, signal, DENSE).maps["d"][0]

    assert fit("dipyVarpro", 1) != fit("dipyVarpro", 2)
    assert fit("dipyVarpro", 1) == fit("dipyVarpro", 1)
    assert fit("dipyTrr", 1) == fit("dipyTrr", 2)


def test_varpro_leaves_the_random_state_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    fit_ivim(biexponential(DENSE), DENSE, method="varpro")
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize(
    ("bvals", "expected"),
    [
        ([0, 10, 20, 50, 100, 300, 600], (200, 200)),
        ([0, 50, 100, 150], (100, 200)),
        ([0, 50, 100, 400], (100, 200)),
        ([0, 250, 400, 800], (200, 250)),
    ],
)
def test_two_b_values_lie_on_either_side_of_the_splits(bvals, expected):
    b = np.array(bvals, dtype=float)
    split_d, split_s0 = splits(b)
    assert (split_d, split_s0) == expected
    assert np.unique(b[b >= split_d]).size >= 2
    assert np.unique(b[b <= split_s0]).size >= 2


def test_unusable_voxels_are_nan():
    signal = np.repeat(biexponential(DENSE), 4, axis=0)
    signal[1, 3], signal[2, 0], signal[3, 5] = 0.0, np.nan, -1.0
    fit = fit_ivim(signal, DENSE)
    assert fit.status.tolist() == [Status.OK, *[Status.UNUSABLE] * 3]
    assert np.isnan(fit.maps["d"][1:]).all()
    assert np.isnan(fit.residual[1:]).all()


def test_rising_signal_is_told_as_not_converged():
    signal = np.exp(DENSE.bvals * 1e-3)[None, :]
    assert fit_ivim(signal, DENSE).status.tolist() == [Status.NOT_CONVERGED]


def test_smallest_b_value_may_stand_for_zero():
    b = DENSE.bvals.copy()
    b[0] = 1.0
    fit = fit_ivim(biexponential(DENSE), DiffusionProtocol(b))
    assert fit.maps["d"][0] == pytest.approx(1e-3, rel=0.01)


@pytest.mark.parametrize("bvals", [[0, 100, 400], [20, 50, 100, 400, 800]])
def test_protocols_that_dipy_cannot_fit_are_named(bvals):
    b = np.array(bvals, dtype=float)
    with pytest.raises(InputError, match="four different b-values"):
        fit_ivim(np.ones((1, b.size)), DiffusionProtocol(b))


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="neither"):
        fit_ivim(np.ones((1, 7)), SPARSE, method="magic")  # type: ignore[arg-type]
