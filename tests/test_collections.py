"""All collections of BIDS in one dataset, by the command: maps near the truth, pages, tables, valid names."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import synth
import synth_contrasts
from synth_contrasts import BODY
from turning import EVERY, turn_file

from bids_qmri.cli.run import main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, np.ndarray]]]:
    """Run the command with its defaults; return its output and the truth by collection."""
    folder = tmp_path_factory.mktemp("collections")
    root = synth.new_dataset(folder / "bids")
    truth = {
        "ir": synth_contrasts.add_irt1(root),
        "mese": synth_contrasts.add_mese(root),
        "megre": synth_contrasts.add_megre(root),
        "mpm": synth_contrasts.add_mt_series(root),
        "mts": synth_contrasts.add_mt_series(root, "MTS", (0.0023,)),
        "mtr": synth_contrasts.add_mtr(root),
        "mp2rage": synth_contrasts.add_mp2rage(root),
    }
    arguments = [str(root), str(folder / "out"), "participant", "group", "-w", str(folder / "work")]
    assert main([*arguments, "--nprocs", "1"]) == 0
    return folder / "out", truth


def image(output: Path, name: str) -> np.ndarray:
    return np.asarray(nib.load(output / "sub-01" / "anat" / f"sub-01_{name}.nii.gz").dataobj)


@pytest.mark.parametrize(
    ("name", "collection", "parameter", "within"),
    [
        ("model-ir_desc-lsq_T1map", "ir", "t1", 0.02),
        ("model-ir_desc-ncde_T1map", "ir", "t1", 0.02),
        ("model-ir_param-efficiency_desc-lsq_irt1map", "ir", "efficiency", 0.02),
        ("desc-lsq_T2map", "mese", "decay", 0.02),
        ("desc-lsq_T2starmap", "megre", "decay", 0.02),
        ("desc-ncde_T2starmap", "megre", "decay", 0.02),
        ("model-mpm_desc-lsq_T1map", "mpm", "t1", 0.03),
        ("model-mpm_desc-lsq_R2starmap", "mpm", "r2star", 0.03),
        ("model-mpm_desc-lsq_MTsat", "mpm", "mtsat", 0.03),
        ("model-mpm_desc-lsq_PDmap", "mpm", "pd", 0.02),
        ("model-mts_desc-lsq_T1map", "mts", "t1", 0.05),
        ("model-mts_desc-lsq_MTsat", "mts", "mtsat", 0.05),
        ("desc-lsq_MTRmap", "mtr", "mtr", 0.03),
        ("model-mp2rage_desc-lookup_T1map", "mp2rage", "t1", 0.02),
    ],
)
def test_maps_are_near_the_truth(run, name: str, collection: str, parameter: str, within: float) -> None:
    output, truth = run
    found, expected = image(output, name)[BODY], truth[collection][parameter]
    assert np.median(np.abs(found / expected - 1)) < within
    assert np.quantile(np.abs(found / expected - 1), 0.9) < 3 * within


@pytest.mark.parametrize(("time", "rate"), [("T2starmap", "R2starmap"), ("T2map", "R2map")])
@pytest.mark.parametrize("label", ["lsq", "ncde"])
def test_rates_are_the_inverse_of_times(run, time: str, rate: str, label: str) -> None:
    output, _ = run
    if not (output / f"sub-01/anat/sub-01_desc-{label}_{time}.nii.gz").exists():
        pytest.skip(f"no network for {time} comes with the package")
    product = image(output, f"desc-{label}_{time}")[BODY] * image(output, f"desc-{label}_{rate}")[BODY]
    np.testing.assert_allclose(product, 1.0, rtol=1e-5)


def test_air_is_no_tissue(run) -> None:
    output, _ = run
    for name in ("desc-lsq_T2starmap", "model-mp2rage_desc-lookup_T1map", "desc-lsq_MTRmap"):
        assert np.mean(image(output, name)[:6] != 0) < 0.05


def test_every_series_has_its_group_table_with_metrics_of_its_maps(run) -> None:
    output, _ = run
    expected = {
        "irt1": "t1",
        "mese": "t2",
        "megre": "t2star",
        "mpm": "mtsat",
        "mts": "t1",
        "mtr": "mtr",
        "mp2rage": "t1",
    }
    for model, name in expected.items():
        rows = list(csv.DictReader((output / f"group_{model}.tsv").read_text().splitlines(), delimiter="\t"))
        assert rows
        assert float(rows[0][f"{name}_median"]) > 0
        assert (output / f"group_{model}.html").is_file()


def test_the_page_shows_every_technique_with_its_warnings_and_the_methods_cite_it(run) -> None:
    output, _ = run
    page = (output / "sub-01.html").read_text()
    for title in (
        "inversion recovery",
        "spin echoes",
        "gradient echoes",
        "MP2RAGE",
        "Magnetisation transfer",
    ):
        assert title in page
    assert "no B1+ map for these images" in page
    methods = (output / "logs" / "CITATION.md").read_text()
    for name in ("Barral", "Helms", "Marques", "Dousset"):
        assert name in methods


def test_sidecars_say_what_was_played_out_in_keys_of_their_own(run) -> None:
    output, _ = run
    folder = output / "sub-01" / "anat"
    keys = {
        "model-ir_desc-lsq_T1map": ("InversionTimes", [0.05, 0.3, 0.6, 1.0, 1.6, 2.5]),
        "desc-lsq_T2starmap": ("EchoTime", [0.003 * i for i in range(1, 9)]),
        "desc-lsq_MTRmap": ("MTStates", [False, True]),
        "model-mp2rage_desc-lookup_T1map": ("InversionTimes", [0.8, 2.7]),
    }
    for name, (key, expected) in keys.items():
        sidecar = json.loads((folder / f"sub-01_{name}.json").read_text())
        assert sidecar[key] == pytest.approx(expected)
        assert sidecar["Units"] in ("s", "percent")


def test_the_output_is_valid_bids(run) -> None:
    output, _ = run
    validator = Path(sys.executable).parent / "bids-validator-deno"
    result = subprocess.run([validator, output], capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stdout[-3000:]


def command(root: Path, *options: str) -> Path:
    """Run the command on a dataset; return its output."""
    output = root.with_name("out" + "".join(option.strip("-") for option in options))
    assert main([str(root), str(output), "participant", "-w", f"{output}-work", *options]) == 0
    return output


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return synth.new_dataset(tmp_path / "bids")


@pytest.mark.parametrize("with_second", [True, False])
def test_a_combined_image_gives_t1_with_a_page_and_without_error_bars(root: Path, with_second: bool) -> None:
    t1 = synth_contrasts.body(0.6, 3.0)
    synth_contrasts.add_uniform(root, t1, twelve_bits=not with_second)
    if with_second:
        synth_contrasts.add_mp2rage(root)
        for path in (root / "sub-01" / "anat").glob("*phase*"):
            path.unlink()
    output = command(root)
    found = image(output, "model-mp2rage_desc-lookup_T1map")
    np.testing.assert_allclose(found[BODY], t1, rtol=0.01)
    assert "T1 from MP2RAGE" in (output / "sub-01.html").read_text()
    assert not list(output.rglob("*Std*"))
    if with_second:
        assert np.all(found[:6] == 0)


def test_a_transmit_field_corrects_all_that_take_one(root: Path) -> None:
    field = np.ones(synth_contrasts.SHAPE)
    field[BODY] = synth_contrasts.body(0.8, 1.2)
    truth = {
        "mp2rage": synth_contrasts.add_mp2rage(root, b1=field[BODY]),
        "mpm": synth_contrasts.add_mt_series(root, b1=field[BODY]),
    }
    path = synth.write_image(synth.place(root, "fmap", "sub-01_TB1map.nii.gz"), field)
    synth.write_json(path.with_name("sub-01_TB1map.json"), {"Units": "1"})
    output = command(root)
    for name, expected, within in (
        ("model-mp2rage_desc-lookup_T1map", truth["mp2rage"]["t1"], 0.01),
        ("model-mpm_desc-lsq_T1map", truth["mpm"]["t1"], 0.01),
        ("model-mpm_desc-lsq_MTsat", truth["mpm"]["mtsat"], 0.02),
    ):
        found = image(output, name)[BODY]
        assert np.abs(np.median(found / expected) - 1) < 0.005
        assert np.quantile(np.abs(found / expected - 1), 0.9) < within
        sidecar = json.loads((output / f"sub-01/anat/sub-01_{name}.json").read_text())
        assert sidecar["B1Corrected"] is True


def test_fits_with_neighbours_side_by_side_are_those_one_after_the_other(root: Path) -> None:
    """They share a scratch folder, and must not share what lies in it."""
    synth_contrasts.add_mese(root, sigma=15.0)
    synth_contrasts.add_megre(root, sigma=15.0)
    options = ("--estimators", "local", "--nprocs")
    one, two = (command(root, *options, count) for count in ("1", "2"))
    for name in ("desc-local_T2map", "model-epg_desc-local_T2map", "desc-local_T2starmap"):
        np.testing.assert_array_equal(image(one, name), image(two, name), err_msg=name)


def test_weightings_without_an_mt_pulse_give_the_rest(root: Path) -> None:
    truth = synth_contrasts.add_mt_series(root, with_mt=False)
    output = command(root, "--estimators", "lsq", "rational")
    for label in ("lsq", "rational"):
        found = image(output, f"model-mpm_desc-{label}_T1map")[BODY]
        assert np.median(np.abs(found / truth["t1"] - 1)) < 0.03
        assert np.all(image(output, f"model-mpm_desc-{label}_MTsat")[BODY] == 0)
    assert "MTsat is not told" in (output / "sub-01.html").read_text()


@pytest.fixture(scope="module")
def in_one_order(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, nib.Nifti1Image]]:
    """Return a dataset of all collections, tensors too, and its maps as they lie in scanner space."""
    root = synth.new_dataset(tmp_path_factory.mktemp("orders") / "bids")
    field = np.ones(synth_contrasts.SHAPE)
    field[BODY] = synth_contrasts.body(0.8, 1.2)
    for suffix, echoes in {"MPM": (0.0023, 0.0046, 0.0069, 0.0092), "MTS": (0.0023,)}.items():
        synth_contrasts.add_mt_series(root, suffix, echoes, b1=field[BODY])
    synth_contrasts.add_irt1(root)
    synth_contrasts.add_megre(root)
    synth_contrasts.add_mese(root)
    synth_contrasts.add_mtr(root)
    synth_contrasts.add_mp2rage(root, b1=field[BODY])
    synth.add_tensor(root, bvals=synth.TWO_SHELL)
    synth.write_image(synth.place(root, "fmap", "sub-01_TB1map.nii.gz"), 100 * field)
    return root, canonical(command(root, "--estimators", "lsq"))


def canonical(output: Path) -> dict[str, nib.Nifti1Image]:
    return {path.name: nib.as_closest_canonical(nib.load(path)) for path in output.rglob("*.nii.gz")}


@pytest.mark.parametrize("number", range(0, 48, 9))
def test_maps_do_not_depend_on_the_order_of_axes_of_any_file(
    in_one_order: tuple[Path, dict[str, nib.Nifti1Image]], tmp_path: Path, number: int
) -> None:
    """Every file in an order of its own: a run has all 48, another file in each every time."""
    root, expected = in_one_order
    other = Path(shutil.copytree(root, tmp_path / "bids"))
    files = sorted(other.rglob("*.nii.gz"))
    assert len(files) > 48
    for index, path in enumerate(files):
        turn_file(path, EVERY[(number + 5 * index) % 48])
    found = canonical(command(other, "--estimators", "lsq"))
    assert found.keys() == expected.keys()
    for name, image in expected.items():
        np.testing.assert_allclose(found[name].affine, image.affine, atol=1e-4)
        # Directions run along the axes of the file: tests of orientations turn them.
        if "direction" not in name and "diffusivity" not in name:
            was, now = image.get_fdata(), found[name].get_fdata()
            largest = np.nanmax(np.abs(was))
            np.testing.assert_allclose(now, was, rtol=1e-5, atol=1e-9 + 1e-6 * largest, err_msg=name)
