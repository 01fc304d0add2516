"""One table per model: what each map is called in files, its unit, its meaning and how it is shown.

The tables are the files ``outputs.yaml`` of the techniques, one YAML document per model. File names,
sidecars, figures, group tables and methods texts all read them, so that a new model is described in one
place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any, TypedDict

import yaml

from bids_qmri import catalogue
from bids_qmri.errors import InputError, InternalError
from bids_qmri.estimators.base import Status
from bids_qmri.estimators.determined import NARROW, box_sd
from bids_qmri.units import is_cmixf

COLOUR_MAPS = frozenset(
    {"viridis", "plasma", "inferno", "magma", "cividis", "lipari", "lipari_r", "navia", "navia_r"}
)
"""Maps whose lightness grows evenly with the value, or falls where the name ends in ``_r``.

Those of relaxation are of Fuderer et al. (doi:10.1002/mrm.30290): Lipari for T1, Navia for T2 and T2*, turned
around for their rates, so that a tissue has the colour of its time.
"""


class NameParts(TypedDict):
    """What `bids.names.derivative_path` needs beside the entities of an acquisition."""

    datatype: str
    suffix: str
    model: str | None
    param: str | None
    desc: str


@dataclass(frozen=True)
class Reference:
    """Publication of a model's equation.

    Parameters
    ----------
    doi
        Digital object identifier, without a resolver.
    text
        Short citation for people.
    """

    doi: str
    text: str


@dataclass(frozen=True)
class MapRow:
    """One image that a fit writes.

    Parameters
    ----------
    name, symbol
        Name in code and in the field's notation.
    unit
        CMIXF-12 string, or ``"arbitrary"`` for values in the scale of the input images.
    description
        One sentence for sidecars and reports.
    range
        Values at the ends of the colour bar, in `unit`; None: from the data.
    cmap
        Name of a perceptually uniform colour map; empty for a direction.
    datatype, suffix, model, param
        Parts of the file name; `model` and `param` are None where the suffix alone says what it is.
    tail
        Appended to the estimator's label: ``""``, ``"Std"``, ``"Determined"`` or ``"Status"``.
    volumes
        What several numbers a voxel are: ``"direction"`` (unit vector), ``"colour"`` (red, green, blue),
        ``"tensor"`` (six elements); empty for one number a voxel.
    darkened_by, brightened_by
        Of a direction: name of the map, 0 to 1, that darkens its colours, or makes them bright.
    inverse_of
        Name of the fitted map of which it is the inverse: error bars come from there.
    """

    name: str
    symbol: str
    unit: str
    description: str
    range: tuple[float, float] | None
    cmap: str
    datatype: str
    suffix: str
    model: str | None = None
    param: str | None = None
    tail: str = ""
    volumes: str = ""
    darkened_by: str | None = None
    brightened_by: str | None = None
    inverse_of: str | None = None

    def name_parts(self, label: str) -> NameParts:
        """Return the parts of the file name of this map as estimated by the estimator called `label`."""
        return NameParts(
            datatype=self.datatype,
            suffix=self.suffix,
            model=self.model,
            param=self.param,
            desc=label + self.tail,
        )


@dataclass(frozen=True)
class OutputTable:
    """All images that fits of one model write.

    Parameters
    ----------
    model
        The word of ``--models``.
    title
        What the model is called in reports.
    entity
        Value of the ``model-`` entity.
    datatype, suffix
        Folder, and suffix of the maps that have none of their own.
    reference
        Publication of the equation.
    maps
        Estimates, fitted and derived, in the order of reports.
    rmse, status
        Residual map and status map.
    """

    model: str
    title: str
    entity: str
    datatype: str
    suffix: str
    reference: Reference
    maps: tuple[MapRow, ...]
    rmse: MapRow
    status: MapRow

    @property
    def amplitude(self) -> str | None:
        """Name of the first map in the scale of the input images, None if there is none."""
        return next((row.name for row in self.maps if row.unit == "arbitrary"), None)

    def estimate(self, name: str) -> MapRow:
        """Return the row of the map called `name`.

        Raises
        ------
        InternalError
            The model has no such map.
        """
        for row in self.maps:
            if row.name == name:
                return row
        raise InternalError(
            f"the outputs of {self.model} have no map called {name}",
            file="outputs.yaml",
            needed=f"one of {', '.join(row.name for row in self.maps)}",
        )

    def sd(self, name: str) -> MapRow:
        """Return the row of the standard deviation of the map called `name`."""
        row = self.estimate(name)
        meaning = row.description[0].lower() + row.description[1:]
        width = None if row.range is None else (0.0, 0.25 * (row.range[1] - row.range[0]))
        return replace(
            row, description=f"Standard deviation of: {meaning}", range=width, cmap="cividis", tail="Std"
        )

    def determined(self, name: str) -> MapRow:
        """Return the row of what says where the data determine the map called `name`."""
        row = self.estimate(name)
        known = box_sd(catalogue.get_model(self.model)).get(name)
        number = "" if known is None else f", {NARROW * known:.3g} {row.unit}".removesuffix(" 1")
        return replace(
            row,
            description=f"Whether the data determine {row.symbol}: its standard deviation is at most "
            f"{NARROW:g} of that of a guess within the default limits{number}, and it lies at no limit.",
            unit="1",
            range=(0.0, 1.0),
            cmap="cividis",
            tail="Determined",
        )

    @property
    def removed(self) -> MapRow:
        """Row of what denoising took from the images before the fit."""
        return replace(
            self.rmse,
            name="removed",
            symbol="removed",
            unit="1",
            description="Variance that denoising removed over what of independent noise it removes: 1,"
            " without anatomy, where only noise went; more where signal went too.",
            range=(0.0, 2.0),
            param="removed",
        )

    def every_row(self) -> tuple[MapRow, ...]:
        """Return the rows of all images that a fit may write."""
        beside = (part(row.name) for part in (self.sd, self.determined) for row in self.maps)
        return (*self.maps, *beside, self.rmse, self.removed, self.status)

    def qc_parts(self, label: str) -> NameParts:
        """Return the parts of the name of the quality file of one estimator."""
        return NameParts(datatype=self.datatype, suffix="qc", model=self.entity, param=None, desc=label)


NO_UNITS = ("arbitrary", "percent")
"""What BIDS says of maps in the scale of the images, and of ratios from 0 to 100: CMIXF-12 has neither."""

BIDS_MAPS = frozenset(
    (
        *("T1map", "T2map", "T2starmap", "R1map", "R2map", "R2starmap", "PDmap", "S0map", "M0map", "T1rho"),
        *("MTRmap", "MTsat", "MTVmap", "MWFmap", "UNIT1", "Chimap", "TB1map", "RB1map"),
        *("ADC", "FA", "colFA", "expADC", "trace", "fieldmap"),
    )
)
"""Suffixes of quantitative maps that BIDS 1.11 has names for."""


def unknown_suffixes() -> tuple[str, ...]:
    """Return the suffixes of maps of all models that BIDS has no name for."""
    tables = [output_table(model) for model in catalogue.model_names()]
    found = {row.suffix for table in tables for row in (*table.maps, table.rmse, table.status)}
    return tuple(sorted(found - BIDS_MAPS))


def output_table(model: str) -> OutputTable:
    """Return the table of a model, read once from the YAML file of its technique.

    Raises
    ------
    InternalError
        There is no such table, or it breaks a rule: unknown key, unit, order of a range, colour map.
    """
    try:
        technique, entry = catalogue.find_entry(model)
    except InputError as error:
        names = ", ".join(catalogue.model_names())
        raise InternalError(f"no output table for model {model}", needed=f"one of {names}") from error
    return _tables(technique.package)[entry.name]


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader in C where yaml was built with it: a tenth of the time."""


