"""Random multi-shell schemes stay within their ranges, and are what the network's features can sort."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.techniques.noddi.sampling import Ranges, spread_directions
from bids_qmri.techniques.noddi.zonal import sort_shells

RANGES = Ranges((2, 8), (300.0, 4000.0), (1000.0, 4000.0), (6, 120), (1, 32), 340)


@pytest.mark.parametrize("seed", range(60))
def test_schemes_are_shells_within_their_ranges(seed: int) -> None:
    protocol = RANGES.draw(np.random.default_rng(seed))
    shells = sort_shells(protocol)
    assert 2 <= len(shells.members) <= 8
    assert shells.bvals.min() > 285
    assert 985 < shells.bvals.max() < 4015
    assert shells.counts.min() >= 6
    assert shells.counts.max() <= 120
    assert 1 <= len(shells.b0) <= 32
    assert protocol.n_measurements <= 340
    weighted = shells.directions[~protocol.b0_mask]
    np.testing.assert_allclose(np.linalg.norm(weighted, axis=1), 1.0)


def test_schemes_differ_in_the_number_of_shells_and_repeat_with_the_seed() -> None:
    counts = [len(sort_shells(RANGES.draw(np.random.default_rng(s))).members) for s in range(200)]
    assert set(counts) >= {2, 3, 4, 5}
    one, other = (RANGES.draw(np.random.default_rng(9)).digest() for _ in range(2))
    assert one == other


@pytest.mark.parametrize(("count", "angle"), [(6, 63.4), (15, 36.9), (30, 25.6), (60, 18.3)])
def test_spread_directions_are_nearly_as_far_apart_as_published_ones(count: int, angle: float) -> None:
    g = spread_directions(count)
    cosine = np.abs(g @ g.T)
    np.fill_diagonal(cosine, 0.0)
    assert np.rad2deg(np.arccos(cosine.max())) > 0.93 * angle
