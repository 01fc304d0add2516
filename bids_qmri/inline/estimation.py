"""From the images of one series to its maps; a slice is estimated once nothing more is needed for it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from importlib import import_module

import numpy as np
import numpy.typing as npt

from bids_qmri.catalogue import part
from bids_qmri.errors import InputError
from bids_qmri.estimation.blocks import BLOCK_VOXELS, Measured, fit_block, spread
from bids_qmri.estimation.preparation import Scan
from bids_qmri.estimation.tissue import Mask, reference_images, tissue_mask
from bids_qmri.estimators.base import ESTIMATED, FitResult, Status
from bids_qmri.inline.config import Config
from bids_qmri.inline.encoding import Reader
from bids_qmri.inline.header import StreamHeader
from bids_qmri.inline.plan import Plan, Signal, expected_images, mean_curve, needs_whole_series, plan_of
from bids_qmri.inline.series import Series, Slot
from bids_qmri.inline.wire import Image, Pixels
from bids_qmri.physics.protocol import Protocol
from bids_qmri.units import FloatArray

Maps = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class SeriesMaps:
    """What was found in a series; what output in other formats starts from.

    Parameters
    ----------
    config
        What was asked for.
    maps
        By name, each (slices, z, y, x); standard deviations as ``NAMEStd``; NaN where a fit failed, 0 outside
        the mask.
    status
        One `Status` per voxel, same shape.
    references
        One image of every slice, whose geometry and attributes the maps take.
    header
        The XML header of the stream.
    notes
        What a person should know.
    n_measurements
        Images of every slice.
    n_early
        Slices that were estimated before the last image came.
    """

    config: Config
    maps: Maps
    status: npt.NDArray[np.uint8]
    references: Sequence[Image]
    header: StreamHeader
    notes: tuple[str, ...]
    n_measurements: int
    n_early: int


@dataclass
class _Block:
    """Some voxels of one slice: where they are, and what was found."""

    number: int
    rows: slice
    inside: Mask
    fit: FitResult


@dataclass
class Estimation:
    """One series on its way from images to maps.

    Parameters
    ----------
    config
        What to compute.
    header
        The XML header.
    pool
        Where slices are estimated, one at a time on each of its threads.
    """

    config: Config
    header: StreamHeader
    pool: Executor
    _early: dict[int, list[Future[_Block]]] = field(default_factory=dict, init=False)
    _plan: Plan | None = field(default=None, init=False)
    _masks: dict[int, Mask] = field(default_factory=dict, init=False)
    _reference: list[int] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        config = self.config
        self._model, self._estimator = config.forward, config.estimate_by()
        protocol = self._model.protocol
        self.series = Series(Reader(protocol, self.header, config.attributes), protocol.stream_joined)
        self._expected = None if needs_whole_series(config) else expected_images(config, self.header)

    def add(self, image: Image) -> None:
        """Take an image; start with its slice if it was the last one of that slice.

        Raises
        ------
        InputError
            If the image does not fit, or the slice does not fit the network.
        """
        slot = self.series.add(image)
        if self._expected is None or len(slot.keys) < self._expected:
            return
        if len(slot.keys) > self._expected:
            # More than anything announced: what was found from the first ones is not the answer.
            self.cancel()
            self._expected = self._plan = None
            return
        if self._plan is None:
            protocol = self._protocol(slot.table())
            self._plan = plan_of(self.config, Scan(protocol), None)
            self._reference = reference_images(protocol, len(slot.keys))
        number = int(image.header["slice"])
        self._early[number] = self._submit(number, slot, self._plan)

    def cancel(self) -> None:
        """Forget what was begun."""
        for futures in self._early.values():
            for future in futures:
                future.cancel()
        self._early.clear()

    def finish(self) -> SeriesMaps:
        """Return the maps of the complete series.

        Raises
        ------
        InputError
            If images are missing, or the series cannot be estimated.
        """
        series = self.series
        series.require_complete()
        n_early = sum(all(future.done() for future in futures) for futures in self._early.values())
        mask = self._mask()
        self._masks = dict(zip(sorted(series.slots), mask, strict=True))
        plan = self._plan or self._whole_plan(mask)
        pending = {
            number: self._early.get(number) or self._submit(number, slot, plan)
            for number, slot in sorted(series.slots.items())
        }
        blocks = [future.result() for futures in pending.values() for future in futures]
        maps, status = self._assemble(blocks, mask)
        if not np.any(np.isin(status, (*ESTIMATED, Status.NOT_CONVERGED, Status.OUT_OF_RANGE))):
            raise InputError(
                f"none of {int(mask.sum())} voxels could be estimated",
                needed="positive, finite signals in every image",
            )
        notes = dict.fromkeys(note for block in blocks for note in block.fit.notes)
        return SeriesMaps(
            self.config,
            maps,
            status,
            [slot.reference for slot in series.ordered],
            self.header,
            (*notes, *_failures(status)),
            series.n_measurements,
            n_early,
        )

    def _submit(self, number: int, slot: Slot, plan: Plan) -> list[Future[_Block]]:
        images = [slot.pixels[i] for i in slot.order()]
        n_voxels = images[0].size
        return [
            self.pool.submit(self._fit, number, slice(first, first + BLOCK_VOXELS), images, plan)
            for first in range(0, n_voxels, BLOCK_VOXELS)
        ]

    def _fit(self, number: int, rows: slice, images: Sequence[Pixels], plan: Plan) -> _Block:
        """Estimate some voxels of a slice: those of the mask, or where it is not known, all it could hold."""
        signal = np.stack([image[rows] for image in images], axis=1)
        mask = self._masks.get(number)
        inside = self._possible(signal) if mask is None else mask[rows]
        measured = signal[inside], np.zeros(int(inside.sum()), dtype=np.intp)
        block = fit_block(self._model, self._estimator, plan.how, measured, plan.noise)
        return _Block(number, rows, inside, block.fit)

    def _possible(self, signal: Signal) -> Mask:
        """Tell which voxels of a slice a mask could hold, (V,)."""
        if not self.config.mask:
            return np.ones(len(signal), dtype=bool)
        images = signal[:, self._reference]
        return np.asarray(np.all(np.isfinite(images) & (images > 0), axis=1))

    def _mask(self) -> Mask:
        """Return which voxels are estimated, (slices, V)."""
        series, config = self.series, self.config
        if not config.mask:
            return np.ones((len(series.slots), int(np.prod(series.shape))), dtype=bool)
        table = series.ordered[0].table()
        protocol = None if self._model.protocol.stream_timed else self._protocol(table)
        stated = config.values.get("baseline_volumes")
        chosen = reference_images(protocol, len(table), baseline_volumes=stated)
        means, usable = [], []
        for slot in series.ordered:
            order = slot.order()
            images = np.stack([slot.pixels[order[i]] for i in chosen]).astype(np.float64)
            means.append(images.mean(axis=0))
            usable.append(np.all(np.isfinite(images) & (images > 0), axis=0))
        grid = (-1, *series.shape[1:])
        mask = tissue_mask(np.stack(means).reshape(grid).T, np.stack(usable).reshape(grid).T).T
        if not mask.any():
            raise InputError(
                "no voxel is finite and above 0 in its reference images", needed="images with signal"
            )
        return mask.reshape(len(series.slots), -1)

    def _protocol(self, table: FloatArray) -> Protocol:
        return self._model.protocol.from_stream(table, b0_threshold=self.config.b0_threshold)

    def _whole_plan(self, mask: Mask) -> Plan:
        """Return the plan that needs all slices: a noise level, or the mean curve."""
        series, config = self.series, self.config
        if self._model.protocol.stream_timed:
            curve = mean_curve([slot.signal(mask[i]) for i, slot in enumerate(series.ordered)])
            once = series.reader.read_once(series.ordered[0].reference.header, series.meta)
            scan = part(config.model, "stream", "scan_of")(series.frame_times(), once, curve, config.values)
            return plan_of(config, scan, None)
        sample = self._sample(mask) if needs_whole_series(config) else None
        return plan_of(config, Scan(self._protocol(series.ordered[0].table())), sample)

    def _sample(self, mask: Mask) -> Measured:
        """Return voxels spread over the mask."""
        voxels = spread(mask.ravel())
        place, within = np.divmod(voxels, mask.shape[1])
        slots = enumerate(self.series.ordered)
        return np.concatenate([slot.signal(within[place == i]) for i, slot in slots]), voxels

    def _assemble(self, blocks: Sequence[_Block], mask: Mask) -> tuple[Maps, npt.NDArray[np.uint8]]:
        """Put the blocks where they belong; what was estimated early outside the mask is 0 again."""
        places = {number: i for i, number in enumerate(sorted(self.series.slots))}
        status = np.zeros(mask.shape, dtype=np.uint8)
        maps: Maps = {}
        for block in blocks:
            where = places[block.number], block.rows
            found = block.fit.maps | {f"{name}Std": sd for name, sd in block.fit.sd.items()}
            for name, inside in found.items():
                whole = maps.setdefault(name, np.zeros(mask.shape, dtype=np.float32))
                whole[where][block.inside] = inside
            status[where][block.inside] = block.fit.status
        outside = ~mask
        status[outside] = Status.OUTSIDE
        shape = (len(mask), *self.series.shape)
        for values in maps.values():
            values[outside] = 0.0
        return {name: values.reshape(shape) for name, values in maps.items()}, status.reshape(shape)


def warm_up(config: Config) -> None:
    """Load what the first series would have to wait for: libraries and the network."""
    model, estimator = config.forward, config.estimate_by()
    only = estimator.expected(model)
    import_module("scipy.special")
    if only is not None:
        estimator.fit(model, np.ones((1, only.n_measurements)), only)


def _failures(status: npt.NDArray[np.uint8]) -> list[str]:
    failed, inside = int(np.sum(status == Status.UNUSABLE)), int(np.sum(status != Status.OUTSIDE))
    return [f"{failed} of {inside} voxels have no usable signal; they are 0 in the maps"] if failed else []
