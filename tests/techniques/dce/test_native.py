"""Units of native T1 and of the arterial input decide; clocks that differ are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import Acquisition, Unusable
from bids_qmri.bids.dataset import find
from bids_qmri.errors import InputError
from bids_qmri.estimation.preparation import Scan, prepare
from bids_qmri.estimators.base import get_estimator
from bids_qmri.physics.spoiled_gradient_echo import concentration_to_signal
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.dce.remarks import remarks_on
from bids_qmri.techniques.dce.settings import Aif, DceSettings


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = synth.new_dataset(tmp_path / "raw")
    synth.add_dce(root)
    return root


def _one(dataset: Path) -> Acquisition | Unusable:
    (found,) = (one for one in find(dataset, "01") if one.kind == "dce")
    return found


def _t1map(dataset: Path, **keys: Any) -> None:
    path = synth.write_image(dataset / "sub-01" / "anat" / "sub-01_T1map.nii.gz", synth.ramp(0.5, 2))
    synth.write_json(path.with_name("sub-01_T1map.json"), keys)


@pytest.mark.parametrize(
    ("keys", "unit"),
    [({"Units": "s"}, 1.0), ({"Units": "ms"}, 1e-3), ({"Units": "arbitrary"}, None), ({}, None)],
)
def test_the_unit_of_a_t1_map_is_read(dataset: Path, keys: dict[str, Any], unit: float | None) -> None:
    _t1map(dataset, **keys)
    found = _one(dataset)
    assert isinstance(found, Acquisition)
    assert found.settings.t10_unit == unit


@pytest.mark.parametrize("units", ["mmol/L", "percent", "mm^2/s"])
def test_a_map_of_something_else_is_refused(dataset: Path, units: str) -> None:
    _t1map(dataset, Units=units)
    found = _one(dataset)
    assert isinstance(found, Unusable)
    assert found.error.field == "Units"
    assert units in str(found.error)


def _r1map(dataset: Path, **keys: Any) -> None:
    path = synth.write_image(dataset / "sub-01" / "anat" / "sub-01_R1map.nii.gz", synth.ramp(0.5, 2))
    synth.write_json(path.with_name("sub-01_R1map.json"), keys)


@pytest.mark.parametrize(
    ("units", "unit"),
    [("1/s", 1.0), ("s^-1", 1.0), ("Hz", 1.0), ("1/ms", 1e-3), ("per second", 1.0), (None, None)],
)
def test_a_map_of_r1_gives_native_t1(dataset: Path, units: str | None, unit: float | None) -> None:
    _r1map(dataset, Units=units)
    found = _one(dataset)
    assert isinstance(found, Acquisition)
    assert (found.settings.t10_unit, found.settings.t10_is_rate) == (
        pytest.approx(unit) if unit else None,
        True,
    )
    assert any("sub-01_R1map.nii.gz: holds R1" in note for note in found.notes)


def test_a_t1map_that_holds_rates_by_its_unit_is_inverted_too(dataset: Path) -> None:
    _t1map(dataset, Units="1/s")
    found = _one(dataset)
    assert isinstance(found, Acquisition)
    assert found.settings.t10_is_rate
    assert any("sub-01_T1map.nii.gz: holds R1" in note for note in found.notes)


def test_a_map_of_t1_is_taken_before_one_of_r1(dataset: Path) -> None:
    _t1map(dataset, Units="s")
    _r1map(dataset, Units="1/s")
    found = _one(dataset)
    assert isinstance(found, Acquisition)
    assert not found.settings.t10_is_rate


def test_a_map_of_r1_in_a_unit_of_time_is_refused(dataset: Path) -> None:
    _r1map(dataset, Units="s")
    found = _one(dataset)
    assert isinstance(found, Unusable)
    assert (found.error.field, "'s'" in found.error.seen) == ("Units", True)


@pytest.mark.parametrize(("agent", "said"), [("Gadovist", True), ("NONE", False)])
def test_native_t1_of_images_with_contrast_agent_is_a_warning(dataset: Path, agent: str, said: bool) -> None:
    synth.add_vfa(dataset, metadata={"ContrastBolusAgent": agent})
    found = _one(dataset)
    assert isinstance(found, Acquisition)
    assert any("no native T1" in note for note in found.notes) is said


TIME = 5.0 * np.arange(60.0)
FINE = np.arange(0.0, 300.0)


def _prepared(t1: float, unit: float | None, rate: bool = False) -> Any:
    aif = Aif("parker")
    settings = DceSettings(TIME, 0.2, 0.005, 4.5, 0.42, 5, aif, None, t10_unit=unit, t10_is_rate=rate)
    curve = 100.0 + 50.0 * (TIME > 25)
    files = {"t10": Path("sub-01_T1map.nii.gz")}
    scan = Scan(None, settings, np.ones(4, bool), {"t10": np.full(4, t1)}, {}, files, lambda: curve)
    return prepare(EXTENDED_TOFTS, get_estimator("etofts", "lsq"), scan)


def test_concentrations_do_not_depend_on_the_unit_of_t1() -> None:
    signal = np.tile(100.0 + 50.0 * (TIME > 25), (4, 1))
    stated = ((1.2, 1.0), (1200.0, 1e-3), (1 / 1.2, 1.0, True), (1 / 1200.0, 1e-3, True))
    silent = ((1.2, None), (1200.0, None), (1 / 1.2, None, True))
    found = [_prepared(*one) for one in (*stated, *silent)]
    curves = [how.convert(signal, np.arange(4))[0] for how in found]
    for curve in curves[1:]:
        np.testing.assert_allclose(curve, curves[0])
    noted = [any("no unit is stated" in note for note in how.notes) for how in found]
    assert noted == [False] * len(stated) + [True] * len(silent)


@pytest.mark.parametrize(("t1", "unit"), [(1200.0, 1.0), (1.2, 1e-3), (1e5, None)])
def test_a_t1_that_no_tissue_has_is_refused(t1: float, unit: float | None) -> None:
    with pytest.raises(InputError, match="median T1"):
        _prepared(t1, unit)


def _aif(dataset: Path, at: np.ndarray, values: np.ndarray, **units: str) -> Acquisition | Unusable:
    _t1map(dataset, Units="s")
    table = synth.add_aif(dataset, "sub-01", at, values)
    described = {"ConcentrationType": "plasma"} | {key: {"Units": unit} for key, unit in units.items()}
    synth.write_json(table.with_suffix(".json"), described)
    return _one(dataset)


@pytest.mark.parametrize(
    ("time", "concentration", "units"),
    [
        (1.0, 1.0, {"time": "s", "concentration": "mM"}),
        (1e-3, 1.0, {"time": "ms", "concentration": "mmol/L"}),
        (60.0, 1e3, {"time": "min", "concentration": "mol/L"}),
        (1.0, 1e-3, {"time": "seconds", "concentration": "umol/L"}),
    ],
)
def test_units_of_an_input_are_used(
    dataset: Path, time: float, concentration: float, units: dict[str, str]
) -> None:
    truth = synth.arterial_input(FINE)
    found = _aif(dataset, FINE / time, truth / concentration, **units)
    assert isinstance(found, Acquisition), found
    aif = found.settings.aif
    np.testing.assert_allclose(aif.time, FINE, atol=0.04)
    np.testing.assert_allclose(aif.plasma, truth, atol=2e-3)


def test_units_that_are_missing_are_a_warning(dataset: Path) -> None:
    found = _aif(dataset, FINE, synth.arterial_input(FINE))
    assert isinstance(found, Acquisition)
    assert sum("Units: is missing" in note for note in found.notes) == 2


@pytest.mark.parametrize(
    ("time", "fix"),
    [(FINE * 1000, "divide by 1000"), (FINE / 60, "multiply by 60"), (FINE + 36000, "subtract")],
)
def test_an_input_of_another_clock_is_refused(dataset: Path, time: np.ndarray, fix: str) -> None:
    found = _aif(dataset, time, synth.arterial_input(FINE))
    assert isinstance(found, Unusable)
    assert (found.error.field, fix in found.error.fix) == ("time", True)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (synth.arterial_input(FINE) + 1.5, "an offset is left in it"),
        (synth.arterial_input(FINE) - 2.0, "falls to -2"),
        (synth.arterial_input(FINE + 45), "the upslope is missing"),
    ],
)
def test_an_input_that_is_not_zero_before_the_bolus_is_a_warning(
    dataset: Path, values: np.ndarray, words: str
) -> None:
    found = _aif(dataset, FINE, values, time="s", concentration="mmol/L")
    assert isinstance(found, Acquisition)
    assert any(words in note and "fix" in note for note in found.notes)


@pytest.mark.parametrize(
    ("later", "words"), [(0.0, ""), (3.0, ""), (-20.0, "after the tissue"), (25.0, "takes 12 s")]
)
def test_an_input_that_does_not_go_with_the_tissue_is_named(later: float, words: str) -> None:
    """`later` is by how many s tissue follows the input."""
    rng = np.random.default_rng(1)
    plasma = synth.arterial_input(FINE)
    count = 60
    truth = np.array([rng.uniform(*r, count) for r in ((0.3, 1.0), (0.2, 0.4), (0.02, 0.05), (0.0, 0.0))])
    tissue = EXTENDED_TOFTS.signal(truth, DceProtocol(TIME, FINE + max(later, 0.0), plasma)).T
    played = {"flip_angle": 0.25, "repetition_time": 0.005, "relaxivity": 4.5}
    signal = concentration_to_signal(tissue, np.full(count, 100.0), np.full(count, 1.2), **played)
    signal += 0.5 * rng.standard_normal(signal.shape)
    aif = Aif("measured", FINE - min(later, 0.0), plasma)
    settings = DceSettings(TIME, 0.25, 0.005, 4.5, 0.42, 5, aif, 1.2)
    scan = Scan(None, settings, np.ones(count, bool), mean_curve=lambda: signal.mean(axis=0))
    how = prepare(EXTENDED_TOFTS, get_estimator("etofts", "lsq"), scan)
    said = remarks_on(EXTENDED_TOFTS, how, (signal, np.arange(count)))
    assert (words in said[0]) if words else said == ()
