"""A technique that the package does not know: its networks are trained by recipes, used by their files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import synth
from toys import SIGMA, TIMES, TRUTH, command, decay, image, known, sidecar, write_echoes

import bids_qmri
from bids_qmri.errors import UsageError
from bids_qmri.estimators.base import Status
from bids_qmri.training.recipe import parse_recipe, recipe_text, shipped_recipes

needs_training = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("torch", "onnx")), reason="training needs the extra train"
)

FIXED = """
name = "mlp-toy"
model = "toy"
description = "Perceptrons for one protocol, mono-exponential decay"
seed = 1
[data]
type = "fixed"
count = 2000
validation = 500
snr = [20, 250]
amplitude = [0.5, 2.0]
[loss]
type = "study"
supervised = 1.0
physics = 1.0
[protocol]
echo_time = [0.01, 0.02, 0.03, 0.05, 0.08, 0.12]
[network]
type = "heads"
hidden = [16]
spread = [16]
[training]
type = "halving"
epochs = 2
batches = 100
batch = 64
rate = 3e-3
halved = [400]
threads = 1
"""


@pytest.fixture(scope="module", autouse=True)
def _known() -> Iterator[None]:
    with known():
        yield


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    root = synth.new_dataset(tmp_path / "bids")
    write_echoes(root)
    return root


def trained(recipe: str, folder: Path) -> Path:
    """Train a network in this process, and return its file."""
    from bids_qmri.cli.train import main as train

    assert train([recipe, "--output", str(folder)]) == 0
    [file] = folder.glob("*.onnx")
    return file


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network of the recipe in its folder."""
    return trained("ncde-toy", tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def perceptron(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network of a recipe for one protocol alone."""
    folder = tmp_path_factory.mktemp("perceptron")
    (folder / "mine.toml").write_text(FIXED)
    return trained(str(folder / "mine.toml"), folder)


@needs_training
def test_its_recipe_makes_a_network_whose_card_says_what_it_is_for(network: Path) -> None:
    card = json.loads(network.with_suffix(".json").read_text())
    assert (card["kind"], card["model"], card["quantities"]) == ("any", "toy", ["r2"])
    assert card["channels"][-1] == "echo"
    assert card["coverage"]["echo_time"] == [0.005, 0.03 * 12]


@needs_training
@pytest.mark.parametrize(("kind", "label"), [("network", "ncde"), ("perceptron", "mlp")])
def test_its_networks_are_used_by_the_command_and_at_the_front_door(
    bids: Path, request: pytest.FixtureRequest, kind: str, label: str
) -> None:
    file = request.getfixturevalue(kind)
    assert command(bids, "--network", str(file), "--estimators", "lsq", label) == 0
    out = bids.parent / "out"
    found, status = image(out, f"_desc-{label}_R2map"), image(out, f"desc-{label}Status_decaymap")
    assert np.mean(status == Status.OK) > 0.95
    assert np.corrcoef(found.ravel(), TRUTH["r2"].ravel())[0, 1] > 0.95
    assert sidecar(out, f"_desc-{label}_R2map")["Network"]["Name"] == f"{label}-toy"
    assert f"anat-sub-01-decay-{label}" in (out / "sub-01.html").read_text()
    estimator = bids_qmri.load_network(file)
    again = bids_qmri.fit("toy", decay(), echo_time=TIMES, estimator=estimator, sigma=SIGMA)
    assert np.corrcoef(again.maps["r2"].ravel(), TRUTH["r2"].ravel())[0, 1] > 0.95
    assert np.median(again.sd["r2"]) > 0


def test_what_its_folder_lacks_for_training_is_named() -> None:
    assert "ncde-toy" in shipped_recipes()
    text = FIXED.replace('type = "fixed"', 'type = "varied"')
    with pytest.raises(UsageError, match=r"there is no Varied for toy; needed: a class Varied in"):
        parse_recipe(text)
    with pytest.raises(UsageError, match=r"data\.type: is 'shells'; needed: one of curves, varied, fixed"):
        parse_recipe(recipe_text("ncde-toy"), {"data.type": "shells"})
