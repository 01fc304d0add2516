"""Every recipe trains, a few steps here, and the estimators take its network by its card alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchcde")
pytest.importorskip("onnxruntime")

from bids_qmri.cli.train import main  # noqa: E402
from bids_qmri.estimators.base import Status, get_estimator  # noqa: E402
from bids_qmri.estimators.networks.network_file import LABELS, kind_of_card, load_network  # noqa: E402
from bids_qmri.physics.diffusion import DiffusionProtocol  # noqa: E402
from bids_qmri.physics.echoes import EchoProtocol  # noqa: E402
from bids_qmri.techniques.dce.sampling import Fixed  # noqa: E402
from bids_qmri.techniques.irt1.protocol import InversionProtocol  # noqa: E402
from bids_qmri.techniques.mese.protocol import SpinEchoProtocol  # noqa: E402
from bids_qmri.techniques.noddi.scheme_network import load_scheme_network  # noqa: E402
from bids_qmri.techniques.vfa.protocol import VfaProtocol  # noqa: E402
from bids_qmri.training.recipe import Recipe, parse_recipe, recipe_text, shipped_recipes  # noqa: E402

RECIPES = {name: parse_recipe(text) for name, text in shipped_recipes().items()}

SMALL = {
    "data.groups": 3,
    "data.validation_groups": 4,
    "data.curves": 32,
    "data.count": 400,
    "training.steps": 3,
    "training.warmup": 1,
    "training.batch": 16,
    "training.epochs": 1,
    "training.batches": 2,
}

PROTOCOLS: dict[str, Any] = {
    "vfa": VfaProtocol(np.deg2rad([1.0, 6.0, 10.0, 25.0]), np.array(0.005)),
    "ivim": DiffusionProtocol(np.array([0.0, 10.0, 20.0, 50.0, 100.0, 300.0, 600.0])),
    "etofts": Fixed(tuple(9.0 * frame for frame in range(1, 18))).protocol(),
}


def scheme() -> tuple[np.ndarray, np.ndarray]:
    """Return 3 + 12 x 700 + 24 x 2000, directions at random, (N,) and (N, 3)."""
    directions = np.random.default_rng(8).standard_normal((39, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions[:3] = 0.0
    return np.repeat([0.0, 700.0, 2000.0], [3, 12, 24]), directions


ECHOES = np.arange(1, 9) * 0.008
PROTOCOLS |= {
    "irt1": InversionProtocol(np.array([0.05, 0.4, 0.9, 1.6, 2.5])),
    "megre": EchoProtocol(ECHOES / 2),
    "mese": SpinEchoProtocol(ECHOES, np.asarray(np.pi)),
    "epg": SpinEchoProtocol(ECHOES, np.asarray(2.8)),
}
PROTOCOLS["noddi"] = DiffusionProtocol(*scheme())


def arguments(recipe: Recipe, folder: Path) -> list[str]:
    """Return what makes a recipe small, of the keys that it has."""
    found = []
    for key, value in SMALL.items():
        section, _, name = key.partition(".")
        if hasattr(getattr(recipe, section), name) and isinstance(
            getattr(getattr(recipe, section), name), int
        ):
            found.append(f"{key}={value}")
    if recipe.kind != "scheme":
        return found + (["data.validation=100"] if hasattr(recipe.data, "validation") else [])
    bvals, bvecs = scheme()
    np.savetxt(folder / "dwi.bval", bvals[None], fmt="%g")
    np.savetxt(folder / "dwi.bvec", bvecs.T, fmt="%.9f")
    return [*found, f"scheme.bval={folder / 'dwi.bval'}", f"scheme.bvec={folder / 'dwi.bvec'}"]


@pytest.fixture(scope="module", params=sorted(RECIPES))
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    """Return a recipe and its card."""
    folder, recipe = tmp_path_factory.mktemp(request.param), RECIPES[request.param]
    assert main([request.param, "--output", str(folder / "out"), "--set", *arguments(recipe, folder)]) == 0
    (card,) = (folder / "out").glob("*.json")
    return recipe, card


def test_the_card_says_what_the_network_is_for(trained: tuple[Recipe, Path]) -> None:
    recipe, file = trained
    card = json.loads(file.read_text())
    assert kind_of_card(card) == recipe.kind
    assert (card["model"], card["seed"]) == (recipe.model, 1)
    assert card["recipe"] == recipe_text(recipe.name)
    assert not any(key.startswith("scheme") for key in card["set"])
    low, high = card["coverage"]["snr"]
    assert 0 < low <= high
    units = {p.name: p.unit for p in (*recipe.forward.parameters, *recipe.forward.derived)}
    assert all(units[name] == unit for name, unit in card["units"].items())


def test_the_estimators_take_the_network(trained: tuple[Recipe, Path]) -> None:
    recipe, card = trained
    file = card.with_suffix(".onnx")
    if not file.exists():
        assert card.with_name(f"{recipe.name}-weights.npz").exists()
        return
    load = load_scheme_network(file) if recipe.kind == "scheme" else load_network(file, recipe.forward)
    assert load.card["name"] == file.stem
    protocol = PROTOCOLS[recipe.model]
    signal = np.random.default_rng(0).uniform(0.05, 1.0, (6, protocol.n_measurements))
    estimator = get_estimator(recipe.model, LABELS[recipe.kind], network=file)
    bounds = dict(load.card["coverage"]["bounds"]) if recipe.kind == "protocol" else None
    found = estimator.fit(recipe.forward, signal, protocol, sigma=0.05, bounds=bounds)
    assert set(load.card["quantities"]) <= set(found.maps)
    for name in load.card["quantities"]:
        assert np.all(np.isfinite(found.maps[name][found.status != Status.UNUSABLE]))
