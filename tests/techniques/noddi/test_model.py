"""NODDI signal: limits that follow from the tissue, invariances, derivatives, the integral over sticks."""

from __future__ import annotations

import numpy as np
import pytest
from sphere import stick_signal, unit_vectors

from bids_qmri.catalogue import get_model
from bids_qmri.errors import InputError
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.noddi.encoding import align, encode
from bids_qmri.techniques.noddi.exvivo import EX_VIVO_NODDI
from bids_qmri.techniques.noddi.model import D_ISO, D_PAR, NODDI, Noddi, noddi_signal
from bids_qmri.units import FloatArray

RNG = np.random.default_rng(0)
PROTOCOL = DiffusionProtocol(np.repeat([0.0, 700.0, 2000.0], [3, 24, 48]), unit_vectors(75, RNG))
DIRECTION = np.array([[0.48, -0.6, 0.64]])


def one(
    ndi: float,
    odi: float,
    fwf: float,
    protocol: DiffusionProtocol = PROTOCOL,
    direction: FloatArray = DIRECTION,
) -> FloatArray:
    return noddi_signal(*np.array([[ndi], [odi], [fwf]]), direction, protocol)[:, 0]


def test_signal_without_weighting_is_one() -> None:
    np.testing.assert_allclose(one(0.6, 0.2, 0.1)[PROTOCOL.bvals == 0], 1.0, rtol=1e-14)


def test_free_water_alone_decays_with_its_diffusivity() -> None:
    np.testing.assert_allclose(one(0.6, 0.2, 1.0), np.exp(-PROTOCOL.bvals * D_ISO), rtol=1e-13)


def test_tissue_without_neurites_is_isotropic() -> None:
    np.testing.assert_allclose(one(0.0, 0.2, 0.0), np.exp(-PROTOCOL.bvals * D_PAR), rtol=1e-13)


def test_parallel_neurites_are_sticks() -> None:
    cosine = PROTOCOL.bvecs @ DIRECTION[0]
    np.testing.assert_allclose(one(1.0, 0.0, 0.0), np.exp(-PROTOCOL.bvals * D_PAR * cosine**2), atol=1e-4)


def test_hindered_water_follows_one_tensor_with_tortuosity() -> None:
    ndi = 0.6
    eigenvalues = D_PAR * np.diag([1.0 - ndi, 1.0 - ndi, 1.0])
    along_z = np.array([[0.0, 0.0, 1.0]])
    g, b = PROTOCOL.bvecs, PROTOCOL.bvals
    tensor = np.exp(-b * np.einsum("ni,ij,nj->n", g, eigenvalues, g))
    sticks = np.exp(-b * D_PAR * g[:, 2] ** 2)
    np.testing.assert_allclose(
        one(ndi, 0.0, 0.0, direction=along_z), ndi * sticks + (1 - ndi) * tensor, atol=1e-4
    )


def test_uniform_neurites_look_the_same_from_everywhere() -> None:
    turned = one(0.5, 1.0, 0.1, direction=np.array([[0.0, 1.0, 0.0]]))
    np.testing.assert_allclose(one(0.5, 1.0, 0.1), turned, rtol=1e-12)


@pytest.mark.parametrize("odi", [0.02, 0.05, 0.3, 0.9])
def test_neurites_are_the_integral_of_sticks_over_the_sphere(odi: float) -> None:
    aligned = DiffusionProtocol(PROTOCOL.bvals, np.r_[PROTOCOL.bvecs[:-1], DIRECTION])
    exact = stick_signal(aligned, DIRECTION[0], odi, D_PAR)
    np.testing.assert_allclose(one(1.0, odi, 0.0, aligned), exact, atol=2e-6)


def test_opposite_directions_are_the_same() -> None:
    np.testing.assert_allclose(one(0.6, 0.2, 0.1), one(0.6, 0.2, 0.1, direction=-DIRECTION), rtol=1e-12)


