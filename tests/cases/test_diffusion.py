"""Diffusion series shaped like public bug reports: true maps, or words that name file, key and fix."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from case_runs import Ran, build_case, cases_folder, run_command

FA, MD = 0.6858, 7.667e-4
TENSOR = "sub-01*_model-tensor_param-{}_desc-wls_dwimap"

RIGHT: dict[str, tuple[tuple[str, ...], ...]] = {
    "b0_run_without_tables": (("dir-PA_dwi.nii.gz", "has no .bval", "fix:"),),
    "b0_single_volume_3d": (("dir-PA_dwi.nii.gz", "single volume", "fix:"),),
    "brain_masks_off_grid_silent": (
        ("-d fmriprep", "another grid", "desc-brain_mask.nii.gz", "needed:", "fix:"),
    ),
    "desc_denoised_ignored": (("desc-denoised_dwi.nii.gz", "used instead of sub-01_dwi.nii.gz"),),
    "empty_first_volume": (("sub-01_dwi.nii.gz", "volumes 0 .b = 0.", "left out", "fix:"),),
    "filter_hides_preproc": (("preprocessed", "used instead of sub-01_dir-AP_dwi.nii.gz"),),
    "ge_b0_nominal_b": (("sub-01_dwi.bval", "volumes 1-5", "b = 1000", "0 0 0", "read as b = 0", "fix:"),),
    "hardi_b2500": (("b = 2500", "above the range", "fix:"),),
    "ivim_replaced_by_dti_preproc": (("preprocessed", "instead of sub-01_dwi.nii.gz"),),
    "jitter_b0_dti": (),
    "jitter_b0_multishell": (),
    "json_latin1": (("sub-01_dwi.json", "not UTF-8", "fix:"),),
    "json_nan": (("sub-01_dwi.json", "NaN", "without TotalReadoutTime", "fix:"),),
    "mask_4d": (),
    "mask_affine_message": (),
    "mask_without_session": (),
    "multipart_two_shells": (("MultipartID", "joined", "run-1", "run-2"),),
    "nan_vector_at_b0": (("sub-01_dwi.bvec", "volumes 0-3", "NaN", "0 0 0", "fix:"),),
    "nii_and_nii_gz": (("sub-01_dwi.nii.gz and sub-01_dwi.nii", "is used", "fix:"),),
    "run_padding_preproc": (("preprocessed", "used instead of sub-01_run-1_dwi.nii.gz"),),
    "small_units_dki": (),
    "table_comment_lines": (),
    "trace_volume_last": (("sub-01_dwi.bvec", "volumes 34", "b = 1000", "0 0 0", "trace", "left out"),),
}
"""Cases that must give the maps of the phantom, with lines of words that must be said."""

REFUSED = {
    "ambiguous_tables": ("sub-01_acq-A_dwi.bval", "sub-01_run-1_dwi.bval", "equally", "fix:"),
    "ge_scaled_vectors": ("sub-01_dwi.bvec", "length 0.707", r"multiply b by length\^2", "1000, 2000"),
    "multi_te_list_dki": ("sub-01_dwi.json", "EchoTime", "0.06, 0.1", "split", "fix:"),
}
"""Cases of which no map may come out."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory):
    """Return a function that builds and runs a case once."""
    done: dict[str, Ran] = {}

    def run(name: str, group: str = "diffusion", *options: str) -> Ran:
        if name not in done:
            folder = tmp_path_factory.mktemp(name)
            own = group == "diffusion"
            build_case(cases_folder() / group / f"{name}.py", folder if own else folder / "bids")
            arguments = folder / "ARGS"
            told = shlex.split(arguments.read_text()) if arguments.is_file() else []
            # The slow loops of dipy have nothing to say about files.
            told = [word for word in told if word != "dipy"]
            done[name] = run_command(folder / "bids", folder, *told, *options)
        return done[name]

    return run


def level(ran: Ran, pattern: str) -> float:
    """Return the median of the fitted voxels of the one map that matches."""
    return float(np.mean(ran.halves(pattern)))


