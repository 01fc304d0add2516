"""Maps do not depend on the order in which files store voxels, and lie as the images of their scan do."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import synth
from turning import AS_IT_IS, EVERY, Order, turn_file, turned

from bids_qmri.catalogue import get_model
from bids_qmri.cli.run import main
from bids_qmri.estimators.base import get_estimator
from bids_qmri.interfaces.files import fit_files

FLIPS = (3.0, 10.0, 20.0)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three flip angles, a transmit field and a mask, all in one order."""
    root = tmp_path_factory.mktemp("inputs")
    field = synth.ramp(0.8, 1.2)
    synth.add_vfa(root, flips=FLIPS, b1=field)
    mask = np.ones(synth.SHAPE)
    mask[0, 0] = 0
    synth.write_image(root / "mask.nii.gz", mask)
    return root


def fitted(folder: Path, orders: list[Order]) -> nib.Nifti1Image:
    """Return T1 from files in given orders: three images, transmit field, mask."""
    images = [folder / f"sub-01/anat/sub-01_flip-{i}_VFA.nii.gz" for i in (1, 2, 3)]
    field, mask = folder / "sub-01/fmap/sub-01_TB1map.nii.gz", folder / "mask.nii.gz"
    for path, order in zip([*images, field, mask], orders, strict=True):
        turn_file(path, order)
    model, estimator = get_model("vfa"), get_estimator("vfa", "lsq")
    told = {"flip_angles": FLIPS, "repetition_time": 0.015, "b1_map": field, "b1_units": "percent"}
    found = fit_files(model, estimator, folder, mask=mask, in_files=images, **told)
    return nib.load(found["t1"])


@pytest.mark.parametrize("number", range(48))
def test_t1_from_files_in_48_orders(inputs: Path, tmp_path: Path, number: int) -> None:
    """Each input in another order: first image and maps in one, the others in four more."""
    copies = [shutil.copytree(inputs, tmp_path / name) for name in ("as-it-is", "turned")]
    orders = [EVERY[(number + step) % 48] for step in (0, 5, 10, 17, 29)]
    expected = turned(fitted(copies[0], [AS_IT_IS] * 5), orders[0])
    found = fitted(copies[1], orders)
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-4)
    np.testing.assert_array_equal(found.get_fdata(), expected.get_fdata())


@pytest.mark.parametrize("order", [EVERY[4], EVERY[13], EVERY[35]])
def test_all_maps_of_the_command_in_another_order(tmp_path: Path, order: Order) -> None:
    maps = {}
    for name, how in (("as-it-is", AS_IT_IS), ("turned", order)):
        root = synth.new_dataset(tmp_path / name / "bids")
        synth.add_vfa(root)
        synth.add_dce(root)
        synth.add_tensor(root, bvals=synth.TWO_SHELL)
        for path in root.rglob("*.nii.gz"):
            turn_file(path, how)
        arguments = [
            str(root),
            str(tmp_path / name / "out"),
            "participant",
            "-w",
            str(tmp_path / name / "work"),
        ]
        chosen = ["--models", "vfa", "etofts", "dti", "noddi", "--estimators", "lsq", "ncde", "wls"]
        assert main([*arguments, *chosen]) == 0
        found = sorted((tmp_path / name / "out").rglob("*.nii.gz"))
        maps[name] = {path.name: nib.load(path) for path in found}
    assert len(maps["turned"]) > 60
    for name, image in maps["as-it-is"].items():
        expected, found = turned(image, order), maps["turned"][name]
        np.testing.assert_allclose(found.affine, expected.affine, atol=1e-4)
        was, now = expected.get_fdata(), found.get_fdata()
        if "direction" in name:
            axes, signs = order
            np.testing.assert_allclose(
                np.abs(np.sum(was[..., list(axes)] * signs * now, axis=-1)), 1, atol=1e-4
            )
        else:
            np.testing.assert_allclose(now, was, rtol=1e-5, atol=1e-9 + 1e-6 * np.nanmax(np.abs(was)))