@cache
def _tables(package: str) -> dict[str, OutputTable]:
    text = resources.files(package).joinpath("outputs.yaml").read_text(encoding="utf-8")
    file = f"{package}/outputs.yaml"
    return {raw["model"]: parse_table(raw, file) for raw in yaml.load_all(text, Loader=LOADER)}


def parse_table(raw: Mapping[str, Any], file: str) -> OutputTable:
    """Build and check a table from what its YAML file holds; `file` is named in errors.

    Raises
    ------
    InternalError
        A key is unknown or missing, a unit does not parse, a range is not ordered, a colour map is unknown.
    """
    _check_keys(
        raw, {"model", "title", "entity", "datatype", "suffix", "reference", "maps", "rmse"}, file, ""
    )
    _check_keys(raw["reference"], {"doi", "text"}, file, "reference")
    home = {"datatype": raw["datatype"], "suffix": raw["suffix"], "model": raw["entity"]}
    _check_keys(raw["rmse"], {"unit", "description"}, file, "rmse")
    return OutputTable(
        model=raw["model"],
        title=raw["title"],
        entity=raw["entity"],
        datatype=raw["datatype"],
        suffix=raw["suffix"],
        reference=Reference(**raw["reference"]),
        maps=tuple(_map_row(name, row, home, file) for name, row in raw["maps"].items()),
        rmse=MapRow(
            name="rmse",
            symbol="RMSE",
            unit=_unit(raw["rmse"]["unit"], file, "rmse"),
            description=raw["rmse"]["description"],
            range=None,
            cmap="cividis",
            param="rmse",
            **home,
        ),
        status=MapRow(
            name="status",
            symbol="status",
            unit="1",
            description="What happened in each voxel, as a code that Levels explains.",
            range=(0.0, float(max(Status))),
            cmap="viridis",
            tail="Status",
            **home,
        ),
    )


