"""Gradient echoes: ``*_echo-N_MEGRE.nii.gz``, an image for each EchoTime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable, files_acquisition
from bids_qmri.bids.layout import ParticipantFiles
from bids_qmri.bids.sequence import require_gradient_echo
from bids_qmri.bids.sidecar import Sidecar
from bids_qmri.bids.varied import VariedSeries, find_varied, require_one_per_image
from bids_qmri.physics.echoes import LONGEST_GRADIENT_ECHO, EchoProtocol

SUFFIXES = ("MEGRE",)
SERIES = VariedSeries(
    "megre",
    "MEGRE",
    "echo",
    "EchoTime",
    "echo time",
    LONGEST_GRADIENT_ECHO,
    require=require_gradient_echo,
)


def find(
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
    others: Sequence[Acquisition | Unusable] = (),
) -> list[Acquisition | Unusable]:
    """Find the gradient-echo series of a participant."""
    return find_varied(SERIES, files, derivatives, options, _protocol)


def _protocol(times: Sequence[float], sidecars: Sequence[Sidecar], notes: list[str]) -> EchoProtocol:
    return EchoProtocol(np.array(times))


def from_files(in_files: Sequence[Path], *, echo_times: Sequence[float]) -> Acquisition:
    """Return the acquisition of images that do not lie in a dataset.

    Parameters
    ----------
    in_files
        One 3-D image per echo time, magnitudes, or one 4-D image.
    echo_times
        In s, in the order of the images.

    Raises
    ------
    InputError
        If there is not one time per image.
    """
    require_one_per_image(in_files, echo_times, "echo_times")
    return files_acquisition("megre", "anat", in_files, EchoProtocol(np.asarray(echo_times)))
