"""What a host asks for: a configuration by name, by JSON text, or both.

A name is one of `NAMED` or of a JSON file in a folder of the server; nothing that a client sends is ever
taken for a path or for code. Hosts write numbers and truth values as text; both spellings are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bids_qmri.errors import InputError
from bids_qmri.estimators.registry import LABELS
from bids_qmri.inline.encoding import SPELLINGS, Family
from bids_qmri.physics.arterial_input import POPULATION_INPUTS
from bids_qmri.physics.model import Bounds
from bids_qmri.physics.spoiled_gradient_echo import PLAUSIBLE_RELAXIVITY, PLAUSIBLE_T1
from bids_qmri.techniques.noddi.model import D_ISO, D_PAR
from bids_qmri.models.registry import LONGEST_DELAY, get_model
from bids_qmri.physics.diffusion import B0_THRESHOLD

FAMILY: dict[str, Family] = {"noddi": "dwi", "ivim": "dwi", "vfa": "vfa", "tofts": "dce", "etofts": "dce"}
"""Models that are offered, and what they are scanned with."""

OF_ONE_PROTOCOL = ("mlp", "onnx")
"""Labels that need the file of a network."""

NAMED = {
    f"{model}-{label}": {"model": model, "method": label}
    for model in FAMILY
    for label in LABELS[model]
    if label not in OF_ONE_PROTOCOL and not label.startswith("dipy")
}
"""Configurations by name."""

FALLBACK = "noddi-nnmle"

PLAUSIBLE = {
    "t10": (*PLAUSIBLE_T1, "s"),
    "relaxivity": (*PLAUSIBLE_RELAXIVITY, "L/mmol/s"),
    "hematocrit": (0.0, 0.9, "as a fraction"),
    "d_par": (1e-4, 1e-2, "mm^2/s"),
    "d_iso": (1e-4, 1e-2, "mm^2/s"),
}
"""Limits and unit of numbers which in another unit give maps that look right."""

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Config:
    """What to compute and what to send back.

    Parameters
    ----------
    model, method
        Word of ``--models`` and label of an estimator.
    network
        File of a network for one protocol.
    maps
        Names of maps to send, ``NAMEStd`` for a standard deviation, ``status``; empty sends the usual ones.
    send_original
        Send the images back as well, before the maps.
    mask
        Leave out voxels of air; otherwise all are estimated.
    attributes
        Names of image attributes by quantity (keys of `SPELLINGS`), looked at before the usual ones.
    b0_threshold
        b-values up to this many s/mm^2 count as b = 0.
    sigma
        Noise standard deviation of a single image; None estimates it.
    bounds
        Limits of parameters.
    d_par, d_iso
        Diffusivities of NODDI in mm^2/s.
    t10, relaxivity, hematocrit, aif, baseline_volumes
        Dynamic series: native T1 in s, r1 in L/mmol/s, fraction, name of a population input, frames before
        the bolus.
    """

    model: str
    method: str
    network: Path | None = None
    maps: tuple[str, ...] = ()
    send_original: bool = False
    mask: bool = True
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    b0_threshold: float = B0_THRESHOLD
    sigma: float | None = None
    bounds: Bounds = field(default_factory=dict)
    d_par: float = D_PAR
    d_iso: float = D_ISO
    t10: float | None = None
    relaxivity: float | None = None
    hematocrit: float | None = None
    aif: str = "parker"
    baseline_volumes: int | None = None

    @property
    def family(self) -> Family:
        """What kind of series the model explains."""
        return FAMILY[self.model]


@dataclass(frozen=True)
class Shelf:
    """Where configurations and networks lie on the server.

    Parameters
    ----------
    configs, networks
        Folders of ``NAME.json`` and ``NAME.onnx``, None if there are none.
    fallback
        Name of the configuration of hosts that name none.
    """

    configs: Path | None = None
    networks: Path | None = None
    fallback: str = FALLBACK

    def names(self) -> list[str]:
        """Return the names of all configurations."""
        own = sorted(path.stem for path in self.configs.glob("*.json")) if self.configs else []
        return [*own, *NAMED]

    def values(self, name: str) -> dict[str, Any]:
        """Return the values of a named configuration.

        Raises
        ------
        InputError
            If there is none of this name, or its file cannot be read.
        """
        stem = name.removesuffix(".json")
        if SAFE_NAME.fullmatch(stem) and self.configs and (file := self.configs / f"{stem}.json").is_file():
            return parse_values(file.read_text(encoding="utf-8"))
        if stem in NAMED:
            return dict(NAMED[stem])
        raise InputError(
            f"no configuration is called {name[:64]!r}",
            field="config",
            needed=f"one of {', '.join(self.names())}",
            way_out="name one of them, or put a JSON file into the folder of --configs",
        )

    def network(self, name: str) -> Path:
        """Return the file of a network.

        Raises
        ------
        InputError
            If there is none of this name.
        """
        stem = name.removesuffix(".onnx")
        file = self.networks / f"{stem}.onnx" if self.networks and SAFE_NAME.fullmatch(stem) else None
        if file is None or not file.is_file():
            there = sorted(path.stem for path in self.networks.glob("*.onnx")) if self.networks else []
            raise InputError(
                f"no network is called {name[:64]!r}",
                field="network",
                needed=f"one of {', '.join(there) or 'none'}",
                way_out="put the ONNX file into the folder of --networks",
            )
        return file

    def config(self, name: str, values: Mapping[str, Any]) -> Config:
        """Return the configuration of a name (empty: the fallback), with what a text changes of it.

        Raises
        ------
        InputError
            If there is no such name, key or value.
        """
        wanted = str(values.get("customconfig") or values.get("config") or name or self.fallback)
        merged = self.values(wanted) | dict(values)
        for key in ("config", "customconfig", "options"):
            merged.pop(key, None)
        fields = {}
        for key, value in merged.items():
            target = SYNONYMS.get(key, key)
            if target not in READ:
                raise InputError(
                    f"is not known (it is {str(value)[:64]!r})",
                    field=key[:64],
                    needed=f"one of {', '.join(READ)}",
                )
            fields[target] = self._value(target, value)
        return _checked(Config(**fields))

    def _value(self, key: str, value: Any) -> Any:
        try:
            return self.network(str(value)) if key == "network" else READ[key](value)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(
                f"is {str(value)[:64]!r}", field=key, needed=NEEDED.get(key, "a number")
            ) from error


def parse_values(text: str) -> dict[str, Any]:
    """Read ``{"parameters": {...}}`` or the object inside it.

    Raises
    ------
    InputError
        If it is no JSON object.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"configuration is no JSON ({error})", needed='{"parameters": {...}}') from error
    if isinstance(values, dict) and isinstance(values.get("parameters"), dict):
        values = values["parameters"]
    if not isinstance(values, dict):
        raise InputError(f"configuration is {text[:64]!r}", needed='{"parameters": {...}}')
    return values


