"""What compiled kernels are decorated with. Modules of kernels are imported when the first fit needs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def kernel(function: Kernel) -> Kernel:
    """Compile a function of arrays and numbers; it lets go of the interpreter and is kept for later runs."""
    import numba

    compiled: Kernel = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return compiled
