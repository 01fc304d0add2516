"""The transmit field: which images, which formula, which unit, on which grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import Acquisition, B1Source, ReadOptions, Unusable
from bids_qmri.bids.b1 import load_b1
from bids_qmri.bids.dataset import find
from bids_qmri.bids.images import open_series
from bids_qmri.errors import InputError

FIELD = synth.ramp(0.7, 1.3)
EVERYWHERE = np.ones(24, dtype=bool)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return synth.new_dataset(tmp_path / "raw")


def _source(dataset: Path, options: ReadOptions | None = None) -> B1Source | None:
    (found,) = [one for one in find(dataset, "01", options) if one.kind == "vfa"]
    assert isinstance(found, Acquisition), found
    return found.b1


def _load(
    source: B1Source, tmp_path: Path, mask: np.ndarray = EVERYWHERE, notes: list[str] | None = None
) -> np.ndarray:
    reference = synth.write_image(tmp_path / "reference.nii.gz", np.ones(synth.SHAPE))
    with open_series([reference], tmp_path) as series:
        return load_b1(source, series, mask, [] if notes is None else notes)


def _tb1map(root: Path, name: str = "sub-01_TB1map", **keys: object) -> Path:
    synth.write_image(synth.place(root, "fmap", f"{name}.nii.gz"), FIELD)
    return synth.write_json(synth.place(root, "fmap", f"{name}.json"), keys)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_factor_and_percent_are_told_apart_and_noted(tmp_path: Path, scale: float) -> None:
    path = synth.write_image(tmp_path / "x_TB1map.nii.gz", scale * FIELD)
    notes: list[str] = []
    field = _load(B1Source("TB1map", (path,)), tmp_path, notes=notes)
    np.testing.assert_allclose(field, FIELD.ravel(order="F"), rtol=1e-6)
    unit = "a factor" if scale == 1 else "percent"
    (note,) = notes
    assert note.startswith("x_TB1map.nii.gz: Units: no unit is stated; median")
    assert f"{scale:.3g} inside the mask, read as {unit}; needed" in note


@pytest.mark.parametrize("scale", [100.0, 800.0])
def test_words_that_are_no_unit_are_quoted(dataset: Path, tmp_path: Path, scale: float) -> None:
    synth.add_vfa(dataset)
    path = _tb1map(dataset, Units="arbitrary").with_suffix(".nii.gz")
    synth.write_image(path, scale * FIELD)
    source = _source(dataset)
    assert source is not None
    notes: list[str] = []
    if scale == 100:
        _load(source, tmp_path, notes=notes)
    else:
        with pytest.raises(InputError) as caught:
            _load(source, tmp_path)
        notes.append(str(caught.value))
    assert "Units: is 'arbitrary', which names no scale" in notes[-1]
    assert '"1", "percent", or "degree" or "rad" beside FlipAngle' in notes[-1]


@pytest.mark.parametrize("scale", [0.1, 10.0, 800.0])
def test_a_unit_that_cannot_be_told_is_refused_but_can_be_given(tmp_path: Path, scale: float) -> None:
    path = synth.write_image(tmp_path / "x_TB1map.nii.gz", scale * FIELD)
    with pytest.raises(InputError, match="--b1-units"):
        _load(B1Source("TB1map", (path,)), tmp_path)
    notes: list[str] = []
    given = _load(B1Source("TB1map", (path,), units="percent"), tmp_path, notes=notes)
    assert notes[0].endswith("read as percent (--b1-units)")
    np.testing.assert_allclose(given, 0.01 * scale * FIELD.ravel(order="F"), rtol=1e-6)


def test_the_unit_is_decided_inside_the_mask(tmp_path: Path) -> None:
    # Air reads 1 in a percent map: outside the mask it must not count.
    data = np.ones(synth.SHAPE)
    data[:2] = 95.0
    path = synth.write_image(tmp_path / "x_TB1map.nii.gz", data)
    field = _load(B1Source("TB1map", (path,)), tmp_path, data.ravel(order="F") > 50)
    np.testing.assert_allclose(field[data.ravel(order="F") > 50], 0.95, rtol=1e-6)


def test_unknown_values_are_nan_and_an_uncovered_mask_is_refused(tmp_path: Path) -> None:
    data = FIELD.copy()
    data[0, 0, 0], data[1, 0, 0], data[2, 0, 0] = 0, np.nan, -1
    path = synth.write_image(tmp_path / "x_TB1map.nii.gz", data)
    notes: list[str] = []
    field = _load(B1Source("TB1map", (path,)), tmp_path, notes=notes)
    assert np.flatnonzero(np.isnan(field)).tolist() == [0, 1, 2]
    assert notes[0] == "x_TB1map.nii.gz: no value in 12.5 % of the mask; maps are NaN there"
    nothing = synth.write_image(tmp_path / "y_TB1map.nii.gz", 0 * FIELD)
    with pytest.raises(InputError, match="no value in any voxel of the mask"):
        _load(B1Source("TB1map", (nothing,)), tmp_path)


def test_a_coarser_field_is_interpolated_between_known_voxels(tmp_path: Path) -> None:
    # A plane is reproduced exactly by linear interpolation, wherever the grids lie.
    coarse = synth.AFFINE @ np.diag([2.0, 2.0, 1.0, 1.0])
    x, y, z = np.meshgrid(range(4), range(4), range(4), indexing="ij")
    plane = 0.8 + 0.05 * x + 0.02 * y + 0.01 * z
    plane[3, 3, 3] = 0.0
    path = synth.write_image(tmp_path / "x_TB1map.nii.gz", plane, coarse)
    field = _load(B1Source("TB1map", (path,)), tmp_path).reshape(synth.SHAPE, order="F")
    x, y, z = np.meshgrid(range(4), range(3), range(2), indexing="ij")
    np.testing.assert_allclose(field, 0.8 + 0.025 * x + 0.01 * y + 0.01 * z, atol=1e-6)


def test_a_field_somewhere_else_is_refused(tmp_path: Path) -> None:
    away = synth.AFFINE.copy()
    away[:3, 3] += 500
    path = synth.write_image(tmp_path / "x_TB1map.nii.gz", FIELD, away)
    with pytest.raises(InputError, match="no value in any voxel"):
        _load(B1Source("TB1map", (path,)), tmp_path)


def test_double_angle_images_give_the_field(dataset: Path, tmp_path: Path) -> None:
    synth.add_vfa(dataset)
    for flip, angle in ((1, 120), (2, 60)):
        name = f"sub-01_flip-{flip}_TB1DAM"
        data = 1000 * np.sin(np.deg2rad(angle * FIELD))
        synth.write_image(dataset / "sub-01" / "fmap" / f"{name}.nii.gz", data)
        synth.write_json(
            dataset / "sub-01" / "fmap" / f"{name}.json",
            {"FlipAngle": angle, "RepetitionTimeExcitation": 0.5},
        )
    source = _source(dataset)
    assert source is not None
    np.testing.assert_allclose(_load(source, tmp_path), FIELD.ravel(order="F"), rtol=1e-5)


def test_actual_flip_angle_images_give_the_field(dataset: Path, tmp_path: Path) -> None:
    synth.add_vfa(dataset)
    t1, short, long = 1.0, 0.02, 0.1
    e1, e2, c = np.exp(-short / t1), np.exp(-long / t1), np.cos(np.deg2rad(60 * FIELD))
    signals = {"tr1": 1 - e2 + (1 - e1) * e2 * c, "tr2": 1 - e1 + (1 - e2) * e1 * c}
    for label, tr in (("tr1", short), ("tr2", long)):
        name = f"sub-01_acq-{label}_TB1AFI"
        synth.write_image(dataset / "sub-01" / "fmap" / f"{name}.nii.gz", 1000 * signals[label])
        keys = {"FlipAngle": 60, "RepetitionTimeExcitation": tr}
        synth.write_json(dataset / "sub-01" / "fmap" / f"{name}.json", keys)
    source = _source(dataset)
    assert source is not None
    # The formula is the limit of short repetition times: 0.3 % at TR 20/100 ms and T1 1 s.
    np.testing.assert_allclose(_load(source, tmp_path), FIELD.ravel(order="F"), rtol=0.01)


@pytest.mark.parametrize(
    "target",
    [
        "bids::sub-01/anat/sub-01_flip-1_VFA.nii.gz",
        "bids:raw:sub-01/anat/sub-01_flip-1_VFA.nii.gz",
        "anat/sub-01_flip-1_VFA.nii.gz",
        ["anat/other.nii.gz", "anat/sub-01_flip-2_VFA.nii.gz"],
    ],
)
def test_intended_for_chooses_among_several(dataset: Path, target: object) -> None:
    synth.add_vfa(dataset)
    _tb1map(dataset, "sub-01_run-1_TB1map")
    _tb1map(dataset, "sub-01_run-2_TB1map", IntendedFor=target)
    source = _source(dataset)
    assert source is not None
    assert source.files[0].name == "sub-01_run-2_TB1map.nii.gz"


def test_maps_meant_for_others_are_not_used_but_named(dataset: Path) -> None:
    synth.add_vfa(dataset)
    _tb1map(dataset, "sub-01_run-1_TB1map", IntendedFor="anat/sub-01_T1w.nii.gz")
    _tb1map(dataset, "sub-01_run-2_TB1map", IntendedFor=["anat/sub-01_T2w.nii.gz"])
    (found,) = [one for one in find(dataset, "01") if one.kind == "vfa"]
    assert isinstance(found, Acquisition)
    assert found.b1 is None
    assert found.notes[0] == (
        "2 transmit field(s) of this session are meant for other images: "
        "sub-01_run-1_TB1map.nii.gz, sub-01_run-2_TB1map.nii.gz"
    )


def test_several_without_intended_for_are_an_error_that_names_them(dataset: Path) -> None:
    synth.add_vfa(dataset)
    _tb1map(dataset, "sub-01_run-1_TB1map")
    _tb1map(dataset, "sub-01_run-2_TB1map")
    (found,) = [one for one in find(dataset, "01") if one.kind == "vfa"]
    assert isinstance(found, Unusable)
    assert "run-1_TB1map.nii.gz, sub-01_run-2_TB1map.nii.gz" in str(found.error)
    assert found.error.field == "IntendedFor"


def test_the_field_of_another_session_is_not_used(dataset: Path) -> None:
    synth.add_vfa(dataset, "sub-01_ses-1")
    _tb1map(dataset, "sub-01_ses-2_TB1map")
    assert _source(dataset) is None


def test_a_map_of_several_volumes_is_refused_for_the_field_cannot_be_told(dataset: Path) -> None:
    synth.add_vfa(dataset)
    _tb1map(dataset)
    path = synth.place(dataset, "fmap", "sub-01_TB1map.nii.gz")
    synth.write_image(path, np.stack([600 * np.ones_like(FIELD), FIELD], axis=-1))
    (found,) = [one for one in find(dataset, "01") if one.kind == "vfa"]
    assert isinstance(found, Unusable)
    assert (found.error.file, found.error.field) == (path, "dim")
    assert "2 volumes" in str(found.error)


def test_a_map_stored_twice_is_refused(dataset: Path) -> None:
    synth.add_vfa(dataset)
    _tb1map(dataset)
    synth.write_image(synth.place(dataset, "fmap", "sub-01_TB1map.nii"), FIELD)
    (found,) = [one for one in find(dataset, "01") if one.kind == "vfa"]
    assert isinstance(found, Unusable)
    assert "sub-01_TB1map.nii, sub-01_TB1map.nii.gz: 2 volumes" in str(found.error)


def test_a_broken_sidecar_of_another_session_does_no_harm(dataset: Path) -> None:
    synth.add_vfa(dataset, "sub-01_ses-1", b1=FIELD)
    _tb1map(dataset, "sub-01_ses-2_TB1map").write_text("{")
    source = _source(dataset)
    assert source is not None
    assert source.files[0].name == "sub-01_ses-1_TB1map.nii.gz"


def test_a_named_dataset_wins_over_the_raw_one(dataset: Path, tmp_path: Path) -> None:
    synth.add_vfa(dataset, b1=FIELD)
    derived = synth.new_dataset(tmp_path / "b1", "derivative")
    _tb1map(derived, "sub-01_desc-smooth_TB1map")
    source = _source(dataset, ReadOptions(derivatives={"b1": derived}, b1_units="factor"))
    assert source is not None
    assert (source.files[0].parts[-4], source.units) == ("b1", "factor")


def test_images_without_a_stated_scale_are_noted(dataset: Path) -> None:
    synth.add_vfa(dataset)
    synth.write_image(dataset / "sub-01" / "fmap" / "sub-01_acq-famp_TB1TFL.nii.gz", FIELD)
    (found,) = [one for one in find(dataset, "01") if one.kind == "vfa"]
    assert isinstance(found, Acquisition)
    assert found.b1 is None
    assert any("no stated scale" in note for note in found.notes)


@pytest.mark.parametrize(
    ("keys", "field"),
    [
        (({"FlipAngle": 60}, {"FlipAngle": 90}), "FlipAngle"),
        (({"FlipAngle": 60}, {}), "FlipAngle"),
        (({"FlipAngle": 60}, None), None),
    ],
)
def test_an_incomplete_pair_is_refused(
    dataset: Path, keys: tuple[dict[str, float], dict[str, float] | None], field: str | None
) -> None:
    synth.add_vfa(dataset)
    for flip, content in enumerate(keys, start=1):
        if content is None:
            continue
        name = f"sub-01_flip-{flip}_TB1DAM"
        synth.write_image(dataset / "sub-01" / "fmap" / f"{name}.nii.gz", FIELD)
        synth.write_json(dataset / "sub-01" / "fmap" / f"{name}.json", content)
    (found,) = [one for one in find(dataset, "01") if one.kind == "vfa"]
    assert isinstance(found, Unusable)
    assert found.error.field == field


@pytest.mark.parametrize(
    ("keys", "stored"),
    [
        ({"Units": "degree", "FlipAngle": 60}, 60.0),
        ({"Units": "rad", "FlipAngle": 60}, np.deg2rad(60.0)),
        ({"Units": "degrees*10", "FlipAngle": 80}, 800.0),
        ({"Units": "p.u."}, 100.0),
        ({"Units": "1"}, 1.0),
        ({"Units": "percent"}, 20.0),
    ],
)
def test_the_stated_unit_decides(
    dataset: Path, tmp_path: Path, keys: dict[str, object], stored: float
) -> None:
    synth.add_vfa(dataset)
    _tb1map(dataset, **keys)
    synth.write_image(synth.place(dataset, "fmap", "sub-01_TB1map.nii.gz"), stored * FIELD)
    source = _source(dataset)
    assert source is not None
    # Percent stay percent, however low: only the impossible is refused.
    truth = FIELD * (0.2 if stored == 20.0 else 1.0)
    np.testing.assert_allclose(_load(source, tmp_path), truth.ravel(order="F"), rtol=1e-5)


def test_an_angle_of_no_nominal_one_is_refused_by_its_key(dataset: Path) -> None:
    synth.add_vfa(dataset)
    _tb1map(dataset, Units="degree")
    (found,) = [one for one in find(dataset, "01") if one.kind == "vfa"]
    assert isinstance(found, Unusable)
    assert (found.error.field, "Units 'degree'" in str(found.error)) == ("FlipAngle", True)


def test_a_stated_unit_that_cannot_be_is_refused(dataset: Path, tmp_path: Path) -> None:
    synth.add_vfa(dataset)
    _tb1map(dataset, Units="percent")
    source = _source(dataset)
    assert source is not None
    with pytest.raises(InputError, match=r"0\.01 of the nominal"):
        _load(source, tmp_path)


def test_an_unstated_unit_near_the_nominal_angle_is_refused(tmp_path: Path) -> None:
    path = synth.write_image(tmp_path / "x_TB1map.nii.gz", 60 * FIELD)
    with pytest.raises(InputError, match="may be degrees of FlipAngle 60"):
        _load(B1Source("TB1map", (path,), nominal=60.0), tmp_path)


@pytest.mark.parametrize("times", [(0.02, 0.1), (0.1, 0.02)])
def test_both_images_of_actual_flip_angle_may_lie_in_one_file(
    dataset: Path, tmp_path: Path, times: tuple[float, float]
) -> None:
    synth.add_vfa(dataset)
    n, c = 5.0, np.cos(np.deg2rad(60 * FIELD))
    signals = {0.02: 1000 * np.ones_like(FIELD), 0.1: 1000 * (1 + n * c) / (n + c)}
    path = synth.place(dataset, "fmap", "sub-01_TB1AFI.nii.gz")
    synth.write_image(path, np.stack([signals[time] for time in times], axis=-1))
    keys = {"FlipAngle": 60, "RepetitionTimeExcitation": list(times)}
    synth.write_json(path.with_name("sub-01_TB1AFI.json"), keys)
    source = _source(dataset)
    assert source is not None
    np.testing.assert_allclose(_load(source, tmp_path), FIELD.ravel(order="F"), rtol=1e-5)


def test_both_angles_may_lie_in_one_file(dataset: Path, tmp_path: Path) -> None:
    synth.add_vfa(dataset)
    path = synth.place(dataset, "fmap", "sub-01_TB1DAM.nii.gz")
    angles = (120, 60)
    synth.write_image(path, np.stack([1000 * np.sin(np.deg2rad(a * FIELD)) for a in angles], axis=-1))
    synth.write_json(path.with_name("sub-01_TB1DAM.json"), {"FlipAngle": list(angles)})
    source = _source(dataset)
    assert source is not None
    np.testing.assert_allclose(_load(source, tmp_path), FIELD.ravel(order="F"), rtol=1e-5)


def test_two_volumes_without_two_times_are_refused(dataset: Path) -> None:
    synth.add_vfa(dataset)
    path = synth.place(dataset, "fmap", "sub-01_TB1AFI.nii.gz")
    synth.write_image(path, np.ones((*synth.SHAPE, 2)))
    keys = {"FlipAngle": 60, "RepetitionTimeExcitation": 0.02}
    synth.write_json(path.with_name("sub-01_TB1AFI.json"), keys)
    (found,) = [one for one in find(dataset, "01") if one.kind == "vfa"]
    assert isinstance(found, Unusable)
    assert found.error.field == "RepetitionTimeExcitation"
    assert "array of two" in str(found.error)


@pytest.mark.parametrize("suffix", ["TB1TFL", "TB1RFM"])
def test_a_value_at_the_nominal_angle_makes_scaled_maps_usable(
    dataset: Path, tmp_path: Path, suffix: str
) -> None:
    synth.add_vfa(dataset)
    for label, data in (("anat", 500 * np.ones_like(FIELD)), ("famp", 800 * FIELD)):
        path = synth.place(dataset, "fmap", f"sub-01_acq-{label}_{suffix}.nii.gz")
        synth.write_image(path, data)
        synth.write_json(path.with_name(f"sub-01_acq-{label}_{suffix}.json"), {"FlipAngle": 8})
    source = _source(dataset, ReadOptions(b1_units=800.0))
    assert source is not None
    np.testing.assert_allclose(_load(source, tmp_path), FIELD.ravel(order="F"), rtol=1e-5)


def test_both_images_of_a_field_are_brought_to_one_scale(dataset: Path, tmp_path: Path) -> None:
    synth.add_vfa(dataset)
    for flip, (angle, scale) in enumerate(((60, 5e-4), (120, 7e-4)), 1):
        path = synth.place(dataset, "fmap", f"sub-01_flip-{flip}_TB1DAM.nii.gz")
        synth.write_image(path, 1e6 * scale * np.sin(np.deg2rad(angle * FIELD)))
        keys = {"FlipAngle": angle, "PhilipsScaleSlope": scale, "UsePhilipsFloatNotDisplayScaling": 0}
        synth.write_json(path.with_name(f"sub-01_flip-{flip}_TB1DAM.json"), keys)
    source = _source(dataset)
    assert source is not None
    np.testing.assert_allclose(_load(source, tmp_path), FIELD.ravel(order="F"), rtol=1e-5)
