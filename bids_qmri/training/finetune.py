"""Fine-tuning: a trained network goes on learning from measured voxels, and forgets nothing.

As Kuppens et al., doi:10.48550/arXiv.2412.20844, section 2.4.2: measured and simulated voxels 6 : 1 in every
batch, measured ones by a physics-informed loss alone, learning rate 2.5e-5 with halvings, parts of protocols
by Table 2. The epoch is kept that predicts held-out voxels of the same participants best, of those that are
as good as the start on simulations; the start is one of them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bids_qmri.errors import InputError
from bids_qmri.physics.protocol import IntArray
from bids_qmri.training.loop import update
from bids_qmri.training.measured import MeasuredScan, draw_part, lengths_of
from bids_qmri.training.physics_loss import Target
from bids_qmri.training.pool import Pool, Rows
from bids_qmri.training.progress import progress
from bids_qmri.training.recipe import Recipe
from bids_qmri.training.run import mean_loss
from bids_qmri.training.schedules import Batches, halvings
from bids_qmri.training.start import Start

LOGGER = logging.getLogger("bids_qmri")

FORGOTTEN = 1.05
"""Error on simulations over that of the start, beyond which a network has forgotten."""

MODULES = {"features": "bids_qmri.training.tuning_features", "signals": "bids_qmri.training.tuning_study"}
"""What differs between networks, by the rows that they read."""


@dataclass(frozen=True)
class Tuning:
    """How a network is tuned.

    Parameters
    ----------
    epochs, batches
        At most so many epochs, of so many batches each.
    measured, simulated
        Voxels in a batch.
    rate, halved
        Learning rate, and epochs of the study at which it is halved, whose schedule is compressed to the run.
    target
        Measurements that the loss of measured voxels is taken over (`physics_loss`).
    parts, voxels
        Parts of the protocol of a scan that are drawn, and voxels of each.
    groups, held_out
        Groups of simulated curves to tune with, and to stop and be judged by.
    stop_share
        Share of the voxels of a scan that are held out to stop by.
    patience
        Epochs without a better one after which it ends.
    margin
        Share of `FORGOTTEN`, on simulations to stop by, that the one that is kept may use: others judge it.
    """

    epochs: int
    batches: int
    measured: int
    simulated: int
    target: Target
    rate: float = 2.5e-5
    halved: tuple[int, ...] = (250, 350, 450, 550, 650)
    parts: int = 48
    voxels: int = 800
    groups: int = 400
    held_out: int = 60
    stop_share: float = 0.2
    patience: int = 10
    margin: float = 0.6


TUNINGS = {
    "features": Tuning(epochs=40, batches=50, measured=768, simulated=128, target="rest"),
    # an adaptive solver is slow: fewer voxels to stop by, and fewer epochs
    "signals": Tuning(
        epochs=8, batches=100, measured=54, simulated=9, target="read", parts=16, voxels=400, held_out=2
    ),
}
"""By the rows that networks read: of this package, and as the study."""


@dataclass(frozen=True, eq=False)
class Part:
    """Voxels of a scan as a network reads them from some of its measurements.

    Parameters
    ----------
    scan
        These voxels with all measurements.
    kept
        Numbers of those that were read.
    rows
        What the network reads.
    """

    scan: MeasuredScan
    kept: IntArray
    rows: Rows

    def take(self, voxels: IntArray) -> Part:
        """Return some of the voxels."""
        return Part(self.scan.take(voxels), self.kept, self.rows.take(voxels))


@dataclass(frozen=True)
class Epoch:
    """Losses after an epoch, 0 is the start.

    Parameters
    ----------
    measured
        Mean physics-informed loss of its batches; NaN for the start.
    stop
        The same of voxels held out.
    simulated
        Errors on simulations over those of the start: ``loss``, and the mean square by quantity.
    """

    number: int
    measured: float
    stop: float
    simulated: dict[str, float]

    def remembers(self, limit: float) -> bool:
        """Tell whether nothing exceeds the start by more than a limit."""
        return all(ratio <= limit for ratio in self.simulated.values())


@dataclass(frozen=True, eq=False)
class Simulations:
    """Simulated voxels to tune with, to stop by, and to be judged by; all networks of a study share them."""

    tune: Pool
    stop: Pool
    judge: Pool


@dataclass(frozen=True, eq=False)
class Tuned:
    """A tuned network, the epoch that was kept, all epochs, and the errors on simulations that judge it."""

    network: nn.Module
    kept: Epoch
    epochs: tuple[Epoch, ...]
    simulated: dict[str, float]
    known: Simulations


def simulations(recipe: Recipe, how: Tuning, processes: int = 1) -> Simulations:
    """Simulate by the recipe of a network what it has not seen."""
    return Simulations(*kind_of(recipe).simulated(recipe, how.groups, how.held_out, processes))


def kind_of(recipe: Recipe) -> Any:
    """Return the module of what differs between networks."""
    return import_module(MODULES[recipe.data.rows])


def tune(
    start: Start,
    scans: Sequence[MeasuredScan],
    known: Simulations,
    how: Tuning,
    seed: Sequence[int],
) -> Tuned:
    """Tune a network on measured voxels.

    Parameters
    ----------
    start
        The network, which stays as it is.
    scans
        Of the participants to tune with.
    known
        Simulated voxels.
    how
        Options.
    seed
        Of all that is random.

    Raises
    ------
    InputError
        If no voxel can be read, or what was kept has forgotten.
    """
    recipe, rng = start.recipe, np.random.default_rng(seed)
    tuned, stop = parts_of(recipe, scans, how, rng)
    _require_parts(recipe, tuned, stop)
    network = deepcopy(start.network)
    torch.manual_seed(recipe.seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=how.rate, fused=True)
    batches = Batches(known.tune, how.simulated, recipe.seed)
    supervised = import_module(recipe.network.module).loss(recipe, 1)
    before = errors(recipe, network, known.stop)
    epochs = [Epoch(0, math.nan, mean_of(recipe, network, stop, how), ratios(before, before))]
    best, kept = deepcopy(network.state_dict()), epochs[0]
    share = how.measured / (how.measured + how.simulated)
    limit = 1.0 + (FORGOTTEN - 1.0) * how.margin
    for number in progress(range(1, how.epochs + 1), how.epochs, "tuning, epochs"):
        seen = []
        network.train()
        for step in range((number - 1) * how.batches, number * how.batches):
            measured = loss_of(recipe, network, _batch(tuned, how.measured, rng), how)
            value = share * measured + (1.0 - share) * supervised(network, batches(step), 1)
            halved = halvings(how.halved, step, how.epochs * how.batches)
            update(network, value, optimiser, how.rate * 0.5**halved, 1.0)
            seen.append(measured.item())
        network.eval()
        simulated = ratios(errors(recipe, network, known.stop), before)
        here = Epoch(number, float(np.mean(seen)), mean_of(recipe, network, stop, how), simulated)
        epochs.append(here)
        if here.stop < kept.stop and here.remembers(limit):
            best, kept = deepcopy(network.state_dict()), here
        if number - kept.number >= how.patience:
            break
    network.load_state_dict(best)
    judged = ratios(errors(recipe, network, known.judge), errors(recipe, start.network, known.judge))
    found = Tuned(network, kept, tuple(epochs), judged, known)
    require_remembered(start, found)
    return found


def _require_parts(recipe: Recipe, *parts: Sequence[Part]) -> None:
    """Refuse scans of which no voxel can be read and judged."""
    if all(parts):
        return
    least = max(kind_of(recipe).least_measurements(recipe), len(recipe.forward.parameters))
    raise InputError(
        f"no scan of {recipe.model} to tune with has voxels that can be read, and measurements to spare",
        needed=f"scans of more than {least} different measurements",
        fix="take other participants, or use the network as it is",
    )


def require_remembered(start: Start, found: Tuned) -> None:
    """Refuse a network that has forgotten.

    Raises
    ------
    InputError
        Naming what is worse than before.
    """
    for name, ratio in found.simulated.items():
        if not ratio <= FORGOTTEN:
            raise InputError(
                f"the tuned network has {ratio:.3f} of the error of the start on simulations",
                file=start.file,
                field=name,
                needed=f"at most {FORGOTTEN:g}",
                fix="use the network as it is",
            )


def parts_of(
    recipe: Recipe, scans: Sequence[MeasuredScan], how: Tuning, rng: np.random.Generator
) -> tuple[list[Part], list[Part]]:
    """Draw parts of protocols and voxels, to tune with and, of other voxels, to stop by."""
    kind, model = kind_of(recipe), recipe.forward
    least = kind.least_measurements(recipe)
    found: tuple[list[Part], list[Part]] = [], []
    for scan in scans:
        order = rng.permutation(len(scan.signal))
        held_out = round(how.stop_share * order.size)
        lengths = lengths_of(model, scan.protocol, least)
        if how.target == "rest" and len(lengths) == 1:
            LOGGER.warning("%s is left out: none of its measurements can be kept from the network", scan.scan)
            continue
        for number in range(how.parts):
            # Of the whole nothing is left to predict.
            last = lengths[-1] if how.target != "rest" else lengths[-2]
            count = int(rng.integers(lengths[0], last + 1))
            kept = draw_part(model, scan.protocol, count, least, rng)
            for place, voxels in enumerate((order[held_out:], order[:held_out])):
                some = scan.take(np.sort(rng.permutation(voxels)[: how.voxels // (1 + 3 * place)]))
                rows, usable = kind.read(recipe, some.only(kept))
                if usable.size and (place == 0 or number % 2 == 0):
                    found[place].append(Part(some.take(usable), kept, rows))
    return found


def _batch(parts: Sequence[Part], size: int, rng: np.random.Generator) -> Part:
    part = parts[int(rng.integers(len(parts)))]
    return part.take(np.sort(rng.permutation(len(part.rows))[:size]))


def loss_of(recipe: Recipe, network: nn.Module, part: Part, how: Tuning) -> Tensor:
    """Return the physics-informed loss of a part."""
    found: Tensor = kind_of(recipe).loss(recipe, network, part.rows, part.scan, part.kept, how.target)
    return found


def mean_of(recipe: Recipe, network: nn.Module, parts: Sequence[Part], how: Tuning) -> float:
    """Return the mean physics-informed loss of parts."""
    with torch.inference_mode():
        return float(np.mean([loss_of(recipe, network, part, how).item() for part in parts]))


def errors(recipe: Recipe, network: nn.Module, pool: Pool) -> dict[str, float]:
    """Return the mean loss on simulations, ``loss``, and the mean squared error by quantity."""
    parts = import_module(recipe.network.module)
    found = {"loss": mean_loss(network, pool, parts.loss(recipe, 1), 1)}
    table = parts.accuracy(recipe, network, pool)
    return found | {k: v["mse_over_prior"] for k, v in table.items() if isinstance(v, dict)}


def ratios(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    """Return errors over errors before."""
    return {name: after[name] / value for name, value in before.items()}
