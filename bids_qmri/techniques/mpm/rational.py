"""The rational approximation of multi-parameter mapping: small angles, short TR. Times in s, MTsat in %.

R2* and the signals without decay are those of one logarithmic fit to the echoes of all weightings (ESTATICS,
Weiskopf et al. 2014, doi:10.3389/fnins.2014.00278); T1 and amplitude come from two flip angles (Helms et al.
2008, doi:10.1002/mrm.21542), MTsat from these and the images with an MT pulse (doi:10.1002/mrm.21732).
"""

from __future__ import annotations

import numpy as np

from bids_qmri.techniques.mpm.protocol import MultiParameterProtocol
from bids_qmri.units import FloatArray

FIELD = 0.4
"""By how much less than the square of the field the saturation grows, as in Weiskopf et al. 2013,
doi:10.3389/fnins.2013.00095."""


def field_share(b1: FloatArray) -> FloatArray:
    """Return the saturation at a relative transmit field over that at the nominal one."""
    return np.asarray(b1**2 * (1.0 - FIELD * b1) / (1.0 - FIELD))


def rational(signal: FloatArray, protocol: MultiParameterProtocol) -> FloatArray:
    """Return T1, R2*, MTsat and PD, (4, V), of signals (N, V); not finite where they have no solution."""
    groups = protocol.weightings()
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        r2star, without_decay = _estatics(signal, protocol, groups)
        first = [group[0] for group in groups]
        flip = protocol.flip_angle[first][:, None] * protocol.b1
        tr, mt = protocol.repetition_time[first][:, None], protocol.mt[first]
        t1, pd = _two_angles(without_decay[mt == 0], flip[mt == 0], tr[mt == 0])
        mtsat = np.zeros_like(t1)
        if np.any(mt == 1):
            angle, time, measured = flip[mt == 1], tr[mt == 1], without_decay[mt == 1]
            share = (pd * angle / measured - 1.0) * time / t1 - angle**2 / 2.0
            mtsat = 100.0 * share.mean(axis=0) / field_share(protocol.b1)
    return np.stack([t1, r2star, mtsat, pd])


def _estatics(
    signal: FloatArray, protocol: MultiParameterProtocol, groups: tuple[tuple[int, ...], ...]
) -> tuple[FloatArray, FloatArray]:
    """Return R2*, (V,), and the signal of each of G weightings without decay, (G, V)."""
    if np.ptp(protocol.echo_time) == 0:
        one = np.stack([signal[list(group)].mean(axis=0) for group in groups])
        return np.zeros(signal.shape[1]), one
    design = np.zeros((protocol.n_measurements, len(groups) + 1))
    design[:, 0] = -protocol.echo_time
    for column, group in enumerate(groups, 1):
        design[list(group), column] = 1.0
    found = np.linalg.pinv(design) @ np.log(signal)
    return found[0], np.exp(found[1:])


def _two_angles(signal: FloatArray, flip: FloatArray, tr: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return T1 and amplitude, (V,), of the smallest and the largest of several flip angles, (G, V) each."""
    small, large = int(np.argmin(flip.mean(axis=1))), int(np.argmax(flip.mean(axis=1)))
    pdw, t1w = signal[small], signal[large]
    a_pd, a_t1, tr_pd, tr_t1 = flip[small], flip[large], tr[small], tr[large]
    t1 = 2.0 * (pdw / a_pd - t1w / a_t1) / (t1w * a_t1 / tr_t1 - pdw * a_pd / tr_pd)
    pd = pdw * t1w * (tr_pd * a_t1 / a_pd - tr_t1 * a_pd / a_t1)
    pd = pd / (t1w * tr_pd * a_t1 - pdw * tr_t1 * a_pd)
    return np.where(t1 > 0, t1, np.nan), np.where(pd > 0, pd, np.nan)