@pytest.mark.parametrize("name", RIGHT)
def test_the_tensor_is_that_of_the_phantom(ran, name: str) -> None:
    found = ran(name)
    assert found.code == 0, found.printed
    fa, md = (found.maps(TENSOR.format(param)) for param in ("fa", "md"))
    assert fa, found.printed
    for path in fa:
        pattern = path.name.removesuffix(".nii.gz")
        assert level(found, pattern) == pytest.approx(FA, abs=0.01)
    for path in md:
        assert level(found, path.name.removesuffix(".nii.gz")) == pytest.approx(MD, rel=0.02)
    for words in RIGHT[name]:
        lacking = found.missing(*words)
        # What is about a file that is not fitted has no sidecar.
        assert set(lacking) <= ({"sidecar"} if "dir-PA" in words[0] else set()), (words, lacking)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_right_is_refused_by_name(ran, name: str) -> None:
    found = ran(name)
    assert found.code == 1
    assert not found.maps("*_dwimap")
    assert found.missing(*REFUSED[name]) == []


@pytest.mark.parametrize("name", ["jitter_b0_dti", "jitter_b0_multishell", "multipart_two_shells"])
def test_jitter_of_b0_is_no_perfusion(ran, name: str) -> None:
    assert not ran(name).maps("*model-ivim*")


@pytest.mark.parametrize("name", ["jitter_b0_multishell", "multipart_two_shells"])
def test_shells_with_jitter_or_in_parts_give_kurtosis_and_neurites(ran, name: str) -> None:
    found = ran(name)
    assert level(found, "*model-dki_param-fa_desc-wls_dwimap") == pytest.approx(FA, abs=0.01)
    assert abs(level(found, "*model-dki_param-mk_desc-wls_dwimap")) < 0.1
    assert found.maps("*model-noddi_param-icvf_desc-lsq_dwimap")


def test_kurtosis_does_not_depend_on_the_unit_of_the_signal(ran) -> None:
    found = ran("small_units_dki")
    assert level(found, "*model-dki_param-fa_desc-wls_dwimap") == pytest.approx(FA, abs=0.01)
    assert abs(level(found, "*model-dki_param-mk_desc-wls_dwimap")) < 0.05


def test_a_raw_series_that_did_not_go_in_is_still_fitted(ran) -> None:
    found = ran("ivim_replaced_by_dti_preproc")
    assert level(found, "sub-01_acq-ivim_model-ivim_param-d_desc-lsq_dwimap") == pytest.approx(1e-3, rel=0.05)
    assert level(found, "sub-01_acq-ivim_model-ivim_param-f_desc-lsq_dwimap") == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("name", ["mask_4d", "mask_affine_message", "mask_without_session"])
def test_masks_are_used(ran, name: str) -> None:
    found = ran(name)
    [sidecar] = {str(found.sidecar(TENSOR.format("fa")).get(key)) for key in ("SkullStripped",)}
    assert sidecar == "True"


@pytest.mark.parametrize("name", ["desc_denoised_ignored", "filter_hides_preproc", "run_padding_preproc"])
def test_the_processed_images_are_those_that_are_fitted(ran, name: str) -> None:
    # Raw images have 1000.
    assert level(ran(name), "*model-tensor_param-s0_desc-wls_dwimap") == pytest.approx(500, rel=0.02)


@pytest.mark.parametrize("name", ["ivimbase", "ivim_tracemix"])
def test_perfusion_is_that_of_the_phantom(ran, name: str) -> None:
    found = ran(name, "relaxometry", "--models", "ivim", "--methods", "lsq")
    assert found.code == 0
    assert found.halves("*param-d_desc-lsq_dwimap") == pytest.approx((1.0e-3, 1.6e-3), rel=0.03)
    assert found.halves("*param-f_desc-lsq_dwimap") == pytest.approx((0.1, 0.3), abs=0.02)
    assert not found.maps("*model-tensor*")


def test_phase_is_no_diffusion_signal(ran) -> None:
    found = ran("ivim_phase", "relaxometry", "--models", "ivim", "--methods", "lsq")
    assert not found.maps("*_dwimap")
    assert found.missing("sub-01_dwi.json", "ImageType", "ORIGINAL/PRIMARY/P/ND", "fix:") == []
