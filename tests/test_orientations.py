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
        elif "diffusivity" in name:
            np.testing.assert_allclose(matrices(now), turned_matrices(was, order), atol=1e-8)
        else:
            np.testing.assert_allclose(now, was, rtol=1e-5, atol=1e-9 + 1e-6 * np.nanmax(np.abs(was)))


def matrices(tensor: np.ndarray) -> np.ndarray:
    """Return D11 D12 D13 D22 D23 D33 of voxels as matrices."""
    return tensor[..., [[0, 1, 2], [1, 3, 4], [2, 4, 5]]]


def turned_matrices(tensor: np.ndarray, order: Order) -> np.ndarray:
    """Return tensors along axes that run in another order."""
    axes, signs = list(order[0]), np.array(order[1])
    return matrices(tensor)[..., axes, :][..., axes] * np.outer(signs, signs)


FIBRES = (0.6, 0.36, 0.7141)
"""Sum of squares is 1."""


@pytest.fixture(scope="module")
def tensors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tensors")
    synth.add_noddi(root, fibres=FIBRES)
    return root


@pytest.mark.parametrize("number", range(48))
def test_tensor_and_directions_from_files_in_48_orders(tensors: Path, tmp_path: Path, number: int) -> None:
    root = shutil.copytree(tensors, tmp_path / "turned")
    image = root / "sub-01" / "dwi" / "sub-01_dwi.nii.gz"
    turn_file(image, EVERY[number])
    tables = {f"in_{end}": image.with_name(f"sub-01_dwi.{end}") for end in ("bval", "bvec")}
    found = fit_files(get_model("dti"), get_estimator("dti", "wls"), tmp_path, in_files=[image], **tables)
    affine = nib.load(found["direction"]).affine[:3, :3]
    axes = affine / np.linalg.norm(affine, axis=0)
    direction, fa, colour, tensor = (
        nib.load(found[name]).get_fdata() for name in ("direction", "fa", "colour", "diffusivity")
    )
    inside = fa > 0
    in_scanner = direction[inside] @ axes.T
    np.testing.assert_allclose(np.abs(in_scanner @ FIBRES), 1, atol=2e-3)
    np.testing.assert_allclose(colour[inside], np.abs(FIBRES) * fa[inside][:, None], atol=0.03)
    values = np.linalg.eigvalsh(matrices(tensor[inside]))
    np.testing.assert_allclose(values.mean(axis=1), nib.load(found["md"]).get_fdata()[inside], rtol=1e-4)
    # The tensor sends the fibre to itself, stretched by its largest eigenvalue.
    along = direction[inside]
    np.testing.assert_allclose(
        np.einsum("vij,vj->vi", matrices(tensor[inside]), along), values[:, 2:] * along, atol=1e-8
    )
