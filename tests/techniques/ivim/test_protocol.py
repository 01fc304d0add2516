"""Low b-values: steps of perfusion, or b = 0 as scanners store it."""

import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import Acquisition
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.shells import cluster_shells
from bids_qmri.workflows.applicability import choose_models


def models(*shells, jitter=(), undirected=False):
    """Return the models of (b, number of directions) shells; `jitter` is added to the first b-values."""
    bvals = np.concatenate([np.full(count, float(b)) for b, count in shells])
    bvals[: len(jitter)] += jitter
    bvecs = np.vstack([synth.directions(count) if b else np.zeros((count, 3)) for b, count in shells])
    protocol = DiffusionProtocol(bvals, None if undirected else bvecs)
    return choose_models(Acquisition("dwi", {"sub": "01"}, "dwi", ("x",), ("x",), {}, protocol), ())


@pytest.mark.parametrize(
    "jitter", [[0, 5, 10, 15], [0, 5, 10, 15] * 3, [5, 36, 5, 36, 0, 15], [0, 10, 20], [2, 7, 12, 17, 22, 27]]
)
@pytest.mark.parametrize("shells", [[(1000, 30)], [(1000, 6)], [(985, 8), (1000, 8), (1015, 16)]])
def test_a_tensor_stays_one_whatever_b0_is_stored_as(jitter, shells):
    found, reasons = models((0, len(jitter)), *shells, jitter=jitter)
    assert found == ["dti"]
    assert "ivim" in reasons


@pytest.mark.parametrize("top", [1500, 2000])
def test_shells_stay_shells(top):
    found, _ = models((0, 8), (500, 12), (1000, 30), (top, 40), jitter=[0, 5, 10, 15] * 2)
    assert found == ["dti", "dki", "noddi"]


@pytest.mark.parametrize(
    "shells",
    [
        [(0, 1), *((b, 3) for b in (10, 20, 30, 40, 60, 100, 200, 400, 800))],
        [(0, 1), *((b, 6) for b in (10, 20, 40, 80, 200, 400, 800))],
        [(0, 1), (10, 3), (50, 3), (600, 3)],
        [(0, 1), (10, 3), (20, 3), (400, 3), (800, 3)],
    ],
)
@pytest.mark.parametrize("undirected", [False, True])
def test_perfusion_protocols_stay_what_they_are(shells, undirected):
    assert models(*shells, undirected=undirected)[0] == ["ivim"]


def test_a_diffusion_coefficient_of_three_axes_is_no_perfusion():
    assert models((0, 4), (1000, 3), jitter=[0, 5, 10, 15], undirected=True)[0] == ["adc"]


LOW = [(10, 3), (20, 3), (50, 3), (100, 3), (200, 3)]


def test_two_protocols_in_one_forbid_neither():
    assert set(models((0, 1), *LOW, (1000, 30))[0]) == {"ivim", "dti"}
    assert models((0, 1), *LOW, (1000, 30), (2000, 60))[0] == ["dti", "dki", "noddi"]
    assert set(models((0, 1), (10, 3), (20, 3), (30, 3), (50, 3), (1000, 30))[0]) == {"ivim", "dti"}


@pytest.mark.parametrize("nominal", [200, 300, 700, 1000, 3000])
def test_shells_that_jitter_stay_whole(nominal):
    bvals = [0, *(nominal + np.array([-15, 0, 15, 15, -15]))]
    centres, index = cluster_shells(bvals)
    np.testing.assert_allclose(centres, [0, nominal])
    assert index.tolist() == [0, 1, 1, 1, 1, 1]


def test_steps_of_perfusion_are_no_jitter():
    bvals = np.array([0, 10, 20, 30, 40, 50, 75, 100, 120, 150, 180, 200, 400.0])
    assert cluster_shells(bvals)[0].size == bvals.size
