"""Recipes: TOML files that define a network completely, checked key by key before anything is computed.

A table's key ``type`` chooses one of the registered parts; the data say which class of the technique the
table ``[protocol]`` is (`physics.sampling`), and thereby what the network is for. Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from bids_qmri import catalogue
from bids_qmri.errors import QmriError, UsageError
from bids_qmri.estimators.networks.network_file import Kind
from bids_qmri.physics.model import Model
from bids_qmri.training.curves import Curves
from bids_qmri.training.parts import LOSSES, NETWORKS, Labels, Scheme
from bids_qmri.training.schedules import SCHEDULES
from bids_qmri.training.study import FixedCurves, VariedCurves
from bids_qmri.training.table import build, changed, checked, load_toml, require_keys

KINDS: Mapping[str, Kind] = {"Ranges": "any", "Varied": "any", "Fixed": "protocol", "Scheme": "scheme"}
"""What a network is for, by the class that its protocols are drawn by."""

DATA: Mapping[str, type] = {"curves": Curves, "varied": VariedCurves, "fixed": FixedCurves}
"""Types of the table ``[data]``, beside those of a technique: ``DATA`` of its module ``training``."""

PARTS: Mapping[str, Mapping[str, Any]] = {"network": NETWORKS, "loss": LOSSES, "training": SCHEDULES}
"""Types of other tables, the one that is meant where none is stated first."""

TEXTS = ("name", "model", "description")


@dataclass(frozen=True)
class Recipe:
    """One network: its name, its model (a word of ``--models``), and how to make it.

    Parameters
    ----------
    data, network, loss, training
        Parts that it chose.
    protocol
        How protocols are drawn, or the only one; None if a scheme is still to be given.
    labels
        What networks for one scheme learn to answer.
    settings
        What the model is told beside the protocol.
    text, changes
        The recipe as it is written, and values that replace some of it, by dotted key.
    """

    name: str
    model: str
    description: str
    seed: int
    data: Any
    network: Any
    loss: Any
    training: Any
    protocol: Any = None
    labels: Labels = field(default_factory=Labels)
    settings: Mapping[str, float] = field(default_factory=dict)
    text: str = field(default="", compare=False)
    changes: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def forward(self) -> Model:
        """The signal model."""
        return catalogue.get_model(self.model, **self.settings)

    @property
    def kind(self) -> Kind:
        """What the network is for."""
        return KINDS[self.data.takes]

    @property
    def file_name(self) -> str:
        """Name of the network: of the recipe, for a scheme with its labels and a hash of all values."""
        if self.kind != "scheme":
            return self.name
        labels = self.labels.kind
        return f"{self.name}-{labels if labels == 'composite' else 'nn' + labels}-{self.digest()[:8]}"

    def with_seed(self, seed: int | None) -> Self:
        """Return the recipe with another seed, or itself if that is None."""
        return self if seed is None else replace(self, seed=seed)

    def digest(self) -> str:
        """Return a hash of all values."""
        values: dict[str, Any] = {
            key: {"type": type(part).__name__, **asdict(part)}
            for key in ("data", "network", "loss", "training", "labels", "protocol")
            if (part := getattr(self, key)) is not None
        }
        if self.kind == "scheme":
            values["protocol"] = self.protocol.table(1, 4)
        values |= {key: getattr(self, key) for key in (*TEXTS, "seed", "settings")}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def shipped_recipes() -> dict[str, str]:
    """Return the text of every recipe by its name: those of this package, and those of techniques."""
    folder = files("bids_qmri.training").joinpath("recipes").iterdir()
    found = {f.name.removesuffix(".toml"): f.read_text("utf-8") for f in folder if f.name.endswith(".toml")}
    for technique in catalogue.TECHNIQUES:
        for file in files(technique.package).iterdir():
            if file.name.endswith(".toml"):
                text = file.read_text("utf-8")
                found[str(load_toml(text).get("name", technique.name))] = text
    return dict(sorted(found.items()))


def recipe_text(name_or_path: str) -> str:
    """Return the text of a shipped recipe, by its name or that of its file, or of any other file."""
    shipped = shipped_recipes()
    by_name = {str(load_toml(text).get("name")): text for text in shipped.values()} | shipped
    if name_or_path in by_name:
        return by_name[name_or_path]
    path = Path(name_or_path)
    if not path.is_file():
        seen, words = f"{name_or_path!r} is neither a shipped recipe nor a file", ", ".join(shipped)
        raise UsageError(seen, field="RECIPE", needed=f"one of {words}, or a TOML file")
    return path.read_text(encoding="utf-8")


def parse_recipe(text: str, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read and check a recipe, a TOML text with `changes` of some of its values, by dotted key.

    Raises
    ------
    UsageError
        If the text is not TOML, a key is unknown or missing, or a value is of the wrong kind.
    """
    table = changed(load_toml(text), changes or {})
    known = {*TEXTS, "seed", "data", *PARTS, "protocol", "scheme", "labels", "settings"}
    require_keys(set(table), known, {*TEXTS, "seed", "data", "network", "training"}, "")
    built: dict[str, Any] = {key: checked(table[key], str, key) for key in TEXTS}
    model = _model(built["model"], table.get("settings", {}))
    own = catalogue.part(model.name, "training", "DATA") or {}
    data = built["data"] = _chosen("data", table, {**DATA, **own})
    built |= {key: _chosen(key, table, registry) for key, registry in PARTS.items()}
    for key in ("network", "loss"):
        if built[key].rows != data.rows:
            seen = f"reads {built[key].rows}, data are {data.rows}"
            words = ", ".join(word for word, part in PARTS[key].items() if part.rows == data.rows)
            raise UsageError(seen, field=f"recipe: {key}.type", needed=f"one of {words}")
    built |= {"seed": checked(table["seed"], int, "seed"), "protocol": _protocol(model, data.takes, table)}
    if hasattr(data, "check"):
        data.check(model)
    if "labels" in table:
        require_keys({"labels"}, {"labels"} if data.rows == "labels" else set(), set(), "")
        built["labels"] = build(Labels, table["labels"], "labels")
    settings = {setting.name: getattr(model, setting.name) for setting in model.settings}
    return Recipe(**built, settings=settings, text=text, changes=dict(changes or {}))


