"""Recipes of networks for one diffusion scheme; the scheme itself is given beside them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from bids_qmri.errors import UsageError
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.training.boxes import Range
from bids_qmri.training.recipe import build, checked, load_toml, require_keys

OUTPUTS = ("odi", "ndi", "fwf")
"""Quantities in the order in which the paper's network gives them."""

KINDS = ("gt", "mle", "composite")
LIKELIHOODS = ("gaussian", "rician")


@dataclass(frozen=True)
class Diffusivity:
    """Diffusivities that the model fixes, in mm^2/s: along neurites, and of free water."""

    d_par: float
    d_iso: float


@dataclass(frozen=True)
class SignalOptions:
    """What signals are simulated.

    Parameters
    ----------
    count
        Number of signals, those for validation included.
    snr
        Signal-to-noise ratio at b = 0.
    ndi, odi, fwf
        Ranges of uniform distributions.
    """

    count: int
    snr: float
    ndi: Range
    odi: Range
    fwf: Range


@dataclass(frozen=True)
class LabelOptions:
    """What the network learns to answer.

    Parameters
    ----------
    kind
        A word of `KINDS`: the truth, a conventional fit, or both.
    weight
        Weight of the fit where `kind` is ``composite``; the truth has the rest.
    likelihood
        A word of `LIKELIHOODS`, of the fit.
    """

    kind: str
    weight: float
    likelihood: str

    @property
    def share(self) -> float:
        """Weight of the fit, 0 to 1."""
        return {"gt": 0.0, "mle": 1.0, "composite": self.weight}[self.kind]


@dataclass(frozen=True)
class NetworkOptions:
    """Widths of the hidden layers, and the alpha of their exponential linear units."""

    hidden: tuple[int, ...]
    elu: float


@dataclass(frozen=True)
class TrainingOptions:
    """How it is trained: Adam on the mean squared error; the epoch with the least validation loss is kept.

    Parameters
    ----------
    epochs, batch
        Passes through the data, and signals in an update.
    rate
        Learning rate.
    decay
        Strength of the L2 regularisation.
    momentum
        Decay of the mean of gradients (beta 1).
    validation
        Share of the signals that is held out.
    threads
        Threads that the training uses.
    """

    epochs: int
    batch: int
    rate: float
    decay: float
    momentum: float
    validation: float
    threads: int


_SECTIONS: dict[str, type] = {
    "diffusivity": Diffusivity,
    "signals": SignalOptions,
    "labels": LabelOptions,
    "network": NetworkOptions,
    "training": TrainingOptions,
}


@dataclass(frozen=True)
class SchemeRecipe:
    """One network for one scheme: its name, and how to make it."""

    name: str
    model: str
    description: str
    seed: int
    diffusivity: Diffusivity
    signals: SignalOptions
    labels: LabelOptions
    network: NetworkOptions
    training: TrainingOptions

    def changed(self, section: str | None = None, **values: Any) -> Self:
        """Return the recipe with some values replaced; those that are None stay as they are."""
        given = {key: value for key, value in values.items() if value is not None}
        if section is not None:
            given = {section: replace(getattr(self, section), **given)}
        recipe = replace(self, **given)
        recipe.check()
        return recipe

    def check(self) -> None:
        """Refuse values without meaning.

        Raises
        ------
        UsageError
            Naming the key.
        """
        labels, ranges = self.labels, [getattr(self.signals, name) for name in OUTPUTS]
        wrong = {
            "model": (self.model, self.model == "noddi", "noddi"),
            "labels.kind": (labels.kind, labels.kind in KINDS, f"one of {', '.join(KINDS)}"),
            "labels.likelihood": (
                labels.likelihood,
                labels.likelihood in LIKELIHOODS,
                f"one of {', '.join(LIKELIHOODS)}",
            ),
            "labels.weight": (labels.weight, 0.0 <= labels.weight <= 1.0, "0 to 1"),
            "signals.snr": (self.signals.snr, self.signals.snr > 0, "above 0"),
            "signals": (ranges, all(0 <= low < high <= 1 for low, high in ranges), "ranges within 0 and 1"),
            "diffusivity.d_par": (
                self.diffusivity.d_par,
                0 < self.diffusivity.d_par < 0.1,
                "a diffusivity in mm^2/s",
            ),
            "diffusivity.d_iso": (
                self.diffusivity.d_iso,
                0 < self.diffusivity.d_iso < 0.1,
                "a diffusivity in mm^2/s",
            ),
        }
        for key, (value, right, needed) in wrong.items():
            if not right:
                raise UsageError(f"is {value!r}", field=f"recipe: {key}", needed=needed)

    def digest(self) -> str:
        """Return a hash of all values."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def file_name(self, scheme: DiffusionProtocol) -> str:
        """Return the name of the network for a scheme: its labels, and a hash of all that determines it."""
        # Directions are divided by their length: the last digits differ from one computer to the next.
        rounded = DiffusionProtocol(
            scheme.bvals.round(1), None if scheme.bvecs is None else scheme.bvecs.round(4) + 0.0
        )
        key = hashlib.sha256(
            f"{self.digest()} {rounded.digest()} {scheme.b0_threshold:g}".encode()
        ).hexdigest()
        kind = self.labels.kind
        return f"{self.name}-{kind if kind == 'composite' else 'nn' + kind}-{key[:8]}"


def is_scheme_recipe(text: str) -> bool:
    """Return whether a recipe is one of a network for one diffusion scheme."""
    return "diffusivity" in load_toml(text)


def parse_scheme_recipe(text: str) -> SchemeRecipe:
    """Read and check a recipe.

    Raises
    ------
    UsageError
        If the text is not TOML, a key is unknown or missing, or a value is of the wrong kind or without
        meaning.
    """
    table = load_toml(text)
    known = {item.name for item in fields(SchemeRecipe)}
    require_keys(set(table), known, known, "")
    built: dict[str, Any] = {
        key: build(_SECTIONS[key], value, key) if key in _SECTIONS else value for key, value in table.items()
    }
    for key, kind in (("name", str), ("model", str), ("description", str), ("seed", int)):
        built[key] = checked(built[key], kind, key)
    recipe = SchemeRecipe(**built)
    recipe.check()
    return recipe
