"""Whatever a client does: one line that says what was wrong, and the next series is fine."""

from __future__ import annotations

import base64
import random
import re
import socket
import struct
import time

import mrd
import numpy as np
import pytest
import scans

from bids_qmri.inline.wire import Limits

START = (mrd.config("ivim-lsq"), mrd.header())


def good() -> list[bytes]:
    return scans.weightings(scans.ivim_volumes()[1])


def other_shape() -> bytes:
    return mrd.image(np.ones((5, 5), np.int16), mrd.meta(b_value=10), repetition=20)


def with_pixels(pixels: np.ndarray, **values: object) -> bytes:
    return mrd.image(pixels, mrd.meta(**values), repetition=20)


BROKEN = {
    "unknown kind": ([*good(), struct.pack("<H", 999)], "message of kind 999"),
    "raw data": ([struct.pack("<H", 1008) + bytes(340)], "reconstructed images"),
    "length of 2 GB": ([struct.pack("<HI", 5, 2**31)], "2,147,483,648 bytes"),
    "attributes of 8 EB": ([good()[0][:200] + struct.pack("<Q", 2**63)], "attributes of 9,223"),
    "attributes of 16 MB": ([good()[0][:200] + struct.pack("<Q", 2**24)], "at most 8,388,608 bytes"),
    "no b-value": ([mrd.image(np.ones((6, 8), np.int16)), *good()], "has no b-value.*attributes"),
    "b-value in s/m^2": ([with_pixels(np.ones((6, 8), np.int16), bvalue=1e9)], "b-value of an image is 1e"),
    "no unit vector": (
        [with_pixels(np.ones((6, 8), np.int16), bvalue=9, GradientDirection=(3, 0, 0))],
        "unit vectors",
    ),
    "other shape": ([*good(), other_shape()], "matrix_size changes from"),
    "one image missing": (good()[:-1], "slice 2 has 11 of 12"),
    "one image twice": ([*good(), good()[0]], "2 of 3 slices lack images"),
    "no XML": ([mrd.image(np.ones((6, 8), np.int16), b"<ismrmrdMeta><meta>")], "are no XML"),
    "entities": (
        [mrd.image(np.ones((6, 8), np.int16), b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>")],
        "no XML",
    ),
    "complex": ([mrd.image(np.ones((6, 8), np.complex64), mrd.meta(b=0))], "magnitudes"),
    "nothing but air": (
        [mrd.image(np.zeros((6, 8), np.int16), mrd.meta(b=b), repetition=b) for b in (0, 10, 20, 50, 90)],
        "no voxel is finite and above 0",
    ),
    "number beyond all": (
        [
            mrd.image(
                np.ones((6, 8), np.int16),
                mrd.meta(
                    DicomJson=base64.b64encode(
                        b'{"00189087": {"vr": "FD", "Value": [1' + 400 * b"0" + b"]}}"
                    ).decode()
                ),
            )
        ],
        "has no b-value",
    ),
    "no DicomJson": (
        [mrd.image(np.ones((6, 8), np.int16), mrd.meta(DicomJson="&lt;?&gt;"))],
        "DicomJson: cannot be read",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_is_one_line_and_the_next_series_is_fine(port, said, name):
    messages, says = BROKEN[name]
    answer = mrd.exchange(port, *START, *messages, mrd.CLOSE)
    assert answer.closed
    assert len(answer.texts) == 1
    assert answer.texts[0].startswith("ERR bids_qmri: ")
    assert "\n" not in answer.texts[0]
    assert re.search(says, answer.texts[0]), answer.texts[0]
    assert len(said()) == 1
    again = scans.talk(port, "ivim-lsq", good())
    assert again.texts == []
    assert again.map("d").shape == (3, 1, 6, 8)


@pytest.mark.parametrize("cut", [1, 100, 209, 300])
def test_a_client_that_drops_mid_series_leaves_one_line(port, said, cut):
    images = good()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"".join([*START, *images[:7]]) + images[7][:cut])
    assert scans.talk(port, "ivim-lsq", images).texts == []
    lines = said()
    assert len(lines) == 2
    assert "left inside a message" in lines[0]


def test_a_client_that_leaves_without_close_gets_nothing_computed(port, said):
    answer = mrd.exchange(port, *START, *good(), half_close=True)
    assert answer.images == {}
    assert "left after 36 images without CLOSE" in answer.texts[0]
    assert len(said()) == 1


def test_a_client_that_says_nothing_is_not_waited_for(start, said):
    port = start(threads=1, limits=Limits(idle=0.3))
    with socket.create_connection(("127.0.0.1", port)) as silent:
        silent.sendall(START[0])
        begun = time.monotonic()
        answer = mrd.read_answer(silent)
    assert "no whole message came within 0.3 s" in answer.texts[0]
    assert time.monotonic() - begun < 5


def test_a_fault_of_one_series_leaves_the_others_alone(port):
    bad = [mrd.image(np.ones((6, 8), np.int16), series=9, repetition=i) for i in range(5)]
    mixed = [*good(), *bad]
    random.Random(3).shuffle(mixed)
    answer = scans.talk(port, "ivim-lsq", mixed)
    assert len(answer.texts) == 1
    assert answer.texts[0].startswith("ERR bids_qmri: series 9: an image has no b-value")
    assert answer.map("d").shape == (3, 1, 6, 8)


def test_voxels_that_are_not_finite_are_zero_and_said_to_be(port):
    volumes = scans.ivim_volumes()[1].astype(np.float32)
    volumes[4, 1, 2, 3] = np.nan
    volumes[5, 1, 2, 4] = np.inf
    answer = scans.talk(port, "ivim-lsq", scans.weightings(volumes))
    clean = scans.talk(port, "ivim-lsq", good())
    d, expected = answer.map("d"), clean.map("d")
    assert d[1, 0, 2, 3] == d[1, 0, 2, 4] == 0
    elsewhere = np.ones(d.shape, dtype=bool)
    elsewhere[1, 0, 2, 3:5] = False
    np.testing.assert_allclose(d[elsewhere], expected[elsewhere], atol=2e-6)
    assert answer.texts == ["WRN bids_qmri: 2 of 144 voxels have no usable signal; they are 0 in the maps"]


def test_a_slice_counter_that_does_not_count_is_refused(port):
    images = [
        mrd.image(np.ones((6, 8), np.int16), mrd.meta(b=b), repetition=i, position=(0, 0, 5.0 * k))
        for i, b in enumerate(scans.B_VALUES)
        for k in range(3)
    ]
    assert "slice counter 0 is used at two positions" in scans.talk(port, "ivim-lsq", images).texts[0]


def test_slices_that_the_header_announces_must_come(port):
    xml = (
        '<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding><encodingLimits><slice><minimum>0</minimum>'
        "<maximum>3</maximum><center>0</center></slice></encodingLimits></encoding></ismrmrdHeader>"
    )
    assert "3 of 4 slices came" in scans.talk(port, "ivim-lsq", good(), xml=xml).texts[0]


def test_mutated_messages_neither_end_nor_block_the_server(start):
    port = start(threads=1, limits=Limits(message=2**20, memory=2**22, idle=0.2))
    rng = random.Random(20)
    stream = [*START, *good(), mrd.CLOSE]
    for _ in range(60):
        messages = list(stream)
        number = rng.randrange(len(messages))
        content = bytearray(messages[number])
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        if rng.random() < 0.3:
            del content[rng.randrange(len(content)) :]
        messages[number] = bytes(content)
        mrd.exchange(port, *messages, half_close=True)
    assert scans.talk(port, "ivim-lsq", good()).map("d").shape == (3, 1, 6, 8)
