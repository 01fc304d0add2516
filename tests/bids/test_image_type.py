"""ImageType tells magnitudes from phase, real parts and computed maps, as the makers spell them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bids_qmri.bids.image_type import derived_note, is_trace, why_not_measured
from bids_qmri.bids.sidecar import Sidecar


def _of(value: Any, key: str = "ImageType") -> Sidecar:
    image = Path("sub-01_x.nii.gz")
    return Sidecar(image, {key: value}, {key: image.with_suffix(".json")}, ())


@pytest.mark.parametrize(
    "value",
    [
        ["ORIGINAL", "PRIMARY", "M", "ND", "NORM", "DIS2D"],
        ["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"],
        ["ORIGINAL", "PRIMARY", "M", "VFRAME", "MAGNITUDE"],
        ["ORIGINAL", "PRIMARY", "OTHER"],
        ["ORIGINAL", "PRIMARY", "T1", "NONE"],
        ["DERIVED", "PRIMARY", "M", "ND", "FIL"],
        ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW", "ND"],
        ["MIXED", "PRIMARY", "DIFFUSION", "NONE"],
        "ORIGINAL\\PRIMARY\\M\\ND",
    ],
)
def test_magnitudes_pass_in_silence(value: Any) -> None:
    assert why_not_measured(_of(value)) is None
    assert derived_note(_of(value)) == ""


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("ImageType", ["ORIGINAL", "PRIMARY", "P", "NONE", "PHASE"], "phase"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"], "phase"),
        ("ImageType", "ORIGINAL\\PRIMARY\\P\\ND", "phase"),
        ("ImageType", ["original", "primary", "p_ffe"], "phase"),
        ("ImageTypeText", ["ORIGINAL", "PRIMARY", "P", "ND"], "phase"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "R_FFE", "R", "FFE"], "real"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "I", "ND"], "imaginary"),
        ("ComplexImageComponent", "PHASE", "phase"),
        ("ComplexImageComponent", "MIXED", "mixed"),
        ("ImageType", ["DERIVED", "PRIMARY", "DIFFUSION", "ADC", "ND", "NORM"], r"computed image \(ADC\)"),
        ("ImageType", ["DERIVED", "PRIMARY", "DIFFUSION", "CALC_BVALUE"], "computed"),
        ("ImageType", ["DERIVED", "PRIMARY", "T1 MAP", "T1"], "computed"),
        ("ImageType", ["DERIVED", "SECONDARY", "OTHER", "SUB"], "computed"),
        ("ImageType", ["DERIVED", "PRIMARY", "MIP", "M"], "computed"),
    ],
)
def test_what_is_no_magnitude_is_named_with_its_key(key: str, value: Any, what: str) -> None:
    error = why_not_measured(_of(value, key))
    assert error is not None
    assert error.field == key
    assert str(error.file).endswith(".json")
    assert re.search(what, error.seen)


def test_a_mean_over_directions_is_a_trace() -> None:
    assert is_trace(_of(["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW", "ND"]))
    assert not is_trace(_of(["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"]))


def test_what_was_made_in_an_untold_way_is_said() -> None:
    assert "DERIVED/SECONDARY" in derived_note(_of(["DERIVED", "SECONDARY"]))
