"""Whether a dynamic series holds measured magnitudes of one spoiled gradient echo in all its frames."""

from __future__ import annotations

from bids_qmri.bids.image_type import derived_note, why_not_measured
from bids_qmri.bids.sequence import NoModelError, require_spoiled
from bids_qmri.bids.sidecar import Sidecar
from bids_qmri.errors import InputError

CONSTANT = ("FlipAngle", "EchoTime", "RepetitionTimeExcitation", "InversionTime", "MTState")
"""Keys that are of all frames; where they vary, volumes are not frames alone."""


def require_measured(sidecar: Sidecar, notes: list[str]) -> None:
    """Refuse what is no dynamic series of spoiled gradient echoes by its sidecar.

    Parameters
    ----------
    sidecar
        Of the series.
    notes
        Doubts are added here.

    Raises
    ------
    InputError
        If a key says that it is something else, or that volumes differ in more than time.
    """
    if (error := why_not_measured(sidecar)) is not None:
        raise NoModelError(error.seen, file=error.file, field=error.field, needed=error.needed, fix=error.fix)
    require_spoiled(sidecar, notes, must_be_told=False)
    notes += filter(None, [derived_note(sidecar)])
    for key in CONSTANT:
        value = sidecar.values.get(key)
        if isinstance(value, list) and len({str(one) for one in value}) > 1:
            raise InputError(
                f"is {sidecar.values[key]}",
                file=sidecar.where(key),
                field=key,
                needed="one value for all frames of a dynamic series",
                fix="split the image: frames of one value each, the others by their own suffix (VFA)",
            )