def _truth(value: Any) -> bool:
    text = str(value).strip().lower()
    if text not in ("true", "1", "yes", "false", "0", "no", ""):
        raise ValueError("neither true nor false")
    return text in ("true", "1", "yes")


def _number(value: Any) -> float:
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError("negative or not finite")
    return number


def _optional_number(value: Any) -> float | None:
    return None if value in (None, "") else _number(value)


def _names(value: Any) -> tuple[str, ...]:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else tuple(str(v) for v in value)


def _attributes(value: Any) -> dict[str, tuple[str, ...]]:
    found = {str(key): (v,) if isinstance(v, str) else _names(v) for key, v in value.items()}
    if not found.keys() <= SPELLINGS.keys():
        raise ValueError("not a quantity")
    return found


def _bounds(value: Any) -> dict[str, tuple[float, float]]:
    return {str(name): (float(low), float(high)) for name, (low, high) in value.items()}


READ: dict[str, Callable[[Any], Any]] = {
    "model": str,
    "method": str,
    "network": str,
    "maps": _names,
    "send_original": _truth,
    "mask": _truth,
    "attributes": _attributes,
    "b0_threshold": _number,
    "sigma": _optional_number,
    "bounds": _bounds,
    "d_par": _number,
    "d_iso": _number,
    "t10": _optional_number,
    "relaxivity": _optional_number,
    "hematocrit": _optional_number,
    "aif": str,
    "baseline_volumes": lambda value: int(_number(value)),
}
"""Keys of a configuration, and what turns their values into ours."""

SYNONYMS = {"sendOriginal": "send_original", "sendoriginal": "send_original"}

NEEDED = {
    "maps": "names of maps",
    "send_original": "true or false",
    "mask": "true or false",
    "attributes": f"names of attributes by quantity: {', '.join(SPELLINGS)}",
    "bounds": "[low, high] by parameter",
}


def _checked(config: Config) -> Config:
    """Refuse what does not go together."""
    if config.model not in FAMILY:
        raise InputError(f"is {config.model!r}", field="model", needed=f"one of {', '.join(FAMILY)}")
    labels = [label for label in LABELS[config.model] if not label.startswith("dipy")]
    if config.method not in labels:
        raise InputError(
            f"is {config.method!r}", field="method", needed=f"one of {', '.join(labels)} for {config.model}"
        )
    if (config.method in OF_ONE_PROTOCOL) != (config.network is not None):
        raise InputError(
            f"method {config.method} with network {config.network and config.network.stem}",
            field="network",
            needed=f"the name of a network with {' or '.join(OF_ONE_PROTOCOL)}, none otherwise",
        )
    if config.family == "dce":
        for name in ("t10", "relaxivity", "hematocrit"):
            if getattr(config, name) is None:
                raise InputError("is missing", field=name, needed="a number, for dynamic series")
        if config.aif not in POPULATION_INPUTS:
            raise InputError(
                f"is {config.aif!r}", field="aif", needed=f"one of {', '.join(POPULATION_INPUTS)}"
            )
    _check_numbers(config)
    return config


def _check_numbers(config: Config) -> None:
    """Refuse numbers in another unit, and limits of what is no parameter or wider than physical ones."""
    for name, (low, high, unit) in PLAUSIBLE.items():
        value = getattr(config, name)
        if value is not None and not low <= value <= high:
            raise InputError(f"is {value:g}", field=name, needed=f"{low:g} to {high:g}, {unit}")
    widest = {p.name: p.bounds for p in get_model(config.model).parameters}
    if "t0" in widest:
        widest["t0"] = (0.0, LONGEST_DELAY)
    for name, (low, high) in config.bounds.items():
        if name not in widest:
            raise InputError(
                f"there is no parameter {name[:64]!r}", field="bounds", needed=f"some of {', '.join(widest)}"
            )
        if not widest[name][0] <= low <= high <= widest[name][1]:
            raise InputError(
                f"{name} from {low:g} to {high:g}",
                field="bounds",
                needed=f"two numbers within {widest[name][0]:g} and {widest[name][1]:g}, the lower one first",
            )
