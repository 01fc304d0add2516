import numpy as np
import pytest

from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.directions import average_directions


def test_geometric_mean_of_an_anisotropic_tensor_decays_with_its_mean_diffusivity():
    eigenvalues = np.array([1.7e-3, 0.4e-3, 0.3e-3])
    axes = np.eye(3)
    bvals = np.array([0.0, 700.0, 700.0, 700.0])
    signal = np.array([[100.0, *(100.0 * np.exp(-700.0 * axes @ eigenvalues))]])
    averaged, protocol = average_directions(
        signal, DiffusionProtocol(bvals, np.vstack([np.zeros(3), axes])), np.array([0, 1, 1, 1])
    )
    assert averaged[0, 1] / averaged[0, 0] == pytest.approx(np.exp(-700.0 * eigenvalues.mean()), rel=1e-12)
    assert protocol.averages.tolist() == [1, 3]


def test_groups_come_out_in_the_order_of_b_whatever_the_order_of_acquisition():
    protocol = DiffusionProtocol([800, 0, 100, 800, 0])
    averaged, result = average_directions(
        np.array([[2.0, 10.0, 7.0, 8.0, 12.0]]), protocol, np.array([0, 1, 2, 0, 1])
    )
    assert result.bvals.tolist() == [0, 100, 800]
    np.testing.assert_allclose(averaged, [[11.0, 7.0, 4.0]])


@pytest.mark.parametrize("bad", [0.0, -3.0, np.nan])
def test_a_value_without_a_logarithm_makes_its_voxel_unusable_and_no_other(bad):
    protocol = DiffusionProtocol([0, 500, 500])
    averaged, _ = average_directions(
        np.array([[9.0, bad, 4.0], [9.0, 4.0, 4.0]]), protocol, np.array([0, 1, 1])
    )
    assert np.isnan(averaged[0, 1])
    assert np.all(np.isfinite(averaged[1]))
