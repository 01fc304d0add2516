"""Which images are measurements that a series can be fitted to, by all that their sidecars say of them.

Phase, real parts and computed maps look like magnitudes once they are files; images of another sequence too.
What is no measurement is left out by name; what differs between those that are kept, beside what their
protocol varies, is named. Called by the readers of series of single images.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from bids_qmri.bids.alike import differences
from bids_qmri.bids.image_type import derived_note, why_not_measured
from bids_qmri.bids.labels import label_doubts
from bids_qmri.bids.layout import BidsFile
from bids_qmri.bids.nifti import read_header
from bids_qmri.bids.scaling import common_scale
from bids_qmri.bids.sequence import NoModelError
from bids_qmri.bids.sidecar import Sidecar
from bids_qmri.errors import InputError, caution
from bids_qmri.units import FloatArray

Require = Callable[[Sidecar, list[str]], None]
"""Refuses images of another sequence by NoModelError, and notes doubts."""


def measurements_among(
    sidecars: Sequence[Sidecar], notes: list[str], require: Require | None = None
) -> tuple[list[int], list[NoModelError]]:
    """Return which of some images are magnitudes of a sequence, and why the others are not.

    Parameters
    ----------
    sidecars
        Of every image, or volume.
    notes
        What is left out, and doubts about the rest, are added here.
    require
        What their sequence must be; None: any.
    """
    kept: list[int] = []
    reasons: list[NoModelError] = []
    own: list[str] = []
    for index, sidecar in enumerate(sidecars):
        try:
            if (error := why_not_measured(sidecar)) is not None:
                raise NoModelError(
                    error.seen, file=error.file, field=error.field, needed=error.needed, fix=error.fix
                )
            if require is not None:
                require(sidecar, own)
            own += filter(None, [derived_note(sidecar)])
            kept.append(index)
        except NoModelError as error:
            reasons.append(error)
    if kept:
        notes += [_left_out(error) for error in reasons]
    notes += own
    return kept, reasons


def measured_images(
    images: Sequence[BidsFile],
    sidecars: Sequence[Sidecar],
    notes: list[str],
    require: Require | None = None,
) -> tuple[list[BidsFile], list[Sidecar]]:
    """Return the images that are magnitudes of a sequence, with their sidecars.

    Parameters
    ----------
    images, sidecars
        Of one series.
    notes, require
        As of `measurements_among`.

    Raises
    ------
    InputError
        If none is, or two have one name.
    """
    require_unique(images)
    kept, reasons = measurements_among(sidecars, notes, require)
    if not kept:
        raise reasons[0]
    chosen, own = [images[i] for i in kept], [sidecars[i] for i in kept]
    notes += label_doubts(chosen, own)
    return chosen, own


def one_scale(
    sidecars: Sequence[Sidecar], notes: list[str], varied: Collection[str] = ()
) -> tuple[float, ...]:
    """Name what differs between images of one fit; return factors that bring them to one scale.

    Parameters
    ----------
    sidecars
        Of every image, or volume, in the order of the protocol.
    notes
        What differs, or cannot be known, is added here.
    varied
        Keys that the protocol varies.

    Returns
    -------
    One factor per image; empty: they are on one scale.
    """
    notes += differences(sidecars, varied)
    scale: FloatArray | None = common_scale(sidecars, [read_header(s.image) for s in sidecars], notes)
    return () if scale is None else tuple(map(float, scale))


def require_unique(images: Sequence[BidsFile]) -> None:
    """Refuse two images of one name, such as ``.nii`` beside ``.nii.gz``.

    Raises
    ------
    InputError
        Naming both.
    """
    names = [image.stem for image in images]
    twice = [image for image in images if names.count(image.stem) > 1]
    if twice:
        raise InputError(
            f"exists twice: {', '.join(sorted(image.path.name for image in twice))}",
            file=twice[0].path.parent,
            needed="one image per name",
            fix="remove one of them",
        )


def _left_out(error: InputError) -> str:
    return caution(
        f"{error.seen}; the image is left out",
        file=Path(str(error.file)),
        field=str(error.field),
        needed=error.needed,
        fix=error.fix,
    )
