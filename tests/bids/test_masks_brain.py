"""Brains of volumes of heads: when they are extracted, and what is said where they are not."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pytest
import synth
from heads import head

from bids_qmri.bids import brain, masks
from bids_qmri.bids.acquisition import Acquisition, ReadOptions
from bids_qmri.bids.brain import brain_of, installed, told_head
from bids_qmri.bids.dataset import find
from bids_qmri.bids.images import open_series
from bids_qmri.bids.masks import MaskChoice, find_mask
from bids_qmri.errors import InputError
from bids_qmri.estimation.tissue import tissue_mask

AFFINE = np.diag([-4.0, 4.0, 4.0, 1.0])
needs_deepbet = pytest.mark.skipif(find_spec("deepbet") is None, reason="needs the extra bids_qmri[brain]")


class _Stub:
    """Stands for deepbet: takes the brightest voxels for the brain, and notes what it was given."""

    seen: list[nib.Nifti1Image] = []  # noqa: RUF012

    def __init__(self, *, no_gpu: bool) -> None:
        assert no_gpu

    def run(self, image: nib.Nifti1Image) -> tuple[None, nib.Nifti1Image, float]:
        self.seen.append(image)
        data = image.get_fdata()
        if data.max() < 5:
            raise ValueError("attempt to get argmax of an empty sequence")
        return None, nib.Nifti1Image((data > 50).astype(np.uint8), image.affine), 0.0


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> type[_Stub]:
    module = ModuleType("deepbet")
    module.BrainExtraction = _Stub  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "deepbet", module)
    monkeypatch.setattr(masks, "installed", lambda: "deepbet 1.0.2")
    _Stub.seen.clear()
    return _Stub


def _ball(shape: tuple[int, int, int], radius: float) -> np.ndarray:
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    return sum((axis - n / 2) ** 2 for axis, n in zip(axes, shape, strict=True)) < radius**2


def _choose(
    folder: Path, *, mask: str = "auto", shape: tuple[int, int, int] = (24, 20, 22), **metadata: object
) -> MaskChoice:
    root = synth.new_dataset(folder / "raw")
    synth.add_vfa(root, metadata=metadata)
    for path in root.rglob("*VFA.nii.gz"):
        synth.write_image(path, 30.0 * _ball(shape, 9) + 70 * _ball(shape, 6), AFFINE)
    options = ReadOptions(mask=mask)  # type: ignore[arg-type]
    found = find(root, "01", options)[0]
    assert isinstance(found, Acquisition), found
    with open_series(found.images, folder) as series:
        return find_mask(found, series, options)


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"BodyPart": "BRAIN"}, "BodyPart BRAIN"),
        ({"BodyPartExamined": "Head"}, "BodyPartExamined Head"),
        ({"BodyPart": "LIVER"}, ""),
        ({}, ""),
    ],
)
def test_sidecars_tell_a_head(metadata: dict[str, str], told: str) -> None:
    assert told_head(metadata) == told


def test_the_brain_of_a_head_is_extracted_and_the_origin_says_by_what(
    tmp_path: Path, stub: type[_Stub]
) -> None:
    choice = _choose(tmp_path, BodyPartExamined="HEAD")
    expected = _ball((24, 20, 22), 6)
    np.testing.assert_array_equal(choice.mask.reshape(expected.shape, order="F"), expected)
    assert choice.origin == "automatic: the brain, by deepbet 1.0.2, since BodyPartExamined HEAD"
    assert choice.skull_stripped


def test_it_sees_a_view_of_200_mm_with_the_head_in_its_place(tmp_path: Path, stub: type[_Stub]) -> None:
    _choose(tmp_path, BodyPart="HEAD")
    (image,) = stub.seen
    assert min(np.array(image.shape) * 4) >= 200
    np.testing.assert_array_equal(image.affine, AFFINE)
    assert np.count_nonzero(image.get_fdata()) == _ball((24, 20, 22), 9).sum()


@pytest.mark.parametrize(
    ("options", "origin"),
    [
        ({}, "automatic: the object above the noise floor, holes filled"),
        ({"mask": "body", "BodyPart": "HEAD"}, "automatic: the object above the noise floor, holes filled"),
        ({"BodyPart": "HEAD", "shape": (30, 30, 4)}, "16 mm are too few for brain extraction"),
    ],
)
def test_else_the_object_is_taken(
    tmp_path: Path, stub: type[_Stub], options: dict[str, object], origin: str
) -> None:
    choice = _choose(tmp_path, **options)  # type: ignore[arg-type]
    assert origin in choice.origin
    assert not choice.skull_stripped
    assert not stub.seen


def test_a_brain_may_be_asked_for(tmp_path: Path, stub: type[_Stub]) -> None:
    assert _choose(tmp_path, mask="brain").origin == "automatic: the brain, by deepbet 1.0.2, as asked"


def test_without_the_extra_a_head_is_taken_whole_and_the_origin_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masks, "installed", lambda: "")
    choice = _choose(tmp_path, BodyPart="HEAD")
    np.testing.assert_array_equal(choice.mask, _ball((24, 20, 22), 9).ravel(order="F"))
    assert choice.origin.endswith("(a head, but bids_qmri[brain] is not installed)")


def test_a_brain_asked_for_without_the_extra_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masks, "installed", lambda: "")
    with pytest.raises(InputError, match=r"pip install 'bids_qmri\[brain\]'"):
        _choose(tmp_path, mask="brain")


@pytest.mark.parametrize("level", [3.0, 40.0])
def test_where_it_sees_none_there_is_none(stub: type[_Stub], level: float) -> None:
    head_ = _ball((20, 20, 20), 8)
    assert brain_of(level * head_, head_, AFFINE) is None


def test_its_version_is_told_if_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brain, "find_spec", lambda name: None)
    assert installed() == ""


@needs_deepbet
@pytest.mark.parametrize("seed", [201, 202])
@pytest.mark.parametrize("snr", [8, 25])
@pytest.mark.parametrize(("contrast", "least"), [("t1", 0.97), ("b0", 0.92), ("pd", 0.92)])
def test_brains_of_simulated_heads_are_found(contrast: str, least: float, snr: float, seed: int) -> None:
    image, truth, affine = head(contrast, snr, seed)
    found = brain_of(image, tissue_mask(image, image > 0), affine)
    assert found is not None
    dice = 2 * np.sum(found & truth) / (found.sum() + truth.sum())
    lost = np.sum(truth & ~found) / truth.sum()
    print(f"{contrast} SNR {snr}: Dice {dice:.3f}, lost {lost:.4f}")
    assert dice > least
    assert lost < 0.02


@needs_deepbet
@pytest.mark.parametrize("contrast", ["t1", "b0", "pd"])
def test_a_slab_of_a_head_loses_no_slice(contrast: str) -> None:
    image, truth, affine = (part[..., 26:50] if part.ndim == 3 else part for part in head(contrast, 20, 203))
    found = brain_of(image, tissue_mask(image, image > 0), affine)
    assert found is not None
    lost = np.sum(truth & ~found, axis=(0, 1)) / truth.sum(axis=(0, 1))
    print(f"{contrast}: lost in the worst slice {lost.max():.3f}")
    assert lost.max() < 0.1


@needs_deepbet
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_the_orientation_of_the_array_does_not_matter(flips: tuple[int, int, int]) -> None:
    image, truth, _ = head("t1", 20, 204)
    turned = tuple(slice(None, None, flip) for flip in flips)
    image, truth = image[turned].transpose(2, 0, 1), truth[turned].transpose(2, 0, 1)
    affine = np.zeros((4, 4))
    affine[[0, 1, 2, 3], [1, 2, 0, 3]] = [3 * flips[0], 3 * flips[1], 3 * flips[2], 1]
    found = brain_of(image, tissue_mask(image, image > 0), affine)
    assert found is not None
    assert 2 * np.sum(found & truth) / (found.sum() + truth.sum()) > 0.97


@needs_deepbet
def test_a_measured_head_keeps_the_slices_where_it_is_cut(shared_data: Path) -> None:
    """An echo-planar b = 0 image of 84 mm: what is bright in its lowest slices is brain."""
    path = shared_data / "bids-real/sub-dtiuih/dwi/sub-dtiuih_dir-AP_dwi.nii.gz"
    image = nib.load(path)
    mean = np.asarray(image.dataobj[..., 0], dtype=float)
    found = brain_of(mean, tissue_mask(mean, mean > 0), image.affine)
    assert found is not None
    bright = mean > 0.25 * np.percentile(mean, 98)
    kept = [np.mean(found[..., z][bright[..., z]]) for z in range(14)]
    print(f"dtiuih: kept of what is bright, per slice {np.round(kept, 2)}")
    assert min(kept) > 0.9