def _model(name: str, settings: Any) -> Model:
    try:
        return catalogue.get_model(name, **dict(settings))
    except QmriError as error:
        field = "model" if error.field == "model" else f"settings, {error.field}"
        raise UsageError(error.seen, field=f"recipe: {field}", needed=error.needed) from error


def _chosen(section: str, table: Mapping[str, Any], registry: Mapping[str, type]) -> Any:
    """Return the part that a table chooses by its key ``type``."""
    values = table.get(section, {})
    if not isinstance(values, dict):
        raise UsageError(f"is {values!r}", field=f"recipe: {section}", needed="a table")
    word = values.get("type", next(iter(registry)))
    if word not in registry:
        words = ", ".join(registry)
        raise UsageError(f"is {word!r}", field=f"recipe: {section}.type", needed=f"one of {words}")
    return build(registry[word], {key: v for key, v in values.items() if key != "type"}, section)


def _protocol(model: Model, takes: str, table: Mapping[str, Any]) -> Any:
    """Return the table of protocols as the class that the data take."""
    here, other = ("scheme", "protocol") if takes == "Scheme" else ("protocol", "scheme")
    if other in table:
        raise UsageError(f"unknown: {other}", field="recipe", needed=f"a table {here}")
    if takes == "Scheme":
        return build(Scheme, table[here], here) if here in table else None
    found = catalogue.part(model.name, "sampling", takes) or catalogue.part(model.name, "protocol", takes)
    if found is None:
        needed = f"a class {takes} in sampling.py or protocol.py of its technique"
        raise UsageError(f"there is no {takes} for {model.name}", field="recipe: protocol", needed=needed)
    return build(found, table.get(here, {}), here)
