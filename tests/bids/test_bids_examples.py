"""Trees like the qMRI sets of bids-examples: every collection gives a map, or a reason that names it.

Names and keys are those that the standard asks for, with the habits that such sets have: numbers as text,
keys at the root, weightings told apart by acq- too, parts that are missing. Images are simulated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import synth
import synth_contrasts as contrasts
from case_runs import Ran, run_command

T1, FIELD = contrasts.body(0.7, 1.6), contrasts.body(0.85, 1.15)
SIGMA = 1.0


def _write(root: Path, folder: str, name: str, clean: np.ndarray, sub: str = "01", **keys: Any) -> None:
    """Write an image of a body in air with noise, and its sidecar."""
    path = root / f"sub-{sub}" / folder / f"sub-{sub}_{name}.nii.gz"
    seed = sum(map(ord, name))
    synth.write_image(path, contrasts.noisy(clean * np.ones_like(T1), SIGMA, seed))
    synth.write_json(path.with_name(f"sub-{sub}_{name}.json"), keys)


def _spoiled(angle: float, tr: float, b1: np.ndarray | float = 1.0) -> np.ndarray:
    rad, e1 = np.deg2rad(angle) * b1, np.exp(-tr / T1)
    return 10000 * np.sin(rad) * (1 - e1) / (1 - np.cos(rad) * e1)


def irt1(root: Path) -> None:
    synth.write_json(root / "IRT1.json", {"PulseSequenceType": "IR", "RepetitionTimeExcitation": 2.55})
    for index, time in enumerate((0.05, 0.4, 1.1, 2.5), 1):
        signal = np.abs(1000 * (1 - 2 * np.exp(-time / T1) + np.exp(-2.55 / T1)))
        _write(root, "anat", f"inv-{index:02d}_IRT1", signal, InversionTime=time)
    _write(root, "fmap", "TB1map", 1000 * FIELD)


def megre(root: Path) -> None:
    synth.write_json(root / "MEGRE.json", {"MagneticFieldStrength": "3"})
    for index in range(1, 9):
        keys = {"PulseSequenceType": "GR", "EchoTime": f"{0.004 * index:g}"}
        _write(root, "anat", f"echo-{index:02d}_MEGRE", 1000 * np.exp(-0.004 * index / (T1 / 30)), **keys)


def mese(root: Path) -> None:
    for index in range(1, 33):
        signal = 1000 * np.exp(-0.01 * index / (T1 / 12))
        _write(root, "anat", f"echo-{index}_MESE", signal, EchoTime=0.01 * index, MagneticFieldStrength=3)


def _mp2rage(root: Path, sub: str, *names: tuple[str, float, float]) -> None:
    keys = {"RepetitionTimeExcitation": 0.0062, "RepetitionTimePreparation": 5.5, "NumberShots": 159}
    for name, time, angle in names:
        more = {"EchoTime": 0.006} if "echo" in name else {}
        _write(
            root,
            "anat",
            f"{name}_MP2RAGE",
            T1 * 500,
            sub,
            InversionTime=time,
            FlipAngle=angle,
            **keys,
            **more,
        )


def mp2rage(root: Path) -> None:
    synth.write_json(root / "MP2RAGE.json", {"MagneticFieldStrength": 7})
    _mp2rage(root, "1", ("inv-1", 0.8, 5), ("inv-2", 2.7, 3))


def mp2rageme(root: Path) -> None:
    echoes = ((f"echo-{echo}_inv-2", 3.855, 6) for echo in (1, 2, 3, 4))
    _mp2rage(root, "1", ("inv-1", 0.67, 4), *echoes)
    _write(root, "fmap", "TB1map", 100 * FIELD, "1", IntendedFor="anat/sub-1_inv-1_MP2RAGE.nii.gz")


def mpm(root: Path) -> None:
    keys = {"ScanningSequence": "RM", "SequenceName": "fl3d_1i3d6", "RepetitionTimeExcitation": 0.025}
    targets = []
    for weight, flip, angle, mt, count in (
        ("MTw", 1, 6, True, 6),
        ("PDw", 1, 6, False, 8),
        ("T1w", 2, 21, False, 8),
    ):
        for echo in range(1, count + 1):
            name = f"acq-{weight}_echo-{echo}_flip-{flip}_mt-{'on' if mt else 'off'}_MPM"
            rad, e1, saturation = np.deg2rad(angle) * FIELD, np.exp(-0.025 / T1), 0.012 * mt * FIELD**2
            saturation = saturation * (1 - 0.4 * FIELD) / 0.6
            signal = 10000 * np.sin(rad) * (1 - e1) / (1 - (1 - saturation) * np.cos(rad) * e1)
            time = 0.0023 * echo
            own = {**keys, "FlipAngle": angle, "MTState": mt, "EchoTime": time}
            _write(root, "anat", name, signal * np.exp(-20 * time), **own)
            targets.append(f"anat/sub-01_{name}.nii.gz")
        for coil in ("body", "head"):
            _write(root, "fmap", f"acq-{coil}{weight}_RB1COR", 500.0, EchoTime=0.0022, FlipAngle=6)
    for index, angle in enumerate(range(65, 116, 5), 1):
        spin = 3000 * np.sin(np.deg2rad(angle) * FIELD) ** 3
        stored = spin * np.abs(np.cos(np.deg2rad(angle) * FIELD)) * np.exp(-0.0338 / 1.192)
        for echo, time, signal in ((1, 0.03906, spin), (2, 0.13, stored)):
            own = {
                "FlipAngle": angle,
                "EchoTime": time,
                "MixingTime": 0.0338,
                "RepetitionTimeExcitation": 0.5,
            }
            name = f"echo-{echo}_flip-{index:02d}_TB1EPI"
            _write(root, "fmap", name, signal, **own, TotalReadoutTime=0.0067, IntendedFor=targets)
    for name in ("magnitude1", "magnitude2", "phasediff"):
        _write(root, "fmap", name, 400.0, EchoTime1=0.01, EchoTime2=0.01246)


def mtsat(root: Path) -> None:
    synth.write_json(root / "MTS.json", {"PulseSequenceType": "SPGR", "RepetitionTimeExcitation": "0.028"})
    e1 = np.exp(-0.028 / T1)
    rad = np.deg2rad(6) * FIELD
    saturated = 10000 * np.sin(rad) * (1 - e1) / (1 - (1 - 0.02) * np.cos(rad) * e1)
    _write(root, "anat", "flip-1_mt-on_MTS", saturated, FlipAngle=6, MTState=True)
    _write(root, "anat", "flip-1_mt-off_MTS", _spoiled(6, 0.028, FIELD), FlipAngle="6", MTState=False)
    _write(root, "anat", "flip-2_mt-off_MTS", _spoiled(20, 0.028, FIELD), FlipAngle=20, MTState=False)
    for flip, angle in ((1, 60), (2, 120)):
        _write(root, "fmap", f"flip-{flip}_TB1DAM", 1000 * np.sin(np.deg2rad(angle) * FIELD), FlipAngle=angle)


def qsm(root: Path) -> None:
    _write(root, "anat", "part-mag_T1w", 500.0)
    _write(root, "anat", "part-phase_T1w", 1.0)
    _write(root, "anat", "Chimap", 0.1)


def sa2rage(root: Path) -> None:
    _mp2rage(root, "01", ("inv-1", 0.8, 5), ("inv-2", 2.7, 3))
    keys = {"RepetitionTimePreparation": 2.4, "RepetitionTimeExcitation": 0.0275, "ScanOptions": "SR_PFP"}
    for index, (time, angle) in enumerate(((45, 4), (1.8, 11)), 1):
        _write(
            root,
            "fmap",
            f"flip-{index}_inv-{index}_TB1SRGE",
            500.0,
            InversionTime=time,
            FlipAngle=angle,
            **keys,
        )


def tb1tfl(root: Path) -> None:
    keys = {
        "RepetitionTimeExcitation": "6.8",
        "EchoTime": 1.97,
        "FlipAngle": 38,
        "SequenceName": "tfl_b1_map",
    }
    _write(root, "fmap", "acq-anat_TB1TFL", 800.0, **keys)
    _write(root, "fmap", "acq-famp_TB1TFL", 380 * FIELD, **keys)


def vfa(root: Path) -> None:
    synth.write_json(root / "VFA.json", {"PulseSequenceType": "SPGR", "RepetitionTimeExcitation": 0.015})
    for flip, angle in ((1, 3), (2, 20)):
        _write(root, "anat", f"flip-{flip}_VFA", _spoiled(angle, 0.015, FIELD), FlipAngle=angle)
    turn = np.cos(np.deg2rad(60) * FIELD)
    for name, time, signal in (("tr1", 0.02, 5 + turn), ("tr2", 0.1, 1 + 5 * turn)):
        own = {"FlipAngle": 60, "RepetitionTimeExcitation": time}
        _write(root, "fmap", f"acq-{name}_TB1AFI", 200 * signal, **own)


@dataclass(frozen=True)
class Example:
    """One set: how it is made, maps that it must give with their truth, words that it must say, exit code."""

    make: Callable[[Path], None]
    maps: dict[str, np.ndarray | None] = field(default_factory=dict)
    said: tuple[tuple[str, ...], ...] = ()
    code: int = 0


FIELDS = {"*desc-ratio_TB1map": FIELD}

NOTHING = 65
"""Exit code where there is nothing to fit, and nothing at fault."""

EXAMPLES = {
    "qmri_irt1": Example(irt1, {"*desc-lsq_T1map": T1}, (("TB1map", "no fit here uses"),)),
    "qmri_megre": Example(megre, {"*desc-lsq_T2starmap": T1 / 30}),
    "qmri_mese": Example(mese, {"sub-01_desc-lsq_T2map": T1 / 12}),
    "qmri_mp2rage": Example(mp2rage, said=(("MP2RAGE", "phase", "part-phase"),), code=NOTHING),
    "qmri_mp2rageme": Example(
        mp2rageme, said=(("MP2RAGE", "phase", "part-phase"), ("TB1map", "no fit here uses")), code=NOTHING
    ),
    "qmri_mpm": Example(
        mpm,
        {
            "*model-mpm_desc-lsq_R1map": 1 / T1,
            "*_MTsat": None,
            "*_R2starmap": None,
            "*desc-ratio_TB1map": FIELD,
        },
        (("RB1COR", "coil"),),
    ),
    "qmri_mtsat": Example(
        mtsat, {"*model-mts_desc-lsq_R1map": 1 / T1, "*_MTsat": None, "*desc-ratio_TB1map": FIELD}
    ),
    "qmri_qsm": Example(qsm, said=(("Chimap", "computed already"),), code=NOTHING),
    "qmri_sa2rage": Example(
        sa2rage, said=(("MP2RAGE", "phase"), ("TB1SRGE", "saturation pulse", "fix")), code=NOTHING
    ),
    "qmri_tb1tfl": Example(tb1tfl, said=(("acq-famp_TB1TFL", "Units", "--b1-units"),), code=NOTHING),
    "qmri_vfa": Example(vfa, {"*desc-lsq_T1map": T1, **FIELDS}),
}


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_every_collection_gives_a_map_or_a_reason(name: str, tmp_path: Path) -> None:
    example, root = EXAMPLES[name], synth.new_dataset(tmp_path / name)
    example.make(root)
    ran = run_command(root, tmp_path, "--methods", "lsq")
    assert ran.code == example.code, ran.printed
    for pattern, truth in example.maps.items():
        found = ran.maps(pattern)
        assert found, f"{pattern} is missing: {ran.printed}"
        if truth is not None:
            for path in found:
                values = np.asarray(nibabel.load(path).dataobj)[contrasts.BODY]
                assert np.nanmedian(np.abs(values / truth - 1)) < 0.03, path
    for words in example.said:
        assert _says(ran, *words), f"{words} are not said: {ran.printed}"
    _nothing_is_passed_over(root, ran)


def _says(ran: Ran, *words: str) -> bool:
    return any(all(word in line for word in words) for line in ran.printed.splitlines())


def _nothing_is_passed_over(root: Path, ran: Ran) -> None:
    """Every quantitative collection is a source of a map, or named."""
    sidecars = " ".join(path.read_text() for path in ran.folder.glob("sub-*/*/*.json"))
    for path in root.glob("sub-*/*/*.nii.gz"):
        suffix = path.name.partition(".")[0].rpartition("_")[2]
        if suffix not in ("T1w", "magnitude1", "magnitude2", "phasediff"):
            assert path.name in sidecars or suffix in ran.printed, path


def test_milliseconds_in_such_a_set_are_named_by_key(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    mtsat(root)
    synth.edit_json(root / "sub-01/anat/sub-01_flip-1_mt-on_MTS.json", RepetitionTimeExcitation=28)
    ran = run_command(root, tmp_path, "--methods", "lsq")
    assert ran.code == 1
    assert _says(ran, "flip-1_mt-on_MTS.json", "RepetitionTimeExcitation", "is 28", "0.028")
    assert ran.maps("*desc-ratio_TB1map"), "what one collection lacks costs no other"
