"""Quality metrics: hand-checked numbers, and None where there is nothing to measure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_qmri.estimators.base import Status
from bids_qmri.outputs.tables import is_cmixf
from bids_qmri.qc.definitions import metric_definitions
from bids_qmri.qc.metrics import map_metrics

STATUS = np.array([0, 1, 1, 1, 2, 3, 4, 5, 1, 0], dtype=np.uint8)
T1 = np.array([0, 1.0, 2.0, 3.0, 4.0, 99.0, np.nan, 99.0, 5.0, 0])
MAPS = {"t1": T1, "m0": np.where(STATUS == 0, 0.0, 10.0)}
RESIDUAL = np.where(STATUS == 0, 0.0, 0.5)


def metrics(status: np.ndarray = STATUS, **changes: object) -> dict[str, float | None]:
    fields = {"maps": MAPS, "sd": {"t1": T1 / 10}, "residual": RESIDUAL, "amplitude": "m0"} | changes
    return map_metrics(status=status, **fields)  # type: ignore[arg-type]


def test_voxels_outside_the_mask_do_not_count() -> None:
    assert metrics()["n_voxels"] == 8
    assert metrics()["fraction_ok"] == 4 / 8


def test_fractions_of_all_statuses_sum_to_one() -> None:
    found = metrics()
    assert sum(found[f"fraction_{code.name.lower()}"] or 0 for code in Status if code) == pytest.approx(1)


def test_statistics_use_estimated_voxels_and_those_at_a_bound() -> None:
    found = metrics()
    assert found["t1_median"] == 3.0
    assert found["t1_iqr"] == 2.0
    assert found["t1_p05"] == pytest.approx(1.2)
    assert found["t1_p95"] == pytest.approx(4.8)
    assert found["t1_sd_median"] == pytest.approx(0.3)


def test_the_residual_is_compared_with_the_amplitude() -> None:
    assert metrics()["nrmse"] == pytest.approx(0.05)


def test_what_cannot_be_computed_is_none_not_zero() -> None:
    assert metrics(sd={})["t1_sd_median"] is None
    assert metrics(maps={"t1": T1})["nrmse"] is None
    assert metrics(amplitude=None)["nrmse"] is None
    assert metrics(residual=np.empty(0))["rmse_median"] is None
    assert metrics(maps=MAPS | {"m0": np.zeros(10)})["nrmse"] is None


def test_a_fit_without_any_estimate_has_counts_but_no_statistics() -> None:
    found = metrics(status=np.full(10, Status.UNUSABLE, dtype=np.uint8))
    assert found["n_unusable"] == 10
    assert found["t1_median"] is None


def test_an_empty_mask_has_no_fractions() -> None:
    found = metrics(status=np.zeros(10, dtype=np.uint8))
    assert found["n_voxels"] == 0
    assert found["fraction_ok"] is None


def test_every_metric_has_a_definition_with_a_unit_in_the_same_order() -> None:
    known = metric_definitions({"t1": "s", "m0": "arbitrary"}, "arbitrary", ("lsq",))
    found = metrics()
    assert [name for name in known if name in found] == list(found)
    assert known["t1_iqr"].units == "s"
    assert all(is_cmixf(metric.units) or metric.units == "arbitrary" for metric in known.values())
    assert all(metric.description.endswith(".") for metric in known.values())


@given(st.permutations(range(10)))
def test_the_order_of_voxels_does_not_matter(order: list[int]) -> None:
    shuffled = map_metrics(
        {name: values[order] for name, values in MAPS.items()},
        {"t1": T1[order] / 10},
        RESIDUAL[order],
        STATUS[order],
        amplitude="m0",
    )
    assert shuffled == metrics()


@given(st.floats(0.01, 100))
def test_statistics_scale_with_the_map(factor: float) -> None:
    scaled = metrics(maps={"t1": T1 * factor})
    assert scaled["t1_median"] == pytest.approx(3.0 * factor)
    assert scaled["t1_iqr"] == pytest.approx(2.0 * factor)


KNOWN = np.array([1, 0, 1, 1, 1, 1, 1, 1, 0, 0], dtype=np.uint8)
"""Not the first and the last estimate, 1 and 5."""


def test_statistics_of_a_map_are_over_the_voxels_in_which_the_data_determine_it() -> None:
    found = metrics(determined={"t1": KNOWN}, sd={"t1": T1 / 10})
    assert found["t1_determined"] == pytest.approx(3 / 5)
    assert (found["t1_median"], found["t1_iqr"]) == (3.0, 1.0)
    assert found["t1_sd_median"] == pytest.approx(0.3)
    assert found["t1_p95"] == pytest.approx(3.9)
    assert (found["m0_median"], found["m0_determined"]) == (10.0, None)


def test_fractions_of_voxels_are_over_all_with_an_estimate_determined_or_not() -> None:
    limits = {"t1": (1.0, 5.0)}
    whole = metrics(limits=limits)
    part = metrics(limits=limits, determined={"t1": KNOWN})
    for name in ("t1_at_bound", "rmse_median", "nrmse", "fraction_ok", "n_voxels"):
        assert part[name] == whole[name]


def test_where_nothing_is_determined_there_is_no_median_but_a_fraction_of_0() -> None:
    status = np.where(STATUS == Status.OK, Status.UNDETERMINED, STATUS)
    found = metrics(status=status, determined={"t1": np.zeros(10, dtype=bool)})
    assert (found["t1_determined"], found["t1_median"], found["t1_sd_median"]) == (0.0, None, None)
    assert (found["n_undetermined"], found["m0_median"]) == (4, 10.0)


def test_a_fraction_of_no_voxels_is_not_known() -> None:
    nothing = np.full(10, Status.UNUSABLE, dtype=np.uint8)
    assert metrics(status=nothing, determined={"t1": KNOWN})["t1_determined"] is None


def test_fractions_at_a_bound_count_either_limit_as_float32_stores_it() -> None:
    status = np.ones(4, dtype=np.uint8)
    d = np.array([0.003, 0.0001, 0.001, np.nan], dtype=np.float32)
    found = map_metrics({"d": d, "f": d}, {}, d, status, {"d": (0.0001, 0.003)})
    assert found["d_at_bound"] == pytest.approx(2 / 3)
    assert found["f_at_bound"] is None


def test_an_amplitude_without_upper_limit_is_at_its_bound_only_at_zero() -> None:
    found = map_metrics(
        {"s0": np.array([0.0, 5.0])}, {}, np.ones(2), np.ones(2, np.uint8), {"s0": (0, np.inf)}
    )
    assert found["s0_at_bound"] == 0.5
