"""Timing of an MP2RAGE sequence from sidecars: lists of two, or one value for each image. Times in s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bids_qmri.bids.layout import BidsFile
from bids_qmri.bids.sequence import NoModelError
from bids_qmri.bids.sidecar import Sidecar, number
from bids_qmri.errors import InputError, caution
from bids_qmri.units import radians

KEYS = (
    "InversionTime",
    "FlipAngle",
    "NumberShots",
    "RepetitionTimeExcitation",
    "RepetitionTimePreparation",
)
OF_BOTH = KEYS[:2]
"""Keys with a value for each image."""
LONGEST = {"InversionTime": 20.0, "RepetitionTimeExcitation": 0.2, "RepetitionTimePreparation": 60.0}
"""s; longer ones are milliseconds."""
SHORTEST_CYCLE = 1.0
"""s; a longer time between excitations may be that between inversions."""


def read_timing(sidecars: Sequence[Sidecar], single: Sequence[BidsFile], notes: list[str]) -> dict[str, Any]:
    """Return the timing of the sequence; every key that is missing is named.

    A combined image alone is of use without T1 too: it is not at fault where it says nothing of timing.

    Parameters
    ----------
    sidecars
        Of the magnitudes and the combined image.
    single
        Images of one inversion.
    notes
        Doubts are added here.

    Raises
    ------
    InputError
        Naming keys that are missing, or not in s.
    """
    if not sidecars:
        raise NoModelError(
            "no magnitudes, no UNIT1",
            file=single[0].path,
            field="part",
            needed="magnitude and phase of both inversions, or the combined image",
            fix="add them",
        )
    values = {key: _values(sidecars, key, notes) for key in KEYS}
    _require_all(sidecars, values, of_anatomy=not single)
    _require_seconds(sidecars[0], values)
    shots = values["NumberShots"]
    if not isinstance(sidecars[0].values.get("NumberShots"), list):
        # One number counts all excitations of a train; two are those before and after its centre.
        shots = [shots[0] / 2, shots[0] / 2]
    notes += _of_one_shot(sidecars[0], sum(shots[:2]))
    order = np.argsort(values["InversionTime"][:2])
    return {
        "inversion_time": np.array(values["InversionTime"][:2])[order],
        "flip_angle": radians(np.array(values["FlipAngle"][:2])[order]),
        "repetition_time": np.asarray(values["RepetitionTimeExcitation"][0]),
        "cycle_time": np.asarray(values["RepetitionTimePreparation"][0]),
        "shots": np.array(shots[:2]),
    }


def _require_all(
    sidecars: Sequence[Sidecar], values: Mapping[str, Sequence[float]], *, of_anatomy: bool
) -> None:
    """Refuse timing that lacks a key, or has one value where both images need one."""
    missing = [key for key in KEYS if not values[key]]
    alone = [key for key in OF_BOTH if len(values[key]) == 1]
    if not missing and not alone:
        return
    seen = [f"{' and '.join(missing)} missing"] if missing else []
    seen += [_seen_alone(sidecars, key, values[key][0]) for key in alone]
    first = (missing or alone)[0]
    silent = of_anatomy and len(missing) == len(KEYS)
    raise (NoModelError if silent else InputError)(
        "; ".join(seen),
        file=sidecars[0].where(first),
        field=first,
        needed=f"{', '.join(KEYS)}: T1 is looked up in a table of the sequence's timing, of which"
        f" {' and '.join(OF_BOTH)} have two values",
        fix="; ".join(
            [
                *_misplaced(sidecars[0], missing),
                "add the keys to the sidecars of MP2RAGE images, or as lists of two to that of UNIT1",
            ]
        ),
    )


def _seen_alone(sidecars: Sequence[Sidecar], key: str, value: float) -> str:
    """Say of a key with one value whether it is no list, or another image lacks it."""
    lacking = [sidecar.image.name for sidecar in sidecars if key not in sidecar.values]
    where = f"missing for {' and '.join(lacking)}" if lacking else "one value for both images"
    return f"{key} is {value:g}, and {where}"


def _misplaced(sidecar: Sidecar, missing: Sequence[str]) -> list[str]:
    """Say which times that are there may be those that are missing."""
    found = []
    for key in ("RepetitionTime", "RepetitionTimeExcitation"):
        time = number(sidecar, key, [])
        if time is None:
            continue
        if "RepetitionTimePreparation" in missing and time >= SHORTEST_CYCLE:
            found.append(
                f"{key} is {time:g}: if that is the time between inversions, write it as"
                " RepetitionTimePreparation"
            )
        elif "RepetitionTimeExcitation" in missing and time <= LONGEST["RepetitionTimeExcitation"]:
            found.append(
                f"{key} is {time:g}: if that is the time between excitations, write it as"
                " RepetitionTimeExcitation"
            )
    return found


def _of_one_shot(sidecar: Sidecar, count: float) -> list[str]:
    """Doubt a train of one excitation."""
    if count > 1:
        return []
    return [
        caution(
            f"is {count:g}: a train of one excitation is unusual",
            file=sidecar.where("NumberShots"),
            field="NumberShots",
            needed="the number of excitations of one train after an inversion, mostly 100 to 300",
            fix="write that number (those along the partitions, not the number of trains), and fit again",
        )
    ]


def _require_seconds(sidecar: Sidecar, values: Mapping[str, Sequence[float]]) -> None:
    """Refuse times that no such sequence has in seconds."""
    for key, longest in LONGEST.items():
        if max(values[key]) > longest:
            different = list(dict.fromkeys(values[key]))
            fix = f"if it is in milliseconds, write {' and '.join(f'{v / 1000:g}' for v in different)}"
            cycle = max(different)
            if key == "RepetitionTimeExcitation" and SHORTEST_CYCLE <= cycle <= LONGEST[KEYS[-1]]:
                fix += (
                    f"; if {cycle:g} s is the time between inversions, it belongs in"
                    " RepetitionTimePreparation, and the time between excitations of a train here"
                )
            raise InputError(
                f"is {' and '.join(f'{value:g}' for value in different)}",
                file=sidecar.where(key),
                field=key,
                needed=f"seconds, at most {longest:g}",
                fix=fix,
            )


def _values(sidecars: Sequence[Sidecar], key: str, notes: list[str]) -> list[float]:
    """Return the values of a key: of the images one after the other, or listed by one of them."""
    found: list[float] = []
    for sidecar in sidecars:
        value = sidecar.values.get(key)
        if isinstance(value, list) and all(isinstance(one, int | float) for one in value):
            return [float(one) for one in value]
        one = number(sidecar, key, notes)
        found += [] if one is None else [one]
    return found