def test_turning_gradients_and_neurites_together_changes_nothing() -> None:
    turn, _ = np.linalg.qr(RNG.normal(size=(3, 3)))
    turned = DiffusionProtocol(PROTOCOL.bvals, PROTOCOL.bvecs @ turn.T)
    np.testing.assert_allclose(one(0.6, 0.2, 0.1), one(0.6, 0.2, 0.1, turned, DIRECTION @ turn.T), rtol=1e-12)


def test_every_b_value_is_exact_however_they_are_grouped() -> None:
    bvals = PROTOCOL.bvals * np.where(RNG.uniform(size=75) < 0.5, 1.0, RNG.uniform(0.99, 1.01, 75))
    together = one(0.6, 0.2, 0.1, DiffusionProtocol(bvals, PROTOCOL.bvecs))
    alone = [
        one(0.6, 0.2, 0.1, DiffusionProtocol(bvals[[n]], PROTOCOL.bvecs[[n]]))[0] for n in range(bvals.size)
    ]
    np.testing.assert_allclose(together, alone, rtol=1e-13)


def test_diffusivities_scale_with_the_b_value() -> None:
    halved = DiffusionProtocol(PROTOCOL.bvals / 2.0, PROTOCOL.bvecs)
    doubled = noddi_signal(
        *np.array([[0.6], [0.2], [0.1]]), DIRECTION, halved, d_par=2 * D_PAR, d_iso=2 * D_ISO
    )
    np.testing.assert_allclose(one(0.6, 0.2, 0.1), doubled[:, 0], rtol=1e-13)


def test_gradients_without_directions_are_refused() -> None:
    with pytest.raises(InputError, match="bvecs"):
        one(0.6, 0.2, 0.1, DiffusionProtocol(PROTOCOL.bvals))


@pytest.mark.parametrize("model", [NODDI, Noddi(1.1e-3, 2.5e-3), EX_VIVO_NODDI])
def test_jacobian_is_the_derivative_of_the_signal(model: Noddi) -> None:
    lower, upper = model.limits()
    theta = RNG.uniform(np.maximum(lower, -1), np.minimum(upper, 1), (200, lower.size)).T
    theta = np.clip(theta, lower[:, None] + 1e-3, upper[:, None] - 1e-3)
    protocol = align(encode(PROTOCOL, model.d_par, model.d_iso), unit_vectors(200, RNG).T)
    signal, jacobian = model.signal_and_jacobian(theta, protocol)
    np.testing.assert_allclose(signal, model.signal(theta, protocol), rtol=1e-12)
    for index in range(lower.size):
        step = np.zeros((lower.size, 1))
        step[index] = 1e-6
        difference = model.signal(theta + step, protocol) - model.signal(theta - step, protocol)
        np.testing.assert_allclose(jacobian[index], difference / 2e-6, atol=1e-8)


def test_frame_turns_by_the_angle_whose_tangent_is_the_tilt() -> None:
    reference = unit_vectors(50, RNG).T
    aligned = align(encode(PROTOCOL, D_PAR, D_ISO), reference)
    gram = np.einsum("aiv,biv->vab", aligned.axes, aligned.axes)
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(3), gram.shape), atol=1e-14)
    turned, _ = aligned.turn(np.array([[0.6], [-0.8]]) * np.ones(50))
    np.testing.assert_allclose(np.einsum("iv,iv->v", turned, reference), np.sqrt(0.5), rtol=1e-12)


def test_stationary_tissue_does_not_decay() -> None:
    theta = np.array([[0.5], [0.3], [0.2], [1.0], [0.0], [0.0]])
    protocol = align(encode(PROTOCOL, EX_VIVO_NODDI.d_par, EX_VIVO_NODDI.d_iso), DIRECTION.T)
    np.testing.assert_allclose(EX_VIVO_NODDI.signal(theta, protocol), 1.0, rtol=1e-14)


def test_registry_knows_the_model() -> None:
    assert get_model("noddi") is NODDI
