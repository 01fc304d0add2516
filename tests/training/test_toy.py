"""A technique that the package does not know: its networks are trained by recipes, used by their files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from bids_qmri import catalogue  # noqa: E402
from bids_qmri.catalogue import ModelEntry, Technique  # noqa: E402
from bids_qmri.cli.train import main  # noqa: E402
from bids_qmri.errors import UsageError  # noqa: E402
from bids_qmri.estimators.base import Status, get_estimator  # noqa: E402
from bids_qmri.physics.noise import add_rician_noise  # noqa: E402
from bids_qmri.training.recipe import parse_recipe, recipe_text, shipped_recipes  # noqa: E402

SIGMA = 0.02

FIXED = """
name = "mlp-toy"
model = "toy"
description = "Perceptrons for one protocol, mono-exponential decay"
seed = 1
[data]
type = "fixed"
count = 2000
validation = 500
snr = [20, 100]
amplitude = [0.5, 2.0]
[loss]
type = "study"
supervised = 1.0
physics = 1.0
[protocol]
echo_time = [0.01, 0.02, 0.03, 0.05, 0.08]
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


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ModelEntry("toy", 99, "model:DECAY", ("lsq", "map", "ncde", "mlp"))
    monkeypatch.setattr(catalogue, "TECHNIQUES", (*catalogue.TECHNIQUES, Technique("toy", "toy", (entry,))))


def measured(times: list[float], snr: float = 1.0 / SIGMA) -> tuple[object, np.ndarray, np.ndarray]:
    """Return a protocol, noisy signals (V, N) of amplitude 3, and their R2."""
    from toy.protocol import EchoProtocol

    protocol = EchoProtocol(np.array(times))
    rng = np.random.default_rng(3)
    r2 = rng.uniform(5.0, 45.0, 400)
    clean = catalogue.get_model("toy").signal(np.stack([r2, np.full(r2.size, 3.0)]), protocol)
    return protocol, add_rician_noise(clean, 3.0 / snr, rng).T, r2


def test_its_recipe_is_found_trained_and_its_network_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "ncde-toy" in shipped_recipes()
    assert main(["ncde-toy", "--output", str(tmp_path)]) == 0
    file = tmp_path / "ncde-toy.onnx"
    assert f"--models toy --estimators ncde --network {file}" in capsys.readouterr().err
    card = json.loads(file.with_suffix(".json").read_text())
    assert (card["kind"], card["model"], card["quantities"]) == ("any", "toy", ["r2"])
    assert card["channels"][-1] == "echo"
    assert card["coverage"]["echo_time"] == [0.005, 0.03 * 12]
    protocol, signal, truth = measured([0.01, 0.02, 0.03, 0.04, 0.06, 0.09])
    model = catalogue.get_model("toy")
    found = get_estimator("toy", "ncde", network=file).fit(
        model, signal, protocol, sigma=3.0 * SIGMA, bounds={"r2": (1.0, 60.0)}
    )
    assert np.mean(found.status == Status.OK) > 0.95
    assert np.corrcoef(found.maps["r2"], truth)[0, 1] > 0.95
    assert np.median(found.sd["r2"]) > 0
    assert np.median(found.maps["s0"]) == pytest.approx(3.0, rel=0.05)


def test_perceptrons_for_one_protocol_need_no_code_either(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(FIXED)
    assert main([str(recipe), "--output", str(tmp_path)]) == 0
    protocol, signal, truth = measured([0.01, 0.02, 0.03, 0.05, 0.08])
    estimator = get_estimator("toy", "mlp", network=tmp_path / "mlp-toy.onnx")
    bounds = {"r2": (2.0, 50.0)}
    found = estimator.fit(catalogue.get_model("toy"), signal, protocol, sigma=3.0 * SIGMA, bounds=bounds)
    assert np.corrcoef(found.maps["r2"], truth)[0, 1] > 0.9


def test_what_its_folder_lacks_is_named() -> None:
    text = FIXED.replace('type = "fixed"', 'type = "varied"')
    with pytest.raises(UsageError, match=r"there is no Varied for toy; needed: a class Varied in"):
        parse_recipe(text)
    with pytest.raises(UsageError, match=r"data\.type: is 'shells'; needed: one of curves, varied, fixed"):
        parse_recipe(recipe_text("ncde-toy"), {"data.type": "shells"})
