"""A recipe becomes a network for any multi-shell protocol, with a card that says what it was trained for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")

from bids_qmri.cli.train import main  # noqa: E402
from bids_qmri.errors import UsageError  # noqa: E402
from bids_qmri.estimators.networks.network_file import load_network  # noqa: E402
from bids_qmri.techniques.noddi.model import Noddi  # noqa: E402
from bids_qmri.techniques.noddi.zonal import CHANNELS, CONTEXT, QUANTITIES  # noqa: E402
from bids_qmri.training.anchored import build, content  # noqa: E402
from bids_qmri.training.loss import FLOOR, to_tensors, weighed_error  # noqa: E402
from bids_qmri.training.pool import TRAINING, Pool, make_pool  # noqa: E402
from bids_qmri.training.recipe import Recipe, parse_recipe, recipe_text  # noqa: E402

TEXT = recipe_text("ncde-noddi")

SMALL = {"data.groups": 24, "data.validation_groups": 8, "data.curves": 128}
SMALL |= {"training.steps": 150, "training.batch": 256}


def small_recipe() -> Recipe:
    return parse_recipe(TEXT, SMALL)


def small_pool() -> Pool:
    return make_pool(small_recipe(), TRAINING, 8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shells")
    settings = [f"{key}={value}" for key, value in SMALL.items()]
    assert main(["ncde-noddi", "--output", str(folder), "--set", *settings]) == 0
    return folder / "ncde-noddi.onnx"


def test_seconds_of_training_beat_knowing_nothing(trained: Path) -> None:
    accuracy = json.loads(trained.with_suffix(".json").read_text())["accuracy"]
    assert all(accuracy[name]["mse_over_prior"] < 0.75 for name in QUANTITIES)
    assert all(0.55 < accuracy[name]["coverage"] < 0.8 for name in QUANTITIES)


def test_the_card_fits_the_features_and_states_the_coverage(trained: Path) -> None:
    card = load_network(trained, Noddi()).card
    assert card["quantities"] == list(QUANTITIES)
    assert card["coverage"]["shells"] == [2, 8]
    assert card["coverage"]["bounds"]["fwf"] == [0.0, 1.0]
    assert card["coverage"]["d_par"][0] < 1.4e-3 < card["coverage"]["d_par"][1]
    assert card["distinct_curves"] == 24 * 128


def test_the_exported_network_is_the_trained_one(trained: Path) -> None:
    pool = small_pool()
    torch.manual_seed(1)
    network = build(small_recipe(), pool)
    assert (len(network.channels), len(network.entries)) == (len(CHANNELS), len(CONTEXT))
    session = onnxruntime.InferenceSession(content(small_recipe(), network, {"name": "x"}))
    for rows in pool.values():
        with torch.inference_mode():
            ours = network(torch.from_numpy(rows.path), torch.from_numpy(rows.context))
        theirs = session.run(["shift", "spread"], {"path": rows.path, "context": rows.context})
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one.numpy(), other, atol=1e-5)


def test_rows_are_finite_and_grouped_by_shells() -> None:
    for length, rows in small_pool().items():
        assert rows.path.shape[1:] == (length, len(CHANNELS))
        for array in (rows.path, rows.context, rows.truth):
            assert np.all(np.isfinite(array))
        assert np.all((rows.truth >= 0) & (rows.truth <= 1))


def test_free_water_covers_its_whole_range() -> None:
    fwf = np.concatenate([rows.truth[:, 2] for rows in small_pool().values()])
    assert 0.25 < np.mean(fwf > 0.6) < 0.45


def test_errors_of_certain_voxels_weigh_more_and_the_truth_has_none() -> None:
    batch = to_tensors(next(iter(small_pool().values())), anchor=False)
    truth = (batch.truth - batch.centre) / batch.width
    certain, vague = torch.full_like(truth, 0.1), torch.full_like(truth, 2.0)
    assert weighed_error(truth, certain, batch).item() == pytest.approx(0.0, abs=1e-9)
    ratio = weighed_error(truth + 0.1, certain, batch) / weighed_error(truth + 0.1, vague, batch)
    assert ratio.item() == pytest.approx((0.58**2 + FLOOR**2) / (0.029**2 + FLOOR**2), rel=1e-4)


def test_unknown_keys_are_named() -> None:
    with pytest.raises(UsageError, match=r"unknown: data\.colour"):
        parse_recipe(TEXT.replace("fwf_low =", "colour ="))
