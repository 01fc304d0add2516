"""Which value an image has: one 3-D image for each, or a list beside a 4-D image; s, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import synth
import synth_contrasts
from reading import edit, one, refused, said

from bids_qmri.bids.acquisition import Acquisition, ReadOptions
from bids_qmri.bids.dataset import find

SERIES: dict[str, tuple[Callable[..., Any], str, str]] = {
    "IRT1": (synth_contrasts.add_irt1, "inv", "InversionTime"),
    "MESE": (synth_contrasts.add_mese, "echo", "EchoTime"),
    "MEGRE": (synth_contrasts.add_megre, "echo", "EchoTime"),
}
COUNT = {"IRT1": 6, "MESE": 12, "MEGRE": 8}


@pytest.fixture(params=list(SERIES))
def suffix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def dataset(tmp_path: Path, suffix: str) -> Path:
    root = synth.new_dataset(tmp_path / "raw")
    SERIES[suffix][0](root)
    return root


def name(suffix: str, index: int) -> str:
    return f"sub-01_{SERIES[suffix][1]}-{index}_{suffix}"


def times(root: Path) -> list[float]:
    """Return the values of the one series, in s."""
    [values] = [v for key, v in one(root).protocol.values().items() if key.endswith("_time")]
    return [round(float(value), 6) for value in values]


def joined(root: Path, suffix: str, **keys: Any) -> Path:
    """Turn the images into one 4-D image with the keys given."""
    folder = root / "sub-01" / "anat"
    paths = [folder / f"{name(suffix, i)}.nii.gz" for i in range(1, COUNT[suffix] + 1)]
    volumes = np.stack([np.asarray(nib.load(path).dataobj) for path in paths], axis=-1)
    for path in paths:
        path.unlink()
        path.with_name(path.name.replace(".nii.gz", ".json")).unlink()
    synth.write_json(folder / f"sub-01_{suffix}.json", keys)
    return synth.write_image(folder / f"sub-01_{suffix}.nii.gz", volumes)


def test_the_key_decides_and_never_the_label(dataset: Path, suffix: str) -> None:
    _, _, key = SERIES[suffix]
    before = times(dataset)
    edit(dataset, name(suffix, 1), **{key: before[-1]})
    edit(dataset, name(suffix, COUNT[suffix]), **{key: before[0]})
    assert times(dataset) == before == sorted(before)
    assert one(dataset).images[0].name == f"{name(suffix, COUNT[suffix])}.nii.gz"


def test_a_list_beside_a_4d_image(dataset: Path, suffix: str) -> None:
    _, _, key = SERIES[suffix]
    before = times(dataset)
    path = joined(dataset, suffix, **{key: before})
    assert times(dataset) == before
    assert one(dataset).images == (path,)


@pytest.mark.parametrize("change", ["short", "number", "none", "words"])
def test_a_4d_image_without_one_value_for_each_volume_is_refused(
    dataset: Path, suffix: str, change: str
) -> None:
    _, _, key = SERIES[suffix]
    values = times(dataset)
    given = {"short": values[:-1], "number": values[0], "none": None, "words": ["a"] * len(values)}[change]
    joined(dataset, suffix, **({} if given is None else {key: given}))
    error = refused(dataset).error
    assert error.field == key
    assert f"sub-01_{suffix}.json" in str(error)


def test_milliseconds_are_refused_with_the_number_to_write(dataset: Path, suffix: str) -> None:
    _, _, key = SERIES[suffix]
    for index, value in enumerate(times(dataset), 1):
        edit(dataset, name(suffix, index), **{key: 1000 * value})
    error = refused(dataset).error
    assert error.field == key
    assert "if it is in milliseconds, write 0." in str(error)
    assert suffix in Path(str(error.file)).name


def test_numbers_as_text_are_read_and_said(dataset: Path, suffix: str) -> None:
    _, _, key = SERIES[suffix]
    before = times(dataset)
    edit(dataset, name(suffix, 2), **{key: str(before[1])})
    assert times(dataset) == before
    assert said(one(dataset), key, "text")


@pytest.mark.parametrize("value", [None, -0.01, "soon", True])
def test_a_missing_or_odd_value_is_named_with_file_and_key(dataset: Path, suffix: str, value: object) -> None:
    _, _, key = SERIES[suffix]
    edit(dataset, name(suffix, 2), **{key: value})
    found = refused(dataset)
    assert found.fault
    assert found.error.field == key
    assert f"{name(suffix, 2)}.json" in str(found.error) or f"{name(suffix, 2)}.nii.gz" in str(found.error)


def test_phases_beside_magnitudes_are_left_alone(dataset: Path, suffix: str) -> None:
    entity = SERIES[suffix][1]
    before = one(dataset).images
    phase = dataset / "sub-01" / "anat" / f"sub-01_{entity}-1_part-phase_{suffix}.nii.gz"
    synth.write_image(phase, np.ones(synth_contrasts.SHAPE))
    (found,) = [each for each in find(dataset, "01") if each.kind == suffix.lower()]
    assert isinstance(found, Acquisition)
    assert found.images == before


def test_a_filter_of_its_kind_chooses_images(dataset: Path, suffix: str) -> None:
    assert one(dataset, filters={suffix.lower(): {"datatype": "anat"}}) is not None
    assert find(dataset, "01", ReadOptions(filters={suffix.lower(): {"acq": "other"}})) == []
