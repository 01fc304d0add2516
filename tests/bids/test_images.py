"""Reading voxels in blocks: what comes out is what went in, and damage is never passed on."""

from __future__ import annotations

import gzip
import tempfile
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import synth

from bids_qmri.bids.acquisition import B1Source
from bids_qmri.bids.b1 import load_b1
from bids_qmri.bids.images import load_map, open_series
from bids_qmri.errors import InputError

DATA = np.random.default_rng(7).uniform(-5, 1000, (*synth.SHAPE, 6))


def _rows(data: np.ndarray) -> np.ndarray:
    return data.reshape(-1, data.shape[-1], order="F")


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
def test_voxels_come_in_the_order_of_the_disk(tmp_path: Path, extension: str) -> None:
    path = synth.write_image(tmp_path / f"x{extension}", DATA)
    with open_series([path], tmp_path) as series:
        assert (series.shape, series.n_voxels, series.n_measurements) == (synth.SHAPE, 24, 6)
        np.testing.assert_allclose(series.read(0, 24), _rows(DATA), rtol=1e-6)
        np.testing.assert_allclose(series.read(5, 9, [4, 1]), _rows(DATA)[5:9, [4, 1]], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64, ">i2"])
def test_stored_types_and_scaling_are_undone(tmp_path: Path, dtype: str) -> None:
    stored = (np.abs(DATA) / 8).astype(dtype)
    image = nib.Nifti1Image(stored, synth.AFFINE)
    image.header.set_slope_inter(2.5, -3)
    nib.save(image, tmp_path / "x.nii.gz")
    truth = np.asarray(nib.load(tmp_path / "x.nii.gz").dataobj)
    with open_series([tmp_path / "x.nii.gz"], tmp_path) as series:
        np.testing.assert_allclose(series.read(0, 24), _rows(truth), rtol=1e-6)


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_a_slope_of_zero_means_unscaled(tmp_path: Path, slope: float) -> None:
    path = synth.write_image(tmp_path / "x.nii", DATA)
    raw = bytearray(path.read_bytes())
    raw[112:116] = np.float32(slope).tobytes()
    path.write_bytes(raw)
    with open_series([path], tmp_path) as series:
        np.testing.assert_allclose(series.read(0, 24), _rows(DATA), rtol=1e-6)


def test_single_images_become_measurements_in_their_order(tmp_path: Path) -> None:
    paths = [synth.write_image(tmp_path / f"{i}.nii.gz", DATA[..., i]) for i in (3, 0)]
    with open_series(paths, tmp_path) as series:
        np.testing.assert_allclose(series.read(0, 24), _rows(DATA)[:, [3, 0]], rtol=1e-6)


def test_a_single_slice_without_third_axis_is_an_image(tmp_path: Path) -> None:
    path = synth.write_image(tmp_path / "x.nii.gz", DATA[:, :, 0, 0])
    with open_series([path], tmp_path) as series:
        assert (series.shape, series.n_measurements) == ((4, 3, 1), 1)


def test_summary_equals_numpy_and_finds_gaps(tmp_path: Path) -> None:
    data = np.abs(DATA) + 1
    data[0, 0, 0, 2], data[1, 0, 0, 3], data[2, 0, 0, 1] = 0, np.nan, np.inf
    with open_series([synth.write_image(tmp_path / "x.nii.gz", data)], tmp_path) as series:
        mean, usable = series.summary()
        np.testing.assert_allclose(mean[3:], _rows(data)[3:].mean(axis=1), rtol=1e-6)
        assert np.flatnonzero(~usable).tolist() == [0, 1, 2]
        assert series.summary([4, 5])[1].all()
        np.testing.assert_allclose(series.summary([4])[0], _rows(data)[:, 4], rtol=1e-6)


def test_the_spool_leaves_nothing_behind(tmp_path: Path) -> None:
    path = synth.write_image(tmp_path / "x.nii.gz", DATA)
    spool = tmp_path / "spool"
    spool.mkdir()
    with open_series([path], spool):
        assert list(spool.iterdir()) == []
    (tmp_path / "bad.nii.gz").write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError):
        open_series([tmp_path / "bad.nii.gz"], spool)
    assert list(spool.iterdir()) == []


def test_memory_is_bounded_by_the_block_and_not_by_the_image(tmp_path: Path) -> None:
    volumes = np.ones((64, 64, 32, 40), dtype=np.int16)
    nib.save(nib.Nifti1Image(volumes, synth.AFFINE), tmp_path / "x.nii.gz")
    del volumes
    tracemalloc.start()
    with open_series([tmp_path / "x.nii.gz"], tmp_path) as series:
        for start in range(0, series.n_voxels, 4096):
            series.read(start, start + 4096)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 42 MB as stored float64 block by block: 1.3 MB each.
    assert peak < 12e6


