"""Wall time of the networks on a whole brain, beside the matrix products that a network for one scheme is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bids_qmri.estimators.networks.network_file import shipped_network
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.noise import add_rician_noise
from bids_qmri.techniques.noddi.model import NODDI, noddi_signal
from bids_qmri.techniques.noddi.ncde import NoddiNcde
from bids_qmri.techniques.noddi.scheme_network import SchemeOnnx, shipped_scheme_network

VOXELS, THREADS, REPEATS, BLOCK = 400_000, 2, 3, 4096
LAYERS = (120, 120, 120, 3)


@dataclass(frozen=True)
class Timed:
    """Seconds of the best of several runs."""

    name: str
    seconds: float


def measure(protocol: DiffusionProtocol, voxels: int = VOXELS) -> list[Timed]:
    """Time the networks that there are on signals of float32, (voxels, N)."""
    rng = np.random.default_rng(0)
    part = 20_000
    truth = rng.uniform([0.0, 0.01, 0.0], [1.0, 1.0, 0.9], (part, 3)).T
    fibre = rng.standard_normal((part, 3))
    fibre /= np.linalg.norm(fibre, axis=1, keepdims=True)
    some = add_rician_noise(noddi_signal(*truth, fibre, protocol), 1 / 20, rng).T.astype(np.float32)
    signal = np.tile(some, (-(-voxels // part), 1))[:voxels]
    timed = [Timed("bare matrix products", _best(partial(_products, signal)))]
    for label in ("nnmle", "nngt"):
        file = shipped_scheme_network(label)
        if file is not None:
            fit = partial(SchemeOnnx(network=file, threads=THREADS).fit, NODDI, signal, protocol)
            timed.append(Timed(label, _best(fit)))
    if shipped_network("noddi") is not None:
        fit = partial(NoddiNcde(threads=THREADS).fit, NODDI, signal, protocol)
        timed.append(Timed("ncde", _best(fit)))
    return timed


def _products(signal: npt.NDArray[np.float32]) -> None:
    """Multiply by matrices of the network's shapes, in the same blocks on as many threads."""
    rng, sizes = np.random.default_rng(1), (signal.shape[1], *LAYERS)
    weights = [rng.standard_normal((a, b), dtype=np.float32) for a, b in pairwise(sizes)]

    def chain(first: int) -> None:
        x = signal[first : first + BLOCK]
        for weight in weights:
            x = x @ weight

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(chain, range(0, len(signal), BLOCK)))


def _best(call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def table(timed: list[Timed]) -> list[str]:
    """Return seconds, and multiples of the matrix products."""
    bare = timed[0].seconds
    lines = [
        f"{VOXELS:,} voxels of 81 images, {THREADS} threads of {os.cpu_count()} cores, best of {REPEATS}:",
        "",
        "| | s | ÷ matrix products |",
        "|---|---|---|",
    ]
    lines += [f"| {t.name} | {t.seconds:.2f} | {t.seconds / bare:.2f} |" for t in timed]
    return [*lines, ""]
