"""MT saturation series: ``*_flip-N_mt-on_MTS.nii.gz``, one echo for each weighting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bids_qmri.bids.acquisition import Acquisition, ReadOptions, Unusable
from bids_qmri.bids.layout import ParticipantFiles
from bids_qmri.techniques.mpm.reader import find_weightings, from_files

__all__ = ["SUFFIXES", "find", "from_files"]

SUFFIXES = ("MTS",)


def find(
    files: ParticipantFiles,
    derivatives: Mapping[str, ParticipantFiles],
    options: ReadOptions,
    others: Sequence[Acquisition | Unusable] = (),
) -> list[Acquisition | Unusable]:
    """Find the MT saturation series of a participant."""
    return find_weightings("mts", SUFFIXES, files, derivatives, options)
