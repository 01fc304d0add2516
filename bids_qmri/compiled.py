"""What kernels of arrays and numbers are decorated with.

Fits run the object code that is made of them (`estimators.compiled.entry`); where there is none, numba
compiles them in every process anew. Modules of kernels import numba, and nothing imports them otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

ANY_ORDER = {"reassoc", "contract", "nsz"}
"""What sums in any order need: the rest of arithmetic is exact."""

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def kernel(function: Kernel) -> Kernel:
    """Compile a function of arrays and numbers; it lets go of the interpreter."""
    import numba

    # Told, because a function that does not tell takes over what the first kernel that calls it was told.
    compiled: Any = numba.njit(nogil=True, error_model="numpy", fastmath=False)(function)
    return cast(Kernel, compiled)


def summing(function: Kernel) -> Kernel:
    """Compile a kernel whose sums over measurements may be added in the order that suits the processor.

    The order follows from the number of measurements alone, so that a voxel's result does not depend on the
    voxels beside it.
    """
    import numba

    compiled: Any = numba.njit(nogil=True, error_model="numpy", fastmath=ANY_ORDER)(function)
    return cast(Kernel, compiled)


def summand(function: Kernel) -> Kernel:
    """Compile what a sum over measurements calls for each of them, into that sum itself."""
    import numba

    compiled: Any = numba.njit(nogil=True, error_model="numpy", fastmath=ANY_ORDER, forceinline=True)(
        function
    )
    return cast(Kernel, compiled)
