"""Whole exchanges over a real socket: what goes in as images comes back as maps."""

from __future__ import annotations

import random
import socket
import time
from contextlib import ExitStack

import mrd
import numpy as np
import pytest
import scans

from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.inline.wire import Limits
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.techniques.vfa.protocol import VfaProtocol


def test_flip_angles_become_t1_in_milliseconds(port):
    truth, volumes = scans.vfa_volumes()
    answer = scans.talk(port, "vfa-lsq", scans.flips(volumes))
    assert answer.closed
    assert answer.texts == []
    np.testing.assert_allclose(answer.map("t1")[:, 0], truth, atol=2e-3)


def test_maps_are_the_estimators_own_but_for_rounding(port):
    _, volumes = scans.vfa_volumes()
    answer = scans.talk(port, "vfa-lsq", scans.flips(volumes))
    protocol = VfaProtocol(np.deg2rad(scans.FLIPS), scans.TR / 1000)
    signal = volumes.reshape(len(scans.FLIPS), -1).T.astype(float)
    expected = Lsq().fit(VFA, signal, protocol).maps["t1"]
    assert np.abs(answer.map("t1").ravel() - expected).max() <= 0.5e-3 + 1e-9


@pytest.mark.parametrize("name", ["vfa-lsq", "ivim-lsq", "ivim-map"])
def test_the_order_of_arrival_does_not_matter(port, name):
    images = (
        scans.flips(scans.vfa_volumes()[1])
        if name.startswith("vfa")
        else scans.weightings(scans.ivim_volumes()[1])
    )
    shuffled = random.Random(4).sample(images, len(images))
    first, second = (scans.talk(port, name, order) for order in (images, shuffled))
    assert first.images.keys() == second.images.keys()
    for series, expected in first.images.items():
        for a, b in zip(expected, second.images[series], strict=True):
            np.testing.assert_array_equal(a.pixels, b.pixels)
            assert (a.meta, a.position, a.slice) == (b.meta, b.position, b.slice)


def test_two_series_in_a_row_get_their_own_maps(port):
    _, volumes = scans.ivim_volumes()
    both = scans.weightings(volumes, series=3) + scans.weightings(volumes[:, ::-1], series=4)
    random.Random(1).shuffle(both)
    answer = scans.talk(port, "ivim-lsq", both)
    assert sorted(answer.images) == [5, 6, 7, 8, 9, 10]
    names = {series: images[0].meta["QuantityName"][0] for series, images in answer.images.items()}
    one, two = ([s for s, n in names.items() if n == "d"][i] for i in (0, 1))
    for a, b in zip(answer.images[one], reversed(answer.images[two]), strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)


def test_geometry_and_numbers_are_those_of_the_images(port):
    _, volumes = scans.vfa_volumes()
    images = [
        mrd.image(
            image,
            mrd.meta(FlipAngle=scans.FLIPS[i], TR=scans.TR, SequenceDescription="fl3d", IceMiniHead="eA=="),
            **{"contrast": i, "slice": 2 * k, "series": 11, "position": (k, 2.5 * k, -k)},
        )
        for i, volume in enumerate(volumes)
        for k, image in enumerate(volume)
    ]
    [maps] = scans.talk(port, "vfa-lsq", images).images.values()
    assert [(m.series, m.index, m.slice) for m in maps] == [(12, 1, 0), (12, 2, 2), (12, 3, 4)]
    assert [m.position for m in maps] == [(0, 0, 0), (1, 2.5, -1), (2, 5, -2)]
    meta = maps[0].meta
    assert meta["SeriesDescription"] == ["fl3d_T1"]
    assert meta["IceMiniHead"] == ["eA=="]
    assert (meta["QuantityUnit"], meta["QuantityScale"], meta["RescaleSlope"]) == (["s"], ["1000"], ["0.001"])
    assert not {"FlipAngle", "TR"} & meta.keys()


def test_original_images_come_back_untouched_on_request(port):
    _, volumes = scans.vfa_volumes()
    phase = mrd.image(np.ones((6, 8), np.float32), image_type=2, series=1, index=77)
    asked = '{"parameters": {"config": "vfa-lsq", "sendOriginal": "True"}}'
    answer = scans.talk(port, "", [*scans.flips(volumes), phase], text=asked)
    originals = answer.images[1]
    assert [image.index for image in originals if image.pixels.dtype == np.float32] == [77]
    assert sum(image.pixels.dtype == np.int16 for image in originals) == len(scans.FLIPS) * scans.SHAPE[0]
    np.testing.assert_array_equal(originals[0].pixels[0], volumes[0, 0])
    assert answer.map("t1").shape == (3, 1, 6, 8)


def test_volumes_may_come_as_one_image_each(port):
    truth, volumes = scans.vfa_volumes()
    images = [
        mrd.image(volume, mrd.meta(FlipAngle=scans.FLIPS[i], TR=scans.TR), set=i)
        for i, volume in enumerate(volumes)
    ]
    np.testing.assert_allclose(scans.talk(port, "vfa-lsq", images).map("t1")[0], truth, atol=2e-3)


