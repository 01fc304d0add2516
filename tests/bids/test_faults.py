"""Every bad input ends in ONE error that names file, field, what was seen, what is needed and the fix."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import Acquisition, Unusable
from bids_qmri.bids.dataset import find

VFA, DWI, DCE, AIF = (
    "anat/sub-01_flip-1_VFA",
    "dwi/sub-01_dwi",
    "perf/sub-01_dce",
    "perf/sub-01_aif",
)
Spoil = Callable[[Path], object]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """One participant with a sound series of every kind."""
    root = synth.new_dataset(tmp_path)
    synth.add_vfa(root)
    synth.add_tensor(root)
    synth.add_dce(root)
    return root


def _keys(stem: str, **changes: Any) -> Spoil:
    return lambda folder: synth.edit_json(folder / f"{stem}.json", **changes)


def _text(name: str, content: str) -> Spoil:
    return lambda folder: (folder / name).write_text(content)


def _image(stem: str, shape: tuple[int, ...]) -> Spoil:
    return lambda folder: synth.write_image(folder / f"{stem}.nii.gz", np.ones(shape))


def _twin(folder: Path) -> None:
    synth.write_image(folder / f"{VFA}.nii", np.ones(synth.SHAPE))


def _table(rows: str) -> Spoil:
    return _text(f"{AIF}.tsv", rows.replace(" ", "\t"))


def _all_flips(**changes: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        for path in folder.glob("anat/*_VFA.json"):
            synth.edit_json(path, **changes)

    return spoil


FAULTS = {
    "FA missing": (_keys(VFA, FlipAngle=None), "flip-1_VFA.json", "FlipAngle", "is missing"),
    "FA no number": (_keys(VFA, FlipAngle="three"), "flip-1_VFA.json", "FlipAngle", "'three'"),
    "FA a list": (_keys(VFA, FlipAngle=[3, 10]), "flip-1_VFA.json", "FlipAngle", r"is \[3, 10\]"),
    "FA true": (_keys(VFA, FlipAngle=True), "flip-1_VFA.json", "FlipAngle", "is True"),
    "FA above 180": (_keys(VFA, FlipAngle=200), "flip-1_VFA.json", "FlipAngle", "is 200"),
    "FA negative": (_keys(VFA, FlipAngle=-3), "flip-1_VFA.json", "FlipAngle", "is -3"),
    "FA in radians": (_all_flips(FlipAngle=0.35), "VFA.json", "FlipAngle", "57.296"),
    "FA all equal": (_all_flips(FlipAngle=5), "VFA.json", "FlipAngle", "3 image.s. have one angle: 5, 5, 5"),
    "TR missing": (
        _keys(VFA, RepetitionTimeExcitation=None),
        "flip-1_VFA.json",
        "RepetitionTimeExcitation",
        "is missing",
    ),
    "TR in ms": (
        _keys(VFA, RepetitionTimeExcitation=15),
        "flip-1_VFA.json",
        "RepetitionTimeExcitation",
        "milliseconds, write 0.015",
    ),
    "TR in ms as text": (
        _keys(VFA, RepetitionTimeExcitation="6.8"),
        "flip-1_VFA.json",
        "RepetitionTimeExcitation",
        "write 0.0068",
    ),
    "TR zero": (
        _keys(VFA, RepetitionTimeExcitation=0),
        "flip-1_VFA.json",
        "RepetitionTimeExcitation",
        "is 0",
    ),
    "VFA 4-D": (_image(VFA, (4, 3, 2, 3)), "flip-1_VFA.nii.gz", "dim", "3 volumes for one FlipAngle"),
    "VFA empty image": (_text(f"{VFA}.nii.gz", ""), "flip-1_VFA.nii.gz", None, "is empty"),
    "VFA twice": (_twin, "anat", None, "exists twice: sub-01_flip-1_VFA.nii, sub-01_flip-1_VFA.nii.gz"),
    "JSON comma": (_text(f"{VFA}.json", '{"FlipAngle": 3,}'), "flip-1_VFA.json", None, "line 1, column"),
    "JSON empty": (_text(f"{VFA}.json", ""), "flip-1_VFA.json", None, "is empty at line 1"),
    "JSON list": (_text(f"{DCE}.json", "[]"), "dce.json", None, "holds a list"),
    "bval missing": (lambda f: (f / f"{DWI}.bval").unlink(), "dwi.nii.gz", "bval", "no .bval file"),
    "bval short": (_text(f"{DWI}.bval", "0 1000"), "dwi.bval", None, "2 b-values but the image has 13"),
    "bval s/m^2": (_text(f"{DWI}.bval", "0" + " 1e9" * 12), "dwi.bval", None, "divide by 1e6"),
    "bval NaN": (_text(f"{DWI}.bval", "nan" + " 1000" * 12), "dwi.bval", None, "not finite"),
    "bvec short": (
        _text(f"{DWI}.bvec", "1 0\n0 1\n0 0"),
        "dwi.bvec",
        None,
        "directions but the image",
    ),
    "dwi 3-D": (_image(DWI, (4, 3, 2)), "dwi.nii.gz", "dim", "single volume"),
    "DCE 3-D": (_image(DCE, (4, 3, 2)), "dce.nii.gz", "dim", "single volume"),
    "no times": (_keys(DCE, VolumeTiming=None), "dce.json", "VolumeTiming", "is missing"),
    "times too few": (_keys(DCE, VolumeTiming=[0, 1]), "dce.json", "VolumeTiming", "2 values"),
    "times fall": (_keys(DCE, VolumeTiming=[0.0] * 30), "dce.json", "VolumeTiming", "not 30 increasing"),
    "times in ms": (
        _keys(DCE, VolumeTiming=[6000 * i for i in range(30)]),
        "dce.json",
        "VolumeTiming",
        "milliseconds",
    ),
    "times in minutes": (
        _keys(DCE, VolumeTiming=[0.1 * i for i in range(30)]),
        "dce.json",
        "VolumeTiming",
        "multiply by 60",
    ),
    "frames in ms": (
        _keys(DCE, VolumeTiming=None, TemporalResolution=6000),
        "dce.json",
        "TemporalResolution",
        "milliseconds",
    ),
    "DCE without angle": (_keys(DCE, FlipAngle=None), "dce.json", "FlipAngle", "is missing"),
    "DCE frame TR": (
        _keys(DCE, RepetitionTimeExcitation=None, RepetitionTime=6.0),
        "dce.json",
        "RepetitionTime",
        "add RepetitionTimeExcitation",
    ),
    "relaxivity unit": (
        _keys(DCE, ContrastAgentRelaxivity=4500),
        "dce.json",
        "ContrastAgentRelaxivity",
        "is 4500",
    ),
    "hematocrit percent": (_keys(DCE, Hematocrit=42), "dce.json", "Hematocrit", "by 100"),
    "baseline zero": (_keys(DCE, BaselineVolumes=0), "dce.json", "BaselineVolumes", "--baseline-volumes"),
    "bolus at once": (
        _keys(DCE, BaselineVolumes=None, BolusArrivalTime=0),
        "dce.json",
        "BolusArrivalTime",
        "0 of 30 frames",
    ),
    "AIF of what": (_keys(AIF, ConcentrationType=None), "aif.json", "ConcentrationType", "is missing"),
    "AIF unit": (_keys(AIF, time={"Units": "frames"}), "aif.json", "time: Units", "'frames'"),
    "AIF in minutes": (
        _table("time concentration\n" + "\n".join(f"{0.1 * i:g} 1" for i in range(30))),
        "aif.tsv",
        "time",
        "multiply by 60",
    ),
    "AIF in mol": (
        _table("time concentration\n0 0\n90 0.004\n180 0.001"),
        "aif.tsv",
        "concentration",
        "highest value is 0.004",
    ),
    "AIF columns": (_table("t c\n0 0\n90 3"), "aif.tsv", None, "columns t, c"),
    "AIF text": (_table("time concentration\n0 0\n90 n/a"), "aif.tsv", None, "no number"),
    "AIF falls": (_table("time concentration\n90 0\n0 3"), "aif.tsv", "time", "do not increase"),
    "AIF empty": (_table(""), "aif.tsv", None, "0 rows"),
}


@pytest.mark.parametrize(("spoil", "file", "field", "seen"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_named_once(dataset: Path, spoil: Spoil, file: str, field: str | None, seen: str) -> None:
    spoil(dataset / "sub-01")
    bad = [one for one in find(dataset, "01") if isinstance(one, Unusable)]
    # A VFA series that cannot be used is also missed by the DCE series that wanted its T1.
    (own,) = [one for one in bad if one.error.field != "T10"]
    message = str(own.error)
    # What has no table or one volume is no series of a model, and nobody's fault.
    assert own.fault is (("single volume" not in seen and "no .bval" not in seen) or "dce" in file)
    assert str(own.error.file).endswith(file)
    assert own.error.field == field
    assert re.search(seen, message), message
    assert "needed: " in message
    assert "fix: " in message
    assert "\n" not in message


def test_a_fault_in_one_series_leaves_the_others(dataset: Path) -> None:
    (dataset / "sub-01" / f"{DWI}.bval").write_text("")
    found = find(dataset, "01")
    assert [one.kind for one in found if isinstance(one, Acquisition)] == ["vfa", "dce"]
