"""What compiled kernels are decorated with. Modules of kernels are imported when the first fit needs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

ANY_ORDER = {"reassoc", "contract", "nsz"}
"""What sums in any order need: the rest of arithmetic is exact."""

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def kernel(function: Kernel) -> Kernel:
    """Compile a function of arrays and numbers; it lets go of the interpreter and is kept for later runs."""
    import numba

    # Told, because a function that does not tell takes over what the first kernel that calls it was told.
    compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=False)(function)
    return cast(Kernel, compiled)


def summing(function: Kernel) -> Kernel:
    """Compile a kernel whose sums over measurements may be added in the order that suits the processor.

    The order follows from the number of measurements alone, so that a voxel's result does not depend on the
    voxels beside it.
    """
    import numba

    compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=ANY_ORDER)(function)
    return cast(Kernel, compiled)


def summand(function: Kernel) -> Kernel:
    """Compile what a sum over measurements calls for each of them, into that sum itself."""
    import numba

    compiled: Any = numba.njit(
        cache=True, nogil=True, error_model="numpy", fastmath=ANY_ORDER, forceinline=True
    )(function)
    return cast(Kernel, compiled)