def _damage(path: Path, how: str) -> Path:
    raw = path.read_bytes()
    damaged = {
        "truncated": raw[: len(raw) // 2],
        "no trailer": raw[:-8],
        "wrong checksum": raw[:-8] + bytes([raw[-8] ^ 1]) + raw[-7:],
        "bit flip": raw[:-300] + bytes([raw[-300] ^ 16]) + raw[-299:],
        "junk behind": raw + b"junk",
        "second member cut": raw + raw[:100],
        "more data": gzip.compress(gzip.decompress(raw) + b"\0" * 64),
        "less data": gzip.compress(gzip.decompress(raw)[:-64]),
        "empty": b"",
        "git-LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n",
        "no gzip": b"hello world " * 50,
    }
    path.write_bytes(damaged[how])
    return path


@pytest.mark.parametrize(
    ("how", "seen"),
    [
        ("truncated", "damaged or cut short"),
        ("no trailer", "damaged or cut short"),
        ("wrong checksum", "damaged or cut short"),
        ("bit flip", "damaged or cut short"),
        ("junk behind", "damaged or cut short"),
        ("second member cut", "holds more than 928 bytes|damaged"),
        ("more data", "holds more than 928 bytes"),
        ("less data", "holds 864 bytes"),
        ("empty", "is empty"),
        ("git-LFS pointer", "git lfs pull"),
        ("no gzip", "is not a gzip file"),
    ],
)
def test_a_damaged_gzip_image_is_named(tmp_path: Path, how: str, seen: str) -> None:
    path = _damage(synth.write_image(tmp_path / "x.nii.gz", DATA), how)
    with pytest.raises(InputError, match=seen) as caught:
        open_series([path], tmp_path)
    assert str(path) in str(caught.value)


def _with_header(path: Path, offset: int, value: np.generic) -> Path:
    raw = bytearray(path.read_bytes())
    raw[offset : offset + value.nbytes] = value.tobytes()
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize(
    ("offset", "value", "seen"),
    [
        (42, np.int16(-4), "has the size"),
        (46, np.int16(30000), "has 928 bytes"),
        (70, np.int16(32), "stores complex64"),
        (70, np.int16(128), "stores RGB"),
        (280, np.float32(np.nan), "voxel-to-mm matrix"),
        (320, np.float32(0), "finite, invertible matrix"),
        (0, np.int32(5), "does not begin with a NIfTI header"),
    ],
)
def test_a_header_that_cannot_be_true_is_refused(
    tmp_path: Path, offset: int, value: np.generic, seen: str
) -> None:
    path = _with_header(synth.write_image(tmp_path / "x.nii", DATA), offset, value)
    with pytest.raises(InputError, match=seen):
        open_series([path], tmp_path)


def test_a_short_nii_is_refused(tmp_path: Path) -> None:
    path = synth.write_image(tmp_path / "x.nii", DATA)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match=r"has 924 bytes.*needed: 928 bytes"):
        open_series([path], tmp_path)


def test_a_broken_link_and_a_zarr_image_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.nii.gz").symlink_to(tmp_path / "annex-key")
    with pytest.raises(InputError, match="git annex get"):
        open_series([tmp_path / "x.nii.gz"], tmp_path)
    with pytest.raises(InputError, match="OME-Zarr"):
        open_series([tmp_path / "x.ome.zarr"], tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        open_series([tmp_path / "y.nii.gz"], tmp_path)


def test_images_of_two_sizes_are_refused_naming_both(tmp_path: Path) -> None:
    one = synth.write_image(tmp_path / "one.nii.gz", DATA[..., 0])
    two = synth.write_image(tmp_path / "two.nii.gz", DATA[:3, ..., 0])
    with pytest.raises(InputError, match=r"two.nii.gz.*has 3 x 3 x 2 voxels .* but one.nii.gz 4 x 3 x 2"):
        open_series([one, two], tmp_path)


@pytest.mark.parametrize(("shift", "accepted"), [(0.19, True), (0.21, False)])
def test_positions_may_differ_by_a_tenth_of_a_voxel_only(
    tmp_path: Path, shift: float, accepted: bool
) -> None:
    moved = synth.AFFINE.copy()
    moved[1, 3] += shift
    one = synth.write_image(tmp_path / "one.nii.gz", DATA[..., 0])
    two = synth.write_image(tmp_path / "two.nii.gz", DATA[..., 0], moved)
    if accepted:
        open_series([one, two], tmp_path).close()
    else:
        with pytest.raises(
            InputError, match=r"two\.nii\.gz.*0\.1\d* voxels from one\.nii\.gz.*0, 0\.21, 0 mm"
        ):
            open_series([one, two], tmp_path)


def test_maps_are_uncompressed_in_the_folder_of_their_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = synth.write_image(tmp_path / "map.nii.gz", DATA[..., 0])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "full"))
    with open_series([path], tmp_path) as series:
        np.testing.assert_allclose(load_map(path, series), _rows(DATA)[:, 0], rtol=1e-6)
        field = load_b1(B1Source("TB1map", (path,), units="factor"), series, np.ones(24, dtype=bool), [])
        assert field.shape == (24,)


def test_a_map_is_one_value_per_voxel_of_the_series(tmp_path: Path) -> None:
    path = synth.write_image(tmp_path / "map.nii.gz", DATA[..., 0])
    with open_series([synth.write_image(tmp_path / "x.nii.gz", DATA)], tmp_path) as series:
        np.testing.assert_allclose(load_map(path, series), _rows(DATA)[:, 0], rtol=1e-6)
        with pytest.raises(InputError, match="has 6 volumes"):
            load_map(tmp_path / "x.nii.gz", series)
        other = synth.write_image(tmp_path / "o.nii.gz", DATA[:2, ..., 0])
        with pytest.raises(InputError, match=r"2 x 3 x 2 voxels.*4 x 3 x 2.*resample"):
            load_map(other, series)
