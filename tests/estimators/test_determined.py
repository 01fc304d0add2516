"""What the data determine is what they narrow to half of what was known before, whatever a fit was told."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from simulated import VFA_PROTOCOL, draw

from bids_qmri import catalogue
from bids_qmri.catalogue import get_model
from bids_qmri.estimation.blocks import array_blocks, fit_block, gather, join
from bids_qmri.estimation.preparation import Scan, prepare
from bids_qmri.estimators.base import Estimator, FitResult, Status, get_estimator, judged
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.estimators.determined import NARROW, box_sd, determined_by_data
from bids_qmri.estimators.posterior.bayes import Bayes
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.physics.prior import Bell, Prior
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS
from bids_qmri.techniques.ivim.model import IVIM
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.techniques.vfa.protocol import VfaProtocol
from bids_qmri.units import FloatArray

PROTOCOL = DiffusionProtocol([0, 0, 10, 20, 30, 50, 80, 120, 200, 300, 400, 600, 800, 800])
VOXELS = 1500
NAMES = ("d", "dstar", "f")


BOX = dict(IVIM.prior())
TISSUE = {p.name: p.training for p in IVIM.parameters if p.name != IVIM.amplitude}


def uniform(place: str = "box") -> dict[str, FloatArray]:
    """Draw IVIM parameters evenly from the default box, or from what is usual in tissue; S0 = 1."""
    rng = np.random.default_rng(0)
    limits = {"box": BOX, "tissue": TISSUE}[place]
    return {name: rng.uniform(*pair, VOXELS) for name, pair in limits.items()} | {"s0": np.ones(VOXELS)}


@cache
def fitted(label: str, snr: float, place: str = "box") -> FitResult:
    """Fit uniform draws as the command line does."""
    clean = IVIM.predict(uniform(place), PROTOCOL)
    assert clean is not None
    signal = add_rician_noise(clean, 1 / snr, np.random.default_rng(1))
    estimator = get_estimator("ivim", label)
    return estimator.fit(IVIM, signal, PROTOCOL, sigma=1 / snr, bounds=estimator.limits(IVIM, {}, {}))


def shares(found: FitResult) -> dict[str, float]:
    return {name: float(known.mean()) for name, known in found.determined.items()}


@pytest.mark.parametrize("label", ["lsq", "map", "bayes"])
def test_at_a_signal_to_noise_ratio_of_10_slow_diffusion_is_told_and_fast_diffusion_mostly_not(
    label: str,
) -> None:
    found = shares(fitted(label, 10, "tissue"))
    assert found["d"] > 0.7
    assert found["dstar"] < 0.25


def close(label: str, name: str, place: str) -> float:
    """Return the share of determined values at SNR 20 that are closer to the truth than a guess is."""
    found, truth = fitted(label, 20, place), uniform(place)
    error = np.abs(found.maps[name] - truth[name])[found.determined[name]]
    return float(np.mean(error < box_sd(IVIM)[name]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("label", "least"), [("lsq", 0.9), ("bayes", 0.97)])
def test_where_determined_the_error_is_less_than_that_of_a_guess(label: str, least: float, name: str) -> None:
    assert close(label, name, "box") >= least


def test_least_squares_is_too_sure_of_fast_diffusion_in_tissue_as_the_documentation_says() -> None:
    """The Cramer-Rao bound at an estimate that is too low is too low as well."""
    assert close("lsq", "dstar", "tissue") == pytest.approx(0.75, abs=0.05)
    assert close("lsq", "d", "tissue") > 0.97
    assert close("bayes", "dstar", "tissue") > 0.9


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("label", ["lsq", "bayes"])
def test_better_images_determine_more(label: str, name: str) -> None:
    found = [shares(fitted(label, snr))[name] for snr in (10, 20, 50)]
    assert found == sorted(found)


@pytest.mark.parametrize("label", ["lsq", "mle", "map", "bayes"])
@pytest.mark.parametrize(("model", "protocol"), [(IVIM, PROTOCOL), (VFA, VFA_PROTOCOL)])
def test_without_noise_everything_is_determined(model, protocol, label: str) -> None:
    signal = model.predict(model.draw(200, np.random.default_rng(0)), protocol)
    found = get_estimator(model.name, label).fit(model, signal, protocol, sigma=1e-5)
    assert found.determined.keys() == box_sd(model).keys()
    assert all(share > 0.99 for share in shares(found).values()), shares(found)
    assert not np.any(found.status == Status.UNDETERMINED)


def test_the_measure_is_the_same_whatever_limits_a_fit_is_told() -> None:
    bounds = {"d": (0.0, 2e-3), "dstar": (0.01, 0.1), "f": (0.0, 0.4)}
    clean = IVIM.predict(uniform(), PROTOCOL)
    assert clean is not None
    found = Bayes().fit(IVIM, clean[:200], PROTOCOL, sigma=0.05, bounds=bounds)
    for name, guess in box_sd(IVIM).items():
        np.testing.assert_array_equal(found.determined[name], found.sd[name] <= NARROW * guess)


def test_what_a_narrow_prior_tells_is_not_told_by_the_data() -> None:
    rng = np.random.default_rng(3)
    noise = np.abs(rng.standard_normal((200, PROTOCOL.n_measurements))) + 0.1
    prior = Prior((("dstar", Bell(0.02, 0.2)), ("d", Bell(1e-3, 1e-4)), ("f", Bell(0.1, 0.02))))
    found = Bayes().fit(IVIM, noise, PROTOCOL, sigma=1.0, bounds=IVIM.prior(), prior=prior)
    for name in ("d", "dstar", "f"):
        assert np.median(found.sd[name]) < NARROW * box_sd(IVIM)[name]
        assert found.determined[name].mean() < 0.1


def test_the_default_box_is_that_of_tissue_and_of_what_follows_from_it() -> None:
    assert box_sd(VFA) == pytest.approx({"t1": (5 - 0.05) / np.sqrt(12)})
    limits = EXTENDED_TOFTS.prior()
    rng = np.random.default_rng(0)
    ktrans = rng.uniform(*limits["kep"], 10**6) * rng.uniform(*limits["ve"], 10**6)
    assert box_sd(EXTENDED_TOFTS)["ktrans"] == pytest.approx(ktrans.std(), rel=0.01)


@pytest.mark.parametrize("model", catalogue.model_names())
def test_the_documentation_tells_the_limit_of_every_parameter(model: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split("|") for line in text.splitlines() if line.startswith("| `")]
    told = {name.strip("` "): row[2].split() for row in rows if len(row) == 3 for name in row[0].split(",")}
    for name, guess in box_sd(get_model(model)).items():
        # One name, such as R2*, may be that of a parameter here and of a derived quantity there.
        assert f"{NARROW * guess:.3g}" in told[name]


@pytest.mark.parametrize("model", catalogue.model_names())
def test_amplitudes_delays_and_tensors_have_no_default_box(model: str) -> None:
    described = get_model(model)
    assert described.amplitude not in box_sd(described)
    assert not {p.name for p in described.parameters if p.internal} & box_sd(described).keys()
    assert "t0" not in box_sd(described)
    assert bool(box_sd(described)) == (model not in ("dti", "dki"))


def vfa(sd: list[float], values: list[float], **bounds: tuple[float, float]) -> dict[str, list[bool]]:
    """Judge estimates of T1 in s by their standard deviations."""
    maps = {"t1": np.array(values), "m0": np.ones(len(values))}
    found = determined_by_data(VFA, bounds, maps, {"t1": np.array(sd), "m0": np.ones(len(values))})
    return {name: known.tolist() for name, known in found.items()}


def test_half_the_standard_deviation_of_the_box_is_the_limit() -> None:
    half = NARROW * box_sd(VFA)["t1"]
    assert vfa([0.999 * half, 1.001 * half], [1.0, 1.0]) == {"t1": [True, False]}


def test_a_value_at_a_limit_or_without_a_standard_deviation_is_not_determined() -> None:
    assert vfa([0.1, 0.1, np.nan, 0.1], [5.0, 0.5, 1.0, 1.0], t1=(0.5, 5.0))["t1"] == [False] * 3 + [True]


def test_what_nobody_can_tell_is_left_out() -> None:
    assert vfa([0.1], [1.0], t1=(1.0, 1.0)) == {}
    assert determined_by_data(VFA, None, {"t1": np.ones(2)}, {}) == {}
    assert determined_by_data(VFA, None, {"t1": np.ones(2)}, {"t1": np.full(2, np.nan)}) == {}


def test_two_measurements_of_two_parameters_tell_nothing_of_their_own_errors() -> None:
    protocol = VfaProtocol(np.deg2rad([4, 18]), 0.015)
    signal = VFA.predict({"t1": np.array([0.8, 1.2]), "m0": np.ones(2)}, protocol)
    alone = Lsq().fit(VFA, signal, protocol)
    assert alone.determined == {}
    assert alone.status.tolist() == [Status.OK, Status.OK]
    assert Lsq().fit(VFA, signal, protocol, sigma=1e-4).determined["t1"].tolist() == [True, True]


def result(sd: dict[str, float], status: Status) -> FitResult:
    maps = {"d": 1e-3, "dstar": 0.02, "f": 0.1, "s0": 1.0}
    maps_, sd_ = ({name: np.array([value]) for name, value in part.items()} for part in (maps, sd))
    return FitResult(maps_, sd_, np.zeros(1), np.array([status], dtype=np.uint8))


WIDE = {"d": 1.0, "dstar": 1.0, "f": 1.0, "s0": 1e-3}


@pytest.mark.parametrize("before", list(Status))
def test_the_status_says_so_only_where_there_is_an_estimate_and_nothing_is_determined(before: Status) -> None:
    estimated = before in (Status.OK, Status.AT_BOUND, Status.UNDETERMINED)
    after = judged(result(WIDE, before), IVIM, None).status[0]
    assert after == (Status.UNDETERMINED if estimated else before)
    one = judged(result(WIDE | {"f": 0.01}, before), IVIM, None)
    assert one.status[0] == (Status.OK if before == Status.UNDETERMINED else before)
    assert {name: bool(known[0]) for name, known in one.determined.items()} == {
        "d": False,
        "dstar": False,
        "f": True,
    }


@pytest.mark.parametrize("label", ["lsq", "bayes"])
def test_in_a_fit_status_6_and_maps_agree(label: str) -> None:
    found = fitted(label, 10)
    nothing = ~np.any(list(found.determined.values()), axis=0)
    estimated = np.isin(found.status, (Status.OK, Status.AT_BOUND, Status.UNDETERMINED))
    np.testing.assert_array_equal(found.status == Status.UNDETERMINED, nothing & estimated)
    assert np.any(found.status == Status.UNDETERMINED)


def test_joined_blocks_count_what_could_not_be_told_as_not_determined() -> None:
    known = judged(result(WIDE | {"f": 0.01}, Status.OK), IVIM, None)
    silent = judged(result({}, Status.OK), IVIM, None)
    assert silent.determined == {}
    assert join([silent, known]).determined["f"].tolist() == [False, True]


def test_maps_of_a_grid_hold_what_blocks_determined_and_0_outside() -> None:
    signal = VFA.signal(draw(VFA, 5), VFA_PROTOCOL).T
    how = prepare(VFA, Lsq(), Scan(VFA_PROTOCOL, mask=np.ones(9, dtype=bool)), {})
    parts = ((part, voxels + 2) for part, voxels in array_blocks(signal))
    found = gather(VFA, (fit_block(VFA, Lsq(), how, part, None) for part in parts), 9)
    assert found.determined["t1"].dtype == np.uint8
    assert found.determined["t1"].tolist() == [0, 0, 1, 1, 1, 1, 1, 0, 0]


def test_estimators_fill_it_in_one_place() -> None:
    kinds = [get_estimator(e.name, label) for _, e in catalogue.entries() for label in e.estimators]
    assert {type(kind).fit for kind in kinds} == {Estimator.fit}
