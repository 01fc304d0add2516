"""Small datasets as people report them, of flip angles and frames: right maps, or words that mend them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from case_runs import Ran, build_case, cases_folder, run_command

T1 = {"*_desc-lsq_T1map": (0.8, 1.4)}
KINETICS = {
    "*_param-ktrans_desc-lsq_dcemap": (0.1, 0.3),
    "*_param-ve_desc-lsq_dcemap": (0.3, 0.3),
    "*_param-vp_desc-lsq_dcemap": (0.03, 0.03),
}
NATIVE = ("--t10", "1", "--models", "etofts")


@dataclass(frozen=True)
class Case:
    """What comes out of one case: maps of known values, and what is said in log, page and sidecars.

    `apart`: what is said is about files that no map was made of, so that no sidecar says it.
    """

    name: str
    maps: dict[str, tuple[float, float]] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    code: int = 0
    tolerance: float = 0.02
    apart: bool = False


REFUSED = 1
"""Exit code where the participant's input is at fault."""

NOTHING = 65
"""Exit code where nobody has images of a model."""

CASES = (
    Case("base", T1, unsaid=("differs", "left out")),
    Case("vibe_name", T1, unsaid=("not known",)),
    Case("multiecho_control", T1, unsaid=("differs",)),
    Case("philips_flag1_control", T1, unsaid=("PhilipsScaleSlope", "brought to one scale")),
    Case("te_jitter", T1, unsaid=("EchoTime",)),
    Case("three_flips_jitter", T1, unsaid=("EchoTime",)),
    Case("acq_named_flips", T1, said=("acq-fa03_VFA", "fix", "flip-1")),
    Case("afi_4d", T1, tolerance=0.03),
    Case("b1_degrees", T1, said=("TB1map", "median 57", "degree of 60 degrees", "FlipAngle")),
    Case("deriv_vfa", T1, said=("reg, desc-preproc", "used instead of sub-01_flip-1_VFA")),
    Case("flip_array_4d", T1),
    Case("mts_as_vfa", T1, said=("flip-1_VFA", "MTState", "left out", "fix")),
    Case("phase_by_imagetype", T1, said=("acq-phase", "ImageType", "PHASE", "fix"), apart=True),
    Case("philips_scale", T1, said=("flip-1_VFA", "PhilipsScaleSlope", "0.00052", "brought to one scale")),
    Case("philips_rwv", said=("flip-2_VFA", "PhilipsScaleSlope", "4.12166e-05", "not told", "fix")),
    Case("te_differs", said=("flip-4_VFA", "EchoTime", "0.0069", "T2", "fix")),
    Case("norm_mixed", said=("flip-4_VFA", "ImageType", "NORM", "fix")),
    Case("tb1tfl", said=("acq-famp_TB1TFL", "Units", "--b1-units", "800")),
    Case("tb1tfl", T1, said=("acq-famp_TB1TFL", "median 720", "800"), options=("--b1-units", "800")),
    Case("fa_dup_near", said=("VFA.json", "FlipAngle", "15, 15.0001", "two different", "fix"), code=REFUSED),
    Case("unspoiled", said=("VFA.json", "SpoilingState", "False", "needed", "fix"), code=NOTHING),
    Case("dcebase", KINETICS, unsaid=("steady state", "one clock", "jump"), options=NATIVE),
    Case(
        "dce_twist_firstframe",
        KINETICS,
        said=("sub-01_dce.nii.gz", "frame 1 is 1.8 times", "steady state", "fix"),
        options=NATIVE,
    ),
    Case("dce_aif_late", said=("sub-01_aif.tsv", "time", "25.", "one clock", "fix"), options=NATIVE),
    Case("dce_dsc_fast", said=("perf.json", "PulseSequenceType", "EPI", "fix"), options=NATIVE, code=NOTHING),
    Case("dce_ssfp", said=("dce.json", "PulseSequenceType", "TrueFISP", "fix"), options=NATIVE, code=NOTHING),
    Case("dce_minutes", said=("dce.json", "TemporalResolution", "13.8", "60"), options=NATIVE, code=REFUSED),
    Case(
        "dce_tr825",
        said=("dce.json", "RepetitionTime is 5.19556", "AcquisitionDuration is 460.5", "fix"),
        options=NATIVE,
        code=REFUSED,
    ),
    Case("dce_preandpost", said=("run-1_dce", "1 . 5 volumes", "merge"), options=NATIVE, code=REFUSED),
    Case("dce_split", said=("run-01_dce", "12 files", "merge"), options=NATIVE, code=REFUSED),
    Case(
        "dce_r1map",
        KINETICS,
        said=("T1map", "holds R1"),
        options=("--models", "etofts"),
        tolerance=0.05,
    ),
)


def _ran(case: Case, folder: Path) -> Ran:
    source = cases_folder() / "relaxometry" / f"{case.name}.py"
    build_case(source, folder / "case")
    bids, options = folder / "case", case.options
    if case.name.startswith("deriv"):
        bids, options = folder / "case" / "raw", ("-d", f"reg={folder / 'case' / 'reg'}")
    return run_command(bids, folder, "--methods", "lsq", *options)


@pytest.mark.parametrize("case", CASES, ids=[" ".join((c.name, *c.options[:1])) for c in CASES])
def test_maps_are_right_or_words_say_what_to_mend(case: Case, tmp_path: Path) -> None:
    ran = _ran(case, tmp_path)
    assert ran.code == case.code, ran.printed
    for pattern, truth in case.maps.items():
        assert ran.halves(pattern) == pytest.approx(truth, rel=case.tolerance)
    if case.said:
        assert ran.missing(*case.said) == (["sidecar"] if case.apart else []), ran.printed
    for words in case.unsaid:
        assert len(ran.missing(words)) == 3, f"{words} is said: {ran.printed}"
    if case.code:
        assert not ran.maps("*map")


def test_parts_of_one_series_are_one_message(tmp_path: Path) -> None:
    ran = _ran(next(case for case in CASES if case.name == "dce_split"), tmp_path)
    assert ran.printed.count("ERROR") == 1


def test_sources_name_the_registered_images(tmp_path: Path) -> None:
    ran = _ran(next(case for case in CASES if case.name == "deriv_vfa"), tmp_path)
    sources = str(ran.sidecar("*_desc-lsq_T1map")["Sources"])
    assert "flip-4_desc-preproc_VFA.nii.gz" in sources
    assert "flip-4_VFA.nii.gz" not in sources


def test_all_flips_of_jittering_echo_times_are_fitted(tmp_path: Path) -> None:
    ran = _ran(next(case for case in CASES if case.name == "three_flips_jitter"), tmp_path)
    assert ran.sidecar("*_desc-lsq_T1map")["FlipAngle"] == [3, 8, 25]
