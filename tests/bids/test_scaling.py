"""Display scaling of images that are fitted together: undone where it is told, never twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synth

from bids_qmri.bids.nifti import Header, read_header
from bids_qmri.bids.scaling import common_scale
from bids_qmri.bids.sidecar import Sidecar

SCALES, RESCALES = np.array([6.7e-4, 5.2e-4]), np.array([1.695, 1.856])


@pytest.fixture
def header(tmp_path: Path) -> Header:
    return read_header(synth.write_image(tmp_path / "x.nii.gz", np.ones(synth.SHAPE)))


def _run(
    header: Header, slopes: tuple[float, float] = (1.0, 1.0), kind: str = "f4", **keys: Any
) -> tuple[np.ndarray | None, list[str]]:
    notes: list[str] = []
    sidecars = [
        Sidecar(
            Path(f"{i}.nii.gz"),
            {k: v[i] if isinstance(v, tuple | np.ndarray) else v for k, v in keys.items()},
            {},
            (),
        )
        for i in (0, 1)
    ]
    headers = [replace(header, slope=slope, dtype=np.dtype(kind)) for slope in slopes]
    return common_scale(sidecars, headers, notes), notes


PHILIPS: dict[str, Any] = {"PhilipsScaleSlope": tuple(SCALES), "PhilipsRescaleSlope": tuple(RESCALES)}


def _ratio(scale: np.ndarray | None) -> float:
    assert scale is not None
    return float(scale[1] / scale[0])


def test_displayed_values_are_divided_by_both_slopes(header: Header) -> None:
    scale, notes = _run(header, **PHILIPS, UsePhilipsFloatNotDisplayScaling=0)
    product = SCALES * RESCALES
    assert _ratio(scale) == pytest.approx(product[0] / product[1])
    assert "brought to one scale" in notes[0]


@pytest.mark.parametrize("flag", [1, True, "1", "true"])
def test_what_the_converter_did_is_not_done_again(header: Header, flag: Any) -> None:
    assert _run(header, **PHILIPS, UsePhilipsFloatNotDisplayScaling=flag) == (None, [])


def test_an_untold_scale_is_a_warning(header: Header) -> None:
    scale, notes = _run(header, **PHILIPS)
    assert scale is None
    assert "UsePhilipsFloatNotDisplayScaling is missing" in notes[0]


def test_headers_tell_where_the_flag_is_missing(header: Header) -> None:
    assert _run(header, slopes=tuple(1 / SCALES), kind="i2", **PHILIPS) == (None, [])
    scale, _ = _run(header, slopes=tuple(RESCALES), kind="i2", **PHILIPS)
    assert _ratio(scale) == pytest.approx((SCALES * RESCALES)[0] / (SCALES * RESCALES)[1])


def test_whole_numbers_that_lost_their_slope_are_a_warning(header: Header) -> None:
    scale, notes = _run(header, kind="i2", **PHILIPS, UsePhilipsFloatNotDisplayScaling=0)
    assert scale is None
    assert "not told" in notes[0]


def test_equal_scales_say_nothing(header: Header) -> None:
    assert _run(header, PhilipsScaleSlope=5e-4, PhilipsRescaleSlope=1.2) == (None, [])


def test_a_slope_of_dicom_is_applied_once(header: Header) -> None:
    scale, notes = _run(header, kind="i2", RescaleSlope=(2.0, 3.0))
    assert _ratio(scale) == pytest.approx(1.5)
    assert "RescaleSlope is 2, 3" in notes[0]
    assert _run(header, slopes=(2.0, 3.0), kind="i2", RescaleSlope=(2.0, 3.0)) == (None, [])
    scale, notes = _run(header, RescaleSlope=(2.0, 3.0))
    assert scale is None
    assert "RescaleSlope: differs" in notes[0]


@pytest.mark.parametrize("key", ["PhilipsRWVSlope", "PhilipsRescaleSlope"])
def test_half_of_what_is_needed_is_a_warning(header: Header, key: str) -> None:
    scale, notes = _run(header, **{key: (1.7, 1.5)})
    assert scale is None
    assert f"{key}: differs" in notes[0]
