"""What is written is complete, exact, and clean for the BIDS validator."""

from __future__ import annotations

import errno
import gzip
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bids_qmri.bids.acquisition import Acquisition
from bids_qmri.bids.derivatives import map_sidecar, write_atomic, write_map, write_sidecar
from bids_qmri.bids.description import IGNORED, write_dataset_description
from bids_qmri.bids.names import derivative_path
from bids_qmri.bids.sources import bids_uri, protocol_fields, resolve_paths
from bids_qmri.errors import InputError, InternalError, UsageError
from bids_qmri.outputs.tables import output_table, unknown_suffixes
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.dce.settings import Aif, DceSettings
from bids_qmri.techniques.vfa.protocol import VfaProtocol

SHAPE = (3, 4, 2)
ZOOMS = (2.0, 2.5, 4.0)
AFFINE = np.diag([-2.0, 2.5, 4.0, 1.0]) + np.eye(4, k=3) * 7


def vfa(root: Path, **changes: object) -> Acquisition:
    files = tuple(root / f"sub-01/anat/sub-01_flip-{index}_VFA.nii.gz" for index in (1, 2))
    fields = {
        "kind": "vfa",
        "entities": {"sub": "01"},
        "datatype": "anat",
        "images": files,
        "sources": files,
        "metadata": {"MagneticFieldStrength": 3, "EchoTime": "bad", "PatientName": "x"},
        "protocol": VfaProtocol(np.deg2rad([3.0, 20.0]), 0.015),
    } | changes
    return Acquisition(**fields)  # type: ignore[arg-type]


def sidecar(root: Path, acquisition: Acquisition | None = None, **changes: object) -> dict[str, object]:
    row = output_table("vfa").estimate("t1")
    fields = {
        "units": row.unit,
        "description": row.description,
        "algorithm": "bounded Levenberg-Marquardt",
        "reference": "doi:10.1002/mrm.10407",
        "datasets": {"raw": root},
    } | changes
    return map_sidecar(acquisition or vfa(root), **fields)  # type: ignore[arg-type]


def test_a_map_comes_back_value_for_value(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=24).astype(np.float32)
    values[3] = np.nan
    write_map(tmp_path / "a/x_T1map.nii.gz", values, SHAPE, AFFINE, ZOOMS)
    image = nib.load(tmp_path / "a/x_T1map.nii.gz")
    data = np.asanyarray(image.dataobj)
    assert data.dtype == np.float32
    np.testing.assert_array_equal(data.ravel(order="F"), values)
    np.testing.assert_array_equal(image.affine, AFFINE)
    assert image.header.get_zooms() == ZOOMS
    assert image.header.get_xyzt_units() == ("mm", "sec")


def test_a_map_carries_no_scaling_and_one_geometry(tmp_path: Path) -> None:
    write_map(tmp_path / "x.nii.gz", np.ones(24), SHAPE, AFFINE, ZOOMS)
    header = nib.load(tmp_path / "x.nii.gz").header
    assert header.get_slope_inter() in [(None, None), (1.0, 0.0)]
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)


def test_a_sheared_affine_is_kept_without_a_false_quaternion(tmp_path: Path) -> None:
    sheared = AFFINE.copy()
    sheared[0, 1] = 1.5
    write_map(tmp_path / "x.nii.gz", np.ones(24), SHAPE, sheared, ZOOMS)
    image = nib.load(tmp_path / "x.nii.gz")
    np.testing.assert_allclose(image.affine, sheared)
    assert int(image.header["qform_code"]) == 0


def test_several_values_per_voxel_become_volumes(tmp_path: Path) -> None:
    values = np.arange(72, dtype=np.float64).reshape(24, 3)
    write_map(tmp_path / "x.nii.gz", values, SHAPE, AFFINE, ZOOMS)
    data = np.asanyarray(nib.load(tmp_path / "x.nii.gz").dataobj)
    assert data.shape == (*SHAPE, 3)
    np.testing.assert_array_equal(data[..., 1].ravel(order="F"), values[:, 1])


