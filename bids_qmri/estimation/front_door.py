"""Fit arrays with the defaults of the command line: the function behind ``bids_qmri.fit``."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri import catalogue
from bids_qmri.errors import InputError
from bids_qmri.estimation.blocks import fit_array
from bids_qmri.estimation.noise import ScanNoise
from bids_qmri.estimation.preparation import Scan, prepare, require_limits, require_noise
from bids_qmri.estimation.prior import prior_choice
from bids_qmri.estimators.base import Estimator, FitResult, get_estimator
from bids_qmri.estimators.networks.own import network_estimator
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.prior import Prior
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray


def fit(
    model: str | Model,
    signal: npt.ArrayLike,
    protocol: Protocol | None = None,
    *,
    estimator: str | Estimator = "lsq",
    sigma: float | FloatArray | Noise | None = None,
    bounds: Bounds | None = None,
    prior: str | Path | Prior = "scan",
    **played_out: npt.ArrayLike | float,
) -> FitResult:
    """Estimate the parameters of every voxel, with the defaults of the command line.

    Images of one b-value are averaged over directions where a model knows the b-value alone; an estimator
    with a prior expects what tissue can be; the noise level is estimated where it is needed and not given.

    Parameters
    ----------
    model
        A word of ``--models``, or a model as of `get_model`.
    signal
        Measured signals, shape (..., N), such as (V, N) or (x, y, z, N); for contrast-enhanced series
        concentrations in mmol/L.
    protocol
        What was played out; None builds it from `played_out`.
    estimator
        A word of ``--estimators`` that means one estimator of the model, or an estimator as of
        `get_estimator` or `load_network`.
    sigma
        Noise standard deviation of a single image in the unit of the signal, one number or an array of the
        shape of the voxels, or a `Noise` of floor and scatter; None estimates it from residuals.
    bounds
        Limits by parameter name, in its unit; equal limits fix a parameter.
    prior
        Where estimators that have a prior expect the truth: ``"scan"`` learns it from the voxels given, 500
        of them at least, ``"box"`` is even within the limits; or a file of priors, or a `Prior`.
    played_out
        Fields of the model's protocol in its units, such as ``bvals=`` (s/mm^2), ``bvecs=``; ``flip_angle=``
        (rad), ``repetition_time=`` (s); ``time=``, ``aif_time=`` (s), ``aif=`` (mmol/L of plasma).

    Returns
    -------
    FitResult
        Maps, standard deviations, residual, status, and where the data determine the parameters, each of the
        shape of the voxels.

    Raises
    ------
    InputError
        Naming what was seen, what is needed, and the fix.

    Examples
    --------
    >>> b = np.array([0.0, 10, 20, 50, 100, 300, 600])
    >>> s = 0.9 * np.exp(-b * 1e-3) + 0.1 * np.exp(-b * 0.05)
    >>> fit("ivim", [s], bvals=b).maps["d"].round(5)
    array([0.001])
    """
    forward = _model(model)
    played = _protocol(forward, protocol, played_out)
    by = _estimator(forward, estimator)
    data = _signal(signal, played)
    if reason := forward.obstacle(played):
        raise InputError(
            f"{forward.name} cannot be fitted: {reason}",
            field="protocol",
            needed="a series made for it",
            fix="choose another model, or give what is missing",
        )
    require_limits(forward, by, bounds)
    require_noise(forward, by, played, sigma)
    how = prepare(forward, by, Scan(played, mask=np.ones(data.size // played.n_measurements, bool)), bounds)
    shape = data.shape[:-1]
    noise = None if sigma is None else ScanNoise.told(_noise(sigma, shape))
    choice = prior_choice(prior, forward)
    found = fit_array(forward, by, how, data.reshape(-1, played.n_measurements), noise, choice)
    return _shaped(found, shape, forward)


def load_network(file: Path | str, *, threads: int = 1) -> Estimator:
    """Return the estimator that uses a trained network, for the model and protocols that its card names.

    Parameters
    ----------
    file
        The ONNX file, with its card beside it or in its metadata.
    threads
        Blocks of voxels that are computed at a time.

    Raises
    ------
    InputError
        If the file cannot be used.
    """
    return network_estimator(Path(file), threads=threads)


def _model(model: str | Model) -> Model:
    return model if isinstance(model, Model) else catalogue.get_model(model)


def _protocol(model: Model, protocol: Protocol | None, played_out: dict[str, Any]) -> Protocol:
    """Return the protocol that was given, or the one that its fields make."""
    kind = model.protocol
    names = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    if protocol is not None and not played_out:
        if not isinstance(protocol, kind):
            raise InputError(
                f"is a {type(protocol).__name__}",
                field="protocol",
                needed=f"a {kind.__name__} for {model.name}",
            )
        return protocol
    unknown = [name for name in played_out if name not in names]
    if protocol is not None or unknown or not played_out:
        seen = (
            f"{', '.join(unknown)} given" if unknown else "both are given" if protocol else "nothing is given"
        )
        raise InputError(
            seen,
            field="protocol",
            needed=f"a {kind.__name__}, or its fields {', '.join(names)}",
            fix=f"pass them by name to fit({model.name!r}, signal, ...)",
        )
    try:
        return kind(**played_out)
    except TypeError as error:
        missing = [name for name in names if name not in played_out]
        raise InputError(
            f"of {', '.join(names)} only {', '.join(played_out)} are given",
            field="protocol",
            needed=f"also {', '.join(missing)}, as far as they have no default",
        ) from error


def _estimator(model: Model, estimator: str | Estimator) -> Estimator:
    """Return the one estimator that a word means for a model."""
    if isinstance(estimator, Estimator):
        return estimator.serving(model)
    if model.name not in catalogue.model_names():
        return catalogue.load(catalogue.ESTIMATORS[estimator])()  # type: ignore[no-any-return]
    labels = catalogue.labels_for(model.name, [estimator])
    if len(labels) != 1:
        raise InputError(
            f"is {estimator!r}",
            field="estimator",
            needed=f"one of {', '.join(catalogue.find_entry(model.name)[1].estimators)} for {model.name}",
        )
    return get_estimator(model.name, labels[0])


def _signal(signal: npt.ArrayLike, protocol: Protocol) -> FloatArray:
    try:
        if np.iscomplexobj(signal):
            raise InputError("is complex", field="signal", needed="magnitudes", fix="take np.abs of it")
        data = np.asarray(signal, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"cannot be read as numbers ({error})", field="signal", needed="an array") from error
    if data.ndim < 2 or data.shape[-1] != protocol.n_measurements or not data.size:
        raise InputError(
            f"has shape {data.shape}",
            field="signal",
            needed=f"voxels first and {protocol.n_measurements} measurements last, such as "
            f"(voxels, {protocol.n_measurements})",
        )
    return data


def _noise(sigma: float | FloatArray | Noise, shape: tuple[int, ...]) -> Noise:
    """Return floor and scatter, each one number or one per voxel, (V,)."""
    told = sigma if isinstance(sigma, Noise) else Noise(sigma, sigma)
    return Noise(*(_levels(level, shape) for level in (told.floor, told.scatter)))


def _levels(sigma: float | FloatArray, shape: tuple[int, ...]) -> float | FloatArray:
    level = np.asarray(sigma, dtype=np.float64)
    if level.shape not in ((), shape):
        raise InputError(f"has shape {level.shape}", field="sigma", needed=f"one number, or shape {shape}")
    if not np.all(level > 0):
        seen = (
            f"is {level:g}" if level.ndim == 0 else f"{np.sum(~(level > 0))} of {level.size} are not above 0"
        )
        raise InputError(seen, field="sigma", needed="a standard deviation above 0", fix="None estimates it")
    return float(level) if level.ndim == 0 else level.ravel()


def _shaped(found: FitResult, shape: tuple[int, ...], model: Model) -> FitResult:
    """Return a result in the shape of the voxels, without what is for fits alone."""
    internal = {p.name for p in model.parameters if p.internal}
    maps, sd = (
        {name: values.reshape(shape) for name, values in part.items() if name not in internal}
        for part in (found.maps, found.sd)
    )
    determined = {name: known.reshape(shape) for name, known in found.determined.items()}
    residual, status = found.residual.reshape(shape), found.status.reshape(shape)
    return FitResult(maps, sd, residual, status, found.notes, determined)
