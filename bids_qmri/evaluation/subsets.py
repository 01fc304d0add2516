"""Sub-protocols of a scan: fixed ones, the nearest that was measured, and random ones by a rule.

As in Kuppens et al. (doi:10.48550/arXiv.2412.20844), section 2.4.2: Tables 2 and 3. Which they are, a
technique says in ``subsets.py`` of its folder. Called by `workflows.evaluate` and by benchmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_qmri import catalogue
from bids_qmri.errors import InputError, UsageError
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

DRAWS = 4
"""Random sub-protocols of every length."""

RANDOM = "random"

NEAR, NEAR_ZERO = 0.25, 0.02
"""Shares of a value, and of the largest measured one, up to which another measurement may stand for it."""


@dataclass(frozen=True)
class Subset:
    """Some images of a series.

    Parameters
    ----------
    name
        Measured values with slashes between them, or ``random 1`` and so on.
    length
        How many different measurements it holds.
    kept, rest
        Numbers of its images, and of those that it leaves out.
    """

    name: str
    length: int
    kept: tuple[int, ...]
    rest: tuple[int, ...]

    @property
    def kind(self) -> str:
        """What its scores are pooled with: its own name, or ``random``."""
        return RANDOM if self.name.startswith(RANDOM) else self.name


def different(protocol: Protocol) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Return the different measurements of a protocol, increasing, (G,), and that of each image, (N,).

    In the unit of the first of `Protocol.values`; images that repeat a measurement share it.
    """
    if (shells := protocol.shells()) is not None:
        return shells
    values = np.asarray(next(iter(protocol.values().values())))
    values = values if values.ndim == 1 else values.mean(axis=1)
    keys = protocol.repeat_keys()
    keys = np.arange(len(values), dtype=np.float64)[None] if keys is None else keys
    _, first, index = np.unique(np.round(keys, 9), axis=1, return_index=True, return_inverse=True)
    return values[first], index.ravel().astype(np.intp)


def has_subsets(model_name: str) -> bool:
    """Tell whether the technique of a model says what its sub-protocols are."""
    return catalogue.part(model_name, "subsets", "FIXED") is not None


def choose_subsets(
    model_name: str,
    protocol: Protocol,
    named: Sequence[Sequence[float]] = (),
    seed: int = 0,
    draws: int = DRAWS,
) -> list[Subset]:
    """Return the sub-protocols of a scan: fixed ones, then random ones of the same lengths.

    Parameters
    ----------
    model_name
        A word of ``--models``.
    protocol
        Of the whole scan.
    named
        Fixed sub-protocols instead of those of the technique, in the unit of its measurements; what was
        measured nearby stands for each value. Those that would take all measurements are left out.
    seed
        Of the random ones.
    draws
        How many random ones of every length.

    Raises
    ------
    InputError
        The scan has too few measurements for any of them, or a named one was not measured.
    UsageError
        A named one has fewer measurements than the model parameters.
    """
    fixed = [tuple(one) for one in named] or list(catalogue.part(model_name, "subsets", "FIXED") or ())
    values, group = different(protocol)
    require_lengths(model_name, fixed)
    for one in named:
        _require_near(values, one)
    _require_more(fixed, len(values))
    possible = [one for one in fixed if len(one) < len(values)]
    found = [_subset("", nearest(values, one), values, group) for one in possible]
    draw = catalogue.part(model_name, "subsets", "draw")
    rng = np.random.default_rng([seed, len(values)])
    if draw is not None:
        for length in dict.fromkeys(len(one) for one in possible):
            for number in range(1, draws + 1):
                wanted = nearest(values, draw(length, values, rng))
                found.append(_subset(f"{RANDOM} {number}", wanted, values, group))
    return found


def require_lengths(model_name: str, subsets: Sequence[Sequence[float]]) -> None:
    """Refuse sub-protocols that a model cannot be fitted to.

    Raises
    ------
    UsageError
        One has fewer measurements than the model parameters.
    """
    least = len(catalogue.get_model(model_name).parameters)
    few = next((one for one in subsets if len(one) < least), None)
    if few is not None:
        raise UsageError(
            f"{_words(few)} are {len(few)} measurements",
            field="--subset",
            needed=f"{least} or more, the parameters of {model_name}",
        )


def _require_near(values: FloatArray, wanted: Sequence[float]) -> None:
    """Refuse a sub-protocol that a person named and that was not measured, nor anything like it."""
    room = np.maximum(NEAR * np.abs(wanted), NEAR_ZERO * values.max())
    closest = [int(np.argmin(np.abs(values - value))) for value in wanted]
    apart = np.abs(values[closest] - wanted) > room
    if apart.any() or len(set(closest)) < len(closest):
        seen = "two of its values would stand for one measurement"
        if apart.any():
            seen = f"nothing was measured near {_words(np.asarray(wanted)[apart])}"
        raise InputError(
            f"{_words(wanted)}: {seen}",
            field="--subset",
            needed=f"some of {_words(values)}",
        )


def _require_more(fixed: Sequence[Sequence[float]], measured: int) -> None:
    """Refuse scans with too few measurements to leave any out."""
    shortest = min((len(one) for one in fixed), default=0)
    if fixed and measured <= shortest:
        raise InputError(
            f"{measured} different measurements",
            field="sub-protocols",
            needed=f"more than {shortest}, the shortest sub-protocol",
            fix="name shorter ones",
        )


def _words(values: Sequence[float] | FloatArray) -> str:
    return ",".join(f"{value:.4g}" for value in values)


def nearest(values: FloatArray, wanted: Sequence[float] | FloatArray) -> list[int]:
    """Return the places of the nearest values in increasing order, none twice.

    Examples
    --------
    >>> nearest(np.array([0.0, 10.0, 50.0, 100.0]), [0, 20, 12])
    [0, 1, 2]
    """
    kept: list[int] = []
    for value in wanted:
        order = np.argsort(np.abs(values - value), kind="stable")
        kept.append(int(next(i for i in order if i not in kept)))
    return sorted(kept)


def _subset(name: str, chosen: list[int], values: FloatArray, group: npt.NDArray[np.intp]) -> Subset:
    inside = np.isin(group, chosen)
    kept, rest = (tuple(np.flatnonzero(part).tolist()) for part in (inside, ~inside))
    return Subset(name or "/".join(f"{values[i]:.4g}" for i in chosen), len(chosen), kept, rest)
