"""Fit images that do not lie in a dataset: files in, named maps with metadata out; for nipype's ports."""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from bids_qmri import __version__, catalogue
from bids_qmri.bids.acquisition import Acquisition, ReadOptions
from bids_qmri.bids.derivatives import write_map, write_sidecar
from bids_qmri.bids.masks import mask_of_file
from bids_qmri.errors import InputError
from bids_qmri.estimation.noise import ScanNoise
from bids_qmri.estimation.preparation import require_limits, require_noise
from bids_qmri.estimation.prior import prior_choice
from bids_qmri.estimators.base import Estimator
from bids_qmri.estimators.determined import box_sd
from bids_qmri.interfaces.fit import Found, estimate
from bids_qmri.interfaces.opening import open_acquisition
from bids_qmri.interfaces.scan import OpenAcquisition
from bids_qmri.interfaces.write import images_of, levels_of
from bids_qmri.outputs.tables import MapRow, output_table
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.prior import Prior

Kind = Literal["file", "files", "number", "integer", "numbers", "text", "choice"]


@dataclass(frozen=True)
class Port:
    """One input of a technique.

    Parameters
    ----------
    name
        Of the input.
    kind
        What it takes.
    needed
        Whether it has no default.
    what
        What it is, in words.
    choices
        Texts that it takes, if it is a choice.
    """

    name: str
    kind: Kind
    needed: bool
    what: str = ""
    choices: tuple[str, ...] = ()


def ports_of(model_name: str) -> tuple[Port, ...]:
    """Return the inputs of a technique: the parameters of ``from_files`` of its reader."""
    function = _from_files(model_name)
    hints = get_type_hints(function)
    words = _described(inspect.getdoc(function) or "")
    return tuple(
        Port(
            name,
            _kind(hints[name]),
            parameter.default is inspect.Parameter.empty,
            words.get(name, ""),
            get_args(hints[name]) if get_origin(hints[name]) is Literal else (),
        )
        for name, parameter in inspect.signature(function).parameters.items()
    )


