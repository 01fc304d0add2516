"""Which prior an estimator is told: an even one within limits, one learned from the scan, or one of a file.

The choice is ``box``, ``scan``, or a `Prior` by model as `read_priors` makes it of a file, so that subjects
of a study can share one: what a scan teaches itself differs from scan to scan.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.catalogue import get_model, model_names
from bids_qmri.errors import InputError
from bids_qmri.estimators.classical.asymptotic import checked_signal
from bids_qmri.estimators.posterior.learned import LEAST_VOXELS, MOST_VOXELS, learn_prior, prior_of_nodes
from bids_qmri.estimators.posterior.nodes import joined, nodes_of
from bids_qmri.files import OPTIONS_LIMIT, parse_json, parsed, read_text
from bids_qmri.physics.model import Bounds, Model, Parameter
from bids_qmri.physics.noise import Noise, VoxelNoise
from bids_qmri.physics.prior import EVEN, Bell, Prior
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

PriorChoice = str | Mapping[str, Prior]
"""``box``, ``scan``, or priors by the names of models."""

WORDS = ("box", "scan")

FIELDS = {"centre", "width", "unit"}
"""What a file says of a parameter."""

LEAST_LOG_WIDTH, LARGEST_LOG_WIDTH = 0.03, 3.0
"""Widths in logarithms below which no tissue is so alike, and beyond which a bell says nothing: another unit
is meant."""


SMALLEST = 1e-4
"""Width of a bell over that of the physical limits, at least."""


@dataclass(frozen=True, eq=False)
class PriorSample:
    """Voxels that a prior is learned from: signals (V, N) as they are fitted, their protocol and noise."""

    signal: FloatArray
    protocol: Protocol
    noise: Noise


def sample_voxels(mask: npt.NDArray[np.bool_], seed: int = 0) -> npt.NDArray[np.intp]:
    """Return voxels of a mask to learn from, drawn by a seed, in increasing order."""
    inside = np.flatnonzero(mask)
    if inside.size <= MOST_VOXELS:
        return inside
    return np.sort(np.random.default_rng(seed).choice(inside, MOST_VOXELS, replace=False))


def choose_prior(
    model: Model, choice: PriorChoice, bounds: Bounds | None, sample: PriorSample | None
) -> Prior:
    """Return the prior of a fit; where a scan cannot teach one, an even one whose origin says why.

    Parameters
    ----------
    model
        What is fitted.
    choice
        What a person wants.
    bounds
        Limits within which the truth is expected.
    sample
        Voxels of the scan, None where there are none or their noise is not known.

    Raises
    ------
    InputError
        If a prior that is told expects the truth outside the limits.
    """
    if not isinstance(choice, str):
        told = choice.get(model.name, replace(EVEN, origin=f"box: the file has none for {model.name}"))
        _require_within(model, told, bounds)
        return told
    if choice == "box":
        return EVEN
    if sample is None:
        return replace(EVEN, origin="box: the noise of the scan is not known")
    signal, protocol, noise = _usable(model, sample)
    if len(signal) < LEAST_VOXELS:
        return replace(EVEN, origin=f"box: {len(signal)} voxels, fewer than {LEAST_VOXELS}, teach no prior")
    lower, upper = model.limits(bounds)
    return learn_prior(model, signal, protocol, noise, lower, upper)


def _usable(model: Model, sample: PriorSample) -> tuple[FloatArray, Protocol, VoxelNoise]:
    """Return those voxels of a sample that a prior can be learned from."""
    data, usable = checked_signal(model, sample.signal, sample.protocol)
    noise = sample.noise.spread(len(data))
    usable &= np.isfinite(noise.scatter) & (noise.scatter > 0) & (noise.floor > 0)
    if model.amplitude is not None or model.magnitude:
        usable &= ~np.any(data < 0, axis=1)
    return data[usable], sample.protocol.take(usable), noise.take(usable)


def study_prior(model: Model, samples: Sequence[PriorSample], seed: int = 0) -> Prior:
    """Learn one prior from several scans, as many voxels of each, whatever their protocols.

    Parameters
    ----------
    model
        What is fitted.
    samples
        Voxels of each scan.
    seed
        Of the voxels that are drawn.

    Raises
    ------
    InputError
        Fewer than `LEAST_VOXELS` voxels can teach one.
    """
    draw = np.random.default_rng(seed)
    lower, upper = model.limits(None)
    each = MOST_VOXELS // max(len(samples), 1)
    parts = []
    for sample in samples:
        signal, protocol, noise = _usable(model, sample)
        chosen = np.sort(draw.permutation(len(signal))[:each])
        if chosen.size:
            parts.append(
                nodes_of(model, signal[chosen], protocol.take(chosen), noise.take(chosen), lower, upper)
            )
    count = sum(len(part.log_weight) for part in parts)
    if count < LEAST_VOXELS:
        raise InputError(
            f"{count} voxels of {len(samples)} scans can be used",
            field=f"prior of {model.name}",
            needed=f"{LEAST_VOXELS} to learn a prior from",
            fix="take more participants, or larger masks",
        )
    origin = f"study, learned from {count} voxels of {len(parts)} scans"
    return prior_of_nodes(model, joined(parts), lower, upper, origin)


def _require_within(model: Model, prior: Prior, bounds: Bounds | None) -> None:
    """Refuse a bell centred where the limits of a fit do not let it look, unless its parameter is fixed."""
    lower, upper = model.limits(bounds)
    bells = dict(prior.bells)
    for parameter, low, high in zip(model.parameters, lower, upper, strict=True):
        bell = bells.get(parameter.name)
        if bell is not None and low < high and not low <= bell.centre <= high:
            raise InputError(
                f"is centred at {bell.centre:g} {parameter.unit}",
                field=f"prior {model.name}.{parameter.name}",
                needed=f"a centre within the limits of the fit, {low:g} to {high:g} {parameter.unit}",
                fix="move the limits with --bounds, in Python `bounds`, or the centre",
            )


def prior_choice(prior: str | Path | Prior, model: Model) -> PriorChoice:
    """Return the choice that a word, a file or a prior of one model makes.

    Raises
    ------
    InputError
        If it is none of these, or the file cannot be used.
    """
    if isinstance(prior, Prior):
        return {model.name: prior}
    if isinstance(prior, str) and prior in WORDS:
        return prior
    if isinstance(prior, str | Path) and Path(prior).is_file():
        return read_priors(Path(prior), [get_model(name) for name in model_names()])
    raise InputError(
        f"is {prior!r}", field="prior", needed=f"{', '.join(WORDS)}, a file of priors, or a Prior"
    )


def read_priors(path: Path, models: Sequence[Model]) -> dict[str, Prior]:
    """Read a TOML or JSON file of priors: a table for each model, in it one for each parameter.

    Parameters
    ----------
    path
        The file, such as ``[ivim.d]`` with ``centre``, ``width`` and, to be sure, ``unit``.
    models
        Models that a prior may be of.

    Raises
    ------
    InputError
        If it cannot be read, names what no model has, or states what cannot be meant.
    """
    needed, fix = "a TOML or JSON file of priors", "correct the file, or leave the prior out"
    text = read_text(path, OPTIONS_LIMIT, needed=needed, fix=fix)
    parse = parse_json if path.suffix == ".json" else tomllib.loads
    content = parsed(parse, text, path, needed=needed, fix=fix)
    known = {model.name: model for model in models}
    found = {}
    for name, table in content.items() if isinstance(content, dict) else ():
        if name not in known or not isinstance(table, dict):
            raise InputError(
                f"is {name!r}", file=path, field="model", needed=f"one of {', '.join(sorted(known))}"
            )
        bells = tuple((key, _bell(path, known[name], key, fields)) for key, fields in table.items())
        found[name] = Prior(bells, f"file {path.name}")
    if not found:
        raise InputError("holds no prior", file=path, needed="a table such as [ivim.d] with centre and width")
    return found


def _bell(path: Path, model: Model, key: str, fields: Any) -> Bell:
    """Return the bell that a table states."""
    field = f"{model.name}.{key}"
    fields = {name.lower(): value for name, value in fields.items()} if isinstance(fields, dict) else fields
    parameters = {p.name: p for p in model.parameters if p.name != model.amplitude and not p.internal}
    if key not in parameters:
        raise InputError(
            f"{model.name} has no parameter {key!r}",
            file=path,
            field=field,
            needed=f"one of {', '.join(parameters)}"
            if parameters
            else f"a model with a prior, not {model.name}",
        )
    if not isinstance(fields, dict) or not {"centre", "width"} <= set(fields) <= FIELDS:
        raise InputError(f"is {fields!r}", file=path, field=field, needed="centre, width and perhaps unit")
    parameter = parameters[key]
    unit = fields.get("unit", parameter.unit)
    if unit != parameter.unit:
        raise InputError(f"unit is {unit!r}", file=path, field=field, needed=repr(parameter.unit))
    _require_meant(path, field, parameter, fields)
    return Bell(float(fields["centre"]), float(fields["width"]))


def _require_meant(path: Path, field: str, parameter: Parameter, fields: Mapping[str, Any]) -> None:
    """Refuse a centre outside the physical limits, or a width that no bell within them has."""
    low, high = parameter.widest or parameter.bounds
    largest = LARGEST_LOG_WIDTH if parameter.logarithmic else high - low
    smallest = LEAST_LOG_WIDTH if parameter.logarithmic else SMALLEST * (high - low)
    for name, least, most in (("centre", low, high), ("width", smallest, largest)):
        value = fields[name]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not least <= value <= most:
            of = " of the natural logarithm" if name == "width" and parameter.logarithmic else ""
            unit = "" if of else f" {parameter.unit}"
            raise InputError(
                f"{name} is {value!r}",
                file=path,
                field=field,
                needed=f"{least:g} to {most:g}{unit}{of}",
                fix="write it in the unit of the parameter",
            )
