"""Networks for one diffusion scheme: NODDI parameters straight from normalised signals.

Rot et al., doi:10.48550/arXiv.2507.12632. The ONNX file holds its card in its metadata, key ``card``: scheme,
diffusivities, normalisation and outputs. Whatever a scan or a model has otherwise is refused, because a
network answers any input with plausible numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.estimators.base import Estimator, FitResult, Status
from bids_qmri.estimators.networks.network_file import (
    FORMAT,
    kept,
    read_card,
    read_weights,
    weights_folder,
)
from bids_qmri.estimators.networks.session import run_session, start_session
from bids_qmri.estimators.threads import in_threads
from bids_qmri.files import parse_json, require_object
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.limits import BOUND_TOLERANCE
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.noise import Noise
from bids_qmri.physics.prior import Prior
from bids_qmri.physics.protocol import Protocol
from bids_qmri.techniques.noddi.model import NODDI
from bids_qmri.techniques.noddi.scheme import IntArray, volumes_of
from bids_qmri.units import FloatArray

BLOCK_VOXELS = 4096
"""Voxels per block: their signals and the hidden layers stay in the processor's cache."""

QUANTITIES = {"ndi", "odi", "fwf"}
NORMALISATION = "mean b0"

TRAIN = (
    "train one for this scan: bids_qmri-train noddi --set scheme.bval=FILE scheme.bvec=FILE, and give it by "
    "--network"
)

SNR_FACTOR = 2.0
"""Ratio of signal-to-noise ratios beyond which what a network has learnt is not what a scan needs."""

SAME = 1e-3
"""Relative difference of diffusivities that is rounding."""


