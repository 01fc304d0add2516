"""What a host asks for: a configuration by name, by JSON text, or both.

A name is one of `named` or of a JSON file in a folder of the server; nothing that a client sends is ever
taken for a path or for code. Hosts write numbers and truth values as text; both spellings are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bids_qmri.catalogue import FORMER_NAMES, INLINE_DEFAULT, find_entry, get_model, model_names, part
from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Estimator, get_estimator
from bids_qmri.estimators.networks.network_file import LABELS
from bids_qmri.inline.encoding import stream_fields
from bids_qmri.physics.diffusion import B0_THRESHOLD
from bids_qmri.physics.limits import check_bounds
from bids_qmri.physics.model import Bounds, Model

Read = Callable[[Any], Any]

SLOW = ("dipyTrr", "dipyVarpro")
"""Labels that take minutes for a slice: not offered."""


def offered(model_name: str) -> tuple[str, ...]:
    """Return the labels of the estimators of a model that are offered."""
    return tuple(label for label in find_entry(model_name)[1].estimators if label not in SLOW)


def served() -> tuple[str, ...]:
    """Return the models whose protocols the images of a stream can tell."""
    return tuple(name for name in model_names() if get_model(name).protocol.stream)


def named() -> dict[str, dict[str, Any]]:
    """Return the configurations that need no file, by name: ``MODEL-ESTIMATOR``."""
    return {
        f"{model}-{label}": {"model": model, "estimator": label}
        for model in served()
        for label in offered(model)
        if label not in OF_A_FILE
    }


OF_A_FILE = (LABELS["protocol"], LABELS["scheme"])
"""Labels of estimators that are nothing without the file of a network."""

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Config:
    """What to compute and what to send back.

    Parameters
    ----------
    model, estimator
        Word of ``--models`` and label of an estimator.
    network
        File of a network of one's own.
    maps
        Names of maps to send, ``NAMEStd`` for a standard deviation, ``status``; empty sends the usual ones.
    send_original
        Send the images back as well, before the maps.
    mask
        Leave out voxels of air; otherwise all are estimated.
    attributes
        Names of image attributes by quantity, looked at before the usual ones.
    b0_threshold
        b-values up to this many s/mm^2 count as b = 0.
    sigma
        Noise standard deviation of a single image; None estimates it.
    bounds
        Limits of parameters.
    settings
        What the model is told beside the protocol.
    values
        What the technique needs beside the images, as its module ``stream`` reads it.
    """

    model: str
    estimator: str
    network: Path | None = None
    maps: tuple[str, ...] = ()
    send_original: bool = False
    mask: bool = True
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    b0_threshold: float = B0_THRESHOLD
    sigma: float | None = None
    bounds: Bounds = field(default_factory=dict)
    settings: Mapping[str, float] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def forward(self) -> Model:
        """The signal model."""
        return get_model(self.model, **self.settings)

    def estimate_by(self, threads: int = 1) -> Estimator:
        """Return the estimator."""
        return get_estimator(self.model, self.estimator, network=self.network, threads=threads)


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
    fallback: str = INLINE_DEFAULT

    def names(self) -> list[str]:
        """Return the names of all configurations."""
        own = sorted(path.stem for path in self.configs.glob("*.json")) if self.configs else []
        return [*own, *named()]

    def values(self, name: str) -> dict[str, Any]:
        """Return the values of a named configuration.

        Raises
        ------
        InputError
            If there is none of this name, or its file cannot be read.
        """
        stem = name.removesuffix(".json")
        model, _, label = stem.partition("-")
        former = f"{FORMER_NAMES.get(model, model)}-{label}"
        if SAFE_NAME.fullmatch(stem) and self.configs and (file := self.configs / f"{stem}.json").is_file():
            return parse_values(file.read_text(encoding="utf-8"))
        if former in named():
            return named()[former]
        raise InputError(
            f"no configuration is called {name[:64]!r}",
            field="config",
            needed=f"one of {', '.join(self.names())}",
            fix="name one of them, or put a JSON file into the folder of --configs",
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
                fix="put the ONNX file into the folder of --networks",
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
        merged = {SYNONYMS.get(key, key): value for key, value in merged.items()}
        model = _known_model(merged.get("model"))
        merged["model"] = model.name
        own: Mapping[str, Read] = part(model.name, "stream", "READ") or {}
        told: dict[str, Read] = {setting.name: _number for setting in model.settings}
        readers = READ | told | dict(own)
        fields: dict[str, Any] = {"settings": {}, "values": {}}
        for key, value in merged.items():
            if key not in readers:
                raise InputError(
                    f"is not known (it is {str(value)[:64]!r})",
                    field=key[:64],
                    needed=f"one of {', '.join(readers)}",
                )
            group = fields["settings"] if key in told else fields["values"] if key in own else fields
            if key in READ or value not in (None, ""):
                group[key] = self._value(readers[key], key, value)
        return _checked(Config(**fields))

    def _value(self, read: Read, key: str, value: Any) -> Any:
        try:
            return self.network(str(value)) if key == "network" else read(value)
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
    if not found.keys() <= {item.quantity for item in stream_fields()}:
        raise ValueError("not a quantity")
    return found


def _bounds(value: Any) -> dict[str, tuple[float, float]]:
    return {str(name): (float(low), float(high)) for name, (low, high) in value.items()}


READ: dict[str, Read] = {
    "model": str,
    "estimator": str,
    "network": str,
    "maps": _names,
    "send_original": _truth,
    "mask": _truth,
    "attributes": _attributes,
    "b0_threshold": _number,
    "sigma": _optional_number,
    "bounds": _bounds,
}
"""Keys of every configuration, and what turns their values into ours; models and techniques add their own."""

SYNONYMS = {"sendOriginal": "send_original", "sendoriginal": "send_original", "method": "estimator"}

NEEDED = {
    "maps": "names of maps",
    "send_original": "true or false",
    "mask": "true or false",
    "attributes": "names of attributes by quantity: bvalue, direction, flip_angle, repetition_time, time, …",
    "bounds": "[low, high] by parameter",
}


def _known_model(name: Any) -> Model:
    name = FORMER_NAMES.get(str(name), name)
    if name in served():
        return get_model(name)
    known = name in model_names()
    seen = f"{name}: streams do not say how its images were made" if known else f"is {str(name)[:64]!r}"
    raise InputError(seen, field="model", needed=f"one of {', '.join(served())}")


def _checked(config: Config) -> Config:
    """Refuse what does not go together, numbers in another unit, and limits of what is no parameter."""
    labels = offered(config.model)
    if config.estimator not in labels:
        raise InputError(
            f"is {config.estimator[:64]!r}",
            field="estimator",
            needed=f"one of {', '.join(labels)} for {config.model}",
        )
    missing = config.network is None and config.estimator in OF_A_FILE
    if missing or (config.network is not None and not hasattr(config.estimate_by(), "network")):
        raise InputError(
            f"estimator {config.estimator} with network {config.network and config.network.stem}",
            field="network",
            needed=f"the name of a network with {' or '.join(OF_A_FILE)}, none with estimators that use none",
        )
    if check := part(config.model, "stream", "check"):
        check(config.values)
    check_bounds([config.forward], config.bounds)
    return config
