"""From the files of an acquisition to what a fit needs beside its signals: read once for all fits of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_qmri import catalogue
from bids_qmri.bids.acquisition import Acquisition, FittedMap, ReadOptions
from bids_qmri.bids.b1 import load_b1
from bids_qmri.bids.images import Series, load_map, open_series
from bids_qmri.bids.masks import MaskChoice, find_mask
from bids_qmri.bids.regions import Regions, find_regions
from bids_qmri.estimation.blocks import Measured, fit_block, noise_level, spread, wants_noise
from bids_qmri.estimation.preparation import Converter, Preparation, Scan, Voxels, prepare
from bids_qmri.estimators.base import Estimator, Status, get_estimator
from bids_qmri.interfaces.voxels import masked_blocks, mean_curve
from bids_qmri.physics.model import Bounds, Model
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray


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
    """

    acquisition: Acquisition
    options: ReadOptions
    series: Series
    choice: MaskChoice
    mask: npt.NDArray[np.bool_]
    work_dir: Path
    notes: list[str] = field(default_factory=list)
    sources: list[Path] = field(default_factory=list)
    _noise: dict[Any, float | None] = field(default_factory=dict)
    _converted: dict[str, Converter] = field(default_factory=dict)

    @cached_property
    def scan(self) -> Scan:
        """What is known of the scan beside its signals; reads maps, and fits those that are fitted."""
        maps: dict[str, FloatArray] = {}
        facts: dict[str, Any] = {}
        files: dict[str, Path] = {}
        b1 = self.acquisition.b1
        if b1 is not None:
            maps["b1"] = load_b1(b1, self.series, self.mask, self.notes)
            facts["B1Method"] = b1.method
        for name, source in self.acquisition.maps.items():
            if isinstance(source, Path):
                maps[name], files[name] = load_map(source, self.series), source
                self.sources.append(source)
            else:
                maps[name] = self._fitted(source)
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

    def _fitted(self, source: FittedMap) -> FloatArray:
        """Fit another acquisition in the voxels of this one; NaN where the fit is not to be trusted."""
        values = np.full(self.series.n_voxels, np.nan)
        model = catalogue.get_model(source.model)
        estimator = get_estimator(source.model, source.estimator)
        with open_series(source.acquisition.images, self.work_dir) as series:
            other = OpenAcquisition(
                source.acquisition, self.options, series, self.choice, self.mask, self.work_dir
            )
            how = prepare(model, estimator, other.scan)
            self.notes += other.notes
            for measured in masked_blocks(series, self.mask):
                fit = fit_block(model, estimator, how, measured, None).fit
                values[measured[1]] = np.where(fit.status == Status.OK, fit.maps[source.name], np.nan)
        self.sources += [*source.acquisition.images, *other.sources]
        return values

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

    def noise(self, model: Model, how: Preparation) -> float | None:
        """Return the noise level of a single image, None if voxels share none; computed once per question."""
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
            self._noise[key] = noise_level(model, how, self.sample())
        return self._noise[key]

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


@contextmanager
def open_acquisition(
    acquisition: Acquisition, options: ReadOptions, work_dir: Path, *, thin: bool = False
) -> Iterator[OpenAcquisition]:
    """Open the images of an acquisition and choose the voxels to fit.

    Parameters
    ----------
    acquisition, options
        What was found, and how files are read.
    work_dir
        Scratch folder; made if it is not there.
    thin
        Fit every eighth voxel only.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        series = stack.enter_context(open_series(acquisition.images, work_dir))
        choice = find_mask(acquisition, series, options)
        mask = _thinned(choice.mask) if thin else choice.mask
        yield OpenAcquisition(acquisition, options, series, choice, mask, work_dir)


def _thinned(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Keep every eighth voxel."""
    kept = np.zeros_like(mask)
    kept[np.flatnonzero(mask)[::8]] = True
    return kept