def _described(docstring: str) -> dict[str, str]:
    """Return the descriptions of parameters of a numpydoc docstring, by name."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w+\n-+\n|\Z)", docstring, re.DOTALL | re.MULTILINE)
    found = re.findall(r"^(\w[\w, ]*)\n((?:    .*\n?)+)", section[1] if section else "", re.MULTILINE)
    return {name: " ".join(text.split()) for names, text in found for name in names.split(", ")}


def _from_files(model_name: str) -> Any:
    return catalogue.load(f"{catalogue.readers()[catalogue.kind_of(model_name)]}:from_files")


def _kind(hint: Any) -> Kind:
    """Return what a port takes, by the annotation of its parameter."""
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(one for one in get_args(hint) if one is not type(None))
    kinds: dict[Any, Kind] = {Path: "file", float: "number", int: "integer", str: "text"}
    if hint in kinds:
        return kinds[hint]
    if get_origin(hint) is Literal:
        return "choice"
    return "files" if get_args(hint)[0] is Path else "numbers"


def port_rows(model_name: str) -> dict[str, MapRow]:
    """Return the outputs of a model by the names of ports.

    Maps, ``NAME_sd``, ``NAME_determined``, ``residual`` and ``status``.
    """
    table = output_table(model_name)
    maps = {row.name: row for row in table.maps}
    model = catalogue.get_model(model_name)
    fitted = {p.name for p in (*model.parameters, *model.derived)}
    sure = set(box_sd(model))
    rows = [(row, row.inverse_of or row.name) for row in table.maps]
    sd = {f"{row.name}_sd": table.sd(row.name) for row, source in rows if source in fitted}
    known = {f"{row.name}_determined": table.determined(row.name) for row, source in rows if source in sure}
    return {**maps, **sd, "residual": table.rmse, "status": table.status, **known}


def fit_files(
    model: Model,
    estimator: Estimator,
    folder: Path,
    *,
    mask: Path | None = None,
    bounds: Bounds | None = None,
    sigma: float | None = None,
    prior: str | Path | Prior = "scan",
    threads: int = 1,
    **inputs: Any,
) -> dict[str, Path]:
    """Fit images in files, and write maps into a folder.

    Parameters
    ----------
    model, estimator
        What is fitted, and how.
    folder
        Where the maps go.
    mask
        Image that is above 0.5 where to fit; None finds the object.
    bounds
        Limits by parameter name.
    sigma
        Noise level of a single image; None estimates it where it is needed.
    prior
        Where estimators that have a prior expect the truth: ``"scan"``, ``"box"``, a file, or a `Prior`.
    threads
        Blocks of voxels that are fitted at a time.
    inputs
        As `ports_of` the technique says.

    Returns
    -------
    dict
        Images by the names of `port_rows`, as far as the estimator gives them; ``metadata``, a JSON file with
        units, descriptions, method, noise level and notes.

    Raises
    ------
    InputError
        Naming file, field, what was seen, what is needed, and the fix.
    """
    require_limits(model, estimator, bounds)
    acquisition = acquisition_of(model, inputs)
    require_noise(model, estimator, acquisition.protocol, sigma)
    reason = "" if acquisition.protocol is None else model.obstacle(acquisition.protocol)
    if reason:
        raise InputError(
            f"{model.name} cannot be fitted: {reason}",
            file=acquisition.images[0],
            needed="a series made for it",
        )
    with (
        TemporaryDirectory(dir=folder) as scratch,
        open_acquisition(acquisition, ReadOptions(), Path(scratch)) as opened,
    ):
        if mask is not None:
            choice = mask_of_file(mask, opened.series)
            opened.choice, opened.mask = choice, choice.mask
        how = opened.prepare(model, estimator, bounds or {})
        opened.stated, opened.threads = None if sigma is None else ScanNoise.told(sigma), threads
        found = estimate(model, estimator, opened, how, choice=prior_choice(prior, model), threads=threads)
        return _write(model, estimator, opened, found, folder)


def acquisition_of(model: Model, inputs: Mapping[str, Any]) -> Acquisition:
    """Return the acquisition that inputs make; those that are None are left out.

    Raises
    ------
    InputError
        If an input is missing or unknown.
    """
    given = {name: _as_path(value) for name, value in inputs.items() if value is not None}
    known = ports_of(model.name)
    missing = [port.name for port in known if port.needed and port.name not in given]
    unknown = sorted(given.keys() - {port.name for port in known})
    if missing or unknown:
        raise InputError(
            f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}",
            field=f"inputs of {model.name}",
            needed=", ".join(f"{port.name}{'' if port.needed else ' (optional)'}" for port in known),
        )
    for port in known:
        if port.choices and given.get(port.name, port.choices[0]) not in port.choices:
            raise InputError(
                f"is {given[port.name]!r}", field=port.name, needed=f"one of {', '.join(port.choices)}"
            )
    if isinstance(given["in_files"], Path):
        given["in_files"] = [given["in_files"]]
    found: Acquisition = _from_files(model.name)(given.pop("in_files"), **given)
    return found


def _as_path(value: Any) -> Any:
    """Return files as paths: nipype hands them over as texts."""
    if isinstance(value, str) and (Path(value).is_absolute() or Path(value).exists()):
        return Path(value)
    if (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(isinstance(v, str | Path) for v in value)
    ):
        return [Path(one) for one in value]
    return value


def _write(
    model: Model, estimator: Estimator, opened: OpenAcquisition, result: Found, folder: Path
) -> dict[str, Path]:
    how, found, noise = result
    table, stored = output_table(model.name), opened.series.stored
    own, tails = {table.rmse.name: "residual"}, {"Std": "_sd", "Determined": "_determined"}
    paths: dict[str, Path] = {}
    fields: dict[str, Any] = {}
    for row, values in images_of(table, opened.choice.mask, found):
        name = own.get(row.name, row.name) + tails.get(row.tail, "")
        paths[name] = folder / f"{model.name}_{name}.nii.gz"
        write_map(paths[name], stored.values(values), stored.shape, stored.affine, stored.zooms)
        fields[name] = {"Units": row.unit, "Description": row.description}
        if levels := levels_of(row):
            fields[name]["Levels"] = levels
    fields["fit"] = _about(model, estimator, opened, noise, how.bounds) | {
        key: value if not isinstance(value, Path) else str(value) for key, value in how.used.items()
    }
    fields["fit"]["Notes"] = [*opened.acquisition.notes, *how.notes]
    paths["metadata"] = folder / f"{model.name}_metadata.json"
    write_sidecar(paths["metadata"], json.loads(json.dumps(fields, default=str)))
    return paths


def _about(
    model: Model,
    estimator: Estimator,
    opened: OpenAcquisition,
    noise: ScanNoise | None,
    bounds: Bounds | None,
) -> dict[str, Any]:
    """Return what a reader needs to repeat a fit."""
    return {
        "Model": model.name,
        "ModelParameters": model.told(),
        "Estimator": estimator.label,
        "EstimationAlgorithm": estimator.description,
        "EstimationReference": estimator.reference,
        "Bounds": {name: list(limits) for name, limits in (bounds or {}).items()},
        **({"NoiseLevel": None} if noise is None else noise.fields(opened.mask)),
        "Mask": opened.choice.origin,
        "SoftwareVersion": __version__,
    }
