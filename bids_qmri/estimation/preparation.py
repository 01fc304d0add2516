"""How voxels of a scan become what a model explains: the one way for files, streams and arrays.

`prepare` asks the technique of the model for it (``preparation.prepare`` of its folder), then the estimator
for the measurements it takes and its limits. What comes out is called block by block (`estimation.blocks`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri import catalogue
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Estimator, FitResult, Selection
from bids_qmri.estimators.classical.noise import Residuals
from bids_qmri.estimators.networks.network_file import summary
from bids_qmri.physics.limits import check_bounds
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.prior import EVEN, Prior
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

Voxels = npt.NDArray[np.intp]

Converter = Callable[[FloatArray, Voxels], tuple[FloatArray, Protocol]]
"""Takes signals (v, N) and the numbers of their voxels (v,); returns signals and their protocol."""


Widen = Callable[["Preparation", tuple[FloatArray, Voxels], Protocol, Noise | None, FitResult], FitResult]


@dataclass(frozen=True, eq=False)
class Scan:
    """What is known of a scan beside its signals, as arrays.

    Parameters
    ----------
    protocol
        What was played out; None where the technique builds it from `settings`.
    settings
        What the technique needs beside, as its reader made it; None: the signals need no conversion.
    mask
        Voxels that will be fitted, shape (V,).
    maps
        What differs from voxel to voxel, by name, each (V,): ``b1`` (relative transmit field, NaN where
        unknown), ``t10`` (native T1 in s).
    facts
        What sidecars say of `maps`, by sidecar key.
    files
        Where `maps` came from.
    mean_curve
        Returns the mean signal of the mask, shape (N,).
    """

    protocol: Protocol | None
    settings: Any = None
    mask: npt.NDArray[np.bool_] = field(default_factory=lambda: np.ones(1, dtype=np.bool_))
    maps: Mapping[str, FloatArray] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    mean_curve: Callable[[], FloatArray] | None = None

    def require_protocol(self) -> Protocol:
        """Return the protocol.

        Raises
        ------
        InputError
            If there is none.
        """
        if self.protocol is None:
            raise InputError("has no protocol", needed="what was played out")
        return self.protocol


@dataclass(frozen=True)
class Preparation:
    """How voxels of one scan become a fit's input.

    Parameters
    ----------
    convert
        Signals as measured in, what is fitted and its protocol out.
    conversion
        Name of the conversion: preparations of one scan with equal names convert alike. Empty: nothing is
        computed.
    measurements
        Those that the estimator takes; empty: all.
    bounds
        Limits that replace the model's own.
    physical
        Limits that least squares would have.
    prior
        Where the truth is expected within `bounds`.
    noise_is_common
        True if all voxels share the noise level of the scan; False where it varies, or is not asked for.
    convert_for_noise
        Used instead of `convert` where the noise level is estimated; None takes `convert`.
    noise_conversion
        Name of that conversion.
    residuals
        Takes converted signals and their protocol, returns what noise leaves in them; None: the residuals of
        the model's fits.
    voxel_noise
        Takes converted signals and their protocol, returns the noise level of each voxel; None if the
        estimator does without one or all voxels share it.
    widen
        Takes the preparation itself, measured signals with their voxels, the protocol, the noise if it is
        known, and what was found; returns that with standard deviations that know what residuals do not show.
    baseline
        Number of first measurements before anything happens; None: the protocol knows its repeats.
    used
        What went into it, as sidecar fields.
    notes
        Decisions a person should read.
    """

    convert: Converter
    conversion: str = ""
    measurements: tuple[int, ...] = ()
    bounds: Bounds | None = None
    physical: Bounds | None = None
    prior: Prior = EVEN
    noise_is_common: bool = True
    convert_for_noise: Converter | None = None
    noise_conversion: str = ""
    residuals: Callable[[FloatArray, Any], Residuals | None] | None = None
    voxel_noise: Callable[[FloatArray, Any], FloatArray] | None = None
    widen: Widen | None = None
    baseline: int | None = None
    used: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def as_measured(scan: Scan, **more: Any) -> Preparation:
    """Return the preparation of signals that are fitted as they are, with anything else it takes."""
    protocol = scan.require_protocol()
    return Preparation(lambda signal, _: (signal, protocol), **more)


def prepare(model: Model, estimator: Estimator, scan: Scan, asked: Bounds | None = None) -> Preparation:
    """Return how the voxels of a scan become the input of an estimator of a model.

    Parameters
    ----------
    model, estimator
        What is fitted, and how.
    scan
        What is known of the scan.
    asked
        Limits that a person wants.

    Raises
    ------
    InputError
        If the scan lacks what the model or the estimator needs.
    """
    own = catalogue.part(model.name, "preparation", "prepare")
    how: Preparation = own(model, estimator, scan) if own is not None else as_measured(scan)
    if scan.protocol is not None:
        how = _selected(how, estimator.prepare(model, scan.protocol))
    network = estimator.network_file(model)
    used = how.used if network is None else {**how.used, "Network": summary(network)}
    given = how.bounds or {}
    bounds = estimator.limits(model, given, asked or {})
    known = {p.name for p in model.parameters}
    physical = dict(given) | {name: limits for name, limits in (asked or {}).items() if name in known}
    return replace(how, bounds=dict(bounds) or None, physical=physical, used=used)


def untold_noise(model: Model, estimator: Estimator, protocol: Protocol | None) -> str:
    """Return why the noise level that an estimator needs cannot be told from such a scan; empty if it can.

    With as many measurements as parameters, residuals are those of the few voxels at a limit.
    """
    # A scan that tells its noise otherwise needs no more measurements than the fit.
    own_noise = catalogue.part(model.name, "preparation", "OWN_NOISE")
    if own_noise or not estimator.needs_noise or protocol is None:
        return ""
    count = protocol.n_measurements if estimator.single_images else protocol.n_averaged()
    needed = len(model.parameters) + 1
    if count >= needed:
        return ""
    return f"the noise level is estimated from {needed} measurements or more, not {count}"


def require_noise(model: Model, estimator: Estimator, protocol: Protocol | None, sigma: object) -> None:
    """Refuse an estimate without a noise level where the scan does not tell it.

    Raises
    ------
    InputError
        If `sigma` is None and `untold_noise` has a reason.
    """
    if sigma is None and (reason := untold_noise(model, estimator, protocol)):
        raise InputError(
            reason,
            field="sigma",
            needed=f"the noise level of a single image for {estimator.label}",
            fix="give sigma, or use lsq",
        )


def require_limits(model: Model, estimator: Estimator, bounds: Bounds | None) -> None:
    """Refuse limits of one fit that are of no parameter, wider than is physical, or would not be kept.

    Raises
    ------
    InputError
        Naming the parameter, and what is possible.
    """
    check_bounds([model], bounds or {})
    if bounds and estimator.own_limits:
        raise InputError(
            f"{estimator.label} keeps limits of its own",
            field="bounds",
            needed="none",
            fix="leave them out, or choose another estimator",
        )


def _selected(how: Preparation, selection: Selection | None) -> Preparation:
    """Let an estimator take some of the measurements."""
    if selection is None:
        return how
    kept, part = selection.kept, selection.protocol

    def convert(signal: FloatArray, voxels: Voxels) -> tuple[FloatArray, Protocol]:
        return how.convert(signal, voxels)[0][:, kept], part

    notes = (*how.notes, *([selection.note] if selection.note else []))
    return replace(how, convert=convert, measurements=tuple(kept.tolist()), notes=notes)
