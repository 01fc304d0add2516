"""Which images a tensor is fitted to: those in the range of Gaussian diffusion that have a direction."""

import numpy as np
import pytest
import synth

from bids_qmri.estimation.front_door import fit
from bids_qmri.estimation.preparation import Scan, prepare
from bids_qmri.estimators.base import get_estimator
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.dti.model import KURTOSIS, TENSOR
from bids_qmri.techniques.dti.remarks import remarks_on

EIGENVALUES = np.array([1.5e-3, 0.4e-3, 0.4e-3])
FA = 0.6858


def scheme(*shells, without=()):
    """Return a protocol of (b, count) shells; images of `without` have no direction."""
    bvals = np.concatenate([np.full(count, float(b)) for b, count in shells])
    bvecs = np.vstack([synth.directions(count) if b else np.zeros((count, 3)) for b, count in shells])
    bvecs[list(without)] = 0
    return DiffusionProtocol(bvals, bvecs)


def signal(protocol, true=None):
    vectors = (protocol if true is None else true).bvecs
    return 1000 * np.exp(-protocol.bvals * (vectors**2 @ EIGENVALUES))[None]


def remarks(protocol, model=TENSOR):
    how = prepare(model, get_estimator(model.name, "wls"), Scan(protocol))
    return remarks_on(model, how, (signal(protocol), np.arange(1)))


@pytest.mark.parametrize("b", [2000, 2500, 3000])
def test_a_single_high_shell_gives_a_tensor_with_a_word(b):
    protocol = scheme((0, 4), (b, 30))
    assert fit("dti", signal(protocol), protocol).maps["fa"][0] == pytest.approx(FA, abs=1e-3)
    [said] = remarks(protocol)
    assert f"b = {b} s/mm^2 is above the range" in said
    assert "fix:" in said


def test_only_the_lowest_of_high_shells_is_taken():
    protocol = scheme((0, 4), (2000, 30), (4000, 60))
    np.testing.assert_array_equal(TENSOR.kept(protocol), protocol.bvals <= 2000)


def test_a_shell_in_range_leaves_high_ones_out_without_a_word():
    protocol = scheme((0, 4), (1000, 6), (2500, 60))
    np.testing.assert_array_equal(TENSOR.kept(protocol), protocol.bvals <= 1000)
    assert remarks(protocol) == ()


@pytest.mark.parametrize("nominal", [1000, 1500])
def test_no_limit_cuts_a_shell(nominal):
    protocol = scheme((0, 4), *((nominal + jitter, 10) for jitter in (-15, 0, 15)))
    assert TENSOR.kept(protocol).all()


@pytest.mark.parametrize("model", [TENSOR, KURTOSIS])
def test_images_without_direction_are_left_out(model):
    full = scheme((0, 4), (1000, 30), (1500, 30))
    protocol = scheme((0, 4), (1000, 30), (1500, 30), without=(10, 40))
    np.testing.assert_array_equal(np.flatnonzero(~model.kept(protocol)), [10, 40])
    found = fit(model.name, signal(full), protocol)
    assert found.maps["fa"][0] == pytest.approx(FA, abs=1e-3)
    assert "2 images above b = 50" in remarks(protocol, model)[0]
