"""Some volumes of one or several 4-D images, opened as one series: what an acquisition is fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.acquisition import Acquisition
from bids_qmri.bids.axes import TOLERANCE, farthest
from bids_qmri.bids.images import Series, open_series
from bids_qmri.bids.nifti import read_header
from bids_qmri.errors import InputError
from bids_qmri.units import FloatArray


class ChosenVolumes(Series):
    """Volumes of opened series on one grid, in an order of their own.

    Parameters
    ----------
    parts
        One series or more.
    volumes
        Which of all their volumes, counted through, become the measurements.
    """

    def __init__(self, parts: Sequence[Series], volumes: Sequence[int]) -> None:
        # Whatever the first one knows of its grid holds for all.
        self.__dict__.update(parts[0].__dict__)
        self._parts = tuple(parts)
        places = [(part, volume) for part in self._parts for volume in range(part.n_measurements)]
        self._chosen = tuple(places[volume] for volume in volumes)
        self.n_measurements = len(self._chosen)

    def close(self) -> None:
        for part in self._parts:
            part.close()

    def read(
        self,
        start: int,
        stop: int,
        measurements: Sequence[int] | None = None,
        within: npt.NDArray[np.intp] | None = None,
    ) -> FloatArray:
        wanted = [self._chosen[index] for index in measurements] if measurements is not None else self._chosen
        count = stop - start if within is None else len(within)
        signal = np.empty((count, len(wanted)), order="F")
        for part in self._parts:
            columns = [column for column, (own, _) in enumerate(wanted) if own is part]
            if columns:
                volumes = [wanted[column][1] for column in columns]
                signal[:, columns] = part.read(start, stop, volumes, within)
        return signal


def open_images(acquisition: Acquisition, spool_dir: Path, grid: Series | None = None) -> Series:
    """Open the images of an acquisition: all their volumes, or those that it names.

    Parameters
    ----------
    acquisition
        What was found.
    spool_dir
        Existing folder for uncompressed copies.
    grid
        Images whose grid and order of axes they share, None if they have their own.

    Raises
    ------
    InputError
        If an image is damaged, or parts of one series are not on one grid.
    """
    if acquisition.volumes is None:
        series = open_series(acquisition.images, spool_dir, grid)
        if acquisition.scale:
            series.rescale(acquisition.scale)
        return series
    return choose_volumes(acquisition.images, acquisition.volumes, spool_dir, grid)


def choose_volumes(
    images: Sequence[Path], volumes: Sequence[int], spool_dir: Path, grid: Series | None = None
) -> Series:
    """Open some volumes of 4-D images; see `open_images`."""
    first = read_header(images[0])
    with ExitStack() as stack:
        parts: list[Series] = []
        for image in images:
            header = read_header(image)
            # Directions of a part are along its own axes: another order would turn them.
            same = (
                header.shape[:3] == first.shape[:3]
                and farthest(header.affine, first.affine, first.shape) <= TOLERANCE
            )
            if not same:
                raise InputError(
                    f"is not on the grid of {images[0].name}, with its axes in the same order",
                    file=image,
                    needed="parts of one series on one grid",
                    fix="register and resample them first, or remove MultipartID",
                )
            parts.append(stack.enter_context(open_series([image], spool_dir, parts[0] if parts else grid)))
        series = ChosenVolumes(parts, volumes)
        stack.pop_all()
    return series
