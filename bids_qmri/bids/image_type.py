"""What an image shows by the words of its sidecar: magnitudes that were measured, or something else.

Phase, real parts and computed maps look like images of any series once they are files. Converters that do
not write `part-` still copy the scanner's ImageType. Called by all readers.
"""

from __future__ import annotations

import re
from typing import Any

from bids_qmri.bids.layout import BidsFile
from bids_qmri.bids.sidecar import Sidecar
from bids_qmri.errors import InputError

KEYS = ("ImageType", "ImageTypeText", "ComplexImageComponent")
"""Keys that say it: of classic images, of Siemens XA, of enhanced multi-frame images."""

MAGNITUDE = re.compile(r"M|MAG(NITUDE)?|M_.*")

TRACE = re.compile(r"TRACE.*|IDWI|ISO(TROPIC)?(_?DWI)?")
"""Mean over directions: magnitudes, but of no direction."""

PHASE = re.compile(r"P|PHASE([ _].*)?|P_.*|.*_PHASE|VELOCITY[ _]MAP")

OTHERWISE = (
    (PHASE, "phase"),
    (re.compile(r"R|REAL|R_.*"), "the real part"),
    (re.compile(r"I|IMAG(INARY)?|I_.*"), "the imaginary part"),
)
"""Components of a complex image beside its magnitude."""

PARTS = {"phase": "phase", "the real part": "real", "the imaginary part": "imag"}
"""Labels of `part-` that they have."""

COMPUTED = re.compile(
    r"(E|EXP)?[ _]?ADC([ _].*)?|FA|FA[ _].*|COL(OU?R)?[ _]?FA|TENSOR.*|CALC.*|SUB|SUBTRACT.*|QUANTITY"
    r"|DIVISION|STD([ _]?DEV.*)?|MINIMUM|MAXIMUM|(MINI?|MAXI?|M)[ _]?IP|PROJECTION.*|R?R?CB[FV]|RELCB[FV]"
    r"|MTT|TTP|PBP|K[ _]?TRANS|SWI|QSM|.*MAP"
)
"""Images that a scanner computes from others. ``T1`` alone is a weighting."""


def words(sidecar: Sidecar, key: str) -> tuple[str, ...]:
    """Return the words of a key in upper case; text with backslashes, as DICOM writes it, is taken apart."""
    value: Any = sidecar.values.get(key, ())
    listed = value if isinstance(value, list | tuple) else re.split(r"[\\/,;|]", str(value))
    return tuple(str(word).strip().upper() for word in listed)


def is_trace(sidecar: Sidecar) -> bool:
    """Whether the image is a mean over directions of diffusion weighting, by its sidecar."""
    return any(TRACE.fullmatch(word) for key in KEYS for word in words(sidecar, key))


def why_not_measured(sidecar: Sidecar) -> InputError | None:
    """Return why an image holds no measured magnitudes by its sidecar; None if nothing speaks against it.

    Phase, real and imaginary parts, and maps or differences that the scanner computed. Means over directions
    are magnitudes (`is_trace` tells them).

    Parameters
    ----------
    sidecar
        Of the image, after inheritance.
    """
    key, what = shown(sidecar)
    if not what:
        return None
    return InputError(
        f"is {'/'.join(words(sidecar, key))}: {sidecar.image.name} holds {what}",
        file=sidecar.where(key),
        field=key,
        needed="measured magnitudes",
        fix="give the magnitude images (name others part-phase, part-real, part-imag or by their own "
        f"suffix), or correct {key}",
    )


def shown(sidecar: Sidecar) -> tuple[str, str]:
    """Return the key that tells what an image shows beside magnitudes, and that; empty where nothing does."""
    for key in KEYS:
        found = words(sidecar, key)
        # Of frames that differ, enhanced images say MIXED in other places too.
        mixed = key == "ComplexImageComponent" and "MIXED" in found
        what = "magnitude and phase mixed" if mixed else _other_than_magnitude(found)
        if what:
            return key, what
    return KEYS[0], ""


def part_of(image: BidsFile, sidecar: Sidecar) -> str:
    """Return which part of a complex image is shown: ``mag``, ``phase``, ``real``, ``imag``; by name, or key.

    Raises
    ------
    InputError
        If it is a computed image, or name and key contradict each other.
    """
    key, what = shown(sidecar)
    told = PARTS.get(what)
    named = image.entities.get("part")
    magnitude = any(MAGNITUDE.fullmatch(word) for word in words(sidecar, key))
    contradicted = (named == "mag" and told) or (named is not None and named != "mag" and magnitude)
    if (what and told is None) or contradicted or (named and told and named != told):
        raise InputError(
            f"is {'/'.join(words(sidecar, key))} beside the name {image.path.name}",
            file=sidecar.where(key),
            field=key,
            needed="magnitudes, or phases that are named part-phase",
            fix=f"correct the name or {key}, or leave the image out with --bids-filter-file",
        )
    return named or told or "mag"


def derived_note(sidecar: Sidecar) -> str:
    """Return what to say of an image that was made from others in a way that is not told; empty if nothing.

    Filtered or averaged magnitudes say what they are (``M``) beside ``DERIVED``: nothing is said of those.
    """
    found = words(sidecar, "ImageType")
    plain = any(MAGNITUDE.fullmatch(word) or TRACE.fullmatch(word) for word in found)
    if "DERIVED" not in found or plain:
        return ""
    return (
        f"{sidecar.where('ImageType').name}: ImageType is {'/'.join(found)}: the scanner made"
        f" {sidecar.image.name} from other images; needed: measured magnitudes; fix: give the original images"
        " if it shows something else"
    )


def _other_than_magnitude(found: tuple[str, ...]) -> str:
    """Say what is shown instead of a magnitude; empty if it is one, or nothing is said."""
    for word in found:
        if COMPUTED.fullmatch(word) and not PHASE.fullmatch(word):
            return f"a computed image ({word})"
    if any(MAGNITUDE.fullmatch(word) for word in found):
        return ""
    for pattern, what in OTHERWISE:
        if any(pattern.fullmatch(word) for word in found):
            return what
    return ""
