"""Whether an image had a magnetisation transfer pulse: by its sidecar and by its name, which must agree."""

from __future__ import annotations

from bids_qmri.bids.layout import BidsFile
from bids_qmri.bids.sidecar import Sidecar
from bids_qmri.errors import InputError

KEY = "MTState"
NAMED = {"on": True, "off": False}
"""Labels of the entity ``mt``."""


def mt_state(image: BidsFile, sidecar: Sidecar) -> bool:
    """Return whether an MT pulse was played out.

    Raises
    ------
    InputError
        If neither key nor entity says it, or they contradict each other.
    """
    named, stated = NAMED.get(image.entities.get("mt", "")), sidecar.values.get(KEY)
    if stated is not None and not isinstance(stated, bool):
        raise _wrong(sidecar, f"is {stated!r}", "write true or false")
    if named is None and stated is None:
        raise _wrong(sidecar, "is missing, and the name has no mt-on or mt-off", "add the key")
    if named is not None and stated is not None and named != stated:
        raise _wrong(
            sidecar,
            f"is {str(stated).lower()} but the name of {image.path.name} has mt-{'on' if named else 'off'}",
            "correct the key or the name",
        )
    return bool(named if stated is None else stated)


def _wrong(sidecar: Sidecar, seen: str, fix: str) -> InputError:
    needed = "true with a magnetisation transfer pulse, false without"
    return InputError(seen, file=sidecar.where(KEY), field=KEY, needed=needed, fix=fix)
