"""Recipes: TOML files that define a network completely, checked key by key before anything is computed."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Self, TypeVar, get_args, get_origin, get_type_hints

from bids_qmri.errors import UsageError
from bids_qmri.physics.model import Model
from bids_qmri.models.registry import get_model
from bids_qmri.training.boxes import BoxRange, Range
from bids_qmri.training.sampler import RANGES, Ranges

T = TypeVar("T")


@dataclass(frozen=True)
class DataOptions:
    """What curves are simulated.

    Parameters
    ----------
    groups, validation_groups
        Protocols drawn for training and for validation.
    curves
        Curves per protocol.
    paper_share
        Share of the protocols that Table 2 of Kuppens et al. defines; the others are broad.
    table1_share
        Share of the boxes that are Table 1 of the same; the others are random.
    snr
        Range of the signal-to-noise ratio, log-uniform per curve.
    snr_power
        Errors weigh in proportion to this power of the ratio; 1 makes the prior of the amplitude uniform.
    amplitude
        Range of the amplitude, log-uniform per curve; keeps sigma from telling it.
    sigma_error
        Standard deviation of the logarithm of the error of the sigma that estimates are given.
    sigma_exact
        Share of the protocols in which that sigma is exact.
    """

    groups: int
    validation_groups: int
    curves: int
    paper_share: float
    table1_share: float
    snr: Range
    snr_power: float
    amplitude: Range
    sigma_error: float
    sigma_exact: float


@dataclass(frozen=True)
class NetworkOptions:
    """What is trained.

    Parameters
    ----------
    path
        Follow the measurements with a controlled differential equation; otherwise only the context is read.
    anchor
        Correct the fit; otherwise nothing that comes from it is read and the middle of the box is corrected.
    state
        Length H of the state.
    field, readout, spread
        Widths of the hidden layers of the vector field and of the heads.
    """

    path: bool
    anchor: bool
    state: int
    field: tuple[int, ...]
    readout: tuple[int, ...]
    spread: tuple[int, ...]


@dataclass(frozen=True)
class TrainingOptions:
    """How it is trained: AdamW, learning rate rising over `warmup` steps and falling as a cosine.

    Parameters
    ----------
    steps, batch
        Number of updates, and curves in each.
    rate
        Largest learning rate.
    warmup
        Steps until it is reached.
    decay
        Weight decay.
    clip
        Largest norm of the gradient.
    threads
        Threads that one training uses.
    """

    steps: int
    batch: int
    rate: float
    warmup: int
    decay: float
    clip: float
    threads: int


@dataclass(frozen=True)
class Recipe:
    """One network: its name, its model, and how to make it."""

    name: str
    model: str
    description: str
    seed: int
    data: DataOptions
    boxes: Mapping[str, BoxRange]
    protocol: Ranges
    network: NetworkOptions
    training: TrainingOptions

    @property
    def forward(self) -> Model:
        """The signal model."""
        return get_model(self.model)

    def with_seed(self, seed: int | None) -> Self:
        """Return the recipe with another seed, or itself if that is None."""
        return self if seed is None else replace(self, seed=seed)

    def as_table(self) -> dict[str, Any]:
        """Return all values, as plain numbers, texts, lists and dictionaries."""
        table: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return table

    def digest(self) -> str:
        """Return a hash of all values."""
        return hashlib.sha256(json.dumps(self.as_table(), sort_keys=True).encode()).hexdigest()


def shipped_recipes() -> list[str]:
    """Return the names of the recipes in this package."""
    found = files("bids_qmri.training").joinpath("recipes").iterdir()
    return sorted(item.name.removesuffix(".toml") for item in found if item.name.endswith(".toml"))


def recipe_text(name_or_path: str) -> str:
    """Return the text of a shipped recipe or of a file.

    Raises
    ------
    UsageError
        If there is neither.
    """
    if name_or_path in shipped_recipes():
        folder = files("bids_qmri.training").joinpath("recipes")
        return folder.joinpath(f"{name_or_path}.toml").read_text(encoding="utf-8")
    path = Path(name_or_path)
    if not path.is_file():
        raise UsageError(
            f"{name_or_path!r} is neither a shipped recipe nor a file",
            field="RECIPE",
            needed=f"one of {', '.join(shipped_recipes())}, or a TOML file",
        )
    return path.read_text(encoding="utf-8")


def load_toml(text: str) -> dict[str, Any]:
    """Return the content of a recipe of any kind, unchecked.

    Raises
    ------
    UsageError
        If the text is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"recipe is not TOML ({error})", field="RECIPE", needed="a TOML file") from error


