"""Perceptrons for one protocol: the same numbers in torch, in ONNX and in the application."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")

from bids_qmri.errors import InputError  # noqa: E402
from bids_qmri.estimators.base import Status, get_estimator  # noqa: E402
from bids_qmri.estimators.networks.features import make_features  # noqa: E402
from bids_qmri.physics.diffusion import DiffusionProtocol  # noqa: E402
from bids_qmri.training.curves import Group, table1_box  # noqa: E402
from bids_qmri.training.heads import ProtocolMlp, build, content  # noqa: E402
from bids_qmri.training.pool import make_pools  # noqa: E402
from bids_qmri.training.recipe import Recipe, recipe_text  # noqa: E402
from bids_qmri.training.run import fit, train  # noqa: E402
from bids_qmri.training.spline import ParallelHeads  # noqa: E402

from .small import changed_recipe  # noqa: E402

TECHNIQUES = ("vfa", "ivim", "dce")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(technique: str, epochs: int = 1, **changes: Any) -> Recipe:
    size = {"data__count": 3000, "data__validation": 500, "training__epochs": epochs, "training__rate": 1e-3}
    return changed_recipe(f"mlp-{technique}", **size, **changes)


def group_of(recipe: Recipe, count: int, seed: int) -> Group:
    return recipe.data.group(recipe.forward, recipe.protocol, count, np.random.default_rng(seed))


@pytest.fixture(scope="module", params=TECHNIQUES)
def trained(request: pytest.FixtureRequest) -> tuple[Recipe, ProtocolMlp]:
    recipe = small(request.param)
    pool, held_out = make_pools(recipe)
    torch.manual_seed(0)
    return recipe, fit(recipe, build(recipe, pool), pool, held_out)


def test_heads_do_not_share_weights() -> None:
    torch.manual_seed(0)
    heads = ParallelHeads(4, (8, 8), 3)
    x = torch.rand(5, 4)
    heads(x)[:, 1].sum().backward()
    for parameter in heads.parameters():
        assert torch.all(parameter.grad[0] == 0)
        assert torch.any(parameter.grad[1] != 0)


def test_features_lead_to_the_signals_of_training(trained: tuple[Recipe, ProtocolMlp]) -> None:
    recipe, network = trained
    group = group_of(recipe, 100, 1)
    features = make_features(
        recipe.forward, group.signal, group.protocol, sigma=group.noise, bounds=group.box
    )
    ours = network.normalised(torch.from_numpy(features.path), torch.from_numpy(features.context))
    read = recipe.data.as_read(recipe.forward, recipe.protocol, group)
    np.testing.assert_allclose(ours, read.signal, rtol=1e-4, atol=1e-5)


def test_onnx_and_torch_agree(trained: tuple[Recipe, ProtocolMlp]) -> None:
    recipe, network = trained
    group = group_of(recipe, 200, 2)
    wide = {name: (0.5 * low, 1.5 * high) for name, (low, high) in group.box.items()}
    session = onnxruntime.InferenceSession(content(recipe, network, {"name": recipe.name}))
    for bounds in (group.box, wide):
        features = make_features(
            recipe.forward, group.signal, group.protocol, sigma=group.noise, bounds=bounds
        )
        ours = session.run(["shift", "spread"], {"path": features.path, "context": features.context})
        with torch.inference_mode():
            theirs = network(torch.from_numpy(features.path), torch.from_numpy(features.context))
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine, other.numpy(), atol=1e-5, rtol=1e-5)


def test_the_application_gives_what_training_trained(tmp_path: Path) -> None:
    recipe = small("ivim", protocol__bvals=[0.0, 10.0, 50.0, 600.0])
    weights, described = train(recipe, tmp_path)
    card = json.loads(described.read_text())
    assert card["kind"] == "protocol"
    assert card["recipe"] == recipe_text("mlp-ivim")
    assert card["protocol"]["bvals"] == [0.0, 10.0, 50.0, 600.0]
    assert card["fraction_of_study"] == pytest.approx(1 / 750, abs=1e-4)
    assert card["accuracy"]["d"]["mse_over_prior"] < 1.0
    group = group_of(recipe, 300, 3)
    estimator = get_estimator("ivim", "mlp", network=weights)
    found = [
        estimator.fit(recipe.forward, group.signal, group.protocol, sigma=group.noise, bounds=b)
        for b in (group.box, {"d": (0.0, 4e-3), "dstar": (0.005, 0.2), "f": (0.0, 0.7)})
    ]
    assert np.mean(found[0].status == Status.OUT_OF_RANGE) < 0.2
    assert np.all(found[1].status == Status.OUT_OF_RANGE)
    for name in ("d", "dstar", "f"):
        np.testing.assert_allclose(found[0].maps[name], found[1].maps[name], rtol=1e-4)
        np.testing.assert_allclose(found[0].sd[name], found[1].sd[name], rtol=1e-4)
    other = DiffusionProtocol(np.array([0.0, 10.0, 60.0, 600.0]))
    with pytest.raises(InputError, match="bvals of the scan"):
        estimator.fit(recipe.forward, group.signal, other, sigma=0.1, bounds=table1_box(recipe.forward))


def test_the_same_recipe_gives_the_same_file_and_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    first, again = (train(small("vfa"), tmp_path / name)[0].read_bytes() for name in ("a", "b"))
    assert first == again
    assert train(small("vfa"), tmp_path / "a")[0].read_bytes() == first


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_seconds_of_training_beat_the_middle_of_the_range(technique: str, tmp_path: Path) -> None:
    _, described = train(small(technique, epochs=3), tmp_path)
    accuracy = json.loads(described.read_text())["accuracy"]
    name = {"vfa": "t1", "ivim": "d", "dce": "ktrans"}[technique]
    assert accuracy[name]["mse_over_prior"] < 0.7
    assert 0.4 < accuracy[name]["coverage"] < 0.95
