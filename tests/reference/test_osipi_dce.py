"""DCE against the tables of OSIPI's code collection, within its tolerances, and against one patient."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bids_qmri.estimators.base import FitResult, Status
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.physics.arterial_input import georgiou, parker
from bids_qmri.physics.spoiled_gradient_echo import signal_to_concentration
from bids_qmri.techniques.dce.bolus import bolus_arrival
from bids_qmri.techniques.dce.model import EXTENDED_TOFTS, TOFTS
from bids_qmri.techniques.dce.protocol import DceProtocol
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.techniques.vfa.protocol import VfaProtocol

Curve = Callable[[np.ndarray], np.ndarray]
TOLERANCE = {"ktrans": (0.005, 0.1), "ve": (0.05, 0.0), "vp": (0.025, 0.0)}


def rows(shared_data: Path, name: str) -> list[dict[str, str]]:
    with (shared_data / "reference" / "dce" / name).open(encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def numbers(row: dict[str, str], key: str) -> np.ndarray:
    return np.array(row[key].split(), dtype=float)


def passes(result: FitResult, row: dict[str, str], truth: dict[str, str]) -> bool:
    """Say whether every parameter of the one voxel is within its absolute plus relative tolerance."""
    errors = {name: abs(result.maps[name][0] - float(row[key])) for name, key in truth.items()}
    limits = {name: TOLERANCE[name][0] + TOLERANCE[name][1] * float(row[key]) for name, key in truth.items()}
    return all(errors[name] <= limits[name] for name in truth)


def test_extended_tofts_digital_object_15_of_15(shared_data: Path) -> None:
    passed = 0
    table = rows(shared_data, "osipi_dce_DRO_data_extended_tofts.csv")
    for row in table:
        protocol = DceProtocol(numbers(row, "t"), numbers(row, "ta"), numbers(row, "ca"))
        result = Lsq().fit(EXTENDED_TOFTS, numbers(row, "C")[None], protocol)
        passed += passes(result, row, {"ktrans": "Ktrans", "ve": "ve", "vp": "vp"})
    assert (passed, len(table)) == (15, 15)


def test_tofts_digital_object_25_of_25(shared_data: Path) -> None:
    passed = 0
    table = rows(shared_data, "osipi_dce_DRO_data_tofts.csv")
    for row in table:
        # every second frame, as the collection's own tests do
        protocol = DceProtocol(numbers(row, "t")[::2], numbers(row, "ta")[::2], numbers(row, "ca")[::2])
        result = Lsq().fit(TOFTS, numbers(row, "C")[None, ::2], protocol)
        passed += passes(result, row, {"ktrans": "Ktrans", "ve": "ve"})
    assert (passed, len(table)) == (25, 25)


def test_signal_to_concentration_5_of_5(shared_data: Path) -> None:
    table = rows(shared_data, "osipi_SI2Conc_data.csv")
    assert len(table) == 5
    for row in table:
        result = signal_to_concentration(
            numbers(row, "s")[None],
            slice(1, int(row["numbaselinepts"])),
            float(row["T1base"]),
            flip_angle=np.deg2rad(float(row["FA"])),
            repetition_time=float(row["TR"]),
            relaxivity=float(row["r1"]),
        )
        np.testing.assert_allclose(result[0], numbers(row, "conc"), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "curve"),
    [
        ("osipi_ParkerAIF_ref.csv", parker),
        ("osipi_ParkerAIF_ref_with_delay.csv", parker),
        ("osipi_GeorgiouAIF_ref.csv", georgiou),
    ],
)
def test_population_inputs_equal_their_tables(shared_data: Path, name: str, curve: Curve) -> None:
    table = rows(shared_data, name)
    # times in min, delays in s; rounded because 0.025 min - 1.5 s is not quite zero
    since = np.round([60 * float(row["time"]) - float(row.get("delay", 0)) for row in table], 9)
    np.testing.assert_allclose(curve(since), [float(row["Cb"]) for row in table], rtol=0.01, atol=1e-4)


def measured_t1(folder: Path, mask: np.ndarray) -> np.ndarray:
    """Return the T1 in s, (V,), of sub-vfadce's ten flip angles of 2 to 20 degrees."""
    nib = pytest.importorskip("nibabel")
    files = sorted((folder / "anat").glob("*_VFA.nii.gz"))
    signal = np.stack([nib.load(file).get_fdata()[mask] for file in files], axis=1)
    protocol = VfaProtocol(np.deg2rad(2.0 * np.arange(1, 11)), 0.007939)
    return Lsq().fit(VFA, signal, protocol).maps["t1"]


@pytest.fixture(scope="module")
def patient(shared_data: Path) -> tuple[np.ndarray, DceProtocol]:
    """Return concentrations, (368, 25), and protocol of sub-vfadce's enhancing region."""
    nib = pytest.importorskip("nibabel")
    folder = shared_data / "bids-real" / "sub-vfadce"
    rois = shared_data / "bids-real" / "derivatives" / "rois" / "sub-vfadce" / "anat"
    mask = nib.load(rois / "sub-vfadce_desc-enhancing_mask.nii.gz").get_fdata() > 0
    signal = nib.load(folder / "perf" / "sub-vfadce_dce.nii.gz").get_fdata()[mask]
    sequence = {"flip_angle": np.deg2rad(20.0), "repetition_time": 0.007939, "relaxivity": 4.5}
    curves = signal_to_concentration(signal, slice(0, 3), measured_t1(folder, mask), **sequence)
    aif = np.loadtxt(folder / "perf" / "sub-vfadce_aif.tsv", skiprows=1).T
    return curves, DceProtocol(16.43 * np.arange(25), *aif)


def test_patient_voxels_without_concentration_are_flagged(patient: tuple[np.ndarray, DceProtocol]) -> None:
    result = Lsq().fit(EXTENDED_TOFTS, *patient)
    assert np.count_nonzero(result.status == Status.UNUSABLE) == 2
    assert np.count_nonzero(np.isnan(result.maps["ktrans"])) == 2


@pytest.mark.parametrize(
    ("name", "quartiles", "tolerance"),
    [
        ("ktrans", [0.065, 0.102, 0.150], 0.1),
        ("ve", [0.21, 0.28, 0.42], 0.1),
        ("vp", [0.013, 0.046, 0.067], 0.15),
    ],
)
def test_patient_quartiles(
    patient: tuple[np.ndarray, DceProtocol], name: str, quartiles: list[float], tolerance: float
) -> None:
    measured = np.nanpercentile(Lsq().fit(EXTENDED_TOFTS, *patient).maps[name], [25, 50, 75])
    np.testing.assert_allclose(measured, quartiles, rtol=tolerance)


def test_patient_bolus_arrives_after_the_stated_baseline(patient: tuple[np.ndarray, DceProtocol]) -> None:
    # three baseline frames are stated, the fourth is still flat in tissue
    assert bolus_arrival(np.nanmean(patient[0], axis=0)) in {2, 3}
