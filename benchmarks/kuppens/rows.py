"""The estimators of the benchmark by name; networks that do not exist (yet) are left out and named."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import FitResult
from bids_qmri.estimators.classical.lsq import Lsq
from bids_qmri.estimators.networks import coverage
from bids_qmri.estimators.networks.features import make_features
from bids_qmri.estimators.networks.ncde import BOX_ANCHOR, Ncde
from bids_qmri.estimators.networks.network_file import load_network, read_card, shipped_network
from bids_qmri.estimators.posterior.bayes import Bayes
from bids_qmri.estimators.posterior.box import box, quantities
from bids_qmri.estimators.posterior.map import Map
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.units import FloatArray

TECHNIQUE = {"vfa": "vfa", "ivim": "ivim", "etofts": "dce"}
"""How recipes call the technique of a model."""

STUDY = "kuppens2025"
STUDY_CURVES = 500
"""Its adaptive solver is slow."""

CONTROLS = ("ncde-alone", "mlp-anchor", STUDY, "mlp")
"""Recipes other than the shipped one, without their technique."""

MEANING = {
    "lsq": "least squares within the limits",
    "constant": "middle of the range",
    "map": "maximum of the posterior, the anchor of the networks",
    "bayes": "posterior mean, the least mean squared error that any estimator can have on average",
    "bayes-exact": "the same by grids, for some curves: checks `bayes`, which is this for VFA",
    "ncde": "the shipped network",
    "ncde-alone": "the shipped architecture without the anchor",
    "mlp-anchor": "the shipped architecture without the path",
    "kuppens2025": "the network of the study",
    "mlp": "the study's multilayer perceptron for one protocol",
}

Fit = Callable[..., FitResult | None]
"""model, signal (V, N), protocol, sigma=, bounds= -> estimates, or None for a protocol it is not made for."""


@dataclass(frozen=True)
class Row:
    """One estimator.

    Parameters
    ----------
    name, fit
        What it is called and does.
    slow
        It is asked for very few curves, and not in every section.
    most
        Curves per SNR of a cell, or of a timed call, that it is asked for.
    """

    name: str
    fit: Fit
    slow: bool = False
    most: int = sys.maxsize


def rows_of(model: str, networks: Path | None, *, seeds: bool = False) -> list[Row]:
    """Return the estimators that exist for a model.

    Parameters
    ----------
    model
        Word of ``--models``.
    networks
        Folder of networks with their cards, named by their recipes.
    seeds
        With the shipped recipe trained from other seeds.
    """
    rows = [Row("lsq", Lsq().fit), Row("constant", middle), Row("map", Map().fit), Row("bayes", Bayes().fit)]
    if model != "vfa":
        rows.append(Row("bayes-exact", Bayes(exact=True).fit, slow=True))
    if _candidate(model, networks) is None and shipped_network(model) is not None:
        rows.append(Row("ncde", Ncde().fit))
    return rows + [_row(path, model) for path in _files(model, networks, seeds)]


def missing(model: str, networks: Path | None) -> list[str]:
    """Return the networks that there should be and are not."""
    found = {row.name for row in rows_of(model, networks)}
    return [f"{name}-{TECHNIQUE[model]}" for name in ("ncde", *CONTROLS) if name not in found]


def cards(networks: Path | None) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the cards of all networks by row and model."""
    found = {}
    for model in TECHNIQUE:
        files = _files(model, networks, seeds=True)
        shipped = shipped_network(model)
        if _candidate(model, networks) is None and shipped is not None:
            files.insert(0, shipped)
        found |= {(_row_name(file, model), model): read_card(file) for file in files}
    return found


def seeds_of(model: str, networks: Path | None) -> list[str]:
    """Return the rows of the shipped recipe trained with other seeds."""
    return [row.name for row in rows_of(model, networks, seeds=True) if row.name.startswith("ncde-seed")]


def middle(
    model: Model,
    signal: FloatArray,
    protocol: Any,
    *,
    sigma: FloatArray | None = None,
    bounds: Bounds | None = None,
) -> FitResult:
    """Answer the prior mean everywhere, with the standard deviation of the prior."""
    lower, upper = box(model, bounds)
    maps = {
        q: np.full(len(signal), (a + b) / 2) for q, a, b in zip(quantities(model), lower, upper, strict=True)
    }
    sd = {
        q: np.full(len(signal), (b - a) / np.sqrt(12))
        for q, a, b in zip(quantities(model), lower, upper, strict=True)
    }
    if "ktrans" in maps:
        maps["ktrans"] = maps["kep"] * maps["ve"]
    return FitResult(maps, sd)


def _candidate(model: str, networks: Path | None) -> Path | None:
    """Return the network of the folder that stands in for the shipped one."""
    file = None if networks is None else networks / f"ncde-{TECHNIQUE[model]}.onnx"
    return file if file is not None and file.is_file() else None


def _files(model: str, networks: Path | None, seeds: bool) -> list[Path]:
    """Return the networks of the folder, each by the name that it has beside its card."""
    if networks is None:
        return []
    technique = TECHNIQUE[model]
    names = [f"{name}-{technique}.json" for name in ("ncde", *CONTROLS)]
    if seeds:
        names += sorted(p.name for p in networks.glob(f"ncde-{technique}-seed*.json"))
    return [networks / Path(name).with_suffix(".onnx") for name in names if (networks / name).is_file()]


def _row(path: Path, model: str) -> Row:
    if path.stem.startswith(STUDY):
        return Row(STUDY, partial(_of_study, path), most=STUDY_CURVES)
    return Row(_row_name(path, model), partial(_from_file, path))


def _row_name(path: Path, model: str) -> str:
    return path.stem.replace(f"-{TECHNIQUE[model]}", "")


def _from_file(
    path: Path, model: Model, signal: FloatArray, protocol: Any, *, sigma: FloatArray, bounds: Bounds
) -> FitResult | None:
    """Estimate by a network of a folder; one for a single protocol is asked for that protocol alone."""
    network = load_network(path, model)
    if "protocol" in network.card:
        try:
            coverage.require_same(path.name, network.card["protocol"], protocol)
        except InputError:
            return None
    features = make_features(model, signal, protocol, sigma=sigma, bounds=bounds)
    shift, spread = network.run(features.path, features.context)
    anchored = network.card["anchor"] == "map"
    centre, width = (features.centre, features.width) if anchored else BOX_ANCHOR
    lower, upper = (limit[:, None] for limit in box(model, bounds))
    values = lower + (upper - lower) * np.clip(centre + width * shift.T.astype(np.float64), 0.0, 1.0)
    sd = (upper - lower) * width * spread.T.astype(np.float64)
    for array in (values, sd):
        array[:, ~features.usable] = np.nan
    names = quantities(model)
    return FitResult(dict(zip(names, values, strict=True)), dict(zip(names, sd, strict=True)))


def _of_study(
    path: Path, model: Model, signal: FloatArray, protocol: Any, *, sigma: FloatArray, bounds: Bounds
) -> FitResult | None:
    """Estimate by the network of the study, which knows neither noise nor limits, where it can."""
    try:
        return FitResult(_study(path)(signal, protocol))
    except InputError:
        return None


@cache
def _study(path: Path) -> Any:
    # Here, because it imports torch, which the other networks do without.
    from kuppens.study_network import load

    return load(path.parent, path.stem)
