"""Sub-protocols keep the rules of the study, and never part what repeats."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_qmri.errors import InputError, UsageError
from bids_qmri.evaluation.subsets import choose_subsets, different, has_subsets, nearest
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.ivim.subsets import draw as draw_b
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.techniques.vfa.subsets import draw as draw_flips

B = np.array([0.0, 10, 20, 30, 50, 75, 150, 250, 400, 600])


def flips(*degrees: float) -> VfaProtocol:
    return VfaProtocol(np.deg2rad(degrees), np.full(len(degrees), 0.005))


def test_the_protocol_of_the_study_gives_its_fixed_subsets_exactly() -> None:
    names = [one.name for one in choose_subsets("ivim", DiffusionProtocol(B), draws=0)]
    assert names == ["0/10/50/600", "0/10/20/50/75/600", "0/10/20/50/75/150/400/600"]
    thirty = flips(*range(1, 31))
    names = [one.name for one in choose_subsets("vfa", thirty, draws=0)]
    assert names == ["1/6/29", "1/6/15/29", "1/6/10/20/29"]


def test_all_images_of_a_measurement_are_kept_or_left_together() -> None:
    protocol = DiffusionProtocol(np.tile(B, 3)[::-1])
    for one in choose_subsets("ivim", protocol):
        kept = protocol.bvals[list(one.kept)]
        assert len(kept) == 3 * one.length
        assert not set(kept) & set(protocol.bvals[list(one.rest)])
        assert sorted((*one.kept, *one.rest)) == list(range(30))


def test_a_seed_means_the_same_subsets_and_another_seed_others() -> None:
    first, same, other = (choose_subsets("ivim", DiffusionProtocol(B), seed=s) for s in (1, 1, 2))
    assert first == same
    assert first != other
    assert [one.length for one in other] == [4, 6, 8, *[4] * 4, *[6] * 4, *[8] * 4]


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 9), st.integers(0, 1000))
def test_random_b_values_follow_table_2(count: int, seed: int) -> None:
    found = draw_b(count, B, np.random.default_rng(seed))
    assert found.size == np.unique(found).size == count
    assert 0.0 in found
    low = -(-(count - 1) // 2)
    wanted = min(-(-low // 2), np.count_nonzero((B >= 1) & (B < 50)))
    assert np.count_nonzero((found >= 1) & (found < 50)) >= wanted
    assert found.max() >= 100


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 8), st.integers(0, 1000))
def test_random_flip_angles_follow_table_2(count: int, seed: int) -> None:
    found = draw_flips(count, np.arange(1.0, 31.0), np.random.default_rng(seed))
    assert found.size == count
    assert found[0] == 1.0
    assert 3 <= found[1] <= 10
    assert 15 <= found[2] <= 30
    steps = np.diff([1.0, *found[3:], found[2]])
    assert steps == pytest.approx(steps[0])


def test_repeats_with_one_flip_angle_are_one_measurement() -> None:
    values, group = different(flips(3, 3, 20, 8))
    assert values == pytest.approx([3, 8, 20])
    assert group.tolist() == [0, 0, 2, 1]


def test_no_measurement_stands_for_two_values() -> None:
    assert nearest(np.array([0.0, 10, 500]), [0, 400, 600]) == [0, 1, 2]


def test_too_few_measurements_are_refused_by_number() -> None:
    with pytest.raises(InputError, match=r"4 different measurements.*more than 4"):
        choose_subsets("ivim", DiffusionProtocol(B[:4]))
    with pytest.raises(UsageError, match=r"0,50,500 are 3 measurements.*4 or more"):
        choose_subsets("ivim", DiffusionProtocol(B), [(0, 50, 500)])


def test_a_named_subset_replaces_the_fixed_ones() -> None:
    (one,) = choose_subsets("ivim", DiffusionProtocol(B), [(0, 20, 100, 500)], draws=0)
    assert one.name == "0/20/75/400"


def test_techniques_without_a_rule_have_no_subsets() -> None:
    assert has_subsets("ivim")
    assert not has_subsets("noddi")


@pytest.mark.parametrize("named", [(0, 10, 2000, 4000), (0, 10, 480, 500), (0, 10, 50, 130)])
def test_a_named_subset_that_was_not_measured_is_refused(named: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match=r"nothing was measured near|would stand for one measurement"):
        choose_subsets("ivim", DiffusionProtocol([0.0, 10, 25, 50, 75, 200, 300, 400, 500]), [named], draws=0)
