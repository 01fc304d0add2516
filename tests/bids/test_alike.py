"""Images of one fit are alike but for the protocol: what differs is named, what jitters is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bids_qmri.bids.alike import differences, has_mt
from bids_qmri.bids.sidecar import Sidecar


def _sidecars(key: str, *values: Any) -> list[Sidecar]:
    return [
        Sidecar(
            Path(f"flip-{i}.nii.gz"), {} if value is None else {key: value}, {}, (Path(f"flip-{i}.json"),)
        )
        for i, value in enumerate(values, 1)
    ]


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("EchoTime", (0.0023, 0.0069)),
        ("EchoTime", (0.001, 0.00125)),
        ("ReceiveCoilName", ("Head_32", "Body")),
        ("ReceiveCoilActiveElements", ("HEA;HEP", "BC")),
        ("TxRefAmp", (250.0, 281.0)),
        ("PixelBandwidth", (200, 400)),
        ("MRAcquisitionType", ("3D", "2D")),
        ("ReceiverGain", (101, 128)),
        ("MagneticFieldStrength", (1.5, 3)),
        ("ParallelReductionFactorInPlane", (1, 2)),
        ("ContrastBolusAgent", (None, "Gadovist")),
        ("PrescanNormalize", (True, False)),
        ("ImageType", (["ORIGINAL", "PRIMARY", "M", "NORM"], ["ORIGINAL", "PRIMARY", "M", "ND"])),
    ],
)
def test_what_differs_is_named_with_files_and_values(key: str, values: tuple[Any, Any]) -> None:
    (note,) = differences(_sidecars(key, *values))
    assert f"{key}: differs" in note
    assert "flip-1.nii.gz" in note
    assert "flip-2.nii.gz" in note
    assert "; fix: " in note


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("EchoTime", (0.002244, 0.002244, 0.002252, 0.00228)),
        ("EchoTime", (0.0023, None)),
        ("ReceiveCoilActiveElements", ("HEA;HEP", "HEP;HEA")),
        ("TxRefAmp", (250.3, 250.4)),
        ("MagneticFieldStrength", (1.494, 1.5)),
        ("ContrastBolusAgent", ("", "NONE", None)),
        ("SoftwareVersions", ("VB17", "VB19")),
        ("ImageType", (["ORIGINAL", "PRIMARY", "M", "NORM"], None)),
        ("ImageType", (["ORIGINAL", "PRIMARY", "M", "ND"], ["ORIGINAL", "PRIMARY", "M", "DIS2D"])),
    ],
)
def test_jitter_and_absence_say_nothing(key: str, values: tuple[Any, ...]) -> None:
    assert list(differences(_sidecars(key, *values))) == []


@pytest.mark.parametrize(
    ("keys", "on"),
    [
        ({"MTState": True}, True),
        ({"MTState": "true"}, True),
        ({"MTState": False, "SequenceVariant": "MTC"}, False),
        ({"SequenceVariant": ["SK", "SP", "MTC"]}, True),
        ({"ScanOptions": "FS\\MT"}, True),
        ({"ScanOptions": "EMTY"}, False),
        ({}, False),
    ],
)
def test_magnetization_transfer_is_told_by_state_or_codes(keys: dict[str, Any], on: bool) -> None:
    assert has_mt(Sidecar(Path("x.nii.gz"), keys, {}, ())) is on
