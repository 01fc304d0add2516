"""OSIPI's tables of VFA T1 (doi:10.1002/mrm.29826), with OSIPI's tolerance: R1 within 0.05 1/s + 5 %."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.techniques.vfa.model import VFA
from bids_qmri.techniques.vfa.protocol import VfaProtocol

TABLES = [("osipi_t1_brain_data.csv", 76, 1.0, 1e-4), ("osipi_t1_quiba_data.csv", 45, 1000.0, 0.04)]
"""File, cases, reference R1 in 1/s per unit of the table, largest relative deviation expected."""


@pytest.mark.parametrize(("name", "cases", "unit", "largest"), TABLES)
def test_rates_agree_with_osipi(
    shared_data: Path, name: str, cases: int, unit: float, largest: float
) -> None:
    with (shared_data / "reference" / "vfa" / name).open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == cases
    for row in rows:
        flips, times, signal = (np.array(row[key].split(), dtype=float) for key in ("FA", "TR", "s"))
        result = Lsq().fit(VFA, signal[None], VfaProtocol(np.deg2rad(flips), times))
        reference = unit * float(row["R1"])
        deviation = abs(1 / result.maps["t1"][0] - reference)
        assert deviation <= 0.05 + 0.05 * reference, row["label"]
        assert deviation <= largest * reference, row["label"]


def test_single_voxel_agrees_with_another_package(shared_data: Path) -> None:
    with (shared_data / "reference" / "vfa" / "sepal_single_voxel.csv").open(newline="") as table:
        (row,) = [r for r in csv.DictReader(table) if r["set"] == "sepal_spgr"]
    flips, signal = (np.array(row[key].split(), dtype=float) for key in ("flip_angles_deg", "signal"))
    nominal = VfaProtocol(np.deg2rad(flips), float(row["tr_s"]))
    result = Lsq().fit(VFA, signal[None], nominal)
    assert result.maps["t1"][0] == pytest.approx(float(row["t1_nonlinear_s"]), rel=1e-3)
    corrected = Lsq().fit(VFA, signal[None], nominal.with_b1([float(row["b1_factor_hifi"])]))
    assert corrected.maps["t1"][0] == pytest.approx(float(row["t1_hifi_s"]), rel=0.01)
