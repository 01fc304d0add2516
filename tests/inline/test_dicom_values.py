"""Whole numbers of 12 bits give the values back within half a step, in a unit that others can read."""

from __future__ import annotations

import numpy as np
import pytest

from bids_qmri.catalogue import model_names
from bids_qmri.errors import InputError
from bids_qmri.inline.dicom_values import (
    DCM_QUANTITIES,
    MapVolume,
    quantity_code,
    stored_values,
    unit_code,
)
from bids_qmri.outputs.tables import output_table


def volume(values, unit="1", window=(0.0, 1.0), **more) -> MapVolume:
    return MapVolume("ndi", "NDI", unit, "", window, np.asarray(values, dtype=np.float32), **more)


def restored(found: MapVolume) -> np.ndarray:
    stored = stored_values(found)
    assert stored.numbers.max() <= 4095
    return stored.numbers * stored.slope + stored.intercept


@pytest.mark.parametrize(
    ("unit", "high", "slope"),
    [
        *(("1", 1, 1e-3), ("1", 0.2, 1e-3), ("1", 5000, 2), ("s", 3, 1e-3), ("s", 30, 1e-2)),
        *(("mm^2/s", 0.003, 1e-6), ("mm^2/s", 0.15, 1e-4), ("1/min", 0.5, 1e-3), ("arbitrary", 2.5e6, 1e3)),
    ],
)
def test_scale_is_a_thousand_for_fractions_and_the_finest_power_of_ten_otherwise(unit, high, slope) -> None:
    assert stored_values(volume([0, 0.5 * high, high], unit, (0, high))).slope == pytest.approx(slope)


@pytest.mark.parametrize(("largest", "slope"), [(4.095, 1e-3), (4.1, 2e-3), (9.9, 5e-3), (30, 1e-2)])
def test_long_t1_widens_the_step_instead_of_being_cut(largest: float, slope: float) -> None:
    found = volume([0.0, 1.234, largest], "s", (0, 3))
    assert stored_values(found).slope == pytest.approx(slope)
    np.testing.assert_allclose(restored(found), found.values, atol=0.501 * slope)


@pytest.mark.parametrize("low", [0.0, -0.4, -3.0, -1e5])
@pytest.mark.parametrize("high", [1e-7, 0.8, 40.95, 3e4])
def test_every_finite_estimate_comes_back_within_half_a_step(low: float, high: float) -> None:
    values = np.random.default_rng(1).uniform(low, high, 500)
    found = volume([low, 0.0, high, *values], "arbitrary", None)
    step = stored_values(found).slope
    assert step <= 2.6 * (high - low) / 4095
    np.testing.assert_allclose(restored(found), found.values, atol=0.501 * step)


def test_zero_is_exact_even_beside_negative_values() -> None:
    assert restored(volume([-0.3333, 0.0, 0.9], window=(0, 1)))[1] == 0


def test_what_could_not_be_estimated_is_zero_and_infinity_the_largest_number() -> None:
    np.testing.assert_allclose(restored(volume([np.nan, np.inf, 0.5])), [0, 4.095, 0.5])


def test_endless_standard_deviations_do_not_coarsen_the_others() -> None:
    found = volume([0.013, 1e9, np.inf], window=(0, 0.25), deviation=True)
    np.testing.assert_allclose(restored(found), [0.013, 4.095, 4.095])
    assert found.label == "ndiStd"


def test_standard_deviations_without_a_window_leave_out_their_longest_hundredth() -> None:
    values = np.r_[np.linspace(1, 100, 1000), 1e9]
    assert stored_values(volume(values, "arbitrary", None, deviation=True)).slope <= 0.1


def test_codes_are_stored_as_they_are() -> None:
    codes = MapVolume("status", "status", "1", "", (0, 5), np.arange(6, dtype=np.uint8))
    stored = stored_values(codes)
    assert (stored.slope, stored.intercept, stored.numbers.tolist()) == (1, 0, [0, 1, 2, 3, 4, 5])


def test_an_empty_map_has_a_scale() -> None:
    assert restored(volume([0, 0, np.nan], "arbitrary", None)).tolist() == [0, 0, 0]


def test_every_unit_of_every_map_has_a_code() -> None:
    tables = [output_table(model) for model in model_names()]
    units = {row.unit for table in tables for row in (*table.maps, table.rmse, table.status)}
    assert all(unit_code(unit)[0] for unit in units)
    with pytest.raises(InputError, match="furlong"):
        unit_code("furlong")


@pytest.mark.parametrize(
    ("unit", "code"),
    [("1/s", "/s"), ("ms", "ms"), ("1/mm^2", "/mm2"), ("L/mmol/s", "L/mmol/s"), ("mm^2*s^-1", "mm2.s-1")],
)
def test_units_without_a_row_are_spelled_as_the_code_spells_them(unit: str, code: str) -> None:
    assert unit_code(unit) == (code, unit)


def test_codes_are_those_of_the_controlled_terminology() -> None:
    codes = pytest.importorskip("pydicom.sr.codedict", reason="DICOM needs the extra dicom").codes
    known = {code.value: code.meaning for code in (getattr(codes.DCM, name) for name in codes.DCM.dir())}
    for code, meaning in DCM_QUANTITIES.values():
        assert known[code] == meaning
    assert quantity_code(volume([0.0])) == ("ndi", "99BIDSQMRI", "NDI")
