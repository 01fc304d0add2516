"""Packed bytes: what zlib reads, the same for the same content, and whatever is damaged is noticed."""

from __future__ import annotations

import gzip
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from bids_qmri.bids.packing import DAMAGE, open_packed, pack, unpack

CONTENT = np.random.default_rng(0).integers(0, 50, 200_000).astype(np.uint8).tobytes()


def test_others_read_what_is_packed_and_it_is_the_same_every_time() -> None:
    packed = pack(CONTENT)
    assert gzip.decompress(packed) == unpack(packed) == CONTENT
    assert pack(CONTENT) == packed


@pytest.mark.parametrize("place", [-1, -5, 1000])
def test_checksum_and_length_are_verified(place: int, tmp_path: Path) -> None:
    damaged = bytearray(gzip.compress(CONTENT))
    damaged[place] ^= 0x5A
    file = tmp_path / "x.gz"
    file.write_bytes(damaged)
    with pytest.raises(DAMAGE), open_packed(file) as stream:
        stream.read()
    with pytest.raises(DAMAGE):
        unpack(bytes(damaged))


@pytest.mark.parametrize("left", [5, 1000, -4])
def test_what_is_cut_short_is_noticed(left: int, tmp_path: Path) -> None:
    file = tmp_path / "x.gz"
    file.write_bytes(gzip.compress(CONTENT)[:left])
    with pytest.raises(DAMAGE), open_packed(file) as stream:
        deque(iter(lambda: stream.read(1 << 16), b""), maxlen=0)


def test_what_follows_is_damage_but_zeros_and_further_streams_are_not(tmp_path: Path) -> None:
    file = tmp_path / "x.gz"
    file.write_bytes(gzip.compress(CONTENT) + b"\0" * 10 + gzip.compress(b"more") + b"\0" * 100)
    with open_packed(file) as stream:
        assert stream.read() == CONTENT + b"more"
    file.write_bytes(gzip.compress(CONTENT) + b"garbage")
    with pytest.raises(DAMAGE), open_packed(file) as stream:
        stream.read()
