"""The loss that needs no truth: its physics, its gradient, and what it is least for."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bids_qmri.catalogue import get_model  # noqa: E402
from bids_qmri.estimators.classical.lsq import Lsq  # noqa: E402
from bids_qmri.physics.diffusion import DiffusionProtocol  # noqa: E402
from bids_qmri.physics.noise import VoxelNoise, add_rician_noise, rician_moments  # noqa: E402
from bids_qmri.techniques.dce.sampling import Fixed  # noqa: E402
from bids_qmri.techniques.vfa.protocol import VfaProtocol  # noqa: E402
from bids_qmri.training.physics_loss import compared, curve, expected_magnitude, measured_loss  # noqa: E402

B = DiffusionProtocol(np.array([0.0, 10, 25, 50, 100, 200, 300, 400, 500]))
FLIPS = VfaProtocol(np.deg2rad([2.0, 6, 12, 20]), np.array(0.015))
FRAMES = Fixed(tuple(9.0 * np.arange(1, 18))).protocol()

CASES = [
    ("ivim", B, [[1e-3, 0.03, 0.2, 1.0], [2e-3, 0.08, 0.1, 5.0]]),
    ("vfa", FLIPS, [[1.2, 1.0], [0.4, 100.0]]),
    ("etofts", FRAMES, [[0.5, 0.3, 0.05, 3.1], [1.5, 0.2, 0.02, 1.1]]),
]


@pytest.mark.parametrize(("name", "protocol", "theta"), CASES, ids=[case[0] for case in CASES])
def test_curves_are_those_of_the_model_and_differentiable(name, protocol, theta) -> None:
    model, values = get_model(name), torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    found = curve(values, model, protocol)
    np.testing.assert_allclose(found.detach().numpy().T, model.signal(np.array(theta).T, protocol))
    weights = torch.linspace(1.0, 2.0, found.numel(), dtype=torch.float64).reshape(found.shape)
    (gradient,) = torch.autograd.grad((weights * found).sum(), values)
    for place in np.ndindex(*values.shape):
        step = np.zeros(values.shape)
        step[place] = 1e-5 * theta[place[0]][place[1]]
        up, down = (model.signal((np.array(theta) + s * step).T, protocol).T for s in (1, -1))
        slope = np.sum(weights.numpy() * (up - down)) / (2 * step[place])
        assert gradient[place].item() == pytest.approx(slope, rel=1e-4)


def test_the_expected_magnitude_is_the_rician_mean() -> None:
    snr = np.linspace(0.0, 60.0, 25)
    found = expected_magnitude(
        torch.from_numpy(3.0 * snr)[None], torch.full((1, 1), 3.0, dtype=torch.float64)
    )
    np.testing.assert_allclose(found.numpy()[0] / 3.0, rician_moments(snr)[0], rtol=1e-12)


def test_what_is_compared() -> None:
    kept = np.array([0, 3, 5])
    assert compared(kept, 6, "read").tolist() == [0, 3, 5]
    assert compared(kept, 6, "rest").tolist() == [1, 2, 4]
    assert compared(kept, 6, "all").tolist() == list(range(6))
    assert compared(np.arange(6), 6, "rest").tolist() == list(range(6))


def voxels(count: int, sigma: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray, VoxelNoise]:
    """Return parameters (V, P) with an amplitude of 100, magnitudes (V, N), and their noise."""
    rng = np.random.default_rng(seed)
    ranges = np.array([[0.5e-3, 2e-3], [0.02, 0.1], [0.1, 0.4], [100.0, 100.0]])
    theta = rng.uniform(*ranges.T, (count, 4))
    signal = add_rician_noise(get_model("ivim").signal(theta.T, B), sigma, rng).T
    return theta, np.ascontiguousarray(signal), VoxelNoise.thermal(np.full(count, sigma))


def loss_at(theta: np.ndarray, signal: np.ndarray, noise: VoxelNoise, kept: np.ndarray, target) -> float:
    shape = theta.copy()
    shape[:, 3] = 1.0
    return measured_loss(get_model("ivim"), torch.from_numpy(shape), signal, B, noise, kept, target).item()


def test_the_truth_explains_measurements_to_within_their_noise() -> None:
    theta, signal, noise = voxels(4000, 3.0)
    kept = np.array([0, 2, 4, 6, 8])
    assert loss_at(theta, signal, noise, kept, "all") < 1.05
    assert loss_at(theta, signal, noise, kept, "rest") < 1.15  # the amplitude is of the others


def test_the_unit_of_the_signal_does_not_matter() -> None:
    theta, signal, noise = voxels(50, 3.0)
    kept = np.array([0, 2, 5, 8])
    other = VoxelNoise(7.0 * noise.floor, 7.0 * noise.scatter)
    found = loss_at(theta, signal, noise, kept, "rest"), loss_at(theta, 7.0 * signal, other, kept, "rest")
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_least_squares_explains_best_what_it_read_and_predicts_worse_than_the_truth() -> None:
    """Why measurements that were not read tell more: noise cannot be fitted there."""
    theta, signal, noise = voxels(2000, 4.0)
    kept = np.array([0, 1, 3, 5, 8])
    part = np.ascontiguousarray(signal[:, kept])
    maps = Lsq().fit(get_model("ivim"), part, B.chosen(kept)).maps
    fitted = np.stack([maps[p.name] for p in get_model("ivim").parameters], axis=1)
    assert loss_at(fitted, signal, noise, kept, "read") < loss_at(theta, signal, noise, kept, "read")
    assert loss_at(fitted, signal, noise, kept, "rest") > loss_at(theta, signal, noise, kept, "rest")


def test_part_of_a_protocol_keeps_how_many_images_were_averaged() -> None:
    whole = DiffusionProtocol(B.bvals, averages=np.arange(1.0, 10.0))
    part = whole.chosen(np.array([0, 4, 8]))
    assert part.bvals.tolist() == [0, 100, 500]
    assert part.weights.tolist() == [1, 5, 9]
    flips = FLIPS.with_b1(np.array([0.9, 1.1])).chosen(np.array([1, 3]))
    np.testing.assert_allclose(np.rad2deg(flips.flip_angle), [[5.4, 6.6], [18.0, 22.0]])
