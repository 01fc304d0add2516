"""Recipes of the networks of the study: tables ``ncde`` or ``mlp`` beside data, loss and training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from bids_qmri.errors import UsageError
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.models.registry import get_model
from bids_qmri.training.boxes import Range, table1_box
from bids_qmri.training.recipe import build, checked, load_toml, read_table, require_keys

STUDY_EPOCHS = 750
"""Epochs that the study trained; schedules are written in these, whatever the length of a run."""

MEASUREMENTS = {"vfa": "flip_angle", "ivim": "bvals", "etofts": "time"}
"""Key of `Acquisition` that holds the measurements, by model."""


@dataclass(frozen=True)
class Curves:
    """What curves are simulated.

    Parameters
    ----------
    count, validation
        Number of curves to train with and to test with.
    per_protocol
        Curves of every protocol that is drawn from Table 2; without meaning for a fixed one.
    snr
        Range of the signal-to-noise ratio, uniform per curve.
    amplitude
        Range of the amplitude relative to the approximate one that signals are divided by; concentrations
        have none.
    """

    count: int
    validation: int
    per_protocol: int
    snr: Range
    amplitude: Range = (1.0, 1.0)


@dataclass(frozen=True)
class LossWeights:
    """Weights of the two terms of equation 6."""

    supervised: float
    physics: float


@dataclass(frozen=True)
class Acquisition:
    """Protocol: one list of measurements for an MLP, none for an NCDE, which draws them from Table 2.

    Parameters
    ----------
    flip_angle
        Degrees.
    repetition_time
        Seconds; 0 where there is none.
    bvals
        s/mm^2.
    time
        Seconds after arrival of the bolus.
    """

    flip_angle: tuple[float, ...] = ()
    repetition_time: float = 0.0
    bvals: tuple[float, ...] = ()
    time: tuple[float, ...] = ()


@dataclass(frozen=True)
class NcdeOptions:
    """A controlled differential equation with adaptive solver.

    Parameters
    ----------
    state
        Length of the state.
    field
        Widths of the hidden layers of the vector field; the study has five, and the output as the sixth.
    readout
        Widths of the hidden layers of every head.
    atol, rtol
        Tolerances of the solver at the beginning.
    halved
        Epochs at which both are halved.
    """

    state: int
    field: tuple[int, ...]
    readout: tuple[int, ...]
    atol: float
    rtol: float
    halved: tuple[int, ...]


@dataclass(frozen=True)
class MlpOptions:
    """Parallel perceptrons, one per parameter; `spread` are the hidden widths of those of the spread."""

    hidden: tuple[int, ...]
    spread: tuple[int, ...]


@dataclass(frozen=True)
class Schedule:
    """How it is trained: Adam.

    Parameters
    ----------
    epochs
        Epochs of this run. The study's schedule is compressed to fit.
    batches, batch
        Updates per epoch, and curves in each.
    rate
        Learning rate at the beginning.
    halved
        Epochs of the study at which it is halved.
    threads
        Threads that one training uses.
    """

    epochs: int
    batches: int
    batch: int
    rate: float
    halved: tuple[int, ...]
    threads: int

    @property
    def steps(self) -> int:
        """Number of updates."""
        return self.epochs * self.batches

    @property
    def fraction(self) -> float:
        """Share of the study's epochs."""
        return self.epochs / STUDY_EPOCHS

    def halvings(self, epochs: tuple[int, ...], step: int) -> int:
        """Return how many of the study's `epochs` lie behind at a step."""
        return sum(step * STUDY_EPOCHS >= epoch * self.steps for epoch in epochs)


@dataclass(frozen=True)
class StudyRecipe:
    """One network of the study; exactly one of `ncde` and `mlp` is given."""

    name: str
    model: str
    description: str
    seed: int
    curves: Curves
    loss: LossWeights
    acquisition: Acquisition
    training: Schedule
    ncde: NcdeOptions | None = None
    mlp: MlpOptions | None = None

    @property
    def forward(self) -> Model:
        """The signal model."""
        return get_model(self.model)

    @property
    def ranges(self) -> tuple[Range, ...]:
        """Table 1, in the order of the model's parameters; the amplitude relative to an approximate one."""
        table = table1_box(self.forward)
        return tuple(table.get(p.name, self.curves.amplitude) for p in self.forward.parameters)

    @property
    def bounds(self) -> Bounds:
        """Table 1 by parameter, without the amplitude."""
        return table1_box(self.forward)

    def with_seed(self, seed: int | None) -> Self:
        """Return the recipe with another seed, or itself if that is None."""
        return self if seed is None else replace(self, seed=seed)

    def with_protocol(self, given: Mapping[str, list[float] | float]) -> Self:
        """Return the recipe for another protocol, given as some keys of `Acquisition`.

        Raises
        ------
        UsageError
            If the network is not one for a single protocol, or a key is not of its model.
        """
        chosen: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in given.items()
        }
        if chosen and self.mlp is None:
            raise UsageError(
                f"{', '.join(chosen)} given for {self.name}, which is for any protocol",
                field="RECIPE",
                needed="mlp-vfa, mlp-ivim or mlp-dce",
            )
        changed = replace(self, acquisition=replace(self.acquisition, **chosen))
        changed.require_protocol()
        return changed

    def require_protocol(self) -> None:
        """Refuse a protocol that has not what this network needs, or more.

        Raises
        ------
        UsageError
            Naming the keys.
        """
        needed = set() if self.mlp is None else {MEASUREMENTS[self.model]}
        needed |= {"repetition_time"} if self.model == "vfa" else set()
        given = {key for key, value in asdict(self.acquisition).items() if value}
        require_keys(given, needed, needed, "acquisition.")

    def digest(self) -> str:
        """Return a hash of all values."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def is_study(text: str) -> bool:
    """Return whether a recipe is one of a network of the study."""
    return not {"ncde", "mlp"}.isdisjoint(load_toml(text))


def parse_study(text: str) -> StudyRecipe:
    """Read and check a recipe.

    Raises
    ------
    UsageError
        If the text is not TOML, a key is unknown or missing, or a value is of the wrong kind.
    """
    table = read_table(text)
    known = {item.name for item in fields(StudyRecipe)}
    network = {"ncde", "mlp"} & set(table)
    require_keys(set(table), known, known - {"ncde", "mlp"} | (network or {"ncde"}), "")
    if len(network) > 1:
        raise UsageError("both ncde and mlp", field="recipe", needed="one of them")
    sections: dict[str, type] = {
        "curves": Curves,
        "loss": LossWeights,
        "acquisition": Acquisition,
        "training": Schedule,
        "ncde": NcdeOptions,
        "mlp": MlpOptions,
    }
    built: dict[str, Any] = {
        key: build(sections[key], value, key) if key in sections else value for key, value in table.items()
    }
    for key, kind in (("name", str), ("description", str), ("seed", int)):
        built[key] = checked(built[key], kind, key)
    recipe = StudyRecipe(**built)
    recipe.require_protocol()
    return recipe
