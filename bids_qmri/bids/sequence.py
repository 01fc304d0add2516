"""Whether a series was played out as a spoiled gradient echo in its steady state, by all that sidecars say.

Models of flip angle and of contrast agent hold for that sequence alone. One key rarely tells: names differ by
maker, and converters write what the scanner says in keys of DICOM. A name that is not known warns; what is
known to be another sequence is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bids_qmri.bids.sidecar import Sidecar
from bids_qmri.errors import InputError, caution

SPOILED = re.compile(
    r"SPGR|FLASH|T1.?F(AST)?.?FE|\bGRE?\b|FGRE|MEGRE|\bMGE\b|(?<!UN)SPOIL|GRADIENT.?(RECALLED|ECHO)|VIBE|THRIVE"
    r"|LAVA|\b(T1.?)?TFE|TURBO.?FIELD|TWIST|\bCAPR\b|DISCO|VIBRANT|TRICKS|QUICK|GRASP|\bTRAK|\bFL[23]D|RF.?FAST"
    r"|\bRSSG\b|TIGRE|\bFE[23]?D?\b|FIELD.?ECHO",
    re.IGNORECASE,
)
"""Names that makers use for spoiled gradient echoes."""

OTHERS = (
    (
        r"SSFP|FIESTA|TRUE?.?FI|BALANCED|\bB.?(FFE|TFE|SARGE)\b|\bTFI[23]D|\bCISS\b|COSMIC",
        "balanced SSFP",
    ),
    (r"EPI\b|\bEP(I|FID|2D)|ECHO.?PLANAR|PRESTO|\bEP\b", "an echo-planar readout"),
    (
        r"MP2?.?RAGE|INVERSION|\bIR\b|\bIR.?(SPGR|FSPGR|TFE|GRE|FLASH|PREP)|BRAVO|LOOK.?LOCKER|MOLLI",
        "inversion",
    ),
    (r"SATURATION.?(RECOVERY|PREP)|\bSR\b|\bSR.?(TFL|FLASH|TURBO|TFE|GRE|PREP)|SASHA", "saturation recovery"),
    (r"SPIN.?ECHO|\bT?F?SE\b|\bTSE|\bFSE|RARE\b|HASTE|\bSPC|\bSPACE\b|\bCUBE\b|VISTA\b|GRASE", "a spin echo"),
    (r"\bFISP\b|\bFI[23]D|\bGRASS\b|\bDESS\b|\bPSIF\b|\bMENSA\b|UN.?SPOILED|NON.?SPOILED", "no RF spoiling"),
)
"""Sequences that are none, by their names."""

PREPARED = re.compile(r"TURBO.?FLASH|\bTFL|SNAPSHOT", re.IGNORECASE)
"""Names of spoiled shots that are mostly read out after a preparation, before the steady state."""

NAMES = ("PulseSequenceType", "SequenceName", "PulseSequenceName", "SequenceType")
"""Keys of names; of the later ones only what they refuse counts."""

FLAGS = (
    ("SpoilingState", "FALSE|NO|NONE|0", "no RF spoiling"),
    ("Spoiling", "NONE|NO|FALSE", "no RF spoiling"),
    ("EchoPlanarPulseSequence", "YES|TRUE|1", "an echo-planar readout"),
    ("EchoPulseSequence", "SPIN|BOTH", "a spin echo"),
    ("InversionRecovery", "YES|TRUE|1", "inversion"),
    ("SaturationRecovery", "YES|TRUE|1", "saturation recovery"),
    ("SteadyStatePulseSequence", "FREE_PRECESSION|TRANSVERSE|TIME_REVERSED", "no RF spoiling"),
)
"""Keys of one word, as BIDS and enhanced DICOM have them, and what some of their values mean."""

CODES = (
    ("ScanningSequence", "EP", "an echo-planar readout"),
    ("ScanningSequence", "IR", "inversion"),
    ("ScanningSequence", "SE", "a spin echo"),
    ("SequenceVariant", "MP", "a magnetization preparation"),
    ("SequenceVariant", "TRSS", "time-reversed steady state"),
    ("ScanOptions", "IR", "inversion"),
    ("ScanOptions", "SR", "saturation recovery"),
)
"""Keys of lists of codes, as classic DICOM has them."""

FAT_INVERSION = 0.05
"""s; a shorter inversion time is that of fat suppression, which leaves water in its steady state."""

NEEDED = (
    "a spoiled gradient echo in its steady state (SPGR, FLASH, VIBE, T1-FFE, THRIVE, LAVA, TFE, TWIST, GRE)"
)


class NoModelError(InputError):
    """The series is sound, but nothing here can fit it."""


def require_spoiled(sidecar: Sidecar, notes: list[str], *, must_be_told: bool = True) -> None:
    """Refuse what is known not to be a spoiled gradient echo; note what is not known.

    Parameters
    ----------
    sidecar
        Of one image.
    notes
        Doubts are added here.
    must_be_told
        Note where nothing tells the sequence.

    Raises
    ------
    NoModelError
        If a key says that the sequence is another one, naming the key.
    """
    name = str(sidecar.values.get("PulseSequenceType", ""))
    spoiled = bool(SPOILED.search(name))
    for key, seen, what in _against(sidecar):
        if what == "no RF spoiling" and key != "PulseSequenceType" and _named_spoiled(name):
            notes.append(
                caution(
                    f"is {seen}, but PulseSequenceType is {name!r}",
                    file=sidecar.where(key),
                    field=key,
                    needed="RF spoiling, without which T1 is wrong",
                    fix=f"correct whichever is wrong; fitted as spoiled ({sidecar.image.name})",
                )
            )
            continue
        raise NoModelError(
            f"is {seen}: {what}, for which there is no model yet",
            file=sidecar.where(key),
            field=key,
            needed=NEEDED,
            fix=f"leave {sidecar.image.name} out, or correct the key if the sequence is spoiled",
        )
    notes += _doubts(sidecar, name, spoiled)
    if must_be_told and not name and not _told_spoiled(sidecar):
        notes.append("PulseSequenceType is missing; the series is taken as spoiled (SPGR)")


def require_gradient_echo(sidecar: Sidecar, notes: list[str]) -> None:
    """Refuse what is known to refocus, so that its echoes do not decay with T2*.

    Parameters
    ----------
    sidecar
        Of one image.
    notes
        Not needed: what neither refocuses nor is known may be a gradient echo.

    Raises
    ------
    NoModelError
        If a key says that the sequence is a spin echo or balanced, naming the key.
    """
    for key, seen, what in _against(sidecar):
        if what in ("a spin echo", "balanced SSFP"):
            raise _refused(sidecar, key, seen, what, "a gradient echo, whose signal decays with T2*")


def require_free_recovery(sidecar: Sidecar, notes: list[str]) -> None:
    """Refuse what is known to read out while it recovers, so that it recovers with another time than T1.

    Parameters
    ----------
    sidecar
        Of one image.
    notes
        Not needed: a sequence that is not known may recover freely.

    Raises
    ------
    NoModelError
        If a key names such a sequence, or one without inversion.
    """
    for key in NAMES:
        text = str(sidecar.values.get(key, ""))
        for pattern, what in DISTURBED:
            if re.search(pattern, text.replace("_", " "), re.IGNORECASE):
                needed = "one readout after each inversion, with full recovery in between"
                raise _refused(sidecar, key, repr(text), what, needed)


DISTURBED = (
    (r"LOOK.?LOCKER|MOLLI|\bSH.?MOLLI|\bTAPIR\b|\bTOMROP\b", "readouts during recovery"),
    (r"SATURATION.?(RECOVERY|PREP)|\bSR\b|SASHA", "saturation recovery"),
    (r"MP2?.?RAGE", "a train of readouts after each inversion"),
)
"""Sequences after whose preparation signals do not recover with T1 from an inversion."""


def _refused(sidecar: Sidecar, key: str, seen: str, what: str, needed: str) -> NoModelError:
    return NoModelError(
        f"is {seen}: {what}, for which there is no model yet",
        file=sidecar.where(key),
        field=key,
        needed=needed,
        fix=f"leave {sidecar.image.name} out, or correct the key",
    )


def _against(sidecar: Sidecar) -> Iterator[tuple[str, str, str]]:
    """Yield key, value and meaning of all that speaks of another sequence."""
    for key in NAMES:
        text = str(sidecar.values.get(key, ""))
        # An underscore is a letter to regular expressions, not to people.
        plain = text.replace("_", " ")
        # Names of programs outlive what they do: 3-D SPGR is run by GRASS of some makers.
        known = OTHERS if key == NAMES[0] else OTHERS[:-1]
        meant = [what for pattern, what in known if re.search(pattern, plain, re.IGNORECASE)]
        if meant:
            yield key, repr(text), meant[0]
    for key, values, what in FLAGS:
        if key in sidecar.values and re.fullmatch(values, str(sidecar.values[key]).strip(), re.IGNORECASE):
            yield key, str(sidecar.values[key]), what
    for key, code, what in CODES:
        if code in (codes := _codes(sidecar.values.get(key))):
            yield key, repr("\\".join(codes)), what
    preparation = str(sidecar.values.get("PreparationPulses", sidecar.values.get("PreparationPulse", "")))
    if re.search(r"INVER|SATURATION.?REC|T2.?PREP", preparation, re.IGNORECASE):
        yield "PreparationPulses", repr(preparation), "a magnetization preparation"
    time = _first_number(sidecar.values.get("InversionTime"))
    if time > FAT_INVERSION and not _suppresses_fat(sidecar):
        yield "InversionTime", f"{time:g}", "inversion"


def _doubts(sidecar: Sidecar, name: str, spoiled: bool) -> Iterator[str]:
    """Yield what may speak of another sequence."""

    def doubt(key: str, seen: str, fix: str) -> str:
        return caution(seen, file=sidecar.where(key), field=key, needed=NEEDED, fix=fix)

    if name and not spoiled:
        yield doubt(
            "PulseSequenceType",
            f"is {name!r}, a name that is not known; taken as spoiled",
            "compare with the scanner's protocol, and write SPGR if it is spoiled",
        )
    if PREPARED.search(name):
        yield doubt(
            "PulseSequenceType",
            f"is {name!r}, which is mostly read out before its steady state",
            "use it only if every excitation is spoiled and none is prepared by inversion or saturation",
        )
    variant = _codes(sidecar.values.get("SequenceVariant"))
    if "SS" in variant and not _named_spoiled(name) and not _told_spoiled(sidecar):
        yield doubt(
            "SequenceVariant",
            f"is {'/'.join(variant)}: a steady state, and not that it is spoiled (SP)",
            "compare with the scanner's protocol, and write PulseSequenceType SPGR if it is spoiled",
        )
    if str(sidecar.values.get("SpoilingType", "")).strip().upper() == "GRADIENT":
        yield doubt(
            "SpoilingType",
            "is GRADIENT: without RF spoiling the signal is not that of the model",
            "compare with the scanner's protocol, and correct the key if RF is spoiled too",
        )
    time = _first_number(sidecar.values.get("InversionTime"))
    if time > FAT_INVERSION and _suppresses_fat(sidecar):
        yield doubt(
            "InversionTime",
            f"is {time:g} beside fat suppression, which it is taken for",
            "leave the image out if water is inverted",
        )


def _named_spoiled(name: str) -> bool:
    """Whether a name says spoiled, not only gradient echo."""
    return bool(re.search(r"SPGR|FLASH|(?<!UN)SPOIL|VIBE|T1.?FFE|THRIVE|LAVA", name, re.IGNORECASE))


def _told_spoiled(sidecar: Sidecar) -> bool:
    """Whether a key other than the name of the sequence tells that it is spoiled."""
    state = str(sidecar.values.get("SpoilingState", "")).upper()
    codes = _codes(sidecar.values.get("ScanningSequence")) + _codes(sidecar.values.get("SequenceVariant"))
    return state in ("TRUE", "YES", "1") or "SP" in codes


def _suppresses_fat(sidecar: Sidecar) -> bool:
    options = _codes(sidecar.values.get("ScanOptions"))
    return bool({"FS", "SFS", "SPIR", "SPAIR", "FAT_SUP"} & set(options))


def _codes(value: Any) -> tuple[str, ...]:
    listed = value if isinstance(value, list | tuple) else re.split(r"[\\/_,; ]+", str(value or ""))
    parts = (part for word in listed for part in re.split(r"[\\/_,; ]+", str(word)))
    return tuple(part.strip().upper() for part in parts if part.strip())


def _first_number(value: Any) -> float:
    """Return a number, or the largest of a list; 0 where there is none."""
    try:
        return max((float(one) for one in (value if isinstance(value, list) else [value])), default=0.0)
    except (TypeError, ValueError):
        return 0.0
