"""Phases of gradient echoes in a dataset: scales, missing parts, refusals, and the map from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import synth
import synth_contrasts as contrasts
from case_runs import run_command
from reading import edit, said
from runs import planned_fits, run_config, run_fit

from bids_qmri.bids.acquisition import Acquisition, Unusable
from bids_qmri.bids.dataset import find
from bids_qmri.bids.sequence import NoModelError
from bids_qmri.techniques.fieldmap.protocol import ComplexEchoes

TIMES = [0.003, 0.0053, 0.0076, 0.0099]
STEPS = 2 * np.pi / 4096


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return synth.new_dataset(tmp_path / "raw")


def field_of(root: Path) -> Acquisition | Unusable:
    """Return the only acquisition of phases."""
    [found] = [one for one in find(root, "01") if one.kind == "fieldmap"]
    return found


def accepted(root: Path) -> Acquisition:
    found = field_of(root)
    assert isinstance(found, Acquisition), found
    return found


def refused(root: Path) -> Unusable:
    found = field_of(root)
    assert isinstance(found, Unusable), found
    return found


def images(root: Path, part: str) -> list[Path]:
    return sorted((root / "sub-01" / "anat").glob(f"*_part-{part}_MEGRE.nii.gz"))


def joined(root: Path, part: str, order: list[int]) -> None:
    """Replace the images of a part by one of four dimensions."""
    paths = images(root, part)
    stack = np.stack([np.asarray(nibabel.load(paths[i]).dataobj) for i in order], axis=-1)
    for path in paths:
        path.unlink()
        path.with_name(path.name.replace(".nii.gz", ".json")).unlink()
    name = f"sub-01_part-{part}_MEGRE"
    synth.write_image(synth.place(root, "anat", f"{name}.nii.gz"), stack)
    synth.write_json(synth.place(root, "anat", f"{name}.json"), {"EchoTime": [TIMES[i] for i in order]})


def mapped(root: Path, folder: Path) -> np.ndarray:
    """Run the one fit of phases, and return the map."""
    config = run_config(root, folder / "out", folder / "work", models=("fieldmap",), estimators=("phase",))
    [job] = planned_fits(config)
    assert run_fit(job).error == ""
    path = folder / "out" / "sub-01" / "fmap" / "sub-01_desc-phase_fieldmap.nii.gz"
    return np.asarray(nibabel.load(path).dataobj)


def test_magnitudes_come_before_phases_by_echo_time(root: Path) -> None:
    contrasts.add_phases(root, TIMES[::-1])
    found = accepted(root)
    assert isinstance(found.protocol, ComplexEchoes)
    np.testing.assert_allclose(found.protocol.echo_time, TIMES)
    assert [path.name.split("_")[1:3] for path in found.images] == [
        [f"echo-{i}", f"part-{part}"] for part in ("mag", "phase") for i in (4, 3, 2, 1)
    ]
    assert found.datatype == "fmap"
    assert said(found, "-217.4 to 217.4 Hz", "2.3 ms", "positive where the phase rises")


def test_the_map_is_written_in_hertz_with_error_and_page(root: Path, tmp_path: Path) -> None:
    truth = contrasts.add_phases(root, TIMES)["b0"]
    ran = run_command(root, tmp_path)
    assert ran.code == 0, ran.printed
    (path,) = ran.maps("sub-01_desc-phase_fieldmap")
    assert path.parent.name == "fmap"
    found = np.asarray(nibabel.load(path).dataobj)[contrasts.BODY]
    (spread,) = ran.maps("sub-01_desc-phaseStd_fieldmap")
    error = np.asarray(nibabel.load(spread).dataobj)[contrasts.BODY]
    assert np.all(np.abs(found - truth) < 6 * error)
    assert np.std((found - truth) / error) == pytest.approx(1.0, rel=0.15)
    sidecar = ran.sidecar("sub-01_desc-phase_fieldmap")
    assert sidecar["Units"] == "Hz"
    assert sidecar["FrequencyLimit"] == pytest.approx(217.391)
    assert sidecar["PhaseWeights"] == "squared magnitudes"
    assert "10.1002/mrm.22879" in str(sidecar)
    assert (ran.folder / "sub-01.html").exists()
    assert len(ran.maps("sub-01_desc-lsq_T2starmap")) == 1


@pytest.mark.parametrize(
    ("scale", "offset"),
    [(STEPS, -np.pi), (STEPS / 2, 0.0), (np.deg2rad(1), 0.0), (np.deg2rad(1), -np.pi), (1e-3, 0.0)],
    ids=["0 to 4095", "-4096 to 4095", "degrees", "degrees from 0", "thousandths of a rad"],
)
def test_scaled_phases_give_the_same_field(root: Path, tmp_path: Path, scale: float, offset: float) -> None:
    truth = contrasts.add_phases(root, TIMES, scale=scale, offset=offset)["b0"]
    found = mapped(root, tmp_path)[contrasts.BODY]
    np.testing.assert_allclose(found, truth, atol=1.0)


def test_one_image_of_four_dimensions_for_each_part(root: Path, tmp_path: Path) -> None:
    truth = contrasts.add_phases(root, TIMES)["b0"]
    single = mapped(root, tmp_path / "single")
    joined(root, "phase", [2, 0, 1, 3])
    mixed = mapped(root, tmp_path / "mixed")
    joined(root, "mag", [3, 1, 0, 2])
    whole = mapped(root, tmp_path / "whole")
    np.testing.assert_allclose(single[contrasts.BODY], truth, atol=1.0)
    np.testing.assert_array_equal(mixed, single)
    np.testing.assert_array_equal(whole, single)


def test_phases_without_magnitudes_weigh_the_same(root: Path, tmp_path: Path) -> None:
    truth = contrasts.add_phases(root, TIMES)["b0"]
    for path in images(root, "mag"):
        path.unlink()
    assert said(accepted(root), "no magnitudes", "all echoes weigh the same", "masks=PATH")
    found = mapped(root, tmp_path)
    np.testing.assert_allclose(found[contrasts.BODY], truth, atol=1.0)
    assert np.all(np.isfinite(found))
    sidecar = json.loads((tmp_path / "out/sub-01/fmap/sub-01_desc-phase_fieldmap.json").read_text())
    assert sidecar["PhaseWeights"] == "equal"
    assert "all voxels" in sidecar["Mask"]


def test_a_missing_magnitude_is_named(root: Path) -> None:
    contrasts.add_phases(root, TIMES)
    images(root, "mag")[1].unlink()
    found = accepted(root)
    assert said(found, "no magnitude image of echo time 0.0053 s", "all echoes weigh the same")
    assert len(found.images) == len(TIMES)


def test_magnitudes_of_more_echoes_are_left_out(root: Path) -> None:
    contrasts.add_phases(root, TIMES)
    images(root, "phase")[3].unlink()
    found = accepted(root)
    assert [path.name.split("_")[1] for path in found.images] == ["echo-1", "echo-2", "echo-3"] * 2


def test_one_phase_image_is_refused_by_file_and_key(root: Path) -> None:
    contrasts.add_phases(root, TIMES)
    for path in images(root, "phase")[1:]:
        path.unlink()
    found = refused(root)
    assert isinstance(found.error, NoModelError)
    assert not found.fault
    assert found.error.field == "EchoTime"
    assert Path(str(found.error.file)).name == "sub-01_echo-1_part-phase_MEGRE.json"
    assert "of echo time 0.003 s" in found.error.seen


@pytest.mark.parametrize("part", ["mag", "phase"])
def test_echoes_that_exist_twice_are_refused(root: Path, part: str) -> None:
    contrasts.add_phases(root, TIMES)
    edit(root, f"sub-01_echo-3_part-{part}_MEGRE", EchoTime=TIMES[1])
    error = refused(root).error
    assert error.field == "EchoTime"
    assert f"part-{part}" in str(error.file)
    assert "is 0.0053 twice" in error.seen


@pytest.mark.parametrize(("value", "seen"), [(None, "is missing"), (3.0, "write 0.003")])
def test_echo_times_are_checked_as_those_of_magnitudes(root: Path, value: float | None, seen: str) -> None:
    contrasts.add_phases(root, TIMES)
    edit(root, "sub-01_echo-1_part-phase_MEGRE", EchoTime=value)
    assert seen in str(refused(root).error)


def test_phases_are_known_by_their_image_type(root: Path) -> None:
    """Files of an older converter: the key says what the name does not."""
    contrasts.add_phases(root, TIMES)
    for path in images(root, "mag"):
        path.unlink()
    for path in images(root, "phase"):
        edit(root, path.name.removesuffix(".nii.gz"), ImageType=["ORIGINAL", "PRIMARY", "P"])
        for ending in (".nii.gz", ".json"):
            one = path.with_name(path.name.replace(".nii.gz", ending))
            one.rename(one.with_name(one.name.replace("_part-phase", "")))
    assert len(accepted(root).images) == len(TIMES)


def test_phases_of_no_known_unit_are_refused(root: Path) -> None:
    contrasts.add_phases(root, TIMES, scale=0.1)
    error = refused(root).error
    assert error.field == "Units"
    assert "convert them to rad" in str(error)


def test_magnitudes_alone_are_no_matter_of_fields(root: Path) -> None:
    contrasts.add_megre(root)
    assert [one.kind for one in find(root, "01")] == ["megre"]
