"""The statistics and designs of the benchmark on the design of Kuppens et al."""

from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _benchmarks_importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_standard_error_of_a_ratio_is_the_spread_over_repetitions():
    from kuppens.stats import ratio_of_means

    rng = np.random.default_rng(5)
    shared = rng.standard_normal((400, 500)) ** 2
    a, b = 0.9 * shared + 0.2 * rng.random((400, 500)), shared + 0.2 * rng.random((400, 500))
    found = [ratio_of_means(x, y) for x, y in zip(a, b, strict=True)]
    spread = np.std([f.value for f in found])
    assert np.mean([f.se for f in found]) == pytest.approx(spread, rel=0.1)


def test_protocols_that_differ_widen_the_standard_error():
    from kuppens.stats import ratio_of_means

    rng = np.random.default_rng(6)
    protocol = np.repeat(np.arange(20), 100)
    a, b = rng.random(2000) * (1 + protocol % 2), rng.random(2000)
    assert ratio_of_means(a, b, protocol.astype(str)).se > 2 * ratio_of_means(a, b).se


def test_a_tie_within_the_standard_error_is_not_above():
    from kuppens.stats import Ratio

    assert not Ratio(1.01, 0.02).above(1.0)
    assert Ratio(1.03, 0.02).above(1.0)


@pytest.mark.parametrize("model", ["vfa", "ivim", "etofts"])
def test_curves_are_the_same_every_time_and_lie_in_the_limits(model):
    from kuppens.cells import TABLE1, Cell, simulate
    from kuppens.designs import table3

    cell = Cell("fixed", "SNR 20", model, table3(model), (20.0,), 50, TABLE1[model])
    theta, signal, sigma, snr = simulate(cell)
    np.testing.assert_array_equal(simulate(cell)[1], signal)
    for row, (low, high) in zip(theta, TABLE1[model].values(), strict=False):
        assert row.min() >= low
        assert row.max() <= high
    assert np.all(snr == 20.0)
    assert np.ptp(sigma) > 0


def test_protocols_of_the_study_have_the_lengths_asked_for():
    from kuppens.designs import QUICK, variable

    for cell in variable(QUICK):
        assert cell.label.startswith(f"protocol {cell.protocol.n_measurements}-")


def test_the_middle_of_the_range_is_as_uncertain_as_the_prior():
    from kuppens.cells import TABLE1, Cell, measure
    from kuppens.designs import table3
    from kuppens.stats import accuracy

    cell = Cell("fixed", "SNR 100", "vfa", table3("vfa"), (100.0,), 200, TABLE1["vfa"])
    found = accuracy(measure(cell, None), "constant", "t1")
    assert found.spread == pytest.approx(1.0)
    assert found.mean == pytest.approx(2.9**2 / 12, rel=0.2)


def test_nothing_passes_that_was_not_measured():
    from kuppens.results import Results
    from kuppens.verdict import verdicts

    assert {v.passed for v in verdicts(Results())} == {None}
