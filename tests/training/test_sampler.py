"""Protocols stay within what recipes promise, and those of the reference study are as it prints them."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.estimators.networks.features import make_features
from bids_qmri.physics.sampling import Ranges
from bids_qmri.techniques.dce import sampling as dce
from bids_qmri.techniques.dce.sampling import LEAST_WINDOW, broad_times, paper_times
from bids_qmri.techniques.ivim import sampling as ivim
from bids_qmri.techniques.ivim.sampling import broad_ivim, paper_ivim
from bids_qmri.techniques.vfa import sampling as vfa
from bids_qmri.techniques.vfa.sampling import broad_vfa, paper_vfa
from bids_qmri.training.recipe import parse_recipe, recipe_text

VFA = vfa.Ranges((2, 12), (1.0, 40.0), (0.002, 0.05), (0.7, 1.3), 0.3)
IVIM = ivim.Ranges((4, 32), (200.0, 1500.0), (2, 6), 0.2)
DCE = dce.Ranges((10, 60), (1.0, 20.0), 60.0)
DRAWS = 300


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_table_2_flip_angles(rng: np.random.Generator) -> None:
    lengths = set()
    for _ in range(DRAWS):
        flip = np.rad2deg(paper_vfa(rng).flip_angle)
        lengths.add(flip.size)
        assert flip[0] == pytest.approx(1.0)
        assert 15.0 <= flip[-1] <= 30.0
        even = np.linspace(1.0, flip[-1], flip.size - 1)
        spare = [a for a in flip if not np.any(np.isclose(a, even))]
        assert len(spare) == 1
        assert 3.0 <= spare[0] <= 10.0
    assert lengths == set(range(3, 9))


def test_table_2_bvals(rng: np.random.Generator) -> None:
    low = {4: (1, 1, 1), 5: (1, 1, 2), 6: (2, 1, 2), 7: (2, 1, 3), 10: (3, 2, 4)}
    for count, expected in low.items():
        b = paper_ivim(rng, count).bvals
        found = [np.sum((b > 0) & (b < 50)), np.sum((b >= 50) & (b < 100)), np.sum((b >= 100) & (b <= 800))]
        assert b[0] == 0
        assert tuple(found) == expected
    assert {paper_ivim(rng).n_measurements for _ in range(DRAWS)} == set(range(4, 11))


def test_table_2_frame_times(rng: np.random.Generator) -> None:
    for _ in range(DRAWS):
        time = paper_times(rng)
        assert 15 <= time.size <= 20
        assert 8.0 <= time[0] <= 12.0
        np.testing.assert_allclose(np.diff(time), time[0])
        assert time[-1] <= 240.0


def test_table_3_as_printed() -> None:
    flip, bvals, times = (
        parse_recipe(recipe_text(f"mlp-{which}")).protocol for which in ("vfa", "ivim", "dce")
    )
    assert flip.flip_angle == (1, 6, 10, 25)
    assert bvals.bvals == (0, 10, 20, 50, 100, 300, 600)
    assert len(times.time) == 17
    assert (times.time[0], times.time[-1]) == (9, 153)


def test_broad_vfa_covers_its_ranges_and_no_more(rng: np.random.Generator) -> None:
    drawn = [broad_vfa(rng, VFA) for _ in range(5 * DRAWS)]
    flips = np.rad2deg(np.concatenate([p.flip_angle for p in drawn]))
    times = np.array([p.repetition_time[0] for p in drawn])
    assert flips.min() >= 1.0 - 1e-9
    assert flips.max() <= 40.0 + 1e-9
    assert flips.max() > 39.0
    assert times.min() >= 0.002
    assert times.max() <= 0.05
    assert {p.n_measurements for p in drawn} == set(range(2, 13))
    with_one = np.mean([np.isclose(np.rad2deg(p.flip_angle[0]), 1.0) for p in drawn])
    assert 0.4 < with_one < 0.6
    assert min(p.flip_angle[-1] / p.flip_angle[0] for p in drawn) >= 1.5 - 1e-9


def test_broad_ivim_covers_its_ranges_and_no_more(rng: np.random.Generator) -> None:
    drawn = [broad_ivim(rng, IVIM) for _ in range(5 * DRAWS)]
    bvals = np.concatenate([p.bvals for p in drawn])
    assert all(p.bvals[0] == 0 and np.all(np.diff(p.bvals) >= 0) for p in drawn)
    assert all(np.unique(p.bvals).size >= 4 for p in drawn)
    assert 1450 < bvals.max() <= 1500
    assert {p.n_measurements for p in drawn} == set(range(4, 33))
    averaged = [p for p in drawn if p.averages is not None]
    assert 0.15 < len(averaged) / len(drawn) < 0.25
    assert all(p.weights[0] == 1 and 2 <= p.weights[-1] <= 6 for p in averaged)


def test_broad_dce_covers_its_ranges_and_no_more(rng: np.random.Generator) -> None:
    for _ in range(DRAWS):
        time, arrival = broad_times(rng, DCE)
        assert 10 <= time.size <= 60
        assert 1.0 <= time[1] - time[0] <= 20.0 + 1e-9
        assert 0.0 <= arrival <= 60.0
        assert time[-1] - arrival >= LEAST_WINDOW


@pytest.mark.parametrize("ranges", [VFA, IVIM, DCE], ids=["vfa", "ivim", "dce"])
def test_protocols_follow_from_the_seed(ranges: Ranges) -> None:
    digests = [
        [ranges.draw(np.random.default_rng([3, i]), 0.5).digest() for i in range(20)] for _ in range(2)
    ]
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == 20


def test_paper_share_decides_between_both_kinds(rng: np.random.Generator) -> None:
    lengths = {DCE.draw(rng, 1.0).n_measurements for _ in range(100)}
    assert lengths <= set(range(15, 21))
    shares = np.mean([VFA.draw(rng, 0.0).repetition_time[0] > 0.012 for _ in range(DRAWS)])
    assert 0.3 < shares < 0.6


@pytest.mark.parametrize("name", ["ncde-vfa", "ncde-ivim"])
def test_groups_of_shipped_recipes_have_features(name: str) -> None:
    recipe = parse_recipe(recipe_text(name))
    for index in range(15):
        group = recipe.data.group(recipe.forward, recipe.protocol, np.random.default_rng([5, index]))
        features = make_features(
            recipe.forward, group.signal, group.protocol, sigma=group.noise, bounds=group.box
        )
        assert features.usable.mean() > 0.99
