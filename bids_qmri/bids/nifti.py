"""Checks of one NIfTI file: is its header believable, and are its bytes whole.

nibabel parses the header; everything it would accept silently (negative sizes, a zero affine, a file cut
short, a damaged gzip stream, a header larger than its file) is refused here before any memory is taken for
voxels.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.header_limits import LONGEST_HEADER, SHORTEST_HEADER, refuse_extensions, refuse_impossible
from bids_qmri.bids.lean import HeaderDataError, ImageFileError, nib, voxel_sizes
from bids_qmri.bids.packing import DAMAGE, open_packed
from bids_qmri.errors import InputError
from bids_qmri.files import MB, RESTORE, one_fault, open_file
from bids_qmri.units import FloatArray

CHUNK = 1 << 20
LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, eq=False)
class Header:
    """Where the voxels of one NIfTI file lie and how they are stored.

    Parameters
    ----------
    path
        The file.
    shape
        Image size, trailing axes of length one removed beyond the third: (X, Y, Z) or (X, Y, Z, N).
    affine
        Voxel indices to mm, (4, 4).
    zooms
        Voxel size in mm.
    dtype
        Stored type, with byte order.
    offset
        Bytes before the first voxel (after decompression).
    slope, intercept
        Stored values times slope plus intercept are the signal.
    """

    path: Path
    shape: tuple[int, ...]
    affine: FloatArray
    zooms: tuple[float, float, float]
    dtype: np.dtype[np.generic]
    offset: int
    slope: float
    intercept: float

    @property
    def n_voxels(self) -> int:
        """Voxels per volume."""
        return int(np.prod(self.shape[:3], dtype=object))

    @property
    def n_volumes(self) -> int:
        """Length of the fourth axis; 1 for a 3-D image."""
        return self.shape[3] if len(self.shape) == 4 else 1

    @property
    def volume_bytes(self) -> int:
        """Size of one volume."""
        return self.n_voxels * self.dtype.itemsize

    @property
    def n_bytes(self) -> int:
        """Size of the whole uncompressed file as the header promises it."""
        return self.offset + self.n_volumes * self.volume_bytes


def read_header(path: Path) -> Header:
    """Read and check the header of a ``.nii`` or ``.nii.gz`` file without reading its voxels.

    Raises
    ------
    InputError
        If the file is missing, empty, a pointer to an image, not NIfTI, or its header cannot be true.
    """
    _refuse_what_is_no_image(path)
    # A library meets bytes that nobody meant as numbers: whatever it raises is said of the file.
    with one_fault(path, needed="a NIfTI image", fix=RESTORE), np.errstate(all="ignore"):
        image = _parse(path)
        affine = _affine(path, image.affine)
        zooms = voxel_sizes(affine)
        header = Header(
            path=path,
            shape=_shape(path, image.header),
            affine=affine,
            zooms=(float(zooms[0]), float(zooms[1]), float(zooms[2])),
            dtype=_dtype(path, image.header.get_data_dtype()),
            offset=int(image.dataobj.offset),
            slope=float(image.dataobj.slope),
            intercept=float(image.dataobj.inter),
        )
    if not path.name.endswith(".gz") and path.stat().st_size != header.n_bytes:
        raise InputError(f"has {path.stat().st_size} bytes", file=path, needed=_promise(header), fix=RESTORE)
    return header


def value_range(path: Path, *, volumes: bool = False) -> tuple[float, float]:
    """Return the smallest and largest value of an image, which tell how it is scaled.

    Parameters
    ----------
    path
        The image.
    volumes
        Whether it may be 4-D.

    Raises
    ------
    InputError
        If it is not sound, 4-D where it may not be, or holds no finite value.
    """
    header = read_header(path)
    if header.n_volumes > 1 and not volumes:
        raise InputError(
            f"has {header.n_volumes} volumes", file=path, field="dim", needed="a 3-D image", fix="split it"
        )
    lowest, highest = np.inf, -np.inf
    # Piece by piece: an image of zeros packs 1,000 times smaller than the memory that it would take.
    for values in _pieces(header):
        finite = values[np.isfinite(values)]
        lowest, highest = min(lowest, finite.min(initial=lowest)), max(highest, finite.max(initial=highest))
    if lowest > highest:
        raise InputError("holds no finite value", file=path, needed="an image", fix=RESTORE)
    return float(lowest), float(highest)


def _pieces(header: Header) -> Iterator[FloatArray]:
    """Yield all values of an image, scaled, in pieces that take little memory."""
    packed = header.path.name.endswith(".gz")
    size, left = header.dtype.itemsize, header.n_bytes - header.offset
    try:
        with open_packed(header.path) if packed else header.path.open("rb") as stream:
            stream.seek(header.offset)
            while left > 0:
                raw = stream.read(min(left, CHUNK * size))
                if not raw or len(raw) % size:
                    raise EOFError(f"{left} bytes are missing")
                left -= len(raw)
                yield (
                    np.frombuffer(raw, dtype=header.dtype).astype(np.float64) * header.slope
                    + header.intercept
                )
    except DAMAGE as error:
        raise _damaged(header.path, str(error), _promise(header)) from error


def _parse(path: Path) -> nib.Nifti1Image:
    # Not nib.load: for a damaged gzip stream it says that the file type is unknown.
    packed = path.name.endswith(".gz")
    try:
        with open_packed(path) if packed else path.open("rb") as stream:
            # No further than the header: a stream that is cut short behind it is a fault of the voxels.
            start = stream.read(SHORTEST_HEADER)
            if not _is_first_version(start):
                start += stream.read(LONGEST_HEADER - SHORTEST_HEADER)
            offset = refuse_impossible(path, start, path.stat().st_size, packed=packed)
            start += stream.read(max(offset - len(start), 0))
        refuse_extensions(path, start[:offset])
        sizes = {int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big")}
        kinds = {348: nib.Nifti1Image, 540: nib.Nifti2Image}
        for size_of_header, kind in kinds.items():
            if size_of_header in sizes:
                return kind.from_filename(path)
    except DAMAGE as error:
        raise _damaged(path, str(error), "a NIfTI image") from error
    except (
        OSError,
        ValueError,
        ImageFileError,
        HeaderDataError,
    ) as error:
        raise InputError(
            f"its header cannot be read ({error})", file=path, needed="a NIfTI image", fix=RESTORE
        ) from error
    raise InputError("does not begin with a NIfTI header", file=path, needed="a NIfTI image", fix=RESTORE)


def _is_first_version(start: bytes) -> bool:
    return SHORTEST_HEADER in (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big"))


def _damaged(path: Path, how: str, needed: str) -> InputError:
    seen = f"the gzip stream is damaged or cut short ({how})"
    return InputError(seen, file=path, needed=needed, fix=RESTORE)


VolumeTurn = Callable[[npt.NDArray[np.generic]], npt.NDArray[np.generic]]
"""From one volume of a file, (x, y, z), to the same voxels in another order."""


def open_voxels(header: Header, spool_dir: Path, turn: VolumeTurn | None = None) -> IO[bytes]:
    """Open the uncompressed bytes of an image; the caller closes it, which also frees the disk.

    A ``.nii.gz`` is decompressed once, to its end, so that its checksum and length are verified, into an
    unnamed file in `spool_dir` that cannot outlive the process. A ``.nii`` is opened in place.

    Parameters
    ----------
    header
        Of the image.
    spool_dir
        Existing folder.
    turn
        Applied to every volume on the way, into a file without a header; None leaves all bytes as they are.

    Raises
    ------
    InputError
        If the stream is cut short, damaged, followed by something else, or not as long as the header says.
    """
    packed = header.path.name.endswith(".gz")
    if not packed and turn is None:
        return header.path.open("rb")
    free = shutil.disk_usage(spool_dir).free
    if header.n_bytes > free:
        raise InputError(
            f"needs {header.n_bytes / MB:,.0f} MB unpacked, and {spool_dir} has {free / MB:,.0f} MB left",
            file=header.path,
            needed="room for one image at a time",
            fix="name a folder with more room by --work-dir",
        )
    spool = tempfile.TemporaryFile(dir=spool_dir)  # noqa: SIM115 - handed to the caller
    try:
        with open_packed(header.path) if packed else header.path.open("rb") as stream:
            _copy(header, stream, spool, turn)
        spool.flush()
    except BaseException:
        spool.close()
        raise
    return spool


def _copy(header: Header, stream: IO[bytes], spool: IO[bytes], turn: VolumeTurn | None) -> None:
    """Copy an image to its end, and raise an InputError unless it is as long as its header says."""
    size = 0
    try:
        for chunk in _chunks(header, stream, turn):
            size += len(chunk)
            # A stream longer than its header is damage or a bomb: stop before it fills the disk.
            if size > header.n_bytes:
                break
            if turn is None:
                spool.write(chunk)
            elif size > header.offset and len(chunk) == header.volume_bytes:
                volume = np.frombuffer(chunk, dtype=header.dtype).reshape(header.shape[:3], order="F")
                spool.write(turn(volume).tobytes(order="F"))
    except DAMAGE as error:
        raise _damaged(header.path, f"after {size} bytes: {error}", _promise(header)) from error
    if size != header.n_bytes:
        more = "more than " if size > header.n_bytes else ""
        raise InputError(
            f"holds {more}{min(size, header.n_bytes)} bytes",
            file=header.path,
            needed=_promise(header),
            fix=RESTORE,
        )


def _chunks(header: Header, stream: IO[bytes], turn: VolumeTurn | None) -> Iterator[bytes]:
    """Yield the bytes of an image: in pieces, or the header and then volumes, whatever is there."""
    if turn is not None and header.offset:
        yield stream.read(header.offset)
    while chunk := stream.read(CHUNK if turn is None else header.volume_bytes):
        yield chunk


def _promise(header: Header) -> str:
    size = " x ".join(map(str, header.shape))
    return f"{header.n_bytes} bytes, as its header says ({size} of {header.dtype.name})"


def _refuse_what_is_no_image(path: Path) -> None:
    if path.name.endswith(".ome.zarr"):
        raise InputError("is an OME-Zarr image", file=path, needed="NIfTI", fix="convert it to .nii.gz")
    with open_file(path, needed="a NIfTI image") as stream:
        start = stream.read(len(LFS_POINTER))
    if not start:
        raise InputError("is empty (0 bytes)", file=path, needed="a NIfTI image", fix=RESTORE)
    if start == LFS_POINTER:
        raise InputError(
            "is a git-LFS pointer, not an image",
            file=path,
            needed="the image itself",
            fix="run `git lfs pull`",
        )
    if path.name.endswith(".gz") and start[:2] != b"\x1f\x8b":
        raise InputError("is not a gzip file", file=path, needed="a .nii.gz image", fix=RESTORE)


def _shape(path: Path, header: nib.Nifti1Header) -> tuple[int, ...]:
    ndim = int(header["dim"][0])
    shape = [int(size) for size in header["dim"][1 : ndim + 1]]
    if not 2 <= ndim <= 7 or min(shape) < 1:
        raise InputError(
            f"has the size {shape}", file=path, field="dim", needed="sizes of 1 or more", fix=RESTORE
        )
    shape += [1] * (3 - len(shape))
    while len(shape) > 4 and shape[-1] == 1:
        shape.pop()
    if len(shape) > 4:
        raise InputError(
            f"has {len(shape)} axes: {shape}",
            file=path,
            field="dim",
            needed="3 or 4 axes",
            fix="split it",
        )
    return tuple(shape)


def _affine(path: Path, affine: npt.NDArray[np.floating] | None) -> FloatArray:
    matrix = np.asarray(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.all(np.isfinite(matrix)) or np.linalg.det(matrix[:3, :3]) == 0:
        raise InputError(
            f"its voxel-to-mm matrix is {np.round(matrix, 3).tolist()}",
            file=path,
            field="sform/qform",
            needed="a finite, invertible matrix",
            fix="mend the header from the original export",
        )
    return matrix


def _dtype(path: Path, dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    if dtype.kind not in "iuf" or dtype.names is not None:
        raise InputError(
            f"stores {'RGB' if dtype.names else dtype.name} values",
            file=path,
            field="datatype",
            needed="real numbers",
            fix="convert complex images to magnitude",
        )
    return dtype
