"""Bytes on the wire mean what the format's own package says they mean."""

from __future__ import annotations

import io
import socket
import struct

import mrd
import numpy as np
import pytest

from bids_qmri.errors import InputError
from bids_qmri.inline.meta import format_meta
from bids_qmri.inline.wire import (
    IMAGE_HEADER,
    PIXEL_TYPES,
    Connection,
    DroppedError,
    Image,
    Kind,
    Limits,
)

ismrmrd = pytest.importorskip("ismrmrd", reason="the reference package of the format")


def received(content: bytes, **limits: float) -> Connection:
    """A connection on which these bytes have come, and nothing else will."""
    ours, theirs = socket.socketpair()
    ours.settimeout(2)
    theirs.sendall(content)
    theirs.close()
    return Connection(ours, Limits(**limits))


def test_the_image_header_is_that_of_the_reference_package():
    assert IMAGE_HEADER.itemsize == 198
    fields = ismrmrd.ImageHeader._fields_
    assert [name for name, _ in fields] == list(IMAGE_HEADER.names)
    offsets = [getattr(ismrmrd.ImageHeader, name).offset for name, _ in fields]
    assert offsets == [IMAGE_HEADER.fields[name][1] for name in IMAGE_HEADER.names]


@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "float32", "float64", "complex64"])
def test_an_image_of_the_reference_package_is_read(dtype):
    pixels = np.arange(24).reshape(2, 3, 4).astype(dtype)
    theirs = ismrmrd.Image.from_array(pixels, transpose=False)
    theirs.slice, theirs.repetition, theirs.image_index = 5, 7, 9
    theirs.attribute_string = ismrmrd.Meta({"DiffusionBValue": 700}).serialize()
    stream = io.BytesIO()
    theirs.serialize_into(stream.write)
    image = received(struct.pack("<H", 1022) + stream.getvalue()).receive().image
    np.testing.assert_array_equal(image.pixels.reshape(2, 3, 4), pixels)
    assert [int(image.header[name]) for name in ("slice", "repetition", "image_index")] == [5, 7, 9]
    assert b"700" in image.attributes


def test_what_is_sent_is_an_image_to_the_reference_package():
    header = np.zeros(1, IMAGE_HEADER)[0]
    header["version"], header["data_type"], header["channels"], header["matrix_size"] = 1, 2, 1, (4, 3, 2)
    header["position"] = 1, 2, 3
    pixels = np.arange(24, dtype=np.int16)
    ours, other = socket.socketpair()
    attributes = format_meta({"QuantityName": "f", "ImageType": ["DERIVED", "<M>"]})
    Connection(ours, Limits()).send_image(Image(header, attributes, pixels))
    ours.close()
    content = other.makefile("rb").read()
    theirs = ismrmrd.Image.deserialize_from(io.BytesIO(content[2:]).read)
    np.testing.assert_array_equal(theirs.data[0], pixels.reshape(2, 3, 4))
    assert tuple(theirs.position) == (1, 2, 3)
    assert theirs.meta == {"QuantityName": "f", "ImageType": ["DERIVED", "<M>"]}


def test_waveforms_are_skipped():
    wave = ismrmrd.Waveform.from_array(np.ones((2, 5), dtype=np.uint32))
    connection = received(struct.pack("<H", 1026) + wave.to_bytes() + mrd.CLOSE)
    assert [connection.receive().kind for _ in range(2)] == [Kind.WAVEFORM, Kind.CLOSE]
    assert connection.receive() is None


@pytest.mark.parametrize(
    ("message", "kind", "text"),
    [
        (mrd.config("ivim-lsq"), Kind.CONFIG_FILE, "ivim-lsq"),
        (mrd.text('{"a": 1}', 2), Kind.CONFIG_TEXT, '{"a": 1}'),
        (mrd.header("Dummy"), Kind.METADATA_XML, "Dummy"),
        (struct.pack("<HI", 5, 3) + b"abc", Kind.TEXT, "abc"),
        (struct.pack("<HI", 5, 5) + b"ab\xff\0c", Kind.TEXT, "ab\ufffd"),
    ],
)
def test_texts_end_at_the_first_nul_or_at_their_length(message, kind, text):
    read = received(message).receive()
    assert (read.kind, read.text) == (kind, text)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (struct.pack("<H", 4242), "message of kind 4242"),
        (struct.pack("<H", 1008), "raw data"),
        (struct.pack("<HI", 5, 2**31), "text of 2,147,483,648 bytes"),
        (
            mrd.image(np.ones((2, 2), np.int16))[:200] + struct.pack("<Q", 2**40),
            "attributes of 1,099,511,627,776",
        ),
        (struct.pack("<HHH", 1022, 1, 99) + bytes(300), "data type 99"),
    ],
)
def test_lengths_and_kinds_are_not_believed(content, says):
    with pytest.raises(InputError, match=says):
        received(content).receive()


def test_an_image_larger_than_the_limit_is_refused_before_it_is_read():
    content = mrd.image(np.ones((100, 100), np.int16))[:208]
    with pytest.raises(InputError, match=r"pixels of 20,000 bytes.*--max-message"):
        received(content, message=10_000).receive()


@pytest.mark.parametrize("length", [1, 2, 100, 205, 209])
def test_a_connection_that_ends_inside_a_message_is_said_to(length):
    with pytest.raises(DroppedError, match="inside a message"):
        received(mrd.image(np.ones((2, 2), np.int16))[:length]).receive()


def test_a_message_that_trickles_in_is_not_awaited_for_ever():
    class Trickle:
        def recv_into(self, buffer):
            buffer[:1] = b"\5"
            return 1

    with pytest.raises(InputError, match="no whole message"):
        Connection(Trickle(), Limits(idle=0.0)).receive()


def test_pixel_types_are_little_endian_and_of_the_sizes_of_the_format():
    sizes = {number: np.dtype(name).itemsize for number, name in PIXEL_TYPES.items()}
    assert sizes == {1: 2, 2: 2, 3: 4, 4: 4, 5: 4, 6: 8, 7: 8, 8: 16}
