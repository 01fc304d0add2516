"""From the files of an acquisition to what a fit needs beside its signals: read once for all fits of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation

from bids_qmri import catalogue
from bids_qmri.alignment.motion import Motion
from bids_qmri.bids.acquisition import Acquisition, FittedMap, ReadOptions
from bids_qmri.bids.b1 import load_anatomy, load_b1
from bids_qmri.bids.images import Series, load_map
from bids_qmri.bids.masks import MaskChoice
from bids_qmri.bids.regions import Regions, find_regions
from bids_qmri.bids.volumes import open_images
from bids_qmri.estimation.blocks import (
    Measured,
    fit_blocks,
    prior_sample,
    residuals_of,
    spread,
    wants_noise,
)
from bids_qmri.estimation.noise import (
    LEAST_PATCH_IMAGES,
    Air,
    ScanNoise,
    air_floor,
    combine,
    local_scatter,
    noise_of_map,
    patch_sigma,
)
from bids_qmri.estimation.preparation import Converter, Preparation, Scan, Voxels, prepare
from bids_qmri.estimation.prior import PriorChoice, PriorSample, choose_prior, sample_voxels
from bids_qmri.estimators.base import Estimator, Status, get_estimator
from bids_qmri.interfaces.accompanying import placed
from bids_qmri.interfaces.aligned import AlignedSeries, align_acquisition, cautions, with_turned_directions
from bids_qmri.interfaces.denoised import DenoisedSeries
from bids_qmri.interfaces.voxels import masked_blocks, mean_curve
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.prior import Prior
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

AIR_DISTANCE = 3
"""Voxels that air is away from the object, at least."""

BORDER = 8
"""Air is read from this part of the field of view on each side within the slice, where ghosts are least."""

AIR_SAMPLE = 20_000
"""Voxels of air that are enough."""

UNLIKE = 3.0
"""Ratio of stated noise and residuals beyond which one of them is likely wrong."""

PATCHES, PATCH_HALF = 150, 2
"""Patches of tissue that noise is sought in, and voxels from their middle to their faces."""


@dataclass(eq=False)
class OpenAcquisition:
    """The images of an acquisition, opened, with what all of its fits share.

    Parameters
    ----------
    acquisition, options
        What was found, and how files are read.
    series
        The opened images.
    choice
        The mask and where it came from.
    mask
        Voxels that are fitted, (V,).
    work_dir
        Scratch folder.
    stated
        Noise that a person states, or a map of it; None: it is found.
    seed
        By which voxels are drawn that a prior is learned from.
    threads
        Blocks of voxels that are fitted at a time where another acquisition is fitted first.
    denoised
        The series with its noise, if it was denoised.
    measured
        The images as they were measured.
    motion
        How far they moved, where that was measured.
    aligned
        The series as if they had not, if it was aligned.
    damaged
        Which slices of which images do not fit the others, (slices, N); None: nobody looked.
    shown
        Voxels by model that pages show the signals of, by why; filled by the first fit of each.
    """

    acquisition: Acquisition
    options: ReadOptions
    series: Series
    choice: MaskChoice
    mask: npt.NDArray[np.bool_]
    work_dir: Path
    notes: list[str] = field(default_factory=list)
    sources: list[Path] = field(default_factory=list)
    stated: ScanNoise | Path | None = None
    seed: int = 0
    threads: int = 1
    denoised: DenoisedSeries | None = None
    measured: Series = field(init=False)
    motion: Motion | None = None
    aligned: AlignedSeries | None = None
    damaged: npt.NDArray[np.bool_] | None = None
    shown: dict[str, dict[str, int]] = field(default_factory=dict)
    _noise: dict[Any, ScanNoise | None] = field(default_factory=dict)
    _priors: dict[Any, Prior] = field(default_factory=dict)
    _converted: dict[str, Converter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.measured = self.series

    def align(self, folder: Path, stack: ExitStack, threads: int) -> None:
        """Replace the series by its aligned one; the mask stays: air shows best where it was.

        Parameters
        ----------
        folder
            For the aligned series.
        stack
            Closes it.
        threads
            Of the alignment.
        """
        aligned = align_acquisition(self.acquisition, self.series, self.options, folder, self.notes, threads)
        if aligned is None:
            return
        stack.enter_context(aligned.series)
        self.aligned, self.series, self.motion = aligned, aligned.series, aligned.motion
        self.acquisition = with_turned_directions(self.acquisition, aligned)

    @cached_property
    def scan(self) -> Scan:
        """What is known of the scan beside its signals; reads maps, and fits those that are fitted."""
        maps: dict[str, FloatArray] = {}
        facts: dict[str, Any] = {}
        files: dict[str, Path] = {}
        b1 = self.acquisition.b1
        if b1 is not None:
            maps["b1"] = load_b1(b1, self.series, self.mask, self.notes)
            if self.options.align is not None:
                maps["b1"] = self._placed("B1+", maps["b1"], load_anatomy(b1, self.series))
                self.sources += b1.anatomy
            facts["B1Method"] = b1.method
        for name, source in self.acquisition.maps.items():
            if isinstance(source, Path):
                maps[name], files[name] = load_map(source, self.series), source
                self.sources.append(source)
            else:
                maps[name] = self._fitted(source)
            if self.options.align is not None:
                maps[name] = self._placed(name, maps[name], maps[name])
        self.sources += b1.files if b1 is not None else ()
        # Where native T1 came from, transmit field included.
        facts["NativeT1"] = list(self.sources)
        return Scan(
            self.acquisition.protocol,
            self.acquisition.settings,
            self.mask,
            maps,
            facts,
            files,
            lambda: mean_curve(self.series, self.mask),
        )

    def _placed(self, name: str, values: FloatArray, picture: FloatArray | None) -> FloatArray:
        return placed(name, values, picture, self.series, self.acquisition, self.notes, self.threads)

    def _fitted(self, source: FittedMap) -> FloatArray:
        """Fit another acquisition in the voxels of this one; NaN where the fit is not to be trusted."""
        values = np.full(self.series.n_voxels, np.nan)
        model = catalogue.get_model(source.model)
        estimator = get_estimator(source.model, source.estimator)
        with ExitStack() as stack:
            series = stack.enter_context(open_images(source.acquisition, self.work_dir, self.series))
            other = OpenAcquisition(
                source.acquisition, self.options, series, self.choice, self.mask, self.work_dir
            )
            if self.options.align is not None:
                self.notes += self._align_other(other, stack)
            series = other.series
            how = prepare(model, estimator, other.scan)
            self.notes += other.notes
            noise = other.noise(model, how)
            measured = masked_blocks(series, self.mask)
            for block in fit_blocks(model, estimator, how, measured, noise, self.threads):
                fit = block.fit
                trusted = (fit.status == Status.OK) & fit.determined.get(source.name, True)
                values[block.voxels] = np.where(trusted, fit.maps[source.name], np.nan)
        self.sources += [*source.acquisition.images, *other.sources]
        return values

    def _align_other(self, other: OpenAcquisition, stack: ExitStack) -> list[str]:
        """Align an acquisition that is fitted for this one, and return what a person should know of it."""
        # Another process may fit, and align, the same acquisition for its own sake.
        folder = self.work_dir / f"{self.acquisition.label}_{self.acquisition.kind}_maps"
        folder.mkdir(parents=True, exist_ok=True)
        other.align(folder, stack, self.threads)
        names = other.acquisition.names_of(other.series.n_measurements)
        said = [*other.notes, *cautions(other.motion, other.series.zooms, names)]
        other.notes.clear()
        return [f"{other.acquisition.kind} of {other.acquisition.label}: {note}" for note in said]

    @cached_property
    def regions(self) -> Regions | None:
        """Labelled voxels, None if there are none."""
        return find_regions(self.acquisition, self.series, self.options)

    def prepare(self, model: Model, estimator: Estimator, asked: Bounds) -> Preparation:
        """Return how voxels become the input of a fit."""
        return prepare(model, estimator, self.scan, asked)

    def blocks(self, how: Preparation, *, keep: bool) -> tuple[Preparation, Iterator[Measured]]:
        """Return the voxels to fit; `keep` what is computed from them for the next fit that converts alike.

        Converted signals go to a scratch file, so that memory does not grow with the image.
        """
        if keep and how.conversion and how.conversion not in self._converted:
            name = f"{self.acquisition.label} {how.conversion}".replace(" ", "_")
            self._converted[how.conversion] = _once(how.convert, self.work_dir / name)
        convert = self._converted.get(how.conversion, how.convert)
        return replace(how, convert=convert), masked_blocks(self.series, self.mask)

    def noise(self, model: Model, how: Preparation) -> ScanNoise | None:
        """Return the noise of a single image, None if voxels tell it one by one; found once per question."""
        if self.stated is not None:
            stated = self._stated()
            if wants_noise(how):
                self._compare(model, how, stated)
            return stated
        if self.denoised is not None:
            return self.denoised.noise(self.mask)
        if not wants_noise(how):
            return None
        limits = tuple(sorted((how.bounds or {}).items()))
        told = tuple(model.told().items())
        if how.convert_for_noise is None:
            seen: tuple[Any, ...] = (how.conversion, how.measurements)
        else:
            seen = (how.noise_conversion, ())
        key = (model.name, told, seen, limits)
        if key not in self._noise:
            self._noise[key] = self._find_noise(model, how)
        return self._noise[key]

    def _stated(self) -> ScanNoise:
        """Return the noise that a person stated, read from a map if it is one."""
        stated = self.stated
        if not isinstance(stated, Path):
            assert stated is not None
            return stated
        values = load_map(stated, self.series)
        self.sources.append(stated)
        return noise_of_map(stated, values, self.mask, mean_curve(self.series, self.mask))

    def _compare(self, model: Model, how: Preparation, stated: ScanNoise) -> None:
        """Warn where stated noise is not what residuals show, such as one in another unit."""
        residuals = residuals_of(model, how, self.sample())
        if residuals is None:
            return
        level, seen = stated.typical(self.mask)[1], residuals.sigma()
        if not seen / UNLIKE < level < seen * UNLIKE:
            self.notes.append(
                f"stated noise {level:.4g}, but images differ from the model by {seen:.4g}: is it that of "
                "one image, in the unit of the images?"
            )

    def _find_noise(self, model: Model, how: Preparation) -> ScanNoise | None:
        """Estimate the noise from residuals, air and patches of tissue."""
        signal, voxels = self.sample()
        residuals = residuals_of(model, how, (signal, voxels))
        air = self._air
        if residuals is None:
            return None if air is None else ScanNoise.of_air(air)
        positions = self._positions(voxels[residuals.voxels])
        floor = None if air is None else air.floor
        grid = self.series.shape
        zooms = tuple(float(size) for size in self.series.zooms[: len(grid)])
        scatter = local_scatter(residuals, positions, grid, self.mask, zooms, floor)
        found = combine(scatter, self.mask, air, self._patches, len(residuals.cost))
        self.notes += found.warnings
        return found

    def _positions(self, voxels: Voxels) -> FloatArray:
        """Return the indices of voxels along the axes of the grid, (v, 3)."""
        return np.stack(np.unravel_index(voxels, self.series.shape, order="F"), axis=1).astype(np.float64)

    @cached_property
    def _air(self) -> Air | None:
        """What the voxels away from the object say, None where there are none or they are not air."""
        near = np.reshape(self.choice.mask, self.series.shape, order="F")
        near = binary_dilation(near, iterations=AIR_DISTANCE)
        border = np.zeros_like(near)
        for axis, size in enumerate(near.shape[:2]):
            edge = max(size // BORDER, 1)
            for face in (slice(0, edge), slice(size - edge, size)):
                border[(slice(None),) * axis + (face,)] = True
        away = np.flatnonzero((border & ~near).ravel(order="F"))
        chosen = np.zeros(self.series.n_voxels, dtype=bool)
        chosen[away[:: max(away.size // AIR_SAMPLE, 1)]] = True
        parts = [signal for signal, _ in masked_blocks(self.measured, chosen)]
        protocol = self.acquisition.protocol
        magnitudes = None if protocol is None else protocol.magnitudes()
        if not parts or (magnitudes is not None and not magnitudes.size):
            return None
        signal = np.concatenate(parts)
        return air_floor(signal if magnitudes is None else signal[:, magnitudes])

    @cached_property
    def _patches(self) -> float | None:
        """What patches of tissue say about thermal noise."""
        shape = self.measured.shape
        if self.measured.n_measurements < LEAST_PATCH_IMAGES:
            return None
        half = np.array([min(PATCH_HALF, (size - 1) // 2) for size in shape])
        centres = self._positions(sample_voxels(self.mask, seed=1)).astype(np.intp)
        whole = np.all((centres >= half) & (centres < np.array(shape) - half), axis=1)
        centres = centres[whole][:: max(int(whole.sum()) // PATCHES, 1)]
        offsets = np.stack([x.ravel() for x in np.meshgrid(*(np.arange(-h, h + 1) for h in half))], axis=1)
        wanted = np.ravel_multi_index(
            np.moveaxis(centres[:, None] + offsets, 2, 0).reshape(3, -1), shape, order="F"
        )
        chosen = np.zeros(self.series.n_voxels, dtype=bool)
        chosen[wanted] = True
        parts = list(masked_blocks(self.measured, chosen))
        if not parts:
            return None
        signals = np.concatenate([signal for signal, _ in parts])
        place = np.zeros(self.series.n_voxels, dtype=np.intp)
        place[np.concatenate([voxels for _, voxels in parts])] = np.arange(len(signals))
        inside = self.choice.mask[wanted].reshape(len(centres), -1)
        rows = place[wanted].reshape(len(centres), -1)
        return patch_sigma([signals[row] for row, full in zip(rows, inside, strict=True) if full.all()])

    def prior(self, model: Model, how: Preparation, noise: ScanNoise | None, choice: PriorChoice) -> Prior:
        """Return where the truth of a fit is expected, learned from the scan if that is the choice."""
        if choice != "scan":
            return choose_prior(model, choice, how.bounds, None)
        limits = tuple(sorted((how.bounds or {}).items()))
        key = (model.name, tuple(model.told().items()), how.conversion, how.measurements, limits)
        if key not in self._priors:
            self._priors[key] = choose_prior(model, choice, how.bounds, self.prior_sample(how, noise))
        return self._priors[key]

    def prior_sample(self, how: Preparation, noise: ScanNoise | None) -> PriorSample | None:
        """Return voxels that a prior can be learned from; None where there are none, or no noise is known."""
        chosen = np.zeros_like(self.mask)
        chosen[sample_voxels(self.mask, self.seed)] = True
        parts = list(masked_blocks(self.series, chosen))
        if not parts:
            return None
        signal, voxels = (np.concatenate(part) for part in zip(*parts, strict=True))
        return prior_sample(how, (signal, voxels), noise)

    def sample(self) -> Measured:
        """Return voxels spread over the mask."""
        chosen = np.zeros_like(self.mask)
        chosen[spread(self.mask)] = True
        parts = list(masked_blocks(self.series, chosen))
        return np.concatenate([part for part, _ in parts]), np.concatenate([voxels for _, voxels in parts])


def _once(convert: Converter, folder: Path) -> Converter:
    """Return a converter that computes every block once and then reads it from a scratch file."""
    folder.mkdir(parents=True, exist_ok=True)
    protocols: dict[int, Protocol] = {}

    def converted(signal: FloatArray, voxels: Voxels) -> tuple[FloatArray, Protocol]:
        first = int(voxels[0])
        file = folder / f"{first}-{voxels.size}.npy"
        if first in protocols and file.is_file():
            return np.load(file), protocols[first]
        values, protocols[first] = convert(signal, voxels)
        np.save(file, values)
        return values, protocols[first]

    return converted
