"""Protocols refuse what cannot be, never change, and are known by what was played out."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bids_qmri.errors import InputError
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.ivim.model import IVIM
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.techniques.vfa.protocol import VfaProtocol

FLIPS = np.deg2rad([2.0, 10.0, 20.0])
EXAMPLES = [
    VfaProtocol(FLIPS, 0.015),
    VfaProtocol(FLIPS, 0.015).with_b1([0.9, 1.1]),
    DiffusionProtocol([0, 50, 800], np.vstack([np.zeros(3), np.eye(3)[:2]]), [1, 2, 3]),
    DiffusionProtocol([0, 50, 800]),
    DceProtocol([0, 5, 10], [0, 10], [0, 1]),
]
FIELDS = arrays(np.float64, 5, elements=st.floats(0.5, 1.5))


@pytest.mark.parametrize("protocol", EXAMPLES)
def test_what_was_played_out_cannot_be_changed(protocol: Protocol) -> None:
    for values in vars(protocol).values():
        if isinstance(values, np.ndarray):
            with pytest.raises(ValueError, match="read-only"):
                values[0] = 1


def test_a_protocol_does_not_follow_the_array_it_was_made_from() -> None:
    bvals = np.array([0.0, 100.0])
    protocol = DiffusionProtocol(bvals)
    bvals[1] = 900
    assert protocol.bvals.tolist() == [0, 100]


@pytest.mark.parametrize("protocol", EXAMPLES)
def test_the_digest_survives_a_process_and_rounding_in_the_last_digits(protocol: Protocol) -> None:
    assert pickle.loads(pickle.dumps(protocol)).digest() == protocol.digest()
    changed = {name: None if v is None else np.asarray(v) * (1 + 1e-13) for name, v in vars(protocol).items()}
    assert type(protocol)(**changed).digest() == protocol.digest()


def test_different_protocols_have_different_digests() -> None:
    others = [
        VfaProtocol(FLIPS[::-1], 0.015),
        VfaProtocol(FLIPS, 0.0150001),
        DiffusionProtocol([0, 50, 800], b0_threshold=0),
        DiffusionProtocol([0, 50, 801]),
        DceProtocol([0, 5, 10], [0, 10], [0, 1.001]),
    ]
    assert len({protocol.digest() for protocol in (*EXAMPLES, *others)}) == len(EXAMPLES) + len(others)


def test_the_digest_of_a_protocol_is_the_same_for_ever() -> None:
    # Files name protocols by it: another value would orphan them.
    assert DiffusionProtocol([0, 50, 800]).digest()[:16] == "d59ffb3caaaa0cd8"


@given(FIELDS, st.lists(st.integers(0, 4), min_size=1, unique=True))
def test_choosing_voxels_and_scaling_their_flip_angles_commute(b1: np.ndarray, chosen: list[int]) -> None:
    nominal, voxels = VfaProtocol(FLIPS, 0.015), np.array(chosen)
    np.testing.assert_array_equal(
        nominal.with_b1(b1).take(voxels).flip_angle, nominal.with_b1(b1[voxels]).flip_angle
    )


def test_a_transmit_field_of_one_changes_no_signal() -> None:
    theta, nominal = np.array([[0.5, 1.5], [1.0, 2.0]]), VfaProtocol(FLIPS, 0.015)
    np.testing.assert_allclose(
        VFA.signal(theta, nominal.with_b1([1, 1])), VFA.signal(theta, nominal), rtol=1e-14
    )


def test_a_transmit_field_may_scale_beyond_what_can_be_prescribed() -> None:
    assert VfaProtocol([np.deg2rad(170)], 0.015).with_b1([1.2]).flip_angle[0, 0] > np.pi


@pytest.mark.parametrize("protocol", [p for p in EXAMPLES if getattr(p, "flip_angle", np.ones(1)).ndim == 1])
def test_what_all_voxels_share_is_not_copied_per_voxel(protocol: Protocol) -> None:
    assert protocol.take(slice(0, 1)) is protocol


def test_one_repetition_time_stands_for_all_flip_angles() -> None:
    np.testing.assert_array_equal(VfaProtocol(FLIPS, 0.015).repetition_time, [0.015] * 3)


def test_measurements_weigh_as_many_images_as_they_average() -> None:
    assert DiffusionProtocol([0, 800], averages=[1, 3]).weights.tolist() == [1, 3]
    assert all(protocol.weights.shape == (protocol.n_measurements,) for protocol in EXAMPLES)


def test_the_threshold_itself_counts_as_no_weighting() -> None:
    assert DiffusionProtocol([0, 50, 50.1]).b0_mask.tolist() == [True, True, False]


@given(st.permutations(range(6)))
def test_the_order_of_measurements_is_the_order_of_signals(order: list[int]) -> None:
    b, theta = np.array([0, 10, 50, 200, 400, 800.0]), np.array([[1e-3], [0.02], [0.1], [1.0]])
    np.testing.assert_array_equal(
        IVIM.signal(theta, DiffusionProtocol(b[order])), IVIM.signal(theta, DiffusionProtocol(b))[order]
    )


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: VfaProtocol([0.0, 0.3], 0.015), "FlipAngle"),
        (lambda: VfaProtocol([0.1, np.pi], 0.015), "FlipAngle"),
        (lambda: VfaProtocol([], 0.015), "flip_angle"),
        (lambda: VfaProtocol([0.1], 0.0), "RepetitionTimeExcitation"),
        (lambda: VfaProtocol([0.1], np.nan), "repetition_time"),
        (lambda: DiffusionProtocol([-1, 50]), "bvals"),
        (lambda: DiffusionProtocol([0, np.inf]), "bvals"),
        (lambda: DiffusionProtocol([[0, 50]]), "bvals"),
        (lambda: DiffusionProtocol([0, 50], np.eye(3)), "bvecs"),
        (lambda: DiffusionProtocol([0, 50], averages=[1]), "averages"),
        (lambda: DceProtocol([0, 0, 5], [0, 5], [0, 1]), "time"),
        (lambda: DceProtocol([0, 5], [5, 0], [0, 1]), "aif_time"),
        (lambda: DceProtocol([0, 5], [0, 5], [0]), "aif"),
    ],
)
def test_what_cannot_have_been_played_out_is_named(make, field: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert caught.value.field == field
    assert caught.value.needed


def test_chosen_measurements_keep_what_belongs_to_them() -> None:
    flips = VfaProtocol(np.deg2rad([2.0, 8.0, 20.0]), np.array([0.005, 0.006, 0.007]))
    part = flips.chosen([2, 0])
    assert part.values()["flip_angle"] == pytest.approx([20, 2])
    assert part.repetition_time == pytest.approx([0.007, 0.005])
    assert flips.with_b1([0.9, 1.1]).chosen([1]).flip_angle == pytest.approx(np.deg2rad([[7.2, 8.8]]))
    table = np.eye(3)
    weighted = DiffusionProtocol([0.0, 500, 800], table, [4.0, 2.0, 1.0], b0_threshold=20.0)
    part = weighted.chosen([1, 2])
    assert (part.bvals.tolist(), part.weights.tolist(), part.b0_threshold) == ([500, 800], [2, 1], 20.0)
    np.testing.assert_array_equal(part.bvecs, table[1:])


def test_some_frames_of_a_bolus_are_driven_by_the_whole_input() -> None:
    time = np.arange(5.0)
    part = DceProtocol(time, time, 2.0 * time).chosen([0, 3])
    assert part.time.tolist() == [0.0, 3.0]
    assert part.aif.tolist() == (2.0 * time).tolist()
