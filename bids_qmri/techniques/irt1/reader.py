"""Inversion recovery: ``*_inv-N_IRT1.nii.gz``, an image for each InversionTime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable, files_acquisition
from bids_qmri.bids.layout import ParticipantFiles
from bids_qmri.bids.sequence import require_free_recovery
from bids_qmri.bids.sidecar import Sidecar
from bids_qmri.bids.varied import VariedSeries, find_varied, require_one_per_image
from bids_qmri.techniques.irt1.protocol import LONGEST_INVERSION_TIME, InversionProtocol

SUFFIXES = ("IRT1",)
SERIES = VariedSeries(
    "irt1",
    "IRT1",
    "inv",
    "InversionTime",
    "inversion time",
    LONGEST_INVERSION_TIME,
    require=require_free_recovery,
)


def find(
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
    others: Sequence[Acquisition | Unusable] = (),
) -> list[Acquisition | Unusable]:
    """Find the inversion-recovery series of a participant."""
    return find_varied(SERIES, files, derivatives, options, _protocol)


def _protocol(times: Sequence[float], sidecars: Sequence[Sidecar], notes: list[str]) -> InversionProtocol:
    return InversionProtocol(np.array(times))


def from_files(in_files: Sequence[Path], *, inversion_times: Sequence[float]) -> Acquisition:
    """Return the acquisition of images that do not lie in a dataset.

    Parameters
    ----------
    in_files
        One 3-D image per inversion time, magnitudes, or one 4-D image.
    inversion_times
        In s, in the order of the images.

    Raises
    ------
    InputError
        If there is not one time per image.
    """
    require_one_per_image(in_files, inversion_times, "inversion_times")
    return files_acquisition("irt1", "anat", in_files, InversionProtocol(np.asarray(inversion_times)))
