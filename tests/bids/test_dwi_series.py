"""What the files of a diffusion series say beside its table: used, noted or refused, and at whose cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import Acquisition, Unusable
from bids_qmri.bids.dataset import find
from bids_qmri.bids.dwi_series import _require_s_mm2
from bids_qmri.errors import InputError
from bids_qmri.workflows.applicability import choose_models

BVALS = (0, 0, *([1000] * 12))
DWI = "sub-01/dwi/sub-01_dwi"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = synth.new_dataset(tmp_path / "raw")
    synth.add_tensor(root, bvals=BVALS)
    return root


def only(dataset: Path) -> Any:
    (found,) = find(dataset, "01")
    return found


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"InstitutionName": "Universitätsklinik", "EchoTime": 0.08}'.encode("latin-1"), "not UTF-8"),
        ('{"EchoTime": 0.08}'.encode("utf-16"), "not UTF-8"),
        (b'{"EchoTime": 0.08, "TotalReadoutTime": NaN}', "without TotalReadoutTime"),
        (b'{"EchoTime": 0.08, "DwellTime": [1, Infinity]}', "without DwellTime"),
        (b'{"EchoTime": 0.08, "FlipAngle": 80, "FlipAngle": 90}', "without FlipAngle"),
        (b'{"EchoTime": 0.08, "SliceTiming": [0, 1,],}', "line 1"),
    ],
)
def test_a_damaged_sidecar_costs_what_is_damaged(dataset: Path, content: bytes, said: str) -> None:
    (dataset / f"{DWI}.json").write_bytes(content)
    found = only(dataset)
    assert found.metadata["EchoTime"] == 0.08
    [note] = [note for note in found.notes if "sub-01_dwi.json" in note]
    assert said in note
    assert "fix:" in note


@pytest.mark.parametrize("content", ["", "[]", '{"EchoTime": 0.08, "Manu', "[" * 2000])
def test_a_sidecar_that_cannot_be_read_costs_itself(dataset: Path, content: str) -> None:
    (dataset / f"{DWI}.json").write_text(content)
    found = only(dataset)
    assert choose_models(found, ())[0] == ["dti"]
    assert "none of its keys is used" in found.notes[0]


@pytest.mark.parametrize("key", ["EchoTime", "FlipAngle", "RepetitionTime"])
@pytest.mark.parametrize("text", [False, True])
def test_a_key_with_several_values_is_no_single_series(dataset: Path, key: str, text: bool) -> None:
    values = [0.06] * 7 + [0.1] * 7
    synth.edit_json(dataset / f"{DWI}.json", **{key: list(map(str, values)) if text else values})
    found = only(dataset)
    assert isinstance(found, Unusable)
    assert (found.error.field, found.fault) == (key, True)
    assert "0.06, 0.1" in str(found.error)
    assert "fix: split" in str(found.error)


def test_a_list_of_one_value_is_the_value(dataset: Path) -> None:
    synth.edit_json(dataset / f"{DWI}.json", EchoTime=[0.08] * 14, SmallDelta=[0.02] * 14)
    found = only(dataset)
    assert found.metadata["EchoTime"] == 0.08
    assert found.metadata["SmallDelta"] == 0.02
    assert found.notes == ()


def test_diffusion_times_that_differ_are_noted(dataset: Path) -> None:
    synth.edit_json(dataset / f"{DWI}.json", BigDelta=[0.03] * 7 + [0.05] * 7)
    assert "sub-01_dwi.json: BigDelta has the values 0.03, 0.05" in only(dataset).notes[0]


@pytest.mark.parametrize(
    "words", [["ORIGINAL", "PRIMARY", "P", "ND"], ["DERIVED", "PRIMARY", "DIFFUSION", "ADC", "ND"]]
)
def test_phase_and_maps_are_no_series(dataset: Path, words: list[str]) -> None:
    synth.edit_json(dataset / f"{DWI}.json", ImageType=words)
    found = only(dataset)
    assert isinstance(found, Unusable)
    assert not found.fault
    assert found.error.field == "ImageType"
    assert "/".join(words) in str(found.error)


def test_a_trace_series_has_no_directions(dataset: Path) -> None:
    synth.edit_json(dataset / f"{DWI}.json", ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW", "ND"])
    found = only(dataset)
    assert found.protocol.bvecs is None
    assert "ImageType says that these are averages" in found.notes[0]


@pytest.mark.parametrize("bvals", [[0, 0, 0.5, 1], [0, 1], [0, 1, 2, 3]])
def test_b_values_in_ms_um2_are_told_without_directions(tmp_path: Path, bvals: list[float]) -> None:
    with pytest.raises(InputError, match=r"ms/um\^2; needed: s/mm\^2; fix: multiply by 1000") as caught:
        _require_s_mm2(tmp_path / "a.bval", np.array(bvals, dtype=float), None)
    assert caught.value.file == tmp_path / "a.bval"


@pytest.mark.parametrize("bvals", [[5, 5], [0, 5, 0, 5], [0, 1e-3], [0, 5, 10, 20], [0, 0]])
def test_low_b_values_that_may_be_meant_are_let_through(tmp_path: Path, bvals: list[float]) -> None:
    refused = []
    try:
        _require_s_mm2(tmp_path / "a.bval", np.array(bvals, dtype=float), None)
    except InputError as error:
        refused.append(error)
    assert refused == []


@pytest.mark.parametrize("scale", [1e-3, 1e-3 * 3])
def test_b_values_in_ms_um2_are_named(dataset: Path, scale: float) -> None:
    np.savetxt(dataset / f"{DWI}.bval", np.atleast_2d(np.array(BVALS) * scale))
    found = only(dataset)
    assert isinstance(found, Unusable)
    assert "in ms/um^2; needed: s/mm^2; fix: multiply by 1000" in str(found.error)


def test_two_tables_that_apply_equally_are_refused_unless_they_are_the_same(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    synth.add_tensor(root, "sub-01_acq-A_run-1", bvals=BVALS)
    folder = root / "sub-01" / "dwi"
    text = (folder / "sub-01_acq-A_run-1_dwi.bval").read_text()
    (folder / "sub-01_acq-A_run-1_dwi.bval").unlink()
    (folder / "sub-01_acq-A_dwi.bval").write_text(text)
    (folder / "sub-01_run-1_dwi.bval").write_text(text)
    assert isinstance(only(root), Acquisition)
    (folder / "sub-01_run-1_dwi.bval").write_text(" ".join(text.split()[::-1]))
    found = only(root)
    assert isinstance(found, Unusable)
    for name in ("sub-01_acq-A_dwi.bval", "sub-01_run-1_dwi.bval"):
        assert name in str(found.error)


def test_directions_of_another_series_are_not_inherited_beside_its_b_values(dataset: Path) -> None:
    synth.add_tensor(dataset, "sub-01_acq-x", bvals=(0, *BVALS))
    (dataset / "sub-01/dwi/sub-01_acq-x_dwi.bvec").unlink()
    [found] = [one for one in find(dataset, "01") if one.label == "sub-01_acq-x"]
    assert isinstance(found, Acquisition)
    assert found.protocol.bvecs is None
    assert "sub-01_dwi.bvec belongs to sub-01_dwi.bval" in found.notes[0]


def with_extra_volume(dataset: Path, signal: Callable[[np.ndarray], np.ndarray], b: float = 1000) -> Any:
    """Append a volume without direction."""
    import nibabel as nib

    image = nib.load(dataset / f"{DWI}.nii.gz")
    data = np.asarray(image.dataobj)
    extra = signal(data)[..., None]
    synth.write_image(dataset / f"{DWI}.nii.gz", np.concatenate([data, extra], axis=-1))
    np.savetxt(dataset / f"{DWI}.bval", np.atleast_2d([*BVALS, b]))
    np.savetxt(dataset / f"{DWI}.bvec", np.vstack([synth.gradient_table(BVALS), np.zeros(3)]).T)
    return only(dataset)


def test_a_trace_image_costs_itself(dataset: Path) -> None:
    found = with_extra_volume(dataset, lambda data: np.exp(np.log(data[..., 2:]).mean(axis=-1)))
    assert found.volumes == tuple(range(14))
    assert found.protocol.n_measurements == 14
    assert "sub-01_dwi.bvec: volumes 14 (b = 1000)" in found.notes[0]
    assert "trace" in found.notes[0]


def test_b0_with_the_nominal_b_is_read_as_b0(dataset: Path) -> None:
    found = with_extra_volume(dataset, lambda data: data[..., 0])
    assert found.volumes is None
    assert found.protocol.bvals[14] == 0
    assert "sub-01_dwi.bval: volumes 14 have b = 1000" in found.notes[0]


def test_the_compressed_one_of_two_is_used_with_a_word(dataset: Path) -> None:
    import nibabel as nib

    nib.save(nib.load(dataset / f"{DWI}.nii.gz"), dataset / f"{DWI}.nii")
    assert "sub-01_dwi.nii.gz and sub-01_dwi.nii are both there" in only(dataset).notes[0]


def test_damaged_directions_cost_only_what_needs_them(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    synth.add_ivim(root)
    bvec = next(root.rglob("*.bvec"), root / "sub-01/dwi/sub-01_dwi.bvec")
    bvec.write_text("1 0 0\n0 1 0\n0 0 1\n")
    good, bad = find(root, "01")
    assert isinstance(good, Acquisition)
    assert choose_models(good, ())[0] == ["ivim"]
    assert isinstance(bad, Unusable)
    assert "holds 3 directions" in str(bad.error)


@pytest.mark.parametrize("b", [300, 500, 2500])
def test_an_average_at_a_b_value_of_its_own_costs_itself(dataset: Path, b: float) -> None:
    found = with_extra_volume(dataset, lambda data: data[..., 5], b)
    assert found.volumes == tuple(range(14))
    assert f"volumes 14 (b = {b}) have the direction 0 0 0 in a series of directions" in found.notes[0]


def test_averages_at_low_b_values_stay_for_perfusion(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    bvals = (0, 20, 40, 60, 100, 200, *([800] * 12))
    synth.add_tensor(root, bvals=bvals)
    vectors = synth.gradient_table(bvals)
    vectors[:6] = 0
    np.savetxt(root / f"{DWI}.bvec", vectors.T)
    found = only(root)
    assert found.volumes is None
    assert set(choose_models(found, ())[0]) == {"ivim"}
    assert choose_models(found, ("dti",))[0] == ["dti"]
