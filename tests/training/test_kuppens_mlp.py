"""Perceptrons for one protocol: the same numbers in torch, in ONNX and in the application."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")

from bids_qmri.errors import InputError  # noqa: E402
from bids_qmri.estimators.networks import ncde  # noqa: E402
from bids_qmri.estimators.base import Status  # noqa: E402
from bids_qmri.estimators.networks.features import make_features  # noqa: E402
from bids_qmri.physics.diffusion import DiffusionProtocol  # noqa: E402
from bids_qmri.training.kuppens.curves import fixed_batch, fixed_group  # noqa: E402
from bids_qmri.training.kuppens.export import mlp_to_onnx  # noqa: E402
from bids_qmri.training.kuppens.networks import ParallelHeads  # noqa: E402
from bids_qmri.training.kuppens.perceptron import ProtocolMlp  # noqa: E402
from bids_qmri.training.kuppens.recipe import StudyRecipe, parse_study  # noqa: E402
from bids_qmri.training.kuppens.run import train_mlp, train_study  # noqa: E402
from bids_qmri.training.recipe import recipe_text  # noqa: E402

TECHNIQUES = ("vfa", "ivim", "dce")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(technique: str, epochs: int = 1) -> StudyRecipe:
    recipe = parse_study(recipe_text(f"mlp-{technique}"))
    return replace(
        recipe,
        curves=replace(recipe.curves, count=3000, validation=500),
        training=replace(recipe.training, epochs=epochs, rate=1e-3),
    )


@pytest.fixture(scope="module", params=TECHNIQUES)
def trained(request: pytest.FixtureRequest) -> tuple[StudyRecipe, ProtocolMlp]:
    recipe = small(request.param)
    torch.manual_seed(0)
    return recipe, train_mlp(recipe, recipe.mlp)


def test_heads_do_not_share_weights() -> None:
    torch.manual_seed(0)
    heads = ParallelHeads(4, (8, 8), 3)
    x = torch.rand(5, 4)
    heads(x)[:, 1].sum().backward()
    for parameter in heads.parameters():
        assert torch.all(parameter.grad[0] == 0)
        assert torch.any(parameter.grad[1] != 0)


def test_features_lead_to_the_signals_of_training(trained: tuple[StudyRecipe, ProtocolMlp]) -> None:
    recipe, network = trained
    group = fixed_group(recipe, 100, np.random.default_rng(1))
    features = make_features(
        recipe.forward, group.signal, group.protocol, sigma=group.sigma, bounds=recipe.bounds
    )
    ours = network.normalised(torch.from_numpy(features.path), torch.from_numpy(features.context))
    np.testing.assert_allclose(ours, fixed_batch(recipe, group).signal, rtol=1e-4, atol=1e-5)


def test_onnx_and_torch_agree(trained: tuple[StudyRecipe, ProtocolMlp]) -> None:
    recipe, network = trained
    group = fixed_group(recipe, 200, np.random.default_rng(2))
    wide = {name: (0.5 * low, 1.5 * high) for name, (low, high) in recipe.bounds.items()}
    session = onnxruntime.InferenceSession(mlp_to_onnx(network, {"name": recipe.name}))
    for bounds in (recipe.bounds, wide):
        features = make_features(
            recipe.forward, group.signal, group.protocol, sigma=group.sigma, bounds=bounds
        )
        ours = session.run(["shift", "spread"], {"path": features.path, "context": features.context})
        with torch.inference_mode():
            theirs = network(torch.from_numpy(features.path), torch.from_numpy(features.context))
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine, other.numpy(), atol=1e-5, rtol=1e-5)


def test_the_application_gives_what_training_trained(tmp_path: Path) -> None:
    recipe = small("ivim").with_protocol({"bvals": [0.0, 10.0, 50.0, 600.0]})
    weights, described = train_study(recipe, recipe_text("mlp-ivim"), tmp_path)
    card = json.loads(described.read_text())
    assert card["protocol"]["bvals"] == [0.0, 10.0, 50.0, 600.0]
    assert card["fraction_of_study"] == pytest.approx(1 / 750, abs=1e-4)
    assert card["accuracy"]["d"]["mse_over_prior"] < 1.0
    group = fixed_group(recipe, 300, np.random.default_rng(3))
    found = [
        ncde.fit(
            recipe.forward,
            50 * group.signal,
            group.protocol,
            sigma=50 * group.sigma,
            bounds=b,
            network=weights,
        )
        for b in (recipe.bounds, {"d": (0.0, 4e-3), "dstar": (0.005, 0.2), "f": (0.0, 0.7)})
    ]
    assert np.mean(found[0].status == Status.OUT_OF_RANGE) < 0.2
    assert np.all(found[1].status == Status.OUT_OF_RANGE)
    for name in ("d", "dstar", "f"):
        np.testing.assert_allclose(found[0].maps[name], found[1].maps[name], rtol=1e-4)
        np.testing.assert_allclose(found[0].sd[name], found[1].sd[name], rtol=1e-4)
    other = DiffusionProtocol(np.array([0.0, 10.0, 60.0, 600.0]))
    with pytest.raises(InputError, match="bvals of the scan"):
        ncde.fit(recipe.forward, group.signal, other, sigma=0.1, bounds=recipe.bounds, network=weights)


def test_the_same_recipe_gives_the_same_file_and_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    recipe, text = small("vfa"), recipe_text("mlp-vfa")
    first, again = (train_study(recipe, text, tmp_path / name)[0].read_bytes() for name in ("a", "b"))
    assert first == again
    assert train_study(recipe, text, tmp_path / "a")[0].read_bytes() == first


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_seconds_of_training_beat_the_middle_of_the_range(technique: str, tmp_path: Path) -> None:
    recipe = small(technique, epochs=3)
    _, described = train_study(recipe, recipe_text(f"mlp-{technique}"), tmp_path)
    accuracy = json.loads(described.read_text())["accuracy"]
    name = {"vfa": "t1", "ivim": "d", "dce": "ktrans"}[technique]
    assert accuracy[name]["mse_over_prior"] < 0.7
    assert 0.4 < accuracy[name]["coverage"] < 0.95