def _map_row(name: str, raw: Mapping[str, Any], home: Mapping[str, str], file: str) -> MapRow:
    place = {"suffix", "model"} & set(raw) or {"param"}
    look = {"darkened_by", "brightened_by", "volumes"} & set(raw) or {"range", "cmap"}
    look |= {"inverse_of"} & set(raw)
    _check_keys(raw, place | {"symbol", "unit", "description"} | look, file, name)
    if "cmap" in look and raw["cmap"] not in COLOUR_MAPS:
        raise InternalError(
            f"colour map {raw['cmap']}", file=file, field=name, needed=f"one of {sorted(COLOUR_MAPS)}"
        )
    own = {**home, "suffix": raw.get("suffix", home["suffix"])}
    if place == {"suffix"}:
        del own["model"]
    return MapRow(
        name=name,
        symbol=raw["symbol"],
        unit=_unit(raw["unit"], file, name),
        description=raw["description"],
        range=_range(raw["range"], file, name) if "range" in look else None,
        cmap=raw.get("cmap", ""),
        param=raw.get("param"),
        volumes=raw.get("volumes", "" if "range" in look else "direction"),
        darkened_by=raw.get("darkened_by"),
        brightened_by=raw.get("brightened_by"),
        inverse_of=raw.get("inverse_of"),
        **own,
    )


def _check_keys(raw: Any, expected: set[str], file: str, field: str) -> None:
    seen = set(raw) if isinstance(raw, Mapping) else set()
    if seen != expected:
        raise InternalError(
            f"keys missing {sorted(expected - seen)}, unknown {sorted(seen - expected)}",
            file=file,
            field=field or None,
            needed=f"the keys {sorted(expected)}",
        )


def _unit(text: Any, file: str, field: str) -> str:
    if isinstance(text, str) and (text in NO_UNITS or is_cmixf(text)):
        return text
    raise InternalError(
        f"unit is {text!r}",
        file=file,
        field=field,
        needed='a CMIXF-12 string such as "mm^2/s", arbitrary, or percent',
    )


def _range(value: Any, file: str, field: str) -> tuple[float, float] | None:
    if value == "auto":
        return None
    if isinstance(value, list) and len(value) == 2 and value[0] < value[1]:
        return float(value[0]), float(value[1])
    raise InternalError(
        f"range is {value!r}", file=file, field=field, needed="[low, high] with low below high, or auto"
    )
