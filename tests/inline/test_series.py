"""Images find their slice and their place, whatever order they come in."""

from __future__ import annotations

import itertools

import mrd
import numpy as np
import pytest
from test_wire import received

from bids_qmri.catalogue import get_model
from bids_qmri.errors import InputError
from bids_qmri.inline.encoding import Reader
from bids_qmri.inline.header import StreamHeader
from bids_qmri.inline.series import Series, same_encodings

B = (0.0, 700.0, 2000.0)
AXES = ((np.nan,) * 3, (1, 0, 0), (0, 1, 0))

PROTOCOLS = {
    "dwi": get_model("ivim").protocol,
    "vfa": get_model("vfa").protocol,
    "dce": get_model("tofts").protocol,
}


def images(**fixed):
    """Three weightings of two slices whose pixels say which one they are."""
    for i, k in itertools.product(range(3), range(2)):
        meta = mrd.meta(b=B[i], bvec=AXES[i]) if i else mrd.meta(b=0)
        message = mrd.image(
            np.full((2, 2), 10 * k + i, np.int16), meta, **{"repetition": i, "slice": k} | fixed
        )
        yield received(message).receive().image


def collected(order, family="dwi", joined=False, header=None) -> Series:
    series = Series(Reader(PROTOCOLS[family], header or StreamHeader()), joined)
    for image in order:
        series.add(image)
    return series


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (5, 4, 3, 2, 1, 0), (2, 5, 0, 3, 1, 4)])
def test_signals_are_in_the_order_of_counters(order):
    there = list(images())
    series = collected([there[i] for i in order])
    series.require_complete()
    for k, slot in enumerate(series.ordered):
        np.testing.assert_array_equal(slot.signal(np.arange(2)), [[10 * k, 10 * k + 1, 10 * k + 2]] * 2)
        assert slot.table()[:, 0].tolist() == list(B)
        assert slot.reference.pixels[0] == 10 * k


def test_without_counters_encodings_decide():
    there = list(images(repetition=0))
    series = collected(there[::-1])
    assert series.ordered[0].table()[:, 0].tolist() == list(B)


def test_double_precision_is_not_kept():
    message = mrd.image(np.ones((2, 2)), mrd.meta(b=0))
    slot = collected([received(message).receive().image]).ordered[0]
    assert slot.pixels[0].dtype == np.float32


def test_slices_whose_encodings_differ_are_refused():
    there = list(images())
    odd = (
        received(mrd.image(np.ones((2, 2), np.int16), mrd.meta(b=1000), repetition=2, slice=1))
        .receive()
        .image
    )
    with pytest.raises(InputError, match="slice 1 has other encodings than slice 0"):
        collected([*there[:5], odd]).require_complete()


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ((700, 1, 0, 0), True),
        ((705, 1, 0, 0), True),
        ((700, -1, 0, 0), True),
        ((700, 0.999, 0.04, 0), True),
        ((720, 1, 0, 0), False),
        ((700, 0, 1, 0), False),
        ((700, np.nan, np.nan, np.nan), True),
    ],
)
def test_encodings_are_the_same_up_to_jitter_and_sign(changed, same):
    table = np.array([(0, np.nan, np.nan, np.nan), (700, 1, 0, 0)])
    assert same_encodings(PROTOCOLS["dwi"].stream, table, np.array([table[0], changed])) is same


def test_a_protocol_knows_directions_only_if_all_weighted_images_have_one():
    table = np.array([(0, np.nan, np.nan, np.nan), (700, 1.0, 0, 0)])
    protocol = PROTOCOLS["dwi"].from_stream(table, b0_threshold=50.0)
    assert protocol.bvecs.tolist() == [[0, 0, 0], [1, 0, 0]]
    table[1, 1:] = np.nan
    assert PROTOCOLS["dwi"].from_stream(table, b0_threshold=50.0).bvecs is None


def test_flip_angles_turn_into_radians_and_seconds():
    protocol = PROTOCOLS["vfa"].from_stream(np.array([(30.0, 0.005), (90.0, 0.005)]), b0_threshold=50.0)
    np.testing.assert_allclose(protocol.flip_angle, [np.pi / 6, np.pi / 2])
    np.testing.assert_allclose(protocol.repetition_time, 0.005)


def test_a_frame_begins_with_its_first_slice():
    there = [
        received(
            mrd.image(
                np.ones((2, 2), np.int16), repetition=i, slice=k, time_stamp=1000 + 400 * i + 100 * (1 - k)
            )
        )
        .receive()
        .image
        for i in range(3)
        for k in range(2)
    ]
    np.testing.assert_allclose(collected(there, "dce").frame_times(), [0.0, 1.0, 2.0])


def test_series_of_flip_angles_are_told_apart_by_their_index_if_joined():
    there = [
        received(mrd.image(np.full((2, 2), a, np.int16), mrd.meta(FlipAngle=a, TR=5), series=s))
        .receive()
        .image
        for s, a in ((3, 20), (1, 2), (2, 10))
    ]
    series = collected(there, "vfa", joined=True)
    assert series.ordered[0].table()[:, 0].tolist() == [2, 10, 20]
