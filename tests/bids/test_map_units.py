"""Units of maps and tables: every spelling decides, another quantity is refused, nothing is nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_qmri.bids.map_units import millimolar, seconds, share_of_nominal
from bids_qmri.bids.sidecar import Sidecar
from bids_qmri.errors import InputError


def _of(**keys: Any) -> Sidecar:
    return Sidecar(Path("x_TB1map.nii.gz"), keys, {}, (Path("x_TB1map.json"),))


@pytest.mark.parametrize(
    ("units", "worth"),
    [
        ("percent", 0.01),
        ("p.u.", 0.01),
        ("%", 0.01),
        ("percent of nominal flip angle", 0.01),
        ("1", 1.0),
        ("factor", 1.0),
        ("relative to nominal", 1.0),
        ("degree", 1 / 60),
        ("degrees", 1 / 60),
        ("deg", 1 / 60),
        ("°", 1 / 60),
        ("rad", 180 / np.pi / 60),
        ("degree*10", 0.1 / 60),
        ("0.1 deg", 0.1 / 60),
    ],
)
def test_the_unit_of_a_transmit_field_decides(units: str, worth: float) -> None:
    found = share_of_nominal(_of(Units=units, FlipAngle=60))
    assert found is not None
    assert found[0] == pytest.approx(worth)


@pytest.mark.parametrize("units", ["arbitrary", "a.u.", "", "n/a", "something of my own"])
def test_no_unit_is_none(units: str) -> None:
    assert share_of_nominal(_of(Units=units, FlipAngle=60)) is None


@pytest.mark.parametrize(
    ("keys", "field"),
    [({"Units": "uT"}, "Units"), ({"Units": "Hz"}, "Units"), ({"units": "degree"}, "FlipAngle")],
)
def test_another_quantity_and_an_angle_of_nothing_are_refused(keys: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as caught:
        share_of_nominal(_of(**keys))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("text", "worth"),
    [("s", 1), ("Seconds", 1), ("ms", 1e-3), ("msec", 1e-3), ("min", 60), ("minutes", 60), ("1/s", None)],
)
def test_units_of_time(text: str, worth: float | None) -> None:
    assert seconds(text) == worth


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        *(("mM", 1), ("mmol/L", 1), ("mmol per litre", 1), ("mol/m^3", 1), ("mmol.L-1", 1)),
        *(("M", 1e3), ("mol/L", 1e3), ("umol/L", 1e-3), ("µM", 1e-3), ("1/s", None), ("a.u.", None)),
    ],
)
def test_units_of_concentration(text: str, worth: float | None) -> None:
    assert millimolar(text) == worth