@dataclass(frozen=True, eq=False)
class SchemeNetwork:
    """A loaded network.

    Parameters
    ----------
    file
        The ONNX file.
    card
        What its metadata says.
    scheme
        b-values and directions of its inputs, in their order.
    session
        onnxruntime's; may be called from several threads at a time.
    """

    file: Path
    card: Mapping[str, Any]
    scheme: DiffusionProtocol
    session: Any

    def run(self, signal: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return outputs (V, 3), in the order of the card's quantities, of normalised signals (V, N)."""
        given = {self.session.get_inputs()[0].name: signal}
        return run_session(self.session, self.file, None, given, (len(signal), len(QUANTITIES)))[0]


def shipped_scheme_network(label: str) -> Path | None:
    """Return the ONNX file of ``nnmle`` or ``nngt`` for the scheme of the paper, None if none is shipped."""
    return next(weights_folder().glob(f"noddi-{label}-*.onnx"), None)


@kept
def load_scheme_network(file: Path) -> SchemeNetwork:
    """Load a network, once per process.

    Parameters
    ----------
    file
        The ONNX file. A card beside it (suffix ``.json``) is not needed; if it is there, its hash must match.

    Raises
    ------
    InputError
        If onnxruntime cannot load the file, or its metadata do not say what is needed to use it.
    """
    beside = read_card(file) if file.with_suffix(".json").is_file() else {}
    session = start_session(file, beside, read_weights(file, beside.get("weights", {}).get("sha256")))
    try:
        card = parse_json(session.get_modelmeta().custom_metadata_map["card"])
        require_object(card)
    except (KeyError, ValueError) as error:
        raise _unfit(
            file, "metadata", f"no readable card ({error})", "a card as JSON, key 'card', see docs/models.md"
        ) from error
    network = SchemeNetwork(file, card, _scheme_of(file, card), session)
    _check(network)
    return network


def _unfit(file: Path, field: str, seen: str, needed: str) -> InputError:
    return InputError(seen, file=file, field=field, needed=needed, fix=TRAIN)


def _scheme_of(file: Path, card: Mapping[str, Any]) -> DiffusionProtocol:
    """Return the scheme of a card."""
    needed = "bvals, bvecs and b0_threshold of the inputs"
    try:
        scheme = card["scheme"]
        return DiffusionProtocol(scheme["bvals"], scheme["bvecs"], b0_threshold=float(scheme["b0_threshold"]))
    except (KeyError, TypeError, ValueError, InputError) as error:
        raise _unfit(file, "scheme", f"cannot be used ({error})", needed) from error


def _check(network: SchemeNetwork) -> None:
    """Compare the card with what is understood here, and with the sizes of input and output."""
    card, file = network.card, network.file
    expected = {"format": FORMAT, "model": "noddi", "normalisation": NORMALISATION}
    for field, needed in expected.items():
        if card.get(field) != needed:
            raise _unfit(file, field, f"is {card.get(field)!r}", str(needed))
    names = card.get("quantities")
    if not isinstance(names, list) or len(names) != len(QUANTITIES) or set(names) != QUANTITIES:
        raise _unfit(file, "quantities", f"are {names!r}", "odi, ndi and fwf in the order of the outputs")
    for field in ("d_par", "d_iso"):
        if not isinstance(card.get(field), float):
            raise _unfit(file, field, f"is {card.get(field)!r}", "a diffusivity in mm^2/s")
    ends = (*network.session.get_inputs(), *network.session.get_outputs())
    seen = [end.shape[1:] for end in ends]
    sizes = [[network.scheme.n_measurements], [len(QUANTITIES)]]
    if seen != sizes:
        raise _unfit(file, "inputs and outputs", f"have sizes {seen} per voxel", f"{sizes}")


def require_fit(network: SchemeNetwork, model: Model, protocol: DiffusionProtocol) -> IntArray:
    """Return the volume of a scan for every input of a network.

    Raises
    ------
    InputError
        Naming what of the scan or the model is not what the network was trained for.
    """
    volumes = volumes_of(network.scheme, protocol, f"use ncde or lsq, or {TRAIN}")
    name = network.card.get("name", network.file.stem)
    for field in ("d_par", "d_iso"):
        asked, trained = getattr(model, field), network.card[field]
        if abs(asked - trained) > SAME * trained:
            raise InputError(
                f"{asked:g} mm^2/s is asked for",
                field=field,
                needed=f"{trained:g} mm^2/s, which the network {name} was trained with",
                fix=f"ask for {trained:g}, or {TRAIN}",
            )
    return volumes


@dataclass(frozen=True)
class SchemeOnnx(Estimator):
    """A network for one diffusion scheme: that of the scan, but for order and rotation.

    Maps ``ndi``, ``odi``, ``fwf`` and ``s0`` (mean at b = 0). The networks know neither standard deviation
    nor direction: `sd` is empty and `residual` NaN. Voxels that are not positive at b = 0 are UNUSABLE.
    Neither noise level nor limits are used: the network knows the noise of its training alone (`remarks`),
    and its answers lie between 0 and 1.

    Parameters
    ----------
    network
        ONNX file.
    threads
        Blocks of voxels that are computed at a time.
    """

    label = "onnx"
    description = "Fully connected neural network for one set of diffusion weightings, given by the user."
    reference = "Rot et al. 2025, doi:10.48550/arXiv.2507.12632"
    needs_file = True
    own_limits = True

    network: Path | None = None
    threads: int = 1

    def network_file(self, model: Model) -> Path:
        """Return the network that was given, else the shipped one.

        Raises
        ------
        InputError
            If there is none.
        """
        file = self.network or shipped_scheme_network(self.label)
        if file is None:
            raise InputError(
                "no such network comes with this package",
                field=f"--estimators {self.label}",
                needed="ncde, lsq, mle, or a network of your own",
                fix=TRAIN,
            )
        return file

    def prepare(self, model: Model, protocol: Protocol) -> None:
        """Refuse a protocol, or diffusivities, that the network was not trained for."""
        assert isinstance(protocol, DiffusionProtocol)
        require_fit(load_scheme_network(self.network_file(model)), model, protocol)

    def expected(self, model: Model) -> DiffusionProtocol:
        """Return the only protocol that it can be used for."""
        return load_scheme_network(self.network_file(model)).scheme

    def remarks(self, maps: Mapping[str, FloatArray], sigma: float | None) -> tuple[str, ...]:
        if sigma is None:
            return ()
        return noise_notes(self.network or self.network_file(NODDI), maps["s0"], sigma)

    def _fit(
        self,
        model: Model,
        signal: npt.ArrayLike,
        protocol: Protocol,
        noise: Noise | None,
        bounds: Bounds | None,
        prior: Prior,
    ) -> FitResult:
        loaded = load_scheme_network(self.network_file(model))
        assert isinstance(protocol, DiffusionProtocol)
        volumes = require_fit(loaded, model, protocol)
        data = np.asarray(signal)
        values, s0 = np.empty((len(QUANTITIES), len(data))), np.empty(len(data))
        usable = np.empty(len(data), dtype=np.bool_)
        work = partial(_estimate, loaded, volumes, data, values, s0, usable)
        list(in_threads(work, range(0, len(data), BLOCK_VOXELS), self.threads))
        at_bound = np.any(np.abs(values - 0.5) >= 0.5 - BOUND_TOLERANCE, axis=0)
        status = np.where(at_bound, Status.AT_BOUND, Status.OK).astype(np.uint8)
        status[~usable] = Status.UNUSABLE
        values[:, ~usable] = s0[~usable] = np.nan
        maps = dict(zip(loaded.card["quantities"], values, strict=True)) | {"s0": s0}
        return FitResult(
            {name: maps[name] for name in ("ndi", "odi", "fwf", "s0")},
            residual=np.full(len(data), np.nan),
            status=status,
        )


@dataclass(frozen=True)
class NnMle(SchemeOnnx):
    """The shipped network that was trained on the parameters of a fit, for the scheme of the paper."""

    label = "nnmle"
    description = (
        "Fully connected neural network for one set of diffusion weightings, trained on simulated signals "
        "with the parameters that a fit finds in them."
    )
    needs_file = False


@dataclass(frozen=True)
class NnGt(SchemeOnnx):
    """The shipped network that was trained on true parameters, for the scheme of the paper."""

    label = "nngt"
    description = (
        "Fully connected neural network for one set of diffusion weightings, trained on simulated signals "
        "with their true parameters."
    )
    needs_file = False


def noise_notes(network: Path, s0: FloatArray, sigma: float | FloatArray) -> tuple[str, ...]:
    """Return what to say about the noise of a scan, if it is not that of training in most voxels.

    Parameters
    ----------
    network
        ONNX file.
    s0
        Mean at b = 0 of all voxels that were estimated, (V,): those of a block may be unlike the others.
    sigma
        Noise standard deviation of a single image in the same unit, one number or (V,).
    """
    card = load_scheme_network(network).card
    low, high = card.get("coverage", {}).get("snr", (0.0, np.inf))
    with np.errstate(all="ignore"):
        snr = s0 / sigma
    known = np.isfinite(snr)
    other = (snr[known] < low / SNR_FACTOR) | (snr[known] > high * SNR_FACTOR)
    if np.count_nonzero(other) <= 0.5 * np.count_nonzero(known):
        return ()
    return (
        f"{card.get('name')} was trained with a signal-to-noise ratio of {high:g} at b = 0; that of "
        f"most voxels differs by more than a factor of {SNR_FACTOR:g}: expect bias, or train one with "
        "--set data.snr=…",
    )


def _estimate(
    network: SchemeNetwork,
    volumes: IntArray,
    data: npt.NDArray[Any],
    values: FloatArray,
    s0: FloatArray,
    usable: npt.NDArray[np.bool_],
    first: int,
) -> None:
    """Fill in what the network says about the block of voxels from `first` on."""
    part = slice(first, first + BLOCK_VOXELS)
    block = data[part].astype(np.float32)
    if not np.array_equal(volumes, np.arange(volumes.size)):
        block = block[:, volumes]
    mean = block[:, network.scheme.b0_mask].mean(axis=1)
    # A sum of finite numbers that are not huge is finite; one of anything else is not.
    fine = (mean > 0) & np.isfinite(block.sum(axis=1))
    block /= np.where(fine, mean, 1.0)[:, None]
    answer = network.run(block).T
    # Fractions beyond 0 ... 1, or no numbers, are no estimates.
    fine &= np.all((answer >= -BOUND_TOLERANCE) & (answer <= 1 + BOUND_TOLERANCE), axis=0)
    values[:, part] = np.clip(answer, 0.0, 1.0)
    s0[part], usable[part] = mean, fine
