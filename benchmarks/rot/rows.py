"""The estimators of the benchmark by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bids_qmri.errors import InputError
from bids_qmri.estimators.networks.network_file import shipped_network
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.techniques.noddi import scheme_network
from bids_qmri.techniques.noddi.fit import NoddiLsq, NoddiMle
from bids_qmri.techniques.noddi.model import NODDI
from bids_qmri.techniques.noddi.ncde import NoddiNcde
from bids_qmri.techniques.noddi.shell_noise import shell_sigma
from bids_qmri.units import FloatArray

QUANTITIES = ("ndi", "odi", "fwf")
SYMBOL = {"ndi": "NDI", "odi": "ODI", "fwf": "FWF"}

MEANING = {
    "lsq": "least squares, to which the toolbox's default comes down (it divides sigma by 100)",
    "mle": "Rician likelihood, true sigma",
    "mle, sigma estimated": "the same, sigma from the scan",
    "nnmle": "network of the paper, labels of `lsq`",
    "nngt": "network of the paper, labels of the truth",
    "composite": "network of the paper, half of each label",
    "ncde": "the protocol-agnostic network, true sigma",
    "ncde, sigma estimated": "the same, sigma from the scan",
    "constant": "middle of the range",
}

Maps = dict[str, FloatArray]
Fit = Callable[[FloatArray, DiffusionProtocol, float], Maps]
"""Signals (V, N), protocol, true sigma -> maps of `QUANTITIES`, each (V,)."""


@dataclass(frozen=True)
class Row:
    """An estimator by the name that tables give it."""

    name: str
    fit: Fit


def rows_for(protocol: DiffusionProtocol, networks: Path | None) -> list[Row]:
    """Return the estimators that there are for a protocol.

    Parameters
    ----------
    protocol
        Networks for one scheme are left out where it is another one.
    networks
        Folder of what ``bids_qmri-train noddi`` writes, beside the shipped files.
    """
    rows = [
        Row("lsq", _least_squares),
        Row("mle", _likelihood),
        Row("mle, sigma estimated", _estimated(_likelihood)),
        *(Row(name, partial(_scheme, file)) for name, file in _scheme_networks(protocol, networks).items()),
    ]
    if shipped_network("noddi") is not None:
        rows += [Row("ncde", _agnostic), Row("ncde, sigma estimated", _estimated(_agnostic))]
    return [*rows, Row("constant", _middle)]


def _scheme_networks(protocol: DiffusionProtocol, networks: Path | None) -> dict[str, Path]:
    """Return the networks whose scheme this is by their labels, shipped ones first."""
    shipped = (scheme_network.shipped_scheme_network(label) for label in ("nnmle", "nngt"))
    files = [file for file in shipped if file is not None]
    files += [] if networks is None else sorted(networks.glob("noddi-*.onnx"))
    found: dict[str, Path] = {}
    for file in files:
        network = scheme_network.load_scheme_network(file)
        try:
            scheme_network.require_fit(network, NODDI, protocol)
        except InputError:
            continue
        kind = network.card["labels"]["kind"]
        found.setdefault(kind if kind == "composite" else f"nn{kind}", file)
    return found


def _least_squares(signal: FloatArray, protocol: DiffusionProtocol, sigma: float) -> Maps:
    return NoddiLsq().fit(NODDI, signal, protocol, sigma=sigma).maps


def _likelihood(signal: FloatArray, protocol: DiffusionProtocol, sigma: float) -> Maps:
    return NoddiMle().fit(NODDI, signal, protocol, sigma=sigma).maps


def _agnostic(signal: FloatArray, protocol: DiffusionProtocol, sigma: float) -> Maps:
    return NoddiNcde().fit(NODDI, signal, protocol, sigma=sigma).maps


def _scheme(file: Path, signal: FloatArray, protocol: DiffusionProtocol, _: float) -> Maps:
    return scheme_network.SchemeOnnx(network=file).fit(NODDI, signal, protocol).maps


def _middle(signal: FloatArray, *_: object) -> Maps:
    return {name: np.full(len(signal), 0.5) for name in QUANTITIES}


def _estimated(fit: Fit) -> Fit:
    """Return the estimator that is not told sigma; that of all signals is estimated once."""
    return lambda signal, protocol, _: fit(signal, protocol, shell_sigma(signal, protocol, NODDI.d_par))
