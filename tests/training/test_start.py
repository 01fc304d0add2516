"""A trained network is read back into torch: it answers as its file does, or is refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from bids_qmri.errors import InputError  # noqa: E402
from bids_qmri.estimators.networks.network_file import load_network, weights_folder  # noqa: E402
from bids_qmri.training.curves import features_of  # noqa: E402
from bids_qmri.training.pool import FeatureRows  # noqa: E402
from bids_qmri.training.run import train  # noqa: E402
from bids_qmri.training.start import load_start, write_content  # noqa: E402

from .small import changed_recipe  # noqa: E402

TUNABLE = ("dce", "epg", "irt1", "ivim", "megre", "mese", "vfa")


@pytest.mark.parametrize("name", TUNABLE)
def test_torch_answers_as_the_file_does(name: str) -> None:
    file = weights_folder() / f"ncde-{name}.onnx"
    start = load_start(file)
    group = start.recipe.data.group(start.recipe.forward, start.recipe.protocol, np.random.default_rng(3))
    rows = FeatureRows.of(features_of(start.recipe.forward, group))
    with torch.inference_mode():
        ours = start.network(torch.from_numpy(rows.path), torch.from_numpy(rows.context))
    theirs = load_network(file, start.recipe.forward).run(rows.path, rows.context)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.numpy(), other, rtol=1e-4, atol=1e-4)


def test_what_is_written_again_has_the_same_weights() -> None:
    start = load_start(weights_folder() / "ncde-vfa.onnx")
    card = {key: value for key, value in start.card.items() if key not in ("weights", "cost")}
    assert write_content(start, start.network, card) == (start.file.read_bytes(), ".onnx")


@pytest.mark.parametrize("name", ["ncde-noddi", "noddi-nngt-02c14730"])
def test_networks_of_other_kinds_are_refused_with_the_way_out(name: str) -> None:
    with pytest.raises(InputError, match="fine-tune a network of a recipe ncde-"):
        load_start(weights_folder() / f"{name}.onnx")


def test_a_card_of_another_recipe_is_refused(tmp_path: Path) -> None:
    for ending in (".onnx", ".json"):
        shutil.copy(weights_folder() / f"ncde-vfa{ending}", tmp_path)
    file = tmp_path / "ncde-vfa.json"
    card = json.loads(file.read_text())
    card["recipe"] = card["recipe"].replace("state = 32", "state = 16")
    file.write_text(json.dumps(card))
    with pytest.raises(InputError, match="not in the file"):
        load_start(tmp_path / "ncde-vfa.onnx")


def test_the_network_of_the_study_is_read_from_its_card(tmp_path: Path) -> None:
    pytest.importorskip("torchcde")
    small = {"data__count": 400, "data__validation": 60, "training__epochs": 1, "training__batches": 2}
    weights, card = train(changed_recipe("kuppens2025-ivim", **small), tmp_path)
    for file in (weights, card):
        start = load_start(file)
        assert start.file == weights
        assert start.recipe.data.rows == "signals"
