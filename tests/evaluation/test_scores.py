"""Scores: what holds of mean squared errors, ratios and agreement whatever the estimators are."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.evaluation.agreement import agreements
from bids_qmri.evaluation.scores import Ratio, Score, compare, over_participants, pooled, ratio_of_means
from bids_qmri.evaluation.subsets import Subset

SUBSET = Subset("0/10", 2, (0, 1), (2,))
COUNT = 20_000


def scores(answers: dict, references: dict) -> dict[tuple[str, str], Score]:
    regions = {"mask": np.ones(COUNT, dtype=bool)}
    wrapped = {name: {"d": values} for name, values in answers.items()}
    told = {ref: {name: {"d": v} for name, v in maps.items()} for ref, maps in references.items()}
    found = compare("01", SUBSET, wrapped, told, "lsq", ["d"], regions)
    return {(one.estimator, one.reference): one for one in found}


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(20412844).standard_normal((4, COUNT))


def test_an_independent_reference_adds_its_own_variance(noise: np.ndarray) -> None:
    """MSE is what the estimate and the reference scatter, and the square of the bias."""
    answers = {"lsq": 0.3 * noise[0], "ncde": 0.1 + 0.1 * noise[1]}
    found = scores(answers, {"rest": dict.fromkeys(answers, 0.2 * noise[2])})
    lsq, ncde = found["lsq", "rest"], found["ncde", "rest"]
    assert lsq.mse == pytest.approx(0.3**2 + 0.2**2, rel=0.03)
    assert ncde.mse == pytest.approx(0.1**2 + 0.1**2 + 0.2**2, rel=0.03)
    assert ncde.bias == pytest.approx(0.1, abs=0.005)
    for one in (lsq, ncde):
        assert one.mse == pytest.approx(one.bias**2 + one.variance, rel=1e-12)
    assert ncde.ratio.value == pytest.approx(0.06 / 0.13, rel=0.04)


def test_least_squares_is_its_own_measure(noise: np.ndarray) -> None:
    answers = {"lsq": noise[0], "ncde": noise[1]}
    found = scores(answers, {"lsq": dict.fromkeys(answers, noise[2])})
    assert found["lsq", "lsq"].ratio == Ratio(1.0, 0.0)


def test_who_answers_the_same_to_everything_has_no_error_of_its_own(noise: np.ndarray) -> None:
    same = np.full(COUNT, 0.5)
    own = {"lsq": noise[0], "stubborn": same}
    found = scores({"lsq": noise[1], "stubborn": same}, {"own": own, "lsq": dict.fromkeys(own, noise[0])})
    assert found["stubborn", "own"].mse == 0.0
    assert found["stubborn", "lsq"].mse == pytest.approx(1.25, rel=0.05)


def test_voxels_that_one_cannot_answer_are_judged_for_nobody(noise: np.ndarray) -> None:
    gap = noise[1].copy()
    gap[:100] = np.nan
    answers = {"lsq": noise[0], "ncde": gap}
    found = scores(answers, {"lsq": dict.fromkeys(answers, noise[2])})
    assert {one.voxels for one in found.values()} == {COUNT - 100}


def test_the_standard_deviation_of_a_ratio_is_its_spread_over_repetitions() -> None:
    rng = np.random.default_rng(5)
    shared = rng.standard_normal((400, 500)) ** 2
    a, b = 0.9 * shared + 0.2 * rng.random((400, 500)), shared + 0.2 * rng.random((400, 500))
    found = [ratio_of_means(x, y) for x, y in zip(a, b, strict=True)]
    assert np.mean([f.se for f in found]) == pytest.approx(np.std([f.value for f in found]), rel=0.1)


def test_random_subsets_are_averaged_and_fixed_ones_left(noise: np.ndarray) -> None:
    ones = [
        Score("01", "mask", "ncde", "random", 4, "d", "own", m, 0, m, 2, Ratio(m / 2, 0.1), 9) for m in (1, 3)
    ]
    fixed = Score("01", "mask", "ncde", "0/10", 4, "d", "own", 5, 0, 5, 2, Ratio(2.5, 0.1), 9)
    mean, same = pooled([*ones, fixed])
    assert (mean.mse, mean.ratio.value, mean.ratio.se) == (2.0, 1.0, pytest.approx(0.1))
    assert same is fixed
    assert over_participants([*ones, fixed]).value == pytest.approx(9 / 6)


def test_agreement_with_oneself_shifted_is_the_shift() -> None:
    values = np.random.default_rng(1).normal(0.6, 0.1, 500)
    answers = {"lsq": {"f": values}, "shifted": {"f": values + 0.05}, "same": {"f": values.copy()}}
    found = {one.estimator: one for one in agreements("01", answers, ["lsq"], ["f"], {"m": values > 0})}
    assert (found["same"].bias, found["same"].r2) == (0.0, 1.0)
    shifted = found["shifted"]
    assert shifted.bias == pytest.approx(0.05)
    assert shifted.difference_sd == pytest.approx(0.0, abs=1e-12)
    assert shifted.correlation == pytest.approx(1.0)
    assert shifted.r2 == pytest.approx(1 - 0.05**2 / values.var())
    assert shifted.mean - shifted.against_mean == pytest.approx(0.05)


def test_shares_of_determined_voxels_are_those_of_the_voxels_judged(noise: np.ndarray) -> None:
    gap, known = noise[1].copy(), np.arange(COUNT) >= 100
    gap[:50] = np.nan
    answers = {"lsq": {"d": noise[0]}, "ncde": {"d": gap}}
    told = {"lsq": {label: {"d": noise[2]} for label in answers}}
    regions = {"mask": np.ones(COUNT, dtype=bool), "half": np.arange(COUNT) < 150}
    found = compare("01", SUBSET, answers, told, "lsq", ["d"], regions, {"lsq": {"d": known}})
    shares = {(one.estimator, one.region): one.determined for one in found}
    assert shares["lsq", "mask"] == pytest.approx((COUNT - 100) / (COUNT - 50))
    assert shares["lsq", "half"] == 0.5
    assert np.isnan(shares["ncde", "mask"])
    agreed = agreements("01", answers, ["lsq"], ["d"], regions, {"lsq": {"d": known}})
    halves = [(one.determined, one.against_determined) for one in agreed if one.region == "half"]
    np.testing.assert_equal(halves, [(np.nan, 0.5)])