def test_status_stays_uint8_and_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    status = np.arange(24, dtype=np.uint8) % 6
    for name in ("a.nii.gz", "b.nii.gz"):
        write_map(tmp_path / name, status, SHAPE, AFFINE, ZOOMS)
    assert nib.load(tmp_path / "a.nii.gz").get_data_dtype() == np.uint8
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize("values", [np.ones(23), np.ones(24, dtype=np.int16), np.ones((24, 1, 1))])
def test_values_that_do_not_fit_the_grid_are_our_error(tmp_path: Path, values: np.ndarray) -> None:
    with pytest.raises(InternalError, match=r"x\.nii\.gz"):
        write_map(tmp_path / "x.nii.gz", values, SHAPE, AFFINE, ZOOMS)


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.eye(3)])
def test_an_unusable_affine_is_an_input_error(tmp_path: Path, affine: np.ndarray) -> None:
    with pytest.raises(InputError, match="affine"):
        write_map(tmp_path / "x.nii.gz", np.ones(24), SHAPE, affine, ZOOMS)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing_and_keeps_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old.json"
    write_sidecar(old, {"a": 1})
    before = old.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_map(tmp_path / "new.nii.gz", np.ones(24), SHAPE, AFFINE, ZOOMS)
    with pytest.raises(OSError, match="No space"):
        write_sidecar(old, {"a": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
    assert old.read_bytes() == before


def test_a_write_that_is_not_read_back_is_never_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_bytes", lambda _: b"other")
    with pytest.raises(InternalError, match="read back"):
        write_atomic(tmp_path / "x", b"content")
    assert list(tmp_path.iterdir()) == []


def test_sidecars_are_sorted_stable_and_free_of_nan(tmp_path: Path) -> None:
    write_sidecar(tmp_path / "a.json", {"b": np.float64(1.5), "a": np.arange(2), "µ": None})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert list(json.loads(text)) == ["a", "b", "µ"]
    assert text.endswith("}\n")
    with pytest.raises(ValueError, match="JSON"):
        write_sidecar(tmp_path / "b.json", {"a": float("nan")})
    with pytest.raises(TypeError, match="object"):
        write_sidecar(tmp_path / "b.json", {"a": object()})
    assert not (tmp_path / "b.json").exists()


def test_a_file_is_named_by_the_deepest_dataset_that_holds_it(tmp_path: Path) -> None:
    datasets = {"raw": tmp_path, "masks": tmp_path / "derivatives/m", "": tmp_path / "out"}
    assert bids_uri(tmp_path / "sub-01/a b.nii", datasets) == "bids:raw:sub-01/a%20b.nii"
    assert bids_uri(tmp_path / "derivatives/m/x.nii", datasets) == "bids:masks:x.nii"
    assert bids_uri(tmp_path / "out/x.nii", datasets) == "bids::x.nii"
    assert bids_uri(Path("/elsewhere/x.nii"), datasets) == "file:///elsewhere/x.nii"


def test_links_inside_a_dataset_are_not_followed_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/x.nii").symlink_to(tmp_path / "annex")
    assert bids_uri(tmp_path / "raw/x.nii", {"raw": tmp_path / "raw"}) == "bids:raw:x.nii"


def test_the_sidecar_says_what_bids_and_its_qmri_appendix_ask(tmp_path: Path) -> None:
    fields = sidecar(tmp_path, used={"Mask": tmp_path / "m.nii.gz"}, model={"Description": "spoiled echo"})
    assert fields["SkullStripped"] is False
    assert fields["Units"] == "s"
    assert fields["Sources"][0] == "bids:raw:sub-01/anat/sub-01_flip-1_VFA.nii.gz"  # type: ignore[index]
    assert fields["Mask"] == "bids:raw:m.nii.gz"
    assert fields["FlipAngle"] == [3.0, 20.0]
    assert fields["RepetitionTimeExcitation"] == 0.015
    assert {"EstimationAlgorithm", "EstimationReference", "Description", "Model"} <= set(fields)


def test_only_known_keys_of_the_right_type_are_copied(tmp_path: Path) -> None:
    fields = sidecar(tmp_path)
    assert fields["MagneticFieldStrength"] == 3
    assert "EchoTime" not in fields
    assert "PatientName" not in fields


def test_several_repetition_times_do_not_go_to_a_key_for_one_number(tmp_path: Path) -> None:
    fields = protocol_fields(vfa(tmp_path, protocol=VfaProtocol([0.1, 0.2], [0.01, 0.02])))
    assert fields["RepetitionTimesExcitation"] == [0.01, 0.02]
    assert "RepetitionTimeExcitation" not in fields


def test_diffusion_weightings_are_counted(tmp_path: Path) -> None:
    protocol = DiffusionProtocol([0, 0, 999.6, 1000.3, 50])
    fields = protocol_fields(vfa(tmp_path, kind="dwi", protocol=protocol))
    assert (fields["BValues"], fields["BValueCounts"]) == ([0, 50, 1000], [2, 1, 2])


def test_choices_of_a_dynamic_series_are_written_with_their_origin(tmp_path: Path) -> None:
    dce = DceSettings(np.array([0.0, 5.0]), 0.3, 0.004, 4.5, 0.42, 1, Aif("parker"), 1.4, {"t10": "option"})
    fields = protocol_fields(vfa(tmp_path, kind="dce", protocol=None, settings=dce))
    assert fields["ContrastAgentRelaxivity"] == 4.5
    assert fields["ArterialInput"] == "parker"
    assert fields["FrameTimes"] == [0.0, 5.0]
    assert fields["ValueOrigins"] == {"t10": "option"}


def test_the_description_is_written_once_and_keeps_what_people_added(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "raw/derivatives/bids_qmri"
    write_dataset_description(out, raw, "1.2.3")
    path = out / "dataset_description.json"
    content = json.loads(path.read_text())
    assert content["DatasetLinks"] == {"raw": "../.."}
    assert content["GeneratedBy"] == [{"Name": "bids_qmri", "Version": "1.2.3"}]
    path.write_text(json.dumps(content | {"Authors": ["A"]}))
    before = path.stat().st_mtime_ns
    write_dataset_description(out, raw, "1.2.3")
    assert path.stat().st_mtime_ns == before
    write_dataset_description(out, raw, "1.2.4", {"masks": tmp_path / "m"})
    content = json.loads(path.read_text())
    assert content["Authors"] == ["A"]
    assert set(content["DatasetLinks"]) == {"raw", "masks"}


@pytest.mark.parametrize("name", ["README", "README.md"])
def test_a_readme_that_people_wrote_stays_and_no_other_comes(tmp_path: Path, name: str) -> None:
    write_dataset_description(tmp_path / "new", tmp_path / "raw", "1.2.3")
    assert "SourceDatasets" in (tmp_path / "new" / "README").read_text()
    out = tmp_path / "own"
    out.mkdir()
    (out / name).write_text("What we did with it.")
    write_dataset_description(out, tmp_path / "raw", "1.2.3")
    assert [path.read_text() for path in out.glob("README*")] == ["What we did with it."]


def test_the_container_is_named_where_its_builder_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIDS_QMRI_CODE_URL", "https://example.org/code")
    monkeypatch.setenv("BIDS_QMRI_CONTAINER_TYPE", "docker")
    monkeypatch.setenv("BIDS_QMRI_CONTAINER_TAG", "bids_qmri:1")
    write_dataset_description(tmp_path / "out", tmp_path, "1")
    maker = json.loads((tmp_path / "out/dataset_description.json").read_text())["GeneratedBy"][0]
    assert maker["Container"] == {"Type": "docker", "Tag": "bids_qmri:1"}
    assert maker["CodeURL"] == "https://example.org/code"


ODD_MAKERS = (
    '{"GeneratedBy": {"Name": "other"}}',
    '{"GeneratedBy": "bids_qmri"}',
    '{"GeneratedBy": ["bids_qmri"]}',
)


def test_a_dataset_made_by_this_program_may_say_so_without_a_list(tmp_path: Path) -> None:
    path = tmp_path / "dataset_description.json"
    path.write_text('{"GeneratedBy": {"Name": "bids_qmri"}}')
    write_dataset_description(tmp_path, tmp_path / "raw", "1")
    assert json.loads(path.read_text())["GeneratedBy"] == [{"Name": "bids_qmri", "Version": "1"}]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"GeneratedBy": [{"Name": "other"}]}', *ODD_MAKERS])
def test_a_dataset_of_another_program_is_refused_untouched(tmp_path: Path, content: str) -> None:
    path = tmp_path / "dataset_description.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"dataset_description\.json"):
        write_dataset_description(tmp_path, tmp_path / "raw", "1")
    assert path.read_text() == content


def test_the_doi_of_the_raw_dataset_is_passed_on(tmp_path: Path) -> None:
    (tmp_path / "dataset_description.json").write_text('{"DatasetDOI": "doi:10.1/x"}')
    write_dataset_description(tmp_path / "out", tmp_path, "1")
    source = json.loads((tmp_path / "out/dataset_description.json").read_text())["SourceDatasets"]
    assert source == [{"DOI": "doi:10.1/x", "URL": ".."}]


def test_lines_that_users_ignore_are_kept(tmp_path: Path) -> None:
    (tmp_path / ".bidsignore").write_text("extra*")
    for _ in range(2):
        write_dataset_description(tmp_path, tmp_path / "raw", "1")
    assert (tmp_path / ".bidsignore").read_text().split() == ["extra*", *IGNORED]


def write_everything(out: Path, raw: Path) -> None:
    """Write every image of two models, a quality file, pages and figures into `out`."""
    write_dataset_description(out, raw, "1", unknown=unknown_suffixes())
    for model in ("vfa", "ivim"):
        table = output_table(model)
        rows = [*table.maps, *(table.sd(row.name) for row in table.maps), table.rmse, table.status]
        for row in rows:
            parts = row.name_parts("lsq")
            image = out / derivative_path({"sub": "01", "run": "1"}, extension=".nii.gz", **parts)
            write_map(image, np.ones(24), SHAPE, AFFINE, ZOOMS)
            write_sidecar(Path(str(image).replace(".nii.gz", ".json")), sidecar(raw, units=row.unit))
        quality = derivative_path({"sub": "01"}, extension=".json", **table.qc_parts("lsq"))
        write_sidecar(out / quality, {})
    for name in (
        "sub-01.html",
        "group_vfa.tsv",
        "logs/CITATION.md",
        "sub-01/figures/sub-01_desc-lsq_T1map.png",
        "sub-01/log/crash-sub-01_vfa_lsq.txt",
    ):
        write_atomic(out / name, b"x")


def test_the_validator_finds_nothing_wrong_with_the_output_folder(tmp_path: Path) -> None:
    validator = Path(sys.executable).with_name("bids-validator-deno")
    if not validator.exists():
        pytest.skip("bids-validator-deno is not installed")
    write_everything(tmp_path / "bids_qmri", tmp_path / "raw")
    command = [validator, tmp_path / "bids_qmri", "--format", "json"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    issues = json.loads(run.stdout)["issues"]["issues"]
    errors = [issue for issue in issues if issue["severity"] == "error"]
    assert errors == []
    assert run.returncode == 0


def test_compressed_maps_end_with_a_valid_checksum(tmp_path: Path) -> None:
    write_map(tmp_path / "x.nii.gz", np.ones(24), SHAPE, AFFINE, ZOOMS)
    packed = bytearray((tmp_path / "x.nii.gz").read_bytes())
    packed[-8] ^= 1
    with pytest.raises(gzip.BadGzipFile, match="CRC"):
        gzip.decompress(bytes(packed))


def describe(folders: tuple[Path, Path, str]) -> None:
    out, raw, name = folders
    write_dataset_description(out, raw, "1", {name: raw / name})


def test_two_jobs_may_describe_the_dataset_at_once(tmp_path: Path) -> None:
    jobs = [(tmp_path / "out", tmp_path / "raw", f"d{index % 2}") for index in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(describe, jobs))
    content = json.loads((tmp_path / "out/dataset_description.json").read_text())
    assert content["DatasetLinks"]["raw"] == "../raw"
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"dataset_description.json", "README", ".bidsignore"}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrays(np.float32, st.tuples(*[st.integers(1, 4)] * 3), elements=st.floats(width=32)),
    st.sampled_from([np.float32, np.float64]),
)
def test_any_volume_of_floats_survives(tmp_path: Path, volume: np.ndarray, kind: type) -> None:
    path = tmp_path / "x.nii.gz"
    write_map(path, volume.ravel(order="F").astype(kind), volume.shape, np.eye(4), (1, 1, 1))
    back = np.asanyarray(nib.load(path).dataobj)
    np.testing.assert_array_equal(back.reshape(volume.shape), volume)


def test_paths_at_any_depth_become_uris(tmp_path: Path) -> None:
    used = {"T10": [tmp_path / "a", 1.4], "B1": {"Map": tmp_path / "b"}, "None": None}
    assert resolve_paths(used, {"raw": tmp_path}) == {
        "T10": ["bids:raw:a", 1.4],
        "B1": {"Map": "bids:raw:b"},
        "None": None,
    }


def test_missing_folders_are_made_and_files_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a/b/c.txt"
    for content in (b"one", b"two"):
        write_atomic(path, content)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]
