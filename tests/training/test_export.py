"""One ONNX file per network: the same numbers as torch, for any number of measurements and voxels."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from bids_qmri.training.anchored import AnchoredNcde, to_onnx  # noqa: E402
from bids_qmri.training.export import MAX_BYTES, OPSET, count_weights, write_files  # noqa: E402
from bids_qmri.training.recipe import parse_recipe, recipe_text  # noqa: E402

CHANNELS, ENTRIES = 5, 12
CARD = {"name": "ncde-ivim", "seed": 3}


def random_network(*, path: bool = True, anchor: bool = True) -> AnchoredNcde:
    """Return a network with random weights in every layer, those that training starts at zero as well."""
    torch.manual_seed(0)
    options = replace(parse_recipe(recipe_text("ncde-ivim")).network, path=path, anchor=anchor)
    channels = range(CHANNELS) if anchor else (0, 2, 4)
    entries = range(ENTRIES) if anchor else (1, 5, 6, 11)
    network = AnchoredNcde(options, channels, entries, 3, grid=(3, 4, 8) if anchor else ())
    torch.nn.init.normal_(network.readout[-1].weight)
    network.standardise(torch.randn(50, 4, CHANNELS) * 2 + 1, torch.randn(50, ENTRIES) * 3 - 1)
    return network.eval()


def run(content: bytes, path: npt.NDArray[np.float32], context: npt.NDArray[np.float32]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(["shift", "spread"], {"path": path, "context": context})


@pytest.mark.parametrize(
    "parts", [{}, {"path": False}, {"anchor": False}], ids=["anchored", "without path", "without anchor"]
)
def test_onnx_and_torch_agree_for_any_number_of_measurements_and_voxels(parts: dict[str, bool]) -> None:
    network = random_network(**parts)
    content = to_onnx(network, CHANNELS, ENTRIES, CARD)
    rng = np.random.default_rng(1)
    for measurements, voxels in ((2, 1), (4, 33), (17, 5), (32, 256)):
        path = rng.standard_normal((voxels, measurements, CHANNELS)).astype(np.float32)
        context = 4 * rng.standard_normal((voxels, ENTRIES)).astype(np.float32)
        with torch.inference_mode():
            expected = network(torch.from_numpy(path), torch.from_numpy(context))
        for ours, theirs in zip(run(content, path, context), expected, strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5, rtol=1e-5)


def test_result_of_a_voxel_does_not_depend_on_its_batch() -> None:
    content = to_onnx(random_network(), CHANNELS, ENTRIES, CARD)
    rng = np.random.default_rng(2)
    path = rng.standard_normal((500, 7, CHANNELS)).astype(np.float32)
    context = rng.standard_normal((500, ENTRIES)).astype(np.float32)
    for whole, alone in zip(
        run(content, path, context), run(content, path[9:10], context[9:10]), strict=True
    ):
        np.testing.assert_allclose(whole[9:10], alone, atol=1e-6)


def test_file_is_small_complete_and_carries_its_card(tmp_path) -> None:
    network = random_network()
    content = to_onnx(network, CHANNELS, ENTRIES, CARD)
    weights, card = write_files(tmp_path, content, CARD, {"cpu_seconds": 1})
    model = onnx.load(weights, load_external_data=False)
    assert not [t for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    assert {p.key: json.loads(p.value) for p in model.metadata_props} == {"card": CARD}
    assert model.opset_import[0].version == OPSET
    assert weights.stat().st_size < MAX_BYTES
    described = json.loads(card.read_text())
    assert described["seed"] == 3
    assert described["weights"]["bytes"] == weights.stat().st_size


def test_same_network_gives_the_same_bytes(tmp_path) -> None:
    first = to_onnx(random_network(), CHANNELS, ENTRIES, CARD)
    assert first == to_onnx(random_network(), CHANNELS, ENTRIES, CARD)
    assert str(tmp_path.anchor + "work").encode() not in first


def test_shipped_sizes_stay_below_120_000_weights() -> None:
    for name in ("ncde-vfa", "ncde-ivim"):
        options = parse_recipe(recipe_text(name)).network
        assert count_weights(AnchoredNcde(options, range(8), range(60), 5)) < 120_000
