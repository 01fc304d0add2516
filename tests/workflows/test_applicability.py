from pathlib import Path

import numpy as np
import pytest

from bids_qmri.bids.acquisition import Acquisition
from bids_qmri.estimation.preparation import untold_noise
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.estimators.classical.mle import Mle
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.workflows.applicability import choose_models


def dwi(bvals, bvecs=None):
    protocol = DiffusionProtocol(np.asarray(bvals, dtype=float), bvecs)
    image = Path("sub-01_dwi.nii.gz")
    return Acquisition("dwi", {"sub": "01"}, "dwi", (image,), (image,), {}, protocol)


def sphere(count):
    vectors = np.random.default_rng(0).normal(size=(count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def scheme(shared_data, name):
    folder = shared_data / "schemes"
    bvecs = folder / f"{name}.bvec"
    return dwi(np.loadtxt(folder / f"{name}.bval"), np.loadtxt(bvecs).T if bvecs.exists() else None)


@pytest.mark.parametrize(
    ("name", "models"),
    [
        ("ivim_seed_4b", ["ivim"]),
        ("ivim_seed_7b", ["ivim"]),
        ("ivim_osipi_18b", ["ivim"]),
        ("dti_6", ["dti"]),
        ("dti_30", ["dti"]),
        ("noddi_s1", ["dti", "dki", "noddi"]),
        ("hcp_like", ["dti", "dki", "noddi"]),
        ("hcp_like_jitter", ["dti", "dki", "noddi"]),
        ("clinical_2shell", ["dti", "dki", "noddi"]),
    ],
)
def test_published_schemes_get_the_models_they_were_made_for(shared_data, name, models):
    assert choose_models(scheme(shared_data, name), ())[0] == models


def test_a_grid_of_b_values_is_no_set_of_shells(shared_data):
    folder = shared_data / "bids-real" / "sub-dtigrid" / "dwi"
    grid = dwi(np.loadtxt(folder / "sub-dtigrid_dwi.bval"), np.loadtxt(folder / "sub-dtigrid_dwi.bvec").T)
    models, reasons = choose_models(grid, ())
    assert models == ["dti"]
    assert "grid" in reasons["dki"]


def test_every_model_that_is_left_out_has_a_reason_that_names_numbers():
    models, reasons = choose_models(dwi([0, 1000, 1000]), ())
    assert models == ["adc"]
    assert "2 distinct b-values" in reasons["ivim"]
    assert "no gradient directions" in reasons["dti"]


def test_asking_for_a_model_overrides_what_the_series_was_made_for_but_not_what_it_lacks():
    directions = np.vstack([np.zeros(3), np.tile(np.eye(3), (3, 1))])
    ivim = dwi([0, 20, 20, 20, 60, 60, 60, 600, 600, 600], directions)
    assert choose_models(ivim, ())[0] == ["ivim"]
    models, reasons = choose_models(ivim, ("dti",))
    assert models == []
    assert "3 directions" in reasons["dti"]


def test_opposite_directions_count_once():
    directions = np.vstack([np.zeros(3), np.eye(3), -np.eye(3)])
    assert "3 directions" in choose_models(dwi([0] + [1000] * 6, directions), ())[1]["dti"]


@pytest.mark.parametrize("b0s", [[0.3, 1.2, 3.1], [0, 2, 5]])
def test_jittered_b0s_do_not_turn_a_tensor_into_ivim(b0s):
    directions = np.vstack([np.zeros((3, 3)), sphere(30)])
    assert choose_models(dwi([*b0s, *[1000] * 30], directions), ())[0] == ["dti"]


def test_jitter_above_the_limit_of_a_tensor_does_not_cost_it():
    directions = np.vstack([np.zeros(3), sphere(30)])
    assert choose_models(dwi([0, *np.tile([1495, 1500, 1505], 10)], directions), ())[0] == ["dti"]


def test_shells_beyond_the_limit_of_kurtosis_do_not_count():
    directions = np.vstack([np.zeros(3), sphere(30), sphere(30)])
    models, reasons = choose_models(dwi([0] + [1000] * 30 + [5000] * 30, directions), ())
    assert models == ["dti", "noddi"]
    assert "3000" in reasons["dki"]


def test_vfa_gets_vfa():
    image = Path("sub-01_flip-1_VFA.nii.gz")
    protocol = VfaProtocol([0.05, 0.3], 0.015)
    vfa = Acquisition("vfa", {"sub": "01"}, "anat", (image,), (image,), {}, protocol)
    assert choose_models(vfa, ()) == (["vfa"], {})


@pytest.mark.parametrize(("n_flips", "possible"), [(2, False), (3, True)])
def test_the_likelihood_needs_one_image_more_than_parameters_to_know_the_noise(n_flips, possible):
    image = Path("sub-01_flip-1_VFA.nii.gz")
    protocol = VfaProtocol(np.linspace(0.05, 0.3, n_flips), 0.015)
    vfa = Acquisition("vfa", {"sub": "01"}, "anat", (image,), (image,), {}, protocol)
    assert (untold_noise(VFA, Mle(), vfa.protocol) == "") is possible
    assert untold_noise(VFA, Lsq(), vfa.protocol) == ""