def test_standard_deviations_and_status_come_if_asked_for(port):
    _, volumes = scans.vfa_volumes()
    asked = '{"parameters": {"maps": "t1, t1Std, status", "sigma": "20"}}'
    answer = scans.talk(port, "vfa-lsq", scans.flips(volumes), text=asked)
    assert np.all(answer.map("status") == 1)
    assert 0 < np.median(answer.map("t1Std")) < 0.2


def test_a_stream_without_images_is_just_closed(port):
    assert mrd.exchange(port, mrd.config("vfa-lsq"), mrd.CLOSE) == mrd.Answer(closed=True)
    assert mrd.exchange(port, half_close=True).closed


def test_clients_do_not_wait_for_each_other(port):
    """The first one begins, and ends after the second one was served."""
    _, volumes = scans.vfa_volumes()
    with (
        socket.create_connection(("127.0.0.1", port)) as first,
        socket.create_connection(("127.0.0.1", port)) as second,
    ):
        images = b"".join(scans.flips(volumes))
        first.sendall(mrd.config("vfa-lsq") + mrd.header("Dummy XML header"))
        second.sendall(mrd.config("vfa-lsq") + mrd.header() + images + mrd.CLOSE)
        second_answer = mrd.read_answer(second)
        first.sendall(images + mrd.CLOSE)
        first_answer = mrd.read_answer(first)
    np.testing.assert_array_equal(first_answer.map("t1"), second_answer.map("t1"))


def test_one_client_too_many_takes_the_place_of_the_one_that_was_silent_for_longest(start):
    port = start(threads=1, limits=Limits(clients=3))
    images = scans.flips(scans.vfa_volumes()[1])
    with ExitStack() as others:
        silent = [others.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(3)]
        for one in silent[1:]:
            one.sendall(mrd.config("vfa-lsq"))
        time.sleep(0.2)
        answer = scans.talk(port, "vfa-lsq", images)
        assert not answer.texts
        assert answer.closed
        sent_away = mrd.read_answer(silent[0])
        assert "silent while others wait" in sent_away.texts[0]


def test_a_series_has_a_deadline(start):
    port = start(threads=1, limits=Limits(series=0.1))
    first, *rest = scans.flips(scans.vfa_volumes()[1])
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(mrd.config("vfa-lsq") + mrd.header() + first)
        time.sleep(0.3)
        slow.sendall(b"".join(rest) + mrd.CLOSE)
        assert "--deadline" in mrd.read_answer(slow).texts[0]


def test_memory_is_shared_by_all_clients_and_free_when_they_are_gone(start):
    port = start(threads=1, limits=Limits(together=100_000))
    images = [mrd.image(np.ones((150, 200), np.int16), mrd.meta(b_value=b)) for b in (0, 100)]
    with socket.create_connection(("127.0.0.1", port)) as greedy:
        greedy.sendall(mrd.config("ivim-lsq") + mrd.header() + images[0])
        time.sleep(0.3)
        answer = scans.talk(port, "ivim-lsq", images)
        assert "--max-memory-together" in answer.texts[0]
    time.sleep(0.3)
    answer = scans.talk(port, "ivim-lsq", images[:1])
    assert not any("--max-memory-together" in line for line in answer.texts)


def test_every_series_leaves_one_line_with_its_size_and_times(port, said):
    scans.talk(port, "vfa-lsq", scans.flips(scans.vfa_volumes()[1]))
    [line] = said()
    assert "3 encodings x 3 slices x 1 x 6 x 8" in line
    assert "received in" in line
    assert "estimated in" in line


def test_more_images_than_memory_is_allowed_for_are_refused(start):
    port = start(threads=1, limits=Limits(memory=4000))
    answer = scans.talk(port, "vfa-lsq", scans.flips(scans.vfa_volumes()[1]))
    assert "--max-memory" in answer.texts[0]


@pytest.mark.parametrize("send_back", [True, False])
def test_series_that_failed_count_as_long_as_they_are_kept(start, send_back):
    """Twelve series of 5 kB each fail by a second shape; 12 kB may be held at a time."""
    port = start(threads=1, limits=Limits(memory=12_000))
    pixels = [np.ones(shape, np.int16) for shape in ((30, 40), (5, 5))]
    broken = [mrd.image(p, mrd.meta(b_value=0), series=s) for s in range(12) for p in pixels]
    text = f'{{"sendOriginal": "{send_back}"}}'
    answer = scans.talk(port, "ivim-lsq", broken, text=text)
    assert any("--max-memory" in line for line in answer.texts) == send_back


def test_attributes_count_as_memory(start):
    port = start(threads=1, limits=Limits(memory=2**20))
    padding = "x" * 200_000
    images = [mrd.image(np.ones((2, 2), np.int16), mrd.meta(b=0, pad=padding), slice=k) for k in range(8)]
    assert "--max-memory" in scans.talk(port, "ivim-lsq", images).texts[0]


def test_maps_go_elsewhere_too_in_their_own_units(start):
    taken = []
    port = start(threads=1, sinks=(taken.append,))
    truth, volumes = scans.vfa_volumes()
    scans.talk(port, "vfa-lsq", scans.flips(volumes, series=4))
    [found] = taken
    np.testing.assert_allclose(found.maps["t1"][:, 0], truth, rtol=2e-3)
    assert found.maps["t1"].dtype == np.float32
    assert [int(image.header["image_series_index"]) for image in found.references] == [4, 4, 4]
