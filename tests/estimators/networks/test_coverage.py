"""What a network was trained for, in words, and what limits estimators with a prior take."""

from __future__ import annotations

import networks
import numpy as np
import pytest

from bids_qmri.catalogue import get_model, model_names
from bids_qmri.errors import InputError
from bids_qmri.estimators.networks.coverage import n_different, outside, require_same
from bids_qmri.estimators.networks.network_file import read_card, require_shipped_network
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.vfa.protocol import VfaProtocol


def dce(times, arrival=20.0):
    start = arrival + np.arange(5.0)
    return DceProtocol(np.asarray(times, dtype=float), start, np.array([0.0, 3, 5, 3, 2]))


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        (dce(np.arange(0, 200, 5.0)), ""),
        (dce(np.arange(0, 500, 1.0)), ""),
        (dce(np.arange(0, 900, 30.0)), "frame spacing 30 s (trained: 1 to 20 s)"),
        (dce(np.r_[0, 0.5, np.arange(1, 60, 2)]), "frame spacing 0.5 to 2 s"),
        (dce(np.arange(0, 200, 5.0), arrival=90.0), "arrival of the bolus 91 s (trained: 0 to 60 s)"),
        (dce(np.arange(30, 200, 5.0)), ""),
    ],
)
def test_dynamic_series(protocol, words):
    box = {"kep": (0.01, 5.0), "ve": (0.01, 1.0), "vp": (0.0, 0.3), "t0": (0.0, 0.0)}
    found = outside(networks.COVERAGE["etofts"], protocol, box)
    assert len(found) == bool(words)
    assert words in "".join(found)


def test_a_bolus_that_comes_after_two_minutes_is_in_the_range_of_the_shipped_network():
    coverage = read_card(require_shipped_network("etofts"))["coverage"]
    box = {"kep": (0.01, 5.0), "ve": (0.01, 1.0), "vp": (0.0, 0.3), "t0": (0.0, 10.0)}
    assert outside(coverage, dce(np.arange(0, 300, 5.0), arrival=120.0), box) == []
    assert outside(coverage, dce(np.arange(0, 300, 5.0), arrival=180.0), box)


def test_a_range_of_b_values_is_compared_at_both_ends():
    coverage = networks.COVERAGE["ivim"] | {"bvals": [0, 1000], "largest_b": [200, 1000]}
    box = {"d": (0.0, 0.004)}
    assert outside(coverage, DiffusionProtocol([0, 10, 100, 1000.5]), box) == []
    assert "largest b-value 100" in outside(coverage, DiffusionProtocol([0, 10, 50, 100]), box)[0]
    assert len(outside(coverage, DiffusionProtocol([0, 10, 50, 1200]), box)) == 2


def test_a_fixed_parameter_is_covered_only_where_training_fixed_it():
    protocol = dce(np.arange(0, 200, 5.0))
    words = outside(networks.COVERAGE["etofts"], protocol, {"vp": (0.0, 0.0), "t0": (0.0, 0.0)})
    assert len(words) == 1
    assert "limits of vp 0 (trained: 0 to 0.3)" in words[0]


def test_repeats_count_once_and_long_series_are_binned():
    assert n_different(DiffusionProtocol([0, 0, 50, 800, 800, 800])) == 3
    assert n_different(VfaProtocol(np.deg2rad([5, 5, 10]), np.array([0.01, 0.02, 0.01]))) == 3
    assert n_different(dce(np.arange(0, 300, 1.0))) <= 32


@pytest.mark.parametrize(
    "protocol",
    [
        VfaProtocol(np.deg2rad([1, 6, 25]), 0.005),
        DiffusionProtocol([0, 50, 800]),
        dce(np.arange(0, 90, 5.0)),
    ],
)
def test_a_protocol_is_the_same_up_to_rounding(protocol):
    trained = {name: array.tolist() for name, array in protocol.values().items()}
    require_same("net", trained, protocol)
    last = list(trained)[-1]
    with pytest.raises(InputError, match=f"{last} of the scan"):
        require_same("net", trained | {last: [1.02 * value + 0.01 for value in trained[last]]}, protocol)
    with pytest.raises(InputError, match="needed: not stated"):
        require_same("net", {}, protocol)


@pytest.mark.parametrize("name", model_names())
def test_priors_lie_within_physical_limits_and_hold_the_ranges_of_accuracy(name):
    for p in get_model(name).parameters:
        if p.prior is not None and p.bounds[0] < p.bounds[1]:
            low, high = p.prior
            assert p.bounds[0] <= low <= p.training[0]
            assert p.training[1] <= high <= p.bounds[1]


def test_a_prior_keeps_what_is_fixed_or_narrower():
    etofts, tofts = get_model("etofts"), get_model("tofts")
    assert tofts.prior()["vp"] == (0.0, 0.0)
    assert etofts.prior({"t0": (0.0, 15.0)})["t0"] == (0.0, 15.0)
    assert etofts.prior({"ve": (0.2, 0.3)})["ve"] == (0.2, 0.3)
    assert set(get_model("vfa").prior()) == {"t1"}
