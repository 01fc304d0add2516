"""Networks for one diffusion scheme: the paper's recipe, its data, and a training that leaves no trace."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")

from bids_qmri.errors import UsageError  # noqa: E402
from bids_qmri.estimators.base import get_estimator  # noqa: E402
from bids_qmri.physics.diffusion import DiffusionProtocol  # noqa: E402
from bids_qmri.techniques.noddi.model import Noddi, noddi_signal  # noqa: E402
from bids_qmri.techniques.noddi.scheme_network import load_scheme_network  # noqa: E402
from bids_qmri.techniques.noddi.training import CHUNK, Signals  # noqa: E402
from bids_qmri.training.card import make_card  # noqa: E402
from bids_qmri.training.export import count_weights  # noqa: E402
from bids_qmri.training.loop import Checkpointing, Kept  # noqa: E402
from bids_qmri.training.parts import Perceptron  # noqa: E402
from bids_qmri.training.perceptron import content, fields, loss, perceptron  # noqa: E402
from bids_qmri.training.pool import LabelRows, Pool, make_labels, make_pools  # noqa: E402
from bids_qmri.training.recipe import Recipe, parse_recipe, recipe_text  # noqa: E402
from bids_qmri.training.run import fit, mean_loss, train  # noqa: E402

TEXT = recipe_text("rot2025-noddi")
OUTPUTS = Signals.quantities


def scheme() -> DiffusionProtocol:
    """Return 3 + 12 x 700 + 24 x 2000, directions at random."""
    directions = np.random.default_rng(8).standard_normal((39, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions[:3] = 0.0
    return DiffusionProtocol(np.repeat([0.0, 700.0, 2000.0], [3, 12, 24]), directions)


def table_of(protocol: DiffusionProtocol) -> dict[str, Any]:
    bvecs = [] if protocol.bvecs is None else protocol.bvecs.tolist()
    return {"bvals": protocol.bvals.tolist(), "bvecs": bvecs}


def small(
    count: int = 3000, epochs: int = 2, protocol: DiffusionProtocol | None = None, **changes: Any
) -> Recipe:
    """Return the recipe for a scheme with little data; keys with ``__`` for a dot."""
    size = {"data.count": count, "training.epochs": epochs, "scheme": table_of(protocol or scheme())}
    return parse_recipe(TEXT, size | {key.replace("__", "."): value for key, value in changes.items()})


def simulate(recipe: Recipe) -> dict[str, Any]:
    return recipe.data.simulate(recipe.forward, scheme(), np.random.default_rng([recipe.seed, 0]))


def test_the_recipe_is_the_one_of_the_paper() -> None:
    recipe = parse_recipe(TEXT)
    assert recipe.kind == "scheme"
    assert (recipe.data.count, recipe.data.snr) == (2**18, 15.0)
    assert (recipe.network.hidden, recipe.network.elu) == ((120, 120, 120), 0.05)
    training = recipe.training
    assert (training.epochs, training.batch, training.rate, training.decay) == (500, 1000, 5e-4, 1e-6)
    assert (training.momentum, recipe.data.validation) == (0.9, 0.1)
    assert recipe.settings == {"d_par": 1.7e-3, "d_iso": 3.0e-3}


def test_81_signals_make_39243_weights() -> None:
    assert count_weights(perceptron(parse_recipe(TEXT).network, 81, 3)) == 39_243


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "gt"', 'kind = "truth"', r"labels\.kind: is 'truth'; needed: one of gt, mle, composite"),
        ('"gaussian"', '"laplace"', r"labels\.likelihood: is 'laplace'"),
        ("weight = 0.5", "weight = 1.5", r"labels\.weight: is 1.5; needed: 0 to 1"),
        ("snr = 15", "snr = 0", r"data\.snr: is 0.0; needed: above 0"),
        ("fwf = [0, 1]", "fwf = [0, 2]", "needed: ranges within 0 and 1"),
        ("d_par = 1.7e-3", "d_par = 1.7", r"settings, noddi\.d_par: is 1.7; needed: 0.0001 to 0.01 mm\^2/s"),
        ("d_par = 1.7e-3", "d_par = 3.1e-3", "needed: free water to be the faster"),
        ('model = "noddi"', 'model = "ivim"', "ivim has no setting 'd_"),
        ("batch = 1000", "batches = 1000", r"unknown: training\.batches"),
        ("[labels]", "[label]", "unknown: label"),
        ("[labels]", "[protocol]", "unknown: protocol; needed: a table scheme"),
    ],
)
def test_faults_of_recipes_are_named(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(UsageError, match=message):
        parse_recipe(TEXT.replace(old, new, 1))


def test_signals_are_those_of_the_model_with_rician_noise_over_their_mean_at_b_0() -> None:
    found = simulate(small(2 * CHUNK + 100))
    signal, sigma = found["signal"], found["sigma"]
    np.testing.assert_allclose(signal[:, :3].mean(axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found["direction"], axis=1), 1.0)
    given = dict(zip(OUTPUTS, found["truth"].T, strict=True))
    clean = noddi_signal(**given, direction=found["direction"], protocol=scheme()).T
    strong = clean[:, 3:] > 0.5
    residual = (signal[:, 3:] - 15.0 * sigma[:, None] * clean[:, 3:]) / sigma[:, None]
    assert np.std(residual[strong]) == pytest.approx(1.0, abs=0.02)
    assert np.mean(residual[strong]) == pytest.approx(0.0, abs=0.1)


def test_parameters_and_directions_are_uniform() -> None:
    found = simulate(small(20_000))
    levels = np.quantile(found["truth"], [0.0, 0.25, 0.5, 0.75, 1.0], axis=0)
    np.testing.assert_allclose(levels, np.linspace(0.0, 1.0, 5)[:, None].repeat(3, axis=1), atol=0.02)
    np.testing.assert_allclose(np.cov(found["direction"].T), np.eye(3) / 3.0, atol=0.02)


def test_labels_of_the_fit_are_a_minimum_as_good_as_that_of_a_fit_without_the_truth() -> None:
    recipe = small(300, labels__kind="mle", data__snr=60.0, data__fwf=[0.0, 0.4])
    found = simulate(recipe)
    labels = make_labels(recipe, scheme(), found)
    free = get_estimator("noddi", "lsq").fit(Noddi(), found["signal"], scheme())
    usual = np.stack([free.maps[name] for name in OUTPUTS], axis=1)
    assert np.mean(np.abs(labels - usual).max(axis=1) < 1e-3) > 0.9


def test_rician_labels_have_less_bias_than_least_squares() -> None:
    bias = {}
    for likelihood in ("gaussian", "rician"):
        tissue = {"data__ndi": [0.3, 0.6], "data__odi": [0.1, 0.4], "data__fwf": [0.0, 0.2]}
        recipe = small(1500, labels__kind="mle", labels__likelihood=likelihood, **tissue)
        found = simulate(recipe)
        bias[likelihood] = np.mean(make_labels(recipe, scheme(), found) - found["truth"], axis=0)[1]
    assert bias["gaussian"] > 0.03
    assert abs(bias["rician"]) < 0.5 * bias["gaussian"]


def test_composite_labels_lie_between() -> None:
    found = simulate(small(200))
    truth, fitted, both = (
        make_labels(small(200, labels__kind=kind, labels__weight=0.25), scheme(), found)
        for kind in ("gt", "mle", "composite")
    )
    np.testing.assert_array_equal(truth, found["truth"])
    np.testing.assert_allclose(both, 0.25 * fitted + 0.75 * truth)


def test_onnx_and_torch_agree_and_the_file_says_what_it_is_for(tmp_path: Path) -> None:
    recipe, protocol = small(), scheme()
    torch.manual_seed(0)
    network = perceptron(recipe.network, 39, 3)
    card = make_card(recipe, fields(recipe), count_weights(network), {})
    file = tmp_path / "any.onnx"
    file.write_bytes(content(recipe, network, card))
    signal = np.random.default_rng(0).uniform(0.0, 1.2, (500, 39)).astype(np.float32)
    with torch.inference_mode():
        ours = network(10.0 * torch.from_numpy(signal)).numpy()
    loaded = load_scheme_network(file)
    np.testing.assert_allclose(loaded.run(10.0 * signal), ours, atol=2e-6)
    np.testing.assert_array_equal(loaded.scheme.bvals, protocol.bvals)
    np.testing.assert_allclose(loaded.scheme.bvecs, protocol.bvecs, atol=1e-8)
    assert (loaded.card["normalisation"], loaded.card["d_iso"]) == ("mean b0", 3.0e-3)
    assert card["kind"] == "scheme"
    assert content(recipe, network, card) == file.read_bytes()


def examples(count: int = 600) -> tuple[Pool, Pool]:
    rng = np.random.default_rng(4)
    signal = rng.uniform(size=(count, 6))
    rows = LabelRows.of({"signal": signal, "label": signal[:, :3], "truth": signal[:, :3]})
    first = count - count // 10
    return {6: rows.take(slice(0, first))}, {6: rows.take(slice(first, count))}


def trained(seed: int, checkpointing: Checkpointing | None = None, **changes: Any) -> Kept:
    recipe = small(**changes)
    torch.manual_seed(seed)
    return fit(recipe, perceptron(Perceptron((8,), 0.05), 6, 3), *examples(), checkpointing)


def test_a_tenth_is_held_out() -> None:
    pool, held_out = make_pools(small(1000))
    assert (len(pool[39]), len(held_out[39])) == (900, 100)


def test_the_best_epoch_is_kept_even_if_a_later_one_is_worse() -> None:
    kept = trained(1, epochs=8, training__batch=50, training__rate=0.2)
    squares, held_out = loss(small(), 1), examples()[1]
    assert mean_loss(kept.best, held_out, squares, 0) == pytest.approx(kept.best_loss.item())
    assert kept.best_loss <= mean_loss(kept.network, held_out, squares, 0)
    assert 1 <= int(kept.best_epoch) <= 8


def test_an_interrupted_training_goes_on_to_the_same_network(tmp_path: Path) -> None:
    states = []
    for lengths in ((6,), (2, 4, 6)):
        checkpointing = Checkpointing(tmp_path / f"{len(lengths)}.npz", "tag")
        for epochs in lengths:
            kept = trained(2, checkpointing, epochs=epochs, training__batch=64)
        states.append(kept.state_dict())
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())


def test_a_second_call_says_that_the_network_is_there_and_returns_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = train(small(), tmp_path)
    written = first[0].read_bytes()
    with caplog.at_level(logging.INFO, "bids_qmri"):
        assert train(small(), tmp_path) == first
    assert "trained before by this recipe" in caplog.text
    assert train(small(), tmp_path / "again")[0].read_bytes() == written
    card = json.loads(first[1].read_text())
    assert card["name"] == first[0].stem
    assert card["accuracy"]["epoch"] in (1, 2)
    assert card["accuracy"]["ndi"]["rmse_truth"] == card["accuracy"]["ndi"]["rmse_label"]


def test_the_name_depends_on_scheme_and_recipe_and_on_nothing_else() -> None:
    protocol, name = scheme(), small().file_name
    assert name.startswith("noddi-nngt-")
    nearly = DiffusionProtocol(protocol.bvals, protocol.bvecs * (1.0 + 1e-12))
    assert small(protocol=nearly).file_name == name
    turned = DiffusionProtocol(protocol.bvals, protocol.bvecs[:, [1, 2, 0]])
    others = [small(protocol=turned), small(seed=7), small(settings__d_par=1.1e-3)]
    assert len({name, *(other.file_name for other in others)}) == 4


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (DiffusionProtocol(np.repeat([0.0, 1000.0], [1, 9]), np.eye(10, 3)), "one shell, b = 1000"),
        (DiffusionProtocol(np.repeat([700.0, 2000.0], 5), np.eye(10, 3)), "no b-value is 50"),
        (DiffusionProtocol(np.array([0.0, 700.0, 2000.0])), "2 weighted volumes or no directions"),
    ],
)
def test_schemes_that_do_not_determine_the_parameters_are_refused(
    protocol: DiffusionProtocol, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        train(small(protocol=protocol), tmp_path)


def test_a_scheme_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"scheme: no scheme is given; needed: .*--set scheme\.bval=FILE"):
        train(parse_recipe(TEXT), tmp_path)