def read_table(text: str) -> dict[str, Any]:
    """Return the content of a recipe, of which nothing but the model is checked.

    Raises
    ------
    UsageError
        If the text is not TOML, or the model is none that networks for curves are trained for.
    """
    table = load_toml(text)
    model = table.get("model")
    if model not in RANGES:
        raise UsageError(
            f"model is {model!r}", field="recipe: model", needed=f"one of {', '.join(sorted(RANGES))}"
        )
    return table


def parse_recipe(text: str) -> Recipe:
    """Read and check a recipe.

    Raises
    ------
    UsageError
        If the text is not TOML, a key is unknown or missing, or a value is of the wrong kind.
    """
    table = read_table(text)
    model = table["model"]
    known = {item.name for item in fields(Recipe)}
    sections = {"data": DataOptions, "network": NetworkOptions, "training": TrainingOptions}
    sections["protocol"] = RANGES[model]  # type: ignore[assignment]
    built: dict[str, Any] = {}
    for key, value in table.items():
        if key in sections:
            built[key] = build(sections[key], value, key)
        elif key == "boxes":
            built[key] = {name: build(BoxRange, box, f"boxes.{name}") for name, box in value.items()}
        else:
            built[key] = value
    require_keys(set(built), known, known, "")
    for key, kind in (("name", str), ("description", str), ("seed", int)):
        built[key] = checked(built[key], kind, key)
    expected = {p.name for p in get_model(model).parameters if p.name != get_model(model).amplitude}
    require_keys(set(built["boxes"]), expected, expected, "boxes.")
    return Recipe(**built)


def build(kind: type[T], table: object, where: str) -> T:
    """Make a dataclass from a TOML table, or say which key is wrong.

    Parameters
    ----------
    kind
        A dataclass of numbers, booleans, texts and tuples of numbers.
    table
        What TOML holds there.
    where
        Name of the table, for messages.

    Raises
    ------
    UsageError
        If a key is unknown or missing, or a value is of the wrong kind.
    """
    if not isinstance(table, dict):
        raise UsageError(f"is {table!r}", field=f"recipe: {where}", needed="a table")
    known = {item.name for item in fields(kind)}  # type: ignore[arg-type]
    needed = {item.name for item in fields(kind) if item.default is MISSING}  # type: ignore[arg-type]
    require_keys(set(table), known, needed, f"{where}.")
    hints = get_type_hints(kind)
    return kind(**{key: checked(value, hints[key], f"{where}.{key}") for key, value in table.items()})


def require_keys(given: set[str], known: set[str], needed: set[str], where: str) -> None:
    """Refuse keys that are unknown, or missing; `where` goes before their names."""
    for problem, keys in (("unknown", given - known), ("missing", needed - given)):
        if keys:
            names = ", ".join(where + key for key in sorted(keys))
            raise UsageError(
                f"{problem}: {names}", field="recipe", needed=f"{', '.join(sorted(known))} and nothing else"
            )


def checked(value: object, hint: Any, where: str) -> Any:
    """Return a TOML value as `hint` wants it, or say that it is of the wrong kind."""
    if get_origin(hint) is tuple and isinstance(value, list):
        kinds = get_args(hint)
        kinds = (kinds[0],) * len(value) if kinds[-1] is Ellipsis else kinds
        if len(kinds) == len(value):
            return tuple(checked(item, kind, where) for item, kind in zip(value, kinds, strict=True))
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is hint:
        return value
    raise UsageError(f"is {value!r}", field=f"recipe: {where}", needed=_spelled(hint))


def _spelled(hint: Any) -> str:
    if get_origin(hint) is tuple:
        return f"a list of {', '.join(_spelled(kind) for kind in get_args(hint) if kind is not Ellipsis)}"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}[hint]
