"""Regions come from a segmentation on the grid of the images, with the names of its table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import Acquisition, ReadOptions
from bids_qmri.bids.dataset import find
from bids_qmri.bids.images import open_series
from bids_qmri.bids.regions import Regions, find_regions


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = synth.new_dataset(tmp_path / "raw")
    synth.add_vfa(root)
    return root


@pytest.fixture
def segmentation(tmp_path: Path) -> Path:
    root = synth.new_dataset(tmp_path / "rois")
    labels = np.zeros(synth.SHAPE)
    labels[0], labels[1] = 1, 7
    synth.write_image(synth.place(root, "anat", "sub-01_desc-x_dseg.nii.gz"), labels)
    (root / "dseg.tsv").write_text("index\tname\n1\tliver\n9\tabsent\n")
    return root


def _regions(dataset: Path, tmp_path: Path, **options: object) -> Regions | None:
    choices = ReadOptions(**options)  # type: ignore[arg-type]
    found = find(dataset, "01", choices)[0]
    assert isinstance(found, Acquisition), found
    with open_series(found.images, tmp_path) as series:
        return find_regions(found, series, choices)


def test_labels_that_occur_are_named_by_the_table_or_by_their_number(
    dataset: Path, segmentation: Path, tmp_path: Path
) -> None:
    regions = _regions(dataset, tmp_path, derivatives={"rois": segmentation})
    assert regions is not None
    assert regions.names == {1: "liver", 7: "label 7"}
    assert regions.labels.reshape(synth.SHAPE, order="F")[1, 0, 0] == 7


def test_without_a_segmentation_there_are_no_regions(dataset: Path, tmp_path: Path) -> None:
    assert _regions(dataset, tmp_path) is None


def test_a_segmentation_on_another_grid_is_not_used(
    dataset: Path, segmentation: Path, tmp_path: Path
) -> None:
    synth.write_image(segmentation / "sub-01/anat/sub-01_desc-x_dseg.nii.gz", np.ones((2, 2, 2)))
    assert _regions(dataset, tmp_path, derivatives={"rois": segmentation}) is None


def test_filters_choose_among_segmentations(dataset: Path, segmentation: Path, tmp_path: Path) -> None:
    chosen = {"derivatives": {"rois": segmentation}, "filters": {"dseg": {"desc": "other"}}}
    assert _regions(dataset, tmp_path, **chosen) is None


def test_a_segmentation_without_regions_is_left_out(
    dataset: Path, segmentation: Path, tmp_path: Path
) -> None:
    synth.write_image(segmentation / "sub-01/anat/sub-01_desc-x_dseg.nii.gz", np.zeros(synth.SHAPE))
    assert _regions(dataset, tmp_path, derivatives={"rois": segmentation}) is None


@pytest.mark.parametrize("content", ["index\tname\n1\tGef\u00e4\u00df\n".encode("latin-1"), b"", b"\x00\x01"])
def test_a_table_that_cannot_be_read_costs_names_alone(
    dataset: Path, segmentation: Path, tmp_path: Path, content: bytes
) -> None:
    (segmentation / "dseg.tsv").write_bytes(content)
    regions = _regions(dataset, tmp_path, derivatives={"rois": segmentation})
    assert regions is not None
    assert regions.names == {1: "label 1", 7: "label 7"}


def test_a_damaged_segmentation_costs_itself(dataset: Path, segmentation: Path, tmp_path: Path) -> None:
    (segmentation / "sub-01/anat/sub-01_desc-x_dseg.nii.gz").write_bytes(b"\x1f\x8bjunk")
    assert _regions(dataset, tmp_path, derivatives={"rois": segmentation}) is None
