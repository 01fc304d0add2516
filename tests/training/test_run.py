"""A recipe becomes a network that beats its own anchor, with a card that says so."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")

from bids_qmri.estimators.networks.features import interface  # noqa: E402
from bids_qmri.techniques.ivim.model import IVIM  # noqa: E402
from bids_qmri.training.anchored import build, kept  # noqa: E402
from bids_qmri.training.loss import COVERAGE, shift_loss, spread_loss, to_tensors  # noqa: E402
from bids_qmri.training.pool import TRAINING, make_pool, make_pools  # noqa: E402
from bids_qmri.training.recipe import recipe_text  # noqa: E402
from bids_qmri.training.run import fit, train  # noqa: E402
from bids_qmri.training.validate import validate  # noqa: E402

from .small import small_recipe  # noqa: E402


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("trained")
    return train(small_recipe("ncde-vfa"), folder)


def test_seconds_of_training_beat_the_anchor_and_cover_the_truth(trained: tuple[Path, Path]) -> None:
    accuracy = json.loads(trained[1].read_text())["accuracy"]["t1"]
    assert accuracy["mse_over_anchor"] < 0.98
    assert accuracy["mse_over_prior"] < 0.6
    assert accuracy["coverage"] == pytest.approx(COVERAGE, abs=0.08)
    assert len(accuracy["coverage_by_snr"]) == 4


def test_card_says_what_the_network_is(trained: tuple[Path, Path]) -> None:
    weights, card = trained[0], json.loads(trained[1].read_text())
    assert card["quantities"] == ["t1"]
    assert card["units"] == {"t1": "s"}
    assert card["kind"] == "any"
    assert card["recipe"] == recipe_text("ncde-vfa")
    assert card["set"]["training.steps"] == 150
    assert card["weights"]["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert card["coverage"]["bounds"]["t1"] == [0.05, 6.0]
    assert card["coverage"]["measurements"] == [2, 12]
    assert card["curves"] == 150 * 256
    assert card["cost"]["cpu_seconds"] > 0
    stored = onnxruntime.InferenceSession(weights).get_modelmeta().custom_metadata_map["card"]
    assert json.loads(stored) == {k: v for k, v in card.items() if k not in ("cost", "weights")}


def test_same_recipe_gives_the_same_file(trained: tuple[Path, Path], tmp_path: Path) -> None:
    again = train(small_recipe("ncde-vfa"), tmp_path)
    assert again[0].read_bytes() == trained[0].read_bytes()


@pytest.mark.parametrize(("path", "anchor"), [(False, True), (True, False)])
def test_controls_train_as_well(path: bool, anchor: bool) -> None:
    recipe = small_recipe("ncde-ivim", steps=200, network__path=path, network__anchor=anchor)
    pool, held_out = make_pools(recipe)
    torch.manual_seed(recipe.seed)
    network = build(recipe, pool)
    before = validate(recipe, network, held_out, anchor=anchor)
    after = validate(recipe, fit(recipe, network, pool, held_out), held_out, anchor=anchor)
    assert after["loss"] < before["loss"]
    assert after["d"]["mse_over_prior"] < 1.0


def test_without_anchor_nothing_from_the_fit_is_read() -> None:
    _, channels, context = interface(IVIM)
    read = {names[i] for names in (channels, context) for i in kept(names, anchor=False)}
    assert {"signal", "b", "log_noise", "box_lower_d", "box_upper_f"} <= read
    assert not {
        name for name in read if name.startswith(("map", "grid", "newton", "corr", "residual", "log_w"))
    } - {"log_weight"}


def test_loss_is_least_at_the_truth_and_at_the_quantile_of_the_error() -> None:
    rng = np.random.default_rng(0)
    pool = make_pool(small_recipe("ncde-vfa"), TRAINING, 2)
    rows = next(iter(pool.values()))
    batch = to_tensors(rows, anchor=True)
    perfect = (batch.truth - batch.centre) / batch.width
    assert shift_loss(perfect, batch).item() == pytest.approx(0.0, abs=1e-6)
    noise = torch.from_numpy(rng.standard_normal(perfect.shape).astype(np.float32))
    inside = replace(
        batch, truth=torch.full_like(batch.truth, 0.5), centre=0.5 + 0.01 * noise, width=0.01 + 0 * noise
    )
    losses = {s: spread_loss(0 * noise, s + 0 * noise, inside).item() for s in (0.7, 1.0, 1.4)}
    assert min(losses, key=losses.get) == 1.0


def test_a_network_of_the_same_recipe_is_not_trained_again(
    trained: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    changed = trained[0].stat().st_mtime_ns
    with caplog.at_level("INFO", "bids_qmri"):
        assert train(small_recipe("ncde-vfa"), trained[0].parent) == trained
    assert "trained before by this recipe" in caplog.text
    assert trained[0].stat().st_mtime_ns == changed


def test_what_is_being_done_is_said_from_the_first_second(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "bids_qmri"):
        train(small_recipe("ncde-vfa", steps=2, groups=2), tmp_path)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("ncde-vfa: ")
    assert lines[1] == "simulating, groups of curves: 0 of 8"
    assert "training, steps: 0 of 2" in lines
