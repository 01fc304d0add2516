"""Spin echoes: ``*_echo-N_MESE.nii.gz``, an image for each EchoTime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable, files_acquisition
from bids_qmri.bids.layout import ParticipantFiles
from bids_qmri.bids.sidecar import Sidecar, number
from bids_qmri.bids.varied import VariedSeries, find_varied, require_one_per_image
from bids_qmri.errors import caution
from bids_qmri.physics.echoes import LONGEST_ECHO_TIME
from bids_qmri.techniques.mese.protocol import SpinEchoProtocol

SUFFIXES = ("MESE",)
ANGLE = "RefocusingFlipAngle"
"""Sidecar key of our own, in degrees: BIDS has none for refocusing pulses."""

SERIES = VariedSeries("mese", "MESE", "echo", "EchoTime", "echo time", LONGEST_ECHO_TIME, b1=True)


def find(
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
    others: Sequence[Acquisition | Unusable] = (),
) -> list[Acquisition | Unusable]:
    """Find the spin-echo series of a participant."""
    return find_varied(SERIES, files, derivatives, options, _protocol)


def _protocol(times: Sequence[float], sidecars: Sequence[Sidecar], notes: list[str]) -> SpinEchoProtocol:
    angle = number(sidecars[0], ANGLE, notes)
    found = SpinEchoProtocol(np.array(times), np.asarray(np.deg2rad(180.0 if angle is None else angle)))
    # Of a train without a spacing no stimulated echoes are told, and the angle means nothing.
    if angle is None and found.spacing and found.n_measurements > 2:
        notes.append(
            caution(
                "is missing; stimulated echoes are computed for pulses of 180 degrees",
                file=sidecars[0].where(ANGLE),
                field=ANGLE,
                needed="the nominal angle of the refocusing pulses in degrees",
                fix="add the key",
            )
        )
    return found


def from_files(
    in_files: Sequence[Path], *, echo_times: Sequence[float], refocusing_angle: float = 180.0
) -> Acquisition:
    """Return the acquisition of images that do not lie in a dataset.

    Parameters
    ----------
    in_files
        One 3-D image per echo time, magnitudes, or one 4-D image.
    echo_times
        In s, in the order of the images.
    refocusing_angle
        Nominal, in degrees.

    Raises
    ------
    InputError
        If there is not one time per image.
    """
    require_one_per_image(in_files, echo_times, "echo_times")
    protocol = SpinEchoProtocol(np.asarray(echo_times), np.asarray(np.deg2rad(refocusing_angle)))
    return files_acquisition("mese", "anat", in_files, protocol)
