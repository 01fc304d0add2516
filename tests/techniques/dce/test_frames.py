"""Frame times: the unit that is stated, keys that must agree, and series that are too short."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_qmri.bids.sidecar import Sidecar
from bids_qmri.errors import InputError
from bids_qmri.techniques.dce.frames import frame_times

FRAMES = 30


def _times(n_frames: int = FRAMES, **keys: Any) -> tuple[np.ndarray, str, list[str]]:
    notes: list[str] = []
    sidecar = Sidecar(Path("sub-01_dce.nii.gz"), keys, {}, (Path("sub-01_dce.json"),))
    return *frame_times(sidecar, n_frames, notes), notes


@pytest.mark.parametrize(
    ("keys", "step"),
    [
        ({"TemporalResolution": 6.0, "AcquisitionDuration": 180.0}, 6.0),
        ({"TemporalResolution": 6.0, "AcquisitionDuration": 6.0}, 6.0),
        ({"RepetitionTime": 6.0, "AcquisitionDuration": 174.0}, 6.0),
        ({"RepetitionTime": 4.1, "RepetitionTimeExcitation": 0.0041, "TemporalResolution": 6.0}, 6.0),
        ({"TemporalResolution": 6.0, "RepetitionTime": 0.0041}, 6.0),
        ({"TemporalResolution": 1.15, "TemporalResolutionUnits": "min"}, 69.0),
        ({"TemporalResolution": 6000, "TemporalResolutionUnits": "ms"}, 6.0),
        ({"VolumeTiming": [6000.0 * i for i in range(FRAMES)], "VolumeTimingUnits": "ms"}, 6.0),
    ],
)
def test_keys_that_agree_and_units_that_are_stated_are_used(keys: dict[str, Any], step: float) -> None:
    time, _, notes = _times(**keys)
    np.testing.assert_allclose(np.diff(time), step)
    assert not any("fix" in note for note in notes)


@pytest.mark.parametrize(
    ("keys", "both"),
    [
        ({"RepetitionTime": 5.19556, "AcquisitionDuration": 460.5}, ("5.19556", "460.5")),
        ({"TemporalResolution": 6.0, "RepetitionTime": 12.0}, ("TemporalResolution", "RepetitionTime")),
        (
            {
                "VolumeTiming": [6.0 * i for i in range(FRAMES)],
                "FrameTimesStart": [12.0 * i for i in range(FRAMES)],
            },
            ("VolumeTiming", "FrameTimesStart"),
        ),
    ],
)
def test_keys_that_contradict_each_other_are_refused_by_both_names(
    keys: dict[str, Any], both: tuple[str, str]
) -> None:
    with pytest.raises(InputError, match="contradict") as caught:
        _times(**keys)
    assert all(word in str(caught.value) for word in both)


def test_a_list_of_times_wins_with_a_warning() -> None:
    time, key, notes = _times(VolumeTiming=[6.0 * i for i in range(FRAMES)], TemporalResolution=18.0)
    assert (key, time[1]) == ("VolumeTiming", 6.0)
    assert "TemporalResolution is 18; VolumeTiming is used" in notes[0]


@pytest.mark.parametrize(
    "keys",
    [
        {"TemporalResolution": 1.15},
        {"VolumeTiming": [1.15 * i for i in range(12)]},
        {"RepetitionTime": 1.15},
        {"AcquisitionDuration": 13.8},
        {"TemporalResolution": 69000},
    ],
)
def test_minutes_and_milliseconds_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        _times(12, **keys)
    assert caught.value.field in keys
    assert "minutes: multiply by 60" in caught.value.fix or "milliseconds" in caught.value.fix


def test_a_short_series_is_a_warning() -> None:
    _, _, notes = _times(40, TemporalResolution=1.5)
    assert "within 60 s" in notes[-1]


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        _times(TemporalResolution=6, TemporalResolutionUnits="frames")
    assert caught.value.field == "TemporalResolutionUnits"
