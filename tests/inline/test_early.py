"""Slices are estimated while others are still coming, and nothing but the wait depends on it."""

from __future__ import annotations

import socket
import time

import mrd
import numpy as np
import pytest
import scans

from bids_qmri.estimators.base import get_estimator
from bids_qmri.inline.config import Shelf
from bids_qmri.techniques.noddi.model import NODDI, noddi_signal


def listed(b_values) -> str:
    """An XML header that lists the b-values by repetition."""
    entries = "".join(f"<diffusion><bvalue>{b}</bvalue></diffusion>" for b in b_values)
    return (
        "<ismrmrdHeader><sequenceParameters><diffusionDimension>repetition</diffusionDimension>"
        f"{entries}</sequenceParameters></ismrmrdHeader>"
    )


def slice_by_slice() -> list[bytes]:
    """A diffusion series in which every slice is complete before the next one begins."""
    images, n_slices = scans.weightings(scans.ivim_volumes()[1]), scans.SHAPE[0]
    return [image for k in range(n_slices) for image in images[k::n_slices]]


def test_complete_slices_do_not_wait_for_the_others(port, said):
    images = slice_by_slice()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(mrd.config("ivim-lsq") + mrd.header(listed(scans.B_VALUES)) + b"".join(images[:24]))
        time.sleep(1.0)
        client.sendall(b"".join(images[24:]) + mrd.CLOSE)
        early = mrd.read_answer(client)
    assert "(2 of 3 slices" in said()[0] or "(3 of 3 slices" in said()[0]
    late = scans.talk(port, "ivim-lsq", images)
    assert "(0 of 3 slices" in said()[1]
    for series, expected in late.images.items():
        for a, b in zip(expected, early.images[series], strict=True):
            np.testing.assert_array_equal(a.pixels, b.pixels)


def test_more_images_than_announced_count_too(port):
    """Two averages of a list of encodings: what was begun after the first one is thrown away."""
    images = slice_by_slice()
    again = scans.weightings(scans.ivim_volumes()[1], average=1)
    twice = scans.talk(port, "ivim-lsq", images + again, xml=listed(scans.B_VALUES))
    once = scans.talk(port, "ivim-lsq", images)
    assert twice.texts == []
    np.testing.assert_allclose(twice.map("d"), once.map("d"), atol=1.5e-6)


@pytest.fixture(scope="module")
def brain() -> tuple[np.ndarray, list[bytes]]:
    """Signals (V, N) of two slices for the shipped network, and their messages volume by volume."""
    scheme = get_estimator("noddi", "nnmle").expected(NODDI)
    rng = np.random.default_rng(2)
    count = 2 * 4 * 5
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    ndi, odi, fwf = rng.uniform(0.2, 0.8, (3, count))
    signal = np.rint(2000 * noddi_signal(ndi, odi, fwf, direction, scheme)).astype(np.int16)
    values = [
        mrd.meta(DiffusionBValue=b, DiffusionGradientDirection=(g[0], -g[1], g[2]))
        for b, g in zip(scheme.bvals, scheme.bvecs, strict=True)
    ]
    images = [
        mrd.image(volume[k], values[i], repetition=i, slice=k)
        for i, volume in enumerate(signal.reshape(-1, 2, 4, 5))
        for k in range(2)
    ]
    return signal.T, images


def test_three_maps_of_noddi_come_back_times_1000(port, brain):
    signal, images = brain
    answer = scans.talk(port, "noddi-nnmle", images)
    assert answer.texts == []
    assert [maps[0].meta["QuantityName"] for maps in answer.images.values()] == [["ndi"], ["odi"], ["fwf"]]
    expected = get_estimator("noddi", "nnmle").fit(
        NODDI, signal, get_estimator("noddi", "nnmle").expected(NODDI)
    )
    for name in ("ndi", "odi", "fwf"):
        assert np.abs(answer.map(name).ravel() - expected.maps[name]).max() <= 0.5e-3 + 1e-6


def test_the_network_takes_its_scheme_in_any_order(port, brain):
    images = brain[1]
    answer, other = (scans.talk(port, "noddi-nnmle", order) for order in (images, renumbered(images)))
    np.testing.assert_allclose(answer.map("odi"), other.map("odi"), atol=1e-3)


def renumbered(images: list[bytes]) -> list[bytes]:
    """The same images with their repetitions counted backwards."""
    place = 2 + 198 - 4 - 64 - 6 - 12 - 4 - 4  # of the counter, from the end of the header
    last = len(images) // 2 - 1
    changed = []
    for i, image in enumerate(images):
        content = bytearray(image)
        content[place : place + 2] = (last - i // 2).to_bytes(2, "little")
        changed.append(bytes(content))
    return changed


def test_a_network_that_was_replaced_is_loaded_anew(start, brain, tmp_path):
    own = tmp_path / "own.onnx"
    own.write_bytes(get_estimator("noddi", "nnmle").network_file(NODDI).read_bytes())
    port = start(threads=2, shelf=Shelf(networks=tmp_path))
    asked = '{"method": "onnx", "network": "own"}'
    assert scans.talk(port, "noddi-nnmle", brain[1], text=asked).texts == []
    own.write_bytes(b"no network")
    assert "own.onnx" in scans.talk(port, "noddi-nnmle", brain[1], text=asked).texts[0]


def test_another_scheme_is_refused_with_what_differs(port, brain):
    text = scans.talk(port, "noddi-nnmle", brain[1][:-2]).texts[0]
    assert "b = 0 (9), 700 (24), 2000 (48)" in text


@pytest.mark.parametrize("name", ["noddi-lsq", "noddi-ncde"])
def test_a_single_shell_is_refused_as_by_the_batch_program(port, brain, name):
    """Fits of it converge all the same, to maps with nothing behind them."""
    scheme = get_estimator("noddi", "nnmle").expected(NODDI)
    images = [image for i, image in enumerate(brain[1]) if scheme.bvals[i // 2] < 1000]
    answer = scans.talk(port, name, images)
    assert answer.images == {}
    assert "noddi cannot be estimated: shells of 6 or more directions at b = [700]" in answer.texts[0]


def test_images_on_no_full_shell_are_left_out_for_the_network(port, brain):
    _, images = brain
    stray = [
        mrd.image(
            np.full((4, 5), 1500, np.int16),
            mrd.meta(DiffusionBValue=100, DiffusionGradientDirection=(1, 0, 0)),
            repetition=99,
            slice=k,
        )
        for k in range(2)
    ]
    first, second = (scans.talk(port, "noddi-ncde", sent) for sent in (images, images + stray))
    assert second.texts == []
    np.testing.assert_array_equal(first.map("ndi"), second.map("ndi"))
