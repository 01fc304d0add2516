"""Which volume of a scan stands for which one of a diffusion scheme, in any order and orientation.

A signal depends on the angle between gradient and fibre alone. Opposite directions are therefore the same,
and so are two schemes that a rotation of all directions takes into each other (an oblique slice, say), for a
network that was trained with fibres of every direction.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bids_qmri.errors import InputError
from bids_qmri.physics.diffusion import DiffusionProtocol
from bids_qmri.physics.shells import JITTER, cluster_shells
from bids_qmri.units import FloatArray

B_TOLERANCE = 0.03
"""Largest relative difference of b-values: scanners store what they played out, with imaging gradients.

At this limit, or that of angles, errors of the paper's network grow by a tenth in white matter at SNR 40.
"""

ANGLE_TOLERANCE = 3.0
"""Largest angle in degrees between directions: rounding, and the correction of each volume for motion."""

LEAST_TOLERANCE = JITTER
"""s/mm^2 that b-values may differ by at low shells: scanners store what they played out."""

FORBIDDEN = 1e6
"""Cost of a pair whose b-values differ."""

CANDIDATES = 512
"""Rotations that are compared on all directions, the best on a single shell."""

PARALLEL = 0.99
"""Cosine beyond which two directions do not fix a rotation."""

IntArray = npt.NDArray[np.intp]


def volumes_of(scheme: DiffusionProtocol, scan: DiffusionProtocol, fix: str = "") -> IntArray:
    """Return the volume of a scan for every volume of a scheme, (N,).

    Parameters
    ----------
    scheme
        What is needed, with directions.
    scan
        What there is.
    fix
        What can be done if it differs, for the message.

    Raises
    ------
    InputError
        Naming what differs: the number of volumes or of those at b = 0, b-values, or directions.
    """
    _require_b_values(scheme, scan, fix)
    if scan.bvecs is None or scheme.bvecs is None:
        raise InputError("directions are not known", field="bvecs", needed="one per volume", fix=fix)
    volumes, angle = _assigned(scheme, scan, np.eye(3))
    if angle > ANGLE_TOLERANCE:
        volumes, angle = _assigned(scheme, scan, _best_rotation(scheme, scan))
    if angle > ANGLE_TOLERANCE:
        raise InputError(
            f"directions differ from those of the scheme by up to {angle:.1f} degrees, whichever way all of "
            "them are rotated and ordered",
            field="bvecs",
            needed=f"at most {ANGLE_TOLERANCE:g} degrees",
            fix=fix,
        )
    return volumes


def _require_b_values(scheme: DiffusionProtocol, scan: DiffusionProtocol, fix: str) -> None:
    """Refuse other b-values, or other numbers of them."""
    seen, needed = (np.sort(np.where(p.b0_mask, 0.0, p.bvals)) for p in (scan, scheme))
    if seen.size != needed.size or np.any(np.abs(seen - needed) > _tolerance(needed)):
        raise InputError(
            f"scan has b = {_spelled(scan)} s/mm^2",
            field="bvals",
            needed=f"b = {_spelled(scheme)} s/mm^2, within {B_TOLERANCE:.0%} or {LEAST_TOLERANCE:g} s/mm^2, "
            "in any order",
            fix=fix,
        )


def _tolerance(bvals: npt.ArrayLike) -> FloatArray:
    """Return by how many s/mm^2 weighted b-values may differ; 0 where they are 0."""
    b = np.asarray(bvals, dtype=np.float64)
    return np.where(b > 0, np.maximum(B_TOLERANCE * b, LEAST_TOLERANCE), 0.0)


def _spelled(protocol: DiffusionProtocol) -> str:
    """Return b-values with the number of volumes, such as ``0 (9), 700 (24), 2000 (48)``."""
    bvals = np.where(protocol.b0_mask, 0.0, protocol.bvals)
    centres, index = cluster_shells(bvals)
    if centres.size == 0:
        return f"{bvals.min():g} to {bvals.max():g} ({bvals.size})"
    counts = np.bincount(index)
    return ", ".join(f"{b:.0f} ({count})" for b, count in zip(centres, counts, strict=True))


def _assigned(
    scheme: DiffusionProtocol, scan: DiffusionProtocol, rotation: FloatArray
) -> tuple[IntArray, float]:
    """Return the volumes that fit a rotated scheme best, and the largest angle in degrees that is left."""
    from scipy.optimize import linear_sum_assignment

    assert scheme.bvecs is not None
    assert scan.bvecs is not None
    cosine = np.abs(scheme.bvecs @ rotation.T @ scan.bvecs.T)
    angle = np.rad2deg(np.arccos(np.minimum(cosine, 1.0)))
    b0 = scheme.b0_mask[:, None] & scan.b0_mask
    angle[b0] = 0.0
    apart = np.abs(scheme.bvals[:, None] - scan.bvals) > _tolerance(scheme.bvals)[:, None]
    cost = np.where(apart & ~b0, FORBIDDEN, angle**2)
    rows, volumes = linear_sum_assignment(cost)
    return np.asarray(volumes), float(np.sqrt(cost[rows, volumes].max()))


def _best_rotation(scheme: DiffusionProtocol, scan: DiffusionProtocol) -> FloatArray:
    """Return the rotation matrix that takes the directions of the scheme closest to those of the scan."""
    assert scheme.bvecs is not None
    assert scan.bvecs is not None
    ours, theirs = _smallest_shell(scheme, scan)
    rotations = _candidates(scheme.bvecs[ours], scan.bvecs[theirs])
    if not len(rotations):
        return np.eye(3)
    rotations = rotations[np.argsort(_misfit(rotations, scheme.bvecs[ours], scan.bvecs[theirs]))[:CANDIDATES]]
    # A shell may be symmetric; all of them together tell which of its rotations is meant.
    misfit = _misfit(rotations, scheme.bvecs[~scheme.b0_mask], scan.bvecs[~scan.b0_mask])
    rotation = rotations[np.argmin(misfit)]
    volumes, _ = _assigned(scheme, scan, rotation)
    return _refined(rotation, scheme.bvecs, scan.bvecs[volumes])


def _smallest_shell(scheme: DiffusionProtocol, scan: DiffusionProtocol) -> tuple[IntArray, IntArray]:
    """Return the volumes of scheme and scan at the b-value with fewest volumes, two at least."""
    weighted = np.flatnonzero(~scheme.b0_mask)
    shell = scheme.bvals[weighted]
    near = np.abs(shell[:, None] - shell) <= _tolerance(shell)
    counts = near.sum(axis=1)
    b = scheme.bvals[weighted[np.argmin(np.where(counts >= 2, counts, counts.max() + 1))]]
    ours, theirs = (
        np.flatnonzero(~p.b0_mask & (np.abs(p.bvals - b) <= _tolerance(b))) for p in (scheme, scan)
    )
    return ours, theirs


def _candidates(ours: FloatArray, theirs: FloatArray) -> FloatArray:
    """Return rotations that take two of our directions to the first of theirs and the most perpendicular.

    Parameters
    ----------
    ours, theirs
        Directions of one shell, (n, 3).

    Returns
    -------
    Rotation matrices, (C, 3, 3).
    """
    second = int(np.argmin(np.abs(theirs @ theirs[0])))
    if abs(theirs[second] @ theirs[0]) > PARALLEL:
        return np.empty((0, 3, 3))
    target = _frames(theirs[:1], theirs[second : second + 1])[0]
    first, other = (index.ravel() for index in np.indices((len(ours), len(ours))))
    signs = np.array([(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)])
    a = (signs[:, :1, None] * ours[first]).reshape(-1, 3)
    b = (signs[:, 1:, None] * ours[other]).reshape(-1, 3)
    angles = np.arccos(np.clip(np.einsum("cd,cd->c", a, b), -1.0, 1.0))
    wanted = np.arccos(np.clip(theirs[0] @ theirs[second], -1.0, 1.0))
    fitting = np.abs(angles - wanted) <= np.deg2rad(2.0 * ANGLE_TOLERANCE)
    fitting &= np.tile(first != other, len(signs))
    return np.asarray(target.T @ _frames(a[fitting], b[fitting]))


def _frames(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return rotations whose rows are a, the part of b perpendicular to it, and their cross product."""
    second = b - np.einsum("cd,cd->c", a, b)[:, None] * a
    second /= np.linalg.norm(second, axis=1, keepdims=True)
    return np.stack([a, second, np.cross(a, second)], axis=1)


def _misfit(rotations: FloatArray, ours: FloatArray, theirs: FloatArray) -> FloatArray:
    """Return by rotation the mean of 1 - cosine between their directions and our nearest, (C,)."""
    return np.array([1.0 - np.abs(theirs @ r @ ours.T).max(axis=1).mean() for r in rotations])


def _refined(rotation: FloatArray, ours: FloatArray, theirs: FloatArray) -> FloatArray:
    """Return the rotation that is best for all pairs of directions (Kabsch); opposite ones count as equal."""
    signs = np.sign(np.einsum("nd,nd->n", ours @ rotation.T, theirs))
    u, _, vt = np.linalg.svd((signs[:, None] * theirs).T @ ours)
    return np.asarray(u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt)
