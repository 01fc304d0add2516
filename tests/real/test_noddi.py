"""NODDI of measured brain: three shells taken out of a grid of b-values; and series that have no shells."""

from __future__ import annotations

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import synth

from bids_qmri.cli.run import main

SHELLS = ((0, 50), (1450, 1600), (2700, 2850), (3900, 4100))


@pytest.fixture(scope="module")
def maps(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the maps of 40 images that lie on shells."""
    stem = shared_data / "bids-real" / "sub-dtigrid" / "dwi" / "sub-dtigrid_dwi"
    bvals, bvecs, image = (
        np.loadtxt(f"{stem}.bval"),
        np.loadtxt(f"{stem}.bvec").T,
        nib.load(f"{stem}.nii.gz"),
    )
    kept = np.any([(low <= bvals) & (bvals <= high) for low, high in SHELLS], axis=0)
    folder = tmp_path_factory.mktemp("shells")
    bids = synth.new_dataset(folder / "bids")
    data = np.asarray(image.dataobj)[..., kept]
    written = synth.add_dwi(bids, data, bvals[kept], bvecs[kept], "sub-dtigrid")
    synth.write_image(written, data, image.affine)
    folders = [str(bids), str(folder / "out"), "participant", "-w", str(folder / "work")]
    assert main([*folders, "--models", "noddi", "--methods", "lsq", "mle", "ncde", "--nprocs", "1"]) == 0
    return folder / "out" / "sub-dtigrid" / "dwi"


def load(maps: Path, param: str, label: str) -> np.ndarray:
    name = f"sub-dtigrid_model-noddi_param-{param}_desc-{label}_dwimap.nii.gz"
    return np.asanyarray(nib.load(maps / name).dataobj)


@pytest.mark.parametrize("label", ["lsq", "mle", "ncde"])
def test_white_matter_has_the_density_of_white_matter(maps: Path, label: str) -> None:
    # dipy finds a median FA of 0.4 in this crop: mostly white matter.
    assert 0.4 < np.median(load(maps, "icvf", label)) < 0.7
    assert 0.1 < np.median(load(maps, "odi", label)) < 0.4
    assert np.median(load(maps, "isovf", label)) < 0.15


def test_estimators_that_share_nothing_agree_on_dispersion_and_direction(maps: Path) -> None:
    fitted, learned = (load(maps, "odi", label) for label in ("lsq", "ncde"))
    assert np.corrcoef(fitted.ravel(), learned.ravel())[0, 1] > 0.95
    cosine = np.abs(np.sum(load(maps, "direction", "lsq") * load(maps, "direction", "ncde"), axis=-1))
    assert np.median(cosine[fitted < 0.3]) > np.cos(np.deg2rad(4))


@pytest.mark.parametrize(
    ("participant", "reason"),
    [
        ("dti", "directions at b = [994] s/mm^2"),
        ("dtigrid", "the b-values lie on a grid rather than on shells"),
        ("dtispine", "directions at b = [750] s/mm^2"),
        ("ivim1", "NODDI needs 2, one at 1000 or above"),
    ],
)
def test_series_without_shells_are_refused_for_their_own_reason(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], participant: str, reason: str
) -> None:
    folders = [str(shared_data / "bids-real"), str(tmp_path / "out"), "participant", "-w", str(tmp_path)]
    main([*folders, "--participant-label", participant, "--models", "noddi", "--dry-run"])
    assert re.search(f"not noddi: .*{re.escape(reason)}", capsys.readouterr().out)
