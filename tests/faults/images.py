"""Faults of images: their bytes, their headers, their grids, and masks and maps of noise beside them."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import synth
from faults.kinds import (
    DCE,
    DWI,
    FLIP,
    OK,
    Case,
    Fault,
    Spoil,
    bytes_of,
    content,
    forbid,
    forbidden,
    header,
    image,
    instead,
)

NAME = f"{FLIP}.nii.gz"
FILE = r"sub-01_flip-1_VFA\.nii\.gz"
OFF = np.array([[-2.0, 0, 0, 30], [0, 2, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1]])


def _twice(data: bytes) -> bytes:
    return data + data


def _flipped(data: bytes) -> bytes:
    changed = bytearray(
        gzip.compress(gzip.decompress(data), 0, mtime=0)
    )  # stored: every byte is one of the image
    changed[len(changed) - 40] ^= 1
    return bytes(changed)


def _without_sum(data: bytes) -> bytes:
    return data[:-8] + bytes([data[-8] ^ 255]) + data[-7:]


def _bomb(path: Path) -> None:
    """Write a header of 2 GB and a stream of zeros that is far shorter packed."""
    own = nib.Nifti1Header()
    own.set_data_shape((1024, 1024, 512))
    own.set_data_dtype(np.float32)
    own["magic"], own["vox_offset"] = b"n+1", 352
    path.write_bytes(gzip.compress(bytes(own.binaryblock) + bytes(4) + bytes(10_000), mtime=0))


def _longer(data: bytes) -> bytes:
    return gzip.compress(gzip.decompress(data) + bytes(2**20), mtime=0)


def _dtype(kind: Any) -> Spoil:
    def spoil(case: Case) -> None:
        array = np.ones(synth.SHAPE).astype(kind)
        nib.save(nib.Nifti1Image(array, synth.AFFINE), case.folder / NAME)

    return spoil


def _rgb(case: Case) -> None:
    array = np.zeros(synth.SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(array, synth.AFFINE), case.folder / NAME)


def _unpacked(change: Callable[[bytes], bytes]) -> Spoil:
    """Replace an image by its uncompressed bytes, changed."""

    def spoil(case: Case) -> None:
        path = case.folder / NAME
        (case.folder / f"{FLIP}.nii").write_bytes(change(gzip.decompress(path.read_bytes())))
        path.unlink()

    return spoil


def _beside(case: Case) -> None:
    (case.folder / f"{FLIP}.nii").write_bytes(gzip.decompress((case.folder / NAME).read_bytes()))


def _pair(case: Case) -> None:
    header_of_a_pair = nib.Nifti1Pair(np.ones(synth.SHAPE, np.float32), synth.AFFINE)
    nib.save(header_of_a_pair, case.extra / "x.img")
    (case.folder / NAME).write_bytes(gzip.compress((case.extra / "x.hdr").read_bytes() + bytes(100), mtime=0))


def _shrinks(case: Case) -> None:
    (case.folder / NAME).write_bytes(b"")


def _derivative(name: str, write: Callable[[Path], object]) -> Spoil:
    """Put a file into a named dataset that both participants have sound masks in."""

    def spoil(case: Case) -> list[str]:
        for participant in ("sub-01", "sub-02"):
            synth.add_mask(case.extra / "masks", participant, np.ones(synth.SHAPE))
        path = case.extra / "masks" / "sub-01" / "anat" / name
        path.unlink(missing_ok=True)
        write(path)
        return ["-d", f"masks={case.extra / 'masks'}"]

    return spoil


def _written(data: Any, affine: Any = synth.AFFINE) -> Callable[[Path], object]:
    return lambda path: synth.write_image(path, np.asarray(data), np.asarray(affine))


def _noise(write: Callable[[Path], object]) -> Spoil:
    def spoil(case: Case) -> list[str]:
        write(case.extra / "noise.nii.gz")
        return ["--noise", str(case.extra / "noise.nii.gz"), "--estimators", "mle"]

    return spoil


def _closed(path: Path) -> None:
    synth.write_image(path, np.ones(synth.SHAPE))
    forbid(path)


def _extension(data: bytes) -> bytes:
    """Put an extension of gigabytes between header and voxels."""
    raw = gzip.decompress(data)
    own = nib.Nifti1Header(raw[:348], check=False)
    own["vox_offset"] = 368
    changed = bytes(own.binaryblock) + b"\1\0\0\0" + (2**31 - 1).to_bytes(4, "little") + bytes(12) + raw[352:]
    return gzip.compress(changed, mtime=0)


MASK = r"sub-01_mask\.nii\.gz"

ROWS = [
    Fault("image: empty file", content(NAME, ""), (FILE, "is empty")),
    Fault("image: a few bytes", content(NAME, b"\x1f\x8b\x08"), (FILE, "gzip stream is damaged")),
    Fault("image: text", content(NAME, "hello"), (FILE, "is not a gzip file")),
    Fault(
        "image: git-LFS pointer",
        content(NAME, "version https://git-lfs.github.com/spec/v1\n"),
        (FILE, "git lfs pull"),
    ),
    Fault(
        "image: gzip of something else",
        content(NAME, gzip.compress(b"x" * 1000)),
        (FILE, "does not begin with a NIfTI header"),
    ),
    Fault(
        "image: gzip of nothing",
        content(NAME, gzip.compress(b"")),
        (FILE, "does not begin with a NIfTI header"),
    ),
    Fault(
        "image: ends within the header",
        content(NAME, gzip.compress(b"\x5c\x01\0\0" + bytes(100))),
        (FILE, "ends within its header"),
    ),
    Fault("image: stream cut short", bytes_of(NAME, lambda data: data[:-60]), (FILE, "cut short")),
    Fault(
        "image: stream without its last bytes", bytes_of(NAME, lambda data: data[:-4]), (FILE, "cut short")
    ),
    Fault("image: wrong checksum", bytes_of(NAME, _without_sum), (FILE, "CRC")),
    Fault("image: one bit flipped", bytes_of(NAME, _flipped), (FILE, "CRC")),
    Fault("image: two streams in one file", bytes_of(NAME, _twice), (FILE, "holds more than")),
    Fault("image: junk behind the stream", bytes_of(NAME, lambda data: data + b"junk"), (FILE, "damaged")),
    Fault("image: longer than its header", bytes_of(NAME, _longer), (FILE, "holds more than")),
    Fault(
        "image: header of gigabytes in a kilobyte",
        instead(NAME, _bomb),
        (FILE, "promises 2,147,483,648 bytes"),
    ),
    Fault(
        "image: sizes whose product overflows", header(NAME, dim=[7] + [32767] * 7), (FILE, "dim: promises")
    ),
    Fault(
        "image: negative size",
        header(NAME, dim=[3, -4, 3, 2, 1, 1, 1, 1]),
        (FILE, r"dim: has the size \[-4, 3, 2\]"),
    ),
    Fault(
        "image: size 0", header(NAME, dim=[3, 4, 0, 2, 1, 1, 1, 1]), (FILE, r"dim: has the size \[4, 0, 2\]")
    ),
    Fault("image: 9 axes", header(NAME, dim=[9, 4, 3, 2, 1, 1, 1, 1]), (FILE, r"dim\[0\]: is 9")),
    Fault("image: 5 axes", header(NAME, dim=[5, 2, 2, 2, 1, 3, 1, 1]), (FILE, "has 5 axes")),
    Fault("image: offset within the header", header(NAME, vox_offset=100), (FILE, "vox_offset: is 100")),
    Fault("image: offset behind the file", header(NAME, vox_offset=1e9), (FILE, "vox_offset: is 1e")),
    Fault("image: offset that is no number", header(NAME, vox_offset=np.nan), (FILE, "vox_offset: is nan")),
    Fault("image: slope infinite", header(NAME, scl_slope=np.inf), (FILE, "scl_slope: is inf")),
    Fault(
        "image: intercept no number",
        header(NAME, scl_slope=2, scl_inter=np.nan),
        (FILE, "scl_slope: is 2, and the intercept nan"),
    ),
    Fault("image: unknown type of voxels", header(NAME, datatype=77), (FILE, "header cannot be read")),
    Fault("image: complex voxels", _dtype(np.complex64), (FILE, "datatype: stores complex64")),
    Fault("image: colours", _rgb, (FILE, "datatype: stores RGB")),
    Fault("image: half of a pair", _pair, (FILE, "one half of a pair")),
    Fault("image: magic word damaged", header(NAME, magic=b"abc"), (FILE, "magic: is b'abc'")),
    Fault(
        "image: matrix of zeros",
        header(NAME, srow_x=[0] * 4, srow_y=[0] * 4, srow_z=[0] * 4),
        (FILE, "sform/qform: its voxel-to-mm matrix"),
    ),
    Fault(
        "image: matrix not finite",
        header(NAME, srow_x=[np.nan] * 4),
        (FILE, "sform/qform: its voxel-to-mm matrix"),
    ),
    Fault(
        "image: .nii cut short",
        _unpacked(lambda data: data[:-4]),
        (r"VFA\.nii", "has 444 bytes; needed: 448 bytes"),
    ),
    Fault(
        "image: .nii with junk behind", _unpacked(lambda data: data + b"junk"), (r"VFA\.nii", "has 452 bytes")
    ),
    Fault(
        "image: .nii of sizes beyond any disk",
        _unpacked(lambda data: data[:40] + b"\x07\0" + b"\xff\x7f" * 7 + data[56:]),
        (r"VFA\.nii", "dim: promises"),
    ),
    Fault("image: .nii beside .nii.gz", _beside, ("exists twice", r"VFA\.nii")),
    Fault(
        "image: another size than its series",
        image(NAME, np.ones((5, 3, 2))),
        (r"flip-2_VFA\.nii\.gz", "dim: has 4 x 3 x 2 voxels"),
    ),
    Fault(
        "image: another place than its series",
        image(NAME, np.ones(synth.SHAPE), OFF),
        (r"VFA\.nii\.gz", "sform/qform: lies up to"),
    ),
    Fault(
        "image: several volumes where one is due",
        image(NAME, np.ones((4, 3, 2, 3))),
        (FILE, "3 volumes for one FlipAngle"),
    ),
    Fault(
        "image: link to nowhere",
        instead(NAME, lambda path: path.symlink_to("../.git/annex/objects/x")),
        (FILE, "git annex get"),
    ),
    Fault(
        "image: link in a circle",
        instead(NAME, lambda path: path.symlink_to(path.name)),
        (FILE, "leads back to itself"),
    ),
    Fault("image: named pipe", instead(NAME, os.mkfifo), (FILE, "is a named pipe")),
    Fault("image: device", instead(NAME, lambda path: path.symlink_to("/dev/zero")), (FILE, "is a device")),
    Fault("image: folder", instead(NAME, Path.mkdir), (FILE, "is a folder")),
    Fault(
        "diffusion image: stream cut short",
        bytes_of(f"{DWI}.nii.gz", lambda data: data[:-60]),
        (r"sub-01_dwi\.nii\.gz", "cut short"),
        fit="dwi",
    ),
    Fault(
        "diffusion image: named pipe",
        instead(f"{DWI}.nii.gz", os.mkfifo),
        (r"sub-01_dwi\.nii\.gz", "is a named pipe"),
        fit="dwi",
    ),
    Fault(
        "dynamic image: stream cut short",
        bytes_of(f"{DCE}.nii.gz", lambda data: data[:-60]),
        (r"sub-01_dce\.nii\.gz", "cut short"),
        fit="dce",
    ),
    Fault(
        "dynamic image: one volume",
        image(f"{DCE}.nii.gz", np.ones(synth.SHAPE)),
        (r"sub-01_dce\.nii\.gz", "single volume"),
        fit="dce",
    ),
    Fault(
        "mask: empty",
        _derivative("sub-01_mask.nii.gz", _written(np.zeros(synth.SHAPE))),
        (MASK, "holds no voxel"),
    ),
    Fault(
        "mask: another grid",
        _derivative("sub-01_mask.nii.gz", _written(np.ones((5, 3, 2)))),
        (MASK, "voxels"),
    ),
    Fault(
        "mask: another place",
        _derivative("sub-01_mask.nii.gz", _written(np.ones(synth.SHAPE), OFF)),
        (MASK, "voxels from"),
    ),
    Fault(
        "mask: no image",
        _derivative("sub-01_mask.nii.gz", lambda path: path.write_text("x")),
        (MASK, "is not a gzip file"),
    ),
    Fault("mask: named pipe", _derivative("sub-01_mask.nii.gz", os.mkfifo), (MASK, "is a named pipe")),
    Fault(
        "mask: several volumes that differ",
        _derivative("sub-01_mask.nii.gz", _written(np.arange(72).reshape(4, 3, 2, 3) % 2)),
        (MASK, "volumes"),
    ),
    Fault(
        "map of noise: another grid",
        _noise(_written(np.ones((5, 3, 2)))),
        (r"noise\.nii\.gz", "voxels"),
        others=False,
    ),
    Fault(
        "map of noise: no image",
        _noise(lambda path: path.write_text("x")),
        (r"noise\.nii\.gz", "is not a gzip file"),
        others=False,
    ),
    Fault(
        "map of noise: in another unit",
        _noise(_written(np.full(synth.SHAPE, 1e9))),
        (r"noise\.nii\.gz",),
        others=False,
    ),
    Fault(
        "regions: no image",
        _derivative("sub-01_dseg.nii.gz", lambda path: path.write_text("x")),
        (r"sub-01_dseg\.nii\.gz", "is not a gzip file"),
        OK,
        own=True,
    ),
    Fault(
        "regions: empty file",
        _derivative("sub-01_dseg.nii.gz", lambda path: path.write_text("")),
        (r"sub-01_dseg\.nii\.gz", "is empty"),
        OK,
        own=True,
    ),
    Fault("image: no permission", forbidden(NAME), (FILE, "its permissions forbid it", "chmod")),
    Fault(
        "diffusion image: no permission",
        forbidden(f"{DWI}.nii.gz"),
        (r"sub-01_dwi\.nii\.gz", "its permissions forbid it"),
        fit="dwi",
    ),
    Fault(
        "mask: no permission", _derivative("sub-01_mask.nii.gz", _closed), (MASK, "its permissions forbid it")
    ),
    Fault(
        "image: an extension of gigabytes",
        bytes_of(NAME, _extension),
        (FILE, "extension: an extension of 2,147,483,647 bytes"),
    ),
]
