"""What a sidecar calls a file leads back to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_qmri.bids.sources import bids_uri, file_of


@pytest.mark.parametrize("name", ["sub-01_dseg.nii.gz", "with space: #1.nii", "übung%20.nii"])
def test_a_name_leads_back_to_the_file(tmp_path: Path, name: str) -> None:
    datasets = {"raw": tmp_path / "raw", "atlas": tmp_path / "raw" / "derivatives" / "atlas"}
    for folder in (*datasets.values(), tmp_path / "elsewhere"):
        file = folder / "sub-01" / "anat" / name
        assert file_of(bids_uri(file, datasets), datasets) == file


def test_a_dataset_that_nobody_names_leads_nowhere(tmp_path: Path) -> None:
    assert file_of("bids:atlas:sub-01/anat/a.nii.gz", {"raw": tmp_path}) is None
