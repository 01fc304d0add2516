"""The page of an evaluation in a browser: quiet, whole, and no wider than the screen, folded or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synth

from bids_qmri.cli.evaluate import main

from .conftest import Visitor


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of three participants with two regions."""
    folder = tmp_path_factory.mktemp("evaluation")
    root, derived = synth.new_dataset(folder / "bids"), synth.new_dataset(folder / "rois", "derivative")
    for number in range(1, 4):
        synth.add_ivim(root, f"sub-0{number}")
        labels = np.ones(synth.SHAPE)
        labels[:2] = 2
        dseg = synth.place(derived, "dwi", f"sub-0{number}_desc-organs_dseg.nii.gz")
        synth.write_image(dseg, labels)
    command = ["--bids", str(root), "-d", f"rois={derived}", "--models", "ivim", "--output", str(folder)]
    assert main([*command, "--estimators", "lsq", "ncde"]) == 0
    return folder / "evaluation_ivim.html"


@pytest.mark.parametrize("width", [1440, 400])
def test_the_page_is_quiet_whole_and_fits_the_screen(page: Path, visit: Visitor, width: int) -> None:
    seen = visit(page, width=width)
    for folded in (True, False):
        if not folded:
            seen.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
        assert seen.page.locator("svg.chart").first.is_visible()
        assert seen.page.locator("table.slices img").first.evaluate("image => image.naturalWidth") > 0
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.clean, seen.complaints
