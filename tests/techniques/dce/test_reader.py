"""DCE series: names in the wild, time axis, arterial input, native T1, and the origin of every value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import Acquisition, FittedMap, ReadOptions, Unusable
from bids_qmri.bids.dataset import find
from bids_qmri.techniques.dce.settings import DceSettings

TIME = 6.0 * np.arange(30)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = synth.new_dataset(tmp_path / "raw")
    synth.add_vfa(root)
    synth.add_dce(root)
    return root


def _dce(dataset: Path, options: ReadOptions | None = None) -> Acquisition:
    found = [one for one in find(dataset, "01", options) if one.kind == "dce"]
    assert len(found) == 1
    assert isinstance(found[0], Acquisition), found[0]
    return found[0]


def _settings(dataset: Path, options: ReadOptions | None = None) -> DceSettings:
    settings = _dce(dataset, options).settings
    assert settings is not None
    return settings


def _edit(dataset: Path, **changes: Any) -> None:
    synth.edit_json(dataset / "sub-01" / "perf" / "sub-01_dce.json", **changes)


def test_settings_are_those_of_the_sidecars(dataset: Path) -> None:
    found = _dce(dataset)
    settings = found.settings
    assert settings is not None
    np.testing.assert_array_equal(settings.time, TIME)
    assert settings.flip_angle == pytest.approx(np.deg2rad(15))
    assert (settings.repetition_time, settings.relaxivity, settings.baseline_volumes) == (0.005, 4.5, 5)
    assert (found.kind, found.datatype, found.protocol, found.notes) == ("dce", "perf", None, ())
    assert settings.origin == {
        "time": "VolumeTiming",
        "hematocrit": "not used: the arterial input is that of plasma",
        "aif": "table beside the images",
        "relaxivity": "sidecar ContrastAgentRelaxivity",
        "baseline_volumes": "sidecar BaselineVolumes",
        "t10": "VFA series sub-01",
    }


def test_the_command_line_wins(dataset: Path) -> None:
    options = ReadOptions(
        values={"relaxivity": 3.6, "hematocrit": 0.4, "t10": 1.4, "aif": "georgiou", "baseline_volumes": 3}
    )
    settings = _settings(dataset, options)
    assert (settings.relaxivity, settings.hematocrit, settings.t10) == (3.6, 0.4, 1.4)
    assert (settings.aif.name, settings.baseline_volumes) == ("georgiou", 3)
    del_time = {key: origin for key, origin in settings.origin.items() if key != "time"}
    assert set(del_time.values()) == {"command line"}


@pytest.mark.parametrize(
    ("datatype", "suffix"),
    [("perf", "dce"), ("dce", "DCE"), ("fmap", "DCE"), ("perf", "perf"), ("anat", "dce")],
)
def test_names_in_the_wild_are_accepted(tmp_path: Path, datatype: str, suffix: str) -> None:
    root = synth.new_dataset(tmp_path)
    synth.add_dce(root, suffix=suffix, datatype=datatype)
    found = _dce(root, ReadOptions(values={"t10": 1.0}))
    assert (found.datatype, found.label) == ("perf", "sub-01")


def test_arterial_spin_labelling_is_no_dce(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path)
    synth.add_dce(root, suffix="perf", metadata={"ArterialSpinLabelingType": "PCASL"})
    synth.write_image(root / "sub-01" / "perf" / "sub-01_asl.nii.gz", np.ones((*synth.SHAPE, 4)))
    assert find(root, "01") == []


@pytest.mark.parametrize(
    ("keys", "origin"),
    [
        ({"FrameTimesStart": TIME.tolist()}, "FrameTimesStart"),
        ({"TemporalResolution": 6}, "TemporalResolution"),
        ({"TemporalResolution": 6, "RepetitionTime": 0.005}, "TemporalResolution"),
        ({"RepetitionTime": 6.0}, "RepetitionTime"),
        ({"AcquisitionDuration": 180, "RepetitionTime": 0.005}, "AcquisitionDuration"),
    ],
)
def test_frame_times_come_from_the_first_key_that_states_them(
    dataset: Path, keys: dict[str, Any], origin: str
) -> None:
    _edit(dataset, VolumeTiming=None, **keys)
    settings = _settings(dataset)
    np.testing.assert_allclose(settings.time, TIME)
    assert settings.origin["time"] == origin


def test_the_header_is_never_asked_for_the_time(dataset: Path) -> None:
    _edit(dataset, VolumeTiming=None, RepetitionTime=0.005)
    bad = next(one for one in find(dataset, "01") if isinstance(one, Unusable))
    assert bad.error.field == "VolumeTiming"


def test_a_short_repetition_time_is_that_of_the_excitation(dataset: Path) -> None:
    _edit(dataset, RepetitionTimeExcitation=None, RepetitionTime=0.005)
    assert _settings(dataset).repetition_time == 0.005


def test_baseline_frames_are_those_before_the_bolus_arrives(dataset: Path) -> None:
    _edit(dataset, BaselineVolumes=None, BolusArrivalTime=29.0)
    assert _settings(dataset).baseline_volumes == 5


def test_without_a_statement_the_mean_curve_decides(dataset: Path) -> None:
    _edit(dataset, BaselineVolumes=None)
    settings = _settings(dataset)
    assert settings.baseline_volumes is None
    assert settings.origin["baseline_volumes"] == "mean curve"


def test_an_assumed_relaxivity_is_noted_with_its_consequence(dataset: Path) -> None:
    _edit(dataset, ContrastAgentRelaxivity=None)
    found = _dce(dataset)
    assert found.settings is not None
    assert found.settings.origin["relaxivity"] == "default"
    assert any("4.5 L/mmol/s assumed" in note for note in found.notes)


def _aif_files(dataset: Path) -> tuple[Path, Path]:
    table = dataset / "sub-01" / "perf" / "sub-01_aif.tsv"
    return table, table.with_suffix(".json")


def test_plasma_stays_and_blood_is_divided_by_the_plasma_fraction(dataset: Path) -> None:
    plasma = _settings(dataset).aif.plasma
    table, described = _aif_files(dataset)
    synth.edit_json(described, ConcentrationType="blood")
    found = _dce(dataset, ReadOptions(values={"hematocrit": 0.4}))
    assert found.settings is not None
    assert plasma is not None
    assert found.settings.aif.plasma is not None
    np.testing.assert_allclose(found.settings.aif.plasma, plasma / 0.6)
    assert found.settings.aif.file == table
    assert table in found.sources
    assert any("Hematocrit 0.42 assumed" in note for note in _dce(dataset).notes)


def test_the_derivative_spelling_of_the_table_is_found(dataset: Path) -> None:
    table, described = _aif_files(dataset)
    table.rename(table.with_name("sub-01_desc-aif_timeseries.tsv"))
    described.rename(table.with_name("sub-01_desc-aif_timeseries.json"))
    assert _settings(dataset).aif.name == "measured"


def test_the_table_of_another_run_is_not_used(dataset: Path) -> None:
    table, described = _aif_files(dataset)
    table.rename(table.with_name("sub-01_run-2_aif.tsv"))
    described.rename(table.with_name("sub-01_run-2_aif.json"))
    assert _settings(dataset).aif.name == "parker"


def test_without_a_table_the_population_input_is_noted(dataset: Path) -> None:
    for path in _aif_files(dataset):
        path.unlink()
    found = _dce(dataset)
    assert found.settings is not None
    assert (found.settings.aif.name, found.settings.aif.time) == ("parker", None)
    assert any("'parker' is used (--aif)" in note for note in found.notes)


def test_a_table_can_be_named_on_the_command_line(dataset: Path, tmp_path: Path) -> None:
    time = np.arange(0.0, 180.0)
    other = synth.new_dataset(tmp_path / "aif")
    (other / "sub-01" / "perf").mkdir(parents=True)
    table = synth.add_aif(other, "sub-01", time, 2 * synth.arterial_input(time))
    aif = _settings(dataset, ReadOptions(values={"aif": str(table)})).aif
    assert aif.file == table
    assert aif.plasma is not None
    np.testing.assert_allclose(aif.plasma, 2 * synth.arterial_input(time), atol=1e-5)


def test_a_t1_map_on_the_same_grid_wins_over_vfa(dataset: Path) -> None:
    path = synth.write_image(dataset / "sub-01" / "anat" / "sub-01_T1map.nii.gz", synth.ramp(0.5, 2))
    synth.write_image(dataset / "sub-01" / "anat" / "sub-01_desc-lsqStd_T1map.nii.gz", synth.ramp(0, 1))
    synth.write_image(dataset / "sub-01" / "anat" / "sub-01_acq-big_T1map.nii.gz", np.ones((9, 9, 9)))
    assert _dce(dataset).maps == {"t10": path}


@pytest.mark.parametrize("t10", [1200.0, 0.0012, 10.0])
def test_a_native_t1_that_no_tissue_has_in_seconds_is_refused(dataset: Path, t10: float) -> None:
    bad = next(
        one for one in find(dataset, "01", ReadOptions(values={"t10": t10})) if isinstance(one, Unusable)
    )
    assert bad.error.field == "--t10"
    assert f"is {t10:g}" in str(bad.error)
    assert "divide milliseconds by 1000" in str(bad.error)


def test_one_of_several_t1_maps_is_left_by_a_filter(dataset: Path) -> None:
    for label in ("a", "b"):
        synth.write_image(
            synth.place(dataset, "anat", f"sub-01_acq-{label}_T1map.nii.gz"), np.ones(synth.SHAPE)
        )
    bad = next(one for one in find(dataset, "01") if isinstance(one, Unusable))
    assert "2 sources of native T1" in str(bad.error)
    assert "--bids-filter-file (kinds t1map and vfa)" in str(bad.error)
    t10 = _dce(dataset, ReadOptions(filters={"t1map": {"acquisition": "b"}})).maps["t10"]
    assert isinstance(t10, Path)
    assert t10.name == "sub-01_acq-b_T1map.nii.gz"


def test_a_t1_map_of_a_named_dataset_serves(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path / "raw")
    synth.add_dce(root)
    derived = synth.new_dataset(tmp_path / "t1", "derivative")
    path = derived / "sub-01" / "anat" / "sub-01_desc-x_T1map.nii.gz"
    synth.write_image(path, synth.ramp(0.5, 2))
    found = _dce(root, ReadOptions(derivatives={"t1": derived}))
    assert found.settings is not None
    assert found.maps == {"t10": path}
    assert path in found.sources


def _transmit_field(dataset: Path, name: str, **keys: object) -> Path:
    image = synth.write_image(synth.place(dataset, "fmap", f"{name}.nii.gz"), synth.ramp(0.8, 1.2))
    synth.write_json(synth.place(dataset, "fmap", f"{name}.json"), keys)
    return image


def test_a_transmit_field_meant_for_the_series_is_found_whatever_gives_native_t1(dataset: Path) -> None:
    _transmit_field(dataset, "sub-01_run-1_TB1map", IntendedFor="anat/sub-01_flip-1_VFA.nii.gz")
    own = _transmit_field(dataset, "sub-01_run-2_TB1map", IntendedFor="bids::sub-01/perf/sub-01_dce.nii.gz")
    for options in (ReadOptions(), ReadOptions(values={"t10": 1.4})):
        found = _dce(dataset, options)
        assert found.b1 is not None
        assert found.b1.files == (own,)
        assert own in found.sources


def test_the_field_of_the_vfa_series_that_gives_native_t1_serves_too(dataset: Path) -> None:
    field = _transmit_field(dataset, "sub-01_TB1map", IntendedFor="anat/sub-01_flip-1_VFA.nii.gz")
    found = _dce(dataset)
    assert found.b1 is not None
    assert found.b1.files == (field,)
    assert found.sources.count(field) == 1
    assert found.notes == ("the transmit field of the VFA series sub-01 is used",)
    assert _dce(dataset, ReadOptions(values={"t10": 1.4})).b1 is None


def test_vfa_of_the_same_session_gives_native_t1(tmp_path: Path) -> None:
    root = synth.new_dataset(tmp_path)
    for session in ("1", "2"):
        synth.add_vfa(root, f"sub-01_ses-{session}")
    synth.add_dce(root, "sub-01_ses-2")
    dce = next(one for one in find(root, "01") if isinstance(one, Acquisition) and one.kind == "dce")
    assert dce.settings is not None
    assert isinstance(dce.maps["t10"], FittedMap)
    assert dce.maps["t10"].acquisition.label == "sub-01_ses-2"
    assert set(dce.maps["t10"].acquisition.images) < set(dce.sources)
