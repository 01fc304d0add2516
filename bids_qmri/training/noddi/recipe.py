"""Recipes of networks for any multi-shell protocol: what is simulated, and which network learns from it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from bids_qmri.training.boxes import Range
from bids_qmri.training.noddi.schemes import SchemeRanges
from bids_qmri.training.recipe import (
    NetworkOptions,
    TrainingOptions,
    build,
    checked,
    load_toml,
    require_keys,
)


@dataclass(frozen=True)
class SignalOptions:
    """What signals are simulated.

    Parameters
    ----------
    schemes, validation_schemes
        Schemes drawn for training and for validation.
    voxels
        Voxels per scheme.
    snr
        Range of the signal-to-noise ratio at b = 0, log-uniform per voxel.
    fwf_low, fwf_low_share
        The free-water fraction is uniform from 0 to 1, and in this share of voxels from 0 to `fwf_low`.
    sigma_error
        Standard deviation of the logarithm of the error of the sigma that the network is told.
    sigma_exact, sigma_unknown
        Shares of the schemes in which that sigma is exact, and in which there is none.
    d_par, d_iso
        Ranges of the diffusivities in mm^2/s where they are not those in vivo.
    diffusivity_share
        Share of the schemes with such diffusivities.
    """

    schemes: int
    validation_schemes: int
    voxels: int
    snr: Range
    fwf_low: float
    fwf_low_share: float
    sigma_error: float
    sigma_exact: float
    sigma_unknown: float
    d_par: Range
    d_iso: Range
    diffusivity_share: float


@dataclass(frozen=True)
class ShellRecipe:
    """One network: its name, and how to make it."""

    name: str
    model: str
    description: str
    seed: int
    signals: SignalOptions
    protocol: SchemeRanges
    network: NetworkOptions
    training: TrainingOptions

    def with_seed(self, seed: int | None) -> Self:
        """Return the recipe with another seed, or itself if that is None."""
        return self if seed is None else replace(self, seed=seed)

    def digest(self) -> str:
        """Return a hash of all values."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


_SECTIONS: dict[str, type] = {
    "signals": SignalOptions,
    "protocol": SchemeRanges,
    "network": NetworkOptions,
    "training": TrainingOptions,
}


def is_shell_recipe(text: str) -> bool:
    """Return whether a recipe is one of a network for any multi-shell protocol."""
    table = load_toml(text)
    return table.get("model") == "noddi" and "protocol" in table


def parse_shell_recipe(text: str) -> ShellRecipe:
    """Read and check a recipe.

    Raises
    ------
    UsageError
        If the text is not TOML, a key is unknown or missing, or a value is of the wrong kind.
    """
    built: dict[str, Any] = {
        key: build(_SECTIONS[key], value, key) if key in _SECTIONS else value
        for key, value in load_toml(text).items()
    }
    known = {item.name for item in fields(ShellRecipe)}
    require_keys(set(built), known, known, "")
    for key, kind in (("name", str), ("description", str), ("seed", int)):
        built[key] = checked(built[key], kind, key)
    return ShellRecipe(**built)
