"""From raw voxels to what a model explains: B1-scaled protocols, direction averages, concentrations.

One function per sequence family; each returns a `Preparation`, whose `convert` is called for every block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri.bids.acquisition import Acquisition, DceSettings
from bids_qmri.bids.b1 import load_b1
from bids_qmri.bids.images import Series, load_map, open_series
from bids_qmri.errors import InputError
from bids_qmri.estimators import lsq
from bids_qmri.estimators.base import Status
from bids_qmri.estimators.dipy_tensor import B_MAX_KURTOSIS, B_MAX_TENSOR, within
from bids_qmri.estimators.inputs import (
    SINGLE_IMAGES,
    baseline_frames,
    delay_limits,
    direction_average,
    limits_of,
    population_driven,
    require_signal,
)
from bids_qmri.estimators.multishell import FEWEST_DIRECTIONS, LOWEST_B, on_full_shells
from bids_qmri.estimators.network_file import require_shipped_network, summary
from bids_qmri.estimators.noise import residual_sigma
from bids_qmri.estimators.registry import NEED_NOISE, NETWORKS, SCHEME_NETWORKS, noddi_network
from bids_qmri.estimators.shell_noise import shell_sigma
from bids_qmri.interfaces.job import FitJob
from bids_qmri.interfaces.voxels import masked_blocks, mean_curve
from bids_qmri.models.base import Bounds
from bids_qmri.models.concentration import PLAUSIBLE_T1, signal_to_concentration
from bids_qmri.models.registry import NAMES, get_model
from bids_qmri.protocol import DceProtocol, DiffusionProtocol, Protocol, VfaProtocol
from bids_qmri.units import FloatArray

Voxels = npt.NDArray[np.intp]

Converter = Callable[[FloatArray, Voxels], tuple[FloatArray, Protocol]]

B_MAX = {"tensor": B_MAX_TENSOR, "dki": B_MAX_KURTOSIS}


@dataclass(frozen=True)
class Preparation:
    """How one acquisition's voxels become a fit's input.

    Parameters
    ----------
    convert
        Takes signals (v, N) and the indices of their voxels (v,); returns signals and their protocol.
    bounds
        Limits that replace the model's own.
    noise_is_common
        True if all voxels share the noise level of the scan; False where it varies (concentration).
    convert_for_noise
        Used instead of `convert` where the noise level is estimated; None takes `convert`.
    scan_noise
        Takes converted signals and their protocol, returns the noise level of the scan; None: residuals of
        the model's fits tell it.
    voxel_noise
        Takes converted signals and their protocol, returns the noise level of each voxel; None if the
        estimator does without one or all voxels share it.
    used
        What went into it, as sidecar fields.
    sources
        Further files that were read.
    notes
        Decisions a person should read.
    """

    convert: Converter
    bounds: Bounds | None = None
    noise_is_common: bool = True
    convert_for_noise: Converter | None = None
    scan_noise: Callable[[FloatArray, Any], float] | None = None
    voxel_noise: Callable[[FloatArray, Any], FloatArray] | None = None
    used: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def prepare(job: FitJob, series: Series, mask: npt.NDArray[np.bool_]) -> Preparation:
    """Choose the preparation for the job's sequence family.

    Parameters
    ----------
    job
        Acquisition, model and estimator.
    series
        The opened images.
    mask
        Voxels that will be fitted, shape (V,).
    """
    if job.acquisition.kind == "vfa":
        how = _vfa(job.acquisition, series, mask)
    elif job.model == "noddi":
        return _noddi(job)
    elif job.acquisition.kind == "dwi":
        how = _diffusion(job)
    else:
        how = _dce(job, series, mask)
    return _limited(job, how) if job.model in NAMES and not job.label.startswith("dipy") else how


def _limited(job: FitJob, how: Preparation) -> Preparation:
    """Add the limits of the estimator, and over them those that a person asked for; name the network."""
    used = dict(how.used)
    own: Path | None = None
    if job.label in NETWORKS:
        used["Network"] = summary(job.network or require_shipped_network(job.model))
        own = job.network
    bounds = limits_of(get_model(job.model), job.label, given=how.bounds or {}, network=own, asked=job.bounds)
    return replace(how, bounds=bounds or None, used=used)


def _vfa(acquisition: Acquisition, series: Series, mask: npt.NDArray[np.bool_]) -> Preparation:
    protocol = acquisition.protocol
    if not isinstance(protocol, VfaProtocol):
        raise InputError("has no flip angles", file=acquisition.images[0], field="FlipAngle")
    if acquisition.b1 is None:
        return Preparation(lambda signal, _: (signal, protocol), used={"B1Corrected": False})
    notes: list[str] = []
    b1 = load_b1(acquisition.b1, series, mask, notes)

    def convert(signal: FloatArray, voxels: Voxels) -> tuple[FloatArray, Protocol]:
        factor = b1[voxels]
        known = np.isfinite(factor)
        return np.where(known[:, None], signal, np.nan), protocol.with_b1(np.where(known, factor, 1.0))

    coverage = float(np.mean(np.isfinite(b1[mask])))
    used = {"B1Corrected": True, "B1Coverage": coverage, "B1Method": acquisition.b1.method}
    return Preparation(convert, used=used, sources=acquisition.b1.files, notes=tuple(notes))


def _diffusion(job: FitJob) -> Preparation:
    protocol = job.acquisition.protocol
    if not isinstance(protocol, DiffusionProtocol):
        raise InputError("has no b-values", file=job.acquisition.images[0], field="bval")
    highest = B_MAX.get(job.model, np.inf)
    left_out = int(np.sum(~within(protocol, highest)))
    notes = (
        f"{left_out} of {protocol.n_measurements} images left out of {job.model}, b above {highest:g} s/mm^2",
    )
    if job.model != "ivim":
        return Preparation(lambda signal, _: (signal, protocol), notes=notes if left_out else ())
    averaged = direction_average(protocol)

    def average(signal: FloatArray, _: Voxels) -> tuple[FloatArray, Protocol]:
        return averaged(signal)

    if job.label in SINGLE_IMAGES:
        # The noise is that of the averages: between directions, anisotropy would count as noise.
        return Preparation(
            lambda signal, _: (signal, protocol),
            convert_for_noise=average,
            used={"DirectionAverage": "none"},
        )
    return Preparation(average, used={"DirectionAverage": "geometric mean per b-value"})


def _noddi(job: FitJob) -> Preparation:
    protocol = job.acquisition.protocol
    if not isinstance(protocol, DiffusionProtocol):
        raise InputError("has no b-values", file=job.acquisition.images[0], field="bval")
    noise = partial(shell_sigma, d_par=job.diffusivities[0])
    how = Preparation(lambda signal, _: (signal, protocol), scan_noise=noise)
    if job.label in SCHEME_NETWORKS:
        file = noddi_network(job.label, job.network)
        has_card = file.with_suffix(".json").is_file()
        return replace(how, used={"Network": summary(file) if has_card else {"File": file.name}})
    if job.label != "ncde":
        return how
    kept, part = on_full_shells(protocol)
    left_out = (
        f"{protocol.n_measurements - kept.size} of {protocol.n_measurements} images left out of noddi ncde"
    )
    return replace(
        how,
        convert=lambda signal, _: (signal[:, kept], part),
        used={"Network": summary(require_shipped_network("noddi"))},
        notes=(f"{left_out}, on no shell of {FEWEST_DIRECTIONS} directions from b = {LOWEST_B:g} s/mm^2 up",)
        if kept.size < protocol.n_measurements
        else (),
    )


def _dce(job: FitJob, series: Series, mask: npt.NDArray[np.bool_]) -> Preparation:
    settings = job.acquisition.dce
    if settings is None:
        raise InputError("has no DCE settings", file=job.acquisition.images[0])
    curve = mean_curve(series, mask)
    require_signal(curve)
    baseline = baseline_frames(curve, settings.baseline_volumes)
    protocol, earlier = _driven(settings, baseline.stop)
    notes: list[str] = []
    native_t1, b1, sources = _native_t1(job, settings, series, mask, notes)

    def convert(signal: FloatArray, voxels: Voxels) -> tuple[FloatArray, Protocol]:
        curves = signal_to_concentration(
            signal,
            baseline,
            native_t1(voxels),
            flip_angle=settings.flip_angle * (1.0 if b1 is None else b1[voxels]),
            repetition_time=settings.repetition_time,
            relaxivity=settings.relaxivity,
        )
        return curves, protocol

    native = settings.t10 if isinstance(settings.t10, float) else list(sources)
    used = {"B1Corrected": b1 is not None, "BaselineVolumes": baseline.stop, "NativeT1": native}
    if b1 is not None:
        used["B1Coverage"] = float(np.mean(np.isfinite(b1[mask])))
    bounds = None if settings.aif.time is not None else delay_limits(job.label, earlier)
    return Preparation(
        convert,
        bounds=bounds,
        noise_is_common=False,
        voxel_noise=partial(residual_sigma, get_model(job.model), bounds=bounds)
        if job.label in NEED_NOISE
        else None,
        used=used,
        sources=sources,
        notes=tuple(dict.fromkeys(notes)),
    )


def _driven(settings: DceSettings, n_baseline: int) -> tuple[DceProtocol, float]:
    """Join frame times with the input; return also how long before the last baseline frame it starts."""
    if settings.aif.time is not None and settings.aif.plasma is not None:
        return DceProtocol(settings.time, settings.aif.time, settings.aif.plasma), 0.0
    return population_driven(settings.aif.name, settings.time, n_baseline, settings.hematocrit)


def _native_t1(
    job: FitJob, settings: DceSettings, series: Series, mask: npt.NDArray[np.bool_], notes: list[str]
) -> tuple[Callable[[Voxels], FloatArray], FloatArray | None, tuple[Path, ...]]:
    """Return native T1 by voxel, the relative transmit field if one is known, and the files behind both."""
    source, own = settings.t10, job.acquisition.b1
    b1 = None if own is None else load_b1(own, series, mask, notes)
    transmit = () if own is None else own.files
    if isinstance(source, float):
        return lambda voxels: np.full(voxels.size, source), b1, transmit
    if isinstance(source, Path):
        t1 = load_map(source, series)
        _require_seconds(source, float(np.nanmedian(t1[mask & (t1 > 0)])) if np.any(t1[mask] > 0) else 0.0)
        return lambda voxels: t1[voxels], b1, (source, *transmit)
    t1 = np.full(series.n_voxels, np.nan)
    with open_series(source.images, job.work_dir) as flips:
        how = _vfa(source, flips, mask)
        notes += how.notes
        for signal, voxels in masked_blocks(flips, mask):
            fit = lsq.fit(get_model("vfa"), *how.convert(signal, voxels))
            t1[voxels] = np.where(fit.status == Status.OK, fit.maps["t1"], np.nan)
    return lambda voxels: t1[voxels], b1, (*source.images, *how.sources, *transmit)


def _require_seconds(path: Path, median: float) -> None:
    """Refuse a T1 map whose typical value no tissue has in seconds."""
    if not PLAUSIBLE_T1[0] < median < PLAUSIBLE_T1[1]:
        raise InputError(
            f"median T1 inside the mask is {median:g}",
            file=path,
            needed=f"seconds, between {PLAUSIBLE_T1[0]:g} and {PLAUSIBLE_T1[1]:g}",
            way_out="divide a map in milliseconds by 1000",
        )
