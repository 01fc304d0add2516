"""What sidecars say of the sequence: spoiled by any maker's name, refused where a key says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bids_qmri.bids.sequence import NoModelError, require_spoiled
from bids_qmri.bids.sidecar import Sidecar


def _notes(**keys: Any) -> list[str]:
    notes: list[str] = []
    image = Path("sub-01_flip-1_VFA.nii.gz")
    require_spoiled(Sidecar(image, keys, {}, (Path("sub-01_flip-1_VFA.json"),)), notes)
    return notes


NAMES = """
SPGR, VIBE, FLASH, T1-FFE, T1FFE, THRIVE, e-THRIVE, LAVA, LAVA-Flex, TFE, T1-TFE, TWIST, FSPGR, CAPR, DISCO,
eTHRIVE, 3D-GRE, fl3d1r, Gradient Recalled, QUICK 3D, GRASP, TRICKS, EFGRE3D, RF-spoiled FE, twist-VIBE,
Spoiled Gradient Echo, FE3D, 4D-TRAK, ME-GRE
"""


@pytest.mark.parametrize("name", [name.strip() for name in NAMES.split(",")])
def test_names_of_makers_are_spoiled_in_silence(name: str) -> None:
    assert _notes(PulseSequenceType=name) == []


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"PulseSequenceType": "TrueFISP"}, "balanced"),
        ({"PulseSequenceType": "bSSFP"}, "balanced"),
        ({"PulseSequenceType": "FIESTA-C"}, "balanced"),
        ({"PulseSequenceType": "B-FFE"}, "balanced"),
        ({"SequenceName": "*tfi3d1"}, "balanced"),
        ({"PulseSequenceType": "Gradient Echo EPI"}, "echo-planar"),
        ({"PulseSequenceType": "PRESTO"}, "echo-planar"),
        ({"ScanningSequence": "EP\\GR"}, "echo-planar"),
        ({"ScanningSequence": ["EP", "GR"], "PulseSequenceType": "GRE"}, "echo-planar"),
        ({"SequenceName": "epfid2d1_64"}, "echo-planar"),
        ({"EchoPlanarPulseSequence": "YES"}, "echo-planar"),
        ({"PulseSequenceType": "MPRAGE"}, "inversion"),
        ({"PulseSequenceType": "IR-FSPGR"}, "inversion"),
        ({"PulseSequenceType": "SPGR", "InversionTime": 0.9}, "inversion"),
        ({"PulseSequenceType": "GRE", "ScanningSequence": "GR_IR"}, "inversion"),
        ({"ScanningSequence": "GR", "SequenceVariant": ["SK", "SP", "MP"]}, "preparation"),
        ({"PulseSequenceType": "saturation recovery turboFLASH"}, "saturation"),
        ({"PulseSequenceType": "SR-TFL"}, "saturation"),
        ({"SaturationRecovery": "YES", "PulseSequenceType": "FLASH"}, "saturation"),
        ({"ScanningSequence": "SE"}, "spin echo"),
        ({"PulseSequenceType": "Turbo Spin Echo"}, "spin echo"),
        ({"PulseSequenceType": "FISP"}, "no RF spoiling"),
        ({"PulseSequenceType": "GRASS"}, "no RF spoiling"),
        ({"PulseSequenceType": "unspoiled gradient echo"}, "no RF spoiling"),
        ({"SpoilingState": False}, "no RF spoiling"),
        ({"SpoilingState": False, "PulseSequenceType": "GRE"}, "no RF spoiling"),
        ({"Spoiling": "NONE"}, "no RF spoiling"),
        ({"PreparationPulses": "inversion"}, "preparation"),
    ],
)
def test_another_sequence_is_refused_with_its_key(keys: dict[str, Any], what: str) -> None:
    with pytest.raises(NoModelError, match=what) as caught:
        _notes(**keys)
    assert caught.value.field in keys
    assert caught.value.fix


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"PulseSequenceType": "XYZ3D"}, "not known"),
        ({"PulseSequenceType": "Turbo FLASH"}, "before its steady state"),
        ({"PulseSequenceType": "FLASH", "SpoilingState": False}, "PulseSequenceType is 'FLASH'"),
        ({"PulseSequenceType": "GRE", "SpoilingType": "GRADIENT"}, "without RF spoiling"),
        ({"PulseSequenceType": "GRE", "SequenceVariant": "SS"}, "not that it is spoiled"),
        ({"PulseSequenceType": "LAVA", "InversionTime": 0.2, "ScanOptions": ["FS"]}, "fat suppression"),
        ({}, "is missing; the series is taken as spoiled"),
    ],
)
def test_what_is_not_known_is_a_warning(keys: dict[str, Any], said: str) -> None:
    (note,) = _notes(**keys)
    assert said in note


@pytest.mark.parametrize(
    "keys",
    [
        {"SpoilingState": True},
        {"ScanningSequence": "GR", "SequenceVariant": ["SK", "SP"], "SequenceName": "*fl3d1_ns"},
        {"ScanningSequence": "GR", "SequenceVariant": "SS_SP_SK", "PulseSequenceName": "EFGRE3D"},
        {"PulseSequenceType": "LAVA", "InversionTime": 0.012},
        {"PulseSequenceType": "SPGR", "InversionTime": 0},
    ],
)
def test_keys_of_converters_tell_spoiled_series(keys: dict[str, Any]) -> None:
    assert _notes(**keys) == []
