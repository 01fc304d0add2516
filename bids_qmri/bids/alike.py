"""Whether images of one fit are alike but for what their protocol varies.

A ratio of two images says something of tissue only if everything else was equal: the echo time, the coil,
the gain. What differs is named with files and values; whether it matters, a person must judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bids_qmri.bids.image_type import words
from bids_qmri.bids.sidecar import Sidecar
from bids_qmri.errors import caution


@dataclass(frozen=True)
class _Trait:
    """One key that must be equal, by how much it may differ, and what comes of it.

    `relative` and `absolute` both have to be exceeded for numbers; None: any difference counts.
    """

    key: str
    harm: str
    relative: float | None = None
    absolute: float = 0.0


GAIN = "their ratio is not that of the varied parameter alone"

TRAITS = (
    _Trait("EchoTime", "T2* decay passes for T1", 0.1, 1e-4),
    _Trait("EchoTime", "T2* decay passes for T1", 0.0, 3e-4),
    _Trait("FlipAngle", GAIN, 1e-3),
    _Trait("RepetitionTimeExcitation", GAIN, 1e-3),
    _Trait("RepetitionTime", GAIN, 1e-3),
    _Trait("ReceiveCoilName", GAIN),
    _Trait("ReceiveCoilActiveElements", GAIN),
    _Trait("CoilString", GAIN),
    _Trait("ReceiverGain", GAIN, 1e-3),
    _Trait("ReceiveGain", GAIN, 1e-3),
    _Trait("TxRefAmp", "flip angles differ by its ratio from what FlipAngle says", 0.01),
    _Trait("TransmitGain", "flip angles differ from what FlipAngle says", 1e-3),
    _Trait("PixelBandwidth", GAIN, 0.05),
    _Trait("MRAcquisitionType", "excitation profiles differ"),
    _Trait("MagneticFieldStrength", "T1 depends on the field", 0.02),
    _Trait("ParallelReductionFactorInPlane", GAIN, 1e-3),
    _Trait("ParallelAcquisitionTechnique", GAIN),
    _Trait("NonlinearGradientCorrection", "voxels do not match"),
    _Trait("ContrastBolusIngredient", "contrast agent shortens T1 in some of them"),
    _Trait("ContrastBolusAgent", "contrast agent shortens T1 in some of them"),
)
"""Keys that some converter writes for each image, in the order in which they are said."""

ABSENCE_TELLS = ("ContrastBolusIngredient", "ContrastBolusAgent")
"""Keys that are only written where there is something to write."""

NORMALISED = re.compile(
    r"prescan.?norm|normali[sz]e|uniformity.?corr|intensity.?corr|surface.?coil.?corr|^clear"
)
"""Keys, in small letters, that say whether brightness was evened out."""

NORMAL_WORDS = re.compile(r"NORM|PURE|CLEAR|SCIC|FIL|FILTERED|BC|UNIFORM.*")
"""Words of ImageType that say that brightness was evened out, or filtered."""

MT_CODES = re.compile(r"(?<![A-Z])MTC?(?![A-Z])")


Say = Callable[[Sidecar], str]


STEADY_STATE = ("FlipAngle", "RepetitionTimeExcitation", "RepetitionTime")
"""Keys that series of a steady state vary."""


def differences(sidecars: Sequence[Sidecar], varied: Collection[str] = STEADY_STATE) -> Iterator[str]:
    """Yield what differs between images of one fit beside the protocol, each with files and values.

    Parameters
    ----------
    sidecars
        One per image, or per volume.
    varied
        Keys that the protocol varies.
    """
    said = set(varied)
    for trait in TRAITS:
        if trait.key not in said and _differs([s.values.get(trait.key) for s in sidecars], trait):
            said.add(trait.key)
            yield named(sidecars, trait.key, trait.harm)
    if len({_normal(s) for s in sidecars if "ImageType" in s.values}) > 1:
        yield named(sidecars, "ImageType", GAIN, lambda s: "/".join(_normal(s)) or "without NORM")
    for key in sorted({key for s in sidecars for key in s.values if NORMALISED.search(key.lower())}):
        if len({_plain(s, key) for s in sidecars if key in s.values}) > 1:
            yield named(sidecars, key, GAIN)


def named(sidecars: Sequence[Sidecar], key: str, harm: str, say: Say | None = None) -> str:
    """Return a warning that names every value of a key, and the images that have it."""
    by_value: dict[str, list[str]] = {}
    for sidecar in sidecars:
        value = _plain(sidecar, key) if say is None else say(sidecar)
        by_value.setdefault(value, []).append(sidecar.image.name)
    several = len({sidecar.image for sidecar in sidecars}) > 1
    parts = [
        f"{value} in {', '.join(names)}" if several else f"{value} in {len(names)} volumes"
        for value, names in by_value.items()
    ]
    return caution(
        f"differs between images that are fitted together: {'; '.join(parts)}: {harm}",
        file=sidecars[-1].where(key),
        field=key,
        needed="images alike but for what is varied",
        fix="leave out those that differ (--bids-filter-file), or correct the key",
    )


def has_mt(sidecar: Sidecar) -> bool:
    """Whether an image was taken with a pulse for magnetization transfer, by MTState or codes of DICOM."""
    state = sidecar.values.get("MTState")
    if state is not None:
        return str(state).strip().lower() in ("true", "1", "1.0", "on", "yes")
    codes = "/".join(str(sidecar.values.get(key, "")).upper() for key in ("SequenceVariant", "ScanOptions"))
    return bool(MT_CODES.search(codes))


def _plain(sidecar: Sidecar, key: str) -> str:
    value = sidecar.values.get(key)
    return f"{value:.6g}" if isinstance(value, float) else "nothing" if value is None else str(value)


def _differs(found: Sequence[Any], trait: _Trait) -> bool:
    if trait.key in ABSENCE_TELLS:
        return len({_told(value) for value in found}) > 1
    known = [value for value in found if value is not None]
    if len(known) < 2:
        return False
    try:
        numbers = [float(value) for value in known] if trait.relative is not None else []
    except (TypeError, ValueError):
        numbers = []
    if trait.relative is None or not numbers:
        return len({_told(value) for value in known}) > 1
    low, high = min(numbers), max(numbers)
    return high - low > trait.absolute and high - low > trait.relative * abs(low)


def _told(value: Any) -> str:
    """Return text that is equal where the same is meant: elements of coils come in any order."""
    text = ";".join(sorted(str(value or "").strip().upper().split(";")))
    return "" if text in ("", "NONE", "NO", "N/A") else text


def _normal(sidecar: Sidecar) -> tuple[str, ...]:
    return tuple(sorted({word for word in words(sidecar, "ImageType") if NORMAL_WORDS.fullmatch(word)}))
