"""Networks of the study: physics, equation 6 on hand numbers, the spline, and a few steps that help."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torchcde = pytest.importorskip("torchcde")

from bids_qmri.errors import InputError  # noqa: E402
from bids_qmri.physics.arterial_input import parker, rata  # noqa: E402
from bids_qmri.physics.diffusion import DiffusionProtocol  # noqa: E402
from bids_qmri.techniques.dce import sampling as dce  # noqa: E402
from bids_qmri.techniques.dce.protocol import DceProtocol  # noqa: E402
from bids_qmri.techniques.vfa.protocol import VfaProtocol  # noqa: E402
from bids_qmri.training import run  # noqa: E402
from bids_qmri.training.loss import predicted, study_loss  # noqa: E402
from bids_qmri.training.pool import make_pools  # noqa: E402
from bids_qmri.training.recipe import Recipe  # noqa: E402
from bids_qmri.training.spline import StudyNcde, build  # noqa: E402
from bids_qmri.training.study import measurements  # noqa: E402

from .small import changed_recipe  # noqa: E402

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
from kuppens.study_network import estimate_by, load  # noqa: E402

TECHNIQUES = ("vfa", "ivim", "dce")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(name: str, count: int = 2000, **changes: float) -> Recipe:
    size = {"data__count": count, "data__validation": 700, "training__epochs": 1, "training__batches": 20}
    return changed_recipe(name, **size, **changes)


def untrained(name: str) -> tuple[Recipe, StudyNcde]:
    torch.manual_seed(0)
    recipe = small(name)
    return recipe, StudyNcde(recipe.network, len(recipe.forward.parameters)).eval()


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_physics_equals_the_models(technique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # the models connect the points of the input by straight lines
    monkeypatch.setattr(dce, "INPUT_STEP", 0.02)
    recipe = changed_recipe(f"mlp-{technique}")
    protocol = recipe.protocol.protocol()
    rng = np.random.default_rng(0)
    theta = np.array([rng.uniform(*limits, 50) for limits in recipe.data.ranges(recipe.forward)])
    expected = recipe.forward.signal(theta, protocol).T
    tolerance = 5e-6 if technique == "dce" else 1e-12
    measured = measurements(protocol)[None].copy()
    ours = recipe.protocol.curve(torch, torch.from_numpy(theta.T), torch.from_numpy(measured))
    np.testing.assert_allclose(ours.numpy(), expected, atol=tolerance)
    np.testing.assert_allclose(recipe.protocol.curve(np, theta.T, measured), expected, atol=tolerance)


def test_physics_is_smooth_where_washout_of_tissue_and_input_are_equal() -> None:
    rate = torch.tensor([0.1810, 0.1811, 0.1812], dtype=torch.float64)
    theta = torch.stack([rate, torch.full_like(rate, 0.3), torch.zeros(3), torch.zeros(3)], dim=1)
    theta.requires_grad_()
    found = dce.Varied().curve(torch, theta, torch.tensor([[30.0, 90.0]], dtype=torch.float64))
    found.sum().backward()
    assert torch.all(torch.isfinite(theta.grad))
    assert torch.allclose(found[0] + found[2], 2 * found[1], rtol=1e-3)


def test_equation_6_on_hand_numbers() -> None:
    recipe = small("kuppens2025-ivim")
    coefficients = torch.zeros(1, 4)
    middle = torch.full((1, 4), 0.5)
    b = torch.tensor([[0.0, 100.0]])
    curve = predicted(recipe, middle, b).float()
    assert curve[0, 0].item() == pytest.approx(1.25)
    batch = SimpleNamespace(
        measured=b,
        signal=curve + torch.tensor([[0.1, -0.3]]),
        truth=middle + torch.tensor([[0.2, 0.0, -0.4, 0.0]]),
    )
    expected = (0.2**2 + 0.4**2) / 4 + (0.1**2 + 0.3**2) / 2
    assert study_loss(recipe, coefficients, batch).item() == pytest.approx(expected, rel=1e-5)
    without = small("kuppens2025-ivim", loss__physics=0.0)
    assert study_loss(without, coefficients, batch).item() == pytest.approx(0.05, rel=1e-5)


def test_spline_goes_through_the_measurements_and_ends_without_curvature() -> None:
    _, network = untrained("kuppens2025-vfa")
    signal, flip = torch.rand(3, 5), torch.rand(3, 5).cumsum(dim=1)
    path = network.spline(signal, flip)
    knots = torch.stack([path.evaluate(t) for t in path.grid_points], dim=1)
    assert torch.allclose(knots, torch.stack([signal, flip], dim=2), atol=1e-5)
    slope = [path.derivative(torch.tensor(t)) for t in (0.0, 1e-3)]
    assert torch.allclose(slope[0], slope[1], atol=1e-2)


def test_tighter_tolerances_change_little() -> None:
    _, network = untrained("kuppens2025-ivim")
    signal, b = torch.rand(8, 7), torch.linspace(0, 3, 7)[None]
    with torch.inference_mode():
        loose, tight = network(signal, b, 0), network(signal, b, 8)
    assert torch.allclose(loose, tight, atol=1e-2)
    assert not torch.equal(loose, tight)


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_variable_curves_have_the_lengths_of_table_2_and_truths_within_table_1(technique: str) -> None:
    recipe = small(f"kuppens2025-{technique}")
    pool = recipe.data.simulated(recipe.forward, recipe.protocol, 200, np.random.default_rng(0))
    lengths = {"vfa": range(3, 9), "ivim": range(4, 11), "dce": range(15, 21)}[technique]
    assert list(pool) == list(lengths)
    for length, batch in pool.items():
        assert batch.signal.shape == batch.measured.shape == (len(batch.truth), length)
        assert np.all(np.diff(batch.measured, axis=1) >= 0)
        assert np.all((batch.truth >= 0) & (batch.truth <= 1))
    if technique != "dce":
        first = np.sin(np.deg2rad(1.0)) if technique == "vfa" else 1.0
        np.testing.assert_allclose(batch.signal[:, 0], first, rtol=1e-5)


@pytest.mark.parametrize("technique", ["vfa", "ivim"])
def test_a_few_steps_lower_the_loss(technique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small(f"kuppens2025-{technique}", training__rate=3e-3)
    seen = []
    monkeypatch.setattr(run, "loop", lambda *a, loop=run.loop, **k: seen.extend(loop(*a, **k)))
    pool, held_out = make_pools(recipe)
    torch.manual_seed(recipe.seed)
    run.fit(recipe, build(recipe, pool), pool, held_out)
    assert np.mean(seen[-5:]) < 0.9 * np.mean(seen[:3])


def test_trained_network_is_read_back_and_knows_what_it_is_for(tmp_path: Path) -> None:
    recipe = small("kuppens2025-vfa", count=500)
    weights, _ = run.train(recipe, tmp_path)
    estimate = load(tmp_path, "kuppens2025-vfa")
    signal = np.random.default_rng(0).uniform(0.01, 0.1, (5, 3))
    signal[0] = 0.0
    maps = estimate(signal, VfaProtocol(np.deg2rad([1.0, 6.0, 29.0]), np.array(0.005)))
    assert np.isnan(maps["t1"][0])
    assert np.all((maps["t1"][1:] > 0.1) & (maps["t1"][1:] < 3.0))
    weights.write_bytes(weights.read_bytes() + b"0")
    with pytest.raises(InputError, match="hash"):
        load(tmp_path, "kuppens2025-vfa")


def test_estimates_follow_order_scale_and_repetition_time() -> None:
    recipe, network = untrained("kuppens2025-vfa")
    signal = np.random.default_rng(0).uniform(0.01, 0.1, (4, 3))
    flip = np.deg2rad([1.0, 6.0, 29.0])
    base = estimate_by(recipe, network, signal, VfaProtocol(flip, np.array(0.005)))
    mixed = estimate_by(recipe, network, 7 * signal[:, ::-1], VfaProtocol(flip[::-1], np.array(0.010)))
    np.testing.assert_allclose(mixed["t1"], 2 * base["t1"], rtol=1e-5)
    np.testing.assert_allclose(mixed["m0"], 7 * base["m0"], rtol=1e-5)


def test_inputs_that_the_study_did_not_have_are_refused() -> None:
    recipe, network = untrained("kuppens2025-dce")
    time = 9.0 * np.arange(1, 18)
    since = np.arange(0.0, 154.0, 0.25)
    signal = np.random.default_rng(0).uniform(0.0, 1.0, (4, 17))
    maps = estimate_by(recipe, network, signal, DceProtocol(time, since, rata(since)))
    np.testing.assert_allclose(maps["ktrans"], maps["kep"] * maps["ve"])
    with pytest.raises(InputError, match="another arterial input"):
        estimate_by(recipe, network, signal, DceProtocol(time, since, parker(since)))


def test_no_voxels_give_no_estimates() -> None:
    recipe, network = untrained("kuppens2025-ivim")
    maps = estimate_by(recipe, network, np.empty((0, 3)), DiffusionProtocol(np.array([0.0, 50.0, 600.0])))
    assert {name: len(values) for name, values in maps.items()} == {"d": 0, "dstar": 0, "f": 0, "s0": 0}
