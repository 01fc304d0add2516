"""Diffusion weightings: the protocol that all diffusion techniques share. b in s/mm^2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.physics.protocol import Axis, IntArray, Protocol, Range, StreamField, ends, frozen
from bids_qmri.physics.shells import cluster_shells
from bids_qmri.units import FloatArray

B0_THRESHOLD = 50.0
"""b-values up to this many s/mm^2 count as b = 0 (design decision; 7 T protocols may need 100)."""

SAME_LOW_B = 5.0
"""s/mm^2 above the lowest b-value within which images count as its repetitions."""

CURVE_POINTS = 64


@dataclass(frozen=True, eq=False)
class DiffusionProtocol(Protocol):
    """Diffusion weightings of one series.

    Parameters
    ----------
    bvals
        b-values in s/mm^2, shape (N,).
    bvecs
        Unit gradient directions along the image axes, zero at b = 0, shape (N, 3); None if not known.
    averages
        Number of images averaged into each measurement, shape (N,); None means one each.
    b0_threshold
        b-values up to this many s/mm^2 count as b = 0.
    """

    words: ClassVar[Mapping[str, tuple[str, str]]] = {
        "bvals": ("b-values", " s/mm^2"),
        "largest_b": ("largest b-value", " s/mm^2"),
    }

    stream: ClassVar[tuple[StreamField, ...]] = (
        StreamField(
            "bvalue",
            "b-value",
            ("DiffusionBValue", "BValue", "b_value", "bval", "DiffusionBVal", "b"),
            kind="bvalue",
            otherwise="a diffusion list in the XML header",
        ),
        StreamField(
            "direction",
            "gradient direction",
            (
                "DiffusionGradientDirection",
                "DiffusionGradientOrientation",
                "DiffusionDirection",
                "GradientDirection",
                "bvec",
            ),
            kind="direction",
        ),
    )
    dicom_type: ClassVar[str] = "DIFFUSION MAP"
    channels: ClassVar[tuple[str, ...]] = ("b", "log_b")

    bvals: FloatArray
    bvecs: FloatArray | None = None
    averages: FloatArray | None = None
    b0_threshold: float = B0_THRESHOLD

    def __post_init__(self) -> None:
        bvals = frozen(self.bvals, "bvals")
        if np.any(bvals < 0):
            raise InputError(
                f"lowest b-value is {bvals.min():g}", field="bvals", needed="b-values in s/mm^2, 0 or above"
            )
        object.__setattr__(self, "bvals", bvals)
        for name, shape in (("bvecs", (bvals.size, 3)), ("averages", (bvals.size,))):
            value = getattr(self, name)
            if value is None:
                continue
            array = frozen(value, name, (len(shape),))
            if array.shape != shape:
                raise InputError(
                    f"{name} has shape {array.shape} beside {bvals.size} b-values",
                    field=name,
                    needed=f"shape {shape}",
                )
            object.__setattr__(self, name, array)

    @property
    def n_measurements(self) -> int:
        return int(self.bvals.size)

    @property
    def weights(self) -> FloatArray:
        return np.ones(self.n_measurements) if self.averages is None else self.averages

    @property
    def b0_mask(self) -> npt.NDArray[np.bool_]:
        """True where a measurement counts as b = 0, shape (N,)."""
        return np.asarray(self.bvals <= self.b0_threshold)

    @classmethod
    def from_stream(cls, table: FloatArray, *, b0_threshold: float) -> DiffusionProtocol:
        bvecs = np.where((table[:, 0] > b0_threshold)[:, None], table[:, 1:], 0.0)
        known = not np.any(np.isnan(bvecs))
        return cls(table[:, 0], bvecs if known else None, b0_threshold=b0_threshold)

    def repeat_keys(self) -> FloatArray:
        return self.bvals[None]

    def averaged(self, average: FloatArray) -> DiffusionProtocol:
        return DiffusionProtocol(average @ self.bvals)

    def only(self, kept: IntArray) -> DiffusionProtocol:
        bvecs = None if self.bvecs is None else self.bvecs[kept]
        averages = None if self.averages is None else self.averages[kept]
        return replace(self, bvals=self.bvals[kept], bvecs=bvecs, averages=averages)

    def extremes(self) -> dict[str, Range]:
        return {"bvals": ends(self.bvals), "largest_b": (float(self.bvals.max()),) * 2}

    def values(self) -> dict[str, FloatArray]:
        return {"bvals": self.bvals, "averages": self.weights}

    def reference(self) -> IntArray:
        # Narrower than the b = 0 threshold: perfusion protocols hold b = 10, 20, 50, where tissue may read 0.
        return np.flatnonzero(self.bvals <= self.bvals.min() + SAME_LOW_B)

    def repeated(self) -> bool:
        return True

    def shells(self) -> tuple[FloatArray, IntArray] | None:
        lowest = self.bvals.min()
        values, index = cluster_shells(np.where(self.bvals <= lowest + SAME_LOW_B, lowest, self.bvals))
        return (values, index) if values.size else None

    def directions(self) -> FloatArray | None:
        return self.bvecs

    def turned(self, rotations: FloatArray) -> DiffusionProtocol:
        if self.bvecs is None:
            return self
        return replace(self, bvecs=np.einsum("nij,nj->ni", rotations, self.bvecs))

    def n_averaged(self) -> int:
        return int(cluster_shells(self.bvals)[0].size)

    def axis(self, fitted: FloatArray) -> Axis:
        if not self._alone(fitted):
            order = tuple(self._by_fit(row) for row in fitted)
            return Axis("measurement, by b-value and fitted signal", self.bvals, order=order)
        fine = np.linspace(0.0, self.bvals.max(), CURVE_POINTS)
        return Axis("b-value (s/mm²)", self.bvals, (DiffusionProtocol(fine), fine))

    def _alone(self, fitted: FloatArray) -> bool:
        """Tell whether b can be the axis: no directions, or equal fitted signals at equal b-values."""
        if self.bvecs is None:
            return True
        order = np.argsort(self.bvals, kind="stable")
        same = np.diff(self.bvals[order]) == 0
        steps = np.abs(np.diff(fitted[:, order], axis=1))[:, same]
        return bool(steps.size) and bool(np.all(steps <= 1e-6 * np.abs(fitted).max()))

    def _by_fit(self, fitted: FloatArray) -> IntArray:
        """Sort measurements so that the fitted signal falls smoothly, without those left out of the fit."""
        used = np.flatnonzero(np.isfinite(fitted))
        return np.asarray(used[np.lexsort((-fitted[used], np.round(self.bvals[used], -2)))])

    def network_inputs(self) -> tuple[list[FloatArray], list[float | FloatArray]]:
        b = self.bvals[:, None]
        return [b / 300.0, np.log1p(b / 20.0)], []

    def sidecar_fields(self) -> dict[str, Any]:
        rounded, inverse = np.unique(np.round(self.bvals), return_inverse=True)
        counts = np.bincount(inverse, weights=self.weights)
        return {"BValues": rounded.tolist(), "BValueCounts": counts.round().astype(int).tolist()}
