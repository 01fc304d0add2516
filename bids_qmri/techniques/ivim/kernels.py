"""The IVIM model over lanes: signals with derivatives, and first estimates. Source of kernels (`compiled`)."""

from __future__ import annotations

from typing import Any

from bids_qmri.estimators.compiled.functions import exp, inline
from bids_qmri.estimators.compiled.lanes import load, store


@inline  # type: ignore[untyped-decorator]
def evaluate(told: Any, work: Any, theta: int, own: int, prediction: int, jacobian: int, n: int) -> None:
    """Write signals and derivatives; `told` are the b-values."""
    d, dstar, f, s0 = (load(work, theta), load(work, theta + 1), load(work, theta + 2), load(work, theta + 3))
    rest = 1.0 - f
    for m in range(n):
        b = -told[m]
        slow, fast = exp(b * d), exp(b * dstar)
        store(work, jacobian + 2 * n + m, s0 * (fast - slow))
        slow, fast = rest * slow, f * fast
        by_s0, scaled = slow + fast, b * s0
        store(work, jacobian + 3 * n + m, by_s0)
        store(work, jacobian + m, scaled * slow)
        store(work, jacobian + n + m, scaled * fast)
        store(work, prediction + m, s0 * by_s0)
